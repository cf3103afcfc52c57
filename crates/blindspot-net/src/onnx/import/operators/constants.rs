//! Operators that make constants, or that work on constants mostly: types, shapes, and arithmetic
//! with them.

use super::{OnConstants, Operator, Outputs};
use crate::graph::MAX_VALUES;
use crate::onnx::OnnxError;
use crate::onnx::import::MAX_AXES;
use crate::onnx::import::builder::{Binding, Value, precision_of};
use crate::onnx::import::constant::{Constant, Dim, MAX_INTS, Numbers, is_real, is_whole};
use crate::onnx::import::external::ExternalFiles;
use crate::onnx::import::reader::Reader;
use crate::onnx::import::reals::Reals;
use crate::onnx::import::shape_arith;
use crate::onnx::proto::{
    BFLOAT16, BOOL, DOUBLE, FLOAT, FLOAT16, INT8, INT64, TensorProto, UINT8, UINT32, UINT64,
};
use crate::ops::{Op, Unary};
use crate::precision::Precision;

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Cast", cast).on_constants(OnConstants::Function(cast_constant)),
    Operator::with_outputs("CastLike", cast_like).on_constants(OnConstants::Import),
    Operator::of_constants("Constant", constant),
    Operator::of_constants("ConstantOfShape", constant_of_shape),
    Operator::with_outputs("Identity", identity).on_constants(OnConstants::Import),
    Operator::of_constants("OneHot", one_hot),
    Operator::of_constants("Range", shape_arith::range),
    Operator::with_outputs("Shape", shape).on_constants(OnConstants::Import),
    Operator::with_outputs("Size", size).on_constants(OnConstants::Import),
];

/// Another name for the same value or constant.
fn identity(r: &mut Reader<'_>) -> Outputs {
    Ok(vec![r.required(0)?])
}

/// The shape, in which the batch's size is open: all of it, or from `start` to before `end`.
fn shape(r: &mut Reader<'_>) -> Outputs {
    let shape = r.file_shape(&r.required(0)?);
    let rank = shape.len() as i64;
    let clamped = |position: i64| match position {
        ..0 => position.saturating_add(rank).max(0),
        _ => position.min(rank),
    };
    let start = clamped(r.attr_i64("start", 0));
    let end = clamped(r.attr_i64("end", rank)).max(start);
    let part = shape[start as usize..end as usize].to_vec();
    Ok(vec![Binding::Constant(Constant::list(part).into())])
}

/// The number of numbers, which must be known.
fn size(r: &mut Reader<'_>) -> Outputs {
    let shape = r.file_shape(&r.required(0)?);
    let sizes = shape.into_iter().map(|dim| r.known(dim));
    let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
    let count = sizes.iter().try_fold(1i64, |n, &size| n.checked_mul(size));
    let count = count.ok_or_else(|| r.fail("it counts more numbers than there are"))?;
    let numbers = Numbers::Int(vec![Dim::Known(count)]);
    let shape = Vec::new();
    Ok(vec![Binding::Constant(
        Constant::new(shape, numbers).into(),
    )])
}

/// A value in another type of floats is a copy of it in that format: networks compute in one type, and
/// note beside each value what the file keeps it in. One of whole numbers in a type of integers is the
/// same value.
fn cast(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let (value, target) = (r.value(0)?, r.attr_i64("to", 0) as i32);
    if is_real(target) {
        return copy_in(r, value, precision_of(target));
    }
    // An image of whole numbers from 0 to 255 fits in all types of them but one.
    if r.builder.is_whole(value) && is_whole(target) && target != INT8 {
        return Ok(value);
    }
    let (whole, truth) = match r.builder.op(value) {
        Some(Op::Unary(Unary::Not | Unary::IsNan | Unary::IsInf { .. })) => (true, true),
        Some(Op::Unary(Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round { .. })) => {
            (true, false)
        }
        Some(Op::Binary(op)) if op.is_comparison() => (true, true),
        _ => (false, false),
    };
    match target {
        BOOL if truth => Ok(value),
        BOOL => {
            let zero = r.unary(Unary::Not, value)?;
            r.unary(Unary::Not, zero)
        }
        _ if whole => Ok(value),
        _ => Err(r.fail(
            "it makes integers of a value that depends on the image, which have no gradient",
        )),
    }
}

