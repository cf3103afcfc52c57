//! What all pages share: one template, one look, the words they use and how they were made.

use std::collections::BTreeMap;

use askama::Template;
use blindspot::provenance::Provenance;
use blindspot::search::Norm;
use serde::Serialize;

use crate::table::Table;

/// The style sheet of every page.
#[cfg(test)]
pub(crate) const STYLE: &str = include_str!("../templates/style.css");

/// How a result was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// The command that makes it again, ready to be pasted; empty where there is none.
    pub command: String,
    /// Names and values: versions, hashes, options.
    pub facts: Vec<(String, String)>,
}

impl Made {
    /// Of these facts, the hashes of files by their names, and versions, without a command.
    pub fn of_facts(
        mut facts: Vec<(String, String)>,
        hashes: &BTreeMap<String, String>,
        versions: &BTreeMap<String, String>,
    ) -> Made {
        let hash = |(name, hash): (&String, &String)| (format!("SHA-256 of {name}"), hash.clone());
        facts.extend(hashes.iter().map(hash));
        facts.extend(versions.clone());
        Made {
            command: String::new(),
            facts,
        }
    }

    /// By this command.
    #[must_use]
    pub fn by(self, command: String) -> Made {
        Made { command, ..self }
    }

    /// Of a result of a model and images, without a command. `options` are the study's own, `more` what
    /// else is to be said.
    ///
    /// # Errors
    /// [`serde_json::Error`] where the options are none that JSON has.
    pub fn of(
        provenance: &Provenance,
        options: &impl Serialize,
        more: Vec<(String, String)>,
    ) -> serde_json::Result<Made> {
        let Provenance {
            preprocess,
            data,
            right_of,
            model_sha256,
            ..
        } = provenance;
        let images = match right_of {
            Some(all) => format!("{data}: of {all} those that the model gets right as they are"),
            None => data.clone(),
        };
        let mut facts = vec![("images".to_owned(), images)];
        facts.extend(more);
        if !model_sha256.is_empty() {
            facts.push(("SHA-256 of the model".into(), model_sha256.clone()));
        }
        if !preprocess.is_identity() {
            facts.push(("preprocessing".into(), serde_json::to_string(preprocess)?));
        }
        facts.push(("options".into(), serde_json::to_string(options)?));
        Ok(Made::of_facts(
            facts,
            &provenance.data_sha256,
            &provenance.versions,
        ))
    }
}

/// What the base template shows around a page's own sections.
pub(crate) struct Page<'a> {
    /// What kind of page this is, of what.
    pub(crate) title: String,
    /// The answer to the page's question, in a sentence.
    pub(crate) answer: String,
    /// Why it must not be taken at its word; empty for no reason.
    pub(crate) warning: String,
    /// What must be known to read it.
    pub(crate) remarks: Vec<String>,
    /// Anchors and names of the page's own sections.
    pub(crate) contents: Vec<(String, String)>,
    pub(crate) words: Vec<(&'static str, &'static str)>,
    pub(crate) made: &'a Made,
}

impl Page<'_> {
    pub(crate) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

/// The glossary that pages draw from.
const WORDS: [(&str, &str); 15] = [
    (
        "perturbation",
        "adversarial image minus original, value by value",
    ),
    (
        "L2 norm",
        "the square root of the sum of squares of all values of the perturbation",
    ),
    ("Linf norm", "the largest change of any value"),
    ("L1 norm", "the sum of the absolute values of all changes"),
    (
        "L0 norm",
        "how many values change, or pixels with all their channels where these were counted",
    ),
    (
        "distortion",
        "the root mean square of the perturbation: its L2 norm divided by the square root of the number of values",
    ),
    (
        "label",
        "the true class of an image, as the image set has it",
    ),
    (
        "answer",
        "the class whose output is the largest, given with its name where names are known",
    ),
    (
        "confidence",
        "the softmax of the network's outputs at its answer",
    ),
    (
        "fooled",
        "right as it is, and answered otherwise (as was asked for) after the perturbation",
    ),
    (
        "certificate",
        "a norm below which no perturbation whatever changes the answer: proven, not searched",
    ),
    (
        "robust accuracy",
        "share of all images that stay right under every perturbation up to a norm; a search bounds it from above, \
         certificates from below",
    ),
    (
        "transfer",
        "images made to fool one network, shown to another",
    ),
    (
        "singular value",
        "by how much a layer stretches an input along one of its principal directions; the largest bounds what it can \
         amplify",
    ),
    (
        "residual",
        "how far from locally smallest a perturbation can be, as a fraction of its norm",
    ),
];

/// The words' meanings.
///
/// # Panics
/// Where one is none of the glossary's.
pub(crate) fn words(wanted: &[&str]) -> Vec<(&'static str, &'static str)> {
    let find = |word: &&str| {
        let found = WORDS.iter().find(|(own, _)| own == word);
        *found.expect("pages use the glossary's words")
    };
    wanted.iter().map(find).collect()
}

/// The glossary's word for a norm.
pub(crate) fn norm_word(norm: Norm) -> &'static str {
    match norm {
        Norm::L2 => "L2 norm",
        Norm::Linf => "Linf norm",
        Norm::L1 => "L1 norm",
        Norm::L0 => "L0 norm",
    }
}

/// A part of a [`study_page`]: notes, then figures, then plots, then tables.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Section {
    /// Its anchor, of letters and digits.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What must be known to read it.
    pub notes: Vec<String>,
    /// Pictures with their captions, elements of HTML that are XML, too.
    pub figures: Vec<String>,
    /// Drawings (SVG elements).
    pub plots: Vec<String>,
    /// Tables, with their notes.
    pub tables: Vec<Table>,
}

/// What a [`study_page`] says.
#[derive(Debug, Clone, Copy)]
pub struct StudyPage<'a> {
    /// What kind of page this is, of what.
    pub title: &'a str,
    /// The answer to its question, in a sentence.
    pub answer: &'a str,
    /// Why it must not be taken at its word, above all else; empty for no reason.
    pub warning: &'a str,
    /// What must be known to read the answer.
    pub remarks: &'a [String],
    /// Its sections; the first stands right below the answer.
    pub sections: &'a [Section],
    /// The words of the glossary that it uses.
    pub words: &'a [&'a str],
    /// How it was made.
    pub made: &'a Made,
}

#[derive(Template)]
#[template(path = "study.html")]
struct Study<'a> {
    page: Page<'a>,
    sections: &'a [Section],
}

/// A page of plots and tables; one file of HTML that is XML, too.
///
/// # Errors
/// [`askama::Error`] where it can't be put together.
///
/// # Panics
/// Where one of its words is none of the glossary's.
pub fn study_page(study: &StudyPage<'_>) -> Result<String, askama::Error> {
    let sections = study.sections.iter();
    let page = Page {
        title: study.title.to_owned(),
        answer: study.answer.to_owned(),
        warning: study.warning.to_owned(),
        remarks: study.remarks.to_vec(),
        contents: sections
            .map(|section| (section.id.clone(), section.title.clone()))
            .collect(),
        words: words(study.words),
        made: study.made,
    };
    let sections = study.sections;
    Study { page, sections }.render()
}
