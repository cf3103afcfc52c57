//! The network under construction, and what the file's names stand for.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::constant::Constant;
use super::weights::{Computed, Weight, Weights};
use crate::budget::{Account, BudgetError};
use crate::exact::ExactNetwork;
use crate::graph::{Graph, MAX_VALUES, Operand, ValueId, WeightId};
use crate::network::Network;
use crate::onnx::OnnxError;
use crate::onnx::proto::{BFLOAT16, FLOAT16, NodeProto};
use crate::ops::{Gather, Op};
use crate::precision::Precision;
use crate::real::Real;

/// How large the batch is, according to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Batch {
    /// Any size.
    Any,
    /// Always this size; where an operator is given the number it means the batch.
    Fixed(i64),
    /// One image: its axis is an axis like any other, or there is none.
    One,
}

/// A value of the network as the file sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) id: ValueId,
    /// Whether the file's shape has the batch's axis before the axes of the network's value. It can
    /// be missing only where the batch is [`Batch::One`].
    pub(super) batched: bool,
}

/// What a name of the file stands for.
#[derive(Debug, Clone)]
pub(super) enum Binding {
    /// It depends on the image.
    Value(Value),
    /// It does not.
    Constant(Rc<Constant>),
}

impl Binding {
    /// The constant, if it is one.
    pub(super) fn constant(&self) -> Option<&Rc<Constant>> {
        match self {
            Binding::Constant(constant) => Some(constant),
            Binding::Value(_) => None,
        }
    }
}

/// Bytes that an operator takes in the graph beside its names, about.
const NODE_BYTES: usize = 1 << 10;

/// How often the name of a node's output is in memory, and its list of positions.
const COPIES: usize = 4;

/// What messages call the numbers of a constant or weight.
fn numbers_of(name: &str) -> String {
    format!("the numbers of `{name}`")
}

/// The format of values of one of ONNX's types.
pub(super) fn precision_of(data_type: i32) -> Precision {
    match data_type {
        FLOAT16 => Precision::Half,
        BFLOAT16 => Precision::Brain,
        _ => Precision::Single,
    }
}

/// A network under construction.
pub(super) struct Builder {
    graph: Graph,
    weights: Weights,
    names: HashMap<String, Binding>,
    /// The names that nodes give.
    produced: HashSet<String>,
    /// How often the file uses each name.
    uses: HashMap<String, usize>,
    /// The version of ONNX's operators.
    pub(super) opset: i64,
    pub(super) batch: Batch,
    /// Whether constants are computed in double precision, with their magnitudes.
    pub(super) exact: bool,
    /// How many numbers one image's values may still have together.
    values_left: usize,
    /// What reading the file has taken so far.
    account: Account,
    /// How many names were made up.
    made_up: usize,
    /// Values that hold whole numbers: the input, if it does, and what is only rearranged of it.
    whole: HashSet<ValueId>,
    /// The types that constants of the file have there, by their names.
    types: HashMap<String, i32>,
}

impl Builder {
    /// A network with nothing but its input: the shape of one image, and whether the file has the
    /// batch's axis before it. `account` is what reading the file has taken before.
    pub(super) fn new(
        input: &str,
        shape: &[usize],
        batched: bool,
        batch: Batch,
        opset: i64,
        account: Account,
    ) -> Result<Self, OnnxError> {
        let graph = Graph::new(input, shape)?;
        let value = Value {
            id: graph.input(),
            batched,
        };
        Ok(Builder {
            graph,
            weights: Weights::default(),
            names: HashMap::from([(input.to_owned(), Binding::Value(value))]),
            produced: HashSet::new(),
            uses: HashMap::new(),
            opset,
            batch,
            exact: false,
            values_left: MAX_VALUES,
            account,
            made_up: 0,
            whole: HashSet::new(),
            types: HashMap::new(),
        })
    }

