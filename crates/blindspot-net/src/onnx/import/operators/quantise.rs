//! Quantised networks: values rounded to the integers of a scale, as runtimes round them, with the
//! gradient of what they stand for (straight through).
//!
//! Integers are real numbers here that happen to be whole. A sum of products of 8-bit integers is
//! exact in single precision up to 2^24; beyond, it is rounded by less than runtimes round it when
//! they scale it.

use std::rc::Rc;

use super::linear::product;
use super::window::convolve;
use super::{OnConstants, Operator, Outputs};
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::constant::Constant;
use crate::onnx::import::reader::Reader;
use crate::onnx::proto::{INT8, INT16, INT32, UINT8, UINT16};
use crate::ops::{Binary, Op, ReduceKind, Unary};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("ConvInteger", |r| {
        let value = centred(r, 0, 2)?;
        let kernels = integers(r, 1, 3, 0)?;
        let value = r.batched(value)?;
        convolve(r, value, &kernels, None)
    })
    .on_constants(OnConstants::Whole),
    // What onnxruntime's quantiser writes beside ONNX's own operators.
    Operator::new("com.microsoft.QLinearAdd", |r| of_two(r, Binary::Add)),
    Operator::new("com.microsoft.QLinearGlobalAveragePool", mean),
    Operator::new("com.microsoft.QLinearMul", |r| of_two(r, Binary::Mul)),
    Operator::new("DequantizeLinear", dequantize)
        .on_constants(OnConstants::Function(dequantize_constant)),
    Operator::with_outputs("DynamicQuantizeLinear", quantize_dynamically),
    Operator::new("MatMulInteger", |r| {
        let (a, b) = (factor(r, 0, 2)?, factor(r, 1, 3)?);
        product(r, a, b)
    })
    .on_constants(OnConstants::Whole),
    Operator::new("QLinearConv", convolution).on_constants(OnConstants::Whole),
    Operator::new("QLinearMatMul", matmul).on_constants(OnConstants::Whole),
    Operator::new("QuantizeLinear", quantize),
];

/// The integers of one of ONNX's types, from the least to the largest.
fn range(data_type: i32) -> Option<[f64; 2]> {
    Some(match data_type {
        UINT8 => [0.0, 255.0],
        INT8 => [-128.0, 127.0],
        UINT16 => [0.0, 65535.0],
        INT16 => [-32768.0, 32767.0],
        INT32 => [f64::from(i32::MIN), f64::from(i32::MAX)],
        _ => return None,
    })
}

/// The integers that a node's result may be: those of the zero point's type, or of `output_dtype`.
fn result_range(r: &Reader<'_>, zero_point: usize) -> Result<[f64; 2], OnnxError> {
    let data_type = match (
        r.attr_i64("output_dtype", 0) as i32,
        r.input_name(zero_point),
    ) {
        (0, "") => UINT8,
        (0, name) => r.builder.type_of(name).unwrap_or(0),
        (data_type, _) => data_type,
    };
    range(data_type).ok_or_else(|| {
        r.fail("it rounds to a type other than integers of 8, 16 or 32 bits that the file names")
    })
}

/// Scales or zero points: one number, or one for each position of an axis of a value, as a weight
/// that is repeated to its shape.
fn along(
    r: &mut Reader<'_>,
    position: usize,
    value: Value,
    what: &str,
) -> Result<Option<(Operand, Vec<f64>)>, OnnxError> {
    let Some((shape, numbers)) = r.finite(position)? else {
        return Ok(None);
    };
    if numbers.len() == 1 {
        let weight = r.own_weight(what, &[], numbers.clone())?;
        return Ok(Some((weight, numbers)));
    }
    let rank = r.value_rank(value);
    let axis = r.position(r.attr_i64("axis", 1), rank)?;
    let axis = axis.checked_sub(usize::from(value.batched));
    let fits = |&axis: &usize| shape == [r.shape(value)[axis]];
    let axis = axis.filter(fits).ok_or_else(|| {
        r.fail(format!(
            "`{}` of shape {shape:?} has not one number for each",
            r.input_name(position)
        ))
    })?;
    let mut own = vec![1; r.shape(value).len() - axis];
    own[0] = numbers.len();
    Ok(Some((r.own_weight(what, &own, numbers.clone())?, numbers)))
}

