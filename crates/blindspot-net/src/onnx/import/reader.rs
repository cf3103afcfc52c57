//! A node while it is read: its inputs as its operator wants them, and what it adds to the network.

use std::rc::Rc;

use super::builder::{Batch, Binding, Builder, Value};
use super::constant::{Array, Constant, Dim, Numbers};
use super::weights::Computed;
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::onnx::proto::NodeProto;
use crate::ops::Op;

/// A node while it is read, and the network that it is added to.
///
/// Inputs are numbered from 0, as in ONNX's documentation of the operator. One that is left out is
/// `None`.
pub(super) struct Reader<'a> {
    pub(super) builder: &'a mut Builder,
    pub(super) node: &'a NodeProto,
}

impl<'a> Reader<'a> {
    /// An error about the node.
    pub(super) fn fail(&self, why: impl Into<String>) -> OnnxError {
        self.node.fail(why)
    }

    /// The name of an input.
    pub(super) fn input_name(&self, position: usize) -> &'a str {
        self.node.input.get(position).map_or("", String::as_str)
    }

    /// The name of the first output.
    pub(super) fn output_name(&self) -> &'a str {
        self.node.output.first().map_or("", String::as_str)
    }

    /// Checks that there is room for a list of so many numbers of 8 bytes: before it is made.
    pub(super) fn check_room(&self, count: usize) -> Result<(), OnnxError> {
        let bytes = count.saturating_mul(size_of::<f64>());
        Ok(self
            .builder
            .check_bytes(self.node.name_or_output(), bytes)?)
    }

    /// An input, if the node has it.
    pub(super) fn input(&self, position: usize) -> Result<Option<Binding>, OnnxError> {
        let name = self.input_name(position);
        if name.is_empty() {
            return Ok(None);
        }
        if let Some(binding) = self.builder.binding(name) {
            return Ok(Some(binding.clone()));
        }
        Err(self.fail(format!(
            "its input `{name}` is neither given by a node nor a constant"
        )))
    }

    /// An input that must be there.
    pub(super) fn required(&self, position: usize) -> Result<Binding, OnnxError> {
        self.input(position)?
            .ok_or_else(|| self.fail(format!("it has no input {position}")))
    }

    /// An input that must be there and depend on the image.
    pub(super) fn value(&self, position: usize) -> Result<Value, OnnxError> {
        match self.required(position)? {
            Binding::Value(value) => Ok(value),
            Binding::Constant(_) => Err(self.fail(format!(
                "`{}` must depend on the image, not be a constant",
                self.input_name(position)
            ))),
        }
    }

    /// An input that must be a constant, if the node has it.
    pub(super) fn constant(&self, position: usize) -> Result<Option<Rc<Constant>>, OnnxError> {
        match self.input(position)? {
            None => Ok(None),
            Some(Binding::Constant(constant)) => Ok(Some(constant)),
            Some(Binding::Value(_)) => Err(self.fail(format!(
                "`{}` must be a constant, not depend on the image; simplify the model",
                self.input_name(position)
            ))),
        }
    }

    /// An input that must be there and a constant.
    pub(super) fn required_constant(&self, position: usize) -> Result<Rc<Constant>, OnnxError> {
        self.constant(position)?
            .ok_or_else(|| self.fail(format!("it has no input {position}")))
    }

    /// Shape and numbers of a constant input; integers are read as real numbers.
    pub(super) fn reals(&self, position: usize) -> Result<Option<Array>, OnnxError> {
        let Some(constant) = self.constant(position)? else {
            return Ok(None);
        };
        self.check_room(constant.numbers.len())?;
        let values = match &constant.numbers {
            Numbers::Real(values) => values.cast(),
            Numbers::Int(dims) => {
                let known = dims.iter().map(|&dim| Ok(self.known(dim)? as f64));
                known.collect::<Result<_, OnnxError>>()?
            }
        };
        Ok(Some((constant.shape.clone(), values)))
    }

    /// Shape and numbers of a constant input, all of them finite: for constants that don't become
    /// weights as they are.
    pub(super) fn finite(&self, position: usize) -> Result<Option<Array>, OnnxError> {
        let numbers = self.reals(position)?;
        let values = numbers.iter().flat_map(|(_, values)| values);
        match values.copied().find(|value| !value.is_finite()) {
            None => Ok(numbers),
            Some(value) => Err(self.fail(format!(
                "its constant `{}` holds {value}",
                self.input_name(position)
            ))),
        }
    }

    /// A constant input of integers, among which the batch's size may be.
    pub(super) fn dims(&self, position: usize) -> Result<Option<Vec<Dim>>, OnnxError> {
        let Some(constant) = self.constant(position)? else {
            return Ok(None);
        };
        match constant.ints() {
            Some(dims) => Ok(Some(dims.to_vec())),
            None => Err(self.fail(format!(
                "`{}` must hold integers",
                self.input_name(position)
            ))),
        }
    }

    /// A constant input of integers, all of them known.
    pub(super) fn ints(&self, position: usize) -> Result<Option<Vec<i64>>, OnnxError> {
        let Some(dims) = self.dims(position)? else {
            return Ok(None);
        };
        let known = dims.into_iter().map(|dim| self.known(dim));
        known.collect::<Result<_, _>>().map(Some)
    }

    /// Integers that newer versions of an operator take as an input and older ones as an attribute.
    pub(super) fn ints_or_attr(
        &self,
        position: usize,
        attr: &str,
    ) -> Result<Option<Vec<i64>>, OnnxError> {
        let ints = self.ints(position)?;
        Ok(ints.or_else(|| self.attr_ints(attr).map(<[i64]>::to_vec)))
    }

    /// An integer that must be known; the batch's size is known if the file fixes it.
    pub(super) fn known(&self, dim: Dim) -> Result<i64, OnnxError> {
        match (dim, self.builder.batch) {
            (Dim::Known(number), _) => Ok(number),
            (Dim::Batch, Batch::Fixed(number)) => Ok(number),
            (Dim::Batch, Batch::One) => Ok(1),
            (Dim::Batch, Batch::Any) => Err(self
                .node
                .fail_in_batch("it computes with the batch's size, which is open")),
        }
    }

    /// Adds an operator to the network. Its output has the batch's axis if `batched` says so.
    pub(super) fn push_node(
        &mut self,
        op: Op,
        operands: &[Operand],
        batched: bool,
    ) -> Result<Value, OnnxError> {
        self.builder.push_node(self.node, op, operands, batched)
    }

    /// Adds an operator on one value to the network.
    pub(super) fn apply(&mut self, op: Op, value: Value) -> Result<Value, OnnxError> {
        self.push_node(op, &[Operand::Value(value.id)], value.batched)
    }

    /// Adds a weight with numbers of its own, under a name that begins with `name`.
    pub(super) fn weight(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f64>,
    ) -> Result<Operand, OnnxError> {
        let mut numbers = Computed::own(values);
        let inputs = 0..self.node.input.len();
        let mut constants = inputs.filter_map(|position| self.constant(position).ok().flatten());
        if constants.any(|constant| constant.magnitudes.is_some()) {
            // Of numbers that are computed from computed ones no bound is known here.
            numbers.magnitudes.fill(f64::MAX);
        }
        self.builder.computed_weight(name, shape, numbers)
    }

    /// The magnitudes of a constant input's numbers; see [`ExactNetwork`](crate::ExactNetwork).
    pub(super) fn magnitudes(&self, position: usize) -> Result<Vec<f64>, OnnxError> {
        let constant = self.required_constant(position)?;
        match &constant.numbers {
            Numbers::Real(_) => Ok(constant.magnitudes()),
            Numbers::Int(_) => {
                let values = self.reals(position)?.unwrap_or_default().1;
                Ok(values.iter().map(|x| x.abs()).collect())
            }
        }
    }

    /// Adds a weight computed from numbers of the file, under a name that begins with `name`.
    pub(super) fn computed_weight(
        &mut self,
        name: &str,
        shape: &[usize],
        numbers: Computed,
    ) -> Result<Operand, OnnxError> {
        self.builder.computed_weight(name, shape, numbers)
    }

    /// Adds a weight that the node makes itself: `what` says which.
    pub(super) fn own_weight(
        &mut self,
        what: &str,
        shape: &[usize],
        values: Vec<f64>,
    ) -> Result<Operand, OnnxError> {
        let name = format!("{}/{what}", self.output_name());
        self.weight(&name, shape, values)
    }

    /// The weight that a constant input is, in a shape of as many numbers.
    pub(super) fn shared_weight(
        &mut self,
        position: usize,
        constant: &Rc<Constant>,
        shape: &[usize],
    ) -> Result<Operand, OnnxError> {
        let name = self.input_name(position);
        if constant.reals().is_none() {
            let values = self.reals(position)?.unwrap_or_default().1;
            return self.weight(name, shape, values);
        }
        self.builder.shared_weight(name, constant, shape)
    }
}
