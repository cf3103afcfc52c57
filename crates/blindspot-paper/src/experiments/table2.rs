//! Table 2 (section 4.2): each model's examples, and noise, on every model.

use blindspot::transfer::SavedError;

use super::transfer::{self, TransferEntries, TransferTable, adversarial, noisy};
use super::{Experiment, MODELS, Needs, note};
use crate::reproduce::Replication;

/// Table 2.
pub static EXPERIMENT: Experiment = Experiment {
    name: "table2",
    summary: "each model's examples on every model, and noise",
    needs: Needs::examples_of(&MODELS),
    run: |run, results, _| {
        results.table2 = Some(errors(run)?);
        Ok(())
    },
    tables: |results| {
        let text = "The paper beside it. Training images; the noise is Gaussian, by its standard \
                    deviation.";
        let table = |ours| transfer::table(TITLE, note(results.quick, text), ours, &TABLE2);
        let ours = results.table2.iter();
        ours.map(|ours| ("table2", table(ours))).collect()
    },
    ..Experiment::NOTHING
};

const TITLE: &str =
    "Table 2: errors of the columns' models on images distorted for the rows' models";

/// Standard deviations of the noise.
const NOISE: [f64; 2] = [0.1, 0.3];

fn errors(run: &Replication<'_>) -> Result<TransferTable, SavedError> {
    let examples = MODELS.iter().map(|name| adversarial(name));
    let noise = NOISE.map(|deviation| noisy(run, MODELS[0], deviation));
    transfer::errors(run, &MODELS, examples.chain(noise).collect())
}

/// Table 2 of the paper: "Cross-model generalization of adversarial examples", made of the training
/// set.
pub const TABLE2: TransferEntries = TransferEntries {
    columns: &MODELS,
    others: &["noise 0.1", "noise 0.3"],
    error: &[
        &[1.0, 0.117, 0.227, 0.02, 0.039, 0.027],
        &[0.871, 1.0, 0.352, 0.359, 0.273, 0.098],
        &[0.719, 0.762, 1.0, 0.481, 0.47, 0.344],
        &[0.289, 0.137, 0.211, 1.0, 0.066, 0.02],
        &[0.382, 0.14, 0.238, 0.203, 1.0, 0.027],
        &[0.234, 0.16, 0.248, 0.094, 0.066, 1.0],
        &[0.05, 0.101, 0.183, 0.0, 0.0, 0.008],
        &[0.156, 0.113, 0.227, 0.05, 0.043, 0.031],
    ],
    distortion: &[0.062, 0.1, 0.14, 0.058, 0.065, 0.086, 0.1, 0.3],
};
