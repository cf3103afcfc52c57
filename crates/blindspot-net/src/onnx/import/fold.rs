//! Nodes whose inputs are all constants, computed while the file is read.
//!
//! Real numbers go through the network's own operators, as one image without a batch. Integers do
//! if an operator only arranges them: their positions are arranged, then looked up. The rest of the
//! arithmetic with them is in [`shape_arith`](super::shape_arith).
//!
//! They are computed in single precision, as runtimes do; for an
//! [`ExactNetwork`](crate::ExactNetwork) in double, with the magnitudes of what comes out.

use std::rc::Rc;

use super::builder::{Batch, Binding, Builder};
use super::constant::{Array, Constant, Dim, MAX_INTS, Numbers};
use super::magnitudes;
use super::operators::{OnConstants, Operator, import, nothing_of};
use super::reader::Reader;
use super::shape_arith;
use crate::evaluate::Evaluator;
use crate::graph::MAX_VALUES;
use crate::onnx::OnnxError;
use crate::onnx::proto::NodeProto;
use crate::real::Real;

/// Whether a node computes with constants only.
pub(super) fn is_constant(r: &Reader<'_>, operator: &Operator) -> Result<bool, OnnxError> {
    let mut any = operator.takes_constants_only();
    for position in 0..r.node.input.len() {
        match r.input(position)? {
            Some(Binding::Value(_)) => return Ok(false),
            Some(Binding::Constant(_)) => any = true,
            None => {}
        }
    }
    Ok(any)
}

/// What such a node gives.
pub(super) fn fold(r: &mut Reader<'_>, operator: &Operator) -> Result<Vec<Binding>, OnnxError> {
    let nothing = match operator.name {
        "Slice" => nothing_of(r)?,
        _ => None,
    };
    let constants = match &operator.on_constants {
        _ if nothing.is_some() => nothing.into_iter().collect(),
        OnConstants::Import => return operator.import(r),
        OnConstants::Function(function) => vec![function(r)?],
        OnConstants::Truth => vec![truth(r)?],
        _ if r.required_constant(0)?.reals().is_some() => compute(r)?,
        OnConstants::Whole => whole(r)?,
        OnConstants::Arrange => arrange(r)?,
        OnConstants::Integers(operator) => vec![shape_arith::apply(r, operator)?],
        OnConstants::Compute => {
            let known = Operator::all().filter(|operator| {
                matches!(
                    operator.on_constants,
                    OnConstants::Integers(_)
                        | OnConstants::Arrange
                        | OnConstants::Whole
                        | OnConstants::Truth
                )
            });
            let names: Vec<&str> = known.map(|operator| operator.name).collect();
            return Err(r.fail(format!(
                "it computes with integers; the operators that can are: {}",
                names.join(", ")
            )));
        }
    };
    let name = r.output_name();
    let mut bindings = Vec::with_capacity(constants.len());
    for constant in constants {
        r.builder.take_bytes(name, constant.bytes())?;
        bindings.push(Binding::Constant(Rc::new(constant)));
    }
    Ok(bindings)
}

/// The largest whole number that goes through the network's operators, and above which an `f32` has
/// not all of them.
const MAX_WHOLE: i64 = 1 << 24;

/// Integers through the network's operators, as real numbers; gives integers.
fn whole(r: &Reader<'_>) -> Result<Vec<Constant>, OnnxError> {
    for position in 0..r.node.input.len() {
        for &number in r
            .constant(position)?
            .iter()
            .flat_map(|c| c.ints())
            .flatten()
        {
            let number = r.known(number)?;
            if !(-MAX_WHOLE..=MAX_WHOLE).contains(&number) {
                return Err(r.fail(format!(
                    "it computes with the integer {number}; the largest it can is {MAX_WHOLE}"
                )));
            }
        }
    }
    let as_reals = |constant: &Rc<Constant>| match constant.ints() {
        None => constant.clone(),
        Some(ints) => {
            let numbers = ints.iter().map(|&dim| r.known(dim).unwrap_or(0) as f64);
            Rc::new(Constant::of_reals(
                constant.shape.clone(),
                numbers.collect(),
            ))
        }
    };
    let outputs = run::<f32>(r, r.node, MAX_INTS, Also::Joined, as_reals)?;
    let constants = outputs.into_iter().map(|(shape, values)| {
        let ints = values.iter().map(|&value| {
            let whole = value.fract() == 0.0 && value.abs() <= MAX_WHOLE as f64;
            let number = Dim::Known(value as i64);
            whole
                .then_some(number)
                .ok_or_else(|| r.fail(format!("on these integers it gives {value}")))
        });
        let numbers = Numbers::Int(ints.collect::<Result<_, _>>()?);
        Ok(Constant::new(shape, numbers))
    });
    constants.collect()
}

/// Numbers of either kind through an operator that gives truth values, as 0 and 1.
pub(super) fn truth(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    let Constant { shape, numbers, .. } = match r.required_constant(0)?.reals() {
        None => return whole(r)?.pop().ok_or_else(|| r.fail("it gives nothing")),
        Some(_) => compute_one(r)?,
    };
    let numbers = match numbers {
        Numbers::Int(ints) => Numbers::Int(ints),
        Numbers::Real(values) if values.len() > MAX_INTS => {
            return Err(r.fail(format!("it gives more than {MAX_INTS} truth values")));
        }
        Numbers::Real(values) => {
            let truth = |value: f64| Dim::Known(i64::from(value != 0.0));
            Numbers::Int(values.iter().map(truth).collect())
        }
    };
    Ok(Constant::new(shape, numbers))
}

