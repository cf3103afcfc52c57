//! What a network answers: its outputs for every input of a set, the classes that it gives them,
//! and how often those are wrong.

use blindspot_net::{Evaluator, Network, argmax};
use rayon::prelude::*;

use crate::classifier::{CheckedEvaluator, Classifier, ClassifierError};
use crate::inputs::{InMemory, InputError, Inputs, read_batch};
use crate::model::Model;

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
    outputs_by(|| Evaluator::new(network), inputs, wanted)
}

/// What [`outputs_where`] gives, by evaluators made in a way of one's own.
fn outputs_by<'n>(
    evaluator: impl Fn() -> Evaluator<'n, f32> + Sync,
    inputs: &(impl Inputs + ?Sized),
    wanted: impl Fn(usize) -> bool + Sync,
) -> Result<InMemory, InputError> {
    let network = evaluator().network();
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
            let mut evaluator = evaluator();
            read_batch(inputs, start..start + n, evaluator.input(n))?;
            out.copy_from_slice(evaluator.forward());
            Ok::<(), InputError>(())
        })?;
    Ok(InMemory::new(values, length))
}

/// Number of inputs that are evaluated at once: as many as fit in memory, and a divisor of 512, so that no
/// piece reaches from one chunk into the next.
fn chunk_len(classifier: &dyn Classifier) -> usize {
    let bytes = size_of::<f32>() * classifier.values_per_input();
    let most = (THREAD_MEMORY / bytes.max(1)).clamp(1, MAX_CHUNK);
    1 << most.ilog2()
}

/// The class that the users of any classifier are answered for each input in memory: that of the largest of the
/// [outputs that they see](answered).
///
/// # Errors
/// [`ClassifierError`] if the classifier fails, or returns NaN, infinities (with the position of the
/// input) or the wrong number of outputs.
pub fn answers(
    classifier: &impl Classifier,
    inputs: &InMemory,
) -> Result<Vec<usize>, ClassifierError> {
    let outputs = answered(classifier, inputs)?;
    let rows = outputs.values().chunks_exact(outputs.input_len());
    Ok(rows.map(argmax).collect())
}

/// The outputs that the users of any classifier see for each input in memory: others than its own where it is
/// [answering](Classifier::answering) by these, or [rounded](Classifier::rounded).
///
/// # Errors
/// [`ClassifierError`] if the classifier fails, or returns NaN, infinities (with the position of the
/// input) or the wrong number of outputs.
pub fn answered(
    classifier: &impl Classifier,
    inputs: &InMemory,
) -> Result<InMemory, ClassifierError> {
    let seen = classifier.answering().or_else(|| classifier.rounded());
    let seen = seen.as_deref().unwrap_or(classifier);
    let precision = classifier.input_precision();
    let (length, classes, chunk_len) = (classifier.input_len(), seen.classes(), chunk_len(seen));
    let mut answered = vec![0.0; inputs.len() * classes];
    answered
        .par_chunks_mut(chunk_len * classes)
        .zip(inputs.values().par_chunks(chunk_len * length))
        .enumerate()
        .try_for_each(|(chunk, (answered, inputs))| {
            let mut evaluator = CheckedEvaluator::new(seen).letting_infinities();
            let place = evaluator.input(inputs.len() / length)?;
            for (place, &value) in place.iter_mut().zip(inputs) {
                *place = precision.round(value);
            }
            let outputs = evaluator.outputs();
            let outputs = outputs.map_err(|error| error.of_input(|i| chunk * chunk_len + i))?;
            answered.copy_from_slice(outputs);
            Ok(())
        })?;
    Ok(InMemory::new(answered, classes))
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

/// The class that a model's users are answered for each input: that of the largest of its file's
/// own outputs, with values rounded as its file has them.
///
/// # Errors
/// [`InputError`] where an input can't be read.
pub fn model_predictions(
    model: &Model,
    inputs: &(impl Inputs + ?Sized),
) -> Result<Vec<usize>, InputError> {
    let network = model.own_end().unwrap_or(model.network());
    let outputs = outputs_by(|| Evaluator::new(network).rounding(), inputs, |_| true)?;
    let rows = outputs.values().chunks_exact(network.output_len());
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

#[cfg(test)]
mod tests {
    use blindspot_net::ops::{Gemm, Unary};
    use blindspot_net::{Graph, Op, Operand};

    use super::*;

    /// Two sigmoids, of 20 times one value and of 25 times the other.
    fn saturated() -> Model {
        let mut graph = Graph::new("x", &[2]).unwrap();
        let weight = graph.weight("w", &[2, 2]).unwrap();
        let operands = [Operand::Value(graph.input()), Operand::Weight(weight)];
        let gemm = Op::Gemm(Gemm { trans_b: false });
        let logits = graph.node("z", gemm, &operands, "z").unwrap();
        let sigmoid = Op::Unary(Unary::Sigmoid);
        graph
            .node("y", sigmoid, &[Operand::Value(logits)], "y")
            .unwrap();
        let weights = vec![vec![20.0, 0.0, 0.0, 25.0]];
        Model::from_network(Network::new(graph, weights).unwrap()).unwrap()
    }

    #[test]
    fn probabilities_that_round_to_the_same_number_are_answered_as_users_see_them() {
        let model = saturated();
        // Both probabilities are 1 in single precision at the first, and the first class counts.
        let images = InMemory::new(vec![1.0, 1.0, 0.25, 0.5], 2);
        assert_eq!(predictions(model.network(), &images).unwrap(), [1, 1]);
        assert_eq!(answers(&model, &images).unwrap(), [0, 1]);
        assert_eq!(model_predictions(&model, &images).unwrap(), [0, 1]);
    }
}
