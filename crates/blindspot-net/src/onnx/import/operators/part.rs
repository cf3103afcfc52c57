//! Parts of values, and values put together.

use super::{OnConstants, Operator, Outputs};
use crate::graph::{MAX_VALUES, Operand};
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::constant::{Constant, Numbers};
use crate::onnx::import::reader::Reader;
use crate::ops::{Concat, Gather, Op, Pad, PadMode, Slice, SliceAxis, TopK, Where};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Concat", concat).on_constants(OnConstants::Arrange),
    Operator::new("Gather", gather).on_constants(OnConstants::Arrange),
    Operator::new("Pad", pad).on_constants(OnConstants::Whole),
    Operator::new("Slice", slice).on_constants(OnConstants::Arrange),
    Operator::with_outputs("Split", split).on_constants(OnConstants::Arrange),
    Operator::new("TopK", top).on_constants(OnConstants::Whole),
    Operator::new("Trilu", triangle).on_constants(OnConstants::Whole),
];

/// Concat: values and constants one after the other along an axis.
fn concat(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut given = Vec::with_capacity(r.node.input.len());
    for position in 0..r.node.input.len() {
        let part = r.required(position)?;
        // What holds nothing adds nothing.
        if part.constant().is_none_or(|part| part.numbers.len() > 0) {
            given.push((position, part));
        }
    }
    let values = given.iter().filter_map(|(_, given)| match given {
        Binding::Value(value) => Some(*value),
        Binding::Constant(_) => None,
    });
    let values: Vec<Value> = values.collect();
    let first = values.first().ok_or_else(|| r.fail("it has no input"))?;
    let rank = r.value_rank(*first);
    let axis = r.position(r.attr_i64("axis", 1), rank)?;
    let batched = axis > 0 && values.iter().all(|value| value.batched);
    let mut operands = Vec::with_capacity(given.len());
    for (position, given) in given {
        if r.rank(&given) != rank {
            return Err(r.fail("its inputs have different numbers of axes"));
        }
        operands.push(match given {
            Binding::Value(value) if batched => Operand::Value(value.id),
            Binding::Value(value) => Operand::Value(r.unbatched(value)?.id),
            Binding::Constant(constant) => {
                let shape = if batched {
                    r.without_batch(position, &constant, rank)?
                } else {
                    constant.shape.clone()
                };
                r.shared_weight(position, &constant, &shape)?
            }
        });
    }
    let axis = axis - usize::from(batched);
    if let [Operand::Value(id)] = operands[..] {
        return Ok(Value { id, batched });
    }
    r.push_node(Op::Concat(Concat { axis }), &operands, batched)
}

/// Split, of which each output is a part: of given sizes, or of equal ones.
fn split(r: &mut Reader<'_>) -> Outputs {
    let value = r.value(0)?;
    let (value, axis) = r.along(value, r.attr_i64("axis", 0))?;
    let length = r.shape(value)[axis];
    let parts = r.node.output.len().max(1);
    let sizes = r.ints_or_attr(1, "split")?;
    let sizes = sizes.unwrap_or_else(|| {
        // The last part is smaller if they can't be equal.
        let part = length.div_ceil(parts);
        let size = |i: usize| part.min(length.saturating_sub(i * part)) as i64;
        (0..parts).map(size).collect()
    });
    let total = sizes
        .iter()
        .try_fold(0i64, |sum, &size| sum.checked_add(size));
    if sizes.len() != parts || sizes.iter().any(|&size| size < 0) || total != Some(length as i64) {
        let why = format!("{length} positions can't be split into {sizes:?} for {parts} outputs");
        return Err(r.fail(why));
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
        let part = r.apply(op, value)?;
        outputs.push(Binding::Value(part));
    }
    Ok(outputs)
}

