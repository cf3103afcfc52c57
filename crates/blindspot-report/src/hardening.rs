//! Hardening out of the results, and what the paper claims of it.

use std::collections::BTreeMap;

use blindspot_paper::paper;
use blindspot_paper::results::HardeningRow;

use crate::table::{Cell, Table};
use crate::tables::note;

/// Test errors and distortions of FC100-100-10 trained in each way.
pub fn hardening(rows: &BTreeMap<String, HardeningRow>, quick: bool) -> Table {
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
        let times = plain.map_or(f64::NAN, |plain| {
            row.distortion_mean / plain.distortion_mean
        });
        vec![
            Cell::Text(format!("({way})")),
            Cell::Text(row.training.clone()),
            Cell::Rate(row.test_error_mean, None),
            Cell::Rate(row.test_error_std, None),
            Cell::Text(paper::hardening(way).unwrap_or_default().to_owned()),
            Cell::Rate(row.train_error_mean, None),
            Cell::Size(row.distortion_mean, None),
            Cell::Size(row.distortion_pooled, None),
            Cell::Text(format!("{times:.2}")),
            Cell::Rate(row.success, None),
            Cell::Count(row.samples),
            Cell::Count(row.seeds),
        ]
    };
    Table {
        title: "Hardening: FC100-100-10 with pools of adversarial examples, and without".into(),
        note: match quick {
            true => note(quick, METHOD),
            false => format!("{METHOD} {}", claims(rows)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(errors: [f64; 6], deviation: f64) -> BTreeMap<String, HardeningRow> {
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
        let table = hardening(
            &rows([0.02, 0.06, 0.031, 0.017, 0.015, 0.016], 0.001),
            false,
        );
        assert!(
            table
                .note
                .contains("Below 2% with pools: holds (1.60%, and 2.00%")
        );
        assert!(
            table
                .note
                .contains("better by more than the standard error")
        );
        assert!(table.note.contains("decay alone: holds") && table.note.contains("dropout: holds"));
        assert!(table.note.contains("than the input's: holds"));
        let far = rows([0.02, 0.02, 0.02, 0.02, 0.02, 0.0205], 0.01);
        let table = hardening(&far, false);
        assert!(table.note.contains("Below 2% with pools: does not hold"));
        assert!(table.note.contains("no difference beyond"));
        assert!(table.note.contains("decay alone: does not hold"));
        assert!(table.note.contains("is not decided"));
        assert_eq!(table.rows.len(), 6);
        let text = table.text();
        assert!(text.contains("below 2%") && text.contains("1.02"), "{text}");
        let quick = hardening(&far, true).note;
        assert!(quick.starts_with("A QUICK LOOK"), "{quick}");
        assert!(!quick.contains("Below 2%"));
    }

    #[test]
    fn one_seed_or_a_part_of_the_ways_makes_a_table() {
        let mut some = rows([0.02, 0.02, 0.02, 0.02, 0.018, 0.01], 0.0);
        some.values_mut().for_each(|row| row.seeds = 1);
        let note = hardening(&some, false).note;
        assert!(note.contains("no difference beyond") && note.contains("is not decided"));
        some.remove("a");
        let table = hardening(&some, false);
        assert!(table.rows.len() == 5 && table.csv().lines().count() == 6);
    }
}
