//! Table 4 (section 4.2): transfer across training sets, made of the test set.

use blindspot::transfer::{Distortion, SavedError, Variant};

use super::table3::HALVED;
use super::transfer::{self, Row, TransferEntries, TransferTable, adversarial, noisy};
use super::{Experiment, Needs, note};
use crate::reproduce::Replication;

/// Table 4.
pub static EXPERIMENT: Experiment = Experiment {
    name: "table4",
    summary: "the examples of table 3's models on each other; noise and amplified examples",
    needs: Needs::examples_of(&HALVED),
    run: |run, results, _| {
        results.table4 = Some(errors(run)?);
        results.p1 = Some(run.first_half());
        Ok(())
    },
    tables: |results| {
        let text = "The paper beside it. Test images. x0.1: all changes of a set made larger by one \
                    factor, so that their mean distortion is 0.1; each x0.1: each change by itself to a \
                    distortion of 0.1. The paper's formula can be read in both ways; its figures stand \
                    beside both.";
        let table = |ours| transfer::table(TITLE, note(results.quick, text), ours, &TABLE4);
        let ours = results.table4.iter();
        ours.map(|ours| ("table4", table(ours))).collect()
    },
    ..Experiment::NOTHING
};

const TITLE: &str = "Table 4: the same across training sets";

/// The distortion that examples are amplified to, and the standard deviation of the noise beside them.
const AMPLIFIED: f64 = 0.1;
/// The standard deviation of the noise beside the examples as they are.
const NOISE: f64 = 0.06;

/// Each model's examples on the others; noise; the examples amplified, by one factor for the set in
/// the paper's place, and each by itself at the end.
fn errors(run: &Replication<'_>) -> Result<TransferTable, SavedError> {
    let set = |&model: &&'static str| {
        // The mean of all images, as in table 3: one that was not perturbed counts 0.
        let distortion = Distortion::of_examples(run.examples(model));
        let mean = distortion.map(|distortion| distortion.mean);
        let factor = mean
            .filter(|&mean| mean > 0.0)
            .map_or(1.0, |mean| AMPLIFIED / mean);
        Row {
            name: format!("{model} x{AMPLIFIED}"),
            model,
            variant: Variant::Factor(factor),
        }
    };
    let each = |&model: &&'static str| Row {
        name: format!("{model} each x{AMPLIFIED}"),
        model,
        variant: Variant::EachDistortion(AMPLIFIED),
    };
    let mut rows: Vec<Row<'_>> = HALVED.iter().map(|name| adversarial(name)).collect();
    rows.push(noisy(run, HALVED[0], NOISE));
    rows.extend(HALVED.iter().map(set));
    rows.push(noisy(run, HALVED[0], AMPLIFIED));
    rows.extend(HALVED.iter().map(each));
    transfer::errors(run, &HALVED, rows)
}

/// Table 4 of the paper: "Cross-training-set generalization error rate", made of the test set. The
/// rows `... x0.1` are the same examples with the perturbation scaled to a standard deviation of 0.1.
pub const TABLE4: TransferEntries = TransferEntries {
    columns: &HALVED,
    others: &["noise 0.06", "M1 x0.1", "M2 x0.1", "M3 x0.1", "noise 0.1"],
    error: &[
        &[1.0, 0.262, 0.059],
        &[0.0625, 1.0, 0.051],
        &[0.082, 0.082, 1.0],
        &[0.022, 0.026, 0.024],
        &[1.0, 0.98, 0.43],
        &[0.96, 1.0, 0.22],
        &[0.27, 0.5, 1.0],
        &[0.026, 0.028, 0.027],
    ],
    distortion: &[0.062, 0.059, 0.058, 0.06, 0.1, 0.1, 0.1, 0.1],
};
