//! What features are worth: a linear classifier of one class against the rest on top of them, and the
//! best of them alone.

use blindspot_net::ops::Gemm;
use blindspot_net::{Evaluator, Graph, Network, Op, Operand};
use blindspot_solve::{Lbfgs, LbfgsOptions, Status};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::architecture::with_classifier;
use super::measures::{accuracy, average_precision, best_threshold};
use crate::session::LabelledData;
use crate::train::{TrainError, TrainingLoss};
use blindspot::inputs::{InMemory, InputError, Inputs, read_batch};
use blindspot::run::monitor::Monitor;
use blindspot::run::random::Stream;

/// L-BFGS iterations at most.
const ITERATIONS: usize = 100;
/// Images whose features a thread computes at a time.
const PART: usize = 16;
/// One training image of this many is held out to choose the decay.
const HELD_OUT: usize = 5;
/// Thresholds that the reference tries over a unit's range.
const THRESHOLDS: usize = 20;
/// Units that are looked at together: a row's numbers lie beside each other.
const BESIDE: usize = 16;
/// Features that hardly vary are not blown up by their standardisation.
const LEAST_DEVIATION: f64 = 1e-6;

/// How well features tell a class from the rest, on images that nothing was learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// Features of an image.
    pub features: u64,
    /// Average precision of the linear classifier on all test images.
    pub average_precision: f64,
    /// Average precision with as many others as there are images of the class.
    pub average_precision_balanced: f64,
    /// Mean of the class's and the others' accuracy, at the training images' best threshold.
    pub balanced_accuracy: f64,
    /// Accuracy on all test images, at the threshold that is best for that.
    pub accuracy: f64,
    /// Balanced accuracy of the feature that alone is the best on the training images, at its best
    /// threshold there.
    pub best_neuron_accuracy: f64,
    /// Which feature that is, by its position.
    pub best_neuron: u64,
}

/// The images that a classifier is trained on, or tried on: places in a set, and whether each is of
/// the class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BinaryLabels {
    pub(crate) indices: Vec<usize>,
    pub(crate) positive: Vec<bool>,
}

impl BinaryLabels {
    /// These images; `is` says whether one is of the class.
    pub(crate) fn all(indices: &[usize], is: impl Fn(usize) -> bool) -> BinaryLabels {
        BinaryLabels {
            indices: indices.to_vec(),
            positive: indices.iter().map(|&index| is(index)).collect(),
        }
    }

    /// The images of the class, and as many others, a seeded choice.
    pub(crate) fn balanced(&self, seed: u64) -> BinaryLabels {
        let places = |positive: bool| -> Vec<usize> {
            let all = 0..self.indices.len();
            all.filter(|&i| self.positive[i] == positive).collect()
        };
        let (of_class, others) = (places(true), places(false));
        let order = Stream::new(seed, "as many others", 0).order(others.len());
        let some = order.iter().take(of_class.len()).map(|&i| others[i]);
        let mut chosen: Vec<usize> = of_class.iter().copied().chain(some).collect();
        chosen.sort_unstable();
        BinaryLabels {
            indices: chosen.iter().map(|&i| self.indices[i]).collect(),
            positive: chosen.iter().map(|&i| self.positive[i]).collect(),
        }
    }
}

/// What a network gives of some images, one after the other; the images themselves without one.
///
/// # Errors
/// [`InputError`] where an image can't be read.
pub(crate) fn features(
    network: Option<&Network<f32>>,
    images: &(impl Inputs + ?Sized),
    indices: &[usize],
) -> Result<InMemory, InputError> {
    let length = network.map_or(images.input_len(), Network::output_len);
    let mut values = vec![0.0; indices.len() * length];
    let parts = values.par_chunks_mut(PART * length);
    parts.zip(indices.par_chunks(PART)).try_for_each_init(
        || network.map(Evaluator::new),
        |evaluator, (values, indices)| {
            let indices = indices.iter().copied();
            match evaluator {
                None => read_batch(images, indices, values),
                Some(evaluator) => {
                    read_batch(images, indices.clone(), evaluator.input(indices.len()))?;
                    values.copy_from_slice(evaluator.forward());
                    Ok(())
                }
            }
        },
    )?;
    Ok(InMemory::new(values, length))
}

/// A linear classifier of features: z = `weights` x + `bias` is above 0 for the class.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: f32,
}

