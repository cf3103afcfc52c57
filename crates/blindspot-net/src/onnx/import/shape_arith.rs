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
/// With the sign of the divisor.
pub(super) const MOD: IntOperator = IntOperator {
    apply: |a, b| {
        let rest = a.checked_rem(b)?;
        let other_sign = rest != 0 && (rest < 0) != (b < 0);
        Some(if other_sign { rest + b } else { rest })
    },
    neutral: None,
    commutes: false,
};
/// With the sign of the dividend.
pub(super) const REMAINDER: IntOperator = IntOperator {
    apply: i64::checked_rem,
    neutral: None,
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
    let inputs = [0, 1, 2].map(|position| r.required_constant(position));
    let [condition, a, b] = inputs;
    let (condition, a, b) = (condition?, a?, b?);
    let shapes = [&condition, &a, &b].map(|constant| &constant.shape[..]);
    let shape = broadcast(r, &shapes)?;
    let truth: Vec<bool> = match &condition.numbers {
        Numbers::Int(ints) => ints.iter().map(|&dim| dim != Dim::Known(0)).collect(),
        Numbers::Real(values) => values.iter().map(|value| value != 0.0).collect(),
    };
    let count: usize = shape.iter().product();
    // For each number of the result whether it is one of a, and where it stands in its list.
    let places = (0..count).map(|i| {
        if truth[place(&shape, shapes[0], i)] {
            (true, place(&shape, shapes[1], i))
        } else {
            (false, place(&shape, shapes[2], i))
        }
    });
    let numbers = match (a.ints(), b.ints()) {
        (Some(a), Some(b)) => {
            let chosen = places.map(|(first, place)| if first { a[place] } else { b[place] });
            Numbers::Int(chosen.collect())
        }
        _ => {
            let (_, reals) = r.reals(1)?.unwrap_or_default();
            let (_, others) = r.reals(2)?.unwrap_or_default();
            let computed = a.magnitudes.is_some() || b.magnitudes.is_some();
            let sizes = [r.magnitudes(1)?, r.magnitudes(2)?];
            let choose = |a: &[f64], b: &[f64]| {
                let places = places.clone();
                let chosen = places.map(|(first, place)| if first { a[place] } else { b[place] });
                chosen.collect::<Vec<f64>>()
            };
            let numbers = choose(&reals, &others);
            let magnitudes = computed.then(|| choose(&sizes[0], &sizes[1]));
            return Ok(Constant {
                magnitudes,
                ..Constant::of_reals(shape, numbers)
            });
        }
    };
    Ok(Constant::new(shape, numbers))
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
    let shape = broadcast(r, &[&a.shape, &b.shape])?;
    let count: usize = shape.iter().product();
    let numbers = (0..count).map(|i| {
        let (first, second) = (
            first[place(&shape, &a.shape, i)],
            second[place(&shape, &b.shape, i)],
        );
        function(first, second)
    });
    let numbers = Numbers::Int(numbers.collect::<Result<_, _>>()?);
    Ok(Constant::new(shape, numbers))
}

/// The shape to which constants are repeated, as in NumPy.
fn broadcast(r: &Reader<'_>, shapes: &[&[usize]]) -> Result<Vec<usize>, OnnxError> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut joined = vec![1; rank];
    for shape in shapes {
        let first = rank - shape.len();
        for (joined, &size) in joined[first..].iter_mut().zip(*shape) {
            *joined = match (*joined, size) {
                (1, n) | (n, 1) => n,
                (n, m) if n == m => n,
                _ => return Err(r.fail(format!("the shapes {shapes:?} don't fit"))),
            };
        }
    }
    let count = joined
        .iter()
        .try_fold(1usize, |n, &size| n.checked_mul(size));
    match count {
        Some(count) if count <= MAX_INTS => Ok(joined),
        _ => Err(r.fail(format!("it gives more than {MAX_INTS} numbers"))),
    }
}

/// Where the i-th number of a shape stands in an operand of shape `own` that is repeated to it.
fn place(shape: &[usize], own: &[usize], i: usize) -> usize {
    let (mut rest, mut place, mut stride) = (i, 0, 1);
    let first = shape.len() - own.len();
    for axis in (0..shape.len()).rev() {
        let n = axis.checked_sub(first).map_or(1, |axis| own[axis]);
        if n > 1 {
            place += rest % shape[axis] * stride;
        }
        stride *= n;
        rest /= shape[axis];
    }
    place
}
