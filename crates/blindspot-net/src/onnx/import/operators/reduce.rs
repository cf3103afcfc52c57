//! Operators that make one number of many along axes.

use super::Operator;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::Value;
use crate::onnx::import::reader::Reader;
use crate::ops::{Op, Reduce, ReduceKind};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("GlobalAveragePool", |r| global(r, ReduceKind::Mean)),
    Operator::new("GlobalMaxPool", |r| global(r, ReduceKind::Max)),
    Operator::new("ReduceMax", |r| reduce(r, ReduceKind::Max)),
    Operator::new("ReduceMean", |r| reduce(r, ReduceKind::Mean)),
    Operator::new("ReduceSum", |r| reduce(r, ReduceKind::Sum)),
];

/// GlobalAveragePool and GlobalMaxPool: over all axes after the channels.
fn global(r: &mut Reader<'_>, kind: ReduceKind) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let value = r.batched(value)?;
    let axes: Vec<usize> = (1..r.shape(value).len()).collect();
    if axes.is_empty() {
        return Err(r.fail("its input has no axes after the channels"));
    }
    let op = Op::Reduce(Reduce {
        kind,
        axes,
        keep_axes: true,
    });
    r.apply(op, value)
}

/// ReduceMean, ReduceSum and ReduceMax, whose axes are an attribute or, in newer versions, an input.
fn reduce(r: &mut Reader<'_>, kind: ReduceKind) -> Result<Value, OnnxError> {
    let mut value = r.value(0)?;
    let keep_axes = r.attr_bool("keepdims", true);
    let mut named = r.ints_or_attr(1, "axes")?.unwrap_or_default();
    if named.is_empty() {
        if r.attr_bool("noop_with_empty_axes", false) {
            return Ok(value);
        }
        named = (0..r.value_rank(value) as i64).collect();
    }
    let mut axes = Vec::with_capacity(named.len());
    for axis in named {
        axes.push(r.axis(value, axis)?);
    }
    if axes.contains(&None) {
        value = r.unbatched(value)?;
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
    r.apply(op, value)
}