impl Linear {
    /// Logistic regression on standardised features, by L-BFGS; `decay` is the coefficient of the sum
    /// of squares of its weights beside the mean loss. The bias is such that 0 is the best threshold
    /// for balanced accuracy. The features are left standardised.
    fn fit(
        features: &mut InMemory,
        positive: &[bool],
        decay: f64,
        monitor: &dyn Monitor,
    ) -> Result<Linear, TrainError> {
        let length = features.input_len();
        let (means, deviations) = standardise(features);
        // Two logits, -z / 2 and z / 2 but for the sum, which the loss does not see.
        let mut graph = Graph::new("features", &[length])?;
        let weight = graph.weight("weight", &[length, 2])?;
        let bias = graph.weight("bias", &[2])?;
        let operands = [
            Operand::Value(graph.input()),
            Operand::Weight(weight),
            Operand::Weight(bias),
        ];
        let gemm = Op::Gemm(Gemm { trans_b: false });
        graph.node("logits", gemm, &operands, "logits")?;
        let zeros = vec![vec![0.0; 2 * length], vec![0.0; 2]];
        let network = Network::new(graph, zeros).expect("as many numbers as each weight has");
        let labels: Vec<usize> = positive.iter().map(|&positive| positive.into()).collect();
        let data = LabelledData::new(features, &labels);
        let mut loss = TrainingLoss::new(network, &data, vec![2.0 * decay, 0.0]);
        let options = LbfgsOptions {
            history: 10,
            max_iterations: ITERATIONS,
            max_evaluations: 2 * ITERATIONS,
            gradient_tolerance: 1e-6,
            relative_decrease: 1e-6,
            patience: 3,
        };
        let mut solver = Lbfgs::new(vec![0.0; 2 * length + 2], options);
        let mut gradient = vec![0.0; 2 * length + 2];
        monitor.begin("classifier", ITERATIONS as u64);
        loop {
            if monitor.cancelled() {
                monitor.end();
                return Err(TrainError::Cancelled { checkpoint: None });
            }
            let value = loss.evaluate(solver.point(), &mut gradient)?;
            let status = solver.tell(value.loss, &gradient);
            monitor.progress(
                solver.iterations() as u64,
                &format!("loss {:.4}", value.loss),
            );
            if let Status::Done(_) = status {
                break;
            }
        }
        monitor.end();
        if !solver.value().is_finite() {
            let stage = "the classifier".to_owned();
            return Err(TrainError::NotFinite { stage });
        }
        let found = solver.iterate();
        let z: Vec<f64> = (0..length)
            .map(|i| found[2 * i + 1] - found[2 * i])
            .collect();
        let scores = scores(features, &z);
        let above = best_threshold(&scores, positive, true).above;
        // On the features as they are.
        let of_means = (0..length)
            .map(|i| z[i] * means[i] / deviations[i])
            .sum::<f64>();
        Ok(Linear {
            weights: (0..length).map(|i| (z[i] / deviations[i]) as f32).collect(),
            bias: (-above - of_means) as f32,
        })
    }

    /// z of each image.
    fn scores(&self, features: &InMemory) -> Vec<f64> {
        let weights: Vec<f64> = self.weights.iter().map(|&w| f64::from(w)).collect();
        let mut scores = scores(features, &weights);
        scores.iter_mut().for_each(|z| *z += f64::from(self.bias));
        scores
    }

    /// The features' network with this on top.
    pub(crate) fn on(&self, network: &Network<f32>) -> Result<Network<f32>, TrainError> {
        Ok(with_classifier(network, &self.weights, self.bias)?)
    }
}

/// The inner product of each image's features with `weights`.
fn scores(features: &InMemory, weights: &[f64]) -> Vec<f64> {
    let rows = features.values().par_chunks(weights.len());
    rows.map(|row| {
        row.iter()
            .zip(weights)
            .map(|(&x, w)| f64::from(x) * w)
            .sum()
    })
    .collect()
}

