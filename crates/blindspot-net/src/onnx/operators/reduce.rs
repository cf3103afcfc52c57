//! Operators that make one number of many along axes.

use super::super::OnnxError;
use super::super::import::{Import, Value};
use super::super::node::{fail, integer};
use super::super::proto::NodeProto;
use super::axes;
use crate::graph::Operand;
use crate::ops::{Op, Reduce, ReduceKind};

/// GlobalAveragePool and GlobalMaxPool: over all axes after the channels.
pub(super) fn global(
    to: &mut Import<'_>,
    node: &NodeProto,
    kind: ReduceKind,
) -> Result<Value, OnnxError> {
    let value = to.value(node, 0)?;
    let value = to.batched(node, value)?;
    let axes: Vec<usize> = (1..to.shape(value).len()).collect();
    if axes.is_empty() {
        return Err(fail(node, "its input has no axes after the channels"));
    }
    let keep_axes = true;
    let op = Op::Reduce(Reduce {
        kind,
        axes,
        keep_axes,
    });
    to.emit(node, op, &[Operand::Value(value.id)], true)
}

/// ReduceMean, ReduceSum and ReduceMax, whose axes are an attribute or, in newer versions, an input.
pub(super) fn reduce(
    to: &mut Import<'_>,
    node: &NodeProto,
    kind: ReduceKind,
) -> Result<Value, OnnxError> {
    let mut value = to.value(node, 0)?;
    let keep_axes = integer(node, "keepdims", 1) != 0;
    let named = axes(to, node, 1)?.unwrap_or_default();
    if named.is_empty() && integer(node, "noop_with_empty_axes", 0) != 0 {
        return Ok(value);
    }
    let rank = to.sizes_of(value).len() as i64;
    let named = if named.is_empty() {
        (0..rank).collect()
    } else {
        named
    };
    let mut axes = Vec::with_capacity(named.len());
    for axis in named {
        axes.push(to.axis(node, value, axis)?);
    }
    if axes.contains(&None) {
        value = to.unbatched(node, value)?;
        for axis in &mut axes {
            *axis = Some(axis.map_or(0, |axis| axis + 1));
        }
    }
    let mut axes: Vec<usize> = axes.into_iter().flatten().collect();
    axes.sort_unstable();
    axes.dedup();
    if axes.is_empty() {
        return Ok(value);
    }
    let op = Op::Reduce(Reduce {
        kind,
        axes,
        keep_axes,
    });
    to.emit(node, op, &[Operand::Value(value.id)], value.batched)
}
