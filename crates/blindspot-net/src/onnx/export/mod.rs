//! What each operator of a network is in ONNX.
//!
//! The batch's axis is written in front of all others, so an axis of an image is one more in ONNX.
//! Where ONNX has no such operator, or not for these operands, it is several nodes.

mod attributes;
mod elementwise;
mod file;
mod linear;
mod parts;
mod reductions;

use std::collections::{HashMap, HashSet};

pub use file::write;

use attributes::{float, integer, integers, tensor, windows};

use super::proto::*;
use crate::graph::{Graph, Node, Operand};
use crate::ops::{Conv, Op, Pool, PoolKind};

/// The version of ONNX's operators that is written: one that every runtime of the last years has.
const OPSET: i64 = 17;
/// The first version in which the windows of AveragePool may have dilations.
const OPSET_OF_DILATED_AVERAGES: i64 = 19;

/// The nodes of a network, and the constants that they take besides its weights.
pub(super) struct Export<'a> {
    graph: &'a Graph,
    /// The names that are taken.
    names: HashSet<String>,
    /// How many nodes had each name so far: a node of a file that was read may be several here.
    node_names: HashMap<String, usize>,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: Vec<TensorProto>,
    pub(super) opset: i64,
}

impl<'a> Export<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        let values = graph.values().iter().map(|value| &value.name);
        let weights = graph.weights().iter().map(|weight| &weight.name);
        let dilated = |node: &Node| match &node.op {
            Op::Pool(Pool { kind, window, .. }) => {
                *kind != PoolKind::Max && window.dilations.iter().any(|&dilation| dilation > 1)
            }
            _ => false,
        };
        let mut export = Export {
            graph,
            names: values.chain(weights).cloned().collect(),
            node_names: HashMap::new(),
            nodes: Vec::new(),
            constants: Vec::new(),
            opset: if graph.nodes().iter().any(dilated) {
                OPSET_OF_DILATED_AVERAGES
            } else {
                OPSET
            },
        };
        for node in graph.nodes() {
            export.node(node);
        }
        export
    }

    fn node(&mut self, node: &Node) {
        let inputs: Vec<String> = node.inputs.iter().map(|input| self.name(input)).collect();
        let plain = |attributes| (node.op.name(), inputs.clone(), attributes);
        let with = |input: String| [&inputs[..], &[input]].concat();
        let shape = self.shape(&node.inputs[0]);
        let axis = |axis: usize| integer("axis", axis as i64 + 1);
        let (op_type, inputs, attributes) = match &node.op {
            Op::Unary(op) => return self.unary(node, *op, &inputs[0]),
            Op::Binary(op) => return self.binary(node, *op),
            Op::Where(_) => return self.choose(node),
            Op::Normalize(op) => return self.normalize(node, *op, inputs, &shape),
            Op::Gemm(op) => return self.gemm(node, *op, inputs),
            Op::Concat(op) => return self.concat(node, *op, inputs),
            Op::MatMul(_) => ("MatMul", self.aligned(node), Vec::new()),
            Op::Local(op) => return self.local(node, op, inputs),
            Op::Conv(Conv { window, groups }) => {
                let mut attributes = windows(window);
                attributes.push(integer("group", *groups as i64));
                plain(attributes)
            }
            Op::Pool(Pool { kind, window, ceil }) => {
                let mut attributes = windows(window);
                attributes.push(integer("ceil_mode", i64::from(*ceil)));
                if let PoolKind::Average { count_padding } = *kind {
                    attributes.push(integer("count_include_pad", i64::from(count_padding)));
                    if self.opset < OPSET_OF_DILATED_AVERAGES {
                        attributes.retain(|attribute| attribute.name != "dilations");
                    }
                }
                plain(attributes)
            }
            Op::Lrn(op) => plain(vec![
                integer("size", op.size as i64),
                float("alpha", op.alpha),
                float("beta", op.beta),
                float("bias", op.bias),
            ]),
            Op::Softmax(op) => plain(vec![axis(op.axis)]),
            Op::Reduce(op) => return self.reduce(node, op, inputs),
            Op::TopK(op) => {
                let k = self.whole(node, "k", vec![op.k as i64]);
                let attributes = vec![axis(op.axis), integer("largest", i64::from(op.largest))];
                self.emit(node, "TopK", with(k), attributes);
                // Their positions, which nothing uses.
                let positions = self.fresh(node, "positions");
                let last = self.nodes.last_mut();
                return last
                    .into_iter()
                    .for_each(|node| node.output.push(positions.clone()));
            }
            Op::Reshape(op) => {
                let shape = self.shape_with_batch(node, &op.shape);
                ("Reshape", with(shape), Vec::new())
            }
            Op::Transpose(op) => {
                let axes = op.permutation.iter().map(|&axis| axis as i64 + 1);
                plain(vec![integers(
                    "perm",
                    std::iter::once(0).chain(axes).collect(),
                )])
            }
            Op::Slice(op) => return self.slice(node, op, inputs, &shape),
            Op::Gather(op) => {
                let positions = op
                    .positions
                    .iter()
                    .map(|&position| position as i64)
                    .collect();
                let positions = self.whole(node, "positions", positions);
                ("Gather", with(positions), vec![axis(op.axis)])
            }
            Op::Pad(op) => return self.pad(node, op, inputs),
            Op::Dropout(op) => {
                let ratio = self.number(node, "ratio", op.ratio);
                ("Dropout", with(ratio), Vec::new())
            }
        };
        self.emit(node, op_type, inputs, attributes);
    }

    /// A node's operands, brought to as many axes as the output has where ONNX would align them
    /// another way: it takes the batch's axis for one like the others.
    fn aligned(&mut self, node: &Node) -> Vec<String> {
        let rank = self.graph.value(node.output).shape.len();
        let operands = node.inputs.iter().map(|operand| {
            let (name, shape) = (self.name(operand), self.shape(operand));
            let value = matches!(operand, Operand::Value(_));
            if value && shape.len() < rank {
                let ones = vec![1; rank - shape.len()];
                let shape = self.shape_with_batch(node, &[ones, shape].concat());
                self.helper(node, "Reshape", vec![name, shape])
            } else if !value && shape.len() > rank + 1 {
                // The first ones are of length 1, or the output had them.
                let shape = shape[shape.len() - rank..].iter().map(|&size| size as i64);
                let shape = self.whole(node, "shape", shape.collect());
                self.helper(node, "Reshape", vec![name, shape])
            } else {
                name
            }
        });
        operands.collect()
    }

    /// The shape as a constant for Reshape; 0 keeps the batch's axis as it is.
    fn shape_with_batch(&mut self, node: &Node, shape: &[usize]) -> String {
        let sizes = shape.iter().map(|&size| size as i64);
        self.whole(node, "shape", std::iter::once(0).chain(sizes).collect())
    }

    /// A constant of whole numbers.
    fn whole(&mut self, node: &Node, what: &str, numbers: Vec<i64>) -> String {
        let name = self.fresh(node, what);
        self.constants.push(TensorProto {
            dims: vec![numbers.len() as i64],
            data_type: INT64,
            name: name.clone(),
            raw_data: numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect(),
            ..TensorProto::default()
        });
        name
    }

    /// A constant of one number.
    fn number(&mut self, node: &Node, what: &str, number: f64) -> String {
        let name = self.fresh(node, what);
        self.constants
            .push(tensor(&name, Vec::new(), &[number as f32]));
        name
    }

    /// A node on the way to the output of a node of the network; gives the name of what it gives.
    fn helper(&mut self, node: &Node, op_type: &str, inputs: Vec<String>) -> String {
        self.helper_with(node, op_type, inputs, Vec::new())
    }

    /// A node with attributes on the way to the output of a node of the network; gives the name of what
    /// it gives.
    fn helper_with(
        &mut self,
        node: &Node,
        op_type: &str,
        inputs: Vec<String>,
        attributes: Vec<AttributeProto>,
    ) -> String {
        let output = self.fresh(node, &op_type.to_lowercase());
        self.push(output.clone(), output.clone(), op_type, inputs, attributes);
        output
    }

    /// The node that gives the output of a node of the network.
    fn emit(
        &mut self,
        node: &Node,
        op_type: &str,
        inputs: Vec<String>,
        attributes: Vec<AttributeProto>,
    ) {
        let output = self.graph.value(node.output).name.clone();
        self.push(node.name.clone(), output, op_type, inputs, attributes);
    }

    fn push(
        &mut self,
        name: String,
        output: String,
        op_type: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) {
        // Runtimes want each name once.
        let count = self.node_names.entry(name.clone()).or_default();
        *count += 1;
        let name = match *count {
            1 => name,
            copy => format!("{name} ({copy})"),
        };
        self.nodes.push(NodeProto {
            input,
            output: vec![output],
            name,
            op_type: op_type.to_owned(),
            attribute,
            ..NodeProto::default()
        });
    }

    /// A name that nothing has, after a node's output.
    fn fresh(&mut self, node: &Node, what: &str) -> String {
        let output = &self.graph.value(node.output).name;
        let mut name = format!("{output}/{what}");
        let mut copy = 1;
        while !self.names.insert(name.clone()) {
            copy += 1;
            name = format!("{output}/{what} {copy}");
        }
        name
    }

    fn name(&self, operand: &Operand) -> String {
        match *operand {
            Operand::Value(id) => self.graph.value(id).name.clone(),
            Operand::Weight(id) => self.graph.weights()[id.index()].name.clone(),
        }
    }

    fn shape(&self, operand: &Operand) -> Vec<usize> {
        match *operand {
            Operand::Value(id) => self.graph.value(id).shape.clone(),
            Operand::Weight(id) => self.graph.weights()[id.index()].shape.clone(),
        }
    }
}
