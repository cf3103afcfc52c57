//! Operators that make one number of many along axes.

use super::{OnConstants, Operator};
use crate::onnx::OnnxError;
use crate::onnx::import::builder::Value;
use crate::onnx::import::reader::Reader;
use crate::ops::{Op, Reduce, ReduceKind};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("GlobalAveragePool", |r| global(r, ReduceKind::Mean)),
    Operator::new("GlobalMaxPool", |r| global(r, ReduceKind::Max)),
    Operator::new("CumSum", cumulative_sum).on_constants(OnConstants::Whole),
    Operator::new("GlobalLpPool", |r| match r.attr_i64("p", 2) {
        1 => global(r, ReduceKind::L1),
        2 => global(r, ReduceKind::L2),
        p => Err(r.fail(format!("its p is {p}; supported are 1 and 2"))),
    }),
    reduction("ReduceL1", |r| reduce(r, ReduceKind::L1)),
    reduction("ReduceL2", |r| reduce(r, ReduceKind::L2)),
    reduction("ReduceLogSum", |r| reduce(r, ReduceKind::LogSum)),
    reduction("ReduceLogSumExp", |r| reduce(r, ReduceKind::LogSumExp)),
    reduction("ReduceMax", |r| reduce(r, ReduceKind::Max)),
    reduction("ReduceMean", |r| reduce(r, ReduceKind::Mean)),
    reduction("ReduceMin", |r| reduce(r, ReduceKind::Min)),
    reduction("ReduceProd", |r| reduce(r, ReduceKind::Prod)),
    reduction("ReduceSum", |r| reduce(r, ReduceKind::Sum)),
    reduction("ReduceSumSquare", |r| reduce(r, ReduceKind::SumSquare)),
];

/// An operator that also reduces the integers of shapes.
const fn reduction(
    name: &'static str,
    import: fn(&mut Reader<'_>) -> Result<Value, OnnxError>,
) -> Operator {
    Operator::new(name, import).on_constants(OnConstants::Whole)
}

/// CumSum: each number the sum of all up to it, or of all before it.
fn cumulative_sum(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let axis = r.ints(1)?.unwrap_or_default();
    let &[axis] = &axis[..] else {
        return Err(r.fail("its axis must be one integer"));
    };
    let (value, axis) = r.along(value, axis)?;
    let (exclusive, reverse) = (
        r.attr_bool("exclusive", false),
        r.attr_bool("reverse", false),
    );
    let length = r.shape(value)[axis];
    r.matrix_along(value, axis, length, |o, i| {
        let before = if reverse { i > o } else { i < o };
        let counts = before || i == o && !exclusive;
        f64::from(u8::from(counts))
    })
}

/// GlobalAveragePool and its kin: over all axes after the channels.
fn global(r: &mut Reader<'_>, kind: ReduceKind) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    // Of images side by side the channels are the second axis.
    let (value, channels) = match r.side_by_side(value) {
        Some(_) => (value, 1),
        None => (r.batched(value)?, 0),
    };
    let axes: Vec<usize> = (channels + 1..r.shape(value).len()).collect();
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

/// ReduceMean and its kin, whose axes are an attribute or, in newer versions, an input.
fn reduce(r: &mut Reader<'_>, kind: ReduceKind) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let keep_axes = r.attr_bool("keepdims", true);
    let mut named = r.ints_or_attr(1, "axes")?.unwrap_or_default();
    if named.is_empty() {
        if r.attr_bool("noop_with_empty_axes", false) {
            return Ok(value);
        }
        named = (0..r.value_rank(value) as i64).collect();
    }
    let (value, axes) = r.axes(value, &named)?;
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
