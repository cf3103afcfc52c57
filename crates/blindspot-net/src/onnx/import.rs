//! A network under construction: what the file's names stand for.

mod axes;
mod inputs;

use std::collections::HashMap;
use std::rc::Rc;

use super::OnnxError;
use super::constant::{Constant, Numbers, Size};
use super::node::{fail, name_of};
use super::proto::NodeProto;
use crate::graph::{Graph, MAX_VALUES, Operand, ValueId, WeightId};
use crate::network::Network;
use crate::ops::{Gather, Op};
pub(super) use axes::position;

/// How many bytes the constants of a file may take altogether, however few bytes describe them.
const MAX_CONSTANTS: usize = 1 << 31;

/// How large the file says that the batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Batch {
    /// Any size.
    Any,
    /// Always this size; an operator that is given the number means the batch.
    Fixed(i64),
    /// One image: its axis is an axis like any other, or there is none.
    One,
}

/// A value of the network as the file sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) id: ValueId,
    /// Whether the file's shape has the batch's axis before the axes of the network's value. Only
    /// where the batch is [`Batch::One`] can it lack.
    pub(super) batched: bool,
}

/// What a name of the file stands for.
#[derive(Debug, Clone)]
pub(super) enum Given {
    Value(Value),
    Constant(Rc<Constant>),
}

impl Given {
    /// The constant, where it is one.
    pub(super) fn constant(&self) -> Option<&Rc<Constant>> {
        match self {
            Given::Constant(constant) => Some(constant),
            Given::Value(_) => None,
        }
    }
}

/// The numbers of a weight: those of a constant as they are, or their own.
enum Weight {
    Shared(Rc<Constant>),
    Own(Vec<f32>),
}

/// A network under construction.
pub(super) struct Import<'f> {
    graph: Graph,
    weights: Vec<Weight>,
    /// Constants that are weights already, by address and shape.
    known_weights: HashMap<(*const Constant, Vec<usize>), WeightId>,
    names: HashMap<&'f str, Given>,
    /// Which nodes of the file give which names.
    producers: HashMap<&'f str, &'f NodeProto>,
    /// How often the file uses each name.
    uses: HashMap<&'f str, usize>,
    pub(super) opset: i64,
    pub(super) batch: Batch,
    /// How many numbers one image's values may have together, still.
    values_left: usize,
    /// How many bytes constants may take, still.
    constants_left: usize,
    /// How many names were made up.
    made_up: usize,
}

impl<'f> Import<'f> {
    /// A network that has its input only: the shape of one image, and whether the file has the
    /// batch's axis before it.
    pub(super) fn new(
        input: &'f str,
        shape: &[usize],
        batched: bool,
        batch: Batch,
        opset: i64,
    ) -> Result<Self, OnnxError> {
        let graph = Graph::new(input, shape)?;
        let value = Value {
            id: graph.input(),
            batched,
        };
        Ok(Import {
            graph,
            weights: Vec::new(),
            known_weights: HashMap::new(),
            names: HashMap::from([(input, Given::Value(value))]),
            producers: HashMap::new(),
            uses: HashMap::new(),
            opset,
            batch,
            values_left: MAX_VALUES,
            constants_left: MAX_CONSTANTS,
            made_up: 0,
        })
    }

