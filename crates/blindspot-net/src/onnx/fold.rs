//! Nodes whose inputs are all constants, computed while the file is read.
//!
//! Real numbers go through the network's own operators, as one image without a batch. Whole numbers
//! do where an operator only arranges them (their positions are arranged, then looked up); the rest
//! of the arithmetic with them is in [`whole`](super::whole).

use std::rc::Rc;

use super::OnnxError;
use super::constant::{Array, Constant, MAX_WHOLE, Numbers, Size};
use super::import::{Batch, Given, Import};
use super::node::{attribute, fail, integer};
use super::operators::{import, shape_part};
use super::proto::*;
use super::whole;
use crate::evaluate::Evaluator;
use crate::graph::MAX_VALUES;

/// The operators that only arrange numbers.
const ARRANGING: [&str; 10] = [
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Whether one of ONNX's types holds real numbers.
pub(super) fn is_real(data_type: i32) -> bool {
    matches!(data_type, FLOAT | DOUBLE | FLOAT16 | BFLOAT16)
}

/// Whether a node computes with constants only.
pub(super) fn is_constant(to: &Import<'_>, node: &NodeProto) -> Result<bool, OnnxError> {
    let mut any = node.op_type == "Constant";
    for position in 0..node.input.len() {
        match to.input(node, position)? {
            Some(Given::Value(_)) => return Ok(false),
            Some(Given::Constant(_)) => any = true,
            None => {}
        }
    }
    Ok(any)
}

/// What such a node gives.
pub(super) fn fold(to: &mut Import<'_>, node: &NodeProto) -> Result<Vec<Given>, OnnxError> {
    if node.op_type == "Identity" {
        return Ok(vec![to.required(node, 0)?]);
    }
    let constants = match node.op_type.as_str() {
        "Constant" => vec![constant(node)?],
        "ConstantOfShape" => vec![of_shape(to, node)?],
        "Cast" => vec![cast(to, node)?],
        "Equal" => vec![whole::equal(to, node)?],
        "Range" => vec![whole::range(to, node)?],
        "Shape" => {
            let data = data(to, node, 0)?;
            let sizes = data.shape.iter().map(|&n| Size::Known(n as i64)).collect();
            vec![Constant::list(shape_part(node, sizes))]
        }
        "Where" => vec![whole::choose(to, node)?],
        _ if data(to, node, 0)?.whole().is_none() => computed(to, node)?,
        operator if ARRANGING.contains(&operator) => arranged(to, node)?,
        _ => vec![whole::arithmetic(to, node)?],
    };
    let name = &node.output[0];
    let mut given = Vec::with_capacity(constants.len());
    for constant in constants {
        to.take_bytes(name, constant.numbers.bytes())?;
        given.push(Given::Constant(Rc::new(constant)));
    }
    Ok(given)
}

/// A constant input that must be there.
pub(super) fn data(
    to: &Import<'_>,
    node: &NodeProto,
    position: usize,
) -> Result<Rc<Constant>, OnnxError> {
    let constant = to.constant(node, position)?;
    constant.ok_or_else(|| fail(node, format!("it has no input {position}")))
}

/// Constant, in each of its forms but texts and sparse tensors.
fn constant(node: &NodeProto) -> Result<Constant, OnnxError> {
    let list = |name: &str| attribute(node, name);
    let whole = |numbers: &[i64]| {
        let sizes = numbers.iter().copied().map(Size::Known).collect();
        Numbers::Whole(sizes)
    };
    let (shape, numbers) = if let Some(tensor) = list("value").and_then(|value| value.t.as_ref()) {
        return Constant::read(tensor, None);
    } else if let Some(value) = list("value_float") {
        (vec![], Numbers::Real(vec![value.f]))
    } else if let Some(value) = list("value_floats") {
        (
            vec![value.floats.len()],
            Numbers::Real(value.floats.clone()),
        )
    } else if let Some(value) = list("value_int") {
        (vec![], whole(&[value.i]))
    } else if let Some(value) = list("value_ints") {
        (vec![value.ints.len()], whole(&value.ints))
    } else {
        return Err(fail(node, "its value is neither a tensor nor numbers"));
    };
    if numbers.len() > MAX_WHOLE {
        return Err(fail(node, format!("it has more than {MAX_WHOLE} numbers")));
    }
    Ok(Constant { shape, numbers })
}

/// ConstantOfShape: one number everywhere. An axis of the batch's length becomes one of length 1,
/// which is repeated for each image.
fn of_shape(to: &Import<'_>, node: &NodeProto) -> Result<Constant, OnnxError> {
    let value = match attribute(node, "value").and_then(|value| value.t.as_ref()) {
        Some(tensor) => Constant::read(tensor, None)?.numbers,
        None => Numbers::Real(vec![0.0]),
    };
    let sizes = to.sizes(node, 0)?.unwrap_or_default();
    let shape = sizes.iter().map(|&size| match size {
        Size::Known(size) => usize::try_from(size).ok(),
        Size::Batch => Some(1),
    });
    let shape: Option<Vec<usize>> = shape.collect();
    let most = match value {
        Numbers::Real(_) => MAX_VALUES,
        Numbers::Whole(_) => MAX_WHOLE,
    };
    let count = |shape: &Vec<usize>| {
        let count = shape
            .iter()
            .try_fold(1usize, |n, &size| n.checked_mul(size));
        count.filter(|&count| count <= most && shape.len() <= 64)
    };
    let Some((count, shape)) = shape.and_then(|shape| Some((count(&shape)?, shape))) else {
        return Err(fail(
            node,
            format!("it asks for a tensor of shape {sizes:?}"),
        ));
    };
    let numbers = match value {
        Numbers::Real(value) if value.len() == 1 => {
            to.check_bytes(&node.output[0], count * size_of::<f32>())?;
            Numbers::Real(vec![value[0]; count])
        }
        Numbers::Whole(value) if value.len() == 1 => Numbers::Whole(vec![value[0]; count]),
        _ => return Err(fail(node, "its value must be one number")),
    };
    Ok(Constant { shape, numbers })
}

/// Cast: whole numbers to real ones and back; types of one kind are not told apart.
fn cast(to: &Import<'_>, node: &NodeProto) -> Result<Constant, OnnxError> {
    let data = data(to, node, 0)?;
    let target = integer(node, "to", 0) as i32;
    let numbers = match (&data.numbers, target) {
        (Numbers::Whole(sizes), BOOL) => {
            let truth = |&size| Ok(Size::Known(i64::from(to.known(node, size)? != 0)));
            Numbers::Whole(sizes.iter().map(truth).collect::<Result<_, OnnxError>>()?)
        }
        (Numbers::Real(values), BOOL) => {
            let truth = values
                .iter()
                .map(|&value| Size::Known(i64::from(value != 0.0)));
            Numbers::Whole(truth.collect())
        }
        (Numbers::Whole(sizes), target) if is_real(target) => {
            let real = |&size| Ok(to.known(node, size)? as f32);
            Numbers::Real(sizes.iter().map(real).collect::<Result<_, OnnxError>>()?)
        }
        (numbers, target) if is_real(target) => numbers.clone(),
        (Numbers::Whole(sizes), INT8..=INT64 | UINT8 | UINT32 | UINT64) => {
            Numbers::Whole(sizes.clone())
        }
        (Numbers::Real(values), INT8..=INT64 | UINT8 | UINT32 | UINT64) => {
            if values.len() > MAX_WHOLE {
                return Err(fail(
                    node,
                    format!("it makes more than {MAX_WHOLE} whole numbers"),
                ));
            }
            // Towards 0.
            let whole = values.iter().map(|&value| Size::Known(value as i64));
            Numbers::Whole(whole.collect())
        }
        (_, other) => return Err(fail(node, format!("it casts to ONNX's type {other}"))),
    };
    let shape = data.shape.clone();
    Ok(Constant { shape, numbers })
}

/// Real numbers through the network's operators.
fn computed(to: &Import<'_>, node: &NodeProto) -> Result<Vec<Constant>, OnnxError> {
    let outputs = run(to, node, MAX_VALUES, |constant| constant.clone())?;
    let constants = outputs.into_iter().map(|(shape, values)| Constant {
        shape,
        numbers: Numbers::Real(values),
    });
    Ok(constants.collect())
}

/// Whole numbers in another arrangement: that of their positions in one list of them all.
fn arranged(to: &Import<'_>, node: &NodeProto) -> Result<Vec<Constant>, OnnxError> {
    let mut all: Vec<Size> = Vec::new();
    let mut numbered = |constant: &Rc<Constant>| match constant.whole() {
        // An f32 holds numbers of this size exactly.
        Some(sizes) if all.len() + sizes.len() <= MAX_WHOLE => {
            let first = all.len();
            all.extend_from_slice(sizes);
            Rc::new(Constant {
                shape: constant.shape.clone(),
                numbers: Numbers::Real((first..all.len()).map(|i| i as f32).collect()),
            })
        }
        _ => constant.clone(),
    };
    let outputs = run(to, node, MAX_WHOLE, &mut numbered)?;
    let constants = outputs.into_iter().map(|(shape, positions)| {
        let found = positions
            .iter()
            .map(|&position| all.get(position as usize).copied());
        let found: Option<Vec<Size>> = found.collect();
        let numbers = Numbers::Whole(found.ok_or_else(|| fail(node, "it mixes types"))?);
        Ok(Constant { shape, numbers })
    });
    constants.collect()
}

/// Runs a node on constants: the first one as the image, `data` of it and of what Concat puts
/// beside it. Gives shape and numbers of each output.
fn run(
    to: &Import<'_>,
    node: &NodeProto,
    most: usize,
    mut data: impl FnMut(&Rc<Constant>) -> Rc<Constant>,
) -> Result<Vec<Array>, OnnxError> {
    let mut inputs = Vec::with_capacity(node.input.len());
    for (position, name) in node.input.iter().enumerate() {
        if let Some(constant) = to.constant(node, position)? {
            inputs.push((name.as_str(), constant));
        }
    }
    let concat = node.op_type == "Concat";
    // Concat leaves out what holds nothing.
    let image = match concat {
        true => inputs.iter().position(|(_, input)| input.numbers.len() > 0),
        false => Some(0),
    };
    let Some((image, &(name, ref constant))) = image.and_then(|i| Some((i, inputs.get(i)?))) else {
        return Err(fail(node, "its inputs hold no numbers"));
    };
    let constant = data(constant);
    let mut inner = Import::new(name, &constant.shape, false, Batch::One, to.opset)?;
    inner.limit_values(most);
    inner.announce(&[node], "");
    for (position, (name, constant)) in inputs.iter().enumerate() {
        if position != image && inner.named(name).is_none() {
            let constant = if concat {
                data(constant)
            } else {
                constant.clone()
            };
            inner.define(name, Given::Constant(constant))?;
        }
    }
    import(&mut inner, node)?;
    let outputs = node
        .output
        .iter()
        .filter_map(|name| match inner.named(name)? {
            Given::Value(value) => Some(*value),
            Given::Constant(_) => None,
        });
    let outputs: Vec<_> = outputs.collect();
    let shapes: Vec<Vec<usize>> = outputs
        .iter()
        .map(|&value| {
            let batch = value.batched.then_some(1);
            batch
                .into_iter()
                .chain(inner.shape(value).iter().copied())
                .collect()
        })
        .collect();
    let values = constant.real().unwrap_or_default();
    let results = outputs.iter().zip(shapes).map(|(value, shape)| {
        let network = inner.network(value.id)?;
        let mut evaluator = Evaluator::new(&network);
        evaluator.input(1).copy_from_slice(values);
        Ok((shape, evaluator.forward().to_vec()))
    });
    results.collect()
}
