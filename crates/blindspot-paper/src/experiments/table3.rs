//! Table 3 (section 4.2): three models trained on disjoint halves of the training set.

use blindspot::classify::error;
use blindspot::inputs::InputError;
use blindspot::search::Example;
use blindspot::transfer::Distortion;
use blindspot_data::ImageSet;
use blindspot_report::{Cell, Table};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Experiment, Needs, note};
use crate::reproduce::Replication;

/// Table 3.
pub static EXPERIMENT: Experiment = Experiment {
    name: "table3",
    summary: "three models trained on halves of the training set",
    needs: Needs::examples_of(&HALVED),
    run: |run, results, _| {
        results.table3 = Some(rows(run)?);
        results.p1 = Some(run.first_half());
        Ok(())
    },
    tables: |results| {
        let rows = results.table3.iter();
        rows.map(|rows| ("table3", table(rows, results.quick)))
            .collect()
    },
    ..Experiment::NOTHING
};

/// The models of tables 3 and 4.
pub const HALVED: [&str; 3] = ["M1", "M2", "M3"];

/// One row of table 3: a model trained on one half of the training set, P1 or P2.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct Table3Row {
    /// `M1`, `M2` or `M3`.
    pub model: String,
    /// Error on P1, a fraction.
    pub error_p1: f64,
    /// Error on P2, a fraction.
    pub error_p2: f64,
    /// Error on the 10,000 test images, a fraction.
    pub error_test: f64,
    /// Mean of the distortion over the test images distorted; images already misclassified count as 0.
    pub distortion_mean: f64,
    /// Root mean square of the perturbation over all pixels of all these images.
    pub distortion_pooled: f64,
    /// Test images distorted.
    pub samples: u64,
    /// Of these, images that the model misclassifies undistorted.
    #[serde(rename = "already_wrong")]
    pub already_misclassified: u64,
    /// Fraction of the images for which the model answers the target in the end.
    pub success: f64,
}

fn rows(run: &Replication<'_>) -> Result<Vec<Table3Row>, InputError> {
    let (_, test_labels) = run.labels();
    let row = |name: &&str| {
        let network = &run.model(name).network;
        let error_of = |half: &ImageSet| error(network, half, half.labels().unwrap_or_default());
        let [p1, p2] = run.halves();
        let examples = run.examples(name);
        let Some(distortion) = Distortion::of_examples(examples) else {
            return Ok(None);
        };
        let count = |condition: &dyn Fn(&Example) -> bool| {
            examples.iter().filter(|example| condition(example)).count()
        };
        Ok(Some(Table3Row {
            model: (*name).to_owned(),
            error_p1: error_of(p1)?,
            error_p2: error_of(p2)?,
            error_test: error(network, run.test(), test_labels)?,
            distortion_mean: distortion.mean,
            distortion_pooled: distortion.pooled,
            samples: examples.len() as u64,
            already_misclassified: count(&|example| example.already_misclassified) as u64,
            success: count(&|example| example.success) as f64 / examples.len() as f64,
        }))
    };
    // A model without examples has no row.
    HALVED
        .iter()
        .filter_map(|name| row(name).transpose())
        .collect()
}

fn table(rows: &[Table3Row], quick: bool) -> Table {
    let heads = [
        "model",
        "trained on",
        "error on P1",
        "error on P2",
        "test error",
        "distortion",
        "mean",
        "success",
        "samples",
    ];
    let row = |row: &Table3Row| {
        let paper = TABLE3.iter().find(|entry| entry.model == row.model);
        vec![
            Cell::Text(row.model.clone()),
            Cell::Text(paper.map_or(String::new(), |paper| paper.description.to_owned())),
            Cell::Rate(row.error_p1, paper.map(|paper| paper.error_p1)),
            Cell::Rate(row.error_p2, paper.map(|paper| paper.error_p2)),
            Cell::Rate(row.error_test, paper.map(|paper| paper.test_error)),
            Cell::Size(row.distortion_pooled, paper.map(|paper| paper.distortion)),
            Cell::Size(row.distortion_mean, None),
            Cell::Rate(row.success, None),
            Cell::Count(row.samples),
        ]
    };
    Table {
        title: "Table 3: models trained on disjoint halves of the training set".into(),
        note: note(
            quick,
            "The paper beside it. P1 and P2: 30,000 training images each. Distortion: of test \
             images, as in table 1.",
        ),
        heads: heads.map(str::to_owned).to_vec(),
        rows: rows.iter().map(row).collect(),
    }
}

/// The paper's row of table 3: a model trained on one half of the training set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table3Entry {
    /// The model's name in the results.
    pub model: &'static str,
    /// Its layers, and the half that it was trained on.
    pub description: &'static str,
    /// Error on P1, the first half of the training set.
    pub error_p1: f64,
    /// Error on P2, the other half.
    pub error_p2: f64,
    /// Error on the 10,000 test images.
    pub test_error: f64,
    /// Average minimum distortion.
    pub distortion: f64,
}

/// Table 3 of the paper: "Models trained to study cross-training-set generalization". P1 and P2 are
/// the two halves, 30,000 images each, of the training set.
pub const TABLE3: [Table3Entry; 3] = [
    Table3Entry {
        model: HALVED[0],
        description: "FC100-100-10 trained on P1",
        error_p1: 0.0,
        error_p2: 0.024,
        test_error: 0.02,
        distortion: 0.062,
    },
    Table3Entry {
        model: HALVED[1],
        description: "FC123-456-10 trained on P1",
        error_p1: 0.0,
        error_p2: 0.025,
        test_error: 0.021,
        distortion: 0.059,
    },
    Table3Entry {
        model: HALVED[2],
        description: "FC100-100-10 trained on P2",
        error_p1: 0.023,
        error_p2: 0.0,
        test_error: 0.021,
        distortion: 0.058,
    },
];
