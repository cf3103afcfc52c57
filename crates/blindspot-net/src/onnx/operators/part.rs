//! Parts of values, and values put together.

use super::super::OnnxError;
use super::super::import::{Given, Import, Value, position};
use super::super::node::{attribute, fail, float, integer, integers, text};
use super::super::proto::NodeProto;
use super::axes;
use crate::graph::{MAX_VALUES, Operand};
use crate::ops::{Concat, Gather, Op, Pad, PadMode, Slice, SliceAxis};

/// Concat.
pub(super) fn concat(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let mut given = Vec::with_capacity(node.input.len());
    for position in 0..node.input.len() {
        let part = to.required(node, position)?;
        // What holds nothing adds nothing.
        if part.constant().is_none_or(|part| part.numbers.len() > 0) {
            given.push((position, part));
        }
    }
    let values = given.iter().filter_map(|(_, given)| match given {
        Given::Value(value) => Some(*value),
        Given::Constant(_) => None,
    });
    let values: Vec<Value> = values.collect();
    let first = values
        .first()
        .ok_or_else(|| fail(node, "it has no input"))?;
    let rank = to.rank(&Given::Value(*first));
    let axis = position(node, integer(node, "axis", 1), rank)?;
    let batched = axis > 0 && values.iter().all(|value| value.batched);
    let mut operands = Vec::with_capacity(given.len());
    for (position, given) in given {
        if to.rank(&given) != rank {
            return Err(fail(node, "its inputs have different numbers of axes"));
        }
        operands.push(match given {
            Given::Value(value) if batched => Operand::Value(value.id),
            Given::Value(value) => Operand::Value(to.unbatched(node, value)?.id),
            Given::Constant(constant) => {
                let shape = match batched {
                    true => to.without_batch(node, position, &constant, rank)?,
                    false => constant.shape.clone(),
                };
                to.shared_weight(node, position, &constant, &shape)?
            }
        });
    }
    let axis = axis - usize::from(batched);
    if let [Operand::Value(id)] = operands[..] {
        return Ok(Value { id, batched });
    }
    to.emit(node, Op::Concat(Concat { axis }), &operands, batched)
}

/// Split, of which each output is a part: of given sizes, or of equal ones.
pub(super) fn split(to: &mut Import<'_>, node: &NodeProto) -> Result<Vec<Given>, OnnxError> {
    let mut value = to.value(node, 0)?;
    let axis = match to.axis(node, value, integer(node, "axis", 0))? {
        Some(axis) => axis,
        None => {
            value = to.unbatched(node, value)?;
            0
        }
    };
    let length = to.shape(value)[axis];
    let parts = node.output.len().max(1);
    let sizes = to.wholes(node, 1)?;
    let sizes = sizes.or_else(|| integers(node, "split").map(<[i64]>::to_vec));
    let sizes = sizes.unwrap_or_else(|| {
        // The last part is smaller where they can't be equal.
        let part = length.div_ceil(parts);
        let size = |i: usize| part.min(length.saturating_sub(i * part)) as i64;
        (0..parts).map(size).collect()
    });
    let total = sizes
        .iter()
        .try_fold(0i64, |sum, &size| sum.checked_add(size));
    if sizes.len() != parts || sizes.iter().any(|&size| size < 0) || total != Some(length as i64) {
        let why = format!("{length} positions can't be split into {sizes:?} for {parts} outputs");
        return Err(fail(node, why));
    }
    let mut start = 0;
    let mut outputs = Vec::with_capacity(parts);
    for size in sizes {
        let length = size as usize;
        let part = SliceAxis {
            axis,
            start,
            step: 1,
            length,
        };
        start += length;
        let op = Op::Slice(Slice { axes: vec![part] });
        let part = to.emit(node, op, &[Operand::Value(value.id)], value.batched)?;
        outputs.push(Given::Value(part));
    }
    Ok(outputs)
}

/// Slice, by attributes before opset 10 and by inputs since.
pub(super) fn slice(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let mut value = to.value(node, 0)?;
    let list = |position: usize, name: &str| {
        let given = to.wholes(node, position)?;
        Ok::<_, OnnxError>(given.or_else(|| integers(node, name).map(<[i64]>::to_vec)))
    };
    let (Some(starts), Some(ends)) = (list(1, "starts")?, list(2, "ends")?) else {
        return Err(fail(node, "it needs constant starts and ends"));
    };
    let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(fail(
            node,
            "its starts, ends, axes and steps differ in number",
        ));
    }
    let mut parts: Vec<SliceAxis> = Vec::with_capacity(starts.len());
    let mut batch = None;
    for i in 0..starts.len() {
        match to.axis(node, value, axes[i])? {
            // All of the batch.
            None if starts[i] == 0 && steps[i] == 1 && ends[i] >= i64::from(i32::MAX) => {}
            None => batch = Some((starts[i], ends[i], steps[i])),
            Some(axis) => {
                let length = to.shape(value)[axis];
                parts.push(part(node, axis, length, starts[i], ends[i], steps[i])?);
            }
        }
    }
    if let Some((start, end, step)) = batch {
        value = to.unbatched(node, value)?;
        for part in &mut parts {
            part.axis += 1;
        }
        parts.push(part(node, 0, 1, start, end, step)?);
    }
    let mut named: Vec<usize> = parts.iter().map(|part| part.axis).collect();
    named.sort_unstable();
    if named.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(fail(node, "it names an axis twice"));
    }
    if parts.is_empty() {
        return Ok(value);
    }
    let op = Op::Slice(Slice { axes: parts });
    to.emit(node, op, &[Operand::Value(value.id)], value.batched)
}

