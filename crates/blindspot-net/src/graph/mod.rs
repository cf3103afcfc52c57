//! The network as data: named values, and the operators between them, as in ONNX.

mod cut;
mod error;

use std::collections::HashSet;

use crate::ops::{Op, OperandShape};
use crate::precision::Precision;

pub use error::GraphError;

/// The most values that one image may have in any one value of a graph: 2^28, one GiB in `f32`.
///
/// A file can claim any shape; this keeps a claim from becoming an allocation.
pub const MAX_VALUES: usize = 1 << 28;

/// The most numbers of one weight of a graph: 2^30, four GiB in `f32`. They are there once for all images.
pub const MAX_WEIGHTS: usize = 1 << 30;

/// A value that depends on the image: the input, or what an operator gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) usize);

impl ValueId {
    /// Its position in [`Graph::values`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// A weight: a tensor that does not depend on the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub(crate) usize);

impl WeightId {
    /// Its position in [`Network::weights`](crate::Network::weights).
    pub fn index(self) -> usize {
        self.0
    }
}

/// An operand of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// A value that depends on the image.
    Value(ValueId),
    /// A weight.
    Weight(WeightId),
}

/// Name, shape and format of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its name, unique in the graph; the name of the ONNX value.
    pub name: String,
    /// The shape of one image's part of it, without the batch's axis.
    pub shape: Vec<usize>,
    /// The format that its numbers are kept in where the network is used; double precision counts as
    /// single.
    pub precision: Precision,
}

impl Value {
    /// How many numbers one image has in it.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True where it holds no number at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Name and shape of a weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightInfo {
    /// Its name, unique in the graph; the name of the ONNX initializer.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// An operator at its place in a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name, for messages.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// What it works on, in ONNX's order.
    pub inputs: Vec<Operand>,
    /// What it gives.
    pub output: ValueId,
}

/// A network without the numbers in its weights: values, and the operators between them.
///
/// Nodes stand in an order in which they can run; the first value is the input, the last node's
/// output the output.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    values: Vec<Value>,
    weights: Vec<WeightInfo>,
    nodes: Vec<Node>,
    /// The names of values and weights.
    names: HashSet<String>,
}

impl Graph {
    /// A graph with an input and nothing else; `shape` is that of one image. All its values will be in
    /// single precision, as the input is.
    ///
    /// # Errors
    /// [`GraphError::Size`] where the shape is absurd.
    pub fn new(input: &str, shape: &[usize]) -> Result<Self, GraphError> {
        let value = Value {
            name: input.to_owned(),
            shape: shape.to_vec(),
            precision: Precision::Single,
        };
        check_size(&value.name, &value.shape, MAX_VALUES)?;
        Ok(Graph {
            names: HashSet::from([value.name.clone()]),
            values: vec![value],
            weights: Vec::new(),
            nodes: Vec::new(),
        })
    }

    /// Adds a weight.
    ///
    /// # Errors
    /// [`GraphError::Name`] where the name is taken, [`GraphError::Size`] where the shape is absurd.
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> Result<WeightId, GraphError> {
        self.check_name(name)?;
        check_size(name, shape, MAX_WEIGHTS)?;
        self.names.insert(name.to_owned());
        self.weights.push(WeightInfo {
            name: name.to_owned(),
            shape: shape.to_vec(),
        });
        Ok(WeightId(self.weights.len() - 1))
    }

    /// Adds an operator; its output, named `output`, becomes the graph's output. A value that it
    /// uses twice (x + x) is copied first, so that each operand has a gradient of its own. The output
    /// is kept in the format of the last value that it is made of: a condition stands first.
    ///
    /// # Errors
    /// [`GraphError::Shape`] where the operator does not fit its inputs, [`GraphError::Name`],
    /// [`GraphError::Size`].
    ///
    /// # Panics
    /// Where an operand belongs to another graph.
    pub fn node(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[Operand],
        output: &str,
    ) -> Result<ValueId, GraphError> {
        self.check_name(output)?;
        let mut inputs = inputs.to_vec();
        for i in 1..inputs.len() {
            if let (Operand::Value(id), true) = (inputs[i], inputs[..i].contains(&inputs[i])) {
                let copy = Op::Reshape(crate::ops::Reshape {
                    shape: self.value(id).shape.clone(),
                });
                let copied = format!("{output}/operand {i}");
                inputs[i] = Operand::Value(self.node(&copied, copy, &[inputs[i]], &copied)?);
            }
        }
        let shape = self.infer(name, &op, &inputs)?;
        check_size(output, &shape, MAX_VALUES)?;
        self.names.insert(output.to_owned());
        let last = inputs.iter().rev().find_map(|&operand| match operand {
            Operand::Value(id) => Some(self.value(id).precision),
            Operand::Weight(_) => None,
        });
        self.values.push(Value {
            name: output.to_owned(),
            shape,
            precision: last.unwrap_or_default(),
        });
        let output = ValueId(self.values.len() - 1);
        self.nodes.push(Node {
            name: name.to_owned(),
            op,
            inputs,
            output,
        });
        Ok(output)
    }

