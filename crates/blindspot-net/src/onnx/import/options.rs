//! What can be said about a file before it is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::budget::Budget;

/// How a file is read.
///
/// ```
/// use blindspot_net::onnx::ReadOptions;
///
/// let options = ReadOptions::beside("models/mnist.onnx".as_ref()).unbatched(true);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The folder with the files in which a model keeps numbers outside of its own. Without it
    /// such a model can't be read.
    pub folder: Option<PathBuf>,
    /// The first axis of the input is an axis of the image, not the batch's: the model takes one
    /// image at a time. An input with one axis is always read so.
    pub unbatched: bool,
    /// The name of the input that is the image. Without it the model must have one input, beside
    /// those in `constants`.
    pub input: Option<String>,
    /// The name of the value that has the numbers of the classes: an output, or any other value.
    /// Without it, it is the output of real numbers, of several the first that has a row of them for
    /// each image; if there is none, what the label is made of (before ArgMax or ZipMap).
    pub output: Option<String>,
    /// The shape of one image, for the sizes that the file leaves open: without the batch's axis.
    pub image_shape: Option<Vec<usize>>,
    /// Shape and numbers, row after row, of the other inputs, by their names. They are the same for
    /// each image; integers are rounded towards 0.
    pub constants: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// How much memory and time reading the file may take.
    pub budget: Budget,
    /// Bytes of the budget's memory that are taken already.
    pub held: u64,
}

impl ReadOptions {
    /// For the bytes of the file at `path`: other files that it names are looked for beside it.
    pub fn beside(path: &Path) -> ReadOptions {
        let folder = path.parent().map(|folder| {
            if folder.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                folder.to_owned()
            }
        });
        ReadOptions {
            folder,
            ..ReadOptions::default()
        }
    }

    /// Whether the first axis of the input is an axis of the image; see
    /// [`unbatched`](ReadOptions#structfield.unbatched).
    pub fn unbatched(self, unbatched: bool) -> ReadOptions {
        ReadOptions { unbatched, ..self }
    }
}