/// Numbers over their scale rounded to integers, plus the zero point, as far as these integers go.
fn rounded(
    r: &mut Reader<'_>,
    scaled: Value,
    zero_points: Option<(Operand, Vec<f64>)>,
    [low, high]: [f64; 2],
) -> Result<Value, OnnxError> {
    let round = Unary::Round {
        straight_through: true,
    };
    let zeros = zero_points
        .as_ref()
        .map_or(&[0.0][..], |(_, numbers)| numbers);
    let zero = zeros.first().copied().unwrap_or(0.0);
    if zeros.iter().any(|&other| other != zero) {
        // Each position has its own range before the zero point is added.
        let rounded = r.unary(round, scaled)?;
        let moved = match zero_points {
            Some((weight, _)) => r.with_weight(Binary::Add, rounded, weight)?,
            None => rounded,
        };
        let (min, max) = (low, high);
        return r.unary(Unary::Clip { min, max }, moved);
    }
    let (min, max) = (low - zero, high - zero);
    let cut = r.unary(Unary::Clip { min, max }, scaled)?;
    let rounded = r.unary(round, cut)?;
    match zero_points {
        Some((weight, _)) if zero != 0.0 => r.with_weight(Binary::Add, rounded, weight),
        _ => Ok(rounded),
    }
}

/// QuantizeLinear.
fn quantize(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    if r.attr_i64("block_size", 0) != 0 {
        return Err(r.fail("its block_size is not supported"));
    }
    let range = result_range(r, 2)?;
    let (scales, _) = along(r, 1, value, "scale")?.ok_or_else(|| r.fail("it has no scale"))?;
    let zero_points = along(r, 2, value, "zero point")?;
    let scaled = r.with_weight(Binary::Div, value, scales)?;
    rounded(r, scaled, zero_points, range)
}

/// DequantizeLinear.
fn dequantize(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut value = r.value(0)?;
    let (scales, _) = along(r, 1, value, "scale")?.ok_or_else(|| r.fail("it has no scale"))?;
    if let Some((zero_points, numbers)) = along(r, 2, value, "zero point")?
        && numbers.iter().any(|&number| number != 0.0)
    {
        value = r.with_weight(Binary::Sub, value, zero_points)?;
    }
    r.with_weight(Binary::Mul, value, scales)
}

/// The real numbers that constant integers stand for.
fn dequantize_constant(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    let (shape, mut numbers) = r.reals(0)?.unwrap_or_default();
    let (scale_shape, scales) = r.finite(1)?.unwrap_or_default();
    let zeros = r.finite(2)?.map(|(_, zeros)| zeros);
    let wrong = || {
        let why = format!("scales of shape {scale_shape:?} don't fit numbers of shape {shape:?}");
        r.fail(why)
    };
    if scales.is_empty()
        || zeros
            .as_ref()
            .is_some_and(|zeros| zeros.len() != scales.len())
    {
        return Err(wrong());
    }
    // How many numbers follow each other along the axis for one scale, and behind the axis.
    let (mut block, mut after, mut length) = (1, 1, 1);
    if scales.len() > 1 {
        let axis = r.position(r.attr_i64("axis", 1), shape.len())?;
        after = shape[axis + 1..].iter().product();
        length = shape[axis];
        block = usize::try_from(r.attr_i64("block_size", 0))
            .unwrap_or(0)
            .max(1);
        let mut expected = shape.clone();
        expected[axis] = length.div_ceil(block);
        let fits = match block {
            1 => scale_shape == [length],
            _ => scale_shape == expected,
        };
        if !fits {
            return Err(wrong());
        }
    }
    let blocks = length.div_ceil(block);
    let mut sizes = Vec::with_capacity(numbers.len());
    for (i, number) in numbers.iter_mut().enumerate() {
        let at = i / after % length / block;
        let scale = match (scales.len(), block) {
            (1, _) => 0,
            (_, 1) => at,
            // Scales have the other axes, too.
            _ => (i / (after * length) * blocks + at) * after + i % after,
        };
        let zero = zeros.as_ref().map_or(0.0, |zeros| zeros[scale]);
        sizes.push((number.abs() + zero.abs()) * scales[scale].abs() * (1.0 + 1e-6));
        *number = (*number - zero) * scales[scale];
    }
    Ok(Constant {
        magnitudes: Some(sizes),
        ..Constant::of_reals(shape, numbers)
    })
}

