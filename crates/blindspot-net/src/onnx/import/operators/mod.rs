//! ONNX's operators: what each adds to a network, or gives on constants.
//!
//! An operator is a row in the table of the module that reads it; [`OPERATORS`], the importer and
//! the folding of constants know it from there. Its function gets the node as a
//! [`Reader`](super::reader::Reader).

mod arrange;
mod attention;
mod constants;
mod einsum;
mod elementwise;
mod linear;
mod logic;
mod ml;
mod normalise;
mod part;
mod quantise;
mod recurrent;
mod reduce;
mod resize;
mod scatter;
mod statistics;
mod window;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub(super) use self::part::nothing_of;
use super::builder::{Binding, Builder, Value};
use super::constant::Constant;
use super::contrib::{OWN_DOMAIN, SWAP_LAST_AXES};
use super::fold;
use super::reader::Reader;
use super::shape_arith::IntOperator;
use crate::onnx::OnnxError;
use crate::onnx::proto::NodeProto;

/// All operators that are read.
const TABLES: [&[Operator]; 17] = [
    arrange::OPERATORS,
    constants::OPERATORS,
    attention::OPERATORS,
    einsum::OPERATORS,
    elementwise::OPERATORS,
    linear::OPERATORS,
    logic::OPERATORS,
    ml::OPERATORS,
    normalise::OPERATORS,
    part::OPERATORS,
    quantise::OPERATORS,
    recurrent::OPERATORS,
    reduce::OPERATORS,
    resize::OPERATORS,
    scatter::OPERATORS,
    statistics::OPERATORS,
    window::OPERATORS,
];

/// The names of ONNX's operators that are read, in the order of the alphabet.
///
/// Operators for arithmetic with shapes (such as `Range`) take constants only.
pub static OPERATORS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut names: Vec<&str> = Operator::all().map(|operator| operator.name).collect();
    names.sort_unstable();
    names
});

/// The most inputs or outputs of a node.
const MAX_OPERANDS: usize = 4096;

/// What a node gives.
type Outputs = Result<Vec<Binding>, OnnxError>;

/// An operator of ONNX, and how it is read.
pub(super) struct Operator {
    /// ONNX's name for it, after its domain unless that is ONNX's own.
    pub(super) name: &'static str,
    import: Import,
    /// How it works if all inputs are constants.
    pub(super) on_constants: OnConstants,
}