/// Slice, by attributes before opset 10 and by inputs since.
fn slice(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut value = r.value(0)?;
    let ranges = ranges(r)?;
    let mut parts: Vec<SliceAxis> = Vec::with_capacity(ranges.len());
    let mut batch = None;
    for (axis, range) in ranges {
        match r.axis(value, axis)? {
            // All of the batch.
            None if range.is_all() => {}
            None => batch = Some(range),
            Some(axis) => {
                let length = r.shape(value)[axis];
                parts.push(range.part(axis, length).map_err(|why| r.fail(why))?);
            }
        }
    }
    if let Some(range) = batch {
        value = r.unbatched(value)?;
        for part in &mut parts {
            part.axis += 1;
        }
        parts.push(range.part(0, 1).map_err(|why| r.fail(why))?);
    }
    let mut named: Vec<usize> = parts.iter().map(|part| part.axis).collect();
    named.sort_unstable();
    if named.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(r.fail("it names an axis twice"));
    }
    if parts.is_empty() {
        return Ok(value);
    }
    let op = Op::Slice(Slice { axes: parts });
    r.apply(op, value)
}

/// ONNX's start, end and step along an axis.
#[derive(Clone, Copy)]
struct Range {
    start: i64,
    end: i64,
    step: i64,
}

/// What a Slice takes of each axis that it names, by ONNX's numbers of the axes.
fn ranges(r: &Reader<'_>) -> Result<Vec<(i64, Range)>, OnnxError> {
    let (starts, ends) = (r.ints_or_attr(1, "starts")?, r.ints_or_attr(2, "ends")?);
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Err(r.fail("it needs constant starts and ends"));
    };
    let axes = r.ints_or_attr(3, "axes")?;
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = r.ints_or_attr(4, "steps")?;
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err(r.fail("its starts, ends, axes and steps differ in number"));
    }
    if steps.contains(&0) {
        return Err(r.fail("its step is 0"));
    }
    let ranges = (0..starts.len()).map(|i| {
        let range = Range {
            start: starts[i],
            end: ends[i],
            step: steps[i],
        };
        (axes[i], range)
    });
    Ok(ranges.collect())
}

impl Range {
    /// Whether it takes all positions of any axis.
    fn is_all(self) -> bool {
        self.start == 0 && self.step == 1 && self.end >= i64::from(i32::MAX)
    }

    /// The first position that it takes of an axis of some length, and how many.
    fn start_and_count(self, length: usize) -> (usize, usize) {
        let size = length as i128;
        let from_start = |position: i64| match position {
            ..0 => i128::from(position) + size,
            _ => i128::from(position),
        };
        let (start, end) = (from_start(self.start), from_start(self.end));
        let (start, end) = if self.step > 0 {
            (start.clamp(0, size), end.clamp(0, size))
        } else {
            (start.clamp(0, size - 1), end.clamp(-1, size - 1))
        };
        let step_size = i128::from(self.step).abs().max(1);
        let distance = if self.step > 0 {
            end - start
        } else {
            start - end
        };
        let count = (distance.max(0) + step_size - 1) / step_size;
        (start as usize, count as usize)
    }

    /// What it takes of an axis of one image.
    fn part(self, axis: usize, length: usize) -> Result<SliceAxis, String> {
        let (start, count) = self.start_and_count(length);
        if count == 0 {
            return Err(format!(
                "it takes nothing of axis {axis}, which has {length} positions"
            ));
        }
        Ok(SliceAxis {
            axis,
            start,
            // A single position has no next one.
            step: if count > 1 { self.step } else { 1 },
            length: count,
        })
    }
}

/// What a Slice takes of a constant, where that is nothing: exporters cut shapes apart where there is
/// nothing before or behind.
pub(in crate::onnx::import) fn nothing_of(r: &Reader<'_>) -> Result<Option<Constant>, OnnxError> {
    let constant = r.required_constant(0)?;
    let mut shape = constant.shape.clone();
    for (axis, range) in ranges(r)? {
        let axis = r.position(axis, shape.len())?;
        shape[axis] = range.start_and_count(constant.shape[axis]).1;
    }
    if !shape.contains(&0) {
        return Ok(None);
    }
    Ok(Some(match constant.reals() {
        Some(_) => Constant::of_reals(shape, Vec::new()),
        None => Constant::new(shape, Numbers::Int(Vec::new())),
    }))
}

