//! What each of ONNX's operators is in a network.

use super::OnnxError;
use super::constant::Constant;
use super::proto::{AttributeProto, NodeProto};
use super::read::{Import, fail, name_of};
use crate::graph::Operand;
use crate::ops::{Binary, Gemm, Op, Reshape, Softmax, Unary};

/// The operators that are read.
pub const OPERATORS: [&str; 13] = [
    "Add",
    "Constant",
    "Dropout",
    "Flatten",
    "Gemm",
    "Identity",
    "MatMul",
    "Relu",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Squeeze",
    "Unsqueeze",
];

/// Adds a node of the file to the network.
pub(super) fn import(to: &mut Import, node: &NodeProto) -> Result<(), OnnxError> {
    let own = matches!(node.domain.as_str(), "" | "ai.onnx");
    match node.op_type.as_str() {
        _ if !own => Err(unsupported(
            node,
            format!("{}.{}", node.domain, node.op_type),
        )),
        "Constant" => constant(to, node),
        // Dropout does nothing to a network that is not being trained.
        "Identity" | "Dropout" => to.alias(node),
        "Gemm" => gemm(to, node),
        "MatMul" => {
            let operands = operands(to, node, 2..=2)?;
            match operands[..] {
                [Operand::Value(_), Operand::Weight(_)] => {
                    to.node(node, Op::Gemm(Gemm { trans_b: false }), &operands)
                }
                _ => Err(fail(
                    node,
                    "only the product of a value and a constant is supported".into(),
                )),
            }
        }
        "Add" => {
            let mut operands = operands(to, node, 2..=2)?;
            if matches!(operands[0], Operand::Weight(_)) {
                operands.swap(0, 1);
            }
            to.node(node, Op::Binary(Binary::Add), &operands)
        }
        "Sigmoid" => simple(to, node, Op::Unary(Unary::Sigmoid)),
        "Relu" => simple(to, node, Op::Unary(Unary::Relu)),
        "Softmax" => {
            let operands = operands(to, node, 1..=1)?;
            let axes = to.shape(operands[0]).map_or(0, <[usize]>::len) as i64;
            // 1 was the default before opset 13, where all axes after it counted as one.
            match integer(node, "axis", axes) {
                -1 => {}
                axis if axis == axes => {}
                axis => return Err(fail(node, format!("its axis is {axis}, not the last one"))),
            }
            let axis = (axes as usize).saturating_sub(1);
            to.node(node, Op::Softmax(Softmax { axis, log: false }), &operands)
        }
        "Flatten" => {
            let operands = operands(to, node, 1..=1)?;
            let shape = to.shape(operands[0]).unwrap_or_default().to_vec();
            match integer(node, "axis", 1) {
                1 => {}
                axis => return Err(fail(node, format!("its axis is {axis}, not 1"))),
            }
            let shape = vec![shape.iter().product()];
            to.node(node, Op::Reshape(Reshape { shape }), &operands)
        }
        "Reshape" => {
            let operands = operands(to, node, 2..=2)?;
            let shape = reshaped(to, node, operands[0])?;
            to.node(node, Op::Reshape(Reshape { shape }), &operands[..1])
        }
        "Squeeze" | "Unsqueeze" => {
            let operands = operands(to, node, 1..=2)?;
            let shape = squeezed(to, node, operands[0])?;
            to.node(node, Op::Reshape(Reshape { shape }), &operands[..1])
        }
        operator => Err(unsupported(node, operator.to_owned())),
    }
}

fn unsupported(node: &NodeProto, operator: String) -> OnnxError {
    OnnxError::Operator {
        node: name_of(node).to_owned(),
        operator,
    }
}

/// An operator that takes one value and has no attributes.
fn simple(to: &mut Import, node: &NodeProto, op: Op) -> Result<(), OnnxError> {
    let operands = operands(to, node, 1..=1)?;
    to.node(node, op, &operands)
}

/// The operands of a node; the first is a value. Whole numbers (shapes) are left to
/// [`whole_input`]: the value stands in their place.
fn operands(
    to: &mut Import,
    node: &NodeProto,
    count: std::ops::RangeInclusive<usize>,
) -> Result<Vec<Operand>, OnnxError> {
    // Operands that are left out at the end have empty names.
    let given = node
        .input
        .iter()
        .rposition(|name| !name.is_empty())
        .map_or(0, |last| last + 1);
    if !count.contains(&given) || node.output.is_empty() {
        return Err(fail(
            node,
            format!("it has {given} inputs and {} outputs", node.output.len()),
        ));
    }
    let mut operands = Vec::with_capacity(given);
    for name in &node.input[..given] {
        let whole = to
            .constant(name)
            .is_some_and(|constant| constant.whole().is_some());
        match operands.first() {
            Some(&first) if whole => operands.push(first),
            _ => operands.push(to.operand(node, name)?),
        }
    }
    if !operands
        .iter()
        .any(|operand| matches!(operand, Operand::Value(_)))
    {
        return Err(fail(
            node,
            "it computes with constants only; simplify the model".into(),
        ));
    }
    Ok(operands)
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name == name)
}

fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |attribute| attribute.i)
}

fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).map_or(default, |attribute| attribute.f)
}

fn constant(to: &mut Import, node: &NodeProto) -> Result<(), OnnxError> {
    let tensor = attribute(node, "value").and_then(|attribute| attribute.t.as_ref());
    let (Some(tensor), Some(output)) = (tensor, node.output.first()) else {
        return Err(fail(
            node,
            "only constants given as a tensor are supported".into(),
        ));
    };
    to.define(output, Constant::new(tensor)?);
    Ok(())
}