/// What a node adds to the network if an input depends on the image.
enum Import {
    /// Operators of the network, of which the last one's value is the node's one output.
    Value(fn(&mut Reader<'_>) -> Result<Value, OnnxError>),
    /// Operators of the network, of which the last one's value is the node's second output; the
    /// first one is a label, which is not given.
    Scores(fn(&mut Reader<'_>) -> Result<Value, OnnxError>),
    /// Outputs of any number and kind.
    Outputs(fn(&mut Reader<'_>) -> Outputs),
    /// Nothing: the operator works on constants only.
    Nothing,
}

/// How an operator works if all inputs are constants.
pub(super) enum OnConstants {
    /// As on values that depend on the image, for real numbers only.
    Compute,
    /// As on values that depend on the image, for integers too: it only arranges numbers.
    Arrange,
    /// [`Compute`](OnConstants::Compute) for real numbers, this for integers.
    Integers(&'static IntOperator),
    /// As on values that depend on the image, for integers too, which it computes with as with real
    /// numbers.
    Whole,
    /// The same, and gives truth values.
    Truth,
    /// By a function of its own.
    Function(fn(&Reader<'_>) -> Result<Constant, OnnxError>),
    /// By the function for values that depend on the image, which takes constants as they are.
    Import,
}

impl Operator {
    /// An operator that adds one value to the network, and that computes with real constants, too.
    const fn new(
        name: &'static str,
        import: fn(&mut Reader<'_>) -> Result<Value, OnnxError>,
    ) -> Operator {
        Operator {
            name,
            import: Import::Value(import),
            on_constants: OnConstants::Compute,
        }
    }

    /// An operator with outputs of any number and kind.
    const fn with_outputs(name: &'static str, import: fn(&mut Reader<'_>) -> Outputs) -> Operator {
        Operator {
            name,
            import: Import::Outputs(import),
            on_constants: OnConstants::Compute,
        }
    }

    /// An operator that gives a label, which has no gradient, and scores.
    const fn scores(
        name: &'static str,
        import: fn(&mut Reader<'_>) -> Result<Value, OnnxError>,
    ) -> Operator {
        Operator {
            name,
            import: Import::Scores(import),
            on_constants: OnConstants::Compute,
        }
    }

    /// An operator that works on constants only, by a function that gives its one output.
    const fn of_constants(
        name: &'static str,
        function: fn(&Reader<'_>) -> Result<Constant, OnnxError>,
    ) -> Operator {
        Operator {
            name,
            import: Import::Nothing,
            on_constants: OnConstants::Function(function),
        }
    }

    /// The operator with another way of working on constants.
    const fn on_constants(self, on_constants: OnConstants) -> Operator {
        Operator {
            on_constants,
            ..self
        }
    }

    /// All operators that are read.
    pub(super) fn all() -> impl Iterator<Item = &'static Operator> {
        TABLES.into_iter().flatten()
    }

    /// The operator of a node, if it is one that is read.
    fn of(node: &NodeProto) -> Option<&'static Operator> {
        if node.domain == OWN_DOMAIN {
            return (node.op_type == SWAP_LAST_AXES).then_some(&arrange::SWAP_LAST_AXES);
        }
        let name = node.operator();
        Operator::all().find(|operator| operator.name == name)
    }

    /// Whether the operator takes no values that depend on the image.
    pub(super) fn takes_constants_only(&self) -> bool {
        matches!(self.import, Import::Nothing)
    }

    /// Whether the node takes whole numbers that depend on the image, and gives such.
    ///
    /// # Errors
    /// [`OnnxError::Node`] where it computes with them: whole numbers round and overflow, which has
    /// no gradient.
    fn keeps_whole(&self, r: &Reader<'_>) -> Result<bool, OnnxError> {
        let mut whole = false;
        for position in 0..r.node.input.len() {
            if let Some(Binding::Value(value)) = r.input(position)? {
                whole |= r.builder.is_whole(value);
            }
        }
        match (&self.on_constants, self.name) {
            _ if !whole => Ok(false),
            (OnConstants::Arrange | OnConstants::Import, _) => Ok(true),
            // These turn them into real numbers, or leave them as they are.
            (_, "Cast" | "CastLike" | "DequantizeLinear") => Ok(false),
            (_, "QLinearConv" | "QLinearMatMul" | "ConvInteger" | "MatMulInteger") => Ok(false),
            _ => Err(r.fail(
                "it computes with the whole numbers of the image, which has no gradient; export \
                 the model with a Cast to float before it",
            )),
        }
    }

    /// Adds a node to the network; gives its outputs.
    pub(super) fn import(&self, r: &mut Reader<'_>) -> Outputs {
        match self.import {
            Import::Value(import) => Ok(vec![Binding::Value(import(r)?)]),
            Import::Scores(import) => {
                let label = r.output_name();
                if r.builder.is_used(label) {
                    return Err(r.fail(format!(
                        "its label `{label}` has no gradient; take its scores"
                    )));
                }
                let scores = Binding::Value(import(r)?);
                // The first is in the label's place, where nothing looks.
                Ok(vec![scores.clone(), scores])
            }
            Import::Outputs(import) => import(r),
            Import::Nothing => {
                Err(r.fail("it is supported for constants only, but an input depends on the image"))
            }
        }
    }
}

/// Whether an operator is read.
pub(super) fn is_known(node: &NodeProto) -> bool {
    Operator::of(node).is_some()
}

/// The error that names all operators of some nodes that are not read.
pub(super) fn unsupported<'n>(nodes: impl IntoIterator<Item = &'n NodeProto>) -> OnnxError {
    let mut operators: BTreeMap<String, usize> = BTreeMap::new();
    for node in nodes.into_iter().filter(|node| !is_known(node)) {
        *operators.entry(node.operator()).or_default() += 1;
    }
    OnnxError::Operators(operators)
}

/// Adds a node of the file to the network, or to its constants.
pub(super) fn import(builder: &mut Builder, node: &NodeProto) -> Result<(), OnnxError> {
    let operator = Operator::of(node).ok_or_else(|| unsupported([node]))?;
    let (inputs, outputs) = (node.input.len(), node.output.len());
    if inputs > MAX_OPERANDS || !(1..=MAX_OPERANDS).contains(&outputs) {
        return Err(node.fail(format!("it has {inputs} inputs and {outputs} outputs")));
    }
    let first = builder.value_count();
    let mut r = Reader { builder, node };
    let whole = operator.keeps_whole(&r)?;
    let results = if fold::is_constant(&r, operator)? {
        fold::fold(&mut r, operator)?
    } else {
        operator.import(&mut r)?
    };
    let given = results.len();
    for (name, result) in node.output.iter().zip(results) {
        if name.is_empty() {
            continue;
        }
        if let Binding::Value(value) = result
            && value.id.0 >= first
        {
            builder.rename(value, name);
        }
        if let (Binding::Value(value), true) = (&result, whole) {
            builder.mark_whole(*value);
        }
        builder.bind(name, result)?;
    }
    let mut rest = node.output.iter().skip(given);
    match rest.find(|name| builder.is_used(name)) {
        Some(name) => Err(node.fail(format!(
            "its output `{name}` is not supported, only the first"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_has_one_row() {
        for pair in OPERATORS.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
    }
}
