//! Figure 7, and the pictures of the report.

use blindspot_data::ImageSet;

use super::{Experiment, Run};
use crate::results::{Figure7, Figure7Panel, Pair, Pictures};
use blindspot::classify::predictions;
use blindspot::inputs::{InputError, Inputs};
use blindspot::picture::Picture;
use blindspot::search::{Example, norm};
use blindspot::transfer::{Changed, Distortion};

/// Examples shown of each model.
const EXAMPLES: usize = 12;
/// The standard deviation of the noise in panel (c).
const NOISE: f64 = 1.0;

/// Pictures of every model's examples, distortions, and filters where it has some to look at.
pub(super) fn pictures(run: &Run<'_>) -> Result<Pictures, InputError> {
    let mut pictures = Pictures::default();
    for model in &run.models {
        let name = &model.record.name;
        let Some(examples) = run.examples.get(name) else {
            continue;
        };
        let changed = examples
            .iter()
            .filter(|example| !example.already_misclassified);
        let pairs = changed
            .take(EXAMPLES)
            .map(|example| pair(run.distorted(name).0, example))
            .collect::<Result<_, _>>()?;
        pictures.examples.push((name.clone(), pairs));
        let distortions = examples.iter().map(Example::distortion).collect();
        pictures.distortions.push((name.clone(), distortions));
        if model.autoencoder {
            pictures
                .filters
                .push((name.clone(), filters(run.train, &model.network)));
        }
    }
    Ok(pictures)
}

/// The weights of each unit of the first layer, as images.
fn filters(images: &ImageSet, network: &blindspot_net::Network<f32>) -> Vec<Picture> {
    let weights = &network.weights()[0];
    let inputs = network.input_len();
    let units = weights.len() / inputs;
    let unit = |unit: usize| (0..inputs).map(|i| weights[i * units + unit]).collect();
    (0..units)
        .map(|index| picture(images, unit(index)))
        .collect()
}

/// Panels (a) a linear classifier's examples, (b) a network's, (c) noise, one image of each class.
pub(super) fn figure7(run: &Run<'_>) -> Result<(Figure7, Vec<Vec<Pair>>), InputError> {
    let mut panels = Vec::new();
    let mut pairs = Vec::new();
    for (panel, &name) in ["a", "b"].iter().zip(Experiment::Figure7.models()) {
        let shown = one_of_each_class(&run.examples[name]);
        let right = shown
            .iter()
            .filter(|example| example.prediction == example.label)
            .count();
        let shown_examples: Vec<Example> = shown.iter().map(|&example| example.clone()).collect();
        panels.push(Figure7Panel {
            panel: (*panel).to_owned(),
            model: name.to_owned(),
            change: "adversarial".to_owned(),
            distortion_pooled: Distortion::of_examples(&shown_examples).pooled,
            accuracy: right as f64 / shown.len().max(1) as f64,
            images: shown.iter().map(|example| example.index as u64).collect(),
        });
        pairs.push(
            shown
                .iter()
                .map(|example| pair(run.train, example))
                .collect::<Result<_, _>>()?,
        );
    }
    let (panel, shown) = noise_panel(run)?;
    panels.push(panel);
    pairs.push(shown);
    Ok((Figure7 { panels }, pairs))
}

/// Panel (c): the whole test set with noise; the first image of each class is shown.
fn noise_panel(run: &Run<'_>) -> Result<(Figure7Panel, Vec<Pair>), InputError> {
    let name = Experiment::Figure7.models()[1];
    let network = &run.model(name).network;
    let (_, labels) = run.labels();
    let all: Vec<usize> = (0..run.test.len()).collect();
    let changed = Changed::noisy(run.test, labels, &all, NOISE, run.options.seed, None)?;
    let (before, after) = (
        predictions(network, run.test)?,
        predictions(network, &changed.images)?,
    );
    let classes = network.output_len();
    let first = |class: usize| labels.iter().position(|&label| label == class);
    let images: Vec<usize> = (0..classes).filter_map(first).collect();
    let length = run.test.image_len();
    let pairs = images
        .iter()
        .map(|&i| {
            let noisy = changed.images.values()[i * length..(i + 1) * length].to_vec();
            let original = image(run.test, i)?;
            Ok(Pair {
                label: labels[i],
                before: before[i],
                after: after[i],
                distortion: norm(&original, &noisy) / (length as f64).sqrt(),
                original: picture(run.test, original),
                changed: picture(run.test, noisy),
            })
        })
        .collect::<Result<_, InputError>>()?;
    let panel = Figure7Panel {
        panel: "c".to_owned(),
        model: name.to_owned(),
        change: "gaussian noise".to_owned(),
        distortion_pooled: changed.distortion.pooled,
        accuracy: 1.0 - changed.error_of(network),
        images: images.iter().map(|&i| run.test.index(i) as u64).collect(),
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

pub(super) fn pair(images: &ImageSet, example: &Example) -> Result<Pair, InputError> {
    Ok(Pair {
        original: picture(images, image(images, example.position)?),
        changed: picture(images, example.adversarial.clone()),
        label: example.label,
        before: example.prediction_before,
        after: example.prediction,
        distortion: example.distortion(),
    })
}

fn image(images: &ImageSet, index: usize) -> Result<Vec<f32>, InputError> {
    let mut values = vec![0.0; images.input_len()];
    images.read(index, &mut values)?;
    Ok(values)
}

pub(super) fn picture(images: &ImageSet, values: Vec<f32>) -> Picture {
    let [_, height, width] = images.shape();
    Picture {
        width,
        height,
        values,
    }
}