fn gemm(to: &mut Import, node: &NodeProto) -> Result<(), OnnxError> {
    if integer(node, "transA", 0) != 0 {
        return Err(fail(
            node,
            "transA is not supported: the batch's axis comes first".into(),
        ));
    }
    let (alpha, beta) = (float(node, "alpha", 1.0), float(node, "beta", 1.0));
    let op = Gemm {
        trans_b: integer(node, "transB", 0) != 0,
    };
    let given = operands(to, node, 2..=3)?;
    let [Operand::Value(_), Operand::Weight(_), ..] = given[..] else {
        return Err(fail(
            node,
            "only the product of a value and a constant is supported".into(),
        ));
    };
    let units = op_units(to, node, op);
    let mut operands = vec![given[0]];
    for (position, scale) in [(1, alpha), (2, beta)] {
        let Some(&operand) = given.get(position) else {
            continue;
        };
        let Operand::Weight(_) = operand else {
            return Err(fail(node, "its bias must be a constant".into()));
        };
        let name = &node.input[position];
        let constant = to.constant(name).cloned();
        let Some((shape, values)) = constant
            .as_ref()
            .and_then(|constant| Some((&constant.shape, constant.real()?)))
        else {
            return Err(fail(node, format!("`{name}` is no constant")));
        };
        // A bias may be one number, or a row of a matrix.
        let (shape, values) = match (position, units) {
            (2, Some(units)) if values.len() == 1 => (vec![units], vec![values[0]; units]),
            (2, Some(units)) if values.len() == units => (vec![units], values.to_vec()),
            _ => (shape.clone(), values.to_vec()),
        };
        if scale == 1.0 && shape == constant.as_ref().map_or(vec![], |c| c.shape.clone()) {
            operands.push(operand);
        } else {
            let scaled = values.iter().map(|value| value * scale).collect();
            operands.push(to.weight(&format!("{name}/scaled"), &shape, scaled)?);
        }
    }
    to.node(node, Op::Gemm(op), &operands)
}

/// How many outputs a Gemm has.
fn op_units(to: &Import, node: &NodeProto, op: Gemm) -> Option<usize> {
    let constant = to.constant(node.input.get(1)?)?;
    match (&constant.shape[..], op.trans_b) {
        (&[_, units], false) | (&[units, _], true) => Some(units),
        _ => None,
    }
}

/// The whole numbers of a node's second input, or of an attribute, as it was in older versions.
fn whole(to: &Import, node: &NodeProto, name: &str) -> Option<Vec<i64>> {
    let input = node.input.get(1).filter(|input| !input.is_empty());
    match input {
        Some(input) => to.constant(input)?.whole().map(<[i64]>::to_vec),
        None => Some(attribute(node, name)?.ints.clone()),
    }
}

/// The shape of one image after Reshape.
fn reshaped(to: &Import, node: &NodeProto, value: Operand) -> Result<Vec<usize>, OnnxError> {
    let wanted = whole(to, node, "shape").ok_or_else(|| {
        fail(
            node,
            "its shape must be a constant; simplify the model".into(),
        )
    })?;
    let shape = to.shape(value).unwrap_or_default();
    let wrong = || {
        let why =
            format!("an image of shape {shape:?} can't take the shape {wanted:?} with its batch");
        fail(node, why)
    };
    let count = shape.iter().product::<usize>();
    let Some((&batch, sizes)) = wanted.split_first() else {
        return Err(wrong());
    };
    let keeps_batch = batch == 0 || batch == -1 || batch == 1;
    let mut known = 1usize;
    for (axis, &size) in sizes.iter().enumerate() {
        let size = match size {
            0 => *shape.get(axis).ok_or_else(wrong)?,
            -1 if batch != -1 => 1,
            size => usize::try_from(size).map_err(|_| wrong())?,
        };
        known = known.checked_mul(size).ok_or_else(wrong)?;
    }
    if !keeps_batch || known == 0 {
        return Err(wrong());
    }
    let rest = count / known;
    let sizes = sizes.iter().enumerate().map(|(axis, &size)| match size {
        0 => shape[axis],
        -1 => rest,
        size => size as usize,
    });
    let sizes: Vec<usize> = sizes.collect();
    match sizes.iter().product::<usize>() == count {
        true => Ok(sizes),
        false => Err(wrong()),
    }
}

/// The shape of one image after Squeeze or Unsqueeze.
fn squeezed(to: &Import, node: &NodeProto, value: Operand) -> Result<Vec<usize>, OnnxError> {
    let shape = to.shape(value).unwrap_or_default().to_vec();
    let axes = whole(to, node, "axes")
        .filter(|axes| axes.len() <= 16)
        .ok_or_else(|| {
            fail(
                node,
                "its axes must be given as constants; simplify the model".into(),
            )
        })?;
    let squeeze = node.op_type == "Squeeze";
    let total = shape.len() + 1 + if squeeze { 0 } else { axes.len() };
    let mut positions = Vec::new();
    for &axis in &axes {
        let position = if axis < 0 { axis + total as i64 } else { axis };
        match usize::try_from(position) {
            Ok(position) if position > 0 && position < total => positions.push(position - 1),
            _ => {
                return Err(fail(
                    node,
                    format!("axis {axis} is not one of an image's axes"),
                ));
            }
        }
    }
    positions.sort_unstable();
    positions.dedup();
    let mut result = shape;
    if squeeze {
        for &position in positions.iter().rev() {
            if result[position] != 1 {
                let why = format!(
                    "axis {} has {} values, not 1",
                    position + 1,
                    result[position]
                );
                return Err(fail(node, why));
            }
            result.remove(position);
        }
    } else {
        for &position in &positions {
            result.insert(position.min(result.len()), 1);
        }
    }
    Ok(result)
}
