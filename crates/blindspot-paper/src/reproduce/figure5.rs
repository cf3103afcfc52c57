//! Figure 5 (section 4.1): examples for a network trained on photographs.

use std::path::Path;

use blindspot_data::ImageSet;
use blindspot_net::Network;

use super::ReproduceError;
use super::figures::picture;
use crate::results::{Figure5, Figure5Image, Pair};
use blindspot::classify::predictions;
use blindspot::image_files::{ImageFileError, Saved, save_images};
use blindspot::inputs::{InputError, Inputs};
use blindspot::run::monitor::Monitor;
use blindspot::search::{EightBit, Example, SearchOptions, eight_bit, search};

/// The images that the paper takes.
pub const IMAGES: usize = 64;
/// Images that are asked at a time which of them the network knows.
const BLOCK: usize = 64;

/// A network that was trained elsewhere.
pub struct Own<'a> {
    /// Takes images in [0, 1], gives logits.
    pub network: &'a Network<f32>,
    /// Its file's name.
    pub name: String,
    /// The hash of its file.
    pub sha256: String,
}

/// What figure 5 leaves: figures, and a picture of each image beside its changed one.
pub struct Figure5Outcome {
    /// For `results.json`.
    pub figure: Figure5,
    /// In the order of [`Figure5::images`].
    pub pairs: Vec<Pair>,
    /// The changed images as files of 8-bit values hold them, in the same order.
    eight_bit: Vec<EightBit>,
    shape: [usize; 3],
}

/// Changes `count` images that the network classifies correctly (a seeded choice of the set; fewer
/// where it knows no more) until it answers a random wrong class to each.
///
/// # Errors
/// [`ReproduceError`], also where the network classifies no image correctly.
pub fn figure5(
    own: &Own<'_>,
    images: &ImageSet,
    count: usize,
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<Figure5Outcome, ReproduceError> {
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
    let options = SearchOptions {
        seed,
        ..SearchOptions::default()
    };
    let examples = search(own.network, &chosen, chosen_labels, &all, &options, monitor)?;
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
    let mean = |value: &dyn Fn(&Figure5Image) -> f64| {
        entries.iter().map(value).sum::<f64>() / entries.len() as f64
    };
    let part = |holds: &dyn Fn(&Figure5Image) -> bool| mean(&|image| f64::from(holds(image)));
    let figure = Figure5 {
        model: own.name.clone(),
        sha256: own.sha256.clone(),
        data: images.name().to_owned(),
        samples: entries.len() as u64,
        success: part(&|image| image.success),
        distortion_mean: mean(&|image| image.distortion),
        success_8bit: part(&|image| image.success_8bit),
        rounded: part(&|image| image.rounded),
        distortion_8bit_mean: mean(&|image| image.distortion_8bit),
        images: entries,
    };
    let length = images.image_len();
    let pairs = examples
        .iter()
        .zip(&eight_bit)
        .zip(originals.chunks_exact(length));
    let pairs = pairs.map(|((example, eight), original)| Pair {
        original: picture(images, original.to_vec()),
        changed: picture(images, eight.values().collect()),
        label: example.label,
        before: example.prediction_before,
        after: eight.prediction,
        distortion: eight.distortion(),
    });
    Ok(Figure5Outcome {
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
        let block: Vec<usize> = (asked..images.len().min(asked + BLOCK)).collect();
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

impl Figure5Outcome {
    /// Saves the changed images that succeed as PNG files in the folder `dir`, as [`save_images`]
    /// does.
    ///
    /// # Errors
    /// [`ImageFileError`].
    pub fn save(&self, dir: &Path) -> Result<(), ImageFileError> {
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
