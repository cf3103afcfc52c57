//! The page: everything in one file that needs no network.

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blindspot_paper::paper;
use blindspot_paper::results::{Figure5, Figure7Panel, Pair, Pictures, Results};

use crate::histogram::histogram;
use crate::table::Table;
use crate::{all_tables, picture, tables, units};

/// What the template shows.
#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    quick: bool,
    tables: Vec<Table>,
    units: Vec<UnitsFigure>,
    figure5: Option<Figure>,
    figure6: Vec<Figure>,
    figure7: Option<Figure>,
    models: Table,
    examples: Vec<Examples>,
    histograms: Vec<Histogram>,
    filters: Vec<(String, String)>,
    facts: Vec<(String, String)>,
    version: String,
}

/// One of figures 1 to 4.
struct UnitsFigure {
    title: &'static str,
    caption: String,
    rows: Vec<units::rows::Row>,
    /// What the study says, below the last figure of its layer.
    answer: String,
}

/// A figure and what is said below it.
struct Figure {
    image: String,
    captions: Vec<String>,
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

/// The page as HTML that is XML, too.
pub(crate) fn page(results: &Results, pictures: &Pictures) -> Result<String, askama::Error> {
    let figure7 = results
        .figure7
        .as_ref()
        .filter(|_| !pictures.figure7.is_empty());
    let figure7 = figure7.map(|figure| Figure {
        image: data_address(&picture::png(&picture::figure7(&pictures.figure7))),
        captions: figure.panels.iter().map(caption).collect(),
    });
    let figure5 = results
        .figure5
        .as_ref()
        .filter(|_| !pictures.figure5.is_empty());
    let figure5 = figure5.map(|figure| Figure {
        image: data_address(&picture::png(&picture::figure5(shown(&pictures.figure5)))),
        captions: figure5_captions(figure),
    });
    let figure6 = results.quocnet.as_ref().map_or(Vec::new(), |results| {
        let captions = crate::quocnet::captions(results).into_iter();
        let made = captions
            .zip(&pictures.figure6)
            .filter(|(_, pairs)| !pairs.is_empty());
        let figure = |(caption, pairs): (String, &Vec<Pair>)| Figure {
            image: data_address(&picture::png(&picture::figure6(shown(pairs)))),
            captions: vec![format!(
                "{caption} The difference is magnified {} times.",
                picture::magnification6(shown(pairs))
            )],
        };
        made.map(figure).collect()
    });
    let examples = pictures
        .examples
        .iter()
        .filter(|(_, pairs)| !pairs.is_empty());
    let examples = examples.map(|(model, pairs)| {
        let answers = pairs
            .iter()
            .map(|pair| format!("{} as {}", pair.label, pair.after));
        Examples {
            model: model.clone(),
            image: data_address(&picture::png(&picture::examples(pairs))),
            answers: answers.collect::<Vec<_>>().join(", "),
        }
    });
    let finite = |values: &[f64]| {
        values
            .iter()
            .copied()
            .filter(|value| value.is_finite())
            .fold(0.0, f64::max)
    };
    // One scale for all, so that they can be compared.
    let largest = pictures
        .distortions
        .iter()
        .map(|(_, values)| finite(values))
        .fold(0.0, f64::max);
    let histograms = pictures
        .distortions
        .iter()
        .map(|(model, values)| Histogram {
            model: model.clone(),
            count: values.len(),
            svg: histogram(model, values, largest),
        });
    let filters = pictures
        .filters
        .iter()
        .filter(|(_, filters)| !filters.is_empty());
    let filters = filters.map(|(model, filters)| {
        (
            model.clone(),
            data_address(&picture::png(&picture::filters(filters))),
        )
    });
    let page = Page {
        quick: results.quick,
        tables: all_tables(results)
            .into_iter()
            .map(|(_, table)| table)
            .collect(),
        units: units_figures(results, pictures),
        figure5,
        figure6,
        figure7,
        models: tables::models(&results.models),
        examples: examples.collect(),
        histograms: histograms.collect(),
        filters: filters.collect(),
        facts: facts(results),
        version: results
            .versions
            .get("blindspot")
            .cloned()
            .unwrap_or_default(),
    };
    page.render()
}

/// Figures 1 to 4, as far as they were made.
fn units_figures(results: &Results, pictures: &Pictures) -> Vec<UnitsFigure> {
    let figure = |(name, rows): &(String, Vec<_>)| {
        let (figure, study, last) = match name.as_str() {
            "figure1" => (&results.figure1, &results.units, results.figure2.is_none()),
            "figure2" => (&results.figure2, &results.units, true),
            "figure3" => (
                &results.figure3,
                &results.units_own,
                results.figure4.is_none(),
            ),
            _ => (&results.figure4, &results.units_own, true),
        };
        let figure = figure.as_ref()?;
        let answer = study.as_ref().filter(|_| last);
        Some(UnitsFigure {
            title: units::figure_title(name),
            caption: format!(
                "{} of {}, {} images.",
                figure.layer, figure.model, figure.images
            ),
            rows: units::rows::rows(rows),
            answer: answer.map_or(String::new(), |study| study.answer.clone()),
        })
    };
    pictures.units.iter().filter_map(figure).collect()
}

/// How the run was made.
fn facts(results: &Results) -> Vec<(String, String)> {
    let mut facts = vec![("seed".to_owned(), results.seed.to_string())];
    let text = |value: &dyn std::fmt::Display| value.to_string();
    facts.extend(
        results
            .options
            .iter()
            .map(|(name, value)| (name.clone(), text(value))),
    );
    facts.extend(
        results
            .versions
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    let hash = |(name, value): (&String, &String)| (format!("SHA-256 of {name}"), value.clone());
    facts.extend(results.data.iter().map(hash));
    facts.dedup();
    facts
}

/// How many photographs the page shows of figure 5: each takes some 100 kB.
const SHOWN: usize = 8;

/// The part of figure 5 that the page shows.
pub(crate) fn shown(pairs: &[Pair]) -> &[Pair] {
    &pairs[..pairs.len().min(SHOWN)]
}

/// The figures of figure 5, and what is to be seen in each column.
pub(crate) fn figure5_captions(figure: &Figure5) -> Vec<String> {
    let Figure5 {
        model,
        samples,
        success,
        distortion_mean,
        success_8bit,
        rounded,
        distortion_8bit_mean,
        images,
        ..
    } = figure;
    let percent = |part: &f64| format!("{:.0}%", 100.0 * part);
    let mut captions = vec![
        format!(
            "{model}, {samples} images that it classifies correctly, random targets: {} answered as the \
             target, average distortion {distortion_mean:.6} (the paper, on AlexNet: {}).",
            percent(success),
            paper::FIGURE5_DISTORTION
        ),
        format!(
            "As 8-bit files hold them: {}, average distortion {distortion_8bit_mean:.6}; rounding alone \
             kept {}.",
            percent(success_8bit),
            percent(rounded)
        ),
    ];
    let columns = images.iter().take(SHOWN).map(|image| {
        let (label, target) = (&image.label_name, &image.target_name);
        format!("{label} as {target}")
    });
    captions.push(format!(
        "From the left: {}.",
        columns.collect::<Vec<_>>().join("; ")
    ));
    captions
}

fn caption(panel: &Figure7Panel) -> String {
    let Figure7Panel {
        panel: name,
        model,
        change,
        distortion_pooled,
        accuracy,
        ..
    } = panel;
    let paper = paper::figure7(name).map_or(String::new(), |entry| {
        format!(
            " The paper: distortion {}, {:.0}% right.",
            entry.distortion,
            100.0 * entry.accuracy
        )
    });
    format!(
        "({name}) {change} for {model}: distortion {distortion_pooled:.3}, {:.1}% right.{paper}",
        100.0 * accuracy
    )
}

fn data_address(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}
