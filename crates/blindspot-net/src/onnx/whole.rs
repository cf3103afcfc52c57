//! Arithmetic with whole numbers, among which the batch's size may be: what exporters leave of
//! their computations with shapes.

use super::OnnxError;
use super::constant::{Constant, MAX_WHOLE, Numbers, Size};
use super::fold::data;
use super::import::Import;
use super::node::fail;
use super::proto::NodeProto;

/// Add, Sub, Mul, Div, Min, Max and Sum.
pub(super) fn arithmetic(to: &Import<'_>, node: &NodeProto) -> Result<Constant, OnnxError> {
    let operation: fn(i64, i64) -> Option<i64> = match node.op_type.as_str() {
        "Add" | "Sum" => i64::checked_add,
        "Sub" => i64::checked_sub,
        "Mul" => i64::checked_mul,
        "Div" => i64::checked_div,
        "Min" => |a, b| Some(a.min(b)),
        "Max" => |a, b| Some(a.max(b)),
        _ => {
            let why = "it computes with whole numbers; supported with them are Add, Sub, Mul, Div, \
                       Min, Max, Equal, Where and what arranges them";
            return Err(fail(node, why));
        }
    };
    // What leaves the batch's size as it is.
    let neutral = match node.op_type.as_str() {
        "Add" | "Sub" | "Sum" => Some(0),
        "Mul" | "Div" => Some(1),
        _ => None,
    };
    let swaps = matches!(node.op_type.as_str(), "Add" | "Sum" | "Mul");
    let apply = |a: Size, b: Size| match (a, b) {
        (Size::Batch, Size::Known(number)) if Some(number) == neutral => Ok(Size::Batch),
        (Size::Known(number), Size::Batch) if swaps && Some(number) == neutral => Ok(Size::Batch),
        (a, b) => {
            let (a, b) = (to.known(node, a)?, to.known(node, b)?);
            let result = operation(a, b);
            let result = result.ok_or_else(|| fail(node, format!("{a} and {b} give no number")))?;
            Ok(Size::Known(result))
        }
    };
    let mut result = Constant::clone(&*data(to, node, 0)?);
    for position in 1..node.input.len() {
        let next = data(to, node, position)?;
        result = pairs(node, &result, &next, apply)?;
    }
    Ok(result)
}

/// Equal. The batch's size is no negative number, whatever it is.
pub(super) fn equal(to: &Import<'_>, node: &NodeProto) -> Result<Constant, OnnxError> {
    let (a, b) = (data(to, node, 0)?, data(to, node, 1)?);
    pairs(node, &a, &b, |a, b| {
        let equal = match (a, b) {
            (Size::Batch, Size::Batch) => true,
            (Size::Batch, Size::Known(..0)) | (Size::Known(..0), Size::Batch) => false,
            (a, b) => to.known(node, a)? == to.known(node, b)?,
        };
        Ok(Size::Known(i64::from(equal)))
    })
}

/// Where: numbers of one or of the other list.
pub(super) fn choose(to: &Import<'_>, node: &NodeProto) -> Result<Constant, OnnxError> {
    let condition = data(to, node, 0)?;
    let (a, b) = (data(to, node, 1)?, data(to, node, 2)?);
    // Numbers of both, side by side: shape is that of all three.
    let first = pairs(node, &a, &b, |a, _| Ok(a))?;
    let second = pairs(node, &a, &b, |_, b| Ok(b))?;
    let first = pairs(node, &first, &condition, |a, _| Ok(a))?;
    let second = pairs(node, &second, &condition, |b, _| Ok(b))?;
    let condition = pairs(node, &condition, &first, |condition, _| Ok(condition))?;
    let lists = [&condition, &first, &second].map(|list| list.whole().unwrap_or_default());
    let chosen = (lists[0].iter().zip(lists[1]).zip(lists[2]))
        .map(|((&condition, &a), &b)| if condition == Size::Known(0) { b } else { a });
    let numbers = Numbers::Whole(chosen.collect());
    let shape = first.shape.clone();
    Ok(Constant { shape, numbers })
}

/// Range: from a start to before a limit by a step.
pub(super) fn range(to: &Import<'_>, node: &NodeProto) -> Result<Constant, OnnxError> {
    let mut ends = [0i64; 3];
    for (position, end) in ends.iter_mut().enumerate() {
        let number = to.wholes(node, position)?.unwrap_or_default();
        let [number] = number[..] else {
            return Err(fail(
                node,
                "start, limit and delta must be one whole number each",
            ));
        };
        *end = number;
    }
    let [start, limit, delta] = ends.map(i128::from);
    let count = match delta {
        0 => return Err(fail(node, "its delta is 0")),
        1.. => (limit - start + delta - 1) / delta,
        _ => (start - limit - delta - 1) / -delta,
    };
    if count > MAX_WHOLE as i128 {
        return Err(fail(
            node,
            format!("it gives more than {MAX_WHOLE} numbers"),
        ));
    }
    let numbers = (0..count.max(0)).map(|i| Size::Known((start + i * delta) as i64));
    Ok(Constant::list(numbers.collect()))
}

/// A function of the numbers of two constants, broadcast as in NumPy.
fn pairs(
    node: &NodeProto,
    a: &Constant,
    b: &Constant,
    function: impl Fn(Size, Size) -> Result<Size, OnnxError>,
) -> Result<Constant, OnnxError> {
    let (Some(first), Some(second)) = (a.whole(), b.whole()) else {
        return Err(fail(node, "it is supported for whole numbers only"));
    };
    let rank = a.shape.len().max(b.shape.len());
    let size = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    let mut shape = Vec::with_capacity(rank);
    for axis in 0..rank {
        shape.push(match (size(&a.shape, axis), size(&b.shape, axis)) {
            (1, n) | (n, 1) => n,
            (n, m) if n == m => n,
            _ => {
                let why = format!("the shapes {:?} and {:?} don't fit", a.shape, b.shape);
                return Err(fail(node, why));
            }
        });
    }
    let count = shape
        .iter()
        .try_fold(1usize, |n, &size| n.checked_mul(size));
    let Some(count) = count.filter(|&count| count <= MAX_WHOLE) else {
        return Err(fail(
            node,
            format!("it gives more than {MAX_WHOLE} whole numbers"),
        ));
    };
    // Where the i-th number of the result stands in an operand.
    let place = |of: &[usize], i: usize| {
        let (mut rest, mut place, mut stride) = (i, 0, 1);
        for axis in (0..rank).rev() {
            let n = size(of, axis);
            if n > 1 {
                place += rest % shape[axis] * stride;
            }
            stride *= n;
            rest /= shape[axis];
        }
        place
    };
    let numbers =
        (0..count).map(|i| function(first[place(&a.shape, i)], second[place(&b.shape, i)]));
    let numbers = Numbers::Whole(numbers.collect::<Result<_, _>>()?);
    Ok(Constant { shape, numbers })
}
