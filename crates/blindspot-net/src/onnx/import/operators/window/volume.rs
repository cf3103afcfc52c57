//! Windows over three axes, and kernels that depend on the image, by windows over two axes and
//! matrix products.

use super::{size, window};
use crate::graph::{MAX_VALUES, Operand};
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::reader::Reader;
use crate::ops::{Binary, Conv, Gather, Op, Pad, PadMode, Pool, Window};

/// The shape that [`convolution`] takes kernels of a shape [features, channels, kernel...] in: their
/// first of three axes is one with the channels'.
pub(super) fn flat_kernels(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [features, channels, depth, height, width] => {
            vec![features, channels * depth, height, width]
        }
        _ => shape.to_vec(),
    }
}

/// A window's part along one axis.
fn along(window: &Window, axis: usize) -> Window {
    let one = |list: &[usize]| vec![list[axis]];
    Window {
        kernel: one(&window.kernel),
        strides: one(&window.strides),
        dilations: one(&window.dilations),
        before: one(&window.before),
        after: one(&window.after),
    }
}

/// How many windows there are along each axis.
fn outputs(r: &Reader<'_>, window: &Window, positions: &[usize]) -> Result<Vec<usize>, OnnxError> {
    let axes = positions.iter().enumerate();
    let counts = axes.map(|(axis, &length)| Ok(along(window, axis).outputs(&[length], false)?[0]));
    counts
        .collect::<Result<_, String>>()
        .map_err(|why| r.fail(why))
}

/// A value [channels, positions...] with the window's padding.
fn padded(r: &mut Reader<'_>, value: Value, window: &Window) -> Result<Value, OnnxError> {
    if window
        .before
        .iter()
        .chain(&window.after)
        .all(|&more| more == 0)
    {
        return Ok(value);
    }
    let sides = |sides: &[usize]| {
        let sides = sides.iter().map(|&more| more as i64);
        std::iter::once(0).chain(sides).collect()
    };
    let pad = Pad {
        before: sides(&window.before),
        after: sides(&window.after),
        mode: PadMode::Constant(0.0),
    };
    r.apply(Op::Pad(pad), value)
}

/// A convolution over one to three axes.
///
/// Three become two: the slices of the first axis that a window sees stand side by side as channels,
/// and the slices of all windows under each other as rows. Windows that would see two of these are
/// left out.
pub(super) fn convolution(
    r: &mut Reader<'_>,
    value: Value,
    kernels: Operand,
    bias: Option<Operand>,
    Conv { window, groups }: Conv,
) -> Result<Value, OnnxError> {
    let mut operands = vec![Operand::Value(value.id), kernels];
    operands.extend(bias);
    let &[channels, depth, height, width] = r.shape(value) else {
        return r.push_node(Op::Conv(Conv { window, groups }), &operands, value.batched);
    };
    let outputs = outputs(r, &window, &[depth, height, width])?;
    let stride = window.strides[1];
    // Rows are whole strides, so that windows begin at the first row of each slice.
    let mut wide = window.clone();
    let rows = height + window.before[1] + window.after[1];
    wide.after[1] += rows.next_multiple_of(stride) - rows;
    let value = padded(r, value, &wide)?;
    let &[_, _, rows, columns] = r.shape(value) else {
        return Err(r.fail("its input has other than three axes after the channels"));
    };
    let taps = window.kernel[0];
    let seen = (0..taps).flat_map(|tap| {
        let starts = 0..outputs[0];
        let (stride, dilation) = (window.strides[0], window.dilations[0]);
        starts.map(move |start| start * stride + tap * dilation)
    });
    let positions = seen.collect();
    let seen = r.apply(Op::Gather(Gather { axis: 1, positions }), value)?;
    let flat = vec![channels * taps, outputs[0] * rows, columns];
    let flat = r.reshape(seen, flat, value.batched)?;
    let reach = (window.kernel[1] - 1) * window.dilations[1] + 1;
    let plane = Window {
        kernel: window.kernel[1..].to_vec(),
        strides: window.strides[1..].to_vec(),
        dilations: window.dilations[1..].to_vec(),
        before: vec![0; 2],
        after: vec![reach.saturating_sub(stride), 0],
    };
    operands[0] = Operand::Value(flat.id);
    let op = Op::Conv(Conv {
        window: plane,
        groups,
    });
    let result = r.push_node(op, &operands, value.batched)?;
    let features = r.shape(result)[0];
    let shape = vec![features, outputs[0], rows / stride, outputs[2]];
    let result = r.reshape(result, shape, value.batched)?;
    r.part(result, 2, 0, outputs[1])
}

