//! What each of ONNX's operators is in a network.

mod arrange;
mod elementwise;
mod linear;
mod normalise;
mod part;
mod reduce;
mod window;

use super::OnnxError;
use super::constant::{Constant, Size};
use super::fold;
use super::import::{Given, Import, Value};
use super::node::{fail, float, integer, integers, name_of, text};
use super::proto::NodeProto;
use crate::ops::{Binary, Dropout, Op, PoolKind, ReduceKind, Unary};

/// The operators that are read. Those of the last line are arithmetic with constants and shapes
/// only, which is done while reading.
#[rustfmt::skip]
pub const OPERATORS: [&str; 58] = [
    "Abs", "Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Conv", "Div",
    "Dropout", "Elu", "Erf", "Exp", "Expand", "Flatten", "Gather", "Gelu", "Gemm",
    "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "Identity", "LRN", "LeakyRelu", "Log",
    "LogSoftmax", "MatMul", "Max", "MaxPool", "Min", "Mul", "Neg", "PRelu", "Pad", "Pow",
    "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Sigmoid", "Slice", "Softmax",
    "Softplus", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "Transpose", "Unsqueeze",
    "Constant", "ConstantOfShape", "Equal", "Range", "Shape", "Where",
];

/// The most inputs or outputs of a node.
const MAX_OPERANDS: usize = 4096;

/// Adds a node of the file to the network, or to its constants.
pub(super) fn import<'f>(to: &mut Import<'f>, node: &'f NodeProto) -> Result<(), OnnxError> {
    let own = matches!(node.domain.as_str(), "" | "ai.onnx");
    if !own || !OPERATORS.contains(&node.op_type.as_str()) {
        return Err(OnnxError::Operator {
            node: name_of(node).to_owned(),
            operator: match own {
                true => node.op_type.clone(),
                false => format!("{}.{}", node.domain, node.op_type),
            },
        });
    }
    let (inputs, outputs) = (node.input.len(), node.output.len());
    if inputs > MAX_OPERANDS || !(1..=MAX_OPERANDS).contains(&outputs) {
        let why = format!("it has {inputs} inputs and {outputs} outputs");
        return Err(fail(node, why));
    }
    let first = to.count();
    let results = match fold::is_constant(to, node)? {
        true => fold::fold(to, node)?,
        false => operator(to, node)?,
    };
    let given = results.len();
    for (name, result) in node.output.iter().zip(results) {
        if name.is_empty() {
            continue;
        }
        if let Given::Value(value) = result
            && value.id.0 >= first
        {
            to.name(value, name);
        }
        to.define(name, result)?;
    }
    match node.output.iter().skip(given).find(|name| to.is_used(name)) {
        Some(name) => {
            let why = format!("its output `{name}` is not supported, only the first");
            Err(fail(node, why))
        }
        None => Ok(()),
    }
}