    /// The shape that an operator's output has with these operands.
    fn infer(&self, node: &str, op: &Op, operands: &[Operand]) -> Result<Vec<usize>, GraphError> {
        let shapes = operands.iter().map(|&operand| match operand {
            Operand::Value(id) => OperandShape::Value(&self.values[id.0].shape),
            Operand::Weight(id) => OperandShape::Weight(&self.weights[id.0].shape),
        });
        let shapes: Vec<OperandShape<'_>> = shapes.collect();
        op.infer(&shapes).map_err(|why| GraphError::Shape {
            node: node.to_owned(),
            op: op.name(),
            why,
        })
    }

    /// Gives the operator of a value other operands, for the same output shape.
    pub(crate) fn replace_operands(
        &mut self,
        value: ValueId,
        operands: &[Operand],
    ) -> Result<(), GraphError> {
        // The first value is the input, each other one that of a node.
        let node = &self.nodes[value.0 - 1];
        let shape = self.infer(&node.name, &node.op, operands)?;
        debug_assert_eq!(shape, self.values[value.0].shape);
        self.nodes[value.0 - 1].inputs = operands.to_vec();
        Ok(())
    }

    /// Keeps a value in another format, and so what will be made of it.
    pub(crate) fn set_precision(&mut self, value: ValueId, precision: Precision) {
        self.values[value.0].precision = precision;
    }

    /// Gives a value another name, which must be free.
    pub(crate) fn rename(&mut self, value: ValueId, name: &str) {
        debug_assert!(!self.has_name(name));
        let old = std::mem::replace(&mut self.values[value.0].name, name.to_owned());
        self.names.remove(&old);
        self.names.insert(name.to_owned());
    }

    /// Whether a value or weight has the name.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The values, the input first.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Name and shape of each weight.
    pub fn weights(&self) -> &[WeightInfo] {
        &self.weights
    }

    /// The operators, in an order in which they can run.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The operator that gives a value; none gives the input.
    pub fn giver(&self, value: ValueId) -> Option<&Node> {
        // Each operator gives the value after those that were there before.
        self.nodes.get(value.0.checked_sub(1)?)
    }

    /// The input.
    pub fn input(&self) -> ValueId {
        ValueId(0)
    }

    /// The output: of the last operator, or the input where there is none.
    pub fn output(&self) -> ValueId {
        ValueId(self.values.len() - 1)
    }

    /// Name, shape and format of a value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The coarsest format of a value.
    pub fn precision(&self) -> Precision {
        let formats = self.values.iter().map(|value| value.precision);
        formats.max().unwrap_or_default()
    }

    /// The coarsest format that the output's numbers have been through unchanged: it may be a copy of
    /// coarser ones.
    pub fn output_precision(&self) -> Precision {
        let mut value = self.output();
        let mut coarsest = self.value(value).precision;
        while let Some(node) = self.giver(value)
            && let (Op::Reshape(_), &[Operand::Value(copied)]) = (&node.op, &node.inputs[..])
        {
            value = copied;
            coarsest = coarsest.max(self.value(value).precision);
        }
        coarsest
    }

    /// The value with a name.
    ///
    /// # Errors
    /// [`GraphError::Unknown`], which lists the names there are.
    pub fn find(&self, name: &str) -> Result<ValueId, GraphError> {
        let position = self.values.iter().position(|value| value.name == name);
        position.map(ValueId).ok_or_else(|| GraphError::Unknown {
            name: name.to_owned(),
            known: self.values.iter().map(|value| value.name.clone()).collect(),
        })
    }

    fn check_name(&self, name: &str) -> Result<(), GraphError> {
        if self.has_name(name) {
            Err(GraphError::Name(name.to_owned()))
        } else {
            Ok(())
        }
    }
}

fn check_size(name: &str, shape: &[usize], most: usize) -> Result<(), GraphError> {
    let count = shape
        .iter()
        .try_fold(1usize, |count, &axis| count.checked_mul(axis));
    match count {
        Some(count) if (1..=most).contains(&count) => Ok(()),
        _ => Err(GraphError::Size {
            name: name.to_owned(),
            shape: shape.to_vec(),
            most,
        }),
    }
}
