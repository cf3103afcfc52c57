//! The page of certificates: how far nothing can go wrong, beside how little is known to suffice.

use std::path::PathBuf;

use blindspot::certify::{Bracket, Record, write_certificates};
use blindspot::search::Norm;
use blindspot_data::files::{self, FileError};

use crate::page::{Made, Section, StudyPage, norm_word, study_page};
use crate::plot::{certificate_plot, norm_axis};
use crate::steps::{Steps, steps_plot};
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
    let norm = record.about.options.norm;
    write_certificates(npz, brackets, norm)?;
    let plot = brackets_plot(brackets, norm);
    files::write_atomically(svg, |sink| sink.write_all(plot.as_bytes()))
}

/// Each certificate beside the perturbation found, in a norm, as [`certificate_plot`] draws them.
pub fn brackets_plot(brackets: &[Bracket], norm: Norm) -> String {
    let radii: Vec<f64> = brackets.iter().map(|b| b.certificate.radius).collect();
    let found: Vec<f64> = brackets.iter().map(|bracket| bracket.found).collect();
    certificate_plot(&radii, &found, norm)
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
    let right: Vec<&Bracket> = brackets
        .iter()
        .filter(|bracket| bracket.found > 0.0)
        .collect();
    let mut radii: Vec<f64> = right.iter().map(|b| b.certificate.radius).collect();
    radii.sort_by(f64::total_cmp);
    let (samples, norm) = (record.summary.samples, record.about.options.norm);
    let answer = match radii.len().checked_sub(1) {
        None => format!(
            "The network gets none of the {samples} images right as they are: nothing to certify."
        ),
        Some(last) => format!(
            "No perturbation whose {} norm is below {} changes the answer to the median of the {} images that the \
             network gets right ({} to {} in all){}.",
            norm.title(),
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
    let found: Vec<f64> = right.iter().map(|bracket| bracket.found).collect();
    let curves = [
        Steps::of("found by the search", samples, &found),
        Steps::of("certified", samples, &radii),
    ];
    let title = "Robust accuracy over the norm";
    let below = norm_axis(norm, " of the perturbation");
    let [plot, _] = steps_plot(title, &below, samples, &curves);
    let row = |bracket: &Bracket| {
        let radius = bracket.certificate.radius;
        let found = bracket.found.is_finite().then_some(bracket.found);
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
        note: format!(
            "{} norms. 0: the image is wrong as it is, or rounding may make it so. Nothing stands where no \
             perturbation was found.",
            norm.title()
        ),
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
            ..Section::default()
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
        warning: "",
        remarks: &remarks,
        sections: &sections,
        words: &[
            "perturbation",
            norm_word(norm),
            "label",
            "answer",
            "certificate",
            "robust accuracy",
        ],
        made,
    })
}
