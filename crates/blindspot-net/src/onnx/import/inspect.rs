//! What is in a file, whether or not it can be read.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Producers, order};
use super::{ReadOptions, functions, graph, interface, operators};
use crate::onnx::OnnxError;
use crate::onnx::help::help;
use crate::onnx::proto::{TensorProto, ValueInfoProto};

/// What is in an ONNX file, as far as it can be said without the numbers of its tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// The program that wrote it, and its version; empty where it does not say so.
    pub producer: String,
    /// The versions of its sets of operators, by domain; ONNX's own is `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    /// Its inputs, but for those that it gives numbers to itself.
    pub inputs: Vec<Port>,
    /// Its outputs.
    pub outputs: Vec<Port>,
    /// How many numbers its stored tensors have altogether.
    pub stored_numbers: u64,
    /// The files beside it that it keeps numbers in, by the names that it has for them.
    pub files: Vec<String>,
    /// How many functions it brings along.
    pub functions: usize,
    /// How many nodes of each operator are needed for the classes, functions written out. Operators
    /// of other domains than ONNX's own have the domain before their names.
    pub operators: BTreeMap<String, usize>,
    /// Those of them that are not supported, and what helps.
    pub missing: BTreeMap<String, &'static str>,
}

/// An input or output of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The type of its numbers, as in `float32`; `no tensor` for sequences and maps.
    pub kind: String,
    /// The sizes of its axes: numbers, names, or `?`; `None` where the file does not say its shape.
    pub shape: Option<Vec<String>>,
}

impl Port {
    fn of(info: &ValueInfoProto) -> Port {
        Port {
            name: info.name.clone(),
            kind: interface::kind_text(info),
            shape: interface::shape_text(info),
        }
    }
}

/// Looks at the bytes of an ONNX file. Of `options` only the name of the output and the budget are
/// used.
///
/// # Errors
/// [`OnnxError`] where it is no ONNX file, or a graph without order.
pub fn inspect(bytes: impl Into<Vec<u8>>, options: &ReadOptions) -> Result<Inspection, OnnxError> {
    let (model, _) = super::decode(bytes.into(), options)?;
    let file = model
        .graph
        .ok_or_else(|| OnnxError::NotOnnx("it has no graph".into()))?;
    let stored: BTreeSet<&str> = file
        .initializer
        .iter()
        .map(|tensor| &*tensor.name)
        .collect();
    let inputs = file.input.iter();
    let inputs = inputs.filter(|info| !stored.contains(info.name.as_str()));
    let inputs = inputs.map(Port::of).collect();
    let opset = graph::opset_of(&model.opset_import).unwrap_or(1);
    let calls = functions::write_out(file.node, opset, &model.functions)?;
    let producers = Producers::new(&calls);
    // Without an output that has the classes, all of them count.
    let needed =
        match interface::output(&file.output, &calls, &producers, options.output.as_deref()) {
            Ok((output, _)) => order(&calls, &producers, &output)?,
            Err(_) => (0..calls.len()).collect(),
        };
    let (mut known, mut missing) = (BTreeMap::new(), BTreeMap::new());
    for node in needed.into_iter().map(|position| &calls[position].node) {
        let name = node.operator();
        if !operators::is_known(node) {
            missing.insert(name.clone(), help(&name));
        }
        *known.entry(name).or_insert(0) += 1;
    }
    let imports = model
        .opset_import
        .into_iter()
        .map(|set| match &*set.domain {
            "" => ("ai.onnx".to_owned(), set.version),
            _ => (set.domain, set.version),
        });
    let tensors = file.initializer.iter();
    Ok(Inspection {
        producer: format!("{} {}", model.producer_name, model.producer_version)
            .trim()
            .to_owned(),
        opsets: imports.collect(),
        inputs,
        outputs: file.output.iter().map(Port::of).collect(),
        stored_numbers: tensors.clone().map(numbers).fold(0, u64::saturating_add),
        files: tensors
            .filter(|tensor| tensor.data_location != 0)
            .filter_map(location)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        functions: model.functions.len(),
        operators: known,
        missing,
    })
}

/// How many numbers a tensor says that it has.
fn numbers(tensor: &TensorProto) -> u64 {
    let sizes = tensor
        .dims
        .iter()
        .map(|&size| u64::try_from(size).unwrap_or(0));
    sizes.fold(1, u64::saturating_mul)
}

/// The file that a tensor's numbers are in.
fn location(tensor: &TensorProto) -> Option<String> {
    let mut entries = tensor.external_data.iter();
    let entry = entries.find(|entry| entry.key == "location")?;
    Some(entry.value.clone())
}