/// A value of integers less its zero point, which is one number.
fn centred(r: &mut Reader<'_>, position: usize, zero_point: usize) -> Result<Value, OnnxError> {
    let value = r.value(position)?;
    match r.input(zero_point)? {
        None => Ok(value),
        Some(Binding::Value(_)) => r.with_input(Binary::Sub, value, zero_point),
        Some(Binding::Constant(_)) => match r.finite(zero_point)?.unwrap_or_default().1[..] {
            [0.0] => Ok(value),
            [zero] => r.with_number(Binary::Sub, value, zero),
            _ => Err(r.fail("the zero point of a value must be one number")),
        },
    }
}

/// Constant integers less their zero points, which are one, or one for each position of an axis.
fn integers(
    r: &Reader<'_>,
    position: usize,
    zero_point: usize,
    axis: usize,
) -> Result<Rc<Constant>, OnnxError> {
    r.required_constant(position)?;
    let (shape, mut numbers) = r.finite(position)?.unwrap_or_default();
    let zeros = r.finite(zero_point)?.map_or(vec![0.0], |(_, zeros)| zeros);
    let length = shape.get(axis).copied().unwrap_or(1);
    if zeros.len() != 1 && zeros.len() != length {
        let why = format!(
            "{} zero points don't fit integers of shape {shape:?}",
            zeros.len()
        );
        return Err(r.fail(why));
    }
    let after: usize = shape.iter().skip(axis + 1).product();
    for (i, number) in numbers.iter_mut().enumerate() {
        *number -= zeros[if zeros.len() == 1 {
            0
        } else {
            i / after % length
        }];
    }
    Ok(Rc::new(Constant::of_reals(shape, numbers)))
}

/// A factor of a matrix product less its zero point.
fn factor(r: &mut Reader<'_>, position: usize, zero_point: usize) -> Result<Binding, OnnxError> {
    Ok(match r.required(position)? {
        Binding::Value(_) => Binding::Value(centred(r, position, zero_point)?),
        Binding::Constant(constant) => {
            // One for each column of the second factor, or each row of the first.
            let axes = constant.shape.len();
            let axis = axes.saturating_sub(if position == 0 { 2 } else { 1 });
            Binding::Constant(integers(r, position, zero_point, axis)?)
        }
    })
}

/// The one number of a constant input.
fn number(r: &Reader<'_>, position: usize) -> Result<f64, OnnxError> {
    match r.finite(position)?.unwrap_or_default().1[..] {
        [number] => Ok(number),
        _ => Err(r.fail(format!("`{}` must be one number", r.input_name(position)))),
    }
}

/// Integer sums times the scales of their factors over that of the result, rounded.
fn requantised(
    r: &mut Reader<'_>,
    sums: Value,
    [first, second, result]: [usize; 3],
    axis: usize,
) -> Result<Value, OnnxError> {
    let range = result_range(r, result + 1)?;
    let (own, out) = (number(r, first)?, number(r, result)?);
    let zero = number(r, result + 1)?;
    let (_, scales) = r.finite(second)?.unwrap_or_default();
    let factors: Vec<f64> = scales.iter().map(|&scale| own * scale / out).collect();
    let length = r.shape(sums).get(axis).copied().unwrap_or(1);
    let mut shape = vec![1; r.shape(sums).len().saturating_sub(axis)];
    match factors.len() {
        1 => shape.clear(),
        count if count == length && !shape.is_empty() => shape[0] = count,
        count => return Err(r.fail(format!("{count} scales don't fit {length} channels"))),
    }
    if factors.iter().any(|factor| !factor.is_finite()) {
        return Err(r.fail("its scales have no finite ratio"));
    }
    let factors = r.own_weight("scale", &shape, factors)?;
    let scaled = r.with_weight(Binary::Mul, sums, factors)?;
    let zero_point = r.own_weight("zero point", &[], vec![zero])?;
    rounded(r, scaled, Some((zero_point, vec![zero])), range)
}

