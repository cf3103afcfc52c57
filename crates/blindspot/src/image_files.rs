//! Adversarial images as PNG files that fool the network when they are read back.

use std::borrow::Cow;
use std::fmt::Write;
use std::io;
use std::path::Path;

use blindspot_data::files::{FileError, make_folder, write_atomically};
use blindspot_data::{ErrorKind, png};

/// Why images can't be saved.
#[derive(Debug, thiserror::Error)]
pub enum ImageFileError {
    /// A file or the folder can't be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// No PNG holds such images.
    #[error("{0}")]
    Shape(String),
    /// The images can't be read from where they are kept.
    #[error("the changed images can't be read any more: {0}")]
    Kept(#[from] io::Error),
}

impl ImageFileError {
    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ImageFileError::File(_) => ErrorKind::Output,
            ImageFileError::Shape(_) => ErrorKind::Usage,
            ImageFileError::Kept(_) => ErrorKind::Other,
        }
    }
}

/// An example to be saved.
#[derive(Debug, Clone)]
pub struct Saved<'a> {
    /// Position of the image in its data set: the file's name.
    pub index: usize,
    /// The true class.
    pub label: usize,
    /// The changed image's levels, 255 standing for 1.
    pub levels: Cow<'a, [u8]>,
}

/// Writes images into the folder `dir`, which is made, as `00012.png` and so on; and
/// `labels.csv` with the true class of each, so that `folder:DIR,DIR/labels.csv` is an image set.
/// `shape` is channels, height, width.
///
/// # Errors
/// [`ImageFileError`].
pub fn save_images<'a>(
    dir: &Path,
    images: impl Iterator<Item = io::Result<Saved<'a>>>,
    shape: [usize; 3],
) -> Result<(), ImageFileError> {
    make_folder(dir)?;
    let mut labels = String::new();
    for saved in images {
        let Saved {
            index,
            label,
            levels,
        } = saved?;
        let name = format!("{index:05}.png");
        let bytes = png(&levels, shape).map_err(ImageFileError::Shape)?;
        write_atomically(&dir.join(&name), |writer| writer.write_all(&bytes))?;
        writeln!(labels, "{name},{label}").expect("a string takes any text");
    }
    let path = dir.join("labels.csv");
    write_atomically(&path, |writer| writer.write_all(labels.as_bytes()))?;
    Ok(())
}
