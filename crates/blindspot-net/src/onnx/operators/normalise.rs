//! Normalisation: over channels, by stored statistics, and to sum 1.

use super::super::OnnxError;
use super::super::constant::Size;
use super::super::import::{Import, Value};
use super::super::node::{fail, float, integer};
use super::super::proto::NodeProto;
use crate::graph::Operand;
use crate::ops::{Binary, Lrn, Op, Softmax};

/// Local response normalisation.
pub(super) fn lrn(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let value = to.value(node, 0)?;
    let value = to.batched(node, value)?;
    let size = integer(node, "size", 0);
    let size = usize::try_from(size).ok().filter(|&size| size > 0);
    let lrn = Lrn {
        size: size.ok_or_else(|| fail(node, "its size must be at least 1"))?,
        alpha: float(node, "alpha", 0.0001),
        beta: float(node, "beta", 0.75),
        bias: float(node, "bias", 1.0),
    };
    to.emit(node, Op::Lrn(lrn), &[Operand::Value(value.id)], true)
}

/// BatchNormalization by its stored statistics: a scale and a shift for each channel. They go into
/// the weights of the Conv or Gemm that gives the value, where nothing else uses that.
pub(super) fn batch(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    if integer(node, "training_mode", 0) != 0 {
        let why = "it is exported for training and would normalise by the batch's own statistics; \
                   export the model for inference";
        return Err(fail(node, why));
    }
    let value = to.value(node, 0)?;
    let mut parameters = Vec::with_capacity(4);
    for position in 1..5 {
        let parameter = to.finite(node, position)?;
        parameters.push(parameter.ok_or_else(|| fail(node, "it has five inputs"))?);
    }
    let shape = parameters[0].0.clone();
    // The channels' axis is the second of the file's; one that opset 7 and 8 don't treat as
    // spatial has a scale for each number of an image.
    let rank = to.sizes_of(value).len();
    let image = to.sizes_of(value).split_off(rank.min(1));
    let spatial = integer(node, "spatial", 1) != 0 || to.opset >= 9;
    let expected = if spatial {
        &image[..image.len().min(1)]
    } else {
        &image[..]
    };
    let fits = |shape: &[usize]| {
        let sizes = shape.iter().map(|&n| Size::Known(n as i64));
        sizes.eq(expected.iter().copied())
    };
    if let Some((shape, _)) = parameters.iter().find(|(shape, _)| !fits(shape)) {
        let why = format!("a parameter of shape {shape:?} does not fit a value of {image:?}");
        return Err(fail(node, why));
    }
    let epsilon = float(node, "epsilon", 1e-5);
    let [scale, shift, mean, variance] = [0, 1, 2, 3].map(|i| parameters[i].1.as_slice());
    let factors: Vec<f64> = scale
        .iter()
        .zip(variance)
        .map(|(&scale, &variance)| f64::from(scale) / (f64::from(variance) + epsilon).sqrt())
        .collect();
    let shifts: Vec<f64> = (shift.iter().zip(mean).zip(&factors))
        .map(|((&shift, &mean), factor)| f64::from(shift) - f64::from(mean) * factor)
        .collect();
    if factors
        .iter()
        .chain(&shifts)
        .any(|number| !number.is_finite())
    {
        let why = "its variance and epsilon give no finite scale";
        return Err(fail(node, why));
    }
    if spatial && folded(to, node, value, &factors, &shifts)? {
        return Ok(value);
    }
    let mut shape = shape;
    if spatial {
        shape.extend(image[1.min(image.len())..].iter().map(|_| 1));
    }
    let name = &node.output[0];
    let mut weight = |part: &str, values: &[f64]| {
        let values = values.iter().map(|&value| value as f32).collect();
        to.weight(&format!("{name}/{part}"), &shape, values)
    };
    let (factors, shifts) = (weight("scale", &factors)?, weight("shift", &shifts)?);
    let operands = [Operand::Value(value.id), factors];
    let scaled = to.emit(node, Op::Binary(Binary::Mul), &operands, value.batched)?;
    let operands = [Operand::Value(scaled.id), shifts];
    to.emit(node, Op::Binary(Binary::Add), &operands, value.batched)
}

/// Puts a scale and a shift of each channel into the operator below, if that can be.
fn folded(
    to: &mut Import<'_>,
    node: &NodeProto,
    value: Value,
    factors: &[f64],
    shifts: &[f64],
) -> Result<bool, OnnxError> {
    let Some((op, operands)) = to.only_for(node, 0) else {
        return Ok(false);
    };
    let rows = to.sizes_of(value).len() == 2;
    // How many numbers of the weight follow each other for one channel.
    let run = match (op, operands) {
        (Op::Conv(_), &[_, Operand::Weight(weight), ..]) => {
            to.weight_numbers(weight).0[1..].iter().product()
        }
        (Op::Gemm(op), &[_, Operand::Weight(weight), ..]) if rows && op.trans_b => {
            to.weight_numbers(weight).0[1]
        }
        (Op::Gemm(_), &[_, Operand::Weight(_), ..]) if rows => 1,
        _ => return Ok(false),
    };
    let (input, weight, bias) = match *operands {
        [input, Operand::Weight(weight)] => (input, weight, None),
        [input, Operand::Weight(weight), Operand::Weight(bias)] => (input, weight, Some(bias)),
        _ => return Ok(false),
    };
    let channels = factors.len();
    let (shape, numbers) = to.weight_numbers(weight);
    let shape = shape.to_vec();
    let scaled = numbers
        .iter()
        .enumerate()
        .map(|(i, &number)| (f64::from(number) * factors[i / run % channels]) as f32)
        .collect();
    let shifted = match bias {
        Some(bias) => {
            let bias = to.weight_numbers(bias).1.iter().zip(factors).zip(shifts);
            bias.map(|((&b, factor), shift)| (f64::from(b) * factor + shift) as f32)
                .collect()
        }
        None => shifts.iter().map(|&shift| shift as f32).collect(),
    };
    let name = &node.output[0];
    let weight = to.weight(&format!("{name}/weight"), &shape, scaled)?;
    let bias = to.weight(&format!("{name}/bias"), &[channels], shifted)?;
    to.replace_operands(value, &[input, weight, bias])?;
    Ok(true)
}

/// Softmax and LogSoftmax. Before opset 13 all axes from the given one on count as one.
pub(super) fn softmax(
    to: &mut Import<'_>,
    node: &NodeProto,
    log: bool,
) -> Result<Value, OnnxError> {
    let old = to.opset < 13;
    let mut value = to.value(node, 0)?;
    let axis = integer(node, "axis", if old { 1 } else { -1 });
    let axis = match to.axis(node, value, axis)? {
        Some(axis) => axis,
        None => {
            value = to.unbatched(node, value)?;
            0
        }
    };
    let batched = value.batched;
    let shape = to.shape(value).to_vec();
    let (rows, row) = shape.split_at(axis);
    if !old || row[1..].iter().all(|&n| n == 1) {
        let op = Op::Softmax(Softmax { axis, log });
        return to.emit(node, op, &[Operand::Value(value.id)], batched);
    }
    let flat = vec![rows.iter().product(), row.iter().product()];
    let flat = to.reshape(node, value, flat, batched)?;
    let op = Op::Softmax(Softmax { axis: 1, log });
    let flat = to.emit(node, op, &[Operand::Value(flat.id)], batched)?;
    to.reshape(node, flat, shape, batched)
}
