//! Robust accuracy over the norm: what the search leaves, and what certificates prove.

use blindspot::examples::{Record, Share, StoredExamples};

use super::numbers::Numbers;
use crate::ReportError;
use crate::embedded::{csv_link, svg_link};
use crate::plot::norm_axis;
use crate::steps::{Steps, steps_plot};
use crate::table::{Cell, Table, digits};

/// The curve of robust accuracy, and its values at the norms that were asked for.
pub(super) struct Curve {
    pub(super) title: &'static str,
    pub(super) note: String,
    pub(super) svg: String,
    pub(super) svg_link: String,
    pub(super) csv_link: String,
    pub(super) at: Option<Table>,
}

/// The share of images that are right as they are and not fooled up to each norm, and with
/// certificates the share that can't be: a plot (SVG) and a table of all norms where either falls
/// (CSV).
///
/// # Errors
/// [`ReportError`] where examples can't be read.
pub fn robust_accuracy(
    examples: &StoredExamples<'_>,
    record: &Record,
) -> Result<[String; 2], ReportError> {
    let numbers = Numbers::all(examples, record.origin.options.norm)?;
    let curves = curves(&numbers);
    let [_, svg] = drawn(record, numbers.len(), &curves);
    Ok([svg, csv(&curves)])
}

/// The curve for a page that is made by a command.
pub(super) fn curve(numbers: &[Numbers], record: &Record, command: &str) -> Curve {
    let curves = curves(numbers);
    let [svg, file] = drawn(record, numbers.len(), &curves);
    let csv = format!("# {}\n{}", command.replace('\n', " "), csv(&curves));
    let certified = if curves.len() > 1 {
        " The true share lies between the two curves."
    } else {
        ""
    };
    let count = numbers.len();
    Curve {
        title: title(record),
        note: match record.origin.options.goal {
            Some(_) => format!(
                "Share of the {count} inputs that reach the goal neither as they are nor by a perturbation of at most \
                 this norm.{certified}"
            ),
            None => format!(
                "Share of the {count} images that are right as they are and not fooled by a perturbation of at most \
                 this norm.{certified}"
            ),
        },
        svg,
        svg_link: svg_link(&file),
        csv_link: csv_link(&csv),
        at: at_epsilons(record),
    }
}

fn title(record: &Record) -> &'static str {
    if record.origin.options.goal.is_some() {
        "Inputs that don't reach the goal, over the norm"
    } else if record.summary.answers_target.is_some() {
        "Images not yet answered with their target, over the norm"
    } else {
        "Robust accuracy over the norm"
    }
}

/// What falls over the norm: the images that are not fooled, and those certified if they are.
fn curves(numbers: &[Numbers]) -> Vec<Steps> {
    let right: Vec<&Numbers> = numbers
        .iter()
        .filter(|numbers| numbers.before == numbers.label)
        .collect();
    let found: Vec<f64> = right
        .iter()
        .map(|numbers| numbers.norm.unwrap_or(f64::INFINITY))
        .collect();
    let mut curves = vec![Steps::of("found by the search", numbers.len(), &found)];
    let certified: Option<Vec<f64>> = right.iter().map(|numbers| numbers.certificate).collect();
    if let Some(certified) = certified.filter(|certified| !certified.is_empty()) {
        curves.push(Steps::of("certified", numbers.len(), &certified));
    }
    curves
}

/// The curves as an element of a page, and as a file.
fn drawn(record: &Record, images: usize, curves: &[Steps]) -> [String; 2] {
    let below = norm_axis(record.origin.options.norm, " of the perturbation");
    steps_plot(title(record), &below, images, curves)
}

/// The share above each norm where a curve falls.
fn csv(curves: &[Steps]) -> String {
    let mut csv = "norm".to_owned();
    let mut places = vec![0.0];
    for curve in curves {
        csv += &format!(",{}", curve.name);
        places.extend(curve.falls.iter().map(|fall| fall[0]));
    }
    csv.push('\n');
    places.sort_by(f64::total_cmp);
    places.dedup();
    for place in places {
        let shares = curves
            .iter()
            .map(|curve| format!(",{}", curve.above(place)));
        csv += &format!("{place}{}\n", shares.collect::<String>());
    }
    csv
}

/// The bounds at the norms that were asked for.
fn at_epsilons(record: &Record) -> Option<Table> {
    let known = &record.robust_accuracy;
    let certified = known.first()?.at_least.is_some();
    let interval = |share: &Share| {
        let percent = |share: f64| digits(100.0 * share);
        Cell::Text(format!(
            "{} to {}%",
            percent(share.low),
            percent(share.high)
        ))
    };
    let norm = format!("{} norm up to", record.origin.options.norm.title());
    let mut heads = vec![norm, "at most".into(), "95% interval".into()];
    if certified {
        heads.extend(["at least".into(), "95% interval".into()]);
    }
    let rows = known.iter().map(|robust| {
        let mut row = vec![Cell::Figure(Some(robust.epsilon), None)];
        for share in [Some(&robust.at_most), robust.at_least.as_ref()]
            .into_iter()
            .flatten()
        {
            row.extend([Cell::Rate(share.share, None), interval(share)]);
        }
        row
    });
    Some(Table {
        title: "Robust accuracy".into(),
        note: "At most: as the search found; at least: as certificates prove. The intervals are Wilson's, of the images \
               as a sample."
            .into(),
        rows: rows.collect(),
        heads,
    })
}
