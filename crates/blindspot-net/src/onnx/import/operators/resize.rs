//! Operators that give an image more or fewer positions along its axes.

use super::Operator;
use crate::graph::MAX_VALUES;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Batch, Binding, Value};
use crate::onnx::import::constant::Dim;
use crate::onnx::import::reader::Reader;
use crate::ops::{Binary, Gather, Op};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("DepthToSpace", depth_to_space),
    Operator::new("Resize", resize),
    Operator::new("SpaceToDepth", space_to_depth),
    Operator::new("Upsample", upsample),
];

/// How one axis is resampled.
struct Resampling {
    inputs: usize,
    outputs: usize,
    scale: f64,
    /// Start and end of the part that is shown, over all of the axis; for `tf_crop_and_resize`.
    part: [f32; 2],
}

/// How the numbers between positions are had.
struct Interpolation<'a> {
    mode: &'a str,
    coordinates: &'a str,
    nearest: &'a str,
    antialias: bool,
    exclude_outside: bool,
    cubic: f64,
}

impl Resampling {
    /// Where output `o` lies on the input's axis, as ONNX's Resize has it; `None` if outside of a
    /// part that is shown. Single precision, as in runtimes, decides where it lies half-way.
    fn coordinate(&self, o: usize, mode: &str) -> Result<Option<f32>, String> {
        let (x, inputs, scale) = (o as f32, self.inputs as f32, self.scale as f32);
        let outputs = scale * inputs;
        Ok(Some(match mode {
            "asymmetric" => x / scale,
            "half_pixel" => (x + 0.5) / scale - 0.5,
            "pytorch_half_pixel" if outputs == 1.0 => -0.5,
            "pytorch_half_pixel" => (x + 0.5) / scale - 0.5,
            "half_pixel_symmetric" => {
                let adjustment = self.outputs as f32 / outputs;
                inputs / 2.0 * (1.0 - adjustment) + (x + 0.5) / scale - 0.5
            }
            "align_corners" if outputs == 1.0 => 0.0,
            "align_corners" => x * (inputs - 1.0) / (outputs - 1.0),
            "tf_crop_and_resize" => {
                let ([start, end], last) = (self.part, inputs - 1.0);
                let x = match outputs {
                    1.0 => (end - start) * last / 2.0,
                    _ => x * (end - start) * last / (outputs - 1.0),
                } + start * last;
                return Ok((0.0..=last).contains(&x).then_some(x));
            }
            other => return Err(format!("its coordinate_transformation_mode is {other:?}")),
        }))
    }

    /// The inputs that output `o` is a sum of, each with its weight; nothing if it lies outside.
    fn terms(&self, o: usize, how: &Interpolation<'_>) -> Result<Vec<(usize, f64)>, String> {
        let Some(x) = self.coordinate(o, how.coordinates)? else {
            return Ok(Vec::new());
        };
        let x = f64::from(x);
        let floor = x.floor();
        // In (0, 1]: an integer's left neighbour counts as below it.
        let (start, ratio) = if x == floor {
            (floor - 1.0, 1.0)
        } else {
            (floor, x - floor)
        };
        // The first neighbour, relative to that below x, and the weight of each from there on.
        let scale = self.scale.min(1.0);
        let (first, weights): (f64, Vec<f64>) = match (how.mode, how.antialias) {
            ("nearest", false) => {
                let above = match how.nearest {
                    "round_prefer_floor" => ratio > 0.5,
                    "round_prefer_ceil" => ratio >= 0.5,
                    "floor" => ratio == 1.0,
                    "ceil" => true,
                    other => return Err(format!("its nearest_mode is {other:?}")),
                };
                (
                    0.0,
                    if above {
                        vec![0.0, 1.0]
                    } else {
                        vec![1.0, 0.0]
                    },
                )
            }
            ("linear", antialias) => {
                let first = if antialias {
                    (-1.0 / scale).floor() + 1.0
                } else {
                    0.0
                };
                let scale = if antialias { scale } else { 1.0 };
                let hat = |i: f64| (1.0 - ((i - ratio) * scale).abs()).clamp(0.0, 1.0);
                (first, weights(first, 1.0 - first, hat))
            }
            ("cubic", antialias) => {
                let first = if antialias {
                    (-2.0 / scale).floor() + 1.0
                } else {
                    -1.0
                };
                let scale = if antialias { scale } else { 1.0 };
                let a = how.cubic;
                // Keys 1981, equation 4, with a parameter.
                let kernel = |i: f64| match ((i - ratio) * scale).abs() {
                    x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
                    x if x < 2.0 => ((x - 5.0) * x + 8.0) * x * a - 4.0 * a,
                    _ => 0.0,
                };
                (first, weights(first, 1.0 - first, kernel))
            }
            (mode, antialias) => {
                return Err(format!("its mode is {mode:?}, its antialias {antialias}"));
            }
        };
        let last = self.inputs as f64 - 1.0;
        let place = |i: usize| start + first + i as f64;
        let counts = |i: &usize| !how.exclude_outside || (0.0..=last).contains(&place(*i));
        let total: f64 = (0..weights.len()).filter(counts).map(|i| weights[i]).sum();
        let total = if how.antialias || how.exclude_outside {
            total
        } else {
            1.0
        };
        let terms = (0..weights.len())
            .filter(counts)
            .filter(|&i| weights[i] != 0.0);
        // What lies outside is what lies at the border.
        let terms = terms.map(|i| (place(i).clamp(0.0, last) as usize, weights[i] / total));
        Ok(terms.collect())
    }
}

