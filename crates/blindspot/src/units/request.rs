//! A survey as it was asked for.

use std::path::PathBuf;

use blindspot_data::ImageRequest;
use blindspot_model::Interface;
use blindspot_model::preprocess::Preprocess;
use serde::{Deserialize, Serialize};

use super::{Plan, Regularisation};

/// A survey of a layer with all that is needed to do it again: the journals of its shards keep it,
/// since whoever merges them reads model and images once more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SurveyRequest {
    /// The model's file.
    pub model: PathBuf,
    /// Which of the file's inputs is the image, and what else has to be said about it.
    #[serde(default)]
    pub interface: Interface,
    /// What happens to an image before the network sees it.
    pub preprocess: Preprocess,
    /// The images.
    pub images: ImageRequest,
    /// The layer, by the name of its ONNX value.
    pub layer: String,
    /// What is shown and studied.
    pub plan: Plan,
    /// How images that excite units are synthesised; `None` if none are.
    pub synthesis: Option<Regularisation>,
}
