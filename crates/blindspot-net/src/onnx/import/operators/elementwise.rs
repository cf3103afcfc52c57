//! Operators that work number by number.

use super::logic::finite;
use super::{OnConstants, Operator};
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::constant::Constant;
use crate::onnx::import::fold;
use crate::onnx::import::reader::Reader;
use crate::onnx::import::shape_arith::{self, IntOperator};
use crate::ops::{Binary, Dropout, Op, Unary, Where};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("Abs", |r| unary(r, Unary::Abs)).on_constants(OnConstants::Whole),
    Operator::new("Acos", |r| unary(r, Unary::Acos)),
    Operator::new("Acosh", |r| unary(r, Unary::Acosh)),
    Operator::new("Asin", |r| unary(r, Unary::Asin)),
    Operator::new("Asinh", |r| unary(r, Unary::Asinh)),
    Operator::new("Atan", |r| unary(r, Unary::Atan)),
    Operator::new("Atanh", |r| unary(r, Unary::Atanh)),
    Operator::new("Ceil", |r| unary(r, Unary::Ceil)),
    Operator::new("Celu", |r| {
        let alpha = positive(r, "alpha", 1.0)?;
        unary(r, Unary::Celu { alpha })
    }),
    Operator::new("Clip", clip).on_constants(OnConstants::Whole),
    Operator::new("Cos", |r| unary(r, Unary::Cos)),
    Operator::new("Cosh", |r| unary(r, Unary::Cosh)),
    Operator::new("Dropout", dropout),
    Operator::new("Elu", |r| {
        let alpha = r.attr_f64("alpha", 1.0);
        unary(r, Unary::Elu { alpha })
    }),
    Operator::new("Erf", |r| unary(r, Unary::Erf)),
    Operator::new("Exp", |r| unary(r, Unary::Exp)),
    Operator::new("Floor", |r| unary(r, Unary::Floor)),
    Operator::new("Gelu", |r| {
        let tanh = r.attr_str("approximate") == "tanh";
        unary(r, Unary::Gelu { tanh })
    }),
    Operator::new("HardSigmoid", |r| {
        let (alpha, beta) = (r.attr_f64("alpha", 0.2), r.attr_f64("beta", 0.5));
        unary(r, Unary::HardSigmoid { alpha, beta })
    }),
    Operator::new("HardSwish", |r| unary(r, Unary::HardSwish)),
    Operator::new("LeakyRelu", |r| {
        let alpha = r.attr_f64("alpha", 0.01);
        unary(r, Unary::LeakyRelu { alpha })
    }),
    Operator::new("Log", |r| unary(r, Unary::Log)),
    Operator::new("Mish", |r| unary(r, Unary::Mish)),
    Operator::new("Mod", modulo).on_constants(OnConstants::Function(modulo_of_constants)),
    Operator::new("Neg", |r| unary(r, Unary::Neg)).on_constants(OnConstants::Whole),
    Operator::new("Reciprocal", |r| unary(r, Unary::Reciprocal)),
    Operator::new("Relu", |r| unary(r, Unary::Relu)),
    Operator::new("Round", |r| {
        let straight_through = false;
        unary(r, Unary::Round { straight_through })
    }),
    Operator::new("Selu", |r| {
        // The constants of Klambauer et al. 2017, to all digits of a float.
        let (alpha, gamma) = (
            r.attr_f64("alpha", 1.673_263_2),
            r.attr_f64("gamma", 1.050_701),
        );
        unary(r, Unary::Selu { alpha, gamma })
    }),
    Operator::new("Shrink", |r| {
        let (lambda, bias) = (r.attr_f64("lambd", 0.5), r.attr_f64("bias", 0.0));
        unary(r, Unary::Shrink { lambda, bias })
    }),
    Operator::new("Sigmoid", |r| unary(r, Unary::Sigmoid)),
    Operator::new("Sign", |r| unary(r, Unary::Sign)).on_constants(OnConstants::Whole),
    Operator::new("Sin", |r| unary(r, Unary::Sin)),
    Operator::new("Sinh", |r| unary(r, Unary::Sinh)),
    Operator::new("Softplus", |r| unary(r, Unary::Softplus)),
    Operator::new("Softsign", |r| unary(r, Unary::Softsign)),
    Operator::new("Sqrt", |r| unary(r, Unary::Sqrt)),
    Operator::new("Swish", |r| {
        let alpha = r.attr_f64("alpha", 1.0);
        unary(r, Unary::Swish { alpha })
    }),
    Operator::new("Tan", |r| unary(r, Unary::Tan)),
    Operator::new("Tanh", |r| unary(r, Unary::Tanh)),
    Operator::new("ThresholdedRelu", |r| {
        let alpha = r.attr_f64("alpha", 1.0);
        unary(r, Unary::ThresholdedRelu { alpha })
    }),
    with_integers("Add", |r| pair(r, Binary::Add), &shape_arith::ADD),
    with_integers("Sub", |r| pair(r, Binary::Sub), &shape_arith::SUB),
    with_integers("Mul", |r| pair(r, Binary::Mul), &shape_arith::MUL),
    with_integers("Div", |r| pair(r, Binary::Div), &shape_arith::DIV),
    Operator::new("Pow", |r| pair(r, Binary::Pow)).on_constants(OnConstants::Whole),
    Operator::new("PRelu", |r| pair(r, Binary::PRelu)),
    with_integers("Min", |r| variadic(r, Binary::Min), &shape_arith::MIN),
    with_integers("Max", |r| variadic(r, Binary::Max), &shape_arith::MAX),
    with_integers("Sum", |r| variadic(r, Binary::Add), &shape_arith::ADD),
];

