//! Training for certificates: part of the loss is that at the worst that interval bounds allow.

use blindspot::inputs::{InputError, read_batch};
use blindspot_net::{Evaluator, Network};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::cut_network::{Batch, CutNetwork, Partial};
use super::interval_network::IntervalNetwork;
use crate::session::LabelledData;

/// Inputs that a thread bounds at once.
const BLOCK: usize = 64;

/// How a classifier of inputs in [0, 1] is trained to be certified in Linf (Gowal et al. 2018): the loss of an
/// input is `kappa` times its cross entropy and `1 - kappa` times that of its worst logits by interval bounds,
/// where each value moves by at most epsilon within [0, 1].
///
/// At first `kappa` is 1; then, over the ramp, epsilon grows from 0 and `kappa` falls, in equal steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Certified {
    /// Epsilon from the end of the ramp on, above 0 and at most 1.
    pub epsilon: f64,
    /// The share of the plain cross entropy from the end of the ramp on, in [0, 1].
    pub kappa: f64,
    /// The fraction of training that passes before the ramp, in [0, 1).
    pub warmup: f64,
    /// The fraction of training that the ramp takes, above 0; with the warm-up at most 1.
    pub ramp: f64,
}

impl Certified {
    /// For certificates of `epsilon`: as in the paper, half of the loss remains plain, after a ramp over a little
    /// more than half of training.
    pub fn new(epsilon: f64) -> Certified {
        Certified {
            epsilon,
            kappa: 0.5,
            warmup: 0.05,
            ramp: 0.55,
        }
    }

    pub(super) fn check(&self) -> Result<(), TrainError> {
        let Certified {
            epsilon,
            kappa,
            warmup,
            ramp,
        } = *self;
        let wrong = if !(epsilon > 0.0 && epsilon <= 1.0) {
            format!("epsilon is {epsilon}, but must be above 0 and at most 1")
        } else if !(0.0..=1.0).contains(&kappa) {
            format!("kappa is {kappa}, but must be from 0 to 1")
        } else if !(0.0..1.0).contains(&warmup) {
            format!("the warm-up is {warmup} of the training, but must be from 0 to below 1")
        } else if !(ramp > 0.0 && warmup + ramp <= 1.0) {
            format!(
                "the ramp is {ramp} of the training, but must be above 0, and with the warm-up at most 1"
            )
        } else {
            return Ok(());
        };
        Err(TrainError::Options(wrong))
    }

    /// Epsilon and kappa when `fraction` of training has passed.
    fn at(&self, fraction: f64) -> (f64, f64) {
        let passed = ((fraction - self.warmup) / self.ramp).clamp(0.0, 1.0);
        (passed * self.epsilon, 1.0 - passed * (1.0 - self.kappa))
    }
}

/// The part of the loss that interval bounds make.
pub(super) struct WorstCase {
    options: Certified,
    intervals: IntervalNetwork,
    network: CutNetwork,
}

impl WorstCase {
    /// For a classifier that gives logits.
    ///
    /// # Errors
    /// [`TrainError::Options`] where the network has no interval bounds here.
    pub(super) fn new(classifier: &Network<f32>, options: Certified) -> Result<Self, TrainError> {
        let intervals = IntervalNetwork::of(classifier.graph())?;
        let network = CutNetwork::cut(intervals.with(classifier.weights()), &[])?;
        Ok(WorstCase {
            options,
            intervals,
            network,
        })
    }

    /// Mixes the worst case of a batch into `plain`, the loss and gradient of the same batch of inputs, for a
    /// classifier with these weights when `fraction` of training has passed.
    pub(super) fn mix_into(
        &mut self,
        plain: &mut Partial,
        batch: &Batch,
        weights: &[Vec<f32>],
        fraction: f64,
    ) {
        let (epsilon, kappa) = self.options.at(fraction);
        if epsilon == 0.0 {
            return;
        }
        let classes = self.network.whole().output_len();
        let boxes = Batch {
            segment: 0,
            values: IntervalNetwork::boxes(&batch.values, &batch.labels, classes, epsilon),
            labels: batch.labels.clone(),
            keys: batch.keys.clone(),
        };
        self.network.set_weights(&self.intervals.weights(weights));
        let worst = self.network.gradient(&[boxes], 0, "");
        plain.loss = kappa * plain.loss + (1.0 - kappa) * worst.loss;
        plain
            .gradient
            .iter_mut()
            .flatten()
            .for_each(|gradient| *gradient *= kappa as f32);
        let share = (1.0 - kappa) as f32;
        self.intervals
            .pull_back(&worst.gradient, weights, share, &mut plain.gradient);
    }
}

/// The part of labelled inputs in [0, 1] whose label no change of each value by at most `epsilon` within [0, 1]
/// takes from them, by interval bounds, which are not corrected for rounding: a fraction.
///
/// # Errors
/// [`TrainError::Options`] where the classifier has no interval bounds here; [`TrainError::Input`].
pub fn certified_share(
    classifier: &Network<f32>,
    data: &LabelledData<'_>,
    epsilon: f64,
) -> Result<f64, TrainError> {
    let network = IntervalNetwork::of(classifier.graph())?.with(classifier.weights());
    let (count, classes) = (data.labels.len(), classifier.output_len());
    let starts: Vec<usize> = (0..count).step_by(BLOCK).collect();
    let certified = starts.into_par_iter().map_init(
        || Evaluator::new(&network),
        |evaluator, start| {
            let labels = &data.labels[start..count.min(start + BLOCK)];
            let mut inputs = vec![0.0; labels.len() * classifier.input_len()];
            read_batch(data.inputs, start..start + labels.len(), &mut inputs)?;
            let boxes = IntervalNetwork::boxes(&inputs, labels, classes, epsilon);
            evaluator.input(labels.len()).copy_from_slice(&boxes);
            let worst = evaluator.forward().chunks_exact(classes).zip(labels);
            let certified = worst.filter(|&(worst, &label)| is_certified(worst, label));
            Ok::<usize, InputError>(certified.count())
        },
    );
    let certified: usize = certified.sum::<Result<usize, InputError>>()?;
    Ok(certified as f64 / count as f64)
}

/// Whether the label is above all other classes at worst.
fn is_certified(worst: &[f32], label: usize) -> bool {
    let mut others = worst
        .iter()
        .enumerate()
        .filter(|&(class, _)| class != label);
    others.all(|(_, &other)| other < worst[label])
}
