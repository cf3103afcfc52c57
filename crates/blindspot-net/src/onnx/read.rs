//! A network out of an ONNX file.

use std::collections::{BTreeMap, HashMap};

use prost::Message;

use super::constant::Constant;
use super::operators::import;
use super::proto::{Dimension, GraphProto, ModelProto, NodeProto, ValueInfoProto};
use super::{Model, OnnxError};
use crate::graph::{Graph, Operand, ValueId};
use crate::network::Network;
use crate::ops::Op;

/// Reads the bytes of an ONNX file: a network with one input and one output that are tensors of
/// floats, the first axis of each that of the batch.
///
/// # Errors
/// [`OnnxError`], which names the node or tensor that does not fit.
pub fn read(bytes: &[u8]) -> Result<Model, OnnxError> {
    let model = ModelProto::decode(bytes).map_err(|error| OnnxError::NotOnnx(error.to_string()))?;
    let graph = model
        .graph
        .ok_or_else(|| OnnxError::NotOnnx("it has no graph".into()))?;
    let metadata: BTreeMap<String, String> = model
        .metadata_props
        .into_iter()
        .map(|entry| (entry.key, entry.value))
        .collect();
    Ok(Model {
        network: network(&graph)?,
        metadata,
    })
}

/// A network under construction.
pub(super) struct Import {
    graph: Graph,
    weights: Vec<Vec<f32>>,
    /// What each name of the file stands for.
    values: HashMap<String, ValueId>,
    constants: HashMap<String, Constant>,
}

fn network(proto: &GraphProto) -> Result<Network<f32>, OnnxError> {
    let mut constants = HashMap::new();
    for tensor in &proto.initializer {
        constants.insert(tensor.name.clone(), Constant::new(tensor)?);
    }
    // Old files list their weights as inputs, too.
    let inputs: Vec<&ValueInfoProto> = proto
        .input
        .iter()
        .filter(|input| !constants.contains_key(&input.name))
        .collect();
    let [input] = inputs[..] else {
        let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        return Err(OnnxError::Interface(format!(
            "a classifier has one input, this model has {}: {names:?}",
            names.len()
        )));
    };
    let [output] = &proto.output[..] else {
        let names: Vec<&str> = proto
            .output
            .iter()
            .map(|output| output.name.as_str())
            .collect();
        return Err(OnnxError::Interface(format!(
            "a classifier has one output, this model has {}: {names:?}; export the logits only",
            names.len()
        )));
    };
    let graph = Graph::new(&input.name, &input_shape(input)?)?;
    let values = HashMap::from([(input.name.clone(), graph.input())]);
    let mut import_of = Import {
        graph,
        weights: Vec::new(),
        values,
        constants,
    };
    for node in &proto.node {
        import(&mut import_of, node)?;
    }
    let Import {
        graph,
        weights,
        values,
        ..
    } = import_of;
    let Some(&output) = values.get(&output.name) else {
        return Err(OnnxError::Interface(format!(
            "the output `{}` does not depend on the input `{}`",
            output.name, input.name
        )));
    };
    let network = Network::new(graph, weights)?;
    // What is not needed for the output is left out.
    Ok(network.up_to(output))
}

/// The shape of one image.
fn input_shape(input: &ValueInfoProto) -> Result<Vec<usize>, OnnxError> {
    let tensor = input
        .r#type
        .as_ref()
        .and_then(|r#type| r#type.tensor_type.as_ref());
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let name = &input.name;
    let Some(shape) = shape.filter(|shape| shape.dim.len() > 1) else {
        let why = format!("the input `{name}` must say its shape, as in [n, 784]");
        return Err(OnnxError::Interface(why));
    };
    let size = |axis: usize| match &shape.dim[axis].value {
        Some(Dimension::Size(size)) if *size > 0 => Ok(*size as usize),
        Some(Dimension::Name(symbol)) => Err(OnnxError::Interface(format!(
            "axis {axis} of the input `{name}` is `{symbol}`; only the batch may have any size: \
             export the model with a fixed image size"
        ))),
        _ => Err(OnnxError::Interface(format!(
            "axis {axis} of the input `{name}` has no size; export the model with a fixed image \
             size"
        ))),
    };
    (1..shape.dim.len()).map(size).collect()
}

impl Import {
    /// The operand that a name stands for, a constant becoming a weight.
    pub(super) fn operand(&mut self, node: &NodeProto, name: &str) -> Result<Operand, OnnxError> {
        if let Some(&id) = self.values.get(name) {
            return Ok(Operand::Value(id));
        }
        let constant = self.constants.get(name).ok_or_else(|| {
            fail(
                node,
                format!("`{name}` is neither a value computed before nor a constant"),
            )
        })?;
        let real = constant.real().ok_or_else(|| {
            fail(
                node,
                format!("`{name}` holds integers; numbers to compute with must be real"),
            )
        })?;
        let (shape, values) = (constant.shape.clone(), real.to_vec());
        self.weight(name, &shape, values)
    }

    /// Adds a weight; one that is used twice is stored twice, under another name.
    pub(super) fn weight(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<Operand, OnnxError> {
        let taken = |name: &str| {
            self.graph
                .weights()
                .iter()
                .any(|weight| weight.name == name)
        };
        let mut unique = name.to_owned();
        let mut copy = 1;
        while taken(&unique) {
            copy += 1;
            unique = format!("{name}/{copy}");
        }
        let id = self.graph.weight(&unique, shape)?;
        self.weights.push(values);
        Ok(Operand::Weight(id))
    }

    /// The shape of one image's part of an operand that is a value.
    pub(super) fn shape(&self, operand: Operand) -> Option<&[usize]> {
        match operand {
            Operand::Value(id) => Some(&self.graph.value(id).shape),
            Operand::Weight(_) => None,
        }
    }

    /// The constant that a name stands for.
    pub(super) fn constant(&self, name: &str) -> Option<&Constant> {
        self.constants.get(name)
    }

    /// Adds a constant that a node gives.
    pub(super) fn define(&mut self, name: &str, constant: Constant) {
        self.constants.insert(name.to_owned(), constant);
    }

    /// Adds an operator whose output is that of the node.
    pub(super) fn node(
        &mut self,
        node: &NodeProto,
        op: Op,
        operands: &[Operand],
    ) -> Result<(), OnnxError> {
        let output = node.output.first().map_or("", String::as_str);
        let id = self.graph.node(name_of(node), op, operands, output)?;
        self.values.insert(output.to_owned(), id);
        Ok(())
    }

    /// Lets the node's output be the same as its input.
    pub(super) fn alias(&mut self, node: &NodeProto) -> Result<(), OnnxError> {
        let (Some(input), Some(output)) = (node.input.first(), node.output.first()) else {
            return Err(fail(node, "it has no input or no output".into()));
        };
        if let Some(&id) = self.values.get(input) {
            self.values.insert(output.clone(), id);
        } else if let Some(constant) = self.constants.get(input).cloned() {
            self.constants.insert(output.clone(), constant);
        } else {
            return Err(fail(node, format!("`{input}` is not computed before")));
        }
        Ok(())
    }
}

/// A node's name: of its output where it has none.
pub(super) fn name_of(node: &NodeProto) -> &str {
    match node.name.as_str() {
        "" => node.output.first().map_or("", String::as_str),
        name => name,
    }
}

/// An error about a node.
pub(super) fn fail(node: &NodeProto, why: String) -> OnnxError {
    let (node, operator) = (name_of(node).to_owned(), node.op_type.clone());
    OnnxError::Node {
        node,
        operator,
        why,
    }
}
