//! The batch's axis, and values under other shapes.

use super::builder::{Batch, Binding, Value};
use super::constant::{Constant, Dim};
use super::reader::Reader;
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::ops::{Op, Reshape};

impl Reader<'_> {
    /// The shape of one image's part of a value.
    pub(super) fn shape(&self, value: Value) -> &[usize] {
        self.builder.shape(value)
    }

    /// The number of axes that a value or constant has in the file.
    pub(super) fn rank(&self, binding: &Binding) -> usize {
        match binding {
            Binding::Value(value) => self.shape(*value).len() + usize::from(value.batched),
            Binding::Constant(constant) => constant.shape.len(),
        }
    }

    /// The number of axes that a value has in the file.
    pub(super) fn value_rank(&self, value: Value) -> usize {
        self.rank(&Binding::Value(value))
    }

    /// The shape that a value or constant has in the file.
    pub(super) fn file_shape(&self, binding: &Binding) -> Vec<Dim> {
        let (batched, shape) = match binding {
            Binding::Value(value) => (value.batched, self.shape(*value)),
            Binding::Constant(constant) => (false, &constant.shape[..]),
        };
        let batch = batched.then_some(Dim::Batch);
        let sizes = shape.iter().map(|&n| Dim::Known(n as i64));
        batch.into_iter().chain(sizes).collect()
    }

    /// The position from 0 on of one of `rank` axes; a negative `axis` counts from the end.
    pub(super) fn position(&self, axis: i64, rank: usize) -> Result<usize, OnnxError> {
        let from_start = match axis {
            0.. => usize::try_from(axis).ok(),
            _ => rank.checked_add_signed(axis as isize),
        };
        from_start
            .filter(|&position| position < rank)
            .ok_or_else(|| self.fail(format!("there is no axis {axis} among {rank}")))
    }

    /// The position of an axis of the file among the axes of the network's value; `None` is the
    /// batch's.
    pub(super) fn axis(&self, value: Value, axis: i64) -> Result<Option<usize>, OnnxError> {
        let position = self.position(axis, self.value_rank(value))?;
        Ok(position.checked_sub(usize::from(value.batched)))
    }

    /// The position of an axis along which the node works, and the value in which it has it: if it
    /// is the batch's, that is the value without a batch.
    pub(super) fn along(&mut self, value: Value, axis: i64) -> Result<(Value, usize), OnnxError> {
        match self.axis(value, axis)? {
            Some(axis) => Ok((value, axis)),
            None => Ok((self.unbatched(value)?, 0)),
        }
    }

    /// The value with the batch's axis as an axis like any other, for operators that work along it.
    pub(super) fn unbatched(&mut self, value: Value) -> Result<Value, OnnxError> {
        if !value.batched {
            return Ok(value);
        }
        if self.builder.batch != Batch::One {
            return Err(self.node.fail_in_batch("it works along the batch's axis"));
        }
        let shape = std::iter::once(1).chain(self.shape(value).iter().copied());
        let shape = shape.collect();
        self.reshape(value, shape, false)
    }

    /// How many images, more than one, stand side by side on the first axis of a value without a batch:
    /// windows or heads that became part of the batch, say. Operators that work on each image of a
    /// batch work on each of them.
    pub(super) fn side_by_side(&self, value: Value) -> Option<usize> {
        let first = self.shape(value).first().copied();
        first.filter(|&count| !value.batched && count > 1)
    }

    /// The value with its first axis as the batch's, for operators that take only that.
    pub(super) fn batched(&mut self, value: Value) -> Result<Value, OnnxError> {
        match self.shape(value) {
            _ if value.batched => Ok(value),
            [1, shape @ ..] => {
                let shape = shape.to_vec();
                self.reshape(value, shape, true)
            }
            shape => Err(self.fail(format!(
                "its input has shape {shape:?}, of which the first axis would be the batch's; \
                 without a batch it must be 1"
            ))),
        }
    }

    /// The value's numbers under another shape.
    pub(super) fn reshape(
        &mut self,
        value: Value,
        shape: Vec<usize>,
        batched: bool,
    ) -> Result<Value, OnnxError> {
        if shape == self.shape(value) {
            return Ok(Value { batched, ..value });
        }
        self.reshape_node(value, shape, batched)
    }

    /// An operator that gives a value's numbers another shape, even one that they have already.
    pub(super) fn reshape_node(
        &mut self,
        value: Value,
        shape: Vec<usize>,
        batched: bool,
    ) -> Result<Value, OnnxError> {
        let op = Op::Reshape(Reshape { shape });
        self.push_node(op, &[Operand::Value(value.id)], batched)
    }

    /// The inputs at some positions as operands of an operator that broadcasts, and whether its
    /// output has the batch's axis.
    ///
    /// The file aligns all shapes at their ends with the batch's axis among them, the network
    /// without it.
    pub(super) fn broadcast(
        &mut self,
        inputs: &[(usize, Binding)],
    ) -> Result<(Vec<Operand>, bool), OnnxError> {
        let ranks = inputs.iter().map(|(_, binding)| self.rank(binding));
        let rank = ranks.max().unwrap_or(0);
        let batched = |binding: &Binding| matches!(binding, Binding::Value(value) if value.batched);
        let any_batched = inputs.iter().any(|(_, binding)| batched(binding));
        // The network leaves out a weight's leading axes of length 1, which the file may count on.
        let full = |(_, binding): &(usize, Binding)| {
            matches!(binding, Binding::Value(_)) && self.rank(binding) == rank
        };
        let mut short = !any_batched && !inputs.iter().any(full);
        let mut operands = Vec::with_capacity(inputs.len());
        let mut longest = 0;
        for (position, binding) in inputs {
            let (operand, length) = match binding {
                Binding::Value(value) => {
                    if self.builder.batch != Batch::One && self.rank(binding) != rank {
                        return Err(self.node.fail_in_batch(
                            "its operands have different numbers of axes, so that the batch's \
                             axis of one meets another axis of the other",
                        ));
                    }
                    let mut value = *value;
                    if std::mem::take(&mut short) {
                        let shape = self.shape(value);
                        let mut longer = vec![1; rank - shape.len()];
                        longer.extend_from_slice(shape);
                        value = self.reshape(value, longer, false)?;
                    }
                    (Operand::Value(value.id), self.shape(value).len())
                }
                Binding::Constant(constant) => {
                    let shape = if any_batched {
                        self.without_batch(*position, constant, rank)?
                    } else {
                        constant.shape.clone()
                    };
                    let operand = self.shared_weight(*position, constant, &shape)?;
                    (operand, shape.len())
                }
            };
            longest = longest.max(length);
            operands.push(operand);
        }
        Ok((operands, longest < rank))
    }

    /// The shape of a constant input beside values of `rank` axes, without the batch's.
    pub(super) fn without_batch(
        &self,
        position: usize,
        constant: &Constant,
        rank: usize,
    ) -> Result<Vec<usize>, OnnxError> {
        match &constant.shape[..] {
            [1, shape @ ..] if shape.len() + 1 == rank => Ok(shape.to_vec()),
            shape if shape.len() < rank || self.builder.batch == Batch::One => Ok(shape.to_vec()),
            shape => Err(self.node.fail_in_batch(format!(
                "its constant `{}` of shape {shape:?} differs from image to image of a batch",
                self.input_name(position)
            ))),
        }
    }
}