/// Makes each feature's mean 0 and its standard deviation 1; gives what they were.
fn standardise(features: &mut InMemory) -> (Vec<f64>, Vec<f64>) {
    let (count, length) = (features.len() as f64, features.input_len());
    let (mut means, mut squares) = (vec![0.0; length], vec![0.0; length]);
    for row in features.values().chunks_exact(length) {
        for ((mean, square), &x) in means.iter_mut().zip(&mut squares).zip(row) {
            *mean += f64::from(x) / count;
            *square += f64::from(x) * f64::from(x) / count;
        }
    }
    let variances = squares
        .iter()
        .zip(&means)
        .map(|(square, mean)| square - mean * mean);
    let deviations: Vec<f64> = variances
        .map(|variance| variance.max(0.0).sqrt().max(LEAST_DEVIATION))
        .collect();
    features
        .values_mut()
        .par_chunks_mut(length)
        .for_each(|row| {
            for ((x, mean), deviation) in row.iter_mut().zip(&means).zip(&deviations) {
                *x = ((f64::from(*x) - mean) / deviation) as f32;
            }
        });
    (means, deviations)
}

/// The decay with the highest balanced accuracy on images held out from the training images.
fn best_decay(
    known: &InMemory,
    positive: &[bool],
    decays: &[f64],
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<f64, TrainError> {
    let [first, others @ ..] = decays else {
        unreachable!("there is a decay to choose")
    };
    let held_out = positive.len() / HELD_OUT;
    if others.is_empty() || held_out == 0 {
        return Ok(*first);
    }
    let order = Stream::new(seed, "images the decay is chosen by", 0).order(positive.len());
    let (tried, trained) = order.split_at(held_out);
    let length = known.input_len();
    let part = |chosen: &[usize]| {
        let rows = chosen
            .iter()
            .flat_map(|&i| &known.values()[i * length..(i + 1) * length]);
        let features = InMemory::new(rows.copied().collect(), length);
        let positive: Vec<bool> = chosen.iter().map(|&i| positive[i]).collect();
        (features, positive)
    };
    let (tried, is) = part(tried);
    let (mut best, mut chosen) = (-1.0, *first);
    for &decay in decays {
        let (mut features, positive) = part(trained);
        let linear = Linear::fit(&mut features, &positive, decay, monitor)?;
        let found = accuracy(&linear.scores(&tried), &is, 0.0, true);
        if found > best {
            (best, chosen) = (found, decay);
        }
    }
    Ok(chosen)
}

/// Trains on some images, with that of the `decays` which is the best for a part of them held out, and
/// tries on others.
///
/// # Errors
/// [`TrainError`].
pub(crate) fn evaluate(
    network: Option<&Network<f32>>,
    images: &(impl Inputs + ?Sized),
    train: &BinaryLabels,
    test: &BinaryLabels,
    decays: &[f64],
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<(Evaluation, Linear), TrainError> {
    let tried = features(network, images, &test.indices)?;
    let mut known = features(network, images, &train.indices)?;
    let neuron = BestNeuron::of(&known, &train.positive);
    let alone: Vec<f64> = rows(&tried)
        .map(|row| f64::from(row[neuron.unit]))
        .collect();
    let best_neuron_accuracy = accuracy(&alone, &test.positive, neuron.above, true);
    let decay = best_decay(&known, &train.positive, decays, seed, monitor)?;
    let linear = Linear::fit(&mut known, &train.positive, decay, monitor)?;
    let scores = linear.scores(&tried);
    let balanced = test.balanced(seed);
    let places: std::collections::HashMap<usize, usize> = test
        .indices
        .iter()
        .enumerate()
        .map(|(i, &index)| (index, i))
        .collect();
    let some: Vec<f64> = balanced
        .indices
        .iter()
        .map(|index| scores[places[index]])
        .collect();
    let evaluation = Evaluation {
        features: tried.input_len() as u64,
        average_precision: average_precision(&scores, &test.positive),
        average_precision_balanced: average_precision(&some, &balanced.positive),
        balanced_accuracy: accuracy(&scores, &test.positive, 0.0, true),
        accuracy: best_threshold(&scores, &test.positive, false).accuracy,
        best_neuron_accuracy,
        best_neuron: neuron.unit as u64,
    };
    Ok((evaluation, linear))
}

fn rows(features: &InMemory) -> std::slice::ChunksExact<'_, f32> {
    features.values().chunks_exact(features.input_len())
}

/// The feature that alone tells the class best.
struct BestNeuron {
    unit: usize,
    above: f64,
}

impl BestNeuron {
    /// The best unit as Le et al. find it: evenly spaced thresholds over each unit's range.
    fn of(features: &InMemory, positive: &[bool]) -> BestNeuron {
        let length = features.input_len();
        let blocks = (0..length).step_by(BESIDE).collect::<Vec<_>>();
        let found = blocks.into_par_iter().flat_map_iter(|first| {
            let units = first..length.min(first + BESIDE);
            best_thresholds(rows(features).map(|row| &row[units.clone()]), positive)
        });
        let found: Vec<(f64, f64)> = found.collect();
        let better = |best: usize, unit: usize| {
            if found[unit].0 > found[best].0 {
                unit
            } else {
                best
            }
        };
        let unit = (1..length).fold(0, better);
        BestNeuron {
            unit,
            above: found[unit].1,
        }
    }
}

/// The balanced accuracy of each of a few units at the best of its thresholds, and that threshold; `rows`
/// gives their numbers for each image.
fn best_thresholds<'a>(
    rows: impl Iterator<Item = &'a [f32]> + Clone,
    positive: &[bool],
) -> Vec<(f64, f64)> {
    let units = rows.clone().next().map_or(0, <[f32]>::len);
    let (mut low, mut high) = ([f32::INFINITY; BESIDE], [f32::NEG_INFINITY; BESIDE]);
    for row in rows.clone() {
        for (unit, &x) in row.iter().enumerate() {
            low[unit] = low[unit].min(x);
            high[unit] = high[unit].max(x);
        }
    }
    let [low, high] = [low, high].map(|ends| ends.map(f64::from));
    let threshold = |i: usize, unit: usize| {
        low[unit] + (high[unit] - low[unit]) * (i + 1) as f64 / (THRESHOLDS + 1) as f64
    };
    let thresholds: [[f64; BESIDE]; THRESHOLDS] =
        std::array::from_fn(|i| std::array::from_fn(|unit| threshold(i, unit)));
    // Of the others and of the class, how many are above each.
    let mut above = [[[0u32; BESIDE]; THRESHOLDS]; 2];
    for (row, &positive) in rows.zip(positive) {
        for (counts, thresholds) in above[usize::from(positive)].iter_mut().zip(&thresholds) {
            for (unit, &x) in row.iter().enumerate() {
                counts[unit] += u32::from(f64::from(x) > thresholds[unit]);
            }
        }
    }
    let of_class = positive.iter().filter(|&&positive| positive).count();
    let [of_class, others] = [of_class, positive.len() - of_class].map(|count| count.max(1) as f64);
    let best = |unit: usize| {
        let accuracy = |i: usize| {
            let [wrong, right] = [0, 1].map(|kind| f64::from(above[kind][i][unit]));
            0.5 * right / of_class + 0.5 * (others - wrong) / others
        };
        (0..THRESHOLDS).fold((0.0, low[unit]), |best, i| match accuracy(i) {
            found if found > best.0 => (found, thresholds[i][unit]),
            _ => best,
        })
    };
    (0..units).map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot::run::random::Stream;

    #[test]
    fn the_best_neuron_is_the_one_that_trying_all_thresholds_finds() {
        const UNITS: usize = BESIDE + 3;
        const IMAGES: usize = 50;
        let mut stream = Stream::new(3, "features", 0);
        let positive: Vec<bool> = (0..IMAGES).map(|i| i % 3 == 0).collect();
        for best in [0, BESIDE - 1, UNITS - 1] {
            let number = |i: usize| {
                let told = i % UNITS == best && positive[i / UNITS];
                (stream.normal() + if told { 1.5 } else { 0.0 }) as f32
            };
            let values: Vec<f32> = (0..IMAGES * UNITS).map(number).collect();
            let features = InMemory::new(values.clone(), UNITS);
            let found = BestNeuron::of(&features, &positive);
            assert_eq!(found.unit, best);
            let scores = values.iter().skip(best).step_by(UNITS);
            let scores: Vec<f64> = scores.map(|&x| f64::from(x)).collect();
            let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
            let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let tried = (1..=THRESHOLDS).map(|i| {
                let above = low + (high - low) * i as f64 / (THRESHOLDS + 1) as f64;
                accuracy(&scores, &positive, above, true)
            });
            let most = tried.fold(0.0, f64::max);
            let here = accuracy(&scores, &positive, found.above, true);
            assert!((here - most).abs() < 1e-12, "{here}, not {most}");
        }
    }
}
