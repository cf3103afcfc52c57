//! The page of a universal perturbation: what it does, what it looks like, what it is answered.

use std::collections::BTreeMap;

use blindspot::search::Norm;
use blindspot::universal::{Aim, FoolingShare, Record, UniversalPerturbation, Verdict};

use crate::embedded::Encoder;
use crate::gallery::{Cell as Shown, gallery};
use crate::names::class_name;
use crate::page::{Made, Section, StudyPage, norm_word, study_page};
use crate::table::{Cell, Table, digits};

/// What the page of a universal perturbation says besides its record.
#[derive(Debug, Clone, Copy)]
pub struct UniversalPage<'a> {
    /// The perturbation.
    pub found: &'a UniversalPerturbation,
    /// What the model answers to the images held out.
    pub held_out: &'a [Verdict],
    /// Some of these images, as they are, with the answers to them; values in the input box, channels first.
    pub examples: &'a [(Verdict, Vec<f32>)],
    /// Channels, height and width of an image.
    pub image_shape: [usize; 3],
    /// The names of the classes, that of class 0 first.
    pub classes: Option<&'a [String]>,
    /// How it was made.
    pub made: &'a Made,
}

/// The page of a universal perturbation; one file of HTML that is XML, too.
///
/// # Errors
/// [`askama::Error`] where it can't be put together.
pub fn universal_page(record: &Record, shown: &UniversalPage<'_>) -> Result<String, askama::Error> {
    let options = &record.about.options;
    let norm = options.norm.title();
    let mut sections = vec![Section {
        id: "perturbation".into(),
        title: "The same change to every image".into(),
        notes: vec![
            "Right as they are, and fooled by the same perturbation; none of them was seen when it was looked for.".into(),
        ],
        figures: vec![pictures(shown)],
        tables: vec![shares(record)],
        ..Section::default()
    }];
    if let Some(table) = given_answers(shown) {
        sections.push(Section {
            id: "answers".into(),
            title: "What the fooled images are answered".into(),
            tables: vec![table],
            ..Section::default()
        });
    }
    let mut remarks =
        vec!["Shares are of the images that a network gets right as they are.".to_owned()];
    if let Aim::Share(share) = options.aim {
        let verb = if record.summary.reached {
            "is the smallest found that fools"
        } else {
            "fools less than"
        };
        remarks.push(format!(
            "The perturbation {verb} a share of {share} of the images that it was looked for on."
        ));
    }
    study_page(&StudyPage {
        title: &format!("One {norm} perturbation for all images"),
        answer: &answer(record),
        warning: "",
        remarks: &remarks,
        sections: &sections,
        words: &[
            "perturbation",
            norm_word(options.norm),
            "label",
            "answer",
            "fooled",
        ],
        made: shown.made,
    })
}

/// What it does, in a sentence.
fn answer(record: &Record) -> String {
    let (options, summary) = (&record.about.options, &record.summary);
    let size = match options.norm {
        Norm::Linf => format!(
            "that changes no value by more than {}",
            digits(summary.norm)
        ),
        norm => format!("of {} norm {}", norm.title(), digits(summary.norm)),
    };
    let Some(own) = summary.shares.first() else {
        return format!("There is one perturbation {size}, judged on no image.");
    };
    match own.held_out {
        Some(FoolingShare {
            fooled,
            right,
            share,
            low,
            high,
        }) => format!(
            "One perturbation {size} fools {} on {fooled} of {right} images that it was not looked for on: {:.1}% \
             (95% interval {:.1}% to {:.1}%).",
            own.file,
            100.0 * share,
            100.0 * low,
            100.0 * high
        ),
        None => format!(
            "One perturbation {size} was found, and {} gets none of the images held out right as they are.",
            own.file
        ),
    }
}

/// The perturbation, then images without it and with it.
fn pictures(shown: &UniversalPage<'_>) -> String {
    let found = shown.found;
    let input_box = found.options.input_box;
    let encoder = Encoder::large(shown.image_shape, [input_box.lower, input_box.upper]);
    let small = encoder.is_small();
    let (magnified, image) = encoder.perturbation(found.delta.iter().copied());
    let mut cells = vec![Shown {
        image,
        small,
        caption: match &*magnified {
            "1" => "the perturbation".into(),
            _ => format!("the perturbation, {magnified} times"),
        },
        alt: format!("the perturbation, magnified {magnified} times around grey"),
    }];
    for (verdict, image) in shown.examples {
        let changed: Vec<f32> = image
            .iter()
            .zip(&found.delta)
            .map(|(value, change)| (value + change).clamp(input_box.lower, input_box.upper))
            .collect();
        let [before, after] =
            [verdict.before, verdict.after].map(|class| class_name(shown.classes, class));
        for (values, what, answer) in [
            (image, "as it is", before),
            (&changed, "with the perturbation", after),
        ] {
            cells.push(Shown {
                image: encoder.image(values),
                small,
                alt: format!("image {} {what}, answered {answer}", verdict.index),
                caption: answer,
            });
        }
    }
    gallery(&cells)
}

/// What the networks are fooled by, on both sets.
fn shares(record: &Record) -> Table {
    let sides = |share: &Option<FoolingShare>| match share {
        Some(share) => [
            Cell::Text(format!("{} of {}", share.fooled, share.right)),
            Cell::Rate(share.share, None),
            Cell::Text(format!(
                "{:.1}% to {:.1}%",
                100.0 * share.low,
                100.0 * share.high
            )),
        ],
        None => ["none right", "", ""].map(|text| Cell::Text(text.into())),
    };
    let heads = [
        "network",
        "held out: fooled",
        "share",
        "95% interval",
        "looked for on: fooled",
        "share",
        "95% interval",
    ];
    let rows = record.summary.shares.iter().map(|of| {
        let name = std::iter::once(Cell::Text(of.file.clone()));
        name.chain(sides(&of.held_out))
            .chain(sides(&of.training))
            .collect()
    });
    Table {
        title: "Images fooled, of those right as they are".into(),
        note: "Intervals: Wilson's. The perturbation was looked for with the first network alone."
            .into(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// How many of the images held out and fooled are answered with each class, the most frequent first; None of no image.
fn given_answers(shown: &UniversalPage<'_>) -> Option<Table> {
    let target = shown.found.options.class();
    let fooled = shown
        .held_out
        .iter()
        .filter(|verdict| verdict.fooled(target));
    let mut counts = BTreeMap::new();
    for verdict in fooled {
        *counts.entry(verdict.after).or_insert(0u64) += 1;
    }
    let all: u64 = counts.values().sum();
    let mut counts: Vec<(usize, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|&(class, count)| (std::cmp::Reverse(count), class));
    let row = |&(class, count): &(usize, u64)| {
        let share = count as f64 / all as f64;
        vec![
            Cell::Text(class_name(shown.classes, class)),
            Cell::Count(count),
            Cell::Rate(share, None),
        ]
    };
    (all > 0).then(|| Table {
        title: "Answers to the images held out and fooled".into(),
        note: format!("Of {all} images. Universal perturbations tend to lead to a few classes."),
        heads: ["class", "images", "share"].map(str::to_owned).to_vec(),
        rows: counts.iter().take(MOST_CLASSES).map(row).collect(),
    })
}

/// Classes of the table of answers.
const MOST_CLASSES: usize = 20;
