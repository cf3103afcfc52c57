//! What a replication leaves behind: the content of `results.json`, and the pictures for people.
//!
//! Errors and rates are fractions in [0, 1]; distortions are root mean squares of the perturbation of
//! an input value (images in [0, 1]). Nothing here depends on the clock: the same seed, options and
//! program give the same file, byte for byte. What one experiment leaves is described in its file in
//! [`experiments`](crate::experiments).

use std::collections::BTreeMap;

use blindspot::picture::Picture;
use blindspot::units::{PictureRow, Study};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::experiments::excitation::UnitsFigure;
use crate::experiments::figure5::Figure5;
use crate::experiments::figure6::QuocNet;
use crate::experiments::figure7::Figure7;
use crate::experiments::hardening::HardeningRow;
use crate::experiments::pictures::Pair;
use crate::experiments::table1::Table1Row;
use crate::experiments::table3::Table3Row;
use crate::experiments::table5::Table5;
use crate::experiments::transfer::TransferTable;

/// The content of `results.json`. What was not asked for is `None`, and not in the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    /// Whether the run was a quick look (few iterations, few images): no figure of it may be
    /// held against the paper, and every table says so.
    pub quick: bool,
    /// The seed that every random choice of the run comes from.
    pub seed: u64,
    /// The options of the run as given or defaulted, by name.
    pub options: BTreeMap<String, serde_json::Value>,
    /// Versions of the program and its crates, by name.
    pub versions: BTreeMap<String, String>,
    /// SHA-256 of each data file used (unpacked), by name.
    pub data: BTreeMap<String, String>,
    /// The trained networks, in the order of the tables.
    pub models: Vec<ModelRecord>,
    /// Figure 1: units of the convolutional network.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure1: Option<UnitsFigure>,
    /// Figure 2: random directions of the convolutional network.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure2: Option<UnitsFigure>,
    /// With figures 1 and 2: whether the units of that layer mean more than random directions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub units: Option<Study>,
    /// Figure 3: units of a network of the user's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure3: Option<UnitsFigure>,
    /// Figure 4: random directions of a network of the user's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure4: Option<UnitsFigure>,
    /// With figures 3 and 4: whether the units of that layer mean more than random directions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub units_own: Option<Study>,
    /// Table 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table1: Option<Vec<Table1Row>>,
    /// Table 2.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table2: Option<TransferTable>,
    /// Table 3.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table3: Option<Vec<Table3Row>>,
    /// Table 4: after the paper's rows those of the other reading of its amplification,
    /// `M1 each x0.1` and so on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table4: Option<TransferTable>,
    /// P1 of tables 3 and 4: the training images of that half by their positions, separated by
    /// commas. P2 are the others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub p1: Option<String>,
    /// Figure 5.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure5: Option<Figure5>,
    /// Figure 6.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quocnet: Option<QuocNet>,
    /// Hardening: by the name of each way to train, `a` to `f`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hardening: Option<BTreeMap<String, HardeningRow>>,
    /// Figure 7.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure7: Option<Figure7>,
    /// Table 5.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table5: Option<Table5>,
}

/// One trained network of a replication.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct ModelRecord {
    /// The name in the tables: `softmax1`, `FC100-100-10`, ...
    pub name: String,
    /// The ONNX file, relative to the output folder.
    pub file: String,
    /// SHA-256 of the ONNX file.
    pub sha256: String,
    /// Weight decay by layer, as in table 1.
    pub decay: Vec<f64>,
    /// L-BFGS iterations run; steps, of mini-batches.
    pub iterations: u64,
    /// Why training stopped, for people.
    pub stopped: String,
    /// The final training loss, decay included.
    pub loss: f64,
}

/// Everything of a run that is looked at rather than read.
#[derive(Debug, Clone, Default)]
pub struct Pictures {
    /// Figures 1 to 4, by name: a row of pictures for each unit or direction.
    pub units: Vec<(String, Vec<PictureRow>)>,
    /// The images of figure 5, in the order of [`Figure5::images`].
    pub figure5: Vec<Pair>,
    /// Figure 6: images of the class, then others.
    pub figure6: [Vec<Pair>; 2],
    /// The panels of figure 7, in the order of [`Figure7::panels`].
    pub figure7: Vec<Vec<Pair>>,
    /// For each model, by its name: some of its examples.
    pub examples: Vec<(String, Vec<Pair>)>,
    /// For each model, by its name: the distortion of each image.
    pub distortions: Vec<(String, Vec<f64>)>,
    /// For models with filters to look at (the autoencoder, QuocNet), by name: weights of each hidden
    /// unit, any range (the renderer scales).
    pub filters: Vec<(String, Vec<Picture>)>,
}
