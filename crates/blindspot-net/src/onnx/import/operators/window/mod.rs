//! Operators that look through windows: convolutions and pooling.

mod volume;

use std::rc::Rc;

use super::Operator;
use crate::graph::{MAX_VALUES, Operand};
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::constant::Constant;
use crate::onnx::import::reader::Reader;
use crate::ops::{Binary, Conv, Op, Pad, PadMode, Pool, PoolKind, Unary, Window};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("AveragePool", |r| {
        let count_padding = r.attr_bool("count_include_pad", false);
        pool(r, PoolKind::Average { count_padding })
    }),
    Operator::new("Conv", conv),
    Operator::new("ConvTranspose", conv_transpose),
    Operator::new("LpPool", norm_pool),
    Operator::new("MaxPool", |r| pool(r, PoolKind::Max)),
];

/// A convolution.
fn conv(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let kernels = match r.required(1)? {
        Binding::Constant(kernels) => kernels,
        Binding::Value(kernels) => {
            let value = r.batched(value)?;
            return volume::computed(r, value, kernels);
        }
    };
    let bias = match r.constant(2)? {
        Some(bias) => Some(r.shared_weight(2, &bias, &bias.shape)?),
        None => None,
    };
    if r.side_by_side(value).is_some() {
        return convolve_side_by_side(r, value, &kernels, bias);
    }
    let value = r.batched(value)?;
    convolve(r, value, &kernels, bias)
}

/// The convolution of a value [images, channels, positions...] that is one input: the images are the
/// first axis of windows that see one of them at a time.
fn convolve_side_by_side(
    r: &mut Reader<'_>,
    value: Value,
    kernels: &Rc<Constant>,
    bias: Option<Operand>,
) -> Result<Value, OnnxError> {
    let groups = size(r, r.attr_i64("group", 1), 1)?;
    let &[features, channels, ref kernel @ ..] = &kernels.shape[..] else {
        let why = format!("its kernels have shape {:?}", kernels.shape);
        return Err(r.fail(why));
    };
    let image = r.shape(value)[1..].to_vec();
    let mut window = window(r, &image, kernel)?;
    if kernel.len() > 2 {
        return Err(r.fail("its windows have three axes on more than one image at a time"));
    }
    for (list, alone) in [
        (&mut window.kernel, 1),
        (&mut window.strides, 1),
        (&mut window.dilations, 1),
        (&mut window.before, 0),
        (&mut window.after, 0),
    ] {
        list.insert(0, alone);
    }
    let shape = [&[features, channels, 1][..], kernel].concat();
    let kernels = r.shared_weight(1, kernels, &volume::flat_kernels(&shape))?;
    let mut swapped: Vec<usize> = (0..=image.len()).collect();
    swapped.swap(0, 1);
    let value = r.transpose(value, &swapped)?;
    let result = volume::convolution(r, value, kernels, bias, Conv { window, groups })?;
    r.transpose(result, &swapped)
}

/// A value of images side by side as one image that has the channels of all, for operators that
/// work on each channel by itself; and how many images.
fn channels_of_all(r: &mut Reader<'_>, value: Value) -> Result<(Value, Option<usize>), OnnxError> {
    let Some(images) = r.side_by_side(value) else {
        return Ok((r.batched(value)?, None));
    };
    let &[_, channels, ref positions @ ..] = r.shape(value) else {
        return Err(r.fail("its input has no channels"));
    };
    let shape = [&[images * channels][..], positions].concat();
    Ok((r.reshape(value, shape, false)?, Some(images)))
}

/// What such an operator gives, as images side by side again.
fn apart(r: &mut Reader<'_>, value: Value, images: Option<usize>) -> Result<Value, OnnxError> {
    let (Some(images), Some((&channels, positions))) = (images, r.shape(value).split_first())
    else {
        return Ok(value);
    };
    let shape = [&[images, channels / images][..], positions].concat();
    r.reshape(value, shape, false)
}

/// The convolution of a value [channels, positions...] by constant kernels, as the node's attributes
/// say.
pub(super) fn convolve(
    r: &mut Reader<'_>,
    value: Value,
    kernels: &Rc<Constant>,
    bias: Option<Operand>,
) -> Result<Value, OnnxError> {
    let groups = size(r, r.attr_i64("group", 1), 1)?;
    let Some(kernel @ [_, ..]) = kernels.shape.get(2..) else {
        let why = format!("its kernels have shape {:?}", kernels.shape);
        return Err(r.fail(why));
    };
    let window = window(r, r.shape(value), kernel)?;
    let shape = volume::flat_kernels(&kernels.shape);
    let kernels = r.shared_weight(1, kernels, &shape)?;
    volume::convolution(r, value, kernels, bias, Conv { window, groups })
}