/// Gather by constant positions.
fn gather(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let indices = r.required_constant(1)?;
    let wanted = r.ints(1)?.unwrap_or_default();
    let (value, axis) = r.along(value, r.attr_i64("axis", 0))?;
    let length = r.shape(value)[axis];
    let positions = wanted.iter().map(|&index| r.position(index, length));
    let positions = positions.collect::<Result<Vec<_>, _>>()?;
    let op = Op::Gather(Gather { axis, positions });
    let parts = r.apply(op, value)?;
    // The axes of the positions take the place of the axis.
    let mut shape = r.shape(parts).to_vec();
    shape.splice(axis..=axis, indices.shape.iter().copied());
    r.reshape(parts, shape, parts.batched)
}

/// Pad, by attributes before opset 11 and by inputs since.
fn pad(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut value = r.value(0)?;
    let pads = r.ints_or_attr(1, "pads")?;
    let pads = pads.ok_or_else(|| r.fail("it needs constant pads"))?;
    let number = match r.finite(2)? {
        Some((_, numbers)) => numbers.first().copied().unwrap_or(0.0),
        None => r.attr_f64("value", 0.0),
    };
    let mode = match r.attr_str("mode") {
        "" | "constant" => PadMode::Constant(number),
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        other => {
            let why = format!("its mode is {other:?}; supported are constant, reflect and edge");
            return Err(r.fail(why));
        }
    };
    if r.attr("value")
        .is_some_and(|attribute| !attribute.f.is_finite())
    {
        return Err(r.fail("its value is not finite"));
    }
    let rank = r.value_rank(value);
    let named = match r.ints_or_attr(3, "axes")? {
        Some(axes) => axes,
        None => (0..rank as i64).collect(),
    };
    let most = MAX_VALUES as i64;
    if pads.len() != 2 * named.len() || pads.iter().any(|pad| !(-most..=most).contains(pad)) {
        let why = format!("its pads are {pads:?} for {} axes", named.len());
        return Err(r.fail(why));
    }
    let mut both = vec![(0, 0); rank];
    for (i, &axis) in named.iter().enumerate() {
        both[r.position(axis, rank)?] = (pads[i], pads[i + named.len()]);
    }
    if value.batched {
        match both[0] {
            (0, 0) => drop(both.remove(0)),
            _ => value = r.unbatched(value)?,
        }
    }
    let (before, after) = both.into_iter().unzip();
    let op = Op::Pad(Pad {
        before,
        after,
        mode,
    });
    r.apply(op, value)
}

/// TopK: the largest numbers along an axis. Their positions have no gradient and are not given.
fn top(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let (value, axis) = r.along(value, r.attr_i64("axis", -1))?;
    let count = match r.ints(1)? {
        Some(count) => count,
        None => vec![r.attr_i64("k", 0)],
    };
    let k = match count[..] {
        [k] => usize::try_from(k).unwrap_or(0),
        _ => return Err(r.fail("its k must be one integer")),
    };
    let largest = r.attr_bool("largest", true);
    r.apply(Op::TopK(TopK { axis, k, largest }), value)
}

/// Trilu: what stands above or below a diagonal of the last two axes, and 0 elsewhere.
fn triangle(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut value = r.value(0)?;
    if r.shape(value).len() < 2 {
        value = r.unbatched(value)?;
    }
    let &[.., rows, columns] = r.shape(value) else {
        return Err(r.fail("its input has fewer than two axes"));
    };
    let diagonal = match r.ints(1)?.unwrap_or_default()[..] {
        [] => 0,
        [k] => i128::from(k),
        _ => return Err(r.fail("its k must be one integer")),
    };
    let upper = r.attr_bool("upper", true);
    let kept = |row: usize, column: usize| {
        let right = column as i128 - row as i128;
        if upper {
            right >= diagonal
        } else {
            right <= diagonal
        }
    };
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let mask = places.map(|(row, column)| f64::from(u8::from(kept(row, column))));
    let mask = r.own_weight("mask", &[rows, columns], mask.collect())?;
    let zero = r.own_weight("zero", &[], vec![0.0])?;
    let operands = [mask, Operand::Value(value.id), zero];
    r.push_node(Op::Where(Where), &operands, value.batched)
}
