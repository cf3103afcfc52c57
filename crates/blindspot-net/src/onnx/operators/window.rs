//! Operators that look through windows: convolutions and pooling.

use super::super::OnnxError;
use super::super::import::{Import, Value};
use super::super::node::{fail, integer, integers, text};
use super::super::proto::NodeProto;
use crate::graph::{MAX_VALUES, Operand};
use crate::ops::{Conv, Op, Pool, PoolKind, Window};

/// A convolution with constant kernels.
pub(super) fn conv(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let value = to.value(node, 0)?;
    let value = to.batched(node, value)?;
    let Some(kernels) = to.constant(node, 1)? else {
        return Err(fail(node, "it has no kernels"));
    };
    let Some(kernel @ [_, ..]) = kernels.shape.get(2..) else {
        let why = format!("its kernels have shape {:?}", kernels.shape);
        return Err(fail(node, why));
    };
    let window = window(node, to.shape(value), kernel)?;
    let groups = size(node, integer(node, "group", 1), 1)?;
    let mut operands = vec![
        Operand::Value(value.id),
        to.shared_weight(node, 1, &kernels, &kernels.shape)?,
    ];
    if let Some(bias) = to.constant(node, 2)? {
        operands.push(to.shared_weight(node, 2, &bias, &bias.shape)?);
    }
    to.emit(node, Op::Conv(Conv { window, groups }), &operands, true)
}

/// MaxPool and AveragePool.
pub(super) fn pool(
    to: &mut Import<'_>,
    node: &NodeProto,
    kind: PoolKind,
) -> Result<Value, OnnxError> {
    let value = to.value(node, 0)?;
    let value = to.batched(node, value)?;
    let kernel = integers(node, "kernel_shape").unwrap_or_default();
    let kernel = kernel.iter().map(|&length| size(node, length, 1));
    let kernel = kernel.collect::<Result<Vec<_>, _>>()?;
    let window = window(node, to.shape(value), &kernel)?;
    // What auto_pad says leaves nothing over.
    let automatic = !matches!(text(node, "auto_pad"), "" | "NOTSET");
    let ceil = integer(node, "ceil_mode", 0) != 0 && !automatic;
    let op = Op::Pool(Pool { kind, window, ceil });
    to.emit(node, op, &[Operand::Value(value.id)], true)
}

/// Where the windows stand on a value of the shape [channels, positions...].
fn window(node: &NodeProto, shape: &[usize], kernel: &[usize]) -> Result<Window, OnnxError> {
    let axes = kernel.len();
    if !(1..=2).contains(&axes) || shape.len() != axes + 1 {
        let why = format!(
            "its windows have {axes} axes on an image of shape {shape:?}; supported are channels \
             and one or two axes"
        );
        return Err(fail(node, why));
    }
    if let Some(given) = integers(node, "kernel_shape")
        && !given.iter().map(|&n| n as usize).eq(kernel.iter().copied())
    {
        let why = format!("its kernels have size {kernel:?}, not {given:?}");
        return Err(fail(node, why));
    }
    let list = |name: &str, count: usize, default: usize| match integers(node, name) {
        None => Ok(vec![default; count]),
        Some(given) if given.len() == count => {
            let sizes = given.iter().map(|&number| size(node, number, default));
            sizes.collect()
        }
        Some(given) => {
            let why = format!("its {name} are {given:?}; {count} numbers are needed");
            Err(fail(node, why))
        }
    };
    let strides = list("strides", axes, 1)?;
    let dilations = list("dilations", axes, 1)?;
    let (before, after) = match text(node, "auto_pad") {
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
        other => return Err(fail(node, format!("its auto_pad is {other:?}"))),
    };
    Ok(Window {
        kernel: kernel.to_vec(),
        strides,
        dilations,
        before,
        after,
    })
}

/// A number from `least` on that is none too many for an axis.
fn size(node: &NodeProto, number: i64, least: usize) -> Result<usize, OnnxError> {
    usize::try_from(number)
        .ok()
        .filter(|number| (least..=MAX_VALUES).contains(number))
        .ok_or_else(|| {
            fail(
                node,
                format!("one of its sizes, pads or strides is {number}"),
            )
        })
}
