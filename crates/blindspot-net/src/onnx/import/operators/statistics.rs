//! Normalisation by the mean and variance of an image's own numbers, or by their norm.

use super::Operator;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::Value;
use crate::onnx::import::reader::Reader;
use crate::ops::{Binary, Normalize, Op, ReduceKind, Unary};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("GroupNormalization", group),
    Operator::new("InstanceNormalization", instance),
    Operator::new("LayerNormalization", |r| last_axes(r, true)),
    Operator::new("LpNormalization", by_norm),
    Operator::new("MeanVarianceNormalization", mean_variance),
    Operator::new("RMSNormalization", |r| last_axes(r, false)),
];

/// What is added to the variance.
fn epsilon(r: &Reader<'_>) -> Result<f64, OnnxError> {
    match r.attr_f64("epsilon", 1e-5) {
        epsilon if epsilon >= 0.0 && epsilon.is_finite() => Ok(epsilon),
        epsilon => Err(r.fail(format!("its epsilon is {epsilon}"))),
    }
}

/// LayerNormalization and RMSNormalization: over the axes from one on.
fn last_axes(r: &mut Reader<'_>, centred: bool) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let (value, axis) = r.along(value, r.attr_i64("axis", -1))?;
    let epsilon = epsilon(r)?;
    let op = Op::Normalize(Normalize {
        axis,
        epsilon,
        centred,
    });
    let normal = r.apply(op, value)?;
    let scaled = r.with_input(Binary::Mul, normal, 1)?;
    r.with_input(Binary::Add, scaled, 2)
}

/// InstanceNormalization: over all axes after the channels.
fn instance(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    if let (Some(images), &[_, channels, ref positions @ ..]) =
        (r.side_by_side(value), r.shape(value))
    {
        let ones = vec![1; positions.len()];
        let normal = groups(r, value, images * channels)?;
        let scaled = of_channels(r, Binary::Mul, normal, 1, channels, &ones)?;
        return of_channels(r, Binary::Add, scaled, 2, channels, &ones);
    }
    let value = r.batched(value)?;
    let channels = r.shape(value).first().copied();
    let channels = channels.ok_or_else(|| r.fail("its input has no channels"))?;
    let normal = groups(r, value, channels)?;
    affine(r, normal, channels, 1)
}

/// GroupNormalization: over groups of channels and all axes after them.
fn group(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let value = r.batched(value)?;
    let channels = r.shape(value).first().copied().unwrap_or(0);
    let count = r.attr_i64("num_groups", 0);
    let fits = |&count: &usize| count > 0 && channels > 0 && channels.is_multiple_of(count);
    let count = usize::try_from(count).ok().filter(fits).ok_or_else(|| {
        r.fail(format!(
            "{channels} channels can't be {count} groups of one size"
        ))
    })?;
    let normal = groups(r, value, count)?;
    // Before version 21 the parameters were those of groups.
    affine(
        r,
        normal,
        if r.builder.opset < 21 {
            count
        } else {
            channels
        },
        1,
    )
}

/// Each of `count` groups of channels normalised by itself.
fn groups(r: &mut Reader<'_>, value: Value, count: usize) -> Result<Value, OnnxError> {
    let shape = r.shape(value).to_vec();
    let together = shape.iter().product::<usize>() / count;
    let flat = r.reshape(value, vec![count, together], value.batched)?;
    let op = Op::Normalize(Normalize {
        axis: 1,
        epsilon: epsilon(r)?,
        centred: true,
    });
    let normal = r.apply(op, flat)?;
    r.reshape(normal, shape, value.batched)
}

/// Scale and shift by two inputs of `count` numbers each, one for each channel or group of channels.
fn affine(
    r: &mut Reader<'_>,
    value: Value,
    count: usize,
    first: usize,
) -> Result<Value, OnnxError> {
    let shape = r.shape(value).to_vec();
    let mut apart = vec![count, shape[0] / count];
    apart.extend_from_slice(&shape[1..]);
    let mut result = r.reshape(value, apart.clone(), value.batched)?;
    let ones = vec![1; apart.len() - 1];
    for (position, op) in [(first, Binary::Mul), (first + 1, Binary::Add)] {
        result = of_channels(r, op, result, position, count, &ones)?;
    }
    r.reshape(result, shape, value.batched)
}

/// A value with an input of `count` numbers, one for each channel; `after` has a 1 for each axis behind
/// the channels'.
fn of_channels(
    r: &mut Reader<'_>,
    op: Binary,
    value: Value,
    position: usize,
    count: usize,
    after: &[usize],
) -> Result<Value, OnnxError> {
    let constant = r.required_constant(position)?;
    if constant.shape != [count] {
        let found = &constant.shape;
        return Err(r.fail(format!("a parameter has shape {found:?}, not [{count}]")));
    }
    let shape = [&[count][..], after].concat();
    let weight = r.shared_weight(position, &constant, &shape)?;
    r.with_weight(op, value, weight)
}

/// MeanVarianceNormalization: over any axes, without parameters.
fn mean_variance(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let axes = r.attr_ints("axes").unwrap_or(&[0, 2, 3]);
    let (value, axes) = r.axes(value, axes)?;
    let mean = r.reduce(ReduceKind::Mean, value, axes.clone())?;
    let centred = r.both(Binary::Sub, value, mean)?;
    let squares = r.both(Binary::Mul, centred, centred)?;
    let variance = r.reduce(ReduceKind::Mean, squares, axes)?;
    let deviation = r.unary(Unary::Sqrt, variance)?;
    let deviation = r.with_number(Binary::Add, deviation, 1e-9)?;
    r.both(Binary::Div, centred, deviation)
}

/// LpNormalization: a part along an axis over its norm.
fn by_norm(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let (value, axis) = r.along(value, r.attr_i64("axis", -1))?;
    let kind = match r.attr_i64("p", 2) {
        1 => ReduceKind::L1,
        2 => ReduceKind::L2,
        p => return Err(r.fail(format!("its p is {p}; it may be 1 or 2"))),
    };
    let norm = r.reduce(kind, value, vec![axis])?;
    // A part of zeros stays one.
    let norm = r.with_number(Binary::Max, norm, f64::from(f32::MIN_POSITIVE))?;
    r.both(Binary::Div, value, norm)
}
