//! Running a network over a batch of images: values forward, gradients backward.
//!
//! Memory: a value has a buffer of its own, unless the operator that makes it can work in the
//! buffer of its input (an activation behind a convolution). Gradients live from the operator that
//! makes them to the one that takes them, in buffers that are used again at once, so that a deep
//! network needs no more than a few.
//!
//! Images whose values are far more than the weights of dense layers go through the network one after the
//! other: what a layer has made of one is still in the cache when the next layer reads it.

mod arrangement;

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::graph::{Node, Operand, ValueId};
use crate::network::Network;
use crate::ops::{Gradient, Input};
use crate::precision::Precision;
use crate::real::Real;
use arrangement::{one_by_one, places, wanted};

/// The buffers of one thread to run one network in.
///
/// Write a batch into [`input`](Evaluator::input), run [`forward`](Evaluator::forward), read the
/// output, and run [`backward`](Evaluator::backward) as often as wanted with different gradients of
/// the output. What comes out for an image has the same bits whatever else is in the batch.
/// Buffers grow to the largest batch seen and are used again.
pub struct Evaluator<'n, T> {
    network: &'n Network<T>,
    batch: usize,
    /// Whether images go through the network one after the other.
    one_by_one: bool,
    /// The images of the batch that are under way.
    rows: Range<usize>,
    /// The buffer of each value: its own, or that of the value it was written over.
    place: Vec<usize>,
    /// Whether the input and each value are rounded to their formats.
    rounds: bool,
    /// How long each node has taken, where that is asked for.
    times: Option<Vec<NodeTime>>,
    buffers: Buffers<T>,
}

/// What is wrong with a gradient of another length.
const A_GRADIENT: &str = "a gradient for each number of the output";

/// How long a node has taken, all runs together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeTime {
    /// Computing its output.
    pub forward: Duration,
    /// Computing the gradients with respect to its operands.
    pub backward: Duration,
}

/// The memory of an [`Evaluator`], to be used again for another network (other weights, say).
#[derive(Debug, Default)]
pub struct Buffers<T> {
    values: Vec<Vec<T>>,
    gradients: Vec<Vec<T>>,
    /// Gradients with respect to the input, of images that go through one after the other.
    by_input: Vec<T>,
    free: Vec<Vec<T>>,
    scratch: Vec<T>,
}

impl<'n, T: Real> Evaluator<'n, T> {
    /// Buffers for a network, empty yet.
    pub fn new(network: &'n Network<T>) -> Self {
        Self::with_buffers(network, Buffers::default())
    }

    /// An evaluator in memory that another one has left.
    pub fn with_buffers(network: &'n Network<T>, mut buffers: Buffers<T>) -> Self {
        let count = network.graph().values().len();
        buffers.values.resize(count, Vec::new());
        buffers.gradients.resize(count, Vec::new());
        Evaluator {
            network,
            batch: 0,
            one_by_one: one_by_one(network),
            rows: 0..0,
            place: places(network, &[]),
            rounds: false,
            times: None,
            buffers,
        }
    }

    /// Rounds the input, and each value as soon as it is computed, to the numbers of its
    /// [format](crate::Value::precision): what a runtime gives that keeps values in these. Gradients
    /// are those at the rounded values.
    #[must_use]
    pub fn rounding(mut self) -> Self {
        self.rounds = true;
        self
    }

    /// Measures how long each node takes.
    #[must_use]
    pub fn timing(mut self) -> Self {
        self.times = Some(vec![
            NodeTime::default();
            self.network.graph().nodes().len()
        ]);
        self
    }

    /// How long each node has taken so far, in the graph's order; none where it is not
    /// [measured](Evaluator::timing).
    pub fn node_times(&self) -> &[NodeTime] {
        self.times.as_deref().unwrap_or_default()
    }

    fn begin(&self) -> Option<Instant> {
        self.times.is_some().then(Instant::now)
    }

