//! Operators that rearrange numbers: into other shapes and orders, or repeated.

use super::{OnConstants, Operator};
use crate::graph::MAX_VALUES;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Batch, Binding, Value};
use crate::onnx::import::constant::Dim;
use crate::onnx::import::reader::Reader;
use crate::onnx::import::{MAX_AXES, contrib};
use crate::ops::{Op, Transpose};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Expand", expand).on_constants(OnConstants::Arrange),
    Operator::new("Flatten", flatten).on_constants(OnConstants::Arrange),
    Operator::new("Reshape", reshape).on_constants(OnConstants::Arrange),
    Operator::new("Squeeze", squeeze).on_constants(OnConstants::Arrange),
    Operator::new("Tile", tile).on_constants(OnConstants::Arrange),
    Operator::new("Transpose", transpose).on_constants(OnConstants::Arrange),
    Operator::new("Unsqueeze", unsqueeze).on_constants(OnConstants::Arrange),
];

/// Reshape: the batch's axis stays in front, unless there is one image only.
fn reshape(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let wanted = requested_shape(r)?;
    let old = r.file_shape(&Binding::Value(value));
    let wrong = || {
        let why = format!(
            "a value of shape {} can't take the shape {}",
            display(&old),
            display(&wanted)
        );
        match r.builder.batch {
            Batch::One => r.fail(why),
            _ => r
                .node
                .fail_in_batch(why + " while the images of a batch stay apart"),
        }
    };
    // 0 stands for the size that the value has there.
    let keep_zero = r.attr_bool("allowzero", false);
    let mut sizes = Vec::with_capacity(wanted.len());
    for (axis, &size) in wanted.iter().enumerate() {
        sizes.push(match size {
            Dim::Known(0) if !keep_zero => *old.get(axis).ok_or_else(wrong)?,
            size => size,
        });
    }
    let count = r.shape(value).iter().product::<usize>();
    // With the batch's axis in front.
    if let (Some((&first, rest)), true) = (sizes.split_first(), value.batched)
        && let Some(shape) = complete(rest, count)
    {
        let batch = match (first, r.builder.batch) {
            (Dim::Batch | Dim::Known(-1 | 1), _) => true,
            (Dim::Known(size), Batch::Fixed(batch)) => size == batch,
            _ => false,
        };
        if batch {
            return r.reshape_node(value, shape, true);
        }
    }
    // Without, if there is one image.
    if r.builder.batch != Batch::One {
        return Err(wrong());
    }
    let sizes: Vec<Dim> = sizes
        .into_iter()
        .map(|size| match size {
            Dim::Batch => Dim::Known(1),
            known => known,
        })
        .collect();
    let shape = complete(&sizes, count).ok_or_else(wrong)?;
    r.reshape_node(value, shape, false)
}

/// The shape of `count` numbers that has these sizes, of which one may be -1 for what is left.
fn complete(sizes: &[Dim], count: usize) -> Option<Vec<usize>> {
    let mut known = 1usize;
    let mut open = 0;
    for size in sizes {
        match *size {
            Dim::Known(-1) => open += 1,
            Dim::Known(size) => known = known.checked_mul(usize::try_from(size).ok()?)?,
            Dim::Batch => return None,
        }
    }
    let rest = match open {
        0 if known == count => 1,
        1 if known > 0 && count.is_multiple_of(known) => count / known,
        _ => return None,
    };
    let shape = sizes.iter().map(|size| match *size {
        Dim::Known(-1) | Dim::Batch => rest,
        Dim::Known(size) => size as usize,
    });
    Some(shape.collect())
}

/// The shape that the second input asks for.
fn requested_shape(r: &Reader<'_>) -> Result<Vec<Dim>, OnnxError> {
    let sizes = r.dims(1)?;
    sizes
        .filter(|sizes| sizes.len() <= MAX_AXES)
        .ok_or_else(|| {
            let why = format!("it needs a constant shape of at most {MAX_AXES} axes");
            r.fail(why)
        })
}