/// An operator that also computes with the integers of shapes.
const fn with_integers(
    name: &'static str,
    import: fn(&mut Reader<'_>) -> Result<Value, OnnxError>,
    integers: &'static IntOperator,
) -> Operator {
    Operator::new(name, import).on_constants(OnConstants::Integers(integers))
}

/// A function of each number.
pub(super) fn unary(r: &mut Reader<'_>, unary: Unary) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    r.unary(unary, value)
}

/// An attribute that must be a number above 0.
fn positive(r: &Reader<'_>, name: &str, default: f32) -> Result<f64, OnnxError> {
    match r.attr_f64(name, default) {
        number if number > 0.0 => Ok(number),
        number => Err(r.fail(format!("its {name} is {number}; it must be above 0"))),
    }
}

/// Mod of real numbers: C's fmod, or with the sign of the divisor.
fn modulo(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let rest = pair(r, Binary::Mod)?;
    if r.attr_bool("fmod", false) {
        return Ok(rest);
    }
    let signs = r.with_input(Binary::Mul, rest, 1)?;
    let differ = r.with_number(Binary::Less, signs, 0.0)?;
    let other = r.with_input(Binary::Add, rest, 1)?;
    let operands = [differ, other, rest].map(|value| Operand::Value(value.id));
    r.push_node(Op::Where(Where), &operands, rest.batched)
}

/// Mod of constants: of integers with the sign of the divisor, unless fmod is 1.
fn modulo_of_constants(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    match r.required_constant(0)?.reals() {
        None if r.attr_bool("fmod", false) => shape_arith::apply(r, &shape_arith::REMAINDER),
        None => shape_arith::apply(r, &shape_arith::MOD),
        Some(_) => fold::compute_one(r),
    }
}

/// Clip, whose ends are attributes before opset 11 and inputs since.
fn clip(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let end = |position: usize, name: &str, open: f32| match r.reals(position)? {
        Some((_, values)) => match values[..] {
            [end] => Ok(end),
            _ => Err(r.fail(format!("its {name} must be one number"))),
        },
        None => Ok(r.attr_f64(name, open)),
    };
    let min = end(1, "min", f32::NEG_INFINITY)?;
    let max = end(2, "max", f32::INFINITY)?;
    if min.is_nan() || max.is_nan() {
        return Err(r.fail("one of its ends is no number"));
    }
    // Where the ends are crossed, everything becomes the upper one.
    let min = min.min(max);
    unary(r, Unary::Clip { min, max })
}

/// Dropout does nothing to a network that is not being trained; its ratio is kept for training.
fn dropout(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let ratio = match r.finite(1)? {
        Some((_, values)) => values.first().copied().unwrap_or(0.5),
        None => r.attr_f64("ratio", 0.5),
    };
    let training = r.ints(2)?.is_some_and(|mode| mode.first() == Some(&1));
    if training && ratio != 0.0 {
        return Err(r.fail(
            "it is exported for training and drops units at random; export the model for inference",
        ));
    }
    if !(0.0..1.0).contains(&ratio) {
        return Err(r.fail(format!("its ratio is {ratio}, not in [0, 1)")));
    }
    r.apply(Op::Dropout(Dropout { ratio }), value)
}

/// An operator on two operands, with broadcasting.
pub(super) fn pair(r: &mut Reader<'_>, binary: Binary) -> Result<Value, OnnxError> {
    let mut inputs = [(0, r.required(0)?), (1, r.required(1)?)];
    if binary == Binary::Add {
        inputs = inputs.map(|(position, input)| (position, finite(input)));
    }
    let (operands, batched) = r.broadcast(&inputs)?;
    r.push_node(Op::Binary(binary), &operands, batched)
}

/// An operator on any number of operands, with broadcasting: pair after pair.
fn variadic(r: &mut Reader<'_>, binary: Binary) -> Result<Value, OnnxError> {
    let mut inputs = Vec::with_capacity(r.node.input.len());
    for position in 0..r.node.input.len() {
        inputs.push((position, r.required(position)?));
    }
    // Values first, so that no step is one of constants only.
    inputs.sort_by_key(|(_, input)| input.constant().is_some());
    let Some((_, Binding::Value(mut result))) = inputs.first().cloned() else {
        return Err(r.fail("it has no input"));
    };
    let first = inputs.remove(0).0;
    for next in inputs {
        let pair = [(first, Binding::Value(result)), next];
        let (operands, batched) = r.broadcast(&pair)?;
        result = r.push_node(Op::Binary(binary), &operands, batched)?;
    }
    Ok(result)
}
