//! Tables, figures and the HTML page of a replication.
//!
//! A table is built once, then shown in the terminal, as CSV, as Markdown and in the
//! page; pictures are PNG, histograms SVG inside the page.

mod hardening;
mod histogram;
mod page;
mod picture;
mod plot;
mod quocnet;
mod spectrum;
mod table;
mod tables;
mod transfer;
mod units;

use std::path::{Path, PathBuf};

use blindspot::picture::Picture;
use blindspot_data::files::{FileError, write_atomically};
use blindspot_paper::results::{Pictures, Results};

pub use hardening::hardening;
pub use plot::{certificate_plot, history_plot, spectrum_plot};
pub use quocnet::{quocnet, quocnet_costs, quocnet_stages};
pub use spectrum::{spectrum_table, table5};
pub use table::{Cell, Table};
pub use tables::{models, table1, table2, table3, table4};
pub use transfer::{heat_map, transfer_matrix};
pub use units::{distributions, rotation, units_drawing, units_page};

/// Why a report can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file can't be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The page can't be put together.
    #[error("the page can't be put together: {0}")]
    Page(#[from] askama::Error),
}

/// The tables of a replication, in the paper's order, with the name of each one's files.
fn all_tables(results: &Results) -> Vec<(&'static str, Table)> {
    let quick = results.quick;
    let (one, two) = (results.table1.as_ref(), results.table2.as_ref());
    let (three, four) = (results.table3.as_ref(), results.table4.as_ref());
    let hard = results.hardening.as_ref();
    let features = results.quocnet.as_ref();
    let costs = features.map(|results| &results.costs[..]);
    let tables = [
        ("table1", one.map(|rows| table1(rows, quick))),
        ("table2", two.map(|table| table2(table, quick))),
        ("table3", three.map(|rows| table3(rows, quick))),
        ("table4", four.map(|table| table4(table, quick))),
        ("quocnet", features.map(|results| quocnet(results, quick))),
        (
            "quocnet-stages",
            features.map(|results| quocnet_stages(results, quick)),
        ),
        ("quocnet-costs", costs.map(quocnet_costs)),
        ("hardening", hard.map(|rows| hardening(rows, quick))),
        (
            "table5",
            results.table5.as_ref().map(|table| table5(table, quick)),
        ),
    ];
    tables
        .into_iter()
        .filter_map(|(name, table)| Some((name, table?)))
        .collect()
}

/// The tables as text for a terminal.
pub fn terminal(results: &Results) -> String {
    let tables = all_tables(results);
    let mut parts: Vec<String> = tables.iter().map(|(_, table)| table.text()).collect();
    let studies = [("1 and 2", &results.units), ("3 and 4", &results.units_own)];
    for (figures, study) in studies {
        if let Some(study) = study {
            parts.push(format!("Figures {figures}\n{}\n", study.answer));
        }
    }
    if let Some(figure) = &results.figure5 {
        let mut captions = page::figure5_captions(figure);
        // The last one is about the picture.
        captions.pop();
        parts.push(format!("Figure 5\n{}\n", captions.join("\n")));
    }
    if let Some(results) = &results.quocnet {
        parts.push(format!(
            "Figure 6\n{}\n",
            quocnet::captions(results).join("\n")
        ));
    }
    parts.join("\n")
}

/// Writes each table as CSV and Markdown, figures 1 to 4 as SVG, figures 5 to 7 and the filters as
/// PNG, and `report.html`, into the folder `dir`; gives the files written. What the results don't have is not written.
///
/// # Errors
/// [`ReportError`].
pub fn write(
    dir: &Path,
    results: &Results,
    pictures: &Pictures,
) -> Result<Vec<PathBuf>, ReportError> {
    let mut written = Vec::new();
    let mut file = |name: String, bytes: &[u8]| -> Result<(), FileError> {
        let path = dir.join(name);
        write_atomically(&path, |writer| writer.write_all(bytes))?;
        written.push(path);
        Ok(())
    };
    for (name, table) in all_tables(results) {
        file(format!("{name}.csv"), table.csv().as_bytes())?;
        file(format!("{name}.md"), table.markdown().as_bytes())?;
    }
    if !pictures.figure5.is_empty() {
        file(
            "figure5.png".into(),
            &picture::png(&picture::figure5(&pictures.figure5)),
        )?;
    }
    for (name, pairs) in ["figure6", "figure6-other"].iter().zip(&pictures.figure6) {
        if !pairs.is_empty() {
            file(
                format!("{name}.png"),
                &picture::png(&picture::figure6(pairs)),
            )?;
        }
    }
    for (name, rows) in &pictures.units {
        let drawing = units::rows::drawing(units::figure_title(name), rows);
        file(format!("{name}.svg"), drawing.as_bytes())?;
    }
    if !pictures.figure7.is_empty() {
        file(
            "figure7.png".into(),
            &picture::png(&picture::figure7(&pictures.figure7)),
        )?;
    }
    for (model, filters) in pictures
        .filters
        .iter()
        .filter(|(_, filters)| !filters.is_empty())
    {
        let name = format!("filters-{}.png", file_name(model));
        file(name, &picture::png(&picture::filters(filters)))?;
    }
    let page = page::page(results, pictures)?;
    file("report.html".into(), page.as_bytes())?;
    Ok(written)
}

/// A picture as the bytes of a PNG file, each value a pixel.
pub fn picture_png(picture: &Picture) -> Vec<u8> {
    picture::png(&picture::plain(picture))
}

/// Filters as the bytes of a PNG file, in rows of 25, each scaled to its own largest weight.
pub fn filters_png(filters: &[Picture]) -> Vec<u8> {
    picture::png(&picture::filters(filters))
}

/// A name without what file systems or shells make of some characters.
pub fn file_name(name: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.chars()
        .map(|c| if safe(c) { c } else { '_' })
        .collect()
}
