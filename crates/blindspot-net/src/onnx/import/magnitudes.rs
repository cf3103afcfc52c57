//! Magnitudes of constants that the file computes from others; see
//! [`ExactNetwork`](crate::ExactNetwork).
//!
//! An error of 8 unit roundoffs times the operands' magnitudes, and the operator's own rounding,
//! become an error of 8 unit roundoffs times the result's magnitude. For sums of products that is
//! the same operator on the magnitudes; for others it takes the operator's slope.

use std::rc::Rc;

use super::constant::{Array, Constant, Numbers};
use super::fold::{Also, run};
use super::operators::{OnConstants, Operator};
use super::reader::Reader;
use crate::exact::ExactNetwork;
use crate::graph::MAX_VALUES;
use crate::onnx::OnnxError;
use crate::onnx::proto::NodeProto;

/// Operators that give sums of products, and the one that gives them without signs.
const SUMS: [(&str, &str); 9] = [
    ("Add", "Add"),
    ("AveragePool", "AveragePool"),
    ("Conv", "Conv"),
    ("GlobalAveragePool", "GlobalAveragePool"),
    ("MatMul", "MatMul"),
    ("Mul", "Mul"),
    ("ReduceMean", "ReduceMean"),
    ("ReduceSum", "ReduceSum"),
    ("Sub", "Add"),
];

/// Functions of each number with slopes of at most about 1.
const GENTLE: [&str; 9] = [
    "Abs",
    "Clip",
    "Erf",
    "HardSigmoid",
    "Neg",
    "Relu",
    "Sigmoid",
    "Softplus",
    "Tanh",
];

/// Of each output of a node that computes with constants; `None` where it only moves numbers of the
/// file. Infinite, as [`f64::MAX`], where no bound is known.
pub(super) fn of_outputs(
    r: &Reader<'_>,
    outputs: &[Array],
) -> Result<Vec<Option<Vec<f64>>>, OnnxError> {
    let mut inputs = Vec::with_capacity(r.node.input.len());
    for position in 0..r.node.input.len() {
        inputs.push(r.constant(position)?);
    }
    let of_file = |constant: &Option<Rc<Constant>>| {
        constant
            .as_ref()
            .is_none_or(|constant| constant.magnitudes.is_none())
    };
    let operator = Operator::all().find(|operator| operator.name == r.node.op_type);
    let moves = operator.is_some_and(|o| matches!(o.on_constants, OnConstants::Arrange));
    if moves {
        if inputs.iter().all(of_file) {
            return Ok(vec![None; outputs.len()]);
        }
        let moved = run::<f64>(r, r.node, MAX_VALUES, Also::Joined, without_signs)?;
        return Ok(moved.into_iter().map(|(_, sizes)| Some(sizes)).collect());
    }
    let [(_, values)] = outputs else {
        return Ok(outputs.iter().map(|(_, values)| unknown(values)).collect());
    };
    let name = r.node.op_type.as_str();
    let first = r.magnitudes(0)?;
    let sum = SUMS.iter().find(|(own, _)| *own == name);
    let sizes: Option<Vec<f64>> = if let Some((_, op_type)) = sum {
        let node = NodeProto {
            op_type: (*op_type).to_owned(),
            ..r.node.clone()
        };
        let terms = match name {
            "Add" | "Sub" | "Mul" => 1,
            _ => first.len(),
        };
        let sizes = sizes_of(r, &node)?;
        let own = 1.0 + (terms + 1) as f64 / ExactNetwork::ROUNDINGS as f64;
        sizes.map(|sizes| sizes.into_iter().map(|size| own * size).collect())
    } else if GENTLE.contains(&name) {
        let pairs = values.iter().zip(&first);
        Some(
            pairs
                .map(|(value, size)| 2.0 * (1.0 + value.abs() + size))
                .collect(),
        )
    } else {
        let pairs = values.iter().zip(&first);
        match name {
            "Sqrt" => Some(pairs.map(|(root, size)| root + size / root).collect()),
            "Reciprocal" => Some(
                pairs
                    .map(|(x, size)| x.abs() + 2.0 * size * x * x)
                    .collect(),
            ),
            "Exp" => Some(pairs.map(|(x, size)| 2.0 * x * (1.0 + size)).collect()),
            // The first operand's relative error and the rounding; a divisor of the file has none.
            "Div" if inputs.get(1).is_some_and(of_file) => sizes_of(r, r.node)?
                .map(|sizes| sizes.into_iter().map(|size| 1.25 * size).collect()),
            _ => None,
        }
    };
    Ok(vec![match sizes {
        Some(sizes) if sizes.len() == values.len() => {
            let finite = |size: f64| if size < f64::MAX { size } else { f64::MAX };
            Some(sizes.into_iter().map(finite).collect())
        }
        _ => unknown(values),
    }])
}

fn unknown(values: &[f64]) -> Option<Vec<f64>> {
    Some(vec![f64::MAX; values.len()])
}

/// What a node gives for the magnitudes of its inputs, if it has one output.
fn sizes_of(r: &Reader<'_>, node: &NodeProto) -> Result<Option<Vec<f64>>, OnnxError> {
    let mut outputs = run::<f64>(r, node, MAX_VALUES, Also::All, without_signs)?;
    Ok(outputs.pop().map(|(_, sizes)| sizes))
}

/// A constant with its magnitudes for numbers.
fn without_signs(constant: &Rc<Constant>) -> Rc<Constant> {
    match &constant.numbers {
        Numbers::Real(_) => Rc::new(Constant::of_reals(
            constant.shape.clone(),
            constant.magnitudes(),
        )),
        Numbers::Int(_) => constant.clone(),
    }
}
