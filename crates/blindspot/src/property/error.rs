//! Why a property can't be read or verified.

use blindspot_bounds::certify::CertifyError;
use blindspot_data::ErrorKind;
use blindspot_data::files::FileError;
use blindspot_model::classifier::ClassifierError;

use crate::search::SearchError;

/// Why a property can't be read or verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PropertyError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is in the file is no property.
    #[error("{name}, line {line}: {why}")]
    Syntax {
        /// The name of the file.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong there, and what should be.
        why: String,
    },
    /// The property as a whole is none that can be verified.
    #[error("{name}: {why}")]
    Unfit {
        /// The name of the file.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The model takes or gives another number of values.
    #[error(
        "{name} declares {declared} {what}, the model has {model}; verify it on the model that it was \
         written for"
    )]
    Size {
        /// The name of the file.
        name: String,
        /// `inputs` or `outputs`.
        what: &'static str,
        /// How many the property declares.
        declared: usize,
        /// How many the model has.
        model: usize,
    },
    /// The model was not opened for its numbers as they are.
    #[error("a property is about a model's numbers as they are; open the model for its numbers")]
    Outputs,
    /// The model's file can't be read again.
    #[error(transparent)]
    Certify(#[from] CertifyError),
    /// The model can't be searched.
    #[error(transparent)]
    Search(#[from] SearchError),
}

impl PropertyError {
    /// What the error is about: the file's property counts as data.
    pub fn kind(&self) -> ErrorKind {
        match self {
            PropertyError::File(error) if error.action != "read" => error.kind(),
            PropertyError::File(_)
            | PropertyError::Syntax { .. }
            | PropertyError::Unfit { .. }
            | PropertyError::Size { .. } => ErrorKind::Data,
            PropertyError::Outputs => ErrorKind::Usage,
            PropertyError::Certify(error) => error.kind(),
            PropertyError::Search(error) => error.kind(),
        }
    }
}

impl From<ClassifierError> for PropertyError {
    fn from(error: ClassifierError) -> PropertyError {
        PropertyError::Search(error.into())
    }
}