/// Pooling over one to three axes: three by one over the first and one over the others.
pub(super) fn pooling(r: &mut Reader<'_>, value: Value, pool: Pool) -> Result<Value, OnnxError> {
    let &[channels, depth, height, width] = r.shape(value) else {
        return r.apply(Op::Pool(pool), value);
    };
    let Pool { kind, window, ceil } = pool;
    let two = |list: &[usize], none: usize| vec![list[0], none];
    let first = Window {
        kernel: two(&window.kernel, 1),
        strides: two(&window.strides, 1),
        dilations: two(&window.dilations, 1),
        before: two(&window.before, 0),
        after: two(&window.after, 0),
    };
    let others = Window {
        kernel: window.kernel[1..].to_vec(),
        strides: window.strides[1..].to_vec(),
        dilations: window.dilations[1..].to_vec(),
        before: window.before[1..].to_vec(),
        after: window.after[1..].to_vec(),
    };
    let pool = |window| Op::Pool(Pool { kind, window, ceil });
    let flat = r.reshape(value, vec![channels, depth, height * width], value.batched)?;
    let flat = r.apply(pool(first), flat)?;
    let depth = r.shape(flat)[1];
    let planes = r.reshape(flat, vec![channels * depth, height, width], value.batched)?;
    let planes = r.apply(pool(others), planes)?;
    let shape = r.shape(planes);
    let shape = vec![channels, depth, shape[1], shape[2]];
    r.reshape(planes, shape, value.batched)
}

/// A convolution whose kernels depend on the image: matrix products with what the windows see.
pub(super) fn computed(
    r: &mut Reader<'_>,
    value: Value,
    kernels: Value,
) -> Result<Value, OnnxError> {
    let groups = size(r, r.attr_i64("group", 1), 1)?;
    let kernels = r.unbatched(kernels)?;
    let shape = r.shape(kernels).to_vec();
    let [features, channels, kernel @ ..] = &shape[..] else {
        return Err(r.fail(format!("its kernels have shape {shape:?}")));
    };
    let window = window(r, r.shape(value), kernel)?;
    let own = r.shape(value).to_vec();
    if groups * channels != own[0] || !features.is_multiple_of(groups) {
        return Err(r.fail(format!("kernels of shape {shape:?} don't fit {own:?}")));
    }
    let outputs = outputs(r, &window, &own[1..])?;
    let (taps, count): (usize, usize) = (kernel.iter().product(), outputs.iter().product());
    if taps.saturating_mul(count).saturating_mul(own[0]) > MAX_VALUES {
        return Err(r.fail(format!("{taps} numbers of {count} windows are too many")));
    }
    let value = padded(r, value, &window)?;
    let positions = r.shape(value)[1..].to_vec();
    let mut seen = Vec::with_capacity(taps * count);
    for tap in 0..taps {
        for output in 0..count {
            // From the last axis to the first.
            let (mut tap, mut output, mut place, mut stride) = (tap, output, 0, 1);
            for axis in (0..kernel.len()).rev() {
                let (k, o) = (tap % kernel[axis], output % outputs[axis]);
                (tap, output) = (tap / kernel[axis], output / outputs[axis]);
                place += (o * window.strides[axis] + k * window.dilations[axis]) * stride;
                stride *= positions[axis];
            }
            seen.push(place);
        }
    }
    let batched = value.batched;
    let flat = vec![own[0], positions.iter().product()];
    let flat = r.reshape(value, flat, batched)?;
    let op = Op::Gather(Gather {
        axis: 1,
        positions: seen,
    });
    let seen = r.apply(op, flat)?;
    let seen = r.reshape(seen, vec![groups, channels * taps, count], batched)?;
    let rows = vec![groups, features / groups, channels * taps];
    let rows = r.reshape(kernels, rows, false)?;
    let operands = [Operand::Value(rows.id), Operand::Value(seen.id)];
    let result = r.push_node(Op::MatMul(crate::ops::MatMul), &operands, batched)?;
    let result = r.reshape(result, [&[*features][..], &outputs].concat(), batched)?;
    let ones = vec![1; outputs.len()];
    match r.input(2)? {
        None => Ok(result),
        Some(Binding::Constant(bias)) => {
            let bias = r.shared_weight(2, &bias, &[&[*features][..], &ones].concat())?;
            r.with_weight(Binary::Add, result, bias)
        }
        Some(Binding::Value(bias)) => {
            let bias = r.unbatched(bias)?;
            let bias = r.reshape(bias, [&[*features][..], &ones].concat(), false)?;
            r.both(Binary::Add, result, bias)
        }
    }
}
