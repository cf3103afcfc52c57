//! Tables 1 to 4 (section 4.2).

use blindspot_data::ImageSet;

use super::{Experiment, Run};
use crate::results::{Table1Row, Table3Row, TransferTable};
use blindspot::classify::error;
use blindspot::inputs::InputError;
use blindspot::search::{Example, InputBox};
use blindspot::transfer::{Amplify, Changed, Distortion};

/// Errors of each model, and the distortion that brings its accuracy to 0.
pub(super) fn table1(run: &Run<'_>) -> Result<Vec<Table1Row>, InputError> {
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
                .filter(|example| example.already_misclassified)
                .count();
            Ok(Table1Row {
                model: name.to_owned(),
                train_error: error(network, run.train, train_labels)?,
                test_error: error(network, run.test, test_labels)?,
                distortion_mean: distortion.mean,
                distortion_pooled: distortion.pooled,
                distortion_median: distortion.median,
                l2_mean: distortion.l2_mean,
                samples: examples.len() as u64,
                already_wrong: wrong as u64,
                success: successes as f64 / examples.len() as f64,
            })
        })
        .collect()
}

/// Standard deviations of the noise in table 2.
const NOISE: [f64; 2] = [0.1, 0.3];

/// Each model's examples, and noise, on every model.
pub(super) fn table2(run: &Run<'_>) -> Result<TransferTable, InputError> {
    let names = Experiment::Table2.models();
    let mut rows: Vec<(String, Changed)> =
        names.iter().map(|name| adversarial(run, name)).collect();
    for deviation in NOISE {
        rows.push(noisy(run, names[0], deviation)?);
    }
    Ok(transfer_table(run, names, rows))
}

/// Errors of models trained on halves of the training set on both halves and the test set, and the
/// distortion that brings their accuracy on the test set to 0.
pub(super) fn table3(run: &Run<'_>) -> Result<Vec<Table3Row>, InputError> {
    let (_, test_labels) = run.labels();
    let row = |name: &&str| {
        let network = &run.model(name).network;
        let error_of = |images: &ImageSet| {
            let labels = images.labels().unwrap_or_default();
            error(network, images, labels)
        };
        let [p1, p2] = &run.halves;
        let examples = &run.examples[*name];
        let distortion = Distortion::of_examples(examples);
        let count = |condition: &dyn Fn(&Example) -> bool| {
            examples.iter().filter(|example| condition(example)).count()
        };
        Ok(Table3Row {
            model: (*name).to_owned(),
            error_p1: error_of(p1)?,
            error_p2: error_of(p2)?,
            error_test: error(network, run.test, test_labels)?,
            distortion_mean: distortion.mean,
            distortion_pooled: distortion.pooled,
            samples: examples.len() as u64,
            already_wrong: count(&|example: &Example| example.already_misclassified) as u64,
            success: count(&|example| example.success) as f64 / examples.len() as f64,
        })
    };
    Experiment::Table3.models().iter().map(row).collect()
}

/// The distortion that examples are amplified to in table 4.
const AMPLIFIED: f64 = 0.1;

/// Each of these models' examples on the others; noise; the examples amplified, by one factor for
/// the set in the paper's place, and each by itself at the end.
pub(super) fn table4(run: &Run<'_>) -> Result<TransferTable, InputError> {
    let names = Experiment::Table4.models();
    let amplified = |name: &str, amplify, label: String| {
        let (images, _) = run.distorted(name);
        let changed = Changed::amplified(&run.examples[name], images, AMPLIFIED, amplify)?;
        Ok::<_, InputError>((label, changed))
    };
    let mut rows: Vec<(String, Changed)> =
        names.iter().map(|name| adversarial(run, name)).collect();
    rows.push(noisy(run, names[0], 0.06)?);
    for name in names {
        rows.push(amplified(
            name,
            Amplify::Set,
            format!("{name} x{AMPLIFIED}"),
        )?);
    }
    rows.push(noisy(run, names[0], AMPLIFIED)?);
    for name in names {
        rows.push(amplified(
            name,
            Amplify::Each,
            format!("{name} each x{AMPLIFIED}"),
        )?);
    }
    Ok(transfer_table(run, names, rows))
}

/// The row of a model's examples.
fn adversarial(run: &Run<'_>, name: &str) -> (String, Changed) {
    (name.to_owned(), Changed::adversarial(&run.examples[name]))
}

/// The row of the images that a model's examples are made of, with noise in place of the change.
fn noisy(run: &Run<'_>, name: &str, deviation: f64) -> Result<(String, Changed), InputError> {
    let (images, sample) = run.distorted(name);
    let labels = images.labels().unwrap_or_default();
    let clip = run.options.clip_noise.then(InputBox::default);
    let changed = Changed::noisy(images, labels, sample, deviation, run.options.seed, clip)?;
    Ok((format!("noise {deviation}"), changed))
}

fn transfer_table(run: &Run<'_>, names: &[&str], rows: Vec<(String, Changed)>) -> TransferTable {
    let mut table = TransferTable {
        rows: Vec::new(),
        columns: names.iter().map(|&name| name.to_owned()).collect(),
        error: Vec::new(),
        distortion_mean: Vec::new(),
        distortion_pooled: Vec::new(),
        samples: Vec::new(),
    };
    for (row, changed) in rows {
        table.rows.push(row);
        let error = |name: &&str| changed.error_of(&run.model(name).network);
        table.error.push(names.iter().map(error).collect());
        table.distortion_mean.push(changed.distortion.mean);
        table.distortion_pooled.push(changed.distortion.pooled);
        table.samples.push(changed.labels.len() as u64);
    }
    table
}
