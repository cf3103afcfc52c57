//! The same numbers in another arrangement: other shapes, other orders, repeated.

use super::super::OnnxError;
use super::super::constant::Size;
use super::super::import::{Batch, Import, Value, position};
use super::super::node::{fail, integer, integers};
use super::super::proto::NodeProto;
use super::axes;
use crate::graph::{MAX_VALUES, Operand};
use crate::ops::{Gather, Op, Reshape, Transpose};

/// The most axes of a shape that a file asks for.
const MAX_AXES: usize = 64;

/// Reshape.
pub(super) fn reshape(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let value = to.value(node, 0)?;
    let wanted = wanted(to, node)?;
    let old = to.sizes_of(value);
    let wrong = || {
        let why = format!(
            "a value of shape {} can't take the shape {}: the images of a batch must stay apart",
            words(&old),
            words(&wanted)
        );
        fail(node, why)
    };
    // 0 stands for the size that was there.
    let keep_zero = integer(node, "allowzero", 0) != 0;
    let mut sizes = Vec::with_capacity(wanted.len());
    for (axis, &size) in wanted.iter().enumerate() {
        sizes.push(match size {
            Size::Known(0) if !keep_zero => *old.get(axis).ok_or_else(wrong)?,
            size => size,
        });
    }
    let count = to.shape(value).iter().product::<usize>();
    // With the batch's axis in front.
    if let (Some((&first, rest)), true) = (sizes.split_first(), value.batched)
        && let Some(shape) = complete(rest, count)
    {
        let batch = match (first, to.batch) {
            (Size::Batch | Size::Known(-1 | 1), _) => true,
            (Size::Known(size), Batch::Fixed(batch)) => size == batch,
            _ => false,
        };
        if batch {
            let op = Op::Reshape(Reshape { shape });
            return to.emit(node, op, &[Operand::Value(value.id)], true);
        }
    }
    // Without, where there is one image.
    if to.batch != Batch::One {
        return Err(wrong());
    }
    let sizes: Vec<Size> = sizes
        .into_iter()
        .map(|size| {
            if size == Size::Batch {
                Size::Known(1)
            } else {
                size
            }
        })
        .collect();
    let shape = complete(&sizes, count).ok_or_else(wrong)?;
    let op = Op::Reshape(Reshape { shape });
    to.emit(node, op, &[Operand::Value(value.id)], false)
}

/// The shape of `count` numbers that has these sizes, of which one may be -1 for what is left.
fn complete(sizes: &[Size], count: usize) -> Option<Vec<usize>> {
    let mut known = 1usize;
    let mut open = 0;
    for size in sizes {
        match *size {
            Size::Known(-1) => open += 1,
            Size::Known(size) => known = known.checked_mul(usize::try_from(size).ok()?)?,
            Size::Batch => return None,
        }
    }
    let rest = match open {
        0 if known == count => 1,
        1 if known > 0 && count.is_multiple_of(known) => count / known,
        _ => return None,
    };
    let shape = sizes.iter().map(|size| match *size {
        Size::Known(-1) | Size::Batch => rest,
        Size::Known(size) => size as usize,
    });
    Some(shape.collect())
}

/// The shape that a node's second input asks for.
fn wanted(to: &Import<'_>, node: &NodeProto) -> Result<Vec<Size>, OnnxError> {
    let sizes = to.sizes(node, 1)?;
    sizes
        .filter(|sizes| sizes.len() <= MAX_AXES)
        .ok_or_else(|| {
            let why = format!("it needs a constant shape of at most {MAX_AXES} axes");
            fail(node, why)
        })
}

/// A shape for a message.
fn words(sizes: &[Size]) -> String {
    let words = sizes.iter().map(|size| match size {
        Size::Known(size) => size.to_string(),
        Size::Batch => "batch".to_owned(),
    });
    format!("[{}]", words.collect::<Vec<_>>().join(", "))
}

/// Flatten: the axes before one, and those from it on, become one each.
pub(super) fn flatten(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let mut value = to.value(node, 0)?;
    let rank = to.sizes_of(value).len();
    let axis = match integer(node, "axis", 1) {
        axis if axis == rank as i64 => rank,
        axis => position(node, axis, rank)?,
    };
    if value.batched {
        // All of an image in a row, where the axis stands before all its axes but those of length 1.
        let shape = to.shape(value);
        let before = axis.saturating_sub(1);
        let apart = shape[..before].iter().all(|&n| n == 1);
        if apart && (axis > 0 || to.batch == Batch::One) {
            let op = Op::Reshape(Reshape {
                shape: vec![shape.iter().product()],
            });
            return to.emit(node, op, &[Operand::Value(value.id)], true);
        }
        value = to.unbatched(node, value)?;
    }
    let (before, after) = to.shape(value).split_at(axis);
    let shape = vec![before.iter().product(), after.iter().product()];
    let op = Op::Reshape(Reshape { shape });
    to.emit(node, op, &[Operand::Value(value.id)], false)
}

