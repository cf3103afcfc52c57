//! Numbers picked from, or put into, any places of a value. The places are constants.

use super::{OnConstants, Operator};
use crate::graph::{MAX_VALUES, Operand};
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::reader::Reader;
use crate::ops::{Binary, Concat, Op};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("GatherElements", |r| {
        let value = whole(r, 0)?;
        let (places, shape) = elements(r, value)?;
        r.pick(value, places, shape)
    })
    .on_constants(OnConstants::Arrange),
    Operator::new("GatherND", |r| {
        let value = whole(r, 0)?;
        let (places, shape) = slices(r, value, r.attr_i64("batch_dims", 0))?;
        r.pick(value, places, shape)
    })
    .on_constants(OnConstants::Arrange),
    Operator::new("Scatter", |r| scatter(r, elements)).on_constants(OnConstants::Whole),
    Operator::new("ScatterElements", |r| scatter(r, elements)).on_constants(OnConstants::Whole),
    Operator::new("ScatterND", |r| scatter(r, |r, value| slices(r, value, 0)))
        .on_constants(OnConstants::Whole),
];

/// Places among all numbers of a value, and the shape in which they are listed.
type Places = Result<(Vec<usize>, Vec<usize>), OnnxError>;

/// An input with the batch's axis as one like the others: the places have it.
fn whole(r: &mut Reader<'_>, position: usize) -> Result<Value, OnnxError> {
    let value = r.value(position)?;
    r.unbatched(value)
}

/// The positions at which a number stands in a shape, the last axis fastest.
fn coordinates(shape: &[usize], mut i: usize) -> Vec<usize> {
    let mut at = vec![0; shape.len()];
    for (at, &size) in at.iter_mut().zip(shape).rev() {
        *at = i % size;
        i /= size;
    }
    at
}

/// Where the numbers at some positions stand.
fn place(shape: &[usize], at: impl IntoIterator<Item = usize>) -> usize {
    let at = at.into_iter().zip(shape);
    at.fold(0, |place, (at, size)| place * size + at)
}

/// For each index its own place, but along one axis, where the index says it.
fn elements(r: &Reader<'_>, value: Value) -> Places {
    let shape = r.shape(value);
    let axis = r.position(r.attr_i64("axis", 0), shape.len())?;
    let indices = r.required_constant(1)?;
    let fits = indices.shape.len() == shape.len()
        && (0..shape.len()).all(|i| i == axis || indices.shape[i] <= shape[i]);
    if !fits {
        let why = format!("indices of shape {:?} don't fit {shape:?}", indices.shape);
        return Err(r.fail(why));
    }
    let mut places = Vec::with_capacity(indices.numbers.len());
    for (i, index) in r.ints(1)?.unwrap_or_default().into_iter().enumerate() {
        let mut at = coordinates(&indices.shape, i);
        at[axis] = r.position(index, shape[axis])?;
        places.push(place(shape, at));
    }
    Ok((places, indices.shape.clone()))
}

/// For each row of indices all places behind it, the first axes shared with the indices.
fn slices(r: &Reader<'_>, value: Value, shared: i64) -> Places {
    let shape = r.shape(value);
    let indices = r.required_constant(1)?;
    let wrong = || {
        let why = format!("indices of shape {:?} don't fit {shape:?}", indices.shape);
        r.fail(why)
    };
    let (&width, rows) = indices.shape.split_last().ok_or_else(wrong)?;
    let shared = usize::try_from(shared)
        .ok()
        .filter(|&shared| shared <= rows.len());
    let shared = shared.ok_or_else(wrong)?;
    if shared + width > shape.len() || shape[..shared] != rows[..shared] {
        return Err(wrong());
    }
    let behind = &shape[shared + width..];
    let run: usize = behind.iter().product();
    let count: usize = rows.iter().product();
    if count.saturating_mul(run) > MAX_VALUES {
        return Err(r.fail(format!("it names {count} parts of {run} numbers")));
    }
    let numbers = r.ints(1)?.unwrap_or_default();
    let mut places = Vec::with_capacity(count * run);
    for i in 0..count {
        let mut at = coordinates(rows, i)[..shared].to_vec();
        for (j, &index) in numbers[i * width..(i + 1) * width].iter().enumerate() {
            at.push(r.position(index, shape[shared + j])?);
        }
        let first = place(shape, at) * run;
        places.extend(first..first + run);
    }
    Ok((places, [rows, behind].concat()))
}

/// ScatterElements and ScatterND: the first input with the numbers of the third in some places.
fn scatter(
    r: &mut Reader<'_>,
    places: impl Fn(&Reader<'_>, Value) -> Places,
) -> Result<Value, OnnxError> {
    let beside = match r.required(0)? {
        Binding::Value(value) => value,
        Binding::Constant(_) => r.value(2)?,
    };
    let beside = r.unbatched(beside)?;
    let value = r.as_value(0, beside)?;
    let value = r.unbatched(value)?;
    let updates = r.as_value(2, beside)?;
    let updates = r.unbatched(updates)?;
    let (places, listed) = places(r, value)?;
    let shape = r.shape(value).to_vec();
    if r.shape(updates) != listed {
        let found = r.shape(updates);
        return Err(r.fail(format!("its updates have shape {found:?}, not {listed:?}")));
    }
    let (op, neutral) = match r.attr_str("reduction") {
        "" | "none" => (None, 0.0),
        "add" => (Some(Binary::Add), 0.0),
        "mul" => (Some(Binary::Mul), 1.0),
        "min" => (Some(Binary::Min), f32::MAX.into()),
        "max" => (Some(Binary::Max), f32::MIN.into()),
        other => return Err(r.fail(format!("its reduction is {other:?}"))),
    };
    let length: usize = shape.iter().product();
    let mut result = r.reshape(value, vec![length], false)?;
    let updates = r.reshape(updates, vec![places.len()], false)?;
    let Some(op) = op else {
        // Of several for one place the last counts.
        let both = [Operand::Value(result.id), Operand::Value(updates.id)];
        let both = r.push_node(Op::Concat(Concat { axis: 0 }), &both, false)?;
        let mut from: Vec<usize> = (0..length).collect();
        for (i, &place) in places.iter().enumerate() {
            from[place] = length + i;
        }
        return r.pick(both, from, shape);
    };
    let neutral = r.own_weight("neutral", &[1], vec![neutral])?;
    let both = [Operand::Value(updates.id), neutral];
    let both = r.push_node(Op::Concat(Concat { axis: 0 }), &both, false)?;
    // One update for each place at a time.
    let mut waiting: Vec<usize> = (0..places.len()).collect();
    while !waiting.is_empty() {
        let mut from = vec![places.len(); length];
        waiting.retain(|&i| {
            let free = from[places[i]] == places.len();
            if free {
                from[places[i]] = i;
            }
            !free
        });
        let updates = r.pick(both, from, vec![length])?;
        result = r.both(op, result, updates)?;
    }
    r.reshape(result, shape, false)
}