/// A shape as messages show it.
fn display(sizes: &[Dim]) -> String {
    let sizes = sizes.iter().map(|size| match size {
        Dim::Known(size) => size.to_string(),
        Dim::Batch => "batch".to_owned(),
    });
    format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
}

/// Flatten: the axes before one, and those from it on, become one each.
fn flatten(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut value = r.value(0)?;
    let rank = r.value_rank(value);
    let axis = match r.attr_i64("axis", 1) {
        axis if axis == rank as i64 => rank,
        axis => r.position(axis, rank)?,
    };
    if value.batched {
        // All of an image in a row, if the axis stands before all its axes but those of length 1.
        let shape = r.shape(value);
        let before = axis.saturating_sub(1);
        let apart = shape[..before].iter().all(|&n| n == 1);
        if apart && (axis > 0 || r.builder.batch == Batch::One) {
            let shape = vec![shape.iter().product()];
            return r.reshape_node(value, shape, true);
        }
        value = r.unbatched(value)?;
    }
    let (before, after) = r.shape(value).split_at(axis);
    let shape = vec![before.iter().product(), after.iter().product()];
    r.reshape_node(value, shape, false)
}

/// Squeeze: axes of length 1 go; without axes all of them do.
fn squeeze(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let mut shape: Vec<Option<usize>> = r.shape(value).iter().copied().map(Some).collect();
    let mut batched = value.batched;
    match r.ints_or_attr(1, "axes")? {
        None => {
            batched &= r.builder.batch != Batch::One;
            shape.retain(|&n| n != Some(1));
        }
        Some(axes) => {
            for axis in axes {
                match r.axis(value, axis)? {
                    None if r.builder.batch == Batch::One => batched = false,
                    None => {
                        return Err(r.node.fail_in_batch("it removes the batch's axis"));
                    }
                    Some(axis) if shape[axis].is_none_or(|n| n == 1) => shape[axis] = None,
                    Some(axis) => {
                        let why = format!("axis {axis} of {shape:?} is not 1");
                        return Err(r.fail(why));
                    }
                }
            }
        }
    }
    let shape = shape.into_iter().flatten().collect();
    r.reshape_node(value, shape, batched)
}

/// Unsqueeze: new axes of length 1.
fn unsqueeze(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut value = r.value(0)?;
    let axes = r.ints_or_attr(1, "axes")?;
    let axes = axes.filter(|axes| axes.len() <= MAX_AXES);
    let axes = axes.ok_or_else(|| r.fail(format!("it needs at most {MAX_AXES} axes")))?;
    let rank = r.value_rank(value) + axes.len();
    let mut new = vec![false; rank];
    for axis in axes {
        let axis = r.position(axis, rank)?;
        if std::mem::replace(&mut new[axis], true) {
            return Err(r.fail(format!("it names the axis {axis} twice")));
        }
    }
    if new.first() == Some(&true) {
        value = r.unbatched(value)?;
    }
    let mut old = r.shape(value).iter();
    let sizes = new.iter().skip(usize::from(value.batched));
    let shape = sizes
        .map(|&new| if new { 1 } else { *old.next().unwrap_or(&1) })
        .collect();
    r.reshape_node(value, shape, value.batched)
}