/// What a node gives whose inputs are not all constants.
fn operator(to: &mut Import<'_>, node: &NodeProto) -> Result<Vec<Given>, OnnxError> {
    let value = match node.op_type.as_str() {
        "Shape" => return Ok(vec![shape(to, node)?]),
        "Split" => return part::split(to, node),

        "Identity" => to.value(node, 0),
        "Cast" => cast(to, node),
        "Dropout" => dropout(to, node),

        "Abs" => unary(to, node, Unary::Abs),
        "Clip" => elementwise::clip(to, node),
        "Elu" => {
            let alpha = float(node, "alpha", 1.0);
            unary(to, node, Unary::Elu { alpha })
        }
        "Erf" => unary(to, node, Unary::Erf),
        "Exp" => unary(to, node, Unary::Exp),
        "Gelu" => {
            let tanh = text(node, "approximate") == "tanh";
            unary(to, node, Unary::Gelu { tanh })
        }
        "HardSigmoid" => {
            let (alpha, beta) = (float(node, "alpha", 0.2), float(node, "beta", 0.5));
            unary(to, node, Unary::HardSigmoid { alpha, beta })
        }
        "LeakyRelu" => {
            let alpha = float(node, "alpha", 0.01);
            unary(to, node, Unary::LeakyRelu { alpha })
        }
        "Log" => unary(to, node, Unary::Log),
        "Neg" => unary(to, node, Unary::Neg),
        "Relu" => unary(to, node, Unary::Relu),
        "Sigmoid" => unary(to, node, Unary::Sigmoid),
        "Softplus" => unary(to, node, Unary::Softplus),
        "Sqrt" => unary(to, node, Unary::Sqrt),
        "Tanh" => unary(to, node, Unary::Tanh),

        "Add" => elementwise::pair(to, node, Binary::Add),
        "Sub" => elementwise::pair(to, node, Binary::Sub),
        "Mul" => elementwise::pair(to, node, Binary::Mul),
        "Div" => elementwise::pair(to, node, Binary::Div),
        "Pow" => elementwise::pair(to, node, Binary::Pow),
        "PRelu" => elementwise::pair(to, node, Binary::PRelu),
        "Min" => elementwise::many(to, node, Binary::Min),
        "Max" => elementwise::many(to, node, Binary::Max),
        "Sum" => elementwise::many(to, node, Binary::Add),

        "Gemm" => linear::gemm(to, node),
        "MatMul" => linear::matmul(to, node),

        "Conv" => window::conv(to, node),
        "MaxPool" => window::pool(to, node, PoolKind::Max),
        "AveragePool" => {
            let count_padding = integer(node, "count_include_pad", 0) != 0;
            window::pool(to, node, PoolKind::Average { count_padding })
        }

        "LRN" => normalise::lrn(to, node),
        "BatchNormalization" => normalise::batch(to, node),
        "Softmax" => normalise::softmax(to, node, false),
        "LogSoftmax" => normalise::softmax(to, node, true),

        "GlobalAveragePool" => reduce::global(to, node, ReduceKind::Mean),
        "GlobalMaxPool" => reduce::global(to, node, ReduceKind::Max),
        "ReduceMean" => reduce::reduce(to, node, ReduceKind::Mean),
        "ReduceSum" => reduce::reduce(to, node, ReduceKind::Sum),
        "ReduceMax" => reduce::reduce(to, node, ReduceKind::Max),

        "Expand" => arrange::expand(to, node),
        "Flatten" => arrange::flatten(to, node),
        "Reshape" => arrange::reshape(to, node),
        "Squeeze" => arrange::squeeze(to, node),
        "Transpose" => arrange::transpose(to, node),
        "Unsqueeze" => arrange::unsqueeze(to, node),

        "Concat" => part::concat(to, node),
        "Gather" => part::gather(to, node),
        "Pad" => part::pad(to, node),
        "Slice" => part::slice(to, node),

        _ => Err(fail(
            node,
            "it is supported for constants only, but an input depends on the image",
        )),
    };
    Ok(vec![Given::Value(value?)])
}

fn unary(to: &mut Import<'_>, node: &NodeProto, unary: Unary) -> Result<Value, OnnxError> {
    elementwise::unary(to, node, Op::Unary(unary))
}

/// The shape of a value, the batch's size open.
fn shape(to: &Import<'_>, node: &NodeProto) -> Result<Given, OnnxError> {
    let sizes = to.sizes_of(to.value(node, 0)?);
    Ok(Given::Constant(
        Constant::list(shape_part(node, sizes)).into(),
    ))
}

/// What Shape gives of a shape: all of it, or the part between `start` and `end`.
pub(super) fn shape_part(node: &NodeProto, sizes: Vec<Size>) -> Vec<Size> {
    let rank = sizes.len() as i64;
    let clamped = |position: i64| match position {
        ..0 => position.saturating_add(rank).max(0),
        _ => position.min(rank),
    };
    let start = clamped(integer(node, "start", 0));
    let end = clamped(integer(node, "end", rank)).max(start);
    sizes[start as usize..end as usize].to_vec()
}

/// A value in another type of floats is the same value: networks compute in one type.
fn cast(to: &Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    match fold::is_real(integer(node, "to", 0) as i32) {
        true => to.value(node, 0),
        false => Err(fail(
            node,
            "it makes whole numbers of a value that depends on the image, which have no gradient",
        )),
    }
}

/// Dropout does nothing to a network that is not being trained; its ratio is kept for training.
fn dropout(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let value = to.value(node, 0)?;
    let ratio = match to.finite(node, 1)? {
        Some((_, values)) => f64::from(values.first().copied().unwrap_or(0.5)),
        None => float(node, "ratio", 0.5),
    };
    let training = match to.wholes(node, 2)? {
        Some(values) => values.first() == Some(&1),
        None => false,
    };
    if training && ratio != 0.0 {
        let why = "it is exported for training and drops units at random; export the model for \
                   inference";
        return Err(fail(node, why));
    }
    if !(0.0..1.0).contains(&ratio) {
        return Err(fail(node, format!("its ratio is {ratio}, not in [0, 1)")));
    }
    let operands = [crate::graph::Operand::Value(value.id)];
    to.emit(
        node,
        Op::Dropout(Dropout { ratio }),
        &operands,
        value.batched,
    )
}

/// The axes that a node names in an input, or in an attribute, as older versions do.
fn axes(to: &Import<'_>, node: &NodeProto, input: usize) -> Result<Option<Vec<i64>>, OnnxError> {
    let axes = to.wholes(node, input)?;
    Ok(axes.or_else(|| integers(node, "axes").map(<[i64]>::to_vec)))
}