/// MaxPool and AveragePool.
fn pool(r: &mut Reader<'_>, kind: PoolKind) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let (value, images) = channels_of_all(r, value)?;
    let window = pooling_window(r, value)?;
    // What auto_pad says leaves nothing over.
    let automatic = !matches!(r.attr_str("auto_pad"), "" | "NOTSET");
    let ceil = r.attr_bool("ceil_mode", false) && !automatic;
    let pooled = volume::pooling(r, value, Pool { kind, window, ceil })?;
    apart(r, pooled, images)
}

/// The windows of a pooling.
fn pooling_window(r: &Reader<'_>, value: Value) -> Result<Window, OnnxError> {
    let kernel = r.attr_ints("kernel_shape").unwrap_or_default();
    let kernel = kernel.iter().map(|&length| size(r, length, 1));
    let kernel = kernel.collect::<Result<Vec<_>, _>>()?;
    window(r, r.shape(value), &kernel)
}

/// LpPool: the root of the sum of powers over windows.
fn norm_pool(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let value = r.batched(value)?;
    let window = pooling_window(r, value)?;
    if r.attr_bool("ceil_mode", false) {
        return Err(r.fail("its ceil_mode is not supported"));
    }
    let p = match r.attr_i64("p", 2) {
        p @ 1..=64 => p as f64,
        p => return Err(r.fail(format!("its p is {p}; it may be 1 to 64"))),
    };
    let sizes = r.unary(Unary::Abs, value)?;
    let powers = r.with_number(Binary::Pow, sizes, p)?;
    let channels = r.shape(value)[0];
    let shape = [&[channels, 1][..], &window.kernel].concat();
    let ones = vec![1.0; shape.iter().product()];
    let ones = r.own_weight("ones", &volume::flat_kernels(&shape), ones)?;
    let groups = channels;
    let sums = volume::convolution(r, powers, ones, None, Conv { window, groups })?;
    // The gradient of the root at 0 is infinite.
    let sums = r.with_number(Binary::Max, sums, f64::from(f32::MIN_POSITIVE))?;
    r.with_number(Binary::Pow, sums, 1.0 / p)
}

/// ConvTranspose: a convolution of the value with zeros between its positions, by the kernels
/// mirrored.
fn conv_transpose(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let value = r.batched(value)?;
    let groups = size(r, r.attr_i64("group", 1), 1)?;
    let kernels = r.required_constant(1)?;
    let (&[channels, features, ref kernel @ ..], Some(&own)) =
        (&kernels.shape[..], r.shape(value).first())
    else {
        let why = format!("its kernels have shape {:?}", kernels.shape);
        return Err(r.fail(why));
    };
    if channels != own || !channels.is_multiple_of(groups) {
        let why = format!("{groups} groups of {channels} channels don't fit {own} channels");
        return Err(r.fail(why));
    }
    let axes = kernel.len();
    let window = window(r, r.shape(value), kernel)?;
    let positions = r.shape(value)[1..].to_vec();
    let more = list(r, "output_padding", axes, 0)?;
    // What the window says of padding is of the result's, unless the result's size is given.
    let mut sides = Vec::with_capacity(axes);
    for axis in 0..axes {
        let (stride, length) = (window.strides[axis], positions[axis]);
        let reach = (kernel[axis] - 1) * window.dilations[axis];
        let full = (length - 1) * stride + reach + 1 + more[axis];
        let mode = r.attr_str("auto_pad");
        let given = match r.attr_ints("output_shape") {
            Some(sizes) if sizes.len() >= axes => {
                Some(size(r, sizes[sizes.len() - axes + axis], 1)?)
            }
            _ if matches!(mode, "SAME_UPPER" | "SAME_LOWER") => Some(length * stride),
            _ => None,
        };
        let (before, after) = match given {
            Some(given) => {
                let total = full as i64 - given as i64;
                let (less, more) = (total.div_euclid(2), total - total.div_euclid(2));
                if mode == "SAME_UPPER" {
                    (less, more)
                } else {
                    (more, less)
                }
            }
            None => (window.before[axis] as i64, window.after[axis] as i64),
        };
        sides.push((
            reach as i64 - before,
            reach as i64 - after + more[axis] as i64,
        ));
    }
    let spread = spread(r, value, &window.strides)?;
    let (before, after) = (0..axes)
        .map(|axis| {
            // Behind the last position, too, there are zeros by now.
            let zeros = window.strides[axis] as i64 - 1;
            (sides[axis].0, sides[axis].1 - zeros)
        })
        .unzip::<i64, i64, Vec<_>, Vec<_>>();
    let pad = Pad {
        before: [&[0][..], &before].concat(),
        after: [&[0][..], &after].concat(),
        mode: PadMode::Constant(0.0),
    };
    let padded = r.apply(Op::Pad(pad), spread)?;
    // From [channels, features of a group, kernel] to [features, channels of a group, kernel].
    let (_, numbers) = r.finite(1)?.unwrap_or_default();
    let (run, group) = (kernel.iter().product::<usize>(), channels / groups);
    let mut mirrored = Vec::with_capacity(numbers.len());
    for feature in 0..groups * features {
        for channel in 0..group {
            let from = (feature / features * group + channel) * features + feature % features;
            mirrored.extend(numbers[from * run..(from + 1) * run].iter().rev());
        }
    }
    let shape = [&[groups * features, group][..], kernel].concat();
    let kernels = r.own_weight("kernels", &volume::flat_kernels(&shape), mirrored)?;
    let bias = match r.constant(2)? {
        Some(bias) => Some(r.shared_weight(2, &bias, &bias.shape)?),
        None => None,
    };
    let window = Window {
        dilations: window.dilations,
        ..Window::dense(kernel)
    };
    volume::convolution(r, padded, kernels, bias, Conv { window, groups })
}

