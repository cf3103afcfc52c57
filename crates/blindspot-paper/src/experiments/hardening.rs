//! Hardening (section 4.2): FC100-100-10 trained in six ways, from several seeds.

use std::collections::BTreeMap;

use blindspot::classify::error;
use blindspot::run::communicator::SingleProcess;
use blindspot::search::SearchError;
use blindspot::transfer::Distortion;
use blindspot_report::{Cell, Table};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Experiment, Needs, note};
use crate::harden::{INPUT, Plan, PoolCount, PoolOptions};
use crate::models::kept_or_hardened;
use crate::reproduce::{KeptSearch, Replication, ReproduceError};
use crate::results::ModelRecord;
use crate::session::Session;
use crate::train::{MiniBatch, Recipe};

/// Hardening.
pub static EXPERIMENT: Experiment = Experiment {
    name: "hardening",
    summary: "training with a pool of adversarial examples, and without, from several seeds",
    needs: Needs::models(&[]),
    by_default: false,
    run: |run, results, _| {
        let (rows, models) = hardening(run)?;
        results.hardening = Some(rows);
        results.models.extend(models);
        Ok(())
    },
    tables: |results| {
        let rows = results.hardening.iter();
        rows.map(|rows| ("hardening", table(rows, results.quick)))
            .collect()
    },
    ..Experiment::NOTHING
};

/// FC100-100-10 trained from several seeds in one way (section 4.2, hardening).
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct HardeningRow {
    /// The way, for people.
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
    /// The number of seeds.
    pub seeds: u64,
}

/// The ways to train: the name of the row, and what it is.
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
/// training images that were held out (`blindspot-bench`'s `harden`).
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

/// A network of one seed, evaluated.
struct Evaluated {
    test_error: f64,
    train_error: f64,
    distortion: Distortion,
    successes: usize,
    samples: usize,
    counts: Vec<PoolCount>,
}

/// Trains in each way from each seed, or takes what an earlier run has kept, and searches with the
/// same targets for all; also gives the networks' records. Each network has a start of its own, so
/// the means of two ways are independent.
fn hardening(
    run: &Replication<'_>,
) -> Result<(BTreeMap<String, HardeningRow>, Vec<ModelRecord>), ReproduceError> {
    let (options, monitor, folder) = (run.options, run.monitor, run.models_folder());
    let (train_labels, test_labels) = run.labels();
    let images = if options.quick {
        &run.train().first(QUICK_IMAGES)
    } else {
        run.train()
    };
    let (mut rows, mut records) = (BTreeMap::new(), Vec::new());
    for (way, words) in WAYS {
        let mut evaluated = Vec::new();
        for seed in (0..options.seeds).map(|number| options.seed.wrapping_add(number)) {
            let mut recipe = Recipe::named("FC100-100-10").expect("it is one of the names");
            recipe.name = format!("hardening-{way}-{seed}");
            let plan = plan(way, options.quick);
            let session = Session::new(seed).with_monitor(monitor);
            let session = session.with_overwrite(options.overwrite);
            let ((network, record), counts) =
                kept_or_hardened(&recipe, &plan, images, &folder, &session)?;
            let search_options = run.search_options();
            let search = KeptSearch {
                name: &record.name,
                network: &network,
                model_sha256: &record.sha256,
                images: run.train(),
                labels: train_labels,
                sample: run.train_sample(),
                options: &search_options,
            };
            let found = search.run(run.out, &SingleProcess, monitor)?;
            let found = found.ok_or_else(|| run.cancelled())?;
            records.push(record);
            let distortion = Distortion::of_examples(&found).ok_or(SearchError::Empty)?;
            evaluated.push(Evaluated {
                test_error: error(&network, run.test(), test_labels)?,
                train_error: error(&network, run.train(), train_labels)?,
                distortion,
                successes: found.iter().filter(|example| example.success).count(),
                samples: found.len(),
                counts,
            });
        }
        rows.insert(way.to_owned(), row(words, &evaluated));
    }
    Ok((rows, records))
}

