//! Images as they were asked for: all that is needed to find the same ones again.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::columns::SchemaSource;
use crate::decode::Fit;

/// Which images, and how they are made fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRequest {
    /// The specification of the set, as [`DataSpec`](crate::DataSpec) reads it.
    pub data: String,
    /// How images are resized and cropped; `None` to take them as they are, or as a model takes them.
    pub fit: Option<Fit>,
    /// Whether images that can't be read are left out; an error otherwise.
    pub skip_broken: bool,
    /// The file of the classes' names, that of class 0 first.
    pub classes: Option<PathBuf>,
    /// What the columns of a table are; `None` to take all for numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<SchemaSource>,
    /// Which images of the set; `None` for all.
    pub choice: Option<Choice>,
}

/// Some images of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// How many images, at least 1; all if there are fewer.
    pub count: usize,
    /// The seed of a random choice; `None` for the first images.
    pub seed: Option<u64>,
}
