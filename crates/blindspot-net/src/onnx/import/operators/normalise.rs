//! Normalisation: over channels, by stored statistics, and to sum 1.

use super::Operator;
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::constant::Dim;
use crate::onnx::import::reader::Reader;
use crate::onnx::import::weights::Computed;
use crate::ops::{Binary, Lrn, Op, Softmax};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("BatchNormalization", batch_normalization),
    Operator::new("LRN", lrn),
    Operator::new("LogSoftmax", |r| softmax(r, true)),
    Operator::new("Softmax", |r| softmax(r, false)),
];

/// Local response normalisation.
fn lrn(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let value = r.batched(value)?;
    let size = r.attr_i64("size", 0);
    let size = usize::try_from(size).ok().filter(|&size| size > 0);
    let lrn = Lrn {
        size: size.ok_or_else(|| r.fail("its size must be at least 1"))?,
        alpha: r.attr_f64("alpha", 0.0001),
        beta: r.attr_f64("beta", 0.75),
        bias: r.attr_f64("bias", 1.0),
    };
    r.apply(Op::Lrn(lrn), value)
}

/// BatchNormalization by its stored statistics: a scale and a shift for each channel. They go into
/// the weights of the Conv or Gemm that gives the value, if nothing else uses that.
fn batch_normalization(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    if r.attr_bool("training_mode", false) {
        let why = "it is exported for training and would normalise by the batch's own statistics; \
                   export the model for inference";
        return Err(r.fail(why));
    }
    let value = r.value(0)?;
    let mut parameters = Vec::with_capacity(4);
    for position in 1..5 {
        let parameter = r.finite(position)?;
        parameters.push(parameter.ok_or_else(|| r.fail("it has five inputs"))?);
    }
    let shape = parameters[0].0.clone();
    // The channels' axis is the second of the file's; one that opset 7 and 8 don't treat as
    // spatial has a scale for each number of an image.
    let rank = r.value_rank(value);
    let image = r.file_shape(&Binding::Value(value)).split_off(rank.min(1));
    let spatial = r.attr_bool("spatial", true) || r.builder.opset >= 9;
    let expected = if spatial {
        &image[..image.len().min(1)]
    } else {
        &image[..]
    };
    let fits = |shape: &[usize]| {
        let sizes = shape.iter().map(|&n| Dim::Known(n as i64));
        sizes.eq(expected.iter().copied())
    };
    if let Some((shape, _)) = parameters.iter().find(|(shape, _)| !fits(shape)) {
        let why = format!("a parameter of shape {shape:?} does not fit a value of {image:?}");
        return Err(r.fail(why));
    }
    let epsilon = r.attr_f64("epsilon", 1e-5);
    let [scale, shift, mean, variance] = [0, 1, 2, 3].map(|i| parameters[i].1.as_slice());
    let deviation = |i: usize| (variance[i] + epsilon).sqrt();
    let channels = 0..scale.len();
    let values: Vec<f64> = channels.clone().map(|i| scale[i] / deviation(i)).collect();
    let shifts: Vec<f64> = (shift.iter().zip(mean).zip(&values))
        .map(|((&shift, &mean), factor)| shift - mean * factor)
        .collect();
    if values
        .iter()
        .chain(&shifts)
        .any(|number| !number.is_finite())
    {
        let why = "its variance and epsilon give no finite scale";
        return Err(r.fail(why));
    }
    let mut sizes = Vec::with_capacity(4);
    for position in 1..5 {
        sizes.push(r.magnitudes(position)?);
    }
    // The relative error of a variance is that of the factor, too.
    let factors = Computed {
        magnitudes: channels
            .map(|i| {
                let variance = (sizes[3][i] + epsilon) / (variance[i] + epsilon);
                sizes[0][i] / deviation(i) * variance
            })
            .collect(),
        values,
    };
    let parts = sizes[1].iter().zip(&sizes[2]).zip(&factors.magnitudes);
    let shifts = Computed {
        magnitudes: parts
            .map(|((shift, mean), factor)| shift + mean * factor)
            .collect(),
        values: shifts,
    };
    if spatial && fold_into_layer(r, value, &factors, &shifts)? {
        return Ok(value);
    }
    let mut shape = shape;
    if spatial {
        shape.extend(image[1.min(image.len())..].iter().map(|_| 1));
    }
    let mut weight = |what: &str, numbers: Computed| {
        let name = format!("{}/{what}", r.output_name());
        r.computed_weight(&name, &shape, numbers)
    };
    let (factors, shifts) = (weight("scale", factors)?, weight("shift", shifts)?);
    let operands = [Operand::Value(value.id), factors];
    let scaled = r.push_node(Op::Binary(Binary::Mul), &operands, value.batched)?;
    let operands = [Operand::Value(scaled.id), shifts];
    r.push_node(Op::Binary(Binary::Add), &operands, value.batched)
}

