//! Figure 5 (section 4.1): examples for a network trained on photographs.

use std::path::Path;

use blindspot::classify::predictions;
use blindspot::image_files::{ImageFileError, Saved, save_images};
use blindspot::inputs::{InputError, Inputs};
use blindspot::run::communicator::SingleProcess;
use blindspot::run::monitor::Monitor;
use blindspot::search::{EightBit, Example, SearchOptions, eight_bit};
use blindspot_data::ImageSet;
use blindspot_net::Network;
use blindspot_report::{Artifact, Section};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pictures::{Pair, columns_png, perturbation, picture};
use super::{Experiment, Needs, Source};
use crate::page::section::{Figure, of_figures};
use crate::reproduce::{KeptSearch, OwnNetwork, ReproduceError};
use crate::results::{Pictures, Results};

/// Figure 5.
pub static EXPERIMENT: Experiment = Experiment {
    name: "figure5",
    summary: "examples for a network and images of one's own",
    needs: Needs::source(Source::OwnNetwork),
    run: |run, results, pictures| {
        let (own, images) = run.own_network()?;
        let outcome = figure5(
            own,
            images,
            (IMAGES, run.options.seed),
            run.out,
            run.monitor,
        )?;
        outcome.save(&run.out.join("figure5"))?;
        results.figure5 = Some(outcome.figure);
        pictures.figure5 = outcome.pairs;
        Ok(())
    },
    lines: |results| {
        let figure = results.figure5.as_ref()?;
        Some(format!("Figure 5\n{}\n", captions(figure).join("\n")))
    },
    files,
    section,
    ..Experiment::NOTHING
};

/// The paper's average distortion of the 64 examples for AlexNet.
pub const FIGURE5_DISTORTION: f64 = 0.006_508;

/// The images that the paper takes.
const IMAGES: usize = 64;
/// Images that the network classifies at a time, to find some that it classifies correctly.
const BLOCK_IMAGES: usize = 64;
/// The paper shows the perturbation this many times magnified.
pub(super) const MAGNIFIED: f32 = 10.0;
/// The paper shows it around the level 128 of 255.
const GREY: f32 = 128.0 / 255.0;
/// The longer side of an image, in pixels, up to which its pixels are shown as squares.
const SMALL: usize = 64;
/// Images of which the page shows a picture: each takes some 100 kB.
const SHOWN: usize = 8;

/// Figure 5: examples for a network trained on photographs, random targets.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct Figure5 {
    /// The network's file.
    pub model: String,
    /// Its SHA-256.
    pub sha256: String,
    /// The image set, as it is called.
    pub data: String,
    /// Images distorted, each classified correctly before.
    pub samples: u64,
    /// Fraction of the images for which the network answers the target in the end.
    pub success: f64,
    /// Mean of the distortions of the images for which it does; None of no image.
    pub distortion_mean: Option<f64>,
    /// Fraction for which it does so to the image as an 8-bit file holds it.
    pub success_8bit: f64,
    /// Fraction for which rounding to 8 bits kept the success by itself; the others were searched
    /// for again among the images that such files hold.
    pub rounded: f64,
    /// Mean of the distortions as 8-bit files hold the images for which it does so; None of no image.
    pub distortion_8bit_mean: Option<f64>,
    /// Each image.
    pub images: Vec<Figure5Image>,
}

/// One image of figure 5.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct Figure5Image {
    /// Position in the data set.
    pub index: u64,
    /// Its file, relative to the set's folder, where it has one.
    pub file: Option<String>,
    /// The true class.
    pub label: usize,
    /// Its name; its number where it has none.
    pub label_name: String,
    /// The class that the network was to answer.
    pub target: usize,
    /// Its name.
    pub target_name: String,
    /// Whether it answers the target.
    pub success: bool,
    /// Root mean square of the change.
    pub distortion: f64,
    /// Whether it answers the target to the image as an 8-bit file holds it.
    pub success_8bit: bool,
    /// Whether rounding was enough for that.
    pub rounded: bool,
    /// Root mean square of that image's change.
    pub distortion_8bit: f64,
}

/// What figure 5 leaves.
struct Outcome {
    /// For `results.json`.
    figure: Figure5,
    /// In the order of [`Figure5::images`].
    pairs: Vec<Pair>,
    /// The adversarial images as files of 8-bit values hold them, in the same order.
    eight_bit: Vec<EightBit>,
    shape: [usize; 3],
}