/// What ONNX's start, end and step take of an axis.
fn part(
    node: &NodeProto,
    axis: usize,
    length: usize,
    start: i64,
    end: i64,
    step: i64,
) -> Result<SliceAxis, OnnxError> {
    let size = length as i128;
    let from_start = |position: i64| match position {
        ..0 => i128::from(position) + size,
        _ => i128::from(position),
    };
    let (start, end) = (from_start(start), from_start(end));
    let (start, end) = match step {
        0 => return Err(fail(node, "its step is 0")),
        1.. => (start.clamp(0, size), end.clamp(0, size)),
        _ => (start.clamp(0, size - 1), end.clamp(-1, size - 1)),
    };
    let step_size = i128::from(step).abs();
    let distance = if step > 0 { end - start } else { start - end };
    let count = (distance.max(0) + step_size - 1) / step_size;
    if count == 0 {
        let why = format!("it takes nothing of axis {axis}, which has {length} positions");
        return Err(fail(node, why));
    }
    Ok(SliceAxis {
        axis,
        start: start as usize,
        // A single position has no next one.
        step: if count > 1 { step } else { 1 },
        length: count as usize,
    })
}

/// Gather by constant positions.
pub(super) fn gather(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let mut value = to.value(node, 0)?;
    let Some(indices) = to.constant(node, 1)? else {
        return Err(fail(node, "it has no positions"));
    };
    let wanted = to.wholes(node, 1)?.unwrap_or_default();
    let axis = match to.axis(node, value, integer(node, "axis", 0))? {
        Some(axis) => axis,
        None => {
            value = to.unbatched(node, value)?;
            0
        }
    };
    let length = to.shape(value)[axis];
    let positions = wanted.iter().map(|&index| position(node, index, length));
    let positions = positions.collect::<Result<Vec<_>, _>>()?;
    let op = Op::Gather(Gather { axis, positions });
    let parts = to.emit(node, op, &[Operand::Value(value.id)], value.batched)?;
    // The axes of the positions take the place of the axis.
    let mut shape = to.shape(parts).to_vec();
    shape.splice(axis..=axis, indices.shape.iter().copied());
    to.reshape(node, parts, shape, parts.batched)
}

/// Pad, by attributes before opset 11 and by inputs since.
pub(super) fn pad(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let mut value = to.value(node, 0)?;
    let pads = to.wholes(node, 1)?;
    let pads = pads.or_else(|| integers(node, "pads").map(<[i64]>::to_vec));
    let pads = pads.ok_or_else(|| fail(node, "it needs constant pads"))?;
    let number = match to.finite(node, 2)? {
        Some((_, numbers)) => numbers.first().map_or(0.0, |&number| f64::from(number)),
        None => float(node, "value", 0.0),
    };
    let mode = match text(node, "mode") {
        "" | "constant" => PadMode::Constant(number),
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        other => {
            let why = format!("its mode is {other:?}; supported are constant, reflect and edge");
            return Err(fail(node, why));
        }
    };
    if attribute(node, "value").is_some_and(|attribute| !attribute.f.is_finite()) {
        return Err(fail(node, "its value is not finite"));
    }
    let rank = to.sizes_of(value).len();
    let named = match axes(to, node, 3)? {
        Some(axes) => axes,
        None => (0..rank as i64).collect(),
    };
    let most = MAX_VALUES as i64;
    if pads.len() != 2 * named.len() || pads.iter().any(|pad| !(-most..=most).contains(pad)) {
        let why = format!("its pads are {pads:?} for {} axes", named.len());
        return Err(fail(node, why));
    }
    let mut both = vec![(0, 0); rank];
    for (i, &axis) in named.iter().enumerate() {
        both[position(node, axis, rank)?] = (pads[i], pads[i + named.len()]);
    }
    if value.batched {
        match both[0] {
            (0, 0) => drop(both.remove(0)),
            _ => value = to.unbatched(node, value)?,
        }
    }
    let (before, after) = both.into_iter().unzip();
    let op = Op::Pad(Pad {
        before,
        after,
        mode,
    });
    to.emit(node, op, &[Operand::Value(value.id)], value.batched)
}