/// A kernel at the integers from `first` to `last`.
fn weights(first: f64, last: f64, kernel: impl Fn(f64) -> f64) -> Vec<f64> {
    let count = (last - first) as usize + 1;
    (0..count).map(|i| kernel(first + i as f64)).collect()
}

/// Resize, in all modes.
fn resize(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let old = r.builder.opset < 11;
    let rank = {
        let value = r.value(0)?;
        r.value_rank(value)
    };
    let named = match r.attr_ints("axes") {
        Some(axes) => axes.to_vec(),
        None => (0..rank as i64).collect(),
    };
    let mut axes = Vec::with_capacity(named.len());
    for axis in named {
        axes.push(r.position(axis, rank)?);
    }
    let scales = match r.finite(if old { 1 } else { 2 })? {
        Some((_, scales)) if !scales.is_empty() => Some(scales),
        _ => None,
    };
    let sizes = if old {
        None
    } else {
        r.dims(3)?.filter(|sizes| !sizes.is_empty())
    };
    let part = match r.attr_str("coordinate_transformation_mode") {
        "tf_crop_and_resize" => r.finite(1)?.unwrap_or_default().1,
        _ => Vec::new(),
    };
    let text = |name: &str, default: &'static str| match r.attr_str(name) {
        "" => default,
        text => text,
    };
    let how = Interpolation {
        mode: text("mode", "nearest"),
        coordinates: if old {
            "asymmetric"
        } else {
            text("coordinate_transformation_mode", "half_pixel")
        },
        nearest: if old {
            "floor"
        } else {
            text("nearest_mode", "round_prefer_floor")
        },
        antialias: r.attr_bool("antialias", false),
        exclude_outside: r.attr_bool("exclude_outside", false),
        cubic: r.attr_f64("cubic_coeff_a", -0.75),
    };
    let outside = r.attr_f64("extrapolation_value", 0.0);
    let policy = text("keep_aspect_ratio_policy", "stretch");
    resample(r, &axes, (scales, sizes, policy), &part, &how, outside)
}

/// Upsample, the older Resize.
fn upsample(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let scales = match r.finite(1)? {
        Some((_, scales)) => scales,
        None => r.attr_floats("scales").iter().map(|&x| x.into()).collect(),
    };
    let how = Interpolation {
        mode: match r.attr_str("mode") {
            "" | "nearest" => "nearest",
            "linear" | "bilinear" => "linear",
            other => return Err(r.fail(format!("its mode is {other:?}"))),
        },
        coordinates: "asymmetric",
        nearest: "floor",
        antialias: false,
        exclude_outside: false,
        cubic: 0.0,
    };
    let axes: Vec<usize> = (0..r.value_rank(value)).collect();
    resample(r, &axes, (Some(scales), None, "stretch"), &[], &how, 0.0)
}

/// Resamples axes of the file, one after the other, to sizes or by scales.
fn resample(
    r: &mut Reader<'_>,
    axes: &[usize],
    (scales, sizes, policy): (Option<Vec<f64>>, Option<Vec<Dim>>, &str),
    part: &[f64],
    how: &Interpolation<'_>,
    outside: f64,
) -> Result<Value, OnnxError> {
    let mut value = r.value(0)?;
    let count = scales
        .as_ref()
        .map(Vec::len)
        .or(sizes.as_ref().map(Vec::len));
    if count != Some(axes.len()) || !part.is_empty() && part.len() != 2 * axes.len() {
        return Err(r.fail("it needs constant scales, or sizes, one for each axis"));
    }
    let file_shape = r.file_shape(&Binding::Value(value));
    let mut wanted = Vec::with_capacity(axes.len());
    for (i, &axis) in axes.iter().enumerate() {
        let old = file_shape[axis];
        let size = sizes.as_ref().map(|sizes| sizes[i]);
        let same = size == Some(old) || scales.as_ref().is_some_and(|scales| scales[i] == 1.0);
        let whole = part.is_empty() || part[i] == 0.0 && part[axes.len() + i] == 1.0;
        if old == Dim::Batch && same && whole {
            continue;
        }
        let old = r.known(old)?;
        let scale = match (&scales, size) {
            (Some(scales), _) => scales[i],
            (None, Some(size)) => r.known(size)? as f64 / old as f64,
            (None, None) => 1.0,
        };
        wanted.push((i, axis, old as usize, scale));
    }
    // One scale for all axes, if the picture may not be stretched.
    if sizes.is_some() && policy != "stretch" {
        let all = wanted.iter().map(|&(.., scale)| scale);
        let scale = match policy {
            "not_larger" => all.fold(f64::INFINITY, f64::min),
            "not_smaller" => all.fold(0.0, f64::max),
            other => return Err(r.fail(format!("its keep_aspect_ratio_policy is {other:?}"))),
        };
        wanted.iter_mut().for_each(|axis| axis.3 = scale);
    }
    for (i, axis, inputs, scale) in wanted {
        // A size over a length may come out as less than the size times the length.
        let outputs = match sizes {
            Some(_) => (scale * inputs as f64 + 0.5).floor(),
            None => (scale * inputs as f64).floor(),
        };
        if !(1.0..=MAX_VALUES as f64).contains(&outputs) {
            let why = format!("it makes {outputs} positions of {inputs} along axis {axis}");
            return Err(r.fail(why));
        }
        let part = match part {
            [] => [0.0, 1.0],
            part => [part[i], part[axes.len() + i]],
        };
        let resampling = Resampling {
            inputs,
            outputs: outputs as usize,
            scale,
            part: part.map(|end| end as f32),
        };
        if scale == 1.0 && part == [0.0, 1.0] {
            continue;
        }
        let batch = r.builder.batch;
        let along = match (axis, value.batched) {
            (0, true) if batch != Batch::One => {
                return Err(r
                    .node
                    .fail_in_batch("it makes more or fewer images of a batch"));
            }
            (0, true) => {
                value = r.unbatched(value)?;
                0
            }
            (axis, batched) => axis - usize::from(batched),
        };
        value = resample_axis(r, value, along, &resampling, how, outside)?;
    }
    Ok(value)
}

