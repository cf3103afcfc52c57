//! Tables 1 and 2 (section 4.2).

use super::{Experiment, Run};
use crate::results::{Table1Row, TransferTable};
use crate::search::InputBox;
use crate::train::error;
use crate::transfer::{Changed, Distortion};

/// Errors of each model, and the distortion that brings its accuracy to 0.
pub(super) fn table1(run: &Run<'_>) -> Vec<Table1Row> {
    let (train_labels, test_labels) = run.labels();
    Experiment::Table1
        .models()
        .iter()
        .map(|&name| {
            let network = &run.model(name).network;
            let examples = &run.examples[name];
            let distortion = Distortion::of_examples(examples);
            let successes = examples.iter().filter(|example| example.success).count();
            let wrong = examples
                .iter()
                .filter(|example| example.already_wrong())
                .count();
            Table1Row {
                model: name.to_owned(),
                train_error: error(network, run.train, train_labels),
                test_error: error(network, run.test, test_labels),
                distortion_mean: distortion.mean,
                distortion_pooled: distortion.pooled,
                distortion_median: distortion.median,
                l2_mean: distortion.l2_mean,
                samples: examples.len() as u64,
                already_wrong: wrong as u64,
                success: successes as f64 / examples.len() as f64,
            }
        })
        .collect()
}

/// Standard deviations of the noise in table 2.
const NOISE: [f64; 2] = [0.1, 0.3];

/// Each model's examples, and noise, on every model.
pub(super) fn table2(run: &Run<'_>) -> TransferTable {
    let names = Experiment::Table2.models();
    let (labels, _) = run.labels();
    let clip = run.options.clip_noise.then(InputBox::default);
    let adversarial = names
        .iter()
        .map(|&name| (name.to_owned(), Changed::adversarial(&run.examples[name])));
    let noisy = NOISE.iter().map(|&deviation| {
        let seed = run.options.seed;
        let changed = Changed::noisy(run.train, labels, &run.sample, deviation, seed, clip);
        (format!("noise {deviation}"), changed)
    });
    let mut table = TransferTable {
        rows: Vec::new(),
        columns: names.iter().map(|&name| name.to_owned()).collect(),
        error: Vec::new(),
        distortion_mean: Vec::new(),
        distortion_pooled: Vec::new(),
        samples: Vec::new(),
    };
    for (row, changed) in adversarial.chain(noisy) {
        table.rows.push(row);
        let error = |name: &&str| changed.error_of(&run.model(name).network);
        table.error.push(names.iter().map(error).collect());
        table.distortion_mean.push(changed.distortion.mean);
        table.distortion_pooled.push(changed.distortion.pooled);
        table.samples.push(changed.labels.len() as u64);
    }
    table
}
