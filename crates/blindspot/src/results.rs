//! What a replication leaves behind: the content of `results.json`, and the pictures for people.
//!
//! Errors and rates are fractions in [0, 1]; distortions are root mean squares of the change of an
//! input value (images in [0, 1]). Nothing here depends on the clock: the same seed, options and
//! program give the same file, byte for byte.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::spectrum::Spectra;

/// The content of `results.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// True where the run was a quick look (few iterations, few images): no figure of it may be
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
    /// Table 1, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table1: Option<Vec<Table1Row>>,
    /// Table 2, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table2: Option<TransferTable>,
    /// Table 3, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table3: Option<Vec<Table3Row>>,
    /// Table 4, where it was asked for: after the paper's rows those of the other reading of its
    /// amplification, `M1 each x0.1` and so on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table4: Option<TransferTable>,
    /// P1 of tables 3 and 4: the training images of that half by their positions, separated by
    /// commas. P2 are the others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub p1: Option<String>,
    /// Figure 7, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure7: Option<Figure7>,
    /// Table 5, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub table5: Option<Table5>,
}

/// Table 5: the frame bounds of each layer of some networks.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Table5 {
    /// AlexNet first.
    pub networks: Vec<Table5Network>,
}

/// One network of table 5.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Table5Network {
    /// `AlexNet`, or the name of one of the run's models.
    pub name: String,
    /// Where its weights come from, in words.
    pub weights: String,
    /// The bounds.
    #[serde(flatten)]
    pub spectra: Spectra,
}

/// One trained network of a replication.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct ModelRecord {
    /// The name in the tables: `softmax1`, `FC100-100-10`, ...
    pub name: String,
    /// The ONNX file, relative to the output folder.
    pub file: String,
    /// SHA-256 of the ONNX file.
    pub sha256: String,
    /// Weight decay by layer, as in table 1.
    pub decay: Vec<f64>,
    /// L-BFGS iterations run.
    pub iterations: u64,
    /// Why training stopped, in words.
    pub stopped: String,
    /// The final training loss, decay included.
    pub loss: f64,
}

/// One row of table 1.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Table1Row {
    /// The model's name.
    pub model: String,
    /// Error on the 60,000 training images, a fraction.
    pub train_error: f64,
    /// Error on the 10,000 test images, a fraction.
    pub test_error: f64,
    /// Mean over the images of the distortion; images already wrong count as 0.
    pub distortion_mean: f64,
    /// Root mean square of the change over all pixels of all images.
    pub distortion_pooled: f64,
    /// Median over the images of the distortion.
    pub distortion_median: f64,
    /// Mean L2 norm of the change.
    pub l2_mean: f64,
    /// Images distorted.
    pub samples: u64,
    /// Of these, images that the model gets wrong undistorted (distortion 0).
    pub already_wrong: u64,
    /// Fraction of the images for which the model answers the target in the end.
    pub success: f64,
}

/// One row of table 3: a model trained on one half of the training set, P1 or P2.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Table3Row {
    /// `M1`, `M2` or `M3`.
    pub model: String,
    /// Error on P1, a fraction.
    pub error_p1: f64,
    /// Error on P2, a fraction.
    pub error_p2: f64,
    /// Error on the 10,000 test images, a fraction.
    pub error_test: f64,
    /// Mean over the test images distorted of the distortion; images already wrong count as 0.
    pub distortion_mean: f64,
    /// Root mean square of the change over all pixels of all these images.
    pub distortion_pooled: f64,
    /// Test images distorted.
    pub samples: u64,
    /// Of these, images that the model gets wrong undistorted.
    pub already_wrong: u64,
    /// Fraction of the images for which the model answers the target in the end.
    pub success: f64,
}

/// Table 2 and its like: examples made for the rows' models, errors of the columns' models.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct TransferTable {
    /// Names of the rows: models whose examples these are, then `noise 0.1` and the like.
    pub rows: Vec<String>,
    /// Names of the columns' models.
    pub columns: Vec<String>,
    /// `error[row][column]`, fractions.
    pub error: Vec<Vec<f64>>,
    /// Mean distortion of each row's images.
    pub distortion_mean: Vec<f64>,
    /// Pooled distortion of each row's images.
    pub distortion_pooled: Vec<f64>,
    /// Images in each row.
    pub samples: Vec<u64>,
}

/// Figure 7: originals beside what fools the network.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Figure7 {
    /// The panels (a), (b) and (c) in order.
    pub panels: Vec<Figure7Panel>,
}

/// One panel of figure 7.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Figure7Panel {
    /// `a`, `b` or `c`.
    pub panel: String,
    /// The model that answers.
    pub model: String,
    /// What was done to the images: `adversarial` or `gaussian noise`.
    pub change: String,
    /// Pooled distortion of the images shown.
    pub distortion_pooled: f64,
    /// Fraction of the changed images that the model still gets right: of those shown for the
    /// adversarial panels, of the whole test set for the noise.
    pub accuracy: f64,
    /// Positions in the data set of the images shown.
    pub images: Vec<u64>,
}

/// An image for people to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Values in a channel-first layout, 1 or 3 channels; shown as 0 = black, 1 = full, clamped.
    pub values: Vec<f32>,
}

/// An original beside its adversarial image.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The image as it is in the data set.
    pub original: Picture,
    /// The image after the change, unclipped.
    pub changed: Picture,
    /// The true label.
    pub label: usize,
    /// What the model answers to the original.
    pub before: usize,
    /// What the model answers to the changed image.
    pub after: usize,
    /// Root mean square of the change.
    pub distortion: f64,
}

/// Everything of a run that is looked at rather than read.
#[derive(Debug, Clone, Default)]
pub struct Pictures {
    /// The panels of figure 7, in the order of [`Figure7::panels`].
    pub figure7: Vec<Vec<Pair>>,
    /// For each model, by its name: some of its examples.
    pub examples: Vec<(String, Vec<Pair>)>,
    /// For each model, by its name: the distortion of each image.
    pub distortions: Vec<(String, Vec<f64>)>,
    /// For models with filters to look at (the autoencoder), by name: weights of each hidden unit,
    /// any range (the renderer scales).
    pub filters: Vec<(String, Vec<Picture>)>,
}