/// Transpose: the axes in another order.
fn transpose(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut value = r.value(0)?;
    let rank = r.value_rank(value);
    let mut permutation = match r.attr_ints("perm") {
        Some(order) if order.len() != rank => {
            let why = format!("its perm is {order:?}, but its input has {rank} axes");
            return Err(r.fail(why));
        }
        Some(order) => order
            .iter()
            .map(|&axis| r.position(axis, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    if value.batched {
        if permutation[0] == 0 {
            permutation.remove(0);
            for axis in &mut permutation {
                *axis = axis.saturating_sub(1);
            }
        } else {
            value = r.unbatched(value)?;
        }
    }
    let op = Op::Transpose(Transpose { permutation });
    r.apply(op, value)
}

/// The last two axes change places.
pub(super) const SWAP_LAST_AXES: Operator = Operator::new(contrib::SWAP_LAST_AXES, |r| {
    let mut value = r.value(0)?;
    let rank = r.value_rank(value);
    if rank < 2 {
        return Err(r.fail("its factor has no two axes to swap"));
    }
    if rank == 2 {
        value = r.unbatched(value)?;
    }
    let mut permutation: Vec<usize> = (0..r.shape(value).len()).collect();
    let last = permutation.len() - 1;
    permutation.swap(last - 1, last);
    r.apply(Op::Transpose(Transpose { permutation }), value)
})
.on_constants(OnConstants::Arrange);

/// Expand: axes of length 1 are repeated, new ones come before.
fn expand(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut value = r.value(0)?;
    let mut sizes = requested_shape(r)?;
    let rank = r.value_rank(value);
    if value.batched && sizes.len() > rank {
        value = r.unbatched(value)?;
    }
    if value.batched && sizes.len() == rank {
        // The batch keeps its size.
        match (sizes.remove(0), r.builder.batch) {
            (Dim::Batch | Dim::Known(1), _) => {}
            (Dim::Known(size), Batch::Fixed(batch)) if size == batch => {}
            (first, _) => {
                value = r.unbatched(value)?;
                sizes.insert(0, first);
            }
        }
    }
    let target = sizes
        .into_iter()
        .map(|size| match size {
            Dim::Batch => Ok(1),
            Dim::Known(size) => usize::try_from(size)
                .ok()
                .filter(|&size| size <= MAX_VALUES)
                .ok_or_else(|| r.fail(format!("it asks for an axis of length {size}"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let new = target.len().saturating_sub(r.shape(value).len());
    if new > 0 {
        let ones = std::iter::repeat_n(1, new);
        let shape = ones.chain(r.shape(value).iter().copied()).collect();
        value = r.reshape(value, shape, value.batched)?;
    }
    let first = r.shape(value).len() - target.len();
    for (axis, &size) in target.iter().enumerate() {
        let axis = first + axis;
        match (r.shape(value)[axis], size) {
            (_, 1) => {}
            (length, size) if length == size => {}
            (1, size) => {
                value = r.gather(value, axis, std::iter::repeat_n(0, size))?;
            }
            (length, size) => {
                let why = format!("an axis of length {length} can't be repeated to {size}");
                return Err(r.fail(why));
            }
        }
    }
    Ok(value)
}

/// Tile: each axis repeated as a whole.
fn tile(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut value = r.value(0)?;
    let rank = r.value_rank(value);
    let repeats = r.dims(1)?.unwrap_or_default();
    if repeats.len() != rank {
        let why = format!("it repeats {} axes of {rank}", repeats.len());
        return Err(r.fail(why));
    }
    let mut counts = Vec::with_capacity(rank);
    for repeat in repeats {
        let repeat = r.known(repeat)?;
        let count = usize::try_from(repeat).ok().filter(|&count| count > 0);
        counts.push(count.ok_or_else(|| r.fail(format!("it repeats an axis {repeat} times")))?);
    }
    if value.batched {
        match counts[0] {
            1 => drop(counts.remove(0)),
            _ => value = r.unbatched(value)?,
        }
    }
    for (axis, count) in counts.into_iter().enumerate() {
        let length = r.shape(value)[axis];
        let size = length.checked_mul(count).filter(|&size| size <= MAX_VALUES);
        let Some(size) = size else {
            return Err(r.fail(format!(
                "it repeats an axis of length {length} {count} times"
            )));
        };
        if count > 1 {
            value = r.gather(value, axis, (0..size).map(|i| i % length))?;
        }
    }
    Ok(value)
}
