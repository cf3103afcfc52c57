//! Table 1 (section 4.2): errors of six models, and the distortion that brings their accuracy to 0.

use blindspot::classify::error;
use blindspot::inputs::InputError;
use blindspot::transfer::Distortion;
use blindspot_report::{Cell, Table};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Experiment, MODELS, Needs, note};
use crate::reproduce::Replication;

/// Table 1.
pub static EXPERIMENT: Experiment = Experiment {
    name: "table1",
    summary: "errors of six models, and the smallest distortion that fools them",
    needs: Needs::examples_of(&MODELS),
    run: |run, results, _| {
        results.table1 = Some(rows(run)?);
        Ok(())
    },
    tables: |results| {
        let rows = results.table1.iter();
        rows.map(|rows| ("table1", table(rows, results.quick)))
            .collect()
    },
    ..Experiment::NOTHING
};

/// One row of table 1.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct Table1Row {
    /// The model's name.
    pub model: String,
    /// Error on the 60,000 training images, a fraction.
    pub train_error: f64,
    /// Error on the 10,000 test images, a fraction.
    pub test_error: f64,
    /// Mean over the images of the distortion; images already misclassified count as 0.
    pub distortion_mean: f64,
    /// Root mean square of the perturbation over all pixels of all images.
    pub distortion_pooled: f64,
    /// Median over the images of the distortion.
    pub distortion_median: f64,
    /// Mean L2 norm of the perturbation.
    pub l2_mean: f64,
    /// Images distorted.
    pub samples: u64,
    /// Of these, images that the model misclassifies undistorted (distortion 0).
    #[serde(rename = "already_wrong")]
    pub already_misclassified: u64,
    /// Fraction of the images for which the model answers the target in the end.
    pub success: f64,
}

fn rows(run: &Replication<'_>) -> Result<Vec<Table1Row>, InputError> {
    let (train_labels, test_labels) = run.labels();
    let row = |&name: &&str| {
        let network = &run.model(name).network;
        let examples = run.examples(name);
        let Some(distortion) = Distortion::of_examples(examples) else {
            return Ok(None);
        };
        let successes = examples.iter().filter(|example| example.success).count();
        let misclassified = examples
            .iter()
            .filter(|example| example.already_misclassified)
            .count();
        Ok(Some(Table1Row {
            model: name.to_owned(),
            train_error: error(network, run.train(), train_labels)?,
            test_error: error(network, run.test(), test_labels)?,
            distortion_mean: distortion.mean,
            distortion_pooled: distortion.pooled,
            distortion_median: distortion.median,
            l2_mean: distortion.l2_mean,
            samples: examples.len() as u64,
            already_misclassified: misclassified as u64,
            success: successes as f64 / examples.len() as f64,
        }))
    };
    // A model without examples has no row.
    MODELS
        .iter()
        .filter_map(|name| row(name).transpose())
        .collect()
}

fn table(rows: &[Table1Row], quick: bool) -> Table {
    let heads = [
        "model",
        "train error",
        "test error",
        "distortion",
        "mean",
        "median",
        "L2 norm",
        "success",
        "samples",
    ];
    let row = |row: &Table1Row| {
        let paper = TABLE1.iter().find(|entry| entry.model == row.model);
        vec![
            Cell::Text(row.model.clone()),
            Cell::Rate(row.train_error, paper.map(|paper| paper.train_error)),
            Cell::Rate(row.test_error, paper.map(|paper| paper.test_error)),
            Cell::Size(row.distortion_pooled, paper.map(|paper| paper.distortion)),
            Cell::Size(row.distortion_mean, None),
            Cell::Size(row.distortion_median, None),
            Cell::Size(row.l2_mean, None),
            Cell::Rate(row.success, None),
            Cell::Count(row.samples),
        ]
    };
    Table {
        title: "Table 1: errors, and the smallest distortion that brings the accuracy to 0".into(),
        note: note(
            quick,
            "The paper beside it. Distortion: root mean square of the change over all pixels of \
             all images distorted, random wrong targets; mean, median and L2 norm: over the \
             images. Images already wrong count as 0.",
        ),
        heads: heads.map(str::to_owned).to_vec(),
        rows: rows.iter().map(row).collect(),
    }
}

/// The paper's row of table 1: a model trained on MNIST, and the distortion that fools it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table1Entry {
    /// The model's name in the results.
    pub model: &'static str,
    /// What the model is.
    pub description: &'static str,
    /// Weight decay of each layer.
    pub decay: &'static [f64],
    /// Error on the 60,000 training images.
    pub train_error: f64,
    /// Error on the 10,000 test images.
    pub test_error: f64,
    /// Average minimum distortion that brings the accuracy on the training set to 0.
    pub distortion: f64,
}

/// Table 1 of the paper: "Tests of the generalization of adversarial instances on MNIST".
pub const TABLE1: [Table1Entry; 6] = [
    Table1Entry {
        model: MODELS[0],
        description: "linear softmax, FC10(1e-4)",
        decay: &[1e-4],
        train_error: 0.067,
        test_error: 0.074,
        distortion: 0.062,
    },
    Table1Entry {
        model: MODELS[1],
        description: "linear softmax, FC10(1e-2)",
        decay: &[1e-2],
        train_error: 0.1,
        test_error: 0.094,
        distortion: 0.1,
    },
    Table1Entry {
        model: MODELS[2],
        description: "linear softmax, FC10(1)",
        decay: &[1.0],
        train_error: 0.212,
        test_error: 0.2,
        distortion: 0.14,
    },
    Table1Entry {
        model: MODELS[3],
        description: "two sigmoid layers of 100",
        decay: &[1e-5, 1e-5, 1e-6],
        train_error: 0.0,
        test_error: 0.0164,
        distortion: 0.058,
    },
    Table1Entry {
        model: MODELS[4],
        description: "two sigmoid layers of 200",
        decay: &[1e-5, 1e-5, 1e-6],
        train_error: 0.0,
        test_error: 0.0154,
        distortion: 0.065,
    },
    Table1Entry {
        model: MODELS[5],
        description: "sparse autoencoder of 400, softmax on top",
        decay: &[1e-6],
        train_error: 0.0057,
        test_error: 0.019,
        distortion: 0.086,
    },
];