/// The numbers of a value kept in a format, no longer as whole ones.
fn copy_in(r: &mut Reader<'_>, value: Value, precision: Precision) -> Result<Value, OnnxError> {
    if r.builder.precision(value) == precision && !r.builder.is_whole(value) {
        return Ok(value);
    }
    let copy = r.reshape_node(value, r.shape(value).to_vec(), value.batched)?;
    r.builder.set_precision(copy, precision);
    Ok(copy)
}

/// Cast to the type of the second input.
fn cast_like(r: &mut Reader<'_>) -> Outputs {
    let (data, like) = (r.required(0)?, r.required(1)?);
    let ints = |binding: &Binding| binding.constant().is_some_and(|c| c.ints().is_some());
    if let (Binding::Value(value), false) = (&data, ints(&like)) {
        let precision = match &like {
            Binding::Value(like) => r.builder.precision(*like),
            Binding::Constant(_) => {
                precision_of(r.builder.type_of(r.input_name(1)).unwrap_or(FLOAT))
            }
        };
        return Ok(vec![Binding::Value(copy_in(r, *value, precision)?)]);
    }
    Ok(vec![match (&data, ints(&data), ints(&like)) {
        (_, true, true) | (_, false, false) => data,
        (Binding::Constant(constant), true, false) => {
            let numbers = r.reals(0)?.unwrap_or_default().1;
            let shape = constant.shape.clone();
            Binding::Constant(Constant::of_reals(shape, numbers).into())
        }
        _ => return Err(r.fail("it makes integers of real numbers")),
    }])
}

/// Integers to real numbers and back, and real numbers rounded to another type; types of integers are
/// not told apart.
fn cast_constant(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    let data = r.required_constant(0)?;
    r.check_room(2 * data.numbers.len())?;
    let target = r.attr_i64("to", 0) as i32;
    let numbers = match (&data.numbers, target) {
        (Numbers::Int(dims), BOOL) => {
            let truth = |&dim| Ok(Dim::Known(i64::from(r.known(dim)? != 0)));
            Numbers::Int(dims.iter().map(truth).collect::<Result<_, OnnxError>>()?)
        }
        (Numbers::Real(values), BOOL) => {
            let truth = |value| Dim::Known(i64::from(value != 0.0));
            Numbers::Int(values.iter().map(truth).collect())
        }
        (Numbers::Int(dims), target) if is_real(target) => {
            let real = |&dim| Ok(r.known(dim)? as f64);
            let reals = dims.iter().map(real).collect::<Result<_, OnnxError>>()?;
            Numbers::Real(Reals::Double(reals))
        }
        (Numbers::Real(values), target) if is_real(target) => {
            let rounded = |value: f64| match target {
                DOUBLE => value,
                FLOAT16 => f64::from(Precision::Half.round(value as f32)),
                BFLOAT16 => f64::from(Precision::Brain.round(value as f32)),
                _ => f64::from(value as f32),
            };
            Numbers::Real(Reals::Double(values.iter().map(rounded).collect()))
        }
        (Numbers::Int(dims), INT8..=INT64 | UINT8 | UINT32 | UINT64) => Numbers::Int(dims.clone()),
        (Numbers::Real(values), INT8..=INT64 | UINT8 | UINT32 | UINT64) => {
            if values.len() > MAX_INTS {
                return Err(r.fail(format!("it makes more than {MAX_INTS} integers")));
            }
            // Towards 0.
            let ints = values.iter().map(|value| Dim::Known(value as i64));
            Numbers::Int(ints.collect())
        }
        (_, other) => return Err(r.fail(format!("it casts to ONNX's type {other}"))),
    };
    let mut constant = Constant::new(data.shape.clone(), numbers);
    if constant.reals().is_some() {
        constant.magnitudes.clone_from(&data.magnitudes);
    }
    Ok(constant)
}

