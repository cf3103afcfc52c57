//! The report of a replication: every table, figure and number in one file that needs no network,
//! and the tables and figures as files beside it.

pub(crate) mod section;
mod words;

use std::path::{Path, PathBuf};

use blindspot_report::{
    Artifact, Cell, Made, ReportError, Section, StudyPage, Table, file_name, filters_png,
    study_page, write,
};

use crate::experiments::ALL;
use crate::experiments::pictures::{Pair, examples_png};
use crate::results::{ModelRecord, Pictures, Results};
use section::{Figure, empty, of_distortions, of_figures};

/// The tables of a replication, in the order of the report, with the name of each one's files.
fn tables(results: &Results) -> Vec<(&'static str, Table)> {
    ALL.iter()
        .flat_map(|known| (known.tables)(results))
        .collect()
}

/// The tables as text for a terminal of this many letters, or of any width, and what figures say in numbers.
pub fn terminal(results: &Results, letters: Option<usize>) -> String {
    let letters = letters.unwrap_or(usize::MAX);
    let tables = tables(results);
    let tables = tables.iter().map(|(_, table)| table.text_within(letters));
    let lines = ALL.iter().filter_map(|known| (known.lines)(results));
    tables.chain(lines).collect::<Vec<_>>().join("\n")
}

/// Writes each table as CSV and Markdown, figures 1 to 4 as SVG, figures 5 to 7 and the filters as
/// PNG, and `report.html`, into the folder `dir`; gives the files written, the report last. What the
/// results don't have is not written. `command` makes them again, and is named by the report; empty
/// where there is none.
///
/// # Errors
/// [`ReportError`].
pub fn write_report(
    dir: &Path,
    results: &Results,
    pictures: &Pictures,
    command: &str,
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
        bytes: page(results, pictures, command)?.into_bytes(),
    });
    write(dir, &files)
}

/// The models that have something.
fn some<T>(of_models: &[(String, Vec<T>)]) -> impl Iterator<Item = &(String, Vec<T>)> {
    of_models.iter().filter(|(_, values)| !values.is_empty())
}

/// Figures whose pictures are of examples, by their anchors.
const OF_EXAMPLES: [&str; 3] = ["figure5", "figure6", "figure7"];

/// The page: examples first, then the tables, then the figures.
fn page(results: &Results, pictures: &Pictures, command: &str) -> Result<String, askama::Error> {
    let mut sections: Vec<Section> = examples(pictures).into_iter().collect();
    let figures = ALL.iter();
    let figures = figures.filter_map(|known| (known.section)(results, pictures));
    let none = sections.is_empty();
    let (first, figures): (Vec<Section>, Vec<Section>) =
        figures.partition(|figure| none && OF_EXAMPLES.contains(&&*figure.id));
    sections.extend(first);
    let tables = tables(results).into_iter();
    sections.extend(tables.map(|(name, table)| Section {
        tables: vec![table.clone()],
        ..empty(name, &table.title)
    }));
    sections.extend(figures);
    if !pictures.distortions.is_empty() {
        sections.push(of_distortions(&pictures.distortions));
    }
    sections.extend(filters(pictures));
    if !results.models.is_empty() {
        sections.push(Section {
            tables: vec![models(&results.models)],
            ..empty("models", "How the networks were trained")
        });
    }
    study_page(&StudyPage {
        title: "“Intriguing properties of neural networks” (Szegedy et al., 2013), again",
        answer: &words::answer(results),
        warning: if results.quick { words::QUICK } else { "" },
        remarks: &[words::ABOUT.to_owned()],
        sections: &sections,
        words: words::GLOSSARY,
        made: &made(results).by(command.to_owned()),
    })
}

/// Some examples of each model that has them.
fn examples(pictures: &Pictures) -> Option<Section> {
    let figure = |(model, pairs): &(String, Vec<Pair>)| {
        let answer = |pair: &Pair| format!("{} as {}", pair.label, pair.prediction);
        let answers: Vec<String> = pairs.iter().map(answer).collect();
        let alt = format!("Originals, changes and adversarial images for {model}");
        let caption = format!("From the left: {}.", answers.join(", "));
        Figure::of_small(&examples_png(pairs), &alt, vec![caption]).titled(model)
    };
    let figures: Vec<Figure> = some(&pictures.examples).map(figure).collect();
    let note = "Above the originals, which the network gets right; below the adversarial images, which it takes for a \
                class chosen at random; between them the change, four times magnified around grey.";
    (!figures.is_empty()).then(|| Section {
        notes: vec![note.into()],
        ..of_figures("examples", "Examples", &figures)
    })
}

