//! The page of an attack: what it found in a sentence, three examples, the curve, all images.

mod curve;
mod numbers;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use blindspot::examples::{Record, StoredExamples};
use blindspot::run::journal::JournalError;
use blindspot::search::Norm;

use crate::ReportError;
use crate::embedded::{Encoder, Pictures, csv_link};
use crate::names::class_name;
use crate::page::{Made, Page, norm_word, words};
use crate::table::{Table, digits};
pub use curve::robust_accuracy;
use curve::{Curve, curve};
use numbers::{Numbers, csv, norms, table};
use words::{Unit, answer, remarks};

/// What the page of an attack says besides its examples and their record.
#[derive(Debug, Clone, Copy)]
pub struct AttackPage<'a> {
    /// The network and the images, for people.
    pub subject: &'a str,
    /// Channels, height and width of an image.
    pub image_shape: [usize; 3],
    /// The names of the classes, that of class 0 first.
    pub classes: Option<&'a [String]>,
    /// The files of images, by their index in the set.
    pub files: &'a BTreeMap<usize, String>,
    /// For each example the confidence in the answer to the original, and in that to the adversarial image, from 0 to
    /// 1; empty where they are not known.
    pub confidences: &'a [[f64; 2]],
    /// Names and addresses of files with the same results, as seen from the page.
    pub links: &'a [(String, String)],
    /// How it was made.
    pub made: &'a Made,
}

#[derive(Template)]
#[template(path = "attack.html")]
struct Shown<'a> {
    page: Page<'a>,
    triplets: Vec<Triplet>,
    curve: Curve,
    numbers: Table,
    gallery: String,
    gallery_note: String,
    csv_link: String,
    links: &'a [(String, String)],
    labels: BTreeSet<String>,
    answers: BTreeSet<String>,
    outcomes: BTreeSet<&'static str>,
    cases: Vec<Case>,
}

/// An example at the head of the page.
struct Triplet {
    title: &'static str,
    name: String,
    before: String,
    after: String,
    caption: String,
    pictures: Pictures,
}

/// An image among all.
struct Case {
    index: usize,
    name: String,
    /// The label's number.
    class: usize,
    label: String,
    /// That to the adversarial image.
    answer: String,
    /// Before and after, where that is another.
    answers: String,
    outcome: &'static str,
    /// Empty where nothing was found.
    norm: String,
    /// The certificate's share of it; empty where one of them is not known.
    ratio: String,
    line: String,
    facts: Vec<(&'static str, String)>,
    pictures: Pictures,
}

/// The page of an attack; one file of HTML that is XML, too. Of many large images it holds smaller copies, so that it
/// stays below some 30 MB.
///
/// # Errors
/// [`ReportError`] where examples can't be read, or the page can't be put together.
pub fn attack_page(
    examples: &StoredExamples<'_>,
    record: &Record,
    shown: &AttackPage<'_>,
) -> Result<String, ReportError> {
    let norm = record.origin.options.norm;
    let numbers = Numbers::all(examples, norm)?;
    let unit = Unit::of(record, shown.image_shape);
    let places = smallest_median_largest(&numbers);
    let input_box = record.origin.options.input_box;
    let range = [input_box.lower, input_box.upper];
    let large = Encoder::large(shown.image_shape, range);
    let shows = |numbers: &Numbers| {
        record.smallest.is_none() || record.smallest_indices.contains(&numbers.index)
    };
    let count = numbers.iter().filter(|numbers| shows(numbers)).count();
    let small = Encoder::for_many(shown.image_shape, range, count);
    let say = Words { shown, unit: &unit };
    let (mut triplets, mut cases) = (Vec::new(), Vec::new());
    for (at, row) in examples.rows()?.enumerate() {
        let row = row.map_err(JournalError::Unreadable)?;
        let own = &numbers[at];
        if let Some((_, title)) = places.iter().find(|(place, _)| *place == at) {
            triplets.push((own.norm, say.triplet(title, own, at, large.pictures(&row))));
        }
        if shows(own) {
            cases.push(say.case(own, at, small.pictures(&row)));
        }
    }
    triplets.sort_by(|a, b| a.0.partial_cmp(&b.0).expect("norms are numbers"));
    let curve = curve(&numbers, record, &shown.made.command);
    let gallery = match record.smallest {
        Some(_) => format!("The {count} smallest perturbations"),
        None => "All images".to_owned(),
    };
    let of = |name: fn(&Case) -> &String| cases.iter().map(name).cloned().collect();
    let page = Page {
        title: format!("Attack on {}", shown.subject),
        answer: answer(
            &record.summary,
            &record.origin.options,
            &norms(&numbers),
            &unit,
        ),
        warning: String::new(),
        remarks: remarks(record),
        contents: [
            ("curve", curve.title),
            ("numbers", "In numbers"),
            ("images", &*gallery),
        ]
        .map(|(id, name)| (id.to_owned(), name.to_owned()))
        .to_vec(),
        words: words(&[
            "perturbation",
            norm_word(norm),
            "distortion",
            "label",
            "answer",
            "confidence",
            "fooled",
            "certificate",
            "robust accuracy",
            "residual",
        ]),
        made: shown.made,
    };
    let shown = Shown {
        page,
        triplets: triplets.into_iter().map(|(_, triplet)| triplet).collect(),
        curve,
        numbers: table(&numbers, &unit),
        gallery,
        gallery_note: small.note(),
        csv_link: csv_link(&csv(&numbers, norm, shown)),
        links: shown.links,
        labels: of(|case| &case.label),
        answers: of(|case| &case.answer),
        outcomes: cases.iter().map(|case| case.outcome).collect(),
        cases,
    };
    Ok(shown.render()?)
}

/// Where the smallest, the median and the largest norm are, each place once.
fn smallest_median_largest(numbers: &[Numbers]) -> Vec<(usize, &'static str)> {
    let mut fooled: Vec<(f64, usize)> = numbers
        .iter()
        .enumerate()
        .filter_map(|(at, numbers)| numbers.norm.map(|norm| (norm, at)))
        .collect();
    fooled.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some(last) = fooled.len().checked_sub(1) else {
        return Vec::new();
    };
    let titles = [
        (0, "The smallest perturbation"),
        (last / 2, "The median"),
        (last, "The largest"),
    ];
    let mut places: Vec<(usize, &str)> = Vec::new();
    for (rank, title) in titles {
        let at = fooled[rank].1;
        if places.iter().all(|(place, _)| *place != at) {
            places.push((at, title));
        }
    }
    places
}

/// What is said of one example.
struct Words<'a> {
    shown: &'a AttackPage<'a>,
    unit: &'a Unit,
}

