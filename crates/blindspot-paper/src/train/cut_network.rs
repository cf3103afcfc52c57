//! A network cut at some of its values: its segments run one after the other, a batch can enter
//! above any cut, and values can be dropped at the cuts.

use std::ops::Range;
use std::sync::Mutex;

use blindspot_net::{Buffers, Evaluator, GraphError, Network, argmax, cross_entropy};
use rayon::prelude::*;

use blindspot::run::random::Stream;

/// Rows that a thread works on at once. Fixed, so that the order of every addition is.
const SLICE: usize = 64;

/// A network in segments.
pub(crate) struct CutNetwork {
    whole: Network<f32>,
    segments: Vec<Segment>,
    partials: Vec<Partial>,
    buffers: Mutex<Vec<Vec<Buffers<f32>>>>,
}

/// What lies between two cuts.
struct Segment {
    network: Network<f32>,
    /// The position of each of its weights in the whole network.
    weights: Vec<usize>,
    /// The probability that a value of its input is set to 0 while training.
    dropout: f64,
}

/// Inputs of a segment and their classes.
pub(crate) struct Batch {
    /// Position of the segment that they enter, the lowest being 0.
    pub(crate) segment: usize,
    /// One input after the other.
    pub(crate) values: Vec<f32>,
    /// The class of each.
    pub(crate) labels: Vec<usize>,
    /// What each one's dropped values depend on, besides seed and purpose.
    pub(crate) keys: Vec<usize>,
}

/// Sums over the rows of a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partial {
    /// Sum of the cross entropies.
    pub(crate) loss: f64,
    /// Rows that the network gets wrong.
    pub(crate) wrong: usize,
    /// Sum of the gradients, by weight of the whole network.
    pub(crate) gradient: Vec<Vec<f32>>,
}

impl CutNetwork {
    /// Cuts `network` at values by name; each comes with the probability of dropping. A cut at the
    /// input only drops.
    ///
    /// # Errors
    /// [`GraphError`] where a value is not there or the network can't be cut at it.
    pub(crate) fn cut(
        network: Network<f32>,
        cuts: &[(&str, f64)],
    ) -> Result<CutNetwork, GraphError> {
        let graph = network.graph();
        let mut values = vec![(graph.input(), 0.0)];
        for &(name, dropout) in cuts {
            let value = graph.find(name)?;
            match values.iter_mut().find(|(known, _)| *known == value) {
                Some((_, known)) => *known = dropout.max(*known),
                None => values.push((value, dropout)),
            }
        }
        values.sort_by_key(|&(value, _)| value);
        let mut segments = Vec::new();
        let mut rest = network.clone();
        for (i, &(value, dropout)) in values.iter().enumerate() {
            if i > 0 {
                let name = &graph.value(value).name;
                rest = rest.above(rest.graph().find(name)?)?;
            }
            let segment = match values.get(i + 1) {
                Some(&(end, _)) => rest.up_to(rest.graph().find(&graph.value(end).name)?),
                None => rest.clone(),
            };
            let position = |name: &str| graph.weights().iter().position(|info| info.name == name);
            let weights = segment.graph().weights().iter();
            let weights = weights.filter_map(|info| position(&info.name)).collect();
            segments.push(Segment {
                network: segment,
                weights,
                dropout,
            });
        }
        Ok(CutNetwork {
            whole: network,
            segments,
            partials: Vec::new(),
            buffers: Mutex::default(),
        })
    }

    /// The whole network, with the weights it has now.
    pub(crate) fn whole(&self) -> &Network<f32> {
        &self.whole
    }

    /// Position of the segment whose input has this name.
    pub(crate) fn segment_above(&self, name: &str) -> Option<usize> {
        let input = |segment: &Segment| {
            let graph = segment.network.graph();
            graph.value(graph.input()).name == name
        };
        self.segments.iter().position(input)
    }

    /// Gives the network and its segments these weights.
    pub(crate) fn set_weights(&mut self, weights: &[Vec<f32>]) {
        self.whole.set_weights(weights.iter().flatten().copied());
        for segment in &mut self.segments {
            let own = segment.weights.iter().flat_map(|&weight| &weights[weight]);
            segment.network.set_weights(own.copied());
        }
    }

