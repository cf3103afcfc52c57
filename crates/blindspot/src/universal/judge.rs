//! What a perturbation does to images: each classifier's answers without it and with it.

use blindspot_data::random_positions;
use blindspot_model::InputBox;
use blindspot_model::classifier::Classifier;
use blindspot_model::classify::answers;
use blindspot_model::inputs::{InMemory, Inputs, read_batch};
use blindspot_run::monitor::Monitor;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::UniversalError;
use super::field::perturb;
use crate::search::{SearchError, check_class};
use crate::stats::wilson;

/// Values of the images that a thread judges at a time: 256 KiB of `f32`.
const BLOCK_VALUES: usize = 1 << 16;

/// A classifier's answers to one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Index of the image in the data set.
    pub index: usize,
    /// Its class.
    pub label: usize,
    /// The answer to the image as it is.
    pub before: usize,
    /// The answer to the image with the perturbation, clipped to the input box.
    pub after: usize,
}

impl Verdict {
    /// Whether the image can be fooled: it is right as it is, and not of the target class, if there is one.
    pub fn counts(&self, target: Option<usize>) -> bool {
        self.before == self.label && target != Some(self.label)
    }

    /// Whether it is: answered with the target class or, without one, wrongly.
    pub fn fooled(&self, target: Option<usize>) -> bool {
        let wrong = target.map_or(self.after != self.label, |target| self.after == target);
        self.counts(target) && wrong
    }
}

/// The share of images that a perturbation fools, of those that can be fooled, with its 95% confidence interval
/// (Wilson 1927).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoolingShare {
    /// Images fooled.
    pub fooled: usize,
    /// Images that are right as they are, and not of the target class, if there is one.
    pub right: usize,
    /// The first over the second.
    pub share: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl FoolingShare {
    /// Counts verdicts; None where no image can be fooled.
    pub fn of(verdicts: &[Verdict], target: Option<usize>) -> Option<FoolingShare> {
        let right = verdicts.iter().filter(|v| v.counts(target)).count();
        let fooled = verdicts.iter().filter(|v| v.fooled(target)).count();
        if right == 0 {
            return None;
        }
        let [low, high] = wilson(fooled as u64, right as u64);
        Some(FoolingShare {
            fooled,
            right,
            share: fooled as f64 / right as f64,
            low,
            high,
        })
    }
}

/// The answers to all images of a set with their true classes: of any classifier, not only of the one that the
/// perturbation was found on. Of the first images alone where the monitor cancels the work.
///
/// # Errors
/// [`UniversalError`] where images, labels, perturbation and classifier don't fit each other, or the classifier
/// fails.
pub fn judge(
    classifier: &dyn Classifier,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
    delta: &[f32],
    input_box: InputBox,
    monitor: &dyn Monitor,
) -> Result<Vec<Verdict>, UniversalError> {
    check(classifier, inputs, labels)?;
    let length = inputs.input_len();
    if delta.len() != length {
        return Err(UniversalError::Size {
            delta: delta.len(),
            image: length,
        });
    }
    let block_len = (BLOCK_VALUES / length.max(1)).max(classifier.one_batch().unwrap_or(1));
    let all: Vec<usize> = (0..inputs.len()).collect();
    let judged = |block: &[usize]| {
        if monitor.cancelled() {
            return Ok(None);
        }
        let mut values = vec![0.0; block.len() * length];
        read_batch(inputs, block.iter().copied(), &mut values)?;
        let mut images = InMemory::new(values, length);
        let answer = |images: &InMemory| {
            let answered = answers(&classifier, images);
            answered.map_err(|error| error.of_input(|at| inputs.index(block[at])))
        };
        let before = answer(&images)?;
        let mut perturbed = vec![0.0; length];
        for image in images.values_mut().chunks_exact_mut(length) {
            perturb(image, delta, input_box, &mut perturbed);
            image.copy_from_slice(&perturbed);
        }
        let answered = before.into_iter().zip(answer(&images)?);
        let verdicts = block
            .iter()
            .zip(answered)
            .map(|(&at, (before, after))| Verdict {
                index: inputs.index(at),
                label: labels[at],
                before,
                after,
            });
        Ok(Some(verdicts.collect()))
    };
    let blocks: Result<Vec<Option<Vec<Verdict>>>, UniversalError> =
        all.par_chunks(block_len.max(1)).map(judged).collect();
    Ok(blocks?
        .into_iter()
        .map_while(|block| block)
        .flatten()
        .collect())
}

/// Positions of `count` images in two halves, each in ascending order: of those that a perturbation is found on, one more
/// where the number is odd, and of those held out. The seed chooses them.
pub fn halves(count: usize, seed: u64) -> [Vec<usize>; 2] {
    let order = random_positions(count, count, seed);
    let (one, two) = order.split_at(count.div_ceil(2));
    [one, two].map(|half| {
        let mut half = half.to_vec();
        half.sort_unstable();
        half
    })
}

/// Checks that images, labels and classifier fit each other.
pub(super) fn check(
    classifier: &dyn Classifier,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
) -> Result<(), SearchError> {
    let (network, image) = (classifier.input_len(), inputs.input_len());
    if network != image {
        return Err(SearchError::Size { network, image });
    }
    if inputs.is_empty() {
        return Err(SearchError::Empty);
    }
    if labels.len() != inputs.len() {
        return Err(SearchError::Labels {
            labels: labels.len(),
            images: inputs.len(),
        });
    }
    let mut labels = labels.iter();
    labels.try_for_each(|&label| check_class("label", label, classifier.classes()))
}
