//! How sure a model is of its answers to an example.

use blindspot_model::classifier::Classifier;
use blindspot_run::journal::JournalError;

use super::{StoredExample, StoredExamples};
use crate::search::SearchError;

/// Inputs that are evaluated together.
const BATCH: usize = 16;

/// For each example the confidence in the model's answer to the original, and in that to the adversarial image: the
/// softmax of the outputs at the answer, from 0 to 1.
///
/// # Errors
/// [`SearchError`] where the classifier fails; [`JournalError`] where examples can't be read.
pub fn confidences<E: From<SearchError> + From<JournalError>>(
    classifier: &dyn Classifier,
    examples: &StoredExamples<'_>,
) -> Result<Vec<[f64; 2]>, E> {
    let mut evaluator = classifier.evaluator();
    let length = classifier.input_len();
    let mut confidences = Vec::with_capacity(examples.len());
    let mut rows = examples.rows()?.peekable();
    while rows.peek().is_some() {
        let block = rows.by_ref().take(BATCH);
        let block: Vec<StoredExample> = block
            .collect::<Result<_, _>>()
            .map_err(JournalError::Unreadable)?;
        let input = evaluator.input(2 * block.len());
        let images = block
            .iter()
            .flat_map(|row| [&row.original, &row.example.adversarial]);
        for (place, image) in input.chunks_mut(length).zip(images) {
            place.copy_from_slice(image);
        }
        let outputs = evaluator.outputs().map_err(SearchError::from)?;
        let mut answers = outputs.chunks(classifier.classes()).map(confidence);
        for _ in &block {
            let mut next = || answers.next().expect("a row of outputs for each input");
            confidences.push([next(), next()]);
        }
    }
    Ok(confidences)
}

/// The largest softmax of some logits.
fn confidence(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let others = logits.iter().map(|&logit| f64::from(logit - largest).exp());
    1.0 / others.sum::<f64>()
}
