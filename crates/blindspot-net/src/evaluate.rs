//! Running a network over a batch of images: values forward, gradients backward.

use crate::graph::{Node, Operand, ValueId};
use crate::network::Network;
use crate::ops::{Gradient, Input};
use crate::real::Real;

/// The buffers of one thread to run one network in.
///
/// Write a batch into [`input`](Evaluator::input), run [`forward`](Evaluator::forward), read any
/// value, and run [`backward`](Evaluator::backward) as often as wanted with different gradients of
/// the output. What comes out for an image has the same bits whatever else is in the batch.
/// Buffers grow to the largest batch seen and are used again.
pub struct Evaluator<'n, T> {
    network: &'n Network<T>,
    batch: usize,
    values: Vec<Vec<T>>,
    gradients: Vec<Vec<T>>,
}

/// The memory of an [`Evaluator`], to be used again for another network (other weights, say).
#[derive(Debug, Default)]
pub struct Buffers<T> {
    values: Vec<Vec<T>>,
    gradients: Vec<Vec<T>>,
}

impl<'n, T: Real> Evaluator<'n, T> {
    /// Buffers for a network, empty yet.
    pub fn new(network: &'n Network<T>) -> Self {
        Self::with_buffers(
            network,
            Buffers {
                values: Vec::new(),
                gradients: Vec::new(),
            },
        )
    }

    /// An evaluator in memory that another one has left.
    pub fn with_buffers(network: &'n Network<T>, mut buffers: Buffers<T>) -> Self {
        let count = network.graph().values().len();
        buffers.values.resize(count, Vec::new());
        buffers.gradients.resize(count, Vec::new());
        let Buffers { values, gradients } = buffers;
        Evaluator {
            network,
            batch: 0,
            values,
            gradients,
        }
    }

    /// The memory, for another evaluator.
    pub fn into_buffers(self) -> Buffers<T> {
        Buffers {
            values: self.values,
            gradients: self.gradients,
        }
    }