    /// Loss and gradient summed over all batches; the same bits for any number of threads. What is
    /// dropped depends on the seed, the purpose and each input's key.
    pub(crate) fn gradient(&mut self, batches: &[Batch], seed: u64, purpose: &str) -> &mut Partial {
        let slices: Vec<(&Batch, Range<usize>)> = batches
            .iter()
            .flat_map(|batch| {
                let count = batch.labels.len();
                let starts = (0..count).step_by(SLICE);
                starts.map(move |start| (batch, start..count.min(start + SLICE)))
            })
            .collect();
        let mut partials = std::mem::take(&mut self.partials);
        partials.resize_with(slices.len().max(1), Partial::default);
        let lengths = || self.whole.weights().iter().map(Vec::len);
        partials
            .par_iter_mut()
            .zip(slices.into_par_iter())
            .with_max_len(1)
            .for_each(|(partial, (batch, range))| {
                partial.loss = 0.0;
                partial.wrong = 0;
                partial.gradient.resize_with(lengths().len(), Vec::new);
                for (gradient, length) in partial.gradient.iter_mut().zip(lengths()) {
                    gradient.clear();
                    gradient.resize(length, 0.0);
                }
                self.add(batch, range, seed, purpose, partial);
            });
        let (sum, others) = partials.split_at_mut(1);
        for partial in others {
            sum[0].loss += partial.loss;
            sum[0].wrong += partial.wrong;
            for (sum, gradient) in sum[0].gradient.iter_mut().zip(&partial.gradient) {
                for (sum, gradient) in sum.iter_mut().zip(gradient) {
                    *sum += gradient;
                }
            }
        }
        self.partials = partials;
        &mut self.partials[0]
    }

    /// Adds loss and gradient of some inputs of a batch.
    fn add(&self, batch: &Batch, range: Range<usize>, seed: u64, purpose: &str, sum: &mut Partial) {
        let segments = &self.segments[batch.segment..];
        let n = range.len();
        let taken = self.buffers.lock().expect("no thread panics with it").pop();
        let mut buffers = taken.unwrap_or_default();
        buffers.resize_with(self.segments.len(), Buffers::default);
        let kept = buffers.split_off(segments.len());
        let mut evaluators: Vec<Evaluator<'_, f32>> = segments
            .iter()
            .zip(buffers)
            .map(|(segment, buffers)| Evaluator::with_buffers(&segment.network, buffers))
            .collect();
        let masks = masks(segments, &batch.keys[range.clone()], seed, purpose);

        let length = segments[0].network.input_len();
        let values = &batch.values[range.start * length..range.end * length];
        evaluators[0].input(n).copy_from_slice(values);
        multiply(evaluators[0].input(n), &masks[0]);
        for k in 1..segments.len() {
            let (below, above) = evaluators.split_at_mut(k);
            let input = above[0].input(n);
            input.copy_from_slice(below[k - 1].forward());
            multiply(input, &masks[k]);
        }
        let last = segments.len() - 1;
        let logits = evaluators[last].forward();
        let (labels, classes) = (&batch.labels[range], self.whole.output_len());
        let mut gradient = vec![0.0; logits.len()];
        cross_entropy(logits, classes, labels, &mut gradient, |i, loss| {
            sum.loss += loss;
            let answer = argmax(&logits[i * classes..][..classes]);
            sum.wrong += usize::from(answer != labels[i]);
        });
        for k in (0..=last).rev() {
            // An evaluator takes the gradients of its own network's weights.
            let places = &segments[k].weights;
            let take = |&weight: &usize| std::mem::take(&mut sum.gradient[weight]);
            let mut own: Vec<Vec<f32>> = places.iter().map(take).collect();
            if k == 0 {
                evaluators[0].backward_weights(&gradient, &mut own);
            } else {
                let below = evaluators[k].backward_both(&gradient, &mut own);
                gradient.clear();
                gradient.extend_from_slice(below);
                multiply(&mut gradient, &masks[k]);
            }
            for (&weight, own) in places.iter().zip(own) {
                sum.gradient[weight] = own;
            }
        }
        let left = evaluators.into_iter().map(Evaluator::into_buffers);
        let left = left.chain(kept).collect();
        let mut spare = self.buffers.lock().expect("no thread panics with it");
        spare.push(left);
    }
}

/// For each segment what its input is multiplied by: 0 where a value is dropped, else what keeps the
/// expectation. Nothing where nothing is dropped.
fn masks(segments: &[Segment], keys: &[usize], seed: u64, purpose: &str) -> Vec<Vec<f32>> {
    let mut masks = vec![Vec::new(); segments.len()];
    if segments.iter().all(|segment| segment.dropout == 0.0) {
        return masks;
    }
    for &key in keys {
        let mut stream = Stream::new(seed, purpose, key);
        for (segment, mask) in segments.iter().zip(&mut masks) {
            if segment.dropout > 0.0 {
                let kept = (1.0 / (1.0 - segment.dropout)) as f32;
                let draw = || {
                    if stream.uniform() < segment.dropout {
                        0.0
                    } else {
                        kept
                    }
                };
                mask.extend(std::iter::repeat_with(draw).take(segment.network.input_len()));
            }
        }
    }
    masks
}

