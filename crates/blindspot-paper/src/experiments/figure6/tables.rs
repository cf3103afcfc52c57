//! Tables of figure 6: what the features are worth, how they were learned, what sizes cost.

use blindspot_report::{Cell, Table};

use super::super::note;
use super::QuocNet;
use crate::quocnet::{Cost, Evaluation, StageRecord};

/// The features of the last stage beside the controls.
pub(super) fn features_table(results: &QuocNet, quick: bool) -> Table {
    let heads = [
        "features",
        "number",
        "average precision",
        "balanced",
        "balanced accuracy",
        "accuracy",
        "best neuron",
    ];
    let row = |(name, evaluation): (&str, &Evaluation)| {
        vec![
            Cell::Text(name.to_owned()),
            Cell::Count(evaluation.features),
            Cell::Rate(evaluation.average_precision, None),
            Cell::Rate(evaluation.average_precision_balanced, None),
            Cell::Rate(evaluation.balanced_accuracy, None),
            Cell::Rate(evaluation.accuracy, None),
            Cell::Rate(evaluation.best_neuron_accuracy, None),
        ]
    };
    let own = std::iter::once(("QuocNet, all stages", &results.evaluation));
    let controls = results.controls.iter();
    let all = own.chain(controls.map(|(name, evaluation)| (name.as_str(), evaluation)));
    let QuocNet {
        class,
        images,
        tested,
        ..
    } = results;
    let method = format!(
        "`{class}` against the rest by logistic regression, learned from {images} images, tried on \
         {tested} others; average precision and accuracy of all of these, balanced with as many others \
         as there are of the class. The best neuron: one feature alone, its threshold and itself chosen \
         on the former images; balanced accuracy."
    );
    Table {
        title: "QuocNet: what features are worth that were learned without labels".into(),
        note: note(quick, &method),
        heads: heads.map(str::to_owned).to_vec(),
        rows: all.map(row).collect(),
    }
}

/// How each stage was trained.
pub(super) fn stages_table(results: &QuocNet, quick: bool) -> Table {
    let heads = [
        "stage",
        "positions",
        "numbers in a field",
        "maps",
        "weights",
        "steps",
        "error before",
        "error",
        "principal components",
    ];
    let row = |(i, stage): (usize, &StageRecord)| {
        vec![
            Cell::Count(i as u64 + 1),
            Cell::Text(format!("{}x{}", stage.grid[0], stage.grid[1])),
            Cell::Count(stage.field_len as u64),
            Cell::Count(stage.maps as u64),
            Cell::Count(stage.weights),
            Cell::Count(stage.steps),
            Cell::Rate(stage.error_before, None),
            Cell::Rate(stage.error, None),
            Cell::Rate(stage.error_pca, None),
        ]
    };
    let method = "Error: of the reconstruction of images held out, squared, as a part of their sum of \
                  squares. Principal components: what they leave of each field, as many as there are \
                  maps, chosen for this error alone and for single fields.";
    Table {
        title: "QuocNet: how the stages put images together again".into(),
        note: note(quick, method),
        heads: heads.map(str::to_owned).to_vec(),
        rows: results.stages.iter().enumerate().map(row).collect(),
    }
}

/// What sizes cost, up to the paper's.
pub fn costs_table(costs: &[Cost]) -> Table {
    let heads = [
        "images",
        "fields",
        "maps",
        "weights",
        "trained",
        "memory, GB",
        "forward, GFLOP",
        "training, GFLOP",
    ];
    let row = |cost: &Cost| {
        vec![
            Cell::Text(format!("{0}x{0}", cost.input)),
            Cell::Text(format!("{0}x{0}", cost.field)),
            Cell::Count(cost.maps),
            Cell::Count(cost.weights),
            Cell::Count(cost.trained),
            Cell::Figure(Some(cost.training_bytes as f64 / 1e9), None),
            Cell::Figure(Some(cost.forward / 1e9), None),
            Cell::Figure(Some(cost.training / 1e9), None),
        ]
    };
    Table {
        title: "QuocNet: what a size costs".into(),
        note: "Fields and maps of the first stage. Trained: with the weights that put images together \
               again. Memory: of training, a stage at a time, in single precision. Floating-point \
               operations of one image."
            .into(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: costs.iter().map(row).collect(),
    }
}
