//! What is said where a model is hardly right on the images: most often its preprocessing was not.

use std::time::Duration;

use blindspot::classify::model_predictions;
use blindspot::inputs::InputError;
use blindspot::model::{Model, Outputs};
use blindspot::preprocess::{ChannelOrder, Preprocess, near_chance};
use blindspot::usual::{Better, better_preprocessing};
use blindspot_data::ImageSet;

use crate::errors::PREPROCESSING;

/// Images that are looked at to know whether a model knows them.
const GLANCE: usize = 256;
/// What is right on so much of them is not suspected.
const GOOD: f64 = 0.95;
/// For the comparison with other preprocessings.
const TIME: Duration = Duration::from_secs(3);

/// What is to be said of a model and images with classes; None where the model seems to know them, or the images don't
/// fit it.
pub(super) fn warning(model: &Model, images: &ImageSet) -> Result<Option<String>, InputError> {
    if model.outputs() != Outputs::Classes || model.input_len() != images.image_len() {
        return Ok(None);
    }
    // A few of a large set are enough, and a random choice has many classes.
    let glance = match images.len() {
        0..=GLANCE => images.clone(),
        _ => images.shuffled(GLANCE, 0),
    };
    let Some(labels) = glance.labels() else {
        return Ok(None);
    };
    let answers = model_predictions(model, &glance)?;
    let right = answers.iter().zip(labels).filter(|(a, b)| a == b).count();
    if right as f64 >= GOOD * glance.len() as f64 {
        return Ok(None);
    }
    if let Some(better) = better_preprocessing(model, images, TIME)? {
        return Ok(Some(compared(&better)));
    }
    Ok(near_chance(right, glance.len(), model.output_len()).then(|| {
        format!(
            "warning: the model is right for {right} of {} images, which is near chance. Check what it \
             wants of its input ({PREPROCESSING}) and that the classes have its numbers",
            glance.len()
        )
    }))
}

/// The comparison in words.
fn compared(better: &Better) -> String {
    let share = |right: usize| 100.0 * right as f64 / better.images as f64;
    format!(
        "warning: of {} images tried, the model is right on {:.0}% with {}, on {:.0}% without",
        better.images,
        share(better.right),
        options(&better.preprocess),
        share(better.right_as_it_is)
    )
}

/// A preprocessing as options, but for the layout.
fn options(preprocess: &Preprocess) -> String {
    let default = Preprocess::default();
    let list = |numbers: &[f64]| {
        let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
        numbers.join(",")
    };
    let mut words = Vec::new();
    if preprocess.range != default.range {
        words.push(format!("--range {}", list(&preprocess.range)));
    }
    if !preprocess.mean.is_empty() {
        words.push(format!("--mean {}", list(&preprocess.mean)));
    }
    if !preprocess.std.is_empty() {
        words.push(format!("--std {}", list(&preprocess.std)));
    }
    if preprocess.channel_order == ChannelOrder::Bgr {
        words.push("--channel-order bgr".into());
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspicion_names_the_options_to_try() {
        let better = Better {
            preprocess: Preprocess {
                range: [0.0, 255.0],
                mean: vec![103.939, 116.779, 123.68],
                channel_order: ChannelOrder::Bgr,
                ..Preprocess::default()
            },
            right: 62,
            right_as_it_is: 3,
            images: 64,
        };
        assert_eq!(
            compared(&better),
            "warning: of 64 images tried, the model is right on 97% with --range 0,255 --mean \
             103.939,116.779,123.68 --channel-order bgr, on 5% without"
        );
    }
}