    /// Says which nodes of the file will be read.
    pub(super) fn announce(&mut self, nodes: &[&'f NodeProto], output: &'f str) {
        for &node in nodes {
            for name in node.output.iter().filter(|name| !name.is_empty()) {
                self.producers.insert(name, node);
            }
            for name in &node.input {
                *self.uses.entry(name).or_default() += 1;
            }
        }
        *self.uses.entry(output).or_default() += 1;
    }

    /// The network that is there, as far as a value needs it.
    pub(super) fn finish(self, output: ValueId) -> Result<Network<f32>, OnnxError> {
        let (graph, kept) = self.graph.up_to(output);
        let mut weights: Vec<Option<Weight>> = self.weights.into_iter().map(Some).collect();
        // Constants that nothing else holds move into the network.
        drop(self.names);
        let kept: Vec<Weight> = kept.iter().filter_map(|id| weights[id.0].take()).collect();
        drop(weights);
        let numbers = kept.into_iter().map(|weight| match weight {
            Weight::Own(values) => values,
            Weight::Shared(constant) => match Rc::try_unwrap(constant) {
                Ok(Constant {
                    numbers: Numbers::Real(values),
                    ..
                }) => values,
                Ok(_) => Vec::new(),
                Err(shared) => shared.real().unwrap_or_default().to_vec(),
            },
        });
        Ok(Network::new(graph, numbers.collect())?)
    }

    /// The same with copies of the weights, so that there can be another one.
    pub(super) fn network(&self, output: ValueId) -> Result<Network<f32>, OnnxError> {
        let (graph, kept) = self.graph.up_to(output);
        let weights = kept.iter().map(|&id| self.weight_numbers(id).1.to_vec());
        Ok(Network::new(graph, weights.collect())?)
    }

    /// What a name stands for, if it was read.
    pub(super) fn named(&self, name: &str) -> Option<&Given> {
        self.names.get(name)
    }

    /// Whether anything uses a name.
    pub(super) fn is_used(&self, name: &str) -> bool {
        self.uses.contains_key(name)
    }

    /// Lets a name stand for something.
    pub(super) fn define(&mut self, name: &'f str, given: Given) -> Result<(), OnnxError> {
        match self.names.insert(name, given) {
            None => Ok(()),
            Some(_) => Err(OnnxError::Interface(format!(
                "the name `{name}` stands for two values; give each its own"
            ))),
        }
    }

    /// At most so many numbers for all values of one image.
    pub(super) fn limit_values(&mut self, most: usize) {
        self.values_left = self.values_left.min(most);
    }

    /// Whether there are so many bytes left for a constant.
    pub(super) fn check_bytes(&self, name: &str, bytes: usize) -> Result<(), OnnxError> {
        match bytes <= self.constants_left {
            true => Ok(()),
            false => Err(OnnxError::Tensor {
                name: name.to_owned(),
                why: format!("the model's constants take more than {MAX_CONSTANTS} bytes"),
            }),
        }
    }

    /// Takes so many bytes for a constant.
    pub(super) fn take_bytes(&mut self, name: &str, bytes: usize) -> Result<(), OnnxError> {
        self.check_bytes(name, bytes)?;
        self.constants_left -= bytes;
        Ok(())
    }

    /// A node's input, if it has one at this position.
    pub(super) fn input(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Result<Option<Given>, OnnxError> {
        let Some(name) = node.input.get(position).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        if let Some(given) = self.names.get(name.as_str()) {
            return Ok(Some(given.clone()));
        }
        Err(match self.producers.get(name.as_str()) {
            Some(later) => fail(
                node,
                format!(
                    "its input `{name}` comes from the later node `{}`: the nodes are out of order, \
                     or in a circle",
                    name_of(later)
                ),
            ),
            None => fail(
                node,
                format!("its input `{name}` is neither computed before nor a constant"),
            ),
        })
    }

    /// The shape of one image's part of a value.
    pub(super) fn shape(&self, value: Value) -> &[usize] {
        &self.graph.value(value.id).shape
    }

    /// How many axes a value or constant has in the file.
    pub(super) fn rank(&self, given: &Given) -> usize {
        match given {
            Given::Value(value) => self.shape(*value).len() + usize::from(value.batched),
            Given::Constant(constant) => constant.shape.len(),
        }
    }

    /// The shape that the file sees.
    pub(super) fn sizes_of(&self, value: Value) -> Vec<Size> {
        let batch = value.batched.then_some(Size::Batch);
        let sizes = self.shape(value).iter().map(|&n| Size::Known(n as i64));
        batch.into_iter().chain(sizes).collect()
    }

    /// Adds an operator of a node. Its value's name is made up until the node is done.
    pub(super) fn emit(
        &mut self,
        node: &NodeProto,
        op: Op,
        operands: &[Operand],
        batched: bool,
    ) -> Result<Value, OnnxError> {
        let output = node.output.first().map_or("", String::as_str);
        let name = self.free(&format!("{output}/{}", op.name()));
        let before = self.graph.values().len();
        let mut operands = operands.to_vec();
        for i in 1..operands.len() {
            // Each operand has a gradient of its own.
            if let (Operand::Weight(id), true) = (operands[i], operands[..i].contains(&operands[i]))
            {
                let (shape, numbers) = self.weight_numbers(id);
                let (shape, numbers) = (shape.to_vec(), numbers.to_vec());
                operands[i] = self.weight(&name, &shape, numbers)?;
            }
        }
        let id = self.graph.node(name_of(node), op, &operands, &name)?;
        for value in &self.graph.values()[before..] {
            self.values_left = self.values_left.checked_sub(value.len()).ok_or_else(|| {
                let why = format!("one image takes more than {MAX_VALUES} numbers up to here");
                fail(node, why)
            })?;
        }
        Ok(Value { id, batched })
    }

    /// Gives a value that a node has just computed the name of the node's output.
    pub(super) fn name(&mut self, value: Value, output: &str) {
        if !self.graph.has_name(output) {
            self.graph.rename(value.id, output);
        }
    }

    /// How many values there are.
    pub(super) fn count(&self) -> usize {
        self.graph.values().len()
    }

    /// A name like this that neither the network nor the file has.
    fn free(&mut self, name: &str) -> String {
        loop {
            // Never the same number again, so that many names don't take long.
            self.made_up += 1;
            let name = format!("{name}/{}", self.made_up);
            let taken = self.graph.has_name(&name)
                || self.names.contains_key(name.as_str())
                || self.producers.contains_key(name.as_str());
            if !taken {
                return name;
            }
        }
    }

    /// Adds a weight with numbers of its own, in a name like this.
    pub(super) fn weight(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<Operand, OnnxError> {
        let name = self.free(name);
        let id = self.graph.weight(&name, shape)?;
        self.weights.push(Weight::Own(values));
        Ok(Operand::Weight(id))
    }

    /// The weight that a node's constant input is, in a shape of as many numbers.
    pub(super) fn shared_weight(
        &mut self,
        node: &NodeProto,
        position: usize,
        constant: &Rc<Constant>,
        shape: &[usize],
    ) -> Result<Operand, OnnxError> {
        let name = node.input[position].as_str();
        if constant.real().is_none() {
            let values = self.numbers(node, position)?.unwrap_or_default().1;
            return self.weight(name, shape, values);
        }
        let key = (Rc::as_ptr(constant), shape.to_vec());
        if let Some(&id) = self.known_weights.get(&key) {
            return Ok(Operand::Weight(id));
        }
        let name = match self.graph.has_name(name) {
            true => self.free(name),
            false => name.to_owned(),
        };
        let id = self.graph.weight(&name, shape)?;
        self.weights.push(Weight::Shared(constant.clone()));
        self.known_weights.insert(key, id);
        Ok(Operand::Weight(id))
    }

    /// Shape and numbers of a weight.
    pub(super) fn weight_numbers(&self, id: WeightId) -> (&[usize], &[f32]) {
        let numbers = match &self.weights[id.0] {
            Weight::Own(values) => values,
            Weight::Shared(constant) => constant.real().unwrap_or_default(),
        };
        (&self.graph.weights()[id.0].shape, numbers)
    }

    /// The operator that gives a value, if it is that of a node whose output nothing but the
    /// present node uses: its operator and operands.
    pub(super) fn only_for(&self, node: &NodeProto, position: usize) -> Option<(&Op, &[Operand])> {
        let name = node.input.get(position)?.as_str();
        let Given::Value(value) = self.names.get(name)? else {
            return None;
        };
        // Another name for the same value is another use.
        let own = self.graph.value(value.id).name == name;
        let node = self.graph.nodes().get(value.id.0.checked_sub(1)?)?;
        (own && self.uses.get(name) == Some(&1)).then_some((&node.op, &node.inputs[..]))
    }

    /// What a node's input gathers along the first of one axis, and from what, if nothing else uses
    /// it; under whatever shape.
    pub(super) fn only_gathered_for(
        &self,
        node: &NodeProto,
        position: usize,
    ) -> Option<(ValueId, &Gather)> {
        let (mut op, mut operands) = self.only_for(node, position)?;
        if let (Op::Reshape(_), [Operand::Value(id)]) = (op, operands) {
            // Where the Gather was read it got the shape of its positions; but a name of the file
            // may have other uses.
            let below = self.graph.nodes().get(id.0.checked_sub(1)?)?;
            if self.uses.contains_key(self.graph.value(*id).name.as_str()) {
                return None;
            }
            (op, operands) = (&below.op, &below.inputs);
        }
        match (op, operands) {
            (Op::Gather(gather), &[Operand::Value(from)]) => (gather.axis == 0
                && self.graph.value(from).shape.len() == 1)
                .then_some((from, gather)),
            _ => None,
        }
    }

    /// Gives the operator of a value other operands; its output keeps its shape.
    pub(super) fn replace_operands(
        &mut self,
        value: Value,
        operands: &[Operand],
    ) -> Result<(), OnnxError> {
        Ok(self.graph.replace_operands(value.id, operands)?)
    }
}