    fn took(
        &mut self,
        node: usize,
        begun: Option<Instant>,
        part: impl FnOnce(&mut NodeTime) -> &mut Duration,
    ) {
        if let (Some(begun), Some(times)) = (begun, &mut self.times) {
            *part(&mut times[node]) += begun.elapsed();
        }
    }

    /// Lets these values be read after [`forward`](Evaluator::forward), too: none is written over
    /// by the operator above it.
    #[must_use]
    pub fn keeping(mut self, values: &[ValueId]) -> Self {
        self.place = places(self.network, values);
        self
    }

    /// The memory, for another evaluator.
    pub fn into_buffers(self) -> Buffers<T> {
        self.buffers
    }

    /// The network.
    pub fn network(&self) -> &'n Network<T> {
        self.network
    }

    /// The place for a batch of `n` images, one after the other; it holds what it held before.
    pub fn input(&mut self, n: usize) -> &mut [T] {
        self.batch = n;
        at_least(&mut self.buffers.values[0], n * self.network.input_len())
    }

    /// Runs the network on the batch that is in [`input`](Evaluator::input); gives the output,
    /// n rows.
    pub fn forward(&mut self) -> &[T] {
        let step = self.step();
        for first in (0..self.batch).step_by(step) {
            self.rows = first..self.batch.min(first + step);
            self.forward_rows();
        }
        self.value(self.network.graph().output())
    }

    /// How many images go through the network together.
    fn step(&self) -> usize {
        if self.one_by_one {
            1
        } else {
            self.batch.max(1)
        }
    }

    /// Runs the network on the images that are under way.
    fn forward_rows(&mut self) {
        let (graph, n) = (self.network.graph(), self.rows.len());
        let input = graph.value(graph.input());
        if self.rounds {
            let place = self.rows.start * input.len();
            let numbers = &mut self.buffers.values[0][place..][..n * input.len()];
            round(input.precision, numbers);
        }
        for (i, node) in graph.nodes().iter().enumerate() {
            let begun = self.begin();
            let place = self.place[node.output.0];
            let kernel = node.op.kernel::<T>();
            let value = graph.value(node.output);
            // Nodes only read values that stand before their own.
            let mut output = std::mem::take(&mut self.buffers.values[place]);
            let out = at_least(&mut output, self.batch * value.len());
            let out = &mut out[self.rows.start * value.len()..][..n * value.len()];
            if place != node.output.0 {
                kernel
                    .in_place()
                    .expect("only operators that can are planned to work in place")
                    .forward(out);
            } else {
                let mut scratch = std::mem::take(&mut self.buffers.scratch);
                kernel.forward(n, &self.inputs_of(node), out, &mut scratch);
                self.buffers.scratch = scratch;
            }
            if self.rounds {
                round(value.precision, out);
            }
            self.buffers.values[place] = output;
            self.took(i, begun, |time| &mut time.forward);
        }
    }

    /// A value of the images that are under way.
    fn here(&self, id: ValueId) -> &[T] {
        let length = self.network.graph().value(id).len();
        let (first, count) = (self.rows.start * length, self.rows.len() * length);
        &self.buffers.values[self.place[id.0]][first..][..count]
    }

    /// A value as the last [`forward`](Evaluator::forward) left it, n rows: the input, the output,
    /// or one that it was asked to [keep](Evaluator::keeping). The place of another one may hold
    /// what an operator above it has made of it.
    pub fn value(&self, id: ValueId) -> &[T] {
        let length = self.batch * self.network.graph().value(id).len();
        &self.buffers.values[self.place[id.0]][..length]
    }

    /// From the gradient with respect to the output (n rows) that with respect to the input
    /// (n rows).
    ///
    /// # Panics
    /// Where `output_gradient` is not as long as the output.
    pub fn backward(&mut self, output_gradient: &[T]) -> &[T] {
        let length = self.network.input_len();
        if !self.one_by_one {
            self.rows = 0..self.batch;
            self.run_backward(output_gradient, true, None);
            return &self.buffers.gradients[0][..self.batch * length];
        }
        let classes = self.network.output_len();
        assert_eq!(output_gradient.len(), self.batch * classes, "{A_GRADIENT}");
        let mut all = std::mem::take(&mut self.buffers.by_input);
        let places = at_least(&mut all, self.batch * length).chunks_exact_mut(length);
        for (row, place) in places.enumerate() {
            self.rows = row..row + 1;
            self.run_backward(&output_gradient[row * classes..][..classes], true, None);
            place.copy_from_slice(&self.buffers.gradients[0][..length]);
        }
        self.buffers.by_input = all;
        &self.buffers.by_input[..self.batch * length]
    }

    /// Both at once: gives the gradient with respect to the input (n rows), and adds that with
    /// respect to the weights, summed over the batch, to `weight_gradients` (laid out as
    /// [`Network::weights`]).
    ///
    /// # Panics
    /// Where a length does not fit.
    pub fn backward_both(
        &mut self,
        output_gradient: &[T],
        weight_gradients: &mut [Vec<T>],
    ) -> &[T] {
        self.rows = 0..self.batch;
        self.run_backward(output_gradient, true, Some(weight_gradients));
        &self.buffers.gradients[0][..self.batch * self.network.input_len()]
    }

    /// From the gradient with respect to the output (n rows), that with respect to the weights,
    /// summed over the batch and added to `weight_gradients` (laid out as
    /// [`Network::weights`]).
    ///
    /// # Panics
    /// Where a length does not fit.
    pub fn backward_weights(&mut self, output_gradient: &[T], weight_gradients: &mut [Vec<T>]) {
        self.rows = 0..self.batch;
        self.run_backward(output_gradient, false, Some(weight_gradients));
    }

    fn run_backward(
        &mut self,
        output_gradient: &[T],
        to_input: bool,
        mut weight_gradients: Option<&mut [Vec<T>]>,
    ) {
        let (graph, n) = (self.network.graph(), self.rows.len());
        let output = graph.output();
        let length = n * graph.value(output).len();
        assert_eq!(output_gradient.len(), length, "{A_GRADIENT}");
        let wanted = wanted(self.network, to_input, weight_gradients.is_some());
        // Where a value's gradient is under way its buffer is not empty.
        let mut written = vec![false; wanted.len()];
        written[output.0] = true;
        self.take_buffer(output, output_gradient.len())
            .copy_from_slice(output_gradient);
        for (i, node) in graph.nodes().iter().enumerate().rev() {
            if !wanted[node.output.0] || !written[node.output.0] {
                continue;
            }
            let begun = self.begin();
            self.run_backward_through(node, &wanted, &mut written, &mut weight_gradients);
            self.took(i, begun, |time| &mut time.backward);
        }
        if to_input && !written[0] {
            let length = n * graph.value(graph.input()).len();
            self.take_buffer(graph.input(), length).fill(T::zero());
        }
    }

    /// Gradients through one node, from that of its output to those of its operands that are wanted.
    fn run_backward_through(
        &mut self,
        node: &Node,
        wanted: &[bool],
        written: &mut [bool],
        weight_gradients: &mut Option<&mut [Vec<T>]>,
    ) {
        let (graph, n) = (self.network.graph(), self.rows.len());
        let kernel = node.op.kernel::<T>();
        let length = n * graph.value(node.output).len();
        let mut of_output = std::mem::take(&mut self.buffers.gradients[node.output.0]);
        if self.place[node.output.0] != node.output.0
            && let Operand::Value(input) = node.inputs[0]
        {
            // The only use of its input: nothing is there to add to.
            kernel
                .in_place()
                .expect("only operators that can are planned to work in place")
                .backward(self.here(node.output), &mut of_output[..length]);
            self.recycle(input);
            self.buffers.gradients[input.0] = of_output;
            written[input.0] = true;
            return;
        }
        // The places are taken out of their lists for the time being.
        let mut accumulate = Vec::with_capacity(node.inputs.len());
        let mut taken: Vec<Option<Vec<T>>> = Vec::with_capacity(node.inputs.len());
        for &operand in &node.inputs {
            let (place, add) = match (operand, weight_gradients.as_deref_mut()) {
                (Operand::Value(id), _) if wanted[id.0] => {
                    let add = std::mem::replace(&mut written[id.0], true);
                    if !add {
                        self.take_buffer(id, n * graph.value(id).len());
                    }
                    (Some(std::mem::take(&mut self.buffers.gradients[id.0])), add)
                }
                (Operand::Weight(id), Some(weights)) => {
                    (Some(std::mem::take(&mut weights[id.0])), true)
                }
                _ => (None, false),
            };
            taken.push(place);
            accumulate.push(add);
        }
        let mut scratch = std::mem::take(&mut self.buffers.scratch);
        let inputs = self.inputs_of(node);
        let mut places: Vec<Option<Gradient<'_, T>>> = taken
            .iter_mut()
            .zip(&inputs)
            .zip(&accumulate)
            .map(|((place, input), &accumulate)| {
                let data = &mut place.as_mut()?[..input.data.len()];
                Some(Gradient { data, accumulate })
            })
            .collect();
        let values = self.here(node.output);
        let gradient = &of_output[..length];
        kernel.backward(n, &inputs, values, gradient, &mut places, &mut scratch);
        self.buffers.scratch = scratch;
        for (&operand, place) in node.inputs.iter().zip(taken) {
            match (operand, place, weight_gradients.as_deref_mut()) {
                (Operand::Value(id), Some(place), _) => self.buffers.gradients[id.0] = place,
                (Operand::Weight(id), Some(place), Some(weights)) => weights[id.0] = place,
                _ => {}
            }
        }
        self.buffers.gradients[node.output.0] = of_output;
        self.recycle(node.output);
    }

    /// A buffer for the gradient of a value, with anything in it.
    fn take_buffer(&mut self, id: ValueId, length: usize) -> &mut [T] {
        let Buffers {
            gradients, free, ..
        } = &mut self.buffers;
        if gradients[id.0].len() < length {
            // The smallest that is large enough, or the largest.
            let fit = |buffer: &Vec<T>| {
                let enough = buffer.len() >= length;
                (
                    enough,
                    if enough {
                        usize::MAX - buffer.len()
                    } else {
                        buffer.len()
                    },
                )
            };
            let best = (0..free.len()).max_by_key(|&i| fit(&free[i]));
            let buffer = best.map_or_else(Vec::new, |best| free.swap_remove(best));
            let old = std::mem::replace(&mut gradients[id.0], buffer);
            if !old.is_empty() {
                free.push(old);
            }
        }
        at_least(&mut gradients[id.0], length)
    }

    /// The gradient of a value is not needed any more.
    fn recycle(&mut self, id: ValueId) {
        let buffer = std::mem::take(&mut self.buffers.gradients[id.0]);
        if !buffer.is_empty() {
            self.buffers.free.push(buffer);
        }
    }

    /// A node's operands, each value cut to the images that are under way.
    fn inputs_of(&self, node: &Node) -> Vec<Input<'_, T>> {
        let graph = self.network.graph();
        let input = |&operand: &Operand| match operand {
            Operand::Value(id) => Input {
                data: self.here(id),
                shape: &graph.value(id).shape,
                batched: true,
            },
            Operand::Weight(id) => Input {
                data: &self.network.weights()[id.0],
                shape: &graph.weights()[id.0].shape,
                batched: false,
            },
        };
        node.inputs.iter().map(input).collect()
    }
}

/// Rounds numbers to those of a format.
fn round<T: Real>(precision: Precision, values: &mut [T]) {
    if precision != Precision::Single {
        for value in values {
            *value = T::of(precision.round(value.f64() as f32).into());
        }
    }
}

/// The first `length` numbers of a buffer, which grows to have them.
fn at_least<T: Real>(buffer: &mut Vec<T>, length: usize) -> &mut [T] {
    if buffer.len() < length {
        buffer.resize(length, T::zero());
    }
    &mut buffer[..length]
}
