//! Operators that look through windows: convolutions and pooling.

use super::Operator;
use crate::graph::{MAX_VALUES, Operand};
use crate::onnx::OnnxError;
use crate::onnx::import::builder::Value;
use crate::onnx::import::reader::Reader;
use crate::ops::{Conv, Op, Pool, PoolKind, Window};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("AveragePool", |r| {
        let count_padding = r.attr_bool("count_include_pad", false);
        pool(r, PoolKind::Average { count_padding })
    }),
    Operator::new("Conv", conv),
    Operator::new("MaxPool", |r| pool(r, PoolKind::Max)),
];

/// A convolution with constant kernels.
fn conv(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let value = r.batched(value)?;
    let kernels = r.required_constant(1)?;
    let Some(kernel @ [_, ..]) = kernels.shape.get(2..) else {
        let why = format!("its kernels have shape {:?}", kernels.shape);
        return Err(r.fail(why));
    };
    let window = window(r, r.shape(value), kernel)?;
    let groups = size(r, r.attr_i64("group", 1), 1)?;
    let mut operands = vec![
        Operand::Value(value.id),
        r.shared_weight(1, &kernels, &kernels.shape)?,
    ];
    if let Some(bias) = r.constant(2)? {
        operands.push(r.shared_weight(2, &bias, &bias.shape)?);
    }
    r.push_node(Op::Conv(Conv { window, groups }), &operands, true)
}

/// MaxPool and AveragePool.
fn pool(r: &mut Reader<'_>, kind: PoolKind) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let value = r.batched(value)?;
    let kernel = r.attr_ints("kernel_shape").unwrap_or_default();
    let kernel = kernel.iter().map(|&length| size(r, length, 1));
    let kernel = kernel.collect::<Result<Vec<_>, _>>()?;
    let window = window(r, r.shape(value), &kernel)?;
    // What auto_pad says leaves nothing over.
    let automatic = !matches!(r.attr_str("auto_pad"), "" | "NOTSET");
    let ceil = r.attr_bool("ceil_mode", false) && !automatic;
    let op = Op::Pool(Pool { kind, window, ceil });
    r.apply(op, value)
}

/// The windows on a value of the shape [channels, positions...].
fn window(r: &Reader<'_>, shape: &[usize], kernel: &[usize]) -> Result<Window, OnnxError> {
    let axes = kernel.len();
    if !(1..=2).contains(&axes) || shape.len() != axes + 1 {
        let why = format!(
            "its windows have {axes} axes on an image of shape {shape:?}; supported are channels \
             and one or two axes"
        );
        return Err(r.fail(why));
    }
    if let Some(given) = r.attr_ints("kernel_shape")
        && !given.iter().map(|&n| n as usize).eq(kernel.iter().copied())
    {
        let why = format!("its kernels have size {kernel:?}, not {given:?}");
        return Err(r.fail(why));
    }
    let list = |name: &str, count: usize, default: usize| match r.attr_ints(name) {
        None => Ok(vec![default; count]),
        Some(given) if given.len() == count => {
            let sizes = given.iter().map(|&number| size(r, number, default));
            sizes.collect()
        }
        Some(given) => {
            let why = format!("its {name} are {given:?}; {count} numbers are needed");
            Err(r.fail(why))
        }
    };
    let strides = list("strides", axes, 1)?;
    let dilations = list("dilations", axes, 1)?;
    let (before, after) = match r.attr_str("auto_pad") {
        "" | "NOTSET" => {
            let mut pads = list("pads", 2 * axes, 0)?;
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

/// A number from `least` to what an axis can have.
fn size(r: &Reader<'_>, number: i64, least: usize) -> Result<usize, OnnxError> {
    usize::try_from(number)
        .ok()
        .filter(|number| (least..=MAX_VALUES).contains(number))
        .ok_or_else(|| r.fail(format!("one of its sizes, pads or strides is {number}")))
}
