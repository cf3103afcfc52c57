//! The report of a replication: every table, figure and number in one file that needs no network,
//! and the tables and figures as files beside it.

mod section;

use std::path::{Path, PathBuf};

use askama::Template;
use blindspot_report::{
    Artifact, Cell, ReportError, STYLE, Table, file_name, filters_png, histogram, write,
};

use crate::experiments::ALL;
use crate::experiments::pictures::examples_png;
use crate::results::{ModelRecord, Pictures, Results};

pub(crate) use section::{Figure, Section, data_address};

/// What the template shows.
#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    /// The style sheet that all pages share.
    style: &'static str,
    quick: bool,
    tables: Vec<Table>,
    sections: Vec<Section>,
    models: Table,
    examples: Vec<Examples>,
    histograms: Vec<Histogram>,
    filters: Vec<(String, String)>,
    facts: Vec<(String, String)>,
    version: String,
}

/// Examples of one model.
struct Examples {
    model: String,
    image: String,
    /// Label and answer of each.
    answers: String,
}

/// Distortions of one model.
struct Histogram {
    model: String,
    count: usize,
    svg: String,
}

/// The tables of a replication, in the order of the report, with the name of each one's files.
fn tables(results: &Results) -> Vec<(&'static str, Table)> {
    ALL.iter()
        .flat_map(|known| (known.tables)(results))
        .collect()
}

/// The tables as text for a terminal, and what figures say in numbers.
pub fn terminal(results: &Results) -> String {
    let tables = tables(results);
    let tables = tables.iter().map(|(_, table)| table.text());
    let lines = ALL.iter().filter_map(|known| (known.lines)(results));
    tables.chain(lines).collect::<Vec<_>>().join("\n")
}

/// Writes each table as CSV and Markdown, figures 1 to 4 as SVG, figures 5 to 7 and the filters as
/// PNG, and `report.html`, into the folder `dir`; gives the files written. What the results don't
/// have is not written.
///
/// # Errors
/// [`ReportError`].
pub fn write_report(
    dir: &Path,
    results: &Results,
    pictures: &Pictures,
) -> Result<Vec<PathBuf>, ReportError> {
    let tables = tables(results).into_iter();
    let mut files: Vec<Artifact> = tables
        .flat_map(|(name, table)| Artifact::of_table(name, &table))
        .collect();
    files.extend(ALL.iter().flat_map(|known| (known.files)(pictures)));
    for (model, filters) in some(&pictures.filters) {
        files.push(Artifact {
            name: format!("filters-{}.png", file_name(model)),
            bytes: filters_png(filters),
        });
    }
    files.push(Artifact {
        name: "report.html".into(),
        bytes: page(results, pictures)?.into_bytes(),
    });
    write(dir, &files)
}

/// The models that have something.
fn some<T>(of_models: &[(String, Vec<T>)]) -> impl Iterator<Item = &(String, Vec<T>)> {
    of_models.iter().filter(|(_, values)| !values.is_empty())
}

/// The page as HTML that is XML, too.
fn page(results: &Results, pictures: &Pictures) -> Result<String, askama::Error> {
    let examples = some(&pictures.examples).map(|(model, pairs)| {
        let answers = pairs
            .iter()
            .map(|pair| format!("{} as {}", pair.label, pair.prediction));
        Examples {
            model: model.clone(),
            image: data_address(&examples_png(pairs)),
            answers: answers.collect::<Vec<_>>().join(", "),
        }
    });
    let largest = |values: &[f64]| {
        let finite = values.iter().copied().filter(|value| value.is_finite());
        finite.fold(0.0, f64::max)
    };
    // One scale for all, so that they can be compared.
    let scale = pictures.distortions.iter();
    let scale = scale.map(|(_, values)| largest(values)).fold(0.0, f64::max);
    let histograms = pictures.distortions.iter();
    let histograms = histograms.map(|(model, values)| Histogram {
        model: model.clone(),
        count: values.len(),
        svg: histogram(model, values, scale),
    });
    let filters = some(&pictures.filters);
    let filters =
        filters.map(|(model, filters)| (model.clone(), data_address(&filters_png(filters))));
    let sections = ALL.iter();
    let sections = sections.filter_map(|known| (known.section)(results, pictures));
    let version = results.versions.get("blindspot").cloned();
    let page = Page {
        style: STYLE,
        quick: results.quick,
        tables: tables(results)
            .into_iter()
            .map(|(_, table)| table)
            .collect(),
        sections: sections.collect(),
        models: models(&results.models),
        examples: examples.collect(),
        histograms: histograms.collect(),
        filters: filters.collect(),
        facts: facts(results),
        version: version.unwrap_or_default(),
    };
    page.render()
}

/// How the run was made.
fn facts(results: &Results) -> Vec<(String, String)> {
    let mut facts = vec![("seed".to_owned(), results.seed.to_string())];
    let options = results.options.iter();
    facts.extend(options.map(|(name, value)| (name.clone(), value.to_string())));
    let versions = results.versions.iter();
    facts.extend(versions.map(|(name, value)| (name.clone(), value.clone())));
    let hash = |(name, value): (&String, &String)| (format!("SHA-256 of {name}"), value.clone());
    facts.extend(results.data.iter().map(hash));
    facts.dedup();
    facts
}

/// How each model was trained.
fn models(models: &[ModelRecord]) -> Table {
    let heads = [
        "model",
        "lambda",
        "iterations",
        "stopped because",
        "loss",
        "SHA-256 of the file",
    ];
    let row = |model: &ModelRecord| {
        let lambda: Vec<String> = model.decay.iter().map(|l| format!("{l:e}")).collect();
        vec![
            Cell::Text(model.name.clone()),
            Cell::Text(lambda.join(", ")),
            Cell::Count(model.iterations),
            Cell::Text(model.stopped.clone()),
            Cell::Text(format!("{:.6}", model.loss)),
            Cell::Text(model.sha256.chars().take(16).collect()),
        ]
    };
    Table {
        title: "Models".into(),
        note: String::new(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: models.iter().map(row).collect(),
    }
}