/// Multiplies value by value; nothing where there is no mask.
fn multiply(values: &mut [f32], mask: &[f32]) {
    for (value, mask) in values.iter_mut().zip(mask) {
        *value *= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Recipe;

    fn network() -> Network<f32> {
        let recipe = Recipe::named("FC100-100-10").unwrap();
        recipe.with_hidden(&[5, 4]).start(6, 3, 1)
    }

    fn rows(segment: usize, length: usize, count: usize) -> Batch {
        let mut stream = Stream::new(2, "rows", segment);
        Batch {
            segment,
            values: (0..count * length)
                .map(|_| stream.uniform() as f32)
                .collect(),
            labels: (0..count).map(|i| i % 3).collect(),
            keys: (0..count).collect(),
        }
    }

    /// The loss, and each weight's gradient beside that of finite differences.
    fn check(cut: &mut CutNetwork, rows: &[Batch], lowest: usize) {
        let sum = cut.gradient(rows, 3, "test").clone();
        let mut weights = cut.whole().weights().to_vec();
        for tensor in 0..weights.len() {
            for i in 0..weights[tensor].len() {
                let at = weights[tensor][i];
                let mut loss = |offset: f32| {
                    weights[tensor][i] = at + offset;
                    cut.set_weights(&weights);
                    cut.gradient(rows, 3, "test").loss
                };
                let step = 1.0 / 64.0;
                let difference = (loss(step) - loss(-step)) / (2.0 * f64::from(step));
                weights[tensor][i] = at;
                let found = f64::from(sum.gradient[tensor][i]);
                assert!(
                    (found - difference).abs() < 2e-3 * (1.0 + difference.abs()),
                    "{tensor} {i}: {found} {difference}"
                );
                assert!(
                    tensor >= lowest || found == 0.0,
                    "rows train only what is above them"
                );
            }
        }
        cut.set_weights(&weights);
    }

    #[test]
    fn gradients_through_cuts_and_dropped_values_are_those_of_finite_differences() {
        for dropout in [0.0, 0.4] {
            let cuts = [
                ("hidden2", dropout),
                ("image", dropout / 2.0),
                ("hidden1", 0.0),
            ];
            let mut cut = CutNetwork::cut(network(), &cuts).unwrap();
            assert_eq!(cut.segment_above("hidden1"), Some(1));
            check(&mut cut, &[rows(0, 6, 80)], 0);
            check(&mut cut, &[rows(1, 5, 7)], 2);
            check(&mut cut, &[rows(2, 4, 7)], 4);
            check(&mut cut, &[rows(0, 6, 3), rows(2, 4, 70)], 0);
        }
    }

    #[test]
    fn an_uncut_network_and_a_cut_one_have_the_same_bits() {
        let rows = [rows(0, 6, 130)];
        let mut whole = CutNetwork::cut(network(), &[]).unwrap();
        let mut cut = CutNetwork::cut(network(), &[("hidden1", 0.0), ("hidden2", 0.0)]).unwrap();
        let (one, two) = (whole.gradient(&rows, 0, ""), cut.gradient(&rows, 0, ""));
        assert_eq!(one.gradient, two.gradient);
        assert_eq!(one.loss.to_bits(), two.loss.to_bits());
    }

    #[test]
    fn values_are_dropped_as_often_as_asked_and_keep_their_expectation() {
        let cut = CutNetwork::cut(network(), &[("hidden1", 0.25)]).unwrap();
        let keys: Vec<usize> = (0..4_000).collect();
        let masks = masks(&cut.segments, &keys, 1, "test");
        assert!(masks[0].is_empty());
        let dropped = masks[1].iter().filter(|&&mask| mask == 0.0).count();
        let part = dropped as f64 / masks[1].len() as f64;
        // Four standard deviations.
        assert!(
            (part - 0.25).abs() < 4.0 * (0.1875f64 / 20_000.0).sqrt(),
            "{part}"
        );
        assert!(
            masks[1]
                .iter()
                .all(|&mask| mask == 0.0 || mask == 4.0 / 3.0)
        );
    }

    #[test]
    fn a_cut_that_is_not_there_is_said_with_those_that_are() {
        let error = CutNetwork::cut(network(), &[("hidden3", 0.0)])
            .err()
            .unwrap();
        assert!(error.to_string().contains("hidden1"), "{error}");
        assert!(CutNetwork::cut(network(), &[("logits", 0.0)]).is_err());
    }
}
