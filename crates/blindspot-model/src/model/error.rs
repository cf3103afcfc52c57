//! Why a file or network is no model.

use std::path::PathBuf;

use blindspot_data::files::FileError;
use blindspot_data::{DataError, ErrorKind};
use blindspot_net::{BudgetError, onnx};

use crate::preprocess::PreprocessError;

/// Why a file or network is no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The values of its other inputs can't be read.
    #[error("the values of the model's other inputs: {0}")]
    Values(#[from] DataError),
    /// The file holds no network that runs here.
    #[error("{}: {source}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: onnx::OnnxError,
    },
    /// The file is another one than when it was read first.
    #[error("{} has changed since it was read; leave it alone until the work is done", .0.display())]
    Changed(PathBuf),
    /// Running the network would take more memory or time than allowed.
    #[error("{name}: {source}")]
    Budget {
        /// The file, or "the network" where there is none.
        name: String,
        /// What takes it.
        source: BudgetError,
    },
    /// Network and preprocessing don't fit each other.
    #[error("{name}: {source}")]
    Preprocess {
        /// The file, or "the network" where there is none.
        name: String,
        /// What does not fit.
        source: PreprocessError,
    },
    /// There are not as many class names as classes.
    #[error("{names} class names for a network of {classes} classes; give one for each")]
    Classes {
        /// Names given.
        names: usize,
        /// Outputs of the network.
        classes: usize,
    },
}

impl ModelError {
    /// [`ErrorKind::Usage`] for class names that are not as many as the classes;
    /// [`ErrorKind::Model`] for all else.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ModelError::Classes { .. } => ErrorKind::Usage,
            ModelError::Values(_)
            | ModelError::Budget { .. }
            | ModelError::Changed(_)
            | ModelError::File(_)
            | ModelError::Onnx { .. }
            | ModelError::Preprocess { .. } => ErrorKind::Model,
        }
    }
}