impl Words<'_> {
    /// A class by its name and number.
    fn class(&self, number: usize) -> String {
        class_name(self.shown.classes, number)
    }

    /// The class that the example at `at` is answered with, before or after the perturbation, with the confidence in it
    /// where that is known.
    fn confident(&self, number: usize, at: usize, after: bool) -> String {
        let name = self.class(number);
        match self.shown.confidences.get(at) {
            Some(pair) => format!("{name}, {:.1}%", 100.0 * pair[usize::from(after)]),
            None => name,
        }
    }

    /// An image by its file or its index.
    fn name(&self, index: usize) -> String {
        match self.shown.files.get(&index) {
            Some(file) => file.clone(),
            None => format!("image {index}"),
        }
    }

    /// What a perturbation's size in its unit is called.
    fn size(&self) -> &'static str {
        match self.unit.norm {
            Norm::L2 => "distortion",
            Norm::Linf | Norm::L1 | Norm::L0 => "change",
        }
    }

    fn triplet(
        &self,
        title: &'static str,
        numbers: &Numbers,
        at: usize,
        pictures: Pictures,
    ) -> Triplet {
        let norm = numbers.norm.unwrap_or(0.0);
        let certified = numbers.certificate.map_or(String::new(), |radius| {
            format!(" Certified: none below {} does.", digits(radius))
        });
        let name = self.name(numbers.index);
        Triplet {
            title,
            before: self.confident(numbers.before, at, false),
            after: self.confident(numbers.after, at, true),
            caption: format!(
                "{name}, label {}. {} {}, {}.{certified}",
                self.class(numbers.label),
                norm_word(self.unit.norm),
                digits(norm),
                self.unit.of_norm(norm)
            ),
            name,
            pictures,
        }
    }

    fn case(&self, numbers: &Numbers, at: usize, pictures: Pictures) -> Case {
        let mut facts = vec![
            ("index", numbers.index.to_string()),
            ("label", self.class(numbers.label)),
            ("answer", self.confident(numbers.before, at, false)),
            ("then", self.confident(numbers.after, at, true)),
            ("outcome", numbers.outcome.to_owned()),
        ];
        if let Some(norm) = numbers.norm {
            facts.push((norm_word(self.unit.norm), digits(norm)));
            facts.push((self.size(), self.unit.of_norm(norm)));
            facts.push(("residual", format!("{:.1e}", numbers.residual)));
        }
        if let Some(radius) = numbers.certificate {
            facts.push(("certificate", digits(radius)));
        }
        facts.push(("evaluations", numbers.evaluations.to_string()));
        let text = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
        Case {
            index: numbers.index,
            name: self.name(numbers.index),
            class: numbers.label,
            label: self.class(numbers.label),
            answer: self.class(numbers.after),
            outcome: numbers.outcome,
            norm: text(numbers.norm),
            ratio: text(numbers.ratio()),
            answers: match numbers.norm {
                Some(_) => format!(
                    "{} → {}",
                    self.class(numbers.before),
                    self.class(numbers.after)
                ),
                None => self.class(numbers.before),
            },
            line: match numbers.norm {
                Some(norm) => format!("{} {}", norm_word(self.unit.norm), digits(norm)),
                None => numbers.outcome.to_owned(),
            },
            facts,
            pictures,
        }
    }
}
