//! A network: a graph and the numbers in its weights.

use crate::graph::{Graph, GraphError, Operand, ValueId, WeightId};
use crate::ops::Op;
use crate::real::Real;

/// A graph of operators with its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Network<T> {
    graph: Graph,
    weights: Vec<Vec<T>>,
}

/// Why weights do not make a network of a graph.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WeightError {
    /// A weight is missing or has the wrong number of values.
    #[error("weight `{name}` needs {expected} values, not {found}")]
    Length {
        /// The weight's name.
        name: String,
        /// How many values its shape has.
        expected: usize,
        /// How many were given.
        found: usize,
    },
    /// A weight holds NaN or an infinity.
    #[error("weight `{name}` holds {value} at position {position}; a network needs finite weights")]
    NotFinite {
        /// The weight's name.
        name: String,
        /// Where in it.
        position: usize,
        /// `NaN`, `inf` or `-inf`.
        value: String,
    },
}

impl<T: Real> Network<T> {
    /// A network of a graph and a tensor for each of its weights, row after row, in the graph's
    /// order.
    ///
    /// # Errors
    /// [`WeightError`] where the tensors don't fit or hold NaN or infinities.
    pub fn new(graph: Graph, weights: Vec<Vec<T>>) -> Result<Self, WeightError> {
        for (i, info) in graph.weights().iter().enumerate() {
            let expected = info.shape.iter().product();
            let found = weights.get(i).map_or(0, Vec::len);
            if found != expected {
                return Err(WeightError::Length {
                    name: info.name.clone(),
                    expected,
                    found,
                });
            }
            if let Some(position) = weights[i].iter().position(|value| !value.is_finite()) {
                let value = weights[i][position].to_string();
                return Err(WeightError::NotFinite {
                    name: info.name.clone(),
                    position,
                    value,
                });
            }
        }
        Ok(Network { graph, weights })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The weights' numbers, in the order of [`Graph::weights`].
    pub fn weights(&self) -> &[Vec<T>] {
        &self.weights
    }

    /// Sets all weights, in the order of [`Network::weights`]; a value too few or too many is
    /// left as it was.
    pub fn set_weights(&mut self, values: impl IntoIterator<Item = T>) {
        for (weight, value) in self.weights.iter_mut().flatten().zip(values) {
            *weight = value;
        }
    }

    /// The number of weights' numbers altogether.
    pub fn parameters(&self) -> usize {
        self.weights.iter().map(Vec::len).sum()
    }

    /// The shape of one input image.
    pub fn input_shape(&self) -> &[usize] {
        &self.graph.value(self.graph.input()).shape
    }

    /// How many numbers one input image has.
    pub fn input_len(&self) -> usize {
        self.graph.value(self.graph.input()).len()
    }

    /// How many numbers the output has for one image: the classes, of a classifier.
    pub fn output_len(&self) -> usize {
        self.graph.value(self.graph.output()).len()
    }

    /// The part below and including `value`, which becomes the output.
    pub fn up_to(&self, value: ValueId) -> Network<T> {
        let (graph, kept) = self.graph.up_to(value);
        self.part(graph, &kept)
    }

    /// The part above `value`, which becomes the input: a classifier of hidden activations.
    ///
    /// # Errors
    /// [`GraphError::Cut`] where another path leads past the value, [`GraphError::Nothing`] where
    /// it is the output.
    pub fn above(&self, value: ValueId) -> Result<Network<T>, GraphError> {
        let (graph, kept) = self.graph.above(value)?;
        Ok(self.part(graph, &kept))
    }

    /// This network after `first`, whose output becomes this network's input.
    ///
    /// # Errors
    /// [`GraphError::Join`] where the shapes differ.
    pub fn after(&self, first: &Network<T>) -> Result<Network<T>, GraphError> {
        let weights = first.weights.iter().chain(&self.weights);
        Ok(Network {
            graph: self.graph.after(&first.graph)?,
            weights: weights.cloned().collect(),
        })
    }

    /// The same network without a Softmax or LogSoftmax over the classes at its end: its output are
    /// the logits then. (LogSoftmax's are logits, too, less a constant; so both give the same loss.)
    pub fn without_softmax(&self) -> Network<T> {
        match self.graph.nodes().last() {
            Some(node) if matches!(node.op, Op::Softmax(_)) => match node.inputs[0] {
                Operand::Value(logits) if self.graph.value(logits).shape.len() == 1 => {
                    self.up_to(logits)
                }
                _ => self.clone(),
            },
            _ => self.clone(),
        }
    }

    /// The same network in another number type, each weight rounded to nearest.
    pub fn cast<U: Real>(&self) -> Network<U> {
        let cast = |weight: &Vec<T>| weight.iter().map(|&w| U::of(w.f64())).collect();
        Network {
            graph: self.graph.clone(),
            weights: self.weights.iter().map(cast).collect(),
        }
    }

    fn part(&self, graph: Graph, kept: &[WeightId]) -> Network<T> {
        let weights = kept.iter().map(|id| self.weights[id.0].clone()).collect();
        Network { graph, weights }
    }
}
