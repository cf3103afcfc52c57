//! Where the batch's axis is, and values under other shapes.

use super::super::OnnxError;
use super::super::constant::Constant;
use super::super::node::fail;
use super::super::proto::NodeProto;
use super::{Batch, Given, Import, Value};
use crate::graph::Operand;
use crate::ops::{Op, Reshape};

impl Import<'_> {
    /// The position, among the axes of the network's value, of an axis of the file; `None` is the
    /// batch's.
    pub(in super::super) fn axis(
        &self,
        node: &NodeProto,
        value: Value,
        axis: i64,
    ) -> Result<Option<usize>, OnnxError> {
        let position = position(node, axis, self.rank(&Given::Value(value)))?;
        Ok(position.checked_sub(usize::from(value.batched)))
    }

    /// The value with the batch's axis as an axis like any other, for operators that work along it.
    pub(in super::super) fn unbatched(
        &mut self,
        node: &NodeProto,
        value: Value,
    ) -> Result<Value, OnnxError> {
        if !value.batched {
            return Ok(value);
        }
        if self.batch != Batch::One {
            return Err(fail(
                node,
                "it works along the batch's axis; the images of a batch must not depend on each \
                 other. If the first axis is not the batch's, read the model without one",
            ));
        }
        let shape = std::iter::once(1).chain(self.shape(value).iter().copied());
        let shape = shape.collect();
        self.reshape(node, value, shape, false)
    }

    /// The value with its first axis as the batch's, where an operator takes only that.
    pub(in super::super) fn batched(
        &mut self,
        node: &NodeProto,
        value: Value,
    ) -> Result<Value, OnnxError> {
        match self.shape(value) {
            _ if value.batched => Ok(value),
            [1, shape @ ..] => {
                let shape = shape.to_vec();
                self.reshape(node, value, shape, true)
            }
            shape => {
                let why = format!(
                    "its input has shape {shape:?}, of which the first axis would be the batch's; \
                     without a batch it must be 1"
                );
                Err(fail(node, why))
            }
        }
    }

    /// The value's numbers under another shape.
    pub(in super::super) fn reshape(
        &mut self,
        node: &NodeProto,
        value: Value,
        shape: Vec<usize>,
        batched: bool,
    ) -> Result<Value, OnnxError> {
        if shape == self.shape(value) {
            return Ok(Value { batched, ..value });
        }
        let op = Op::Reshape(Reshape { shape });
        self.emit(node, op, &[Operand::Value(value.id)], batched)
    }

    /// A node's inputs from `first` on as operands of an operator that broadcasts, and whether its
    /// output has the batch's axis.
    ///
    /// The file aligns all shapes at their ends with the batch's axis among them, the network
    /// without it.
    pub(in super::super) fn broadcast(
        &mut self,
        node: &NodeProto,
        given: &[(usize, Given)],
    ) -> Result<(Vec<Operand>, bool), OnnxError> {
        let ranks = given.iter().map(|(_, given)| self.rank(given));
        let rank = ranks.max().unwrap_or(0);
        let batched = |given: &Given| matches!(given, Given::Value(value) if value.batched);
        let any_batched = given.iter().any(|(_, given)| batched(given));
        let mut operands = Vec::with_capacity(given.len());
        let mut longest = 0;
        for (position, given) in given {
            let (operand, length) = match given {
                Given::Value(value) => {
                    if self.batch != Batch::One && self.rank(given) != rank {
                        let why = "its operands have different numbers of axes, so that the \
                                   batch's axis of one meets another axis of the other";
                        return Err(fail(node, why));
                    }
                    (Operand::Value(value.id), self.shape(*value).len())
                }
                Given::Constant(constant) => {
                    let shape = match any_batched {
                        true => self.without_batch(node, *position, constant, rank)?,
                        false => constant.shape.clone(),
                    };
                    let operand = self.shared_weight(node, *position, constant, &shape)?;
                    (operand, shape.len())
                }
            };
            longest = longest.max(length);
            operands.push(operand);
        }
        Ok((operands, longest < rank))
    }

    /// The shape of a constant beside values of `rank` axes, the batch's left out.
    pub(in super::super) fn without_batch(
        &self,
        node: &NodeProto,
        position: usize,
        constant: &Constant,
        rank: usize,
    ) -> Result<Vec<usize>, OnnxError> {
        match &constant.shape[..] {
            [1, shape @ ..] if shape.len() + 1 == rank => Ok(shape.to_vec()),
            shape if shape.len() < rank || self.batch == Batch::One => Ok(shape.to_vec()),
            shape => Err(fail(
                node,
                format!(
                    "its constant `{}` of shape {shape:?} differs from image to image of a batch; \
                     its first axis must be 1",
                    node.input[position]
                ),
            )),
        }
    }
}

/// The position of an axis that may be counted from the end.
pub(in super::super) fn position(
    node: &NodeProto,
    axis: i64,
    rank: usize,
) -> Result<usize, OnnxError> {
    let from_start = match axis {
        0.. => usize::try_from(axis).ok(),
        _ => rank.checked_add_signed(axis as isize),
    };
    from_start
        .filter(|&position| position < rank)
        .ok_or_else(|| fail(node, format!("there is no axis {axis} among {rank}")))
}
