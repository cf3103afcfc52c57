//! Pictures of examples: originals beside perturbed images, distortions and filters of the models.

use blindspot::inputs::{InputError, Inputs};
use blindspot::picture::Picture;
use blindspot::search::Example;
use blindspot_data::ImageSet;
use blindspot_net::Network;
use blindspot_report::sheet_png;

use crate::reproduce::Replication;
use crate::results::Pictures;

/// Examples shown of each model.
const EXAMPLES: usize = 12;
/// The perturbation of an example is shown this many times magnified, around grey.
const MAGNIFIED: f32 = 4.0;

/// An original beside its perturbed image.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The image as it is in the data set.
    pub original: Picture,
    /// The image with the perturbation, unclipped.
    pub perturbed: Picture,
    /// The true label.
    pub label: usize,
    /// What the model answers to the original.
    pub prediction_before: usize,
    /// What the model answers to the perturbed image.
    pub prediction: usize,
    /// Root mean square of the perturbation.
    pub distortion: f64,
}

/// Pictures of every model's examples, distortions, and filters where it has some to look at.
///
/// # Errors
/// [`InputError`] if an image can't be read.
pub(crate) fn of_models(run: &Replication<'_>) -> Result<Pictures, InputError> {
    let mut pictures = Pictures::default();
    for model in run.models() {
        let name = &model.record.name;
        let Some(examples) = run.find_examples(name) else {
            continue;
        };
        let fooled = examples
            .iter()
            .filter(|example| !example.already_misclassified);
        let pairs = fooled
            .take(EXAMPLES)
            .map(|example| pair(run.distorted(name).0, example))
            .collect::<Result<_, _>>()?;
        pictures.examples.push((name.clone(), pairs));
        let distortions = examples.iter().map(Example::distortion).collect();
        pictures.distortions.push((name.clone(), distortions));
        if model.autoencoder {
            pictures
                .filters
                .push((name.clone(), filters(run.train(), &model.network)));
        }
    }
    Ok(pictures)
}

/// The weights of each unit of the first layer, as images.
fn filters(images: &ImageSet, network: &Network<f32>) -> Vec<Picture> {
    let weights = &network.weights()[0];
    let inputs = network.input_len();
    let units = weights.len() / inputs;
    let unit = |unit: usize| (0..inputs).map(|i| weights[i * units + unit]).collect();
    (0..units)
        .map(|index| picture(images, unit(index)))
        .collect()
}

/// An example beside its original, one of `images`.
pub(super) fn pair(images: &ImageSet, example: &Example) -> Result<Pair, InputError> {
    Ok(Pair {
        original: picture(images, image(images, example.position)?),
        perturbed: picture(images, example.adversarial.clone()),
        label: example.label,
        prediction_before: example.prediction_before,
        prediction: example.prediction,
        distortion: example.distortion(),
    })
}

/// The values of an image.
pub(super) fn image(images: &ImageSet, index: usize) -> Result<Vec<f32>, InputError> {
    let mut values = vec![0.0; images.input_len()];
    images.read(index, &mut values)?;
    Ok(values)
}

/// Values as a picture of the size of `images`.
pub(super) fn picture(images: &ImageSet, values: Vec<f32>) -> Picture {
    let [_, height, width] = images.shape();
    Picture {
        width,
        height,
        values,
    }
}

/// The perturbation, magnified, around a shade of grey in [0, 1].
pub(super) fn perturbation(pair: &Pair, magnified: f32, grey: f32) -> Picture {
    let values = pair.original.values.iter().zip(&pair.perturbed.values);
    let values = values
        .map(|(original, perturbed)| grey + magnified * (perturbed - original))
        .collect();
    Picture {
        values,
        ..pair.original.clone()
    }
}

/// A column for each example (PNG): the original, the perturbation, the adversarial image.
pub(crate) fn examples_png(pairs: &[Pair]) -> Vec<u8> {
    columns_png(pairs, |pair| perturbation(pair, MAGNIFIED, 0.5))
}

/// A column for each pair (PNG): the original, what `middle` makes of the pair, the perturbed image.
pub(super) fn columns_png(pairs: &[Pair], middle: impl Fn(&Pair) -> Picture) -> Vec<u8> {
    let row = |of: &dyn Fn(&Pair) -> Picture| -> Vec<Vec<Picture>> {
        pairs.iter().map(|pair| vec![of(pair)]).collect()
    };
    sheet_png(&[
        row(&|pair| pair.original.clone()),
        row(&middle),
        row(&|pair| pair.perturbed.clone()),
    ])
}
