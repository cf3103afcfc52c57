//! Hardening (section 4.2): FC100-100-10 trained in six ways, from several seeds.

use std::collections::BTreeMap;
use std::path::Path;

use super::{ReproduceError, Run};
use crate::harden::{INPUT, Plan, PoolCount, PoolOptions};
use crate::models::kept_or_hardened;
use crate::results::{HardeningRow, ModelRecord};
use crate::train::{MiniBatch, Recipe};
use blindspot::classify::error;
use blindspot::run::monitor::Monitor;
use blindspot::search::search;
use blindspot::transfer::Distortion;

/// The ways to train: the name of the row, and what it is in words.
const WAYS: [(&str, &str); 6] = [
    ("a", "no help"),
    ("b", "weight decay alone"),
    ("c", "dropout"),
    ("d", "pool on the input"),
    ("e", "pools on the hidden layers"),
    ("f", "pools on all layers"),
];

/// Training images of a quick look.
const QUICK_IMAGES: usize = 10_000;

/// How a network is trained in one of the [`WAYS`].
///
/// All have the same batches, rate and passes; the figures were chosen by the errors on 10,000
/// training images that were held out (`examples/harden.rs`).
fn plan(way: &str, quick: bool) -> Plan {
    let mut training = MiniBatch {
        rate: 5e-3,
        ..MiniBatch::new(if quick { 3 } else { 20 })
    };
    let hidden = || ["hidden1", "hidden2"].map(str::to_owned);
    match way {
        "b" => training.decay = [5e-6, 0.0].repeat(3),
        "c" => training.dropout = hidden().map(|layer| (layer, 0.1)).to_vec(),
        _ => {}
    }
    let layers = match way {
        "d" => vec![INPUT.to_owned()],
        "e" => hidden().to_vec(),
        "f" => std::iter::once(INPUT.to_owned()).chain(hidden()).collect(),
        _ => Vec::new(),
    };
    let mut pool = PoolOptions::new(layers);
    if quick {
        pool.size = 500;
    }
    Plan {
        training,
        pool: Some(pool).filter(|pool| !pool.layers.is_empty()),
    }
}

/// A network of one seed, judged.
struct Judged {
    test_error: f64,
    train_error: f64,
    distortion: Distortion,
    successes: usize,
    samples: usize,
    counts: Vec<PoolCount>,
}

/// Trains in each way from each seed, or takes what is kept in `folder`, and searches with the
/// same targets for all; also gives the networks' records. Each network has a start of its own, so
/// the means of two ways are independent.
pub(super) fn hardening(
    run: &Run<'_>,
    folder: &Path,
    monitor: &dyn Monitor,
) -> Result<(BTreeMap<String, HardeningRow>, Vec<ModelRecord>), ReproduceError> {
    let options = run.options;
    let (train_labels, test_labels) = run.labels();
    let images = match options.quick {
        true => &run.train.first(QUICK_IMAGES),
        false => run.train,
    };
    let (mut rows, mut records) = (BTreeMap::new(), Vec::new());
    for (way, words) in WAYS {
        let mut judged = Vec::new();
        for seed in (0..options.seeds).map(|number| options.seed.wrapping_add(number)) {
            let mut recipe = Recipe::named("FC100-100-10").expect("it is one of the names");
            recipe.name = format!("hardening-{way}-{seed}");
            let plan = plan(way, options.quick);
            let (network, record, counts) =
                kept_or_hardened(&recipe, &plan, images, seed, folder, monitor)?;
            records.push(record);
            let (sample, search_options) = (&run.samples[0], run.search_options());
            let found = search(
                &network,
                run.train,
                train_labels,
                sample,
                &search_options,
                monitor,
            )?;
            if monitor.cancelled() {
                return Err(ReproduceError::Cancelled(folder.to_owned()));
            }
            judged.push(Judged {
                test_error: error(&network, run.test, test_labels)?,
                train_error: error(&network, run.train, train_labels)?,
                distortion: Distortion::of_examples(&found),
                successes: found.iter().filter(|example| example.success).count(),
                samples: found.len(),
                counts,
            });
        }
        rows.insert(way.to_owned(), row(words, &judged));
    }
    Ok((rows, records))
}

/// Means over the seeds.
fn row(words: &str, judged: &[Judged]) -> HardeningRow {
    let count = judged.len() as f64;
    let mean = |of: &dyn Fn(&Judged) -> f64| judged.iter().map(of).sum::<f64>() / count;
    let counted = |of: &dyn Fn(&PoolCount) -> u64| {
        let counts = judged.iter().flat_map(|judged| &judged.counts);
        counts.map(of).sum()
    };
    let test_error_mean = mean(&|judged| judged.test_error);
    let square = mean(&|judged| (judged.test_error - test_error_mean).powi(2));
    let samples: usize = judged.iter().map(|judged| judged.samples).sum();
    let successes: usize = judged.iter().map(|judged| judged.successes).sum();
    HardeningRow {
        training: words.to_owned(),
        test_error_mean,
        test_error_std: (square * count / (count - 1.0).max(1.0)).sqrt(),
        test_errors: judged.iter().map(|judged| judged.test_error).collect(),
        train_error_mean: mean(&|judged| judged.train_error),
        distortion_mean: mean(&|judged| judged.distortion.mean),
        distortion_pooled: mean(&|judged| judged.distortion.pooled),
        samples: judged.first().map_or(0, |judged| judged.samples as u64),
        success: successes as f64 / samples.max(1) as f64,
        pool_made: counted(&|count| count.made),
        pool_failed: counted(&|count| count.failed),
        seeds: judged.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(test_error: f64, distortion: f64, failed: u64) -> Judged {
        Judged {
            test_error,
            train_error: 0.0,
            distortion: Distortion {
                mean: distortion,
                pooled: 2.0 * distortion,
                median: 0.0,
                l2_mean: 0.0,
            },
            successes: 3,
            samples: 4,
            counts: vec![PoolCount {
                layer: INPUT.to_owned(),
                made: 10,
                wrong_before: 1,
                failed,
                far: 0,
                distortion: 0.0,
            }],
        }
    }

    #[test]
    fn a_row_has_means_and_the_standard_deviation_over_the_seeds() {
        let two = row("", &[judged(0.02, 0.05, 1), judged(0.04, 0.07, 2)]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(two.test_error_mean, 0.03);
        // sqrt(((0.01)^2 + (0.01)^2) / 1)
        close(two.test_error_std, 0.01 * 2f64.sqrt());
        close(two.distortion_mean, 0.06);
        close(two.distortion_pooled, 0.12);
        assert_eq!((two.pool_made, two.pool_failed, two.seeds), (20, 3, 2));
        assert_eq!((two.samples, two.success), (4, 0.75));
        close(row("", &[judged(0.02, 0.05, 0)]).test_error_std, 0.0);
    }

    #[test]
    fn the_ways_differ_in_what_they_say_and_in_nothing_else() {
        let plain = plan("a", false);
        assert_eq!(plain.pool, None);
        for (way, _) in WAYS {
            let mut other = plan(way, false);
            assert_eq!(
                other.pool.is_some(),
                ["d", "e", "f"].contains(&way),
                "{way}"
            );
            assert_eq!(other.training.decay.is_empty(), way != "b");
            assert_eq!(other.training.dropout.is_empty(), way != "c");
            (other.training.decay, other.training.dropout) = Default::default();
            assert_eq!(other.training, plain.training, "{way}");
        }
        let layers = |way| plan(way, false).pool.map(|pool| pool.layers.len());
        assert_eq!(["d", "e", "f"].map(layers), [Some(1), Some(2), Some(3)]);
    }
}