    /// Takes note of the types of constants, by their names.
    pub(super) fn declare_types(&mut self, types: &HashMap<String, i32>) {
        let types = types
            .iter()
            .map(|(name, &data_type)| (name.clone(), data_type));
        self.types.extend(types);
    }

    /// The types of constants, by their names.
    pub(super) fn types(&self) -> &HashMap<String, i32> {
        &self.types
    }

    /// The type of a constant of the file.
    pub(super) fn type_of(&self, name: &str) -> Option<i32> {
        self.types.get(name).copied()
    }

    /// Takes note that the input is of one of ONNX's types.
    pub(super) fn set_type_of_input(&mut self, data_type: i32) {
        self.graph
            .set_precision(self.graph.input(), precision_of(data_type));
    }

    /// The format that a value is kept in.
    pub(super) fn precision(&self, value: Value) -> Precision {
        self.graph.value(value.id).precision
    }

    /// Takes note that the value computed last, which nothing uses yet, is kept in a format.
    pub(super) fn set_precision(&mut self, value: Value, precision: Precision) {
        self.graph.set_precision(value.id, precision);
    }

    /// Declares the nodes that will be read, and the name of the output.
    pub(super) fn declare<'n>(
        &mut self,
        nodes: impl IntoIterator<Item = &'n NodeProto>,
        output: &str,
    ) {
        for node in nodes {
            for name in node.output.iter().filter(|name| !name.is_empty()) {
                self.produced.insert(name.clone());
            }
            for name in &node.input {
                *self.uses.entry(name.clone()).or_default() += 1;
            }
        }
        *self.uses.entry(output.to_owned()).or_default() += 1;
    }

    /// The finished network: what the value `output` needs.
    pub(super) fn finish(mut self, output: ValueId) -> Result<Network<f32>, OnnxError> {
        let (graph, kept) = self.graph.up_to(output);
        self.take_network(&kept, size_of::<f32>())?;
        // What nothing else holds is gone as soon as it is in the network.
        drop(self.names);
        Ok(Network::new(graph, self.weights.into_singles(&kept))?)
    }

    /// The same with the file's own numbers.
    pub(super) fn finish_exact(mut self, output: ValueId) -> Result<ExactNetwork, OnnxError> {
        let (_, kept) = self.graph.up_to(output);
        self.take_network(&kept, size_of::<f64>())?;
        let magnitudes = kept
            .iter()
            .map(|&id| self.weights.get(id).computed_magnitudes());
        let magnitudes: Vec<_> = magnitudes.collect();
        let computed = magnitudes
            .iter()
            .flatten()
            .map(|sizes| size_of_val(&sizes[..]));
        self.take_bytes("the network", computed.sum())?;
        Ok(ExactNetwork::of_parts(self.network(output)?, magnitudes)?)
    }

    /// What the value `output` needs as a network with copies of the weights; unlike
    /// [`finish`](Builder::finish) it can be asked for several outputs.
    pub(super) fn network<T: Real>(&self, output: ValueId) -> Result<Network<T>, OnnxError> {
        let (graph, kept) = self.graph.up_to(output);
        let weights = kept.iter().map(|&id| self.weights.get(id).cast());
        Ok(Network::new(graph, weights.collect())?)
    }

    /// Counts weights that are in memory a second time from now on, in numbers of `width` bytes.
    fn take_network(&mut self, weights: &[WeightId], width: usize) -> Result<(), BudgetError> {
        let numbers = weights.iter().map(|&id| self.weight_shape(id));
        let numbers = numbers.map(|shape| shape.iter().product::<usize>());
        let bytes = numbers.fold(0, usize::saturating_add).saturating_mul(width);
        self.account
            .take(bytes as u64, || "the weights of the network".to_owned())
    }

    /// What a name stands for, if it was read.
    pub(super) fn binding(&self, name: &str) -> Option<&Binding> {
        self.names.get(name)
    }

    /// Whether anything uses a name.
    pub(super) fn is_used(&self, name: &str) -> bool {
        self.uses.contains_key(name)
    }

    /// Lets a name stand for something.
    pub(super) fn bind(&mut self, name: &str, binding: Binding) -> Result<(), OnnxError> {
        match self.names.insert(name.to_owned(), binding) {
            None => Ok(()),
            Some(_) => Err(OnnxError::duplicate_name(name)),
        }
    }

    /// Marks a value as one of whole numbers.
    pub(super) fn mark_whole(&mut self, value: Value) {
        self.whole.insert(value.id);
    }

    /// Whether a value holds whole numbers.
    pub(super) fn is_whole(&self, value: Value) -> bool {
        self.whole.contains(&value.id)
    }

    /// Lowers the limit of the numbers that all values of one image may have together.
    pub(super) fn limit_values(&mut self, most: usize) {
        self.values_left = self.values_left.min(most);
    }

    /// What reading the file has taken so far.
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// Checks that there is room for so many bytes more for a while.
    pub(super) fn check_bytes(&self, name: &str, bytes: usize) -> Result<(), BudgetError> {
        self.account.check(bytes as u64, || numbers_of(name))
    }

    /// Counts the bytes of a constant or weight.
    pub(super) fn take_bytes(&mut self, name: &str, bytes: usize) -> Result<(), BudgetError> {
        self.account.take(bytes as u64, || numbers_of(name))
    }

    /// Checks that evaluating the part up to a value fits into what is left, once and without its
    /// gradients, in numbers of the type `T`.
    pub(super) fn check_evaluation<T: Real>(&self, output: Value) -> Result<(), BudgetError> {
        let (graph, _) = self.graph.up_to(output.id);
        let needs = graph.computing(size_of::<T>());
        let what = || format!("the constant `{}`", graph.value(graph.output()).name);
        self.account.check(needs.bytes, what)?;
        let what = || format!("computing {}", what());
        self.account.check_time(needs.steps, what)
    }

    /// The shape of one image's part of a value.
    pub(super) fn shape(&self, value: Value) -> &[usize] {
        &self.graph.value(value.id).shape
    }

    /// The operator that gives a value, unless that is the input.
    pub(super) fn op(&self, value: Value) -> Option<&Op> {
        Some(&self.graph.giver(value.id)?.op)
    }

    /// Adds an operator of a node. Its value has a made-up name until the node is done.
    pub(super) fn push_node(
        &mut self,
        node: &NodeProto,
        op: Op,
        operands: &[Operand],
        batched: bool,
    ) -> Result<Value, OnnxError> {
        let output = node.output.first().map_or("", String::as_str);
        let name = self.free_name(&format!("{output}/{}", op.name()));
        let before = self.graph.values().len();
        let mut operands = operands.to_vec();
        for i in 1..operands.len() {
            // Each operand has a gradient of its own.
            if let (Operand::Weight(id), true) = (operands[i], operands[..i].contains(&operands[i]))
            {
                let shape = self.graph.weights()[id.0].shape.clone();
                let numbers = self.weight_numbers(id)?;
                operands[i] = self.computed_weight(&name, &shape, numbers)?;
            }
        }
        // Graphs are copied with the lists of positions that they hold.
        let list = match &op {
            Op::Gather(gather) => size_of_val(&gather.positions[..]),
            Op::Local(local) => size_of_val(local.fields.places()),
            _ => 0,
        };
        let node_bytes = NODE_BYTES + COPIES * (name.len() + list);
        self.account.take(node_bytes as u64, || {
            format!("node `{}`", node.name_or_output())
        })?;
        self.account
            .check_time(0, || "reading the model's nodes".to_owned())?;
        let id = self
            .graph
            .node(node.name_or_output(), op, &operands, &name)?;
        for value in &self.graph.values()[before..] {
            self.values_left = self.values_left.checked_sub(value.len()).ok_or_else(|| {
                node.fail(format!(
                    "one image takes more than {MAX_VALUES} numbers up to here"
                ))
            })?;
        }
        Ok(Value { id, batched })
    }

    /// Gives a value that a node has just computed the name of the node's output.
    pub(super) fn rename(&mut self, value: Value, output: &str) {
        if !self.graph.has_name(output) {
            self.graph.rename(value.id, output);
        }
    }

    /// The number of values so far.
    pub(super) fn value_count(&self) -> usize {
        self.graph.values().len()
    }

    /// A name that begins with `name` and that neither the network nor the file has.
    fn free_name(&mut self, name: &str) -> String {
        loop {
            // Never the same number again, so that many names don't take long.
            self.made_up += 1;
            let name = format!("{name}/{}", self.made_up);
            let taken = self.graph.has_name(&name)
                || self.names.contains_key(&name)
                || self.produced.contains(&name);
            if !taken {
                return name;
            }
        }
    }

    /// Adds a weight of numbers computed from those of the file; its name begins with `name`.
    pub(super) fn computed_weight(
        &mut self,
        name: &str,
        shape: &[usize],
        numbers: Computed,
    ) -> Result<Operand, OnnxError> {
        let name = self.free_name(name);
        self.take_bytes(&name, numbers.bytes())?;
        let id = self.graph.weight(&name, shape)?;
        self.weights.push(Weight::Own(numbers));
        Ok(Operand::Weight(id))
    }

    /// The weight that a constant of real numbers is in a shape of as many numbers: one weight for
    /// all operators that use it so.
    pub(super) fn shared_weight(
        &mut self,
        name: &str,
        constant: &Rc<Constant>,
        shape: &[usize],
    ) -> Result<Operand, OnnxError> {
        if let Some(id) = self.weights.known(constant, shape) {
            return Ok(Operand::Weight(id));
        }
        let name = if self.graph.has_name(name) {
            self.free_name(name)
        } else {
            name.to_owned()
        };
        let id = self.graph.weight(&name, shape)?;
        self.weights.share(id, constant, shape);
        Ok(Operand::Weight(id))
    }

    /// The shape of a weight.
    pub(super) fn weight_shape(&self, id: WeightId) -> &[usize] {
        &self.graph.weights()[id.0].shape
    }

    /// The numbers of a weight, and their magnitudes.
    pub(super) fn weight_numbers(&self, id: WeightId) -> Result<Computed, BudgetError> {
        let weight = self.weights.get(id);
        let count: usize = self.weight_shape(id).iter().product();
        self.check_bytes(
            &self.graph.weights()[id.0].name,
            2 * count * size_of::<f64>(),
        )?;
        let values: Vec<f64> = weight.cast();
        Ok(match weight.computed_magnitudes() {
            Some(magnitudes) => Computed { values, magnitudes },
            None => Computed::own(values),
        })
    }

    /// Operator and operands behind a name, if it is a node's output that the file uses only once.
    pub(super) fn single_use_producer(&self, name: &str) -> Option<(&Op, &[Operand])> {
        let Binding::Value(value) = self.names.get(name)? else {
            return None;
        };
        // Another name for the same value is another use.
        let own = self.graph.value(value.id).name == name;
        let node = self.graph.giver(value.id)?;
        (own && self.uses.get(name) == Some(&1)).then_some((&node.op, &node.inputs[..]))
    }

    /// The Gather behind a name, perhaps reshaped, and the value of one axis from which it gathers,
    /// if the file uses what it gives only once.
    pub(super) fn single_use_gather(&self, name: &str) -> Option<(ValueId, &Gather)> {
        let (mut op, mut operands) = self.single_use_producer(name)?;
        if let (Op::Reshape(_), [Operand::Value(id)]) = (op, operands) {
            // Where the Gather was read it got the shape of its positions; but a name of the file
            // may have other uses.
            let below = self.graph.giver(*id)?;
            if self.uses.contains_key(&self.graph.value(*id).name) {
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
