//! Operators that work number by number.

use super::super::OnnxError;
use super::super::import::{Given, Import, Value};
use super::super::node::{fail, float};
use super::super::proto::NodeProto;
use crate::graph::Operand;
use crate::ops::{Binary, Op, Unary};

/// An operator on one value that leaves its shape.
pub(super) fn unary(to: &mut Import<'_>, node: &NodeProto, op: Op) -> Result<Value, OnnxError> {
    let value = to.value(node, 0)?;
    to.emit(node, op, &[Operand::Value(value.id)], value.batched)
}

/// Clip, whose ends are attributes before opset 11 and inputs since.
pub(super) fn clip(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let end = |position: usize, name: &str, open: f32| match to.numbers(node, position)? {
        Some((_, values)) => match values[..] {
            [end] => Ok(f64::from(end)),
            _ => Err(fail(node, format!("its {name} must be one number"))),
        },
        None => Ok(float(node, name, open)),
    };
    let min = end(1, "min", f32::NEG_INFINITY)?;
    let max = end(2, "max", f32::INFINITY)?;
    if min.is_nan() || max.is_nan() {
        return Err(fail(node, "one of its ends is no number"));
    }
    // Where the ends are crossed, everything becomes the upper one.
    let min = min.min(max);
    unary(to, node, Op::Unary(Unary::Clip { min, max }))
}

/// An operator on two operands.
pub(super) fn pair(
    to: &mut Import<'_>,
    node: &NodeProto,
    binary: Binary,
) -> Result<Value, OnnxError> {
    let given = [(0, to.required(node, 0)?), (1, to.required(node, 1)?)];
    let (operands, batched) = to.broadcast(node, &given)?;
    to.emit(node, Op::Binary(binary), &operands, batched)
}

/// An operator on any number of operands.
pub(super) fn many(
    to: &mut Import<'_>,
    node: &NodeProto,
    binary: Binary,
) -> Result<Value, OnnxError> {
    let mut given = Vec::with_capacity(node.input.len());
    for position in 0..node.input.len() {
        given.push((position, to.required(node, position)?));
    }
    // Values first, so that no step is one of constants only.
    given.sort_by_key(|(_, given)| given.constant().is_some());
    let Some((_, Given::Value(mut sum))) = given.first().cloned() else {
        return Err(fail(node, "it has no input"));
    };
    let first = given.remove(0).0;
    for next in given {
        let pair = [(first, Given::Value(sum)), next];
        let (operands, batched) = to.broadcast(node, &pair)?;
        sum = to.emit(node, Op::Binary(binary), &operands, batched)?;
    }
    Ok(sum)
}