/// Perturbs `count` images that the network classifies correctly (a seeded choice of the set; fewer
/// if it classifies no more correctly) until it answers a random wrong class to each.
///
/// # Errors
/// [`ReproduceError`], also if the network classifies no image correctly.
fn figure5(
    own: &OwnNetwork<'_>,
    images: &ImageSet,
    (count, seed): (usize, u64),
    out: &Path,
    monitor: &dyn Monitor,
) -> Result<Outcome, ReproduceError> {
    if images.labels().is_none() {
        return Err(ReproduceError::Unlabelled(images.name().to_owned()));
    }
    let shuffled = images.shuffled(images.len(), seed);
    let (positions, asked) = known(own.network, &shuffled, count, monitor)?;
    if positions.is_empty() && !monitor.cancelled() {
        return Err(ReproduceError::NoneKnown(own.name.clone(), asked));
    }
    let chosen = shuffled.select(&positions);
    let all: Vec<usize> = (0..chosen.len()).collect();
    let chosen_labels = chosen.labels().expect("the set has labels");
    let options = SearchOptions::default().seed(seed);
    let search = KeptSearch {
        name: "figure5",
        network: own.network,
        model_sha256: &own.sha256,
        images: &chosen,
        labels: chosen_labels,
        sample: &all,
        options: &options,
    };
    let examples = search.run(out, &SingleProcess, monitor)?;
    let examples = examples.ok_or(ReproduceError::Cancelled(out.to_owned()))?;
    let mut originals = vec![0.0; examples.len() * images.image_len()];
    for (example, place) in examples
        .iter()
        .zip(originals.chunks_exact_mut(images.image_len()))
    {
        chosen.read(example.position, place)?;
    }
    let eight_bit = eight_bit(own.network, &options, &examples, &originals, monitor)?;
    if monitor.cancelled() {
        return Err(ReproduceError::Stopped);
    }
    let names = images.classes();
    let name = |class: usize| {
        let names = names.and_then(|names| names.get(class));
        names.map_or_else(|| class.to_string(), Clone::clone)
    };
    let entry = |(example, eight): (&Example, &EightBit)| Figure5Image {
        index: example.index as u64,
        file: chosen
            .file(example.position)
            .map(|file| file.display().to_string()),
        label: example.label,
        label_name: name(example.label),
        target: example.target,
        target_name: name(example.target),
        success: example.success,
        distortion: example.distortion(),
        success_8bit: eight.success,
        rounded: eight.rounded,
        distortion_8bit: eight.distortion(),
    };
    let entries: Vec<Figure5Image> = examples.iter().zip(&eight_bit).map(entry).collect();
    let mean_where = |value: &dyn Fn(&Figure5Image) -> Option<f64>| {
        let values: Vec<f64> = entries.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let part = |holds: &dyn Fn(&Figure5Image) -> bool| {
        entries.iter().filter(|image| holds(image)).count() as f64 / entries.len() as f64
    };
    let figure = Figure5 {
        model: own.name.clone(),
        sha256: own.sha256.clone(),
        data: images.name().to_owned(),
        samples: entries.len() as u64,
        success: part(&|image| image.success),
        distortion_mean: mean_where(&|image| image.success.then_some(image.distortion)),
        success_8bit: part(&|image| image.success_8bit),
        rounded: part(&|image| image.rounded),
        distortion_8bit_mean: mean_where(&|image| {
            image.success_8bit.then_some(image.distortion_8bit)
        }),
        images: entries,
    };
    let length = images.image_len();
    let pairs = examples
        .iter()
        .zip(&eight_bit)
        .zip(originals.chunks_exact(length));
    let pairs = pairs.map(|((example, eight), original)| Pair {
        original: picture(images, original.to_vec()),
        perturbed: picture(images, eight.values().collect()),
        label: example.label,
        prediction_before: example.prediction_before,
        prediction: eight.prediction,
        distortion: eight.distortion(),
    });
    Ok(Outcome {
        pairs: pairs.collect(),
        figure,
        eight_bit,
        shape: images.shape(),
    })
}

/// The first images, at most `count`, that the network classifies correctly; and how many it was
/// asked for them.
fn known(
    network: &Network<f32>,
    images: &ImageSet,
    count: usize,
    monitor: &dyn Monitor,
) -> Result<(Vec<usize>, usize), InputError> {
    let mut known = Vec::new();
    let mut asked = 0;
    monitor.begin("images that the network knows", count as u64);
    while known.len() < count && asked < images.len() && !monitor.cancelled() {
        let block: Vec<usize> = (asked..images.len().min(asked + BLOCK_IMAGES)).collect();
        let part = images.select(&block);
        let answers = predictions(network, &part)?;
        let labels = part.labels().unwrap_or_default();
        let right = block.iter().zip(answers.iter().zip(labels));
        let right = right.filter(|(_, (answer, label))| answer == label);
        known.extend(right.map(|(&position, _)| position));
        asked += block.len();
        monitor.progress(known.len().min(count) as u64, "");
    }
    monitor.end();
    known.truncate(count);
    Ok((known, asked))
}

impl Outcome {
    /// Saves the adversarial images that succeed as PNG files in the folder `dir`.
    fn save(&self, dir: &Path) -> Result<(), ImageFileError> {
        let images = self.figure.images.iter().zip(&self.eight_bit);
        let images = images.filter(|(_, eight)| eight.success);
        let images = images.map(|(image, eight)| {
            Ok(Saved {
                index: image.index as usize,
                label: image.label,
                levels: (&eight.levels).into(),
            })
        });
        save_images(dir, images, self.shape)
    }
}

fn png(pairs: &[Pair]) -> Vec<u8> {
    columns_png(pairs, |pair| perturbation(pair, MAGNIFIED, GREY))
}

/// A picture of pairs on the page: the pixels of small images are shown as squares.
pub(super) fn drawn(pairs: &[Pair], png: &[u8], alt: &str, captions: Vec<String>) -> Figure {
    let small = |pair: &Pair| pair.original.width.max(pair.original.height) <= SMALL;
    if pairs.iter().all(small) {
        Figure::of_small(png, alt, captions)
    } else {
        Figure::of_large(png, alt, captions)
    }
}

/// The pairs that the page shows.
pub(super) fn shown(pairs: &[Pair]) -> &[Pair] {
    &pairs[..pairs.len().min(SHOWN)]
}

fn files(pictures: &Pictures) -> Vec<Artifact> {
    let pairs = Some(&pictures.figure5).filter(|pairs| !pairs.is_empty());
    let file = |pairs: &Vec<Pair>| Artifact {
        name: "figure5.png".into(),
        bytes: png(pairs),
    };
    pairs.map(file).into_iter().collect()
}

fn section(results: &Results, pictures: &Pictures) -> Option<Section> {
    let figure = results.figure5.as_ref()?;
    let columns = figure.images.iter().take(SHOWN).map(|image| {
        let (label, target) = (&image.label_name, &image.target_name);
        format!("{label} as {target}")
    });
    let columns = columns.collect::<Vec<_>>().join("; ");
    let mut captions = captions(figure);
    captions.push(format!("From the left: {columns}."));
    let any = !pictures.figure5.is_empty();
    any.then(|| {
        let shown = shown(&pictures.figure5);
        let drawn = drawn(
            shown,
            &png(shown),
            "A column for each image: above the original, in the middle the change ten times \
             magnified around grey, below the adversarial image",
            captions,
        );
        let title = format!(
            "Figure 5: images, and what {} takes them for once changed",
            figure.model
        );
        of_figures("figure5", &title, &[drawn])
    })
}

/// The numbers of figure 5, the paper's beside them.
fn captions(figure: &Figure5) -> Vec<String> {
    let Figure5 {
        model,
        samples,
        success,
        distortion_mean,
        success_8bit,
        rounded,
        distortion_8bit_mean,
        ..
    } = figure;
    let average = |mean: &Option<f64>| match mean {
        Some(mean) => format!("average distortion of these {mean:.6}"),
        None => "no distortion to average".into(),
    };
    let percent = |fraction: &f64| format!("{:.0}%", 100.0 * fraction);
    vec![
        format!(
            "{model}, {samples} images that it classifies correctly, random targets: {} answered as the \
             target, {} (the paper, on AlexNet: {FIGURE5_DISTORTION}).",
            percent(success),
            average(distortion_mean),
        ),
        format!(
            "As 8-bit files hold them: {}, {}; rounding alone kept {}.",
            percent(success_8bit),
            average(distortion_8bit_mean),
            percent(rounded)
        ),
    ]
}
