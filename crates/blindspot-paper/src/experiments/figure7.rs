//! Figure 7 (section 4.2): originals beside what fools a linear classifier (a) and a network (b), and
//! beside noise (c).

use blindspot::classify::{error, predictions};
use blindspot::inputs::{InMemory, InputError, Inputs};
use blindspot::search::{Example, norm};
use blindspot::transfer::{Distortion, add_noise};
use blindspot_report::{Artifact, Section, sheet_png};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pictures::{Pair, image, pair, picture};
use super::{Experiment, Needs};
use crate::page::section::{Figure, of_figures};
use crate::reproduce::Replication;
use crate::results::{Pictures, Results};

/// Figure 7.
pub static EXPERIMENT: Experiment = Experiment {
    name: "figure7",
    summary: "pictures of examples and of noise",
    needs: Needs::examples_of(&MODELS),
    run: |run, results, pictures| {
        let (figure, panels) = figure7(run)?;
        results.figure7 = Some(figure);
        pictures.figure7 = panels;
        Ok(())
    },
    files,
    section,
    ..Experiment::NOTHING
};

/// The models of panels (a) and (b); that of (c) is the second.
const MODELS: [&str; 2] = ["softmax1", "FC200-200-10"];

/// The standard deviation of the noise in panel (c).
const NOISE: f64 = 1.0;

/// Figure 7: originals beside what fools the network.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct Figure7 {
    /// The panels (a), (b) and (c) in order.
    pub panels: Vec<Figure7Panel>,
}

/// One panel of figure 7.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct Figure7Panel {
    /// `a`, `b` or `c`.
    pub panel: String,
    /// The model that answers.
    pub model: String,
    /// What was done to the images: `adversarial` or `gaussian noise`.
    pub change: String,
    /// Pooled distortion of the images shown.
    pub distortion_pooled: f64,
    /// Fraction of the perturbed images that the model still gets right: of those shown for the
    /// adversarial panels, of the whole test set for the noise.
    pub accuracy: f64,
    /// Positions in the data set of the images shown.
    pub images: Vec<u64>,
}

/// Panels (a) a linear classifier's examples, (b) a network's, (c) noise, one image of each class.
fn figure7(run: &Replication<'_>) -> Result<(Figure7, Vec<Vec<Pair>>), InputError> {
    let mut panels = Vec::new();
    let mut pairs = Vec::new();
    for (panel, name) in ["a", "b"].iter().zip(MODELS) {
        let shown = one_of_each_class(run.examples(name));
        let right = shown
            .iter()
            .filter(|example| example.prediction == example.label)
            .count();
        let shown_examples: Vec<Example> = shown.iter().map(|&example| example.clone()).collect();
        // Where a model gets no image right, there is nothing to show.
        let Some(distortion) = Distortion::of_examples(&shown_examples) else {
            continue;
        };
        panels.push(Figure7Panel {
            panel: (*panel).to_owned(),
            model: name.to_owned(),
            change: "adversarial".to_owned(),
            distortion_pooled: distortion.pooled,
            accuracy: right as f64 / shown.len() as f64,
            images: shown.iter().map(|example| example.index as u64).collect(),
        });
        pairs.push(
            shown
                .iter()
                .map(|example| pair(run.train(), example))
                .collect::<Result<_, _>>()?,
        );
    }
    let (panel, shown) = noise_panel(run)?;
    panels.push(panel);
    pairs.push(shown);
    Ok((Figure7 { panels }, pairs))
}