/// Means over the seeds.
fn row(words: &str, evaluated: &[Evaluated]) -> HardeningRow {
    let count = evaluated.len() as f64;
    let mean = |of: &dyn Fn(&Evaluated) -> f64| evaluated.iter().map(of).sum::<f64>() / count;
    let counted = |of: &dyn Fn(&PoolCount) -> u64| {
        let counts = evaluated.iter().flat_map(|evaluated| &evaluated.counts);
        counts.map(of).sum()
    };
    let test_error_mean = mean(&|evaluated| evaluated.test_error);
    let square = mean(&|evaluated| (evaluated.test_error - test_error_mean).powi(2));
    let samples: usize = evaluated.iter().map(|evaluated| evaluated.samples).sum();
    let successes: usize = evaluated.iter().map(|evaluated| evaluated.successes).sum();
    HardeningRow {
        training: words.to_owned(),
        test_error_mean,
        test_error_std: (square * count / (count - 1.0).max(1.0)).sqrt(),
        test_errors: evaluated
            .iter()
            .map(|evaluated| evaluated.test_error)
            .collect(),
        train_error_mean: mean(&|evaluated| evaluated.train_error),
        distortion_mean: mean(&|evaluated| evaluated.distortion.mean),
        distortion_pooled: mean(&|evaluated| evaluated.distortion.pooled),
        samples: evaluated
            .first()
            .map_or(0, |evaluated| evaluated.samples as u64),
        success: successes as f64 / samples as f64,
        pool_made: counted(&|count| count.made),
        pool_failed: counted(&|count| count.failed),
        seeds: evaluated.len() as u64,
    }
}

/// Test errors and distortions of FC100-100-10 trained in each way.
fn table(rows: &BTreeMap<String, HardeningRow>, quick: bool) -> Table {
    let heads = [
        "",
        "training",
        "test error",
        "its deviation",
        "the paper",
        "train error",
        "mean distortion",
        "pooled",
        "times (a)",
        "success",
        "samples",
        "seeds",
    ];
    let plain = rows.get("a");
    let row = |(way, row): (&String, &HardeningRow)| {
        let plain = plain.filter(|plain| plain.distortion_mean > 0.0);
        let times = plain.map(|plain| row.distortion_mean / plain.distortion_mean);
        vec![
            Cell::Text(format!("({way})")),
            Cell::Text(row.training.clone()),
            Cell::Rate(row.test_error_mean, None),
            Cell::Rate(row.test_error_std, None),
            Cell::Text(papers(way).unwrap_or_default().to_owned()),
            Cell::Rate(row.train_error_mean, None),
            Cell::Size(row.distortion_mean, None),
            Cell::Size(row.distortion_pooled, None),
            Cell::Text(times.map_or("-".into(), |times| format!("{times:.2}"))),
            Cell::Rate(row.success, None),
            Cell::Count(row.samples),
            Cell::Count(row.seeds),
        ]
    };
    Table {
        title: "Hardening: FC100-100-10 with pools of adversarial examples, and without".into(),
        note: if quick {
            note(quick, METHOD)
        } else {
            format!("{METHOD} {}", claims(rows))
        },
        heads: heads.map(str::to_owned).to_vec(),
        rows: rows.iter().map(row).collect(),
    }
}

const METHOD: &str = "Mini-batches (Adam), the same for all; means over the seeds. Distortion: of \
                      training images as in table 1, the same images and targets for all; mean \
                      over the images, and pooled.";

/// Which of the paper's claims hold, a sentence each.
fn claims(rows: &BTreeMap<String, HardeningRow>) -> String {
    let [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f)] =
        ["a", "b", "c", "d", "e", "f"].map(|way| rows.get(way))
    else {
        return String::new();
    };
    let percent = |row: &HardeningRow| format!("{:.2}%", 100.0 * row.test_error_mean);
    let holds = |claim: bool| if claim { "holds" } else { "does not hold" };
    // Of the difference of two means over the seeds; one seed has none.
    let unsure = |one: &HardeningRow, two: &HardeningRow| {
        let square = |row: &HardeningRow| match row.seeds {
            0 | 1 => f64::INFINITY,
            seeds => row.test_error_std.powi(2) / seeds as f64,
        };
        (square(one) + square(two)).sqrt()
    };
    let better = |one: &HardeningRow, two: &HardeningRow| {
        two.test_error_mean - one.test_error_mean > unsure(one, two)
    };
    let near = |row: &HardeningRow, paper: f64| (row.test_error_mean / paper - 1.0).abs() < 0.25;
    let useful = match (better(e, d), better(d, e)) {
        (true, _) => "holds",
        (_, true) => "does not hold: the input's is",
        _ => "is not decided: their difference is within its standard error",
    };
    [
        format!(
            "Below 2% with pools: {} ({}, and {} without help: {}).",
            holds(f.test_error_mean < 0.02),
            percent(f),
            percent(a),
            match (better(f, a), better(a, f)) {
                (true, _) => "better by more than the standard error",
                (_, true) => "worse by more than the standard error",
                _ => "no difference beyond the standard error",
            }
        ),
        format!(
            "About 6% with weight decay alone: {} ({}).",
            holds(near(b, 0.06)),
            percent(b)
        ),
        format!(
            "About 3% with dropout: {} ({}).",
            holds(near(c, 0.03)),
            percent(c)
        ),
        format!(
            "Pools of the higher layers are more useful than the input's: {useful} ({} and {}; \
             distortion {:.3} and {:.3}).",
            percent(e),
            percent(d),
            e.distortion_mean,
            d.distortion_mean
        ),
    ]
    .join(" ")
}