/// Each position followed by zeros, so that all are as far apart as the strides say.
fn spread(r: &mut Reader<'_>, value: Value, strides: &[usize]) -> Result<Value, OnnxError> {
    if strides.iter().all(|&stride| stride == 1) {
        return Ok(value);
    }
    let shape = r.shape(value).to_vec();
    let (mut alone, mut after, mut wide) = (vec![shape[0]], vec![0], vec![shape[0]]);
    for (&length, &stride) in shape[1..].iter().zip(strides) {
        alone.extend([length, 1]);
        after.extend([0, stride as i64 - 1]);
        wide.push(length.saturating_mul(stride));
    }
    let alone = r.reshape(value, alone, value.batched)?;
    let pad = Pad {
        before: vec![0; after.len()],
        after,
        mode: PadMode::Constant(0.0),
    };
    let spread = r.apply(Op::Pad(pad), alone)?;
    r.reshape(spread, wide, value.batched)
}

/// The windows on a value of the shape [channels, positions...].
fn window(r: &Reader<'_>, shape: &[usize], kernel: &[usize]) -> Result<Window, OnnxError> {
    let axes = kernel.len();
    if !(1..=3).contains(&axes) || shape.len() != axes + 1 {
        let why = format!(
            "its windows have {axes} axes on an image of shape {shape:?}; supported are channels \
             and one to three axes"
        );
        return Err(r.fail(why));
    }
    if let Some(given) = r.attr_ints("kernel_shape")
        && !given.iter().map(|&n| n as usize).eq(kernel.iter().copied())
    {
        let why = format!("its kernels have size {kernel:?}, not {given:?}");
        return Err(r.fail(why));
    }
    let strides = list(r, "strides", axes, 1)?;
    let dilations = list(r, "dilations", axes, 1)?;
    let (before, after) = match r.attr_str("auto_pad") {
        "" | "NOTSET" => {
            let mut pads = list(r, "pads", 2 * axes, 0)?;
            let after = pads.split_off(axes);
            (pads, after)
        }
        "VALID" => (vec![0; axes], vec![0; axes]),
        mode @ ("SAME_UPPER" | "SAME_LOWER") => {
            // As many windows as strides fit, the padding shared by both sides.
            let total = |axis: usize| {
                let length = shape[axis + 1];
                let last = length.div_ceil(strides[axis]).saturating_sub(1) * strides[axis];
                let reach = (kernel[axis] - 1) * dilations[axis] + 1;
                (last + reach).saturating_sub(length)
            };
            let less: Vec<usize> = (0..axes).map(|axis| total(axis) / 2).collect();
            let more = (0..axes).map(|axis| total(axis) - less[axis]).collect();
            match mode {
                "SAME_UPPER" => (less, more),
                _ => (more, less),
            }
        }
        other => return Err(r.fail(format!("its auto_pad is {other:?}"))),
    };
    Ok(Window {
        kernel: kernel.to_vec(),
        strides,
        dilations,
        before,
        after,
    })
}

/// An attribute of `count` numbers, none below its default.
fn list(r: &Reader<'_>, name: &str, count: usize, default: usize) -> Result<Vec<usize>, OnnxError> {
    match r.attr_ints(name) {
        None => Ok(vec![default; count]),
        Some(given) if given.len() == count => {
            let sizes = given.iter().map(|&number| size(r, number, default));
            sizes.collect()
        }
        Some(given) => {
            let why = format!("its {name} are {given:?}; {count} numbers are needed");
            Err(r.fail(why))
        }
    }
}

/// A number from `least` to what an axis can have.
fn size(r: &Reader<'_>, number: i64, least: usize) -> Result<usize, OnnxError> {
    usize::try_from(number)
        .ok()
        .filter(|number| (least..=MAX_VALUES).contains(number))
        .ok_or_else(|| r.fail(format!("one of its sizes, pads or strides is {number}")))
}
