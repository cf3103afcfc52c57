//! How sure a model is of its answers to an example.

use blindspot_model::classifier::{Classifier, ClassifierError};
use blindspot_run::journal::JournalError;
use blindspot_run::monitor::Monitor;
use rayon::prelude::*;

use super::{StoredExample, StoredExamples};
use crate::search::SearchError;

/// Inputs that are evaluated together.
const BATCH: usize = 16;

/// For each example the confidence in the model's answer to the original, and in that to the adversarial image: the
/// softmax of the outputs at the answer, from 0 to 1. Of the first examples alone where the monitor cancels the work.
///
/// # Errors
/// [`SearchError`] where the classifier fails; [`JournalError`] where examples can't be read.
pub fn confidences<E: From<SearchError> + From<JournalError>>(
    classifier: &dyn Classifier,
    examples: &StoredExamples<'_>,
    monitor: &dyn Monitor,
) -> Result<Vec<[f64; 2]>, E> {
    let mut confidences = Vec::with_capacity(examples.len());
    let at_once = BATCH * rayon::current_num_threads();
    let mut rows = examples.rows()?.peekable();
    monitor.begin("confidences", examples.len() as u64);
    while rows.peek().is_some() && !monitor.cancelled() {
        let block: Vec<StoredExample> = rows
            .by_ref()
            .take(at_once)
            .collect::<Result<_, _>>()
            .map_err(JournalError::Unreadable)?;
        let batches = block
            .par_chunks(BATCH)
            .map(|batch| of_batch(classifier, batch));
        let found: Vec<Vec<[f64; 2]>> = batches
            .collect::<Result<_, _>>()
            .map_err(SearchError::from)?;
        confidences.extend(found.into_iter().flatten());
        monitor.progress(confidences.len() as u64, "");
    }
    monitor.end();
    Ok(confidences)
}

/// The confidences of a few examples.
fn of_batch(
    classifier: &dyn Classifier,
    batch: &[StoredExample],
) -> Result<Vec<[f64; 2]>, ClassifierError> {
    let mut evaluator = classifier.evaluator();
    let input = evaluator.input(2 * batch.len());
    let images = batch
        .iter()
        .flat_map(|row| [&row.original, &row.example.adversarial]);
    for (place, image) in input.chunks_mut(classifier.input_len()).zip(images) {
        place.copy_from_slice(image);
    }
    let outputs = evaluator.outputs()?;
    let answers: Vec<f64> = outputs
        .chunks(classifier.classes())
        .map(confidence)
        .collect();
    Ok(answers.as_chunks::<2>().0.to_vec())
}

/// The largest softmax of some logits.
fn confidence(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let others = logits.iter().map(|&logit| f64::from(logit - largest).exp());
    1.0 / others.sum::<f64>()
}