/// Constant, in each of its forms but texts and sparse tensors.
fn constant(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    let ints = |numbers: &[i64]| {
        let dims = numbers.iter().copied().map(Dim::Known).collect();
        Numbers::Int(dims)
    };
    let (shape, numbers) = if let Some(tensor) = r.attr_tensor("value") {
        return of_node(r, tensor);
    } else if let Some(value) = r.attr("value_float") {
        (vec![], Numbers::Real(Reals::Single(vec![value.f])))
    } else if let Some(value) = r.attr("value_floats") {
        let numbers = Numbers::Real(Reals::Single(value.floats.clone()));
        (vec![value.floats.len()], numbers)
    } else if let Some(value) = r.attr("value_int") {
        (vec![], ints(&[value.i]))
    } else if let Some(value) = r.attr("value_ints") {
        (vec![value.ints.len()], ints(&value.ints))
    } else {
        return Err(r.fail("its value is neither a tensor nor numbers"));
    };
    if numbers.len() > MAX_INTS {
        return Err(r.fail(format!("it has more than {MAX_INTS} numbers")));
    }
    Ok(Constant::new(shape, numbers))
}

/// A tensor that a node keeps in itself.
fn of_node(r: &Reader<'_>, tensor: &TensorProto) -> Result<Constant, OnnxError> {
    let mut account = r.builder.account().clone();
    Constant::read(tensor.clone(), &mut ExternalFiles::of(None), &mut account)
}

/// OneHot: a new axis on which one position has the second of two numbers, the others the first.
fn one_hot(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    let shape = r.required_constant(0)?.shape.clone();
    let (_, places) = r.reals(0)?.unwrap_or_default();
    let depth = match r.reals(1)?.unwrap_or_default().1[..] {
        [depth] if (1.0..=MAX_INTS as f64).contains(&depth) => depth as usize,
        _ => return Err(r.fail(format!("its depth must be a number up to {MAX_INTS}"))),
    };
    let axis = r.position(r.attr_i64("axis", -1), shape.len() + 1)?;
    let after: usize = shape[axis..].iter().product();
    let count = places.len().saturating_mul(depth);
    if count > MAX_INTS {
        return Err(r.fail(format!("it gives more than {MAX_INTS} numbers")));
    }
    // Places below 0 count from the end; those beyond the axis stand nowhere.
    let is_hot = |i: usize| {
        let (row, position) = (i / (after * depth), i / after % depth);
        let place = places[row * after + i % after];
        let from_end = if place < 0.0 { depth as f64 } else { 0.0 };
        usize::from(place + from_end == position as f64)
    };
    let mut wide = shape;
    wide.insert(axis, depth);
    let values = r.required_constant(2)?;
    match (values.ints(), &r.reals(2)?.unwrap_or_default().1[..]) {
        (Some(&[off, on]), _) => {
            let numbers = (0..count).map(|i| [off, on][is_hot(i)]);
            Ok(Constant::new(wide, Numbers::Int(numbers.collect())))
        }
        (None, &[off, on]) => {
            let numbers = (0..count).map(|i| [off, on][is_hot(i)]);
            Ok(Constant::of_reals(wide, numbers.collect()))
        }
        _ => Err(r.fail("its values must be two numbers")),
    }
}

/// One number everywhere. An axis of the batch's length becomes one of length 1, which is repeated
/// for each image.
fn constant_of_shape(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    let value = match r.attr_tensor("value") {
        Some(tensor) => of_node(r, tensor)?.numbers,
        None => Numbers::Real(Reals::Single(vec![0.0])),
    };
    r.required_constant(0)?;
    let sizes = r.dims(0)?.unwrap_or_default();
    let shape = sizes.iter().map(|&size| match size {
        Dim::Known(size) => usize::try_from(size).ok(),
        Dim::Batch => Some(1),
    });
    let shape: Option<Vec<usize>> = shape.collect();
    let most = match value {
        Numbers::Real(_) => MAX_VALUES,
        Numbers::Int(_) => MAX_INTS,
    };
    let count = |shape: &Vec<usize>| {
        let count = shape
            .iter()
            .try_fold(1usize, |n, &size| n.checked_mul(size));
        count.filter(|&count| count <= most && shape.len() <= MAX_AXES)
    };
    let Some((count, shape)) = shape.and_then(|shape| Some((count(&shape)?, shape))) else {
        return Err(r.fail(format!("it asks for a tensor of shape {sizes:?}")));
    };
    let numbers = match value {
        Numbers::Real(value) if value.len() == 1 => {
            Numbers::Real(Reals::Same(value.cast()[0], count))
        }
        Numbers::Int(value) if value.len() == 1 => Numbers::Int(vec![value[0]; count]),
        _ => return Err(r.fail("its value must be one number")),
    };
    Ok(Constant::new(shape, numbers))
}