/// Squeeze: axes of length 1 go; without axes all of them do.
pub(super) fn squeeze(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let value = to.value(node, 0)?;
    let mut shape: Vec<Option<usize>> = to.shape(value).iter().copied().map(Some).collect();
    let mut batched = value.batched;
    match axes(to, node, 1)? {
        None => {
            batched &= to.batch != Batch::One;
            shape.retain(|&n| n != Some(1));
        }
        Some(axes) => {
            for axis in axes {
                match to.axis(node, value, axis)? {
                    None if to.batch == Batch::One => batched = false,
                    None => {
                        return Err(fail(
                            node,
                            "it removes the batch's axis; export the model with a batch of 1",
                        ));
                    }
                    Some(axis) if shape[axis].is_none_or(|n| n == 1) => shape[axis] = None,
                    Some(axis) => {
                        let why = format!("axis {axis} of {shape:?} is not 1");
                        return Err(fail(node, why));
                    }
                }
            }
        }
    }
    let op = Op::Reshape(Reshape {
        shape: shape.into_iter().flatten().collect(),
    });
    to.emit(node, op, &[Operand::Value(value.id)], batched)
}

/// Unsqueeze: new axes of length 1.
pub(super) fn unsqueeze(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let mut value = to.value(node, 0)?;
    let axes = axes(to, node, 1)?.filter(|axes| axes.len() <= MAX_AXES);
    let axes = axes.ok_or_else(|| fail(node, format!("it needs at most {MAX_AXES} axes")))?;
    let rank = to.sizes_of(value).len() + axes.len();
    let mut new = vec![false; rank];
    for axis in axes {
        let axis = position(node, axis, rank)?;
        if std::mem::replace(&mut new[axis], true) {
            return Err(fail(node, format!("it names the axis {axis} twice")));
        }
    }
    if new.first() == Some(&true) {
        value = to.unbatched(node, value)?;
    }
    let mut old = to.shape(value).iter();
    let sizes = new.iter().skip(usize::from(value.batched));
    let shape = sizes
        .map(|&new| if new { 1 } else { *old.next().unwrap_or(&1) })
        .collect();
    let op = Op::Reshape(Reshape { shape });
    to.emit(node, op, &[Operand::Value(value.id)], value.batched)
}

/// Transpose.
pub(super) fn transpose(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let mut value = to.value(node, 0)?;
    let rank = to.sizes_of(value).len();
    let order = match integers(node, "perm") {
        Some(order) if order.len() != rank => {
            let why = format!("its perm is {order:?}, but its input has {rank} axes");
            return Err(fail(node, why));
        }
        Some(order) => order
            .iter()
            .map(|&axis| position(node, axis, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut permutation = order;
    if value.batched {
        if permutation[0] == 0 {
            permutation.remove(0);
            for axis in &mut permutation {
                *axis = axis.saturating_sub(1);
            }
        } else {
            value = to.unbatched(node, value)?;
        }
    }
    let op = Op::Transpose(Transpose { permutation });
    to.emit(node, op, &[Operand::Value(value.id)], value.batched)
}

/// Expand: axes of length 1 are repeated, new ones come before.
pub(super) fn expand(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let mut value = to.value(node, 0)?;
    let mut sizes = wanted(to, node)?;
    let rank = to.sizes_of(value).len();
    if value.batched && sizes.len() > rank {
        value = to.unbatched(node, value)?;
    }
    if value.batched && sizes.len() == rank {
        // The batch keeps its size.
        match (sizes.remove(0), to.batch) {
            (Size::Batch | Size::Known(1), _) => {}
            (Size::Known(size), Batch::Fixed(batch)) if size == batch => {}
            (first, _) => {
                value = to.unbatched(node, value)?;
                sizes.insert(0, first);
            }
        }
    }
    let target = sizes
        .into_iter()
        .map(|size| match size {
            Size::Batch => Ok(1),
            Size::Known(size) => usize::try_from(size)
                .ok()
                .filter(|&size| size <= MAX_VALUES)
                .ok_or_else(|| fail(node, format!("it asks for an axis of length {size}"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let new = target.len().saturating_sub(to.shape(value).len());
    if new > 0 {
        let ones = std::iter::repeat_n(1, new);
        let shape = ones.chain(to.shape(value).iter().copied()).collect();
        value = to.reshape(node, value, shape, value.batched)?;
    }
    let first = to.shape(value).len() - target.len();
    for (axis, &size) in target.iter().enumerate() {
        let axis = first + axis;
        match (to.shape(value)[axis], size) {
            (_, 1) => {}
            (length, size) if length == size => {}
            (1, size) => {
                let op = Op::Gather(Gather {
                    axis,
                    positions: vec![0; size],
                });
                value = to.emit(node, op, &[Operand::Value(value.id)], value.batched)?;
            }
            (length, size) => {
                let why = format!("an axis of length {length} can't be repeated to {size}");
                return Err(fail(node, why));
            }
        }
    }
    Ok(value)
}
