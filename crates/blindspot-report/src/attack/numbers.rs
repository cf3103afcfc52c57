//! The numbers of an attack: those of each image, their quantiles, all of them as CSV.

use std::io;

use blindspot::examples::{self, StoredExamples};
use blindspot::run::journal::JournalError;
use blindspot::search::Norm;

use super::AttackPage;
use super::words::Unit;
use crate::names::class_name;
use crate::page::norm_word;
use crate::table::{Cell, Table};

/// The numbers of an example, without its images.
pub(super) struct Numbers {
    pub(super) index: usize,
    pub(super) label: usize,
    pub(super) before: usize,
    pub(super) after: usize,
    pub(super) outcome: &'static str,
    /// Of those fooled, in the norm of the search.
    pub(super) norm: Option<f64>,
    pub(super) residual: f64,
    pub(super) evaluations: u64,
    pub(super) certificate: Option<f64>,
}

/// An example of an image fooled.
pub(super) const FOOLED: &str = "fooled";

impl Numbers {
    /// The numbers of all examples, whose search made `norm` small.
    pub(super) fn all(
        examples: &StoredExamples<'_>,
        norm: Norm,
    ) -> Result<Vec<Numbers>, JournalError> {
        let numbers = examples.numbers()?;
        let numbers = numbers.map(|numbers| Ok(Numbers::of(&numbers?, norm)));
        let numbers: io::Result<Vec<Numbers>> = numbers.collect();
        numbers.map_err(JournalError::Unreadable)
    }

    fn of(stored: &examples::Numbers, norm: Norm) -> Numbers {
        let outcome = if stored.wrong_before {
            "wrong as it is"
        } else if stored.success {
            FOOLED
        } else if stored.refuted {
            "refuted by the other runtime"
        } else if stored.no_gradient {
            "no gradient"
        } else {
            "not fooled"
        };
        Numbers {
            index: stored.index as usize,
            label: stored.label as usize,
            before: stored.before as usize,
            after: stored.after as usize,
            outcome,
            norm: (outcome == FOOLED).then_some(stored.norm(norm)),
            residual: stored.kkt,
            evaluations: stored.evaluations,
            certificate: Some(stored.certificate).filter(|radius| !radius.is_nan()),
        }
    }

    pub(super) fn ratio(&self) -> Option<f64> {
        self.certificate
            .zip(self.norm)
            .map(|(radius, norm)| radius / norm)
    }
}

/// The norms of the images fooled, in ascending order.
pub(super) fn norms(numbers: &[Numbers]) -> Vec<f64> {
    let mut norms: Vec<f64> = numbers.iter().filter_map(|numbers| numbers.norm).collect();
    norms.sort_by(f64::total_cmp);
    norms
}

/// Quantiles of what was measured of the images fooled.
pub(super) fn table(numbers: &[Numbers], unit: &Unit) -> Table {
    let fooled: Vec<&Numbers> = numbers.iter().filter(|n| n.norm.is_some()).collect();
    let norms = norms(numbers);
    let row = |name: &str, mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = share * (values.len().max(1) - 1) as f64;
            let (low, high) = (rank.floor() as usize, rank.ceil() as usize);
            let value = |at: usize| values.get(at).copied();
            let between = |low: f64, high: f64| low + (high - low) * rank.fract();
            Cell::Figure(
                value(low).zip(value(high)).map(|(l, h)| between(l, h)),
                None,
            )
        };
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        let mut row = vec![
            Cell::Text(name.to_owned()),
            Cell::Count(values.len() as u64),
        ];
        row.extend([0.0, 0.25, 0.5, 0.75, 1.0].map(at));
        row.push(Cell::Figure(mean, None));
        row
    };
    let mut rows = vec![
        row(norm_word(unit.norm), norms.clone()),
        row(
            unit.name(),
            norms.iter().map(|&norm| unit.value(norm)).collect(),
        ),
        row(
            "residual",
            fooled.iter().map(|numbers| numbers.residual).collect(),
        ),
        row(
            "evaluations",
            fooled.iter().map(|n| n.evaluations as f64).collect(),
        ),
    ];
    let ratios: Vec<f64> = fooled
        .iter()
        .filter_map(|numbers| numbers.ratio())
        .collect();
    if !ratios.is_empty() {
        rows.push(row("certificate ÷ norm", ratios));
    }
    let heads = [
        "of the images fooled",
        "images",
        "smallest",
        "lower quartile",
        "median",
        "upper quartile",
        "largest",
        "mean",
    ];
    Table {
        title: "In numbers".into(),
        note: String::new(),
        heads: heads.map(str::to_owned).to_vec(),
        rows,
    }
}

/// The numbers of all images, for a table.
pub(super) fn csv(numbers: &[Numbers], norm: Norm, shown: &AttackPage<'_>) -> String {
    let norm = norm.to_string();
    let heads = [
        "index",
        "file",
        "label",
        "answer",
        "answer to adversarial",
        "outcome",
        norm.as_str(),
        "certificate",
        "kkt",
        "evaluations",
    ];
    let optional = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    let row = |numbers: &Numbers| {
        vec![
            Cell::Count(numbers.index as u64),
            Cell::Text(shown.files.get(&numbers.index).cloned().unwrap_or_default()),
            Cell::Text(class_name(shown.classes, numbers.label)),
            Cell::Text(class_name(shown.classes, numbers.before)),
            Cell::Text(class_name(shown.classes, numbers.after)),
            Cell::Text(numbers.outcome.to_owned()),
            Cell::Text(optional(numbers.norm)),
            Cell::Text(optional(numbers.certificate)),
            Cell::Text(optional(numbers.norm.map(|_| numbers.residual))),
            Cell::Count(numbers.evaluations),
        ]
    };
    let table = Table {
        title: String::new(),
        note: String::new(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: numbers.iter().map(row).collect(),
    };
    table.csv()
}
