//! What a network answers: its outputs for every input of a set, the classes that it gives them,
//! and how often those are wrong.

use blindspot_net::{Evaluator, Network, argmax};
use rayon::prelude::*;

use crate::classifier::{CheckedEvaluator, Classifier, ClassifierError};
use crate::inputs::{InMemory, InputError, Inputs, read_batch};

/// Inputs evaluated at once, at most: some 500 keeps a chunk's activations in the cache of one core.
const MAX_CHUNK: usize = 512;
/// Bytes that one thread's activations may take.
const THREAD_MEMORY: usize = 256 << 20;

/// The outputs of `network` for every input, spread over the threads; the same bits for any number
/// of them.
///
/// # Errors
/// [`InputError`] where an input can't be read.
pub fn outputs(
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
) -> Result<InMemory, InputError> {
    outputs_where(network, inputs, |_| true)
}

/// The outputs of `network` for the chunks of 512 inputs that `wanted` picks by their first index;
/// 0 for all other inputs, which take no memory as long as nobody reads them.
///
/// # Errors
/// [`InputError`] where an input can't be read.
pub fn outputs_where(
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    wanted: impl Fn(usize) -> bool + Sync,
) -> Result<InMemory, InputError> {
    let length = network.output_len();
    let mut values = vec![0.0; inputs.len() * length];
    let chunk_len = chunk_len(network);
    values
        .par_chunks_mut(chunk_len * length)
        .enumerate()
        .try_for_each(|(chunk, out)| {
            let (start, n) = (chunk * chunk_len, out.len() / length);
            if !wanted(start) {
                return Ok(());
            }
            let mut evaluator = Evaluator::new(network);
            read_batch(inputs, start..start + n, evaluator.input(n))?;
            out.copy_from_slice(evaluator.forward());
            Ok::<(), InputError>(())
        })?;
    Ok(InMemory::new(values, length))
}

/// Number of inputs that are evaluated at once: as many as fit in memory, and a divisor of 512, so that no
/// piece reaches from one chunk into the next.
fn chunk_len(classifier: &impl Classifier) -> usize {
    let bytes = size_of::<f32>() * classifier.values_per_input();
    let most = (THREAD_MEMORY / bytes.max(1)).clamp(1, MAX_CHUNK);
    1 << most.ilog2()
}

/// The class that any classifier gives each input in memory: its largest output's.
///
/// # Errors
/// [`ClassifierError`] if the classifier fails, or returns NaN, infinities (with the position of the
/// input) or the wrong number of outputs.
pub fn answers(
    classifier: &impl Classifier,
    inputs: &InMemory,
) -> Result<Vec<usize>, ClassifierError> {
    let (length, chunk_len) = (classifier.input_len(), chunk_len(classifier));
    let mut answers = vec![0; inputs.len()];
    answers
        .par_chunks_mut(chunk_len)
        .zip(inputs.values().par_chunks(chunk_len * length))
        .enumerate()
        .try_for_each(|(chunk, (answers, inputs))| {
            let mut evaluator = CheckedEvaluator::new(classifier);
            evaluator.input(answers.len())?.copy_from_slice(inputs);
            let outputs = evaluator.outputs();
            let outputs = outputs.map_err(|error| error.of_input(|i| chunk * chunk_len + i))?;
            let outputs = outputs.chunks_exact(classifier.classes());
            for (answer, outputs) in answers.iter_mut().zip(outputs) {
                *answer = argmax(outputs);
            }
            Ok(())
        })?;
    Ok(answers)
}

/// The class that a network gives each input: its largest logit's.
///
/// # Errors
/// [`InputError`] where an input can't be read.
pub fn predictions(
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
) -> Result<Vec<usize>, InputError> {
    let logits = outputs(network, inputs)?;
    let rows = logits.values().chunks_exact(network.output_len());
    Ok(rows.map(argmax).collect())
}

/// The fraction of inputs that a classifier gives another class than their label, in [0, 1].
///
/// # Errors
/// [`InputError`] where an input can't be read.
///
/// # Panics
/// Where there is not one label for each input, or none.
pub fn error(
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
) -> Result<f64, InputError> {
    assert!(
        inputs.len() == labels.len() && !labels.is_empty(),
        "a label for each input"
    );
    let predictions = predictions(network, inputs)?;
    let wrong = predictions
        .iter()
        .zip(labels)
        .filter(|(answer, label)| answer != label)
        .count();
    Ok(wrong as f64 / labels.len() as f64)
}