/// Operators whose result jumps: they decide on numbers as a runtime has them.
const JUMPING: [&str; 12] = [
    "Ceil",
    "Equal",
    "Floor",
    "Greater",
    "GreaterOrEqual",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Mod",
    "Round",
    "Sign",
];

/// Real numbers through the network's operators.
fn compute(r: &Reader<'_>) -> Result<Vec<Constant>, OnnxError> {
    let as_is = |constant: &Rc<Constant>| constant.clone();
    let exact = r.builder.exact && !JUMPING.contains(&r.node.op_type.as_str());
    let outputs = if exact {
        run::<f64>(r, r.node, MAX_VALUES, Also::Joined, as_is)?
    } else {
        run::<f32>(r, r.node, MAX_VALUES, Also::Joined, as_is)?
    };
    let mut magnitudes = if exact {
        magnitudes::of_outputs(r, &outputs)?
    } else {
        Vec::new()
    }
    .into_iter();
    let constants = outputs.into_iter().map(|(shape, values)| Constant {
        magnitudes: magnitudes.next().flatten(),
        ..Constant::of_reals(shape, values)
    });
    Ok(constants.collect())
}

/// The one output of real numbers through the network's operators.
pub(super) fn compute_one(r: &Reader<'_>) -> Result<Constant, OnnxError> {
    compute(r)?.pop().ok_or_else(|| r.fail("it gives nothing"))
}

/// Integers in another arrangement: that of their positions in one list of them all.
fn arrange(r: &Reader<'_>) -> Result<Vec<Constant>, OnnxError> {
    let mut all: Vec<Dim> = Vec::new();
    let mut numbered = |constant: &Rc<Constant>| match constant.ints() {
        // An f32 holds numbers of this size exactly.
        Some(dims) if all.len() + dims.len() <= MAX_INTS => {
            let first = all.len();
            all.extend_from_slice(dims);
            let positions = (first..all.len()).map(|i| i as f64);
            Rc::new(Constant::of_reals(
                constant.shape.clone(),
                positions.collect(),
            ))
        }
        _ => constant.clone(),
    };
    let outputs = run::<f32>(r, r.node, MAX_INTS, Also::Joined, &mut numbered)?;
    let constants = outputs.into_iter().map(|(shape, positions)| {
        let found = positions
            .iter()
            .map(|&position| all.get(position as usize).copied());
        let found: Option<Vec<Dim>> = found.collect();
        let numbers = Numbers::Int(found.ok_or_else(|| r.fail("it mixes types"))?);
        Ok(Constant::new(shape, numbers))
    });
    constants.collect()
}

/// To which constants beside the first one something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Also {
    /// What Concat puts beside it.
    Joined,
    All,
}

/// Runs a node on the constants of the one that is read, in the number type `T`, the first one as the
/// image. `data` is applied to it, and to the others `also` names. Gives shape and numbers of each
/// output, all values together at most `most` numbers.
pub(super) fn run<T: Real>(
    r: &Reader<'_>,
    node: &NodeProto,
    most: usize,
    also: Also,
    mut data: impl FnMut(&Rc<Constant>) -> Rc<Constant>,
) -> Result<Vec<Array>, OnnxError> {
    let mut inputs = Vec::with_capacity(node.input.len());
    for (position, name) in node.input.iter().enumerate() {
        if let Some(constant) = r.constant(position)? {
            inputs.push((name.as_str(), constant));
        }
    }
    let concat = node.op_type == "Concat";
    // Concat leaves out what holds nothing.
    let image = if concat {
        inputs.iter().position(|(_, input)| input.numbers.len() > 0)
    } else {
        Some(0)
    };
    let Some((image, &(name, ref constant))) = image.and_then(|i| Some((i, inputs.get(i)?))) else {
        return Err(r.fail("its inputs hold no numbers"));
    };
    let constant = data(constant);
    let opset = r.builder.opset;
    let account = r.builder.account().clone();
    let mut inner = Builder::new(name, &constant.shape, false, Batch::One, opset, account)?;
    inner.limit_values(most);
    inner.declare_types(r.builder.types());
    inner.declare([node], "");
    for (position, (name, constant)) in inputs.iter().enumerate() {
        if position != image && inner.binding(name).is_none() {
            let constant = if concat || also == Also::All {
                data(constant)
            } else {
                constant.clone()
            };
            inner.bind(name, Binding::Constant(constant))?;
        }
    }
    import(&mut inner, node)?;
    let Some(values) = constant.reals() else {
        return Err(r.fail("it mixes real numbers and integers"));
    };
    let mut outputs = Vec::with_capacity(node.output.len());
    for name in &node.output {
        if name.is_empty() {
            // The place of an output that nobody asks for.
            outputs.push((vec![0], Vec::new()));
            continue;
        }
        let Some(&Binding::Value(value)) = inner.binding(name) else {
            continue;
        };
        let batch = value.batched.then_some(1);
        let shape = batch.into_iter().chain(inner.shape(value).iter().copied());
        let shape: Vec<usize> = shape.collect();
        inner.check_evaluation::<T>(value)?;
        let network = inner.network::<T>(value.id)?;
        let mut evaluator = Evaluator::new(&network);
        let places = evaluator.input(1).iter_mut().zip(values.iter());
        places.for_each(|(place, value)| *place = T::of(value));
        let numbers = evaluator.forward().iter().map(|x| x.f64());
        outputs.push((shape, numbers.collect()));
    }
    Ok(outputs)
}