/// The paper's test error of FC100-100-10 trained in one of the [`WAYS`], for people; `None` where it
/// has none.
fn papers(way: &str) -> Option<&'static str> {
    match way {
        "b" => Some("6%"),
        "c" => Some("about 3%"),
        "f" => Some("below 2%"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluated(test_error: f64, distortion: f64, failed: u64) -> Evaluated {
        Evaluated {
            test_error,
            train_error: 0.0,
            distortion: Distortion {
                mean: distortion,
                pooled: 2.0 * distortion,
                median: 0.0,
                l2_mean: 0.0,
                images: 4,
            },
            successes: 3,
            samples: 4,
            counts: vec![PoolCount {
                layer: INPUT.to_owned(),
                made: 10,
                already_misclassified: 1,
                failed,
                far: 0,
                distortion: None,
            }],
        }
    }

    #[test]
    fn a_row_has_means_and_the_standard_deviation_over_the_seeds() {
        let two = row("", &[evaluated(0.02, 0.05, 1), evaluated(0.04, 0.07, 2)]);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(two.test_error_mean, 0.03);
        // sqrt(((0.01)^2 + (0.01)^2) / 1)
        close(two.test_error_std, 0.01 * 2f64.sqrt());
        close(two.distortion_mean, 0.06);
        close(two.distortion_pooled, 0.12);
        assert_eq!((two.pool_made, two.pool_failed, two.seeds), (20, 3, 2));
        assert_eq!((two.samples, two.success), (4, 0.75));
        close(row("", &[evaluated(0.02, 0.05, 0)]).test_error_std, 0.0);
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

    fn results(errors: [f64; 6], deviation: f64) -> BTreeMap<String, HardeningRow> {
        let row = |error: f64| HardeningRow {
            training: "some way".into(),
            test_error_mean: error,
            test_error_std: deviation,
            test_errors: vec![error; 4],
            train_error_mean: 0.0,
            distortion_mean: 2.0 * error,
            distortion_pooled: error,
            samples: 10,
            success: 1.0,
            pool_made: 0,
            pool_failed: 0,
            seeds: 4,
        };
        let ways = ["a", "b", "c", "d", "e", "f"].map(str::to_owned);
        ways.into_iter().zip(errors.map(row)).collect()
    }

    #[test]
    fn the_claims_are_judged_by_the_figures() {
        let made = table(
            &results([0.02, 0.06, 0.031, 0.017, 0.015, 0.016], 0.001),
            false,
        );
        assert!(
            made.note
                .contains("Below 2% with pools: holds (1.60%, and 2.00%")
        );
        assert!(made.note.contains("better by more than the standard error"));
        assert!(made.note.contains("decay alone: holds") && made.note.contains("dropout: holds"));
        assert!(made.note.contains("than the input's: holds"));
        let far = results([0.02, 0.02, 0.02, 0.02, 0.02, 0.0205], 0.01);
        let made = table(&far, false);
        assert!(made.note.contains("Below 2% with pools: does not hold"));
        assert!(made.note.contains("no difference beyond"));
        assert!(made.note.contains("decay alone: does not hold"));
        assert!(made.note.contains("is not decided"));
        assert_eq!(made.rows.len(), 6);
        let text = made.text();
        assert!(text.contains("below 2%") && text.contains("1.02"), "{text}");
        let quick = table(&far, true).note;
        assert!(quick.starts_with("A QUICK LOOK"), "{quick}");
        assert!(!quick.contains("Below 2%"));
    }

    #[test]
    fn one_seed_or_a_part_of_the_ways_makes_a_table() {
        let mut some = results([0.02, 0.02, 0.02, 0.02, 0.018, 0.01], 0.0);
        some.values_mut().for_each(|row| row.seeds = 1);
        let note = table(&some, false).note;
        assert!(note.contains("no difference beyond") && note.contains("is not decided"));
        some.remove("a");
        let made = table(&some, false);
        assert!(made.rows.len() == 5 && made.csv().lines().count() == 6);
    }
}