    /// The network.
    pub fn network(&self) -> &'n Network<T> {
        self.network
    }

    /// The place for a batch of `n` images, one after the other; it holds what it held before.
    pub fn input(&mut self, n: usize) -> &mut [T] {
        self.batch = n;
        let length = n * self.network.input_len();
        let input = &mut self.values[0];
        if input.len() < length {
            input.resize(length, T::zero());
        }
        &mut input[..length]
    }

    /// Runs the network on the batch that is in [`input`](Evaluator::input); gives the output,
    /// n rows.
    pub fn forward(&mut self) -> &[T] {
        let (graph, n) = (self.network.graph(), self.batch);
        for node in graph.nodes() {
            // Nodes only read values that stand before their own.
            let (before, after) = self.values.split_at_mut(node.output.0);
            let output = &mut after[0];
            let length = n * graph.value(node.output).len();
            if output.len() < length {
                output.resize(length, T::zero());
            }
            let inputs = inputs_of(self.network, node, before, n);
            node.op
                .kernel::<T>()
                .forward(n, &inputs, &mut output[..length]);
        }
        self.value(graph.output())
    }

    /// A value as the last [`forward`](Evaluator::forward) left it, n rows.
    pub fn value(&self, id: ValueId) -> &[T] {
        &self.values[id.0][..self.batch * self.network.graph().value(id).len()]
    }

    /// From the gradient with respect to the output (n rows) that with respect to the input
    /// (n rows).
    ///
    /// # Panics
    /// Where `output_gradient` is not as long as the output.
    pub fn backward(&mut self, output_gradient: &[T]) -> &[T] {
        self.run_backward(output_gradient, true, None);
        &self.gradients[0][..self.batch * self.network.input_len()]
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
        self.run_backward(output_gradient, true, Some(weight_gradients));
        &self.gradients[0][..self.batch * self.network.input_len()]
    }

    /// From the gradient with respect to the output (n rows), that with respect to the weights,
    /// summed over the batch and added to `weight_gradients` (laid out as
    /// [`Network::weights`]).
    ///
    /// # Panics
    /// Where a length does not fit.
    pub fn backward_weights(&mut self, output_gradient: &[T], weight_gradients: &mut [Vec<T>]) {
        self.run_backward(output_gradient, false, Some(weight_gradients));
    }

    fn run_backward(
        &mut self,
        output_gradient: &[T],
        to_input: bool,
        mut weight_gradients: Option<&mut [Vec<T>]>,
    ) {
        let (graph, n) = (self.network.graph(), self.batch);
        let output = graph.output();
        let length = n * graph.value(output).len();
        assert_eq!(
            output_gradient.len(),
            length,
            "a gradient for each number of the output"
        );
        // Which values need a gradient: those on a path to what was asked for.
        let mut wanted = vec![false; self.values.len()];
        wanted[0] = to_input;
        for node in graph.nodes() {
            wanted[node.output.0] = node.inputs.iter().any(|&operand| match operand {
                Operand::Value(id) => wanted[id.0],
                Operand::Weight(_) => weight_gradients.is_some(),
            });
        }
        let mut written = vec![false; self.values.len()];
        written[output.0] = true;
        self.gradients[output.0].clear();
        self.gradients[output.0].extend_from_slice(output_gradient);
        for node in graph.nodes().iter().rev() {
            if !wanted[node.output.0] || !written[node.output.0] {
                continue;
            }
            let (before, after) = self.gradients.split_at_mut(node.output.0);
            let length = n * graph.value(node.output).len();
            let inputs = inputs_of(self.network, node, &self.values, n);
            let gradient_of_output = &after[0][..length];
            let mut places: Vec<Option<Gradient<'_, T>>> = Vec::with_capacity(inputs.len());
            let mut free_values: Vec<Option<&mut Vec<T>>> = before.iter_mut().map(Some).collect();
            let mut free_weights: Vec<Option<&mut Vec<T>>> = match &mut weight_gradients {
                Some(weights) => weights.iter_mut().map(Some).collect(),
                None => Vec::new(),
            };
            for &operand in &node.inputs {
                places.push(match operand {
                    Operand::Value(id) if wanted[id.0] => {
                        let length = n * graph.value(id).len();
                        let place = free_values[id.0].take().expect("operands are distinct");
                        if place.len() < length {
                            place.resize(length, T::zero());
                        }
                        let accumulate = std::mem::replace(&mut written[id.0], true);
                        Some(Gradient {
                            data: &mut place[..length],
                            accumulate,
                        })
                    }
                    Operand::Weight(id) => {
                        free_weights
                            .get_mut(id.0)
                            .and_then(Option::take)
                            .map(|place| Gradient {
                                data: place,
                                accumulate: true,
                            })
                    }
                    Operand::Value(_) => None,
                });
            }
            let output = &self.values[node.output.0][..length];
            let kernel = node.op.kernel::<T>();
            kernel.backward(n, &inputs, output, gradient_of_output, &mut places);
        }
        if to_input && !written[0] {
            let length = n * self.network.input_len();
            self.gradients[0].clear();
            self.gradients[0].resize(length, T::zero());
        }
    }
}

/// A node's operands, each value cut to the batch.
fn inputs_of<'a, T: Real>(
    network: &'a Network<T>,
    node: &Node,
    values: &'a [Vec<T>],
    n: usize,
) -> Vec<Input<'a, T>> {
    let graph = network.graph();
    node.inputs
        .iter()
        .map(|&operand| match operand {
            Operand::Value(id) => {
                let value = graph.value(id);
                Input {
                    data: &values[id.0][..n * value.len()],
                    shape: &value.shape,
                }
            }
            Operand::Weight(id) => Input {
                data: &network.weights()[id.0],
                shape: &graph.weights()[id.0].shape,
            },
        })
        .collect()
}
