//! What ends a hardening.

use blindspot::inputs::InputError;
use blindspot::search::SearchError;

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