/// QLinearConv.
fn convolution(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = centred(r, 0, 2)?;
    let value = r.batched(value)?;
    let kernels = integers(r, 3, 5, 0)?;
    let bias = match r.finite(8)? {
        Some((shape, numbers)) => Some(r.own_weight("bias", &shape, numbers)?),
        None => None,
    };
    let sums = convolve(r, value, &kernels, bias)?;
    requantised(r, sums, [1, 4, 6], 0)
}

/// QLinearMatMul.
fn matmul(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let (a, b) = (factor(r, 0, 2)?, factor(r, 3, 5)?);
    let sums = product(r, a, b)?;
    let axis = r.shape(sums).len().saturating_sub(1);
    requantised(r, sums, [1, 4, 6], axis)
}

/// The real numbers that a value of integers stands for; scale and zero point follow it.
fn meant(r: &mut Reader<'_>, position: usize) -> Result<Value, OnnxError> {
    let value = centred(r, position, position + 2)?;
    let scale = number(r, position + 1)?;
    r.with_number(Binary::Mul, value, scale)
}

/// Real numbers rounded to the scale and zero point of two inputs.
fn rounded_as(r: &mut Reader<'_>, value: Value, scale: usize) -> Result<Value, OnnxError> {
    let range = result_range(r, scale + 1)?;
    let (scale, zero) = (number(r, scale)?, number(r, scale + 1)?);
    let scaled = r.with_number(Binary::Div, value, scale)?;
    let zero_point = r.own_weight("zero point", &[], vec![zero])?;
    rounded(r, scaled, Some((zero_point, vec![zero])), range)
}

/// QLinearAdd and QLinearMul, of two values.
fn of_two(r: &mut Reader<'_>, op: Binary) -> Result<Value, OnnxError> {
    let (a, b) = (meant(r, 0)?, meant(r, 3)?);
    let inputs = [(0, Binding::Value(a)), (3, Binding::Value(b))];
    let (operands, batched) = r.broadcast(&inputs)?;
    let result = r.push_node(Op::Binary(op), &operands, batched)?;
    rounded_as(r, result, 6)
}

/// QLinearGlobalAveragePool.
fn mean(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = meant(r, 0)?;
    let value = r.batched(value)?;
    let axes = match (r.shape(value).len(), r.attr_bool("channels_last", false)) {
        (0 | 1, _) => return Err(r.fail("its input has no axes beside the channels")),
        (rank, true) => (0..rank - 1).collect(),
        (rank, false) => (1..rank).collect(),
    };
    let mean = r.reduce(ReduceKind::Mean, value, axes)?;
    rounded_as(r, mean, 3)
}

/// DynamicQuantizeLinear: to 8 bits over the range that the numbers of an image have.
fn quantize_dynamically(r: &mut Reader<'_>) -> Outputs {
    let value = r.value(0)?;
    // Runtimes take the range of all images of a batch.
    let value = r.unbatched(value)?;
    let shape = r.shape(value).to_vec();
    let flat = r.reshape(value, vec![shape.iter().product()], false)?;
    let end = |r: &mut Reader<'_>, kind, op| {
        let end = r.reduce(kind, flat, vec![0])?;
        r.with_number(op, end, 0.0)
    };
    let high = end(r, ReduceKind::Max, Binary::Max)?;
    let low = end(r, ReduceKind::Min, Binary::Min)?;
    let span = r.both(Binary::Sub, high, low)?;
    let scale = r.with_number(Binary::Div, span, 255.0)?;
    // An image of zeros has any scale.
    let none = r.with_number(Binary::Equal, scale, 0.0)?;
    let scale = r.both(Binary::Add, scale, none)?;
    let round = Unary::Round {
        straight_through: true,
    };
    let zero = r.both(Binary::Div, low, scale)?;
    let zero = r.unary(Unary::Neg, zero)?;
    let zero = r.unary(round, zero)?;
    let scaled = r.both(Binary::Div, flat, scale)?;
    let rounded = r.unary(round, scaled)?;
    let moved = r.both(Binary::Add, rounded, zero)?;
    let (min, max) = (0.0, 255.0);
    let cut = r.unary(Unary::Clip { min, max }, moved)?;
    let scale = r.reshape(scale, Vec::new(), false)?;
    let zero = r.reshape(zero, Vec::new(), false)?;
    let cut = r.reshape(cut, shape, false)?;
    Ok([cut, scale, zero].map(Binding::Value).to_vec())
}
