//! The page of certificates: how far nothing can go wrong, beside how little is known to suffice.

use std::path::PathBuf;

use blindspot::certify::{Bracket, Record, write_certificates};
use blindspot_data::files::{self, FileError};

use crate::axes::{Steps, steps_plot};
use crate::page::{Made, Section, StudyPage, study_page};
use crate::plot::certificate_plot;
use crate::table::{Cell, Table, digits};

/// Writes the files of certificates: the record (JSON), the arrays (npz), and the plot of each certificate beside the
/// perturbation found (SVG), whose paths are given in this order.
///
/// # Errors
/// [`FileError`] if one can't be written.
pub fn write_certified(
    [json, npz, svg]: &[PathBuf; 3],
    brackets: &[Bracket],
    record: &Record,
) -> Result<(), FileError> {
    // First of all whose files these are: a kill between two of them must not leave one that is nobody's.
    files::write_atomically(json, |sink| {
        serde_json::to_writer_pretty(&mut *sink, record)?;
        writeln!(sink)
    })?;
    write_certificates(npz, brackets)?;
    let plot = brackets_plot(brackets);
    files::write_atomically(svg, |sink| sink.write_all(plot.as_bytes()))
}

/// Each certificate beside the perturbation found, as [`certificate_plot`] draws them.
pub fn brackets_plot(brackets: &[Bracket]) -> String {
    let radii: Vec<f64> = brackets.iter().map(|b| b.certificate.radius).collect();
    let found: Vec<f64> = brackets.iter().map(|bracket| bracket.l2).collect();
    certificate_plot(&radii, &found)
}

/// The page of certificates: in a sentence, as robust accuracy over the norm, and image by image.
///
/// # Errors
/// [`askama::Error`] where it can't be put together.
pub fn certify_page(
    subject: &str,
    brackets: &[Bracket],
    record: &Record,
    made: &Made,
) -> Result<String, askama::Error> {
    // A certificate of 0 may be of an image that is right; a perturbation of 0 is of one that is wrong.
    let right: Vec<&Bracket> = brackets.iter().filter(|bracket| bracket.l2 > 0.0).collect();
    let mut radii: Vec<f64> = right.iter().map(|b| b.certificate.radius).collect();
    radii.sort_by(f64::total_cmp);
    let samples = record.summary.samples;
    let answer = match radii.len().checked_sub(1) {
        None => format!(
            "The network gets none of the {samples} images right as they are: nothing to certify."
        ),
        Some(last) => format!(
            "No perturbation whose L2 norm is below {} changes the answer to the median of the {} images that the \
             network gets right ({} to {} in all){}.",
            digits(radii[last / 2]),
            right.len(),
            digits(radii[0]),
            digits(radii[last]),
            record.summary.ratio.map_or(String::new(), |ratio| format!(
                "; on average this is {:.0}% of the smallest perturbation found",
                100.0 * ratio
            ))
        ),
    };
    let found: Vec<f64> = right.iter().map(|bracket| bracket.l2).collect();
    let curves = [
        Steps::of("found by the search", samples, &found),
        Steps::of("certified", samples, &radii),
    ];
    let title = "Robust accuracy over the norm";
    let below = "L2 norm of the perturbation, in the unit of the input's values";
    let [plot, _] = steps_plot(title, below, &curves);
    let row = |bracket: &Bracket| {
        let radius = bracket.certificate.radius;
        let found = bracket.l2.is_finite().then_some(bracket.l2);
        let ratio = found
            .filter(|found| *found > 0.0)
            .map(|found| radius / found);
        vec![
            Cell::Count(bracket.certificate.index as u64),
            Cell::Count(bracket.certificate.label as u64),
            Cell::Figure(Some(radius), None),
            Cell::Figure(found, None),
            Cell::Figure(ratio, None),
        ]
    };
    let heads = [
        "image",
        "label",
        "certificate",
        "smallest perturbation found",
        "ratio",
    ];
    let images = Table {
        title: "All images".into(),
        note: "L2 norms. 0: the image is wrong as it is, or rounding may make it so. Nothing stands where no \
               perturbation was found."
            .into(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: brackets.iter().map(row).collect(),
    };
    let sections = [
        Section {
            id: "curve".into(),
            title: title.into(),
            notes: vec![format!(
                "Share of the {samples} images that stay right under every perturbation up to a norm: it lies between the \
                 curves."
            )],
            plots: vec![plot],
            tables: Vec::new(),
        },
        Section {
            id: "images".into(),
            title: "All images".into(),
            tables: vec![images],
            ..Section::default()
        },
    ];
    let limits = record.about.limits.iter();
    let remarks: Vec<String> = limits
        .map(|why| format!("Certificates rest {why}."))
        .collect();
    study_page(&StudyPage {
        title: &format!("Certificates of {subject}"),
        answer: &answer,
        remarks: &remarks,
        sections: &sections,
        words: &[
            "perturbation",
            "L2 norm",
            "label",
            "answer",
            "certificate",
            "robust accuracy",
        ],
        made,
    })
}
