//! What ends a hardening.

use blindspot::inputs::InputError;
use blindspot::search::SearchError;
use blindspot_data::ErrorKind;

use crate::train::TrainError;

/// Why a hardening did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// The training failed or was stopped, or the options are invalid.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An image can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Examples for a pool can't be searched for.
    #[error(transparent)]
    Search(#[from] SearchError),
}

impl HardenError {
    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        match self {
            HardenError::Train(error) => error.kind(),
            HardenError::Input(error) => error.kind(),
            HardenError::Search(error) => error.kind(),
        }
    }
}