/// Puts a scale and a shift of each channel into the operator below, if that can be.
fn fold_into_layer(
    r: &mut Reader<'_>,
    value: Value,
    factors: &Computed,
    shifts: &Computed,
) -> Result<bool, OnnxError> {
    let Some((op, operands)) = r.builder.single_use_producer(r.input_name(0)) else {
        return Ok(false);
    };
    let rows = r.value_rank(value) == 2;
    // How many numbers of the weight follow each other for one channel.
    let run = match (op, operands) {
        (Op::Conv(_), &[_, Operand::Weight(weight), ..]) => {
            r.builder.weight_shape(weight)[1..].iter().product()
        }
        (Op::Gemm(op), &[_, Operand::Weight(weight), ..]) if rows && op.trans_b => {
            r.builder.weight_shape(weight)[1]
        }
        (Op::Gemm(_), &[_, Operand::Weight(_), ..]) if rows => 1,
        _ => return Ok(false),
    };
    let (input, weight, bias) = match *operands {
        [input, Operand::Weight(weight)] => (input, weight, None),
        [input, Operand::Weight(weight), Operand::Weight(bias)] => (input, weight, Some(bias)),
        _ => return Ok(false),
    };
    let channels = factors.values.len();
    let shape = r.builder.weight_shape(weight).to_vec();
    let numbers = r.builder.weight_numbers(weight)?;
    let scaled = |numbers: Vec<f64>, factors: &[f64]| {
        let pairs = numbers.iter().enumerate();
        pairs
            .map(|(i, number)| number * factors[i / run % channels])
            .collect()
    };
    let scaled = Computed {
        values: scaled(numbers.values, &factors.values),
        magnitudes: scaled(numbers.magnitudes, &factors.magnitudes),
    };
    let zeros = || Computed::own(vec![0.0; channels]);
    let bias = bias.map_or_else(|| Ok(zeros()), |bias| r.builder.weight_numbers(bias))?;
    let moved = |bias: Vec<f64>, factors: &[f64], shifts: &[f64]| {
        let all = bias.iter().zip(factors).zip(shifts);
        all.map(|((b, factor), shift)| b * factor + shift).collect()
    };
    let shifted = Computed {
        values: moved(bias.values, &factors.values, &shifts.values),
        magnitudes: moved(bias.magnitudes, &factors.magnitudes, &shifts.magnitudes),
    };
    let name = r.output_name();
    let weight = r.computed_weight(&format!("{name}/weight"), &shape, scaled)?;
    let bias = r.computed_weight(&format!("{name}/bias"), &[channels], shifted)?;
    r.builder.replace_operands(value, &[input, weight, bias])?;
    Ok(true)
}

/// Softmax and LogSoftmax. Before opset 13 all axes from the given one on count as one.
fn softmax(r: &mut Reader<'_>, log: bool) -> Result<Value, OnnxError> {
    let old = r.builder.opset < 13;
    let value = r.value(0)?;
    let axis = r.attr_i64("axis", if old { 1 } else { -1 });
    let (value, axis) = r.along(value, axis)?;
    let batched = value.batched;
    let shape = r.shape(value).to_vec();
    let (rows, row) = shape.split_at(axis);
    if !old || row[1..].iter().all(|&n| n == 1) {
        let op = Op::Softmax(Softmax { axis, log });
        return r.apply(op, value);
    }
    let flat = vec![rows.iter().product(), row.iter().product()];
    let flat = r.reshape(value, flat, batched)?;
    let op = Op::Softmax(Softmax { axis: 1, log });
    let flat = r.apply(op, flat)?;
    r.reshape(flat, shape, batched)
}
