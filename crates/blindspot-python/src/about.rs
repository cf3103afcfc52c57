//! Where a result comes from, as its record says it.

use std::collections::BTreeMap;

use blindspot::Model;
use blindspot::inputs::Inputs;
use blindspot::provenance::{Provenance, selection_sha256};
use pyo3::prelude::*;

use crate::images::Given;

/// What Python knows of a result's images and versions.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct About {
    pub(crate) data: String,
    pub(crate) hashes: BTreeMap<String, String>,
    /// Where only images that the model gets right were asked for: of how many.
    right_of: Option<usize>,
    pub(crate) answers_as_labels: bool,
    versions: BTreeMap<String, String>,
}

impl About {
    /// The origin of a result of a model, one of our own if it is given, and of images that were chosen.
    pub(crate) fn provenance(self, model: Option<&Model>, selection_sha256: &str) -> Provenance {
        let preprocess = model.map(|model| model.preprocess().clone());
        let model_sha256 = model.map(|model| model.sha256().to_owned());
        Provenance {
            preprocess: preprocess.unwrap_or_default(),
            data: self.data,
            data_sha256: self.hashes,
            selection_sha256: selection_sha256.to_owned(),
            right_of: self.right_of,
            model_sha256: model_sha256.unwrap_or_default(),
            versions: self.versions,
        }
    }
}

/// Which images of their set these are, as a record says it.
pub(crate) fn selection(images: &Given<'_>) -> String {
    let indices: Vec<usize> = (0..images.len()).map(|at| images.index(at)).collect();
    selection_sha256(&indices)
}