/// Resamples one axis of an image.
fn resample_axis(
    r: &mut Reader<'_>,
    value: Value,
    axis: usize,
    resampling: &Resampling,
    how: &Interpolation<'_>,
    outside: f64,
) -> Result<Value, OnnxError> {
    r.check_matrix(resampling.outputs, resampling.inputs)?;
    let mut all = Vec::with_capacity(resampling.outputs);
    for o in 0..resampling.outputs {
        all.push(resampling.terms(o, how).map_err(|why| r.fail(why))?);
    }
    // Where each is one of the inputs nothing is to be computed.
    let alone = all.iter().map(|terms| match terms[..] {
        [(position, 1.0)] => Some(position),
        _ => None,
    });
    if let Some(positions) = alone.collect() {
        return r.apply(Op::Gather(Gather { axis, positions }), value);
    }
    let resampled = r.matrix_along(value, axis, resampling.outputs, |o, i| {
        let own = all[o].iter().filter(|(position, _)| *position == i);
        own.map(|(_, weight)| weight).sum()
    })?;
    let number = |terms: &Vec<_>| {
        if terms.is_empty() { outside } else { 0.0 }
    };
    let numbers: Vec<f64> = all.iter().map(number).collect();
    if numbers.iter().all(|&number| number == 0.0) {
        return Ok(resampled);
    }
    let after = r.shape(resampled).len() - axis - 1;
    let shape = [&[resampling.outputs][..], &vec![1; after]].concat();
    let numbers = r.own_weight("outside", &shape, numbers)?;
    r.with_weight(Binary::Add, resampled, numbers)
}

/// The shape [channels, height, width] of an image, and the block size.
fn blocks(r: &mut Reader<'_>) -> Result<(Value, [usize; 3], usize), OnnxError> {
    let value = r.value(0)?;
    let value = r.batched(value)?;
    let size = r.attr_i64("blocksize", 0);
    let block = usize::try_from(size)
        .ok()
        .filter(|block| (1..1 << 12).contains(block));
    match (r.shape(value), block) {
        (&[channels, height, width], Some(block)) => Ok((value, [channels, height, width], block)),
        (shape, _) => Err(r.fail(format!(
            "its input has shape {shape:?}, its blocksize is {size}"
        ))),
    }
}

/// DepthToSpace: channels become blocks of positions.
fn depth_to_space(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let (value, [channels, height, width], b) = blocks(r)?;
    if !channels.is_multiple_of(b * b) {
        return Err(r.fail(format!("{channels} channels are no blocks of {b} by {b}")));
    }
    let left = channels / (b * b);
    let (shape, order) = match r.attr_str("mode") {
        "CRD" => ([left, b, b, height, width], [0, 3, 1, 4, 2]),
        _ => ([b, b, left, height, width], [2, 3, 0, 4, 1]),
    };
    let value = r.reshape(value, shape.to_vec(), true)?;
    let value = r.transpose(value, &order)?;
    r.reshape(value, vec![left, height * b, width * b], true)
}

/// SpaceToDepth: blocks of positions become channels.
fn space_to_depth(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let (value, [channels, height, width], b) = blocks(r)?;
    if !height.is_multiple_of(b) || !width.is_multiple_of(b) {
        return Err(r.fail(format!(
            "{height} by {width} positions are no blocks of {b} by {b}"
        )));
    }
    let (rows, columns) = (height / b, width / b);
    let value = r.reshape(value, vec![channels, rows, b, columns, b], true)?;
    let order = match r.attr_str("mode") {
        "CRD" => [0, 2, 4, 1, 3],
        _ => [2, 4, 0, 1, 3],
    };
    let value = r.transpose(value, &order)?;
    r.reshape(value, vec![b * b * channels, rows, columns], true)
}
