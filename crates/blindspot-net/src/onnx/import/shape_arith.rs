//! Arithmetic with integers, among which the batch's size may be: what exporters leave of their
//! computations with shapes.

use super::constant::{Constant, Dim, MAX_INTS, Numbers};
use super::reader::Reader;
use crate::onnx::OnnxError;

/// An operator that makes one integer of two.
pub(super) struct IntOperator {
    /// Its result, if there is one.
    apply: fn(i64, i64) -> Option<i64>,
    /// The second operand that leaves the first one, the batch's size included, as it is.
    neutral: Option<i64>,
    /// Whether the operands may swap.
    commutes: bool,
}

pub(super) const ADD: IntOperator = IntOperator {
    apply: i64::checked_add,
    neutral: Some(0),
    commutes: true,
};
pub(super) const SUB: IntOperator = IntOperator {
    apply: i64::checked_sub,
    neutral: Some(0),
    commutes: false,
};
pub(super) const MUL: IntOperator = IntOperator {
    apply: i64::checked_mul,
    neutral: Some(1),
    commutes: true,
};
pub(super) const DIV: IntOperator = IntOperator {
    apply: i64::checked_div,
    neutral: Some(1),
    commutes: false,
};
pub(super) const MIN: IntOperator = IntOperator {
    apply: |a, b| Some(a.min(b)),
    neutral: None,
    commutes: true,
};
pub(super) const MAX: IntOperator = IntOperator {
    apply: |a, b| Some(a.max(b)),
    neutral: None,
    commutes: true,
};

/// A node of constant integers: its operator on the first two, on that and the third, and so on.
pub(super) fn apply(r: &Reader<'_>, operator: &IntOperator) -> Result<Constant, OnnxError> {
    let pair = |a: Dim, b: Dim| match (a, b) {
        (Dim::Batch, Dim::Known(number)) if Some(number) == operator.neutral => Ok(Dim::Batch),
        (Dim::Known(number), Dim::Batch)
            if operator.commutes && Some(number) == operator.neutral =>
        {
            Ok(Dim::Batch)
        }
        (a, b) => {
            let (a, b) = (r.known(a)?, r.known(b)?);
            let result = (operator.apply)(a, b);
            let result = result.ok_or_else(|| r.fail(format!("{a} and {b} give no number")))?;
            Ok(Dim::Known(result))
        }
    };
    let mut result = Constant::clone(&*r.required_constant(0)?);
    for position in 1..r.node.input.len() {
        let next = r.required_constant(position)?;
        result = pairs(r, &result, &next, pair)?;
    }
    Ok(result)
}

/// Equal. The batch's size is no negative number, whatever it is.
pub(super) fn equal(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    let (a, b) = (r.required_constant(0)?, r.required_constant(1)?);
    pairs(r, &a, &b, |a, b| {
        let equal = match (a, b) {
            (Dim::Batch, Dim::Batch) => true,
            (Dim::Batch, Dim::Known(..0)) | (Dim::Known(..0), Dim::Batch) => false,
            (a, b) => r.known(a)? == r.known(b)?,
        };
        Ok(Dim::Known(i64::from(equal)))
    })
}

/// Where: numbers of one or of the other list.
pub(super) fn choose(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    let condition = r.required_constant(0)?;
    let (a, b) = (r.required_constant(1)?, r.required_constant(2)?);
    // Numbers of both, side by side, in the shape of all three.
    let first = pairs(r, &a, &b, |a, _| Ok(a))?;
    let second = pairs(r, &a, &b, |_, b| Ok(b))?;
    let first = pairs(r, &first, &condition, |a, _| Ok(a))?;
    let second = pairs(r, &second, &condition, |b, _| Ok(b))?;
    let condition = pairs(r, &condition, &first, |condition, _| Ok(condition))?;
    let lists = [&condition, &first, &second].map(|list| list.ints().unwrap_or_default());
    let chosen = (lists[0].iter().zip(lists[1]).zip(lists[2]))
        .map(|((&condition, &a), &b)| if condition == Dim::Known(0) { b } else { a });
    let numbers = Numbers::Int(chosen.collect());
    let shape = first.shape.clone();
    Ok(Constant { shape, numbers })
}

/// Range: from a start to before a limit by a step.
pub(super) fn range(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    let mut ends = [0i64; 3];
    for (position, end) in ends.iter_mut().enumerate() {
        let number = r.ints(position)?.unwrap_or_default();
        let [number] = number[..] else {
            return Err(r.fail("start, limit and delta must be one integer each"));
        };
        *end = number;
    }
    let [start, limit, delta] = ends.map(i128::from);
    let count = match delta {
        0 => return Err(r.fail("its delta is 0")),
        1.. => (limit - start + delta - 1) / delta,
        _ => (start - limit - delta - 1) / -delta,
    };
    if count > MAX_INTS as i128 {
        return Err(r.fail(format!("it gives more than {MAX_INTS} numbers")));
    }
    let numbers = (0..count.max(0)).map(|i| Dim::Known((start + i * delta) as i64));
    Ok(Constant::list(numbers.collect()))
}

/// A function of the numbers of two constants, broadcast as in NumPy.
fn pairs(
    r: &Reader<'_>,
    a: &Constant,
    b: &Constant,
    function: impl Fn(Dim, Dim) -> Result<Dim, OnnxError>,
) -> Result<Constant, OnnxError> {
    let (Some(first), Some(second)) = (a.ints(), b.ints()) else {
        return Err(r.fail("it is supported for integers only"));
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
                return Err(r.fail(why));
            }
        });
    }
    let count = shape
        .iter()
        .try_fold(1usize, |n, &size| n.checked_mul(size));
    let Some(count) = count.filter(|&count| count <= MAX_INTS) else {
        return Err(r.fail(format!("it gives more than {MAX_INTS} integers")));
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
    let numbers = Numbers::Int(numbers.collect::<Result<_, _>>()?);
    Ok(Constant { shape, numbers })
}
