//! A network: a graph and the numbers in its weights.

use crate::graph::{Graph, GraphError, Operand, ValueId, WeightId};
use crate::ops::{Binary, Op, Unary};
use crate::precision::Precision;
use crate::real::Real;

/// What an operator at the end of a network does to numbers whose order it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It squashes them: far from the middle its gradient vanishes.
    Squashes,
    Keeps,
}

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

/// Checks that there is a tensor of finite numbers for each weight of a graph.
pub(crate) fn check_weights<T: Real>(graph: &Graph, weights: &[Vec<T>]) -> Result<(), WeightError> {
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
    Ok(())
}

impl<T: Real> Network<T> {
    /// A network of a graph and a tensor for each of its weights, row after row, in the graph's
    /// order.
    ///
    /// # Errors
    /// [`WeightError`] where the tensors don't fit or hold NaN or infinities.
    pub fn new(graph: Graph, weights: Vec<Vec<T>>) -> Result<Self, WeightError> {
        check_weights(&graph, &weights)?;
        Ok(Network { graph, weights })
    }

    /// The network with its input and all its values kept in a format. It computes as before;
    /// [rounding](crate::Evaluator::rounding) is asked for apart.
    #[must_use]
    pub fn kept_in(mut self, precision: Precision) -> Self {
        for value in 0..self.graph.values().len() {
            self.graph.set_precision(ValueId(value), precision);
        }
        self
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
    pub fn after(self, first: Network<T>) -> Result<Network<T>, GraphError> {
        let graph = self.graph.after(&first.graph)?;
        let weights = first.weights.into_iter().chain(self.weights).collect();
        Ok(Network { graph, weights })
    }

    /// The same network without what it ends in that only squashes its logits and keeps the order
    /// of the classes: a Softmax, LogSoftmax or Sigmoid, whatever monotone stands above it (a
    /// Clip of probabilities, a Log, another Softmax, a shape).
    ///
    /// In single precision the end can still round different logits to one number: the answer of
    /// the whole network is then that to a tie.
    pub fn logits(&self) -> Network<T> {
        match self.logits_value() {
            value if value == self.graph.output() => self.clone(),
            value => self.up_to(value),
        }
    }

    /// The value that [`logits`](Network::logits) ends in; the output where nothing is left out.
    pub fn logits_value(&self) -> ValueId {
        let (mut value, mut logits) = (self.graph.output(), self.graph.output());
        while let Some((end, below)) = self.end(value) {
            if end == End::Squashes {
                logits = below;
            }
            value = below;
        }
        logits
    }

    /// What the node that gives `value` does to the order of its numbers, and the value that it does
    /// it to; none where it may change the order.
    fn end(&self, value: ValueId) -> Option<(End, ValueId)> {
        let node = self.graph.giver(value)?;
        let values = node.inputs.iter().filter_map(|operand| match operand {
            Operand::Value(id) => Some(*id),
            Operand::Weight(_) => None,
        });
        let [below] = values.collect::<Vec<_>>()[..] else {
            return None;
        };
        let end = match &node.op {
            Op::Reshape(_) | Op::Dropout(_) => End::Keeps,
            Op::Softmax(softmax) => {
                let shape = &self.graph.value(below).shape;
                let all = shape[softmax.axis] == shape.iter().product::<usize>();
                all.then_some(End::Squashes)?
            }
            Op::Unary(Unary::Sigmoid) => End::Squashes,
            Op::Unary(Unary::Exp | Unary::Log | Unary::Tanh | Unary::Softplus) => End::Keeps,
            Op::Unary(Unary::Clip { min, max }) => {
                // The most likely class has 1 / classes at least, and no other one more than 1/2.
                let least = 1.0 / self.graph.value(below).len() as f64;
                (*min < least && *max >= 0.5 && self.is_softmax(below)).then_some(End::Keeps)?
            }
            Op::Binary(op) => self.keeps_order(*op, &node.inputs).then_some(End::Keeps)?,
            _ => return None,
        };
        Some((end, below))
    }

    /// Whether a value is a Softmax over all classes, perhaps in another shape.
    fn is_softmax(&self, value: ValueId) -> bool {
        let node = self.graph.giver(value);
        match (node.map(|node| &node.op), self.end(value)) {
            (Some(Op::Softmax(softmax)), Some(_)) => !softmax.log,
            (Some(Op::Reshape(_)), Some((_, below))) => self.is_softmax(below),
            _ => false,
        }
    }

    /// Whether an operator on a value and a weight is one increasing function of all numbers.
    fn keeps_order(&self, op: Binary, operands: &[Operand]) -> bool {
        let number = |operand: &Operand| match operand {
            Operand::Weight(id) => match self.weights[id.0][..] {
                [number] => Some(number),
                _ => None,
            },
            Operand::Value(_) => None,
        };
        match (
            op,
            operands.first().and_then(number),
            operands.get(1).and_then(number),
        ) {
            (Binary::Add, Some(_), None) | (Binary::Add | Binary::Sub, None, Some(_)) => true,
            (Binary::Mul, Some(factor), None) | (Binary::Mul | Binary::Div, None, Some(factor)) => {
                factor > T::zero()
            }
            _ => false,
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