/// The weights of the first layer of the models that have some to look at.
fn filters(pictures: &Pictures) -> impl Iterator<Item = Section> {
    some(&pictures.filters).map(|(model, filters)| {
        let alt = format!("A grid of filters of {model}");
        let caption =
            "The weights of units of the first layer, each scaled to its largest one; grey is 0.";
        let figure = Figure::of_small(&filters_png(filters), &alt, vec![caption.into()]);
        let id = format!("filters-{}", file_name(model));
        of_figures(&id, &format!("Filters of {model}"), &[figure])
    })
}

/// How the run was made.
fn made(results: &Results) -> Made {
    let mut facts = vec![("seed".to_owned(), results.seed.to_string())];
    let options = results.options.iter().filter(|(name, _)| *name != "seed");
    facts.extend(options.map(|(name, value)| (name.clone(), value.to_string())));
    Made::of_facts(facts, &results.data, &results.versions)
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
            Cell::Figure(Some(model.loss), None),
            Cell::Text(model.sha256.chars().take(16).collect()),
        ]
    };
    Table {
        title: "Models".into(),
        note: "Lambda: weight decay of each layer. Loss: the final training loss, decay included."
            .into(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: models.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::excitation::UnitsFigure;
    use crate::experiments::table1::Table1Row;
    use blindspot::picture::Picture;

    /// The page of one network, as XML, and the anchors of its sections in their order.
    fn shown(results: &Results, pictures: &Pictures) -> (String, Vec<String>) {
        let page = page(results, pictures, "blindspot reproduce --quick").unwrap();
        let document = roxmltree::Document::parse(&page[page.find("<html").unwrap()..]).unwrap();
        let sections = document
            .descendants()
            .filter(|node| node.has_tag_name("section"));
        let ids = sections.filter_map(|section| section.attribute("id"));
        let ids = ids.map(str::to_owned).collect();
        (page, ids)
    }

    #[test]
    fn examples_come_first_and_what_is_dead_is_said() {
        let picture = Picture {
            width: 2,
            height: 2,
            values: vec![0.5; 4],
        };
        let pair = Pair {
            original: picture.clone(),
            perturbed: picture,
            label: 4,
            prediction_before: 4,
            prediction: 9,
            distortion: 0.1,
        };
        let row = Table1Row {
            model: "FC100-100-10".into(),
            train_error: 0.0,
            test_error: 0.0,
            distortion_mean: 0.1,
            distortion_pooled: 0.1,
            distortion_median: 0.1,
            l2_mean: 2.8,
            samples: 1,
            already_misclassified: 0,
            success: 1.0,
        };
        let figure = UnitsFigure {
            model: "own.onnx".into(),
            layer: "features".into(),
            data: "folder:mine".into(),
            images: 70,
            units: 9,
            dead: 3,
            rows: Vec::new(),
        };
        let results = Results {
            quick: true,
            table1: Some(vec![row]),
            figure3: Some(figure),
            ..Results::default()
        };
        let pictures = Pictures {
            examples: vec![("FC100-100-10".into(), vec![pair.clone()])],
            distortions: vec![("FC100-100-10".into(), vec![0.1])],
            units: vec![("figure3".into(), Vec::new())],
            ..Pictures::default()
        };
        let (page, ids) = shown(&results, &pictures);
        assert_eq!(
            ids,
            [
                "examples",
                "table1",
                "figure3",
                "distortions",
                "words",
                "made"
            ]
        );
        for said in [
            "4 as 9",
            "A quick look",
            "blindspot reproduce --quick",
            "in own.onnx",
            "over 70 images of folder:mine",
            "3 of the layer&#39;s 9 units are dead",
            "<span class=\"paper\">0.058</span>",
        ] {
            assert!(page.contains(said), "{said}: {page}");
        }
        assert!(
            !page.contains("photograph"),
            "nobody said that these are some"
        );
        // Where there are no examples of each network, a figure has them.
        let own = Pictures {
            examples: Vec::new(),
            figure7: vec![vec![pair]],
            ..pictures
        };
        let results = Results {
            figure7: Some(crate::experiments::figure7::Figure7 { panels: Vec::new() }),
            ..results
        };
        let (_, ids) = shown(&results, &own);
        assert_eq!(ids[..3], ["figure7", "table1", "figure3"]);
    }
}