/// Panel (c): the whole test set with noise; the first image of each class is shown.
fn noise_panel(run: &Replication<'_>) -> Result<(Figure7Panel, Vec<Pair>), InputError> {
    let name = MODELS[1];
    let network = &run.model(name).network;
    let (_, labels) = run.labels();
    let length = run.test().image_len();
    let mut values = vec![0.0; run.test().len() * length];
    let mut norms = Vec::with_capacity(run.test().len());
    for (i, noisy) in values.chunks_exact_mut(length).enumerate() {
        let original = image(run.test(), i)?;
        noisy.copy_from_slice(&original);
        add_noise(noisy, NOISE, run.options.seed, i);
        norms.push(norm(&original, noisy));
    }
    let noisy = InMemory::new(values, length);
    let (before, after) = (
        predictions(network, run.test())?,
        predictions(network, &noisy)?,
    );
    let classes = network.output_len();
    let first = |class: usize| labels.iter().position(|&label| label == class);
    let images: Vec<usize> = (0..classes).filter_map(first).collect();
    let pairs = images
        .iter()
        .map(|&i| {
            let original = image(run.test(), i)?;
            Ok(Pair {
                label: labels[i],
                prediction_before: before[i],
                prediction: after[i],
                distortion: norms[i] / (length as f64).sqrt(),
                original: picture(run.test(), original),
                perturbed: picture(run.test(), noisy.input(i).to_vec()),
            })
        })
        .collect::<Result<_, InputError>>()?;
    let distortion = Distortion::of(&norms, length).expect("the test set has images");
    let panel = Figure7Panel {
        panel: "c".to_owned(),
        model: name.to_owned(),
        change: "gaussian noise".to_owned(),
        distortion_pooled: distortion.pooled,
        accuracy: 1.0 - error(network, &noisy, labels)?,
        images: images.iter().map(|&i| run.test().index(i) as u64).collect(),
    };
    Ok((panel, pairs))
}

/// The first example of each class that was not already wrong.
fn one_of_each_class(examples: &[Example]) -> Vec<&Example> {
    let classes = examples
        .iter()
        .map(|example| example.label + 1)
        .max()
        .unwrap_or(0);
    let first = |class| {
        examples
            .iter()
            .find(|example| example.label == class && !example.already_misclassified)
    };
    (0..classes).filter_map(first).collect()
}

/// A panel below the other, each a row of original and perturbed image side by side (PNG).
fn png(panels: &[Vec<Pair>]) -> Vec<u8> {
    let pair = |pair: &Pair| vec![pair.original.clone(), pair.perturbed.clone()];
    let panel = |panel: &Vec<Pair>| panel.iter().map(pair).collect();
    sheet_png(&panels.iter().map(panel).collect::<Vec<_>>())
}

fn files(pictures: &Pictures) -> Vec<Artifact> {
    let panels = Some(&pictures.figure7).filter(|panels| !panels.is_empty());
    let file = |panels: &Vec<Vec<Pair>>| Artifact {
        name: "figure7.png".into(),
        bytes: png(panels),
    };
    panels.map(file).into_iter().collect()
}

fn section(results: &Results, pictures: &Pictures) -> Option<Section> {
    let figure = results.figure7.as_ref()?;
    let shown = !pictures.figure7.is_empty();
    shown.then(|| {
        let drawn = Figure::of_small(
            &png(&pictures.figure7),
            "Three rows of pairs of digits, each an original beside its changed image",
            figure.panels.iter().map(caption).collect(),
        );
        let title = "Figure 7: originals beside what was made of them";
        of_figures("figure7", title, &[drawn])
    })
}

/// What is said of a panel, with the paper's numbers.
fn caption(shown: &Figure7Panel) -> String {
    let Figure7Panel {
        panel: name,
        model,
        change,
        distortion_pooled,
        accuracy,
        ..
    } = shown;
    let paper = panel(name).map_or(String::new(), |entry| {
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

/// The paper's numbers for one panel of figure 7.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure7Entry {
    /// `a`, `b` or `c`.
    pub panel: &'static str,
    /// Root mean square of the perturbation of a pixel.
    pub distortion: f64,
    /// Fraction of the perturbed images that are still classified correctly.
    pub accuracy: f64,
}

/// Figure 7 of the paper: adversarial examples for a linear classifier (a) and for FC200-200-10 (b),
/// which are never classified correctly, beside Gaussian noise (c), which is in half of the cases.
pub const FIGURE7: [Figure7Entry; 3] = [
    Figure7Entry {
        panel: "a",
        distortion: 0.06,
        accuracy: 0.0,
    },
    Figure7Entry {
        panel: "b",
        distortion: 0.063,
        accuracy: 0.0,
    },
    Figure7Entry {
        panel: "c",
        distortion: 1.0,
        accuracy: 0.51,
    },
];

/// The paper's numbers for the panel named `panel`, where it has them.
pub fn panel(panel: &str) -> Option<&'static Figure7Entry> {
    FIGURE7.iter().find(|entry| entry.panel == panel)
}
