//! What a replication leaves behind: the content of `results.json`, and the pictures for people.
//!
//! Errors and rates are fractions in [0, 1]; distortions are root mean squares of the change of an
//! input value (images in [0, 1]). Nothing here depends on the clock: the same seed, options and
//! program give the same file, byte for byte.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::quocnet::{Cost, Judgement, Plan, StageRecord};
use blindspot::picture::Picture;
use blindspot::spectrum::Spectra;
use blindspot::units::{PictureRow, Study};

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
    /// Figure 1, where it was asked for: units.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure1: Option<UnitsFigure>,
    /// Figure 2, where it was asked for: random directions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure2: Option<UnitsFigure>,
    /// With either: whether the units of that layer mean more than random directions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub units: Option<Study>,
    /// Figure 3, where it was asked for: units of a network that was brought.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure3: Option<UnitsFigure>,
    /// Figure 4, where it was asked for: random directions there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure4: Option<UnitsFigure>,
    /// With either: whether the units of that layer mean more than random directions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub units_own: Option<Study>,
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
    /// Figure 5, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub figure5: Option<Figure5>,
    /// Figure 6, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub quocnet: Option<QuocNet>,
    /// Hardening, where it was asked for: by the name of each way to train, `a` to `f`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hardening: Option<BTreeMap<String, HardeningRow>>,
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
    /// L-BFGS iterations run; steps, of mini-batches.
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

/// FC100-100-10 trained from several seeds in one way (section 4.2, hardening).
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct HardeningRow {
    /// The way, in words.
    pub training: String,
    /// Mean over the seeds of the error on the test images, a fraction.
    pub test_error_mean: f64,
    /// Its standard deviation over the seeds (n - 1 in the divisor); 0 of one seed.
    pub test_error_std: f64,
    /// The error of each seed.
    pub test_errors: Vec<f64>,
    /// Mean over the seeds of the error on the training images, a fraction.
    pub train_error_mean: f64,
    /// Mean over seeds and images of the distortion needed afterwards; images already wrong count
    /// as 0.
    pub distortion_mean: f64,
    /// Mean over the seeds of the root mean square of the change over all pixels of all images.
    pub distortion_pooled: f64,
    /// Images distorted, for each seed.
    pub samples: u64,
    /// Fraction of the images, of all seeds, for which the network answers the target in the end.
    pub success: f64,
    /// Examples that were made for the pools, all seeds and layers.
    pub pool_made: u64,
    /// Searches for the pools that found nothing; nothing of them entered.
    pub pool_failed: u64,
    /// How many seeds.
    pub seeds: u64,
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

/// Figures 1 to 4: the images that excite units or random directions the most.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct UnitsFigure {
    /// The model's name.
    pub model: String,
    /// The layer, by the name of its ONNX value.
    pub layer: String,
    /// How many images were looked at.
    pub images: u64,
    /// The rows from top to bottom.
    pub rows: Vec<UnitsRow>,
}

/// The images of one unit or direction.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct UnitsRow {
    /// The unit, in figures 1 and 3.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<u64>,
    /// The direction, of length 1 over the layer's units, in figures 2 and 4.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub direction: Option<Vec<f32>>,
    /// Places of the images in the set, that with the largest projection first.
    pub top: Vec<u64>,
    /// Their projections.
    pub activation: Vec<f32>,
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

/// Figure 5: examples for a network trained on photographs, random targets.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Figure5 {
    /// The network's file.
    pub model: String,
    /// Its SHA-256.
    pub sha256: String,
    /// The image set, as it is called.
    pub data: String,
    /// Images distorted, each classified correctly before.
    pub samples: u64,
    /// Fraction of the images for which the network answers the target in the end.
    pub success: f64,
    /// Mean of the images' distortions.
    pub distortion_mean: f64,
    /// Fraction for which it does so to the image as an 8-bit file holds it.
    pub success_8bit: f64,
    /// Fraction for which rounding to 8 bits kept the success by itself; the others were searched
    /// for again among the images that such files hold.
    pub rounded: f64,
    /// Mean of the distortions as 8-bit files hold the images.
    pub distortion_8bit_mean: f64,
    /// Each image.
    pub images: Vec<Figure5Image>,
}

/// One image of figure 5.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Figure5Image {
    /// Position in the data set.
    pub index: u64,
    /// Its file, relative to the set's folder, where it has one.
    pub file: Option<String>,
    /// The true class.
    pub label: usize,
    /// Its name; its number where it has none.
    pub label_name: String,
    /// The class that the network was to answer.
    pub target: usize,
    /// Its name.
    pub target_name: String,
    /// Whether it answers the target.
    pub success: bool,
    /// Root mean square of the change.
    pub distortion: f64,
    /// Whether it answers the target to the image as an 8-bit file holds it.
    pub success_8bit: bool,
    /// Whether rounding was enough for that.
    pub rounded: bool,
    /// Root mean square of that image's change.
    pub distortion_8bit: f64,
}

/// Figure 6: a classifier of one class on features learned without labels.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct QuocNet {
    /// The image set, as it is called.
    pub data: String,
    /// The class that is told from the rest.
    pub class: String,
    /// Images that features and classifiers were learned from.
    pub images: u64,
    /// Images that they were tried on.
    pub tested: u64,
    /// The features of the last stage.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// The same of `random weights`, of the `first weights` that training began with, of `one stage`, of
    /// `no contrast normalisation` and of `raw pixels`.
    pub controls: BTreeMap<String, Judgement>,
    /// How each stage's training went.
    pub stages: Vec<StageRecord>,
    /// What was trained and how.
    pub plan: Plan,
    /// SHA-256 of the classifier's file.
    pub sha256: String,
    /// Fraction of the class's images that are not recognised after the change.
    pub fooled: f64,
    /// Mean of their distortions.
    pub distortion_mean: f64,
    /// Images of the class that are not recognised any more.
    pub away: QuocNetDirection,
    /// Other images that are taken for it.
    pub towards: QuocNetDirection,
    /// What this size costs, and larger ones up to the paper's.
    pub costs: Vec<Cost>,
}

/// Images changed for the classifier of figure 6 in one direction, each right before.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct QuocNetDirection {
    /// Images changed.
    pub samples: u64,
    /// Fraction that it answers wrong after the change.
    pub fooled: f64,
    /// Mean of the distortions.
    pub distortion_mean: f64,
    /// Of these images, those that a network trained from another seed gets right as they are.
    pub other_samples: u64,
    /// The fraction of those that it gets wrong after the change.
    pub other_fooled: f64,
    /// Positions of the images in the set.
    pub images: Vec<u64>,
    /// The distortion of each.
    pub distortions: Vec<f64>,
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
    /// Figures 1 and 2, by name: a row of pictures for each unit or direction.
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
    /// For models with filters to look at (the autoencoder), by name: weights of each hidden unit,
    /// any range (the renderer scales).
    pub filters: Vec<(String, Vec<Picture>)>,
}
