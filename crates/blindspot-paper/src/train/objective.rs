//! The training loss of a classifier: mean cross entropy and weight decay (section 2).

use blindspot_net::{Network, argmax, cross_entropy};

use super::parallel::Lanes;
use crate::session::LabelledData;
use blindspot::inputs::{InputError, Inputs, read_batch};
use blindspot::run::communicator::Communicator;

/// What L-BFGS minimises: a function of all weights, one tensor after the other.
pub(super) trait Objective {
    /// The value at `weights`; writes the gradient.
    ///
    /// # Errors
    /// [`InputError`] if an input can't be read.
    fn evaluate(&mut self, weights: &[f64], gradient: &mut [f64]) -> Result<LossValue, InputError>;
}

/// The training loss: the mean cross entropy over a set, in nats, and for each weight
/// `coefficient * sum of squares`.
pub struct TrainingLoss<'a> {
    network: Network<f32>,
    inputs: &'a dyn Inputs,
    labels: &'a [usize],
    decay: Vec<f64>,
    lanes: Lanes<'a>,
}

/// A training loss at one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossValue {
    /// Mean cross entropy and decay.
    pub loss: f64,
    /// Fraction of the set that the network gets wrong; `None` where nothing is classified.
    pub error: Option<f64>,
}

impl<'a> TrainingLoss<'a> {
    /// The loss of `network` on labelled inputs; `decay[i]` is the coefficient of the sum of
    /// squares of weight i (0 for biases).
    ///
    /// # Panics
    /// If the sizes disagree or there is no input.
    pub fn new(network: Network<f32>, data: &LabelledData<'a>, decay: Vec<f64>) -> Self {
        let LabelledData { inputs, labels, .. } = *data;
        assert!(
            inputs.len() == labels.len() && !labels.is_empty(),
            "a label for each input"
        );
        assert_eq!(
            decay.len(),
            network.weights().len(),
            "a coefficient for each weight"
        );
        TrainingLoss {
            network,
            inputs,
            labels,
            decay,
            lanes: Lanes::default(),
        }
    }

    /// Spreads the evaluation over several ranks, which all have to evaluate it at the same weights.
    pub fn over(self, ranks: &'a dyn Communicator) -> Self {
        let lanes = Lanes::over(ranks);
        TrainingLoss { lanes, ..self }
    }

    /// The network with the weights of the last evaluation.
    pub fn network(&self) -> &Network<f32> {
        &self.network
    }

    /// Loss and gradient at `weights`, all tensors one after the other; the same bits for any
    /// number of ranks and threads.
    ///
    /// # Errors
    /// [`InputError`] if an input can't be read.
    pub fn evaluate(
        &mut self,
        weights: &[f64],
        gradient: &mut [f64],
    ) -> Result<LossValue, InputError> {
        set_weights(&mut self.network, weights);
        let network = &self.network;
        let classes = network.output_len();
        let lengths: Vec<usize> = network.weights().iter().map(Vec::len).collect();
        let (inputs, labels) = (self.inputs, self.labels);
        self.lanes.run(
            [network, network],
            labels.len(),
            &lengths,
            0,
            |range, evaluators, sum| {
                let evaluator = &mut evaluators[0];
                read_batch(inputs, range.clone(), evaluator.input(range.len()))?;
                let labels = &labels[range];
                let logits = evaluator.forward();
                let mut output_gradient = vec![0.0; logits.len()];
                cross_entropy(logits, classes, labels, &mut output_gradient, |i, loss| {
                    sum.loss += loss;
                    sum.wrong +=
                        usize::from(argmax(&logits[i * classes..][..classes]) != labels[i]);
                });
                evaluator.backward_weights(&output_gradient, &mut sum.gradient);
                Ok::<(), InputError>(())
            },
        )?;
        let count = self.labels.len() as f64;
        self.lanes.gradient(1.0 / count, gradient);
        let partials = self.lanes.partials();
        let mut loss = partials.iter().map(|partial| partial.loss).sum::<f64>() / count;
        let wrong: usize = partials.iter().map(|partial| partial.wrong).sum();
        loss += add_decay(&self.decay, &lengths, weights, gradient);
        Ok(LossValue {
            loss,
            error: Some(wrong as f64 / count),
        })
    }
}

impl Objective for TrainingLoss<'_> {
    fn evaluate(&mut self, weights: &[f64], gradient: &mut [f64]) -> Result<LossValue, InputError> {
        TrainingLoss::evaluate(self, weights, gradient)
    }
}

/// Copies a vector of all weights into a network, rounded to `f32`.
pub(crate) fn set_weights(network: &mut Network<f32>, weights: &[f64]) {
    network.set_weights(weights.iter().map(|&weight| weight as f32));
}

/// Gives sum_i decay_i * |w_i|^2 and adds its gradient.
pub(crate) fn add_decay(
    decay: &[f64],
    lengths: &[usize],
    weights: &[f64],
    gradient: &mut [f64],
) -> f64 {
    let mut start = 0;
    let mut penalty = 0.0;
    for (&decay, &length) in decay.iter().zip(lengths) {
        if decay > 0.0 {
            let weights = &weights[start..start + length];
            penalty += decay * weights.iter().map(|w| w * w).sum::<f64>();
            for (gradient, w) in gradient[start..start + length].iter_mut().zip(weights) {
                *gradient += 2.0 * decay * w;
            }
        }
        start += length;
    }
    penalty
}
