//! Truth values: comparisons, what is made of them, and choices by them. In a network they are the
//! numbers 1 and 0.

use std::rc::Rc;

use super::elementwise::{pair, unary};
use super::{OnConstants, Operator};
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::constant::Constant;
use crate::onnx::import::reader::Reader;
use crate::onnx::import::{fold, shape_arith};
use crate::ops::{Binary, Op, Unary, Where};

pub(super) const OPERATORS: &[Operator] = &[
    // Of 1 and 0 the product, and the larger one.
    truth("And", |r| pair(r, Binary::Mul)),
    Operator::new("Equal", |r| pair(r, Binary::Equal))
        .on_constants(OnConstants::Function(equal_constants)),
    truth("Greater", |r| pair(r, Binary::Greater)),
    truth("GreaterOrEqual", |r| pair(r, Binary::GreaterOrEqual)),
    truth("IsInf", |r| {
        let negative = r.attr_bool("detect_negative", true);
        let positive = r.attr_bool("detect_positive", true);
        unary(r, Unary::IsInf { negative, positive })
    }),
    truth("IsNaN", |r| unary(r, Unary::IsNan)),
    truth("Less", |r| pair(r, Binary::Less)),
    truth("LessOrEqual", |r| pair(r, Binary::LessOrEqual)),
    truth("Not", |r| unary(r, Unary::Not)),
    truth("Or", |r| pair(r, Binary::Max)),
    Operator::new("Where", choose).on_constants(OnConstants::Function(shape_arith::choose)),
    truth("Xor", |r| {
        let equal = pair(r, Binary::Equal)?;
        r.unary(Unary::Not, equal)
    }),
];

/// An operator that gives truth values.
const fn truth(
    name: &'static str,
    import: fn(&mut Reader<'_>) -> Result<Value, OnnxError>,
) -> Operator {
    Operator::new(name, import).on_constants(OnConstants::Truth)
}

/// Equal, of which the batch's size may be an operand.
fn equal_constants(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    let (a, b) = (r.required_constant(0)?, r.required_constant(1)?);
    if a.ints().is_some() && b.ints().is_some() {
        shape_arith::equal(r)
    } else {
        fold::truth(r)
    }
}

/// Where: numbers of one or of the other operand.
fn choose(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut inputs = Vec::with_capacity(3);
    for position in 0..3 {
        inputs.push((position, finite(r.required(position)?)));
    }
    let (operands, batched) = r.broadcast(&inputs)?;
    r.push_node(Op::Where(Where), &operands, batched)
}

/// A constant with the largest numbers in place of infinite ones, as masks of attention have them:
/// weights are finite, and an exponential of either is 0.
pub(super) fn finite(binding: Binding) -> Binding {
    let reals = binding.constant().and_then(|constant| constant.reals());
    match reals {
        Some(reals) if reals.iter().any(|number| number.is_infinite()) => {
            let numbers = reals
                .iter()
                .map(|number| number.clamp(f32::MIN.into(), f32::MAX.into()));
            let numbers = numbers.collect();
            let shape = binding.constant().map_or(Vec::new(), |c| c.shape.clone());
            let magnitudes = binding.constant().and_then(|c| c.magnitudes.clone());
            let magnitudes = magnitudes.map(|sizes| {
                let sizes = sizes.into_iter();
                sizes.map(|size| size.min(f32::MAX.into())).collect()
            });
            Binding::Constant(Rc::new(Constant {
                magnitudes,
                ..Constant::of_reals(shape, numbers)
            }))
        }
        _ => binding,
    }
}
