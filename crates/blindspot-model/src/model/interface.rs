//! Which of a file's inputs is the image, which of its outputs has the classes, and what the file
//! leaves open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blindspot_data::DataError;
use blindspot_net::onnx::ReadOptions;
use serde::{Deserialize, Serialize};

/// What has to be said about a file with several inputs or outputs, or an image of an open size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Interface {
    /// The input that is the image; needed if the file has several for which no values are given.
    pub input: Option<String>,
    /// The output that has a number for each class. Without it, the output of real numbers; of
    /// several the first with a row for each image.
    pub output: Option<String>,
    /// The shape of the network's input for one image, where the file leaves sizes open.
    pub input_shape: Option<Vec<usize>>,
    /// An .npz file with the values of the other inputs, by their names; the same for each image.
    pub input_values: Option<PathBuf>,
}

impl Interface {
    /// How the file at `path` is read; without a path, bytes in memory.
    ///
    /// # Errors
    /// [`DataError`] if the values of inputs can't be read.
    pub fn read_options(&self, path: Option<&Path>) -> Result<ReadOptions, DataError> {
        let mut options = path.map(ReadOptions::beside).unwrap_or_default();
        options.input = self.input.clone();
        options.output = self.output.clone();
        options.image_shape = self.input_shape.clone();
        options.constants = match &self.input_values {
            Some(path) => blindspot_data::arrays(path)?,
            None => BTreeMap::new(),
        };
        Ok(options)
    }
}
