//! What a result comes from, as its file and its journal say it.

use std::collections::BTreeMap;

use blindspot_data::{ImageSet, files};
use blindspot_model::Model;
use blindspot_model::preprocess::Preprocess;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The model, the images and the program that a result comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// What was put between image and network.
    #[serde(default)]
    pub preprocess: Preprocess,
    /// The image set, as it was named.
    pub data: String,
    /// SHA-256 of each data file (unpacked), by name.
    pub data_sha256: BTreeMap<String, String>,
    /// SHA-256 of the places of the images in their set, each a u64, little-endian: which were chosen, and in
    /// which order. Empty where it is not known, in files of earlier versions.
    #[serde(default)]
    pub selection_sha256: String,
    /// Where only images that the model gets right as they are were asked for: of how many these are all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right_of: Option<usize>,
    /// SHA-256 of the model's file.
    pub model_sha256: String,
    /// Versions of the program, by name.
    pub versions: BTreeMap<String, String>,
}

impl Provenance {
    /// Of a result of this version from a model and images, which are named `data`.
    pub fn of(model: &Model, images: &ImageSet, data: &str) -> Provenance {
        Provenance {
            preprocess: model.preprocess().clone(),
            data: data.to_owned(),
            data_sha256: images.hashes().iter().cloned().collect(),
            selection_sha256: selection_sha256(images.indices()),
            right_of: None,
            model_sha256: model.sha256().to_owned(),
            versions: versions(),
        }
    }
}

/// SHA-256 of places in a set, each a u64, little-endian.
pub fn selection_sha256(indices: &[usize]) -> String {
    let places = indices.iter().map(|&place| place as u64);
    let bytes: Vec<u8> = places.flat_map(u64::to_le_bytes).collect();
    files::sha256_hex(&bytes)
}

/// This version of the program.
pub fn versions() -> BTreeMap<String, String> {
    BTreeMap::from([("blindspot".into(), env!("CARGO_PKG_VERSION").into())])
}
