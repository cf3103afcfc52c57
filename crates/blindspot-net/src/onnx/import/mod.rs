//! A network out of an ONNX file.
//!
//! The file is read node by node, in its order. A [`Builder`] is the network so far and what the
//! file's names stand for; a [`Reader`](reader::Reader) is one node before it, with helpers for its
//! attributes and inputs; `operators` has a function for each operator. What does not depend on the
//! image is computed on the way (`fold`), including the arithmetic with shapes that exporters leave
//! (`shape_arith`).

mod attributes;
mod axes;
mod builder;
mod constant;
mod external;
mod fold;
mod lower;
mod operators;
mod reader;
mod shape_arith;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use prost::Message;

use self::builder::{Batch, Binding, Builder};
use self::constant::{Constant, is_real};
pub use self::operators::OPERATORS;
use super::proto::{Dimension, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use super::{MAX_BYTES, Model, OnnxError};
use crate::network::Network;
use crate::precision::Precision;

/// The oldest version of ONNX's operators that is read: the first in which shapes broadcast as in
/// NumPy.
const OLDEST_OPSET: i64 = 7;

/// The most axes of a value or constant.
const MAX_AXES: usize = 64;

/// How a file is read.
///
/// ```
/// use blindspot_net::onnx::ReadOptions;
///
/// let options = ReadOptions::beside("models/mnist.onnx".as_ref()).unbatched(true);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The folder with the files in which a model keeps numbers outside of its own. Without it
    /// such a model can't be read.
    pub folder: Option<PathBuf>,
    /// The first axis of the input is an axis of the image, not the batch's: the model takes one
    /// image at a time. An input with one axis is always read so.
    pub unbatched: bool,
}

impl ReadOptions {
    /// For the bytes of the file at `path`: other files that it names are looked for beside it.
    pub fn beside(path: &Path) -> ReadOptions {
        let folder = path.parent().map(|folder| {
            if folder.as_os_str().is_empty() {
                PathBuf::from(".")
            } else {
                folder.to_owned()
            }
        });
        ReadOptions {
            folder,
            ..ReadOptions::default()
        }
    }

    /// Whether the first axis of the input is an axis of the image; see
    /// [`unbatched`](ReadOptions#structfield.unbatched).
    pub fn unbatched(self, unbatched: bool) -> ReadOptions {
        ReadOptions { unbatched, ..self }
    }
}

/// Reads an ONNX file, and the files beside it that hold numbers of its tensors; see [`read_with`].
///
/// # Errors
/// [`OnnxError::File`] if the file can't be read or is larger than [`MAX_BYTES`], and the errors of
/// [`read_with`].
pub fn read_file(path: &Path) -> Result<Model, OnnxError> {
    read_with(&read_bytes(path)?, &ReadOptions::beside(path))
}

/// The bytes of a model's file.
fn read_bytes(path: &Path) -> Result<Vec<u8>, OnnxError> {
    let unread = |why: String| OnnxError::File {
        path: path.to_owned(),
        why,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unread(error.to_string()))?;
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    let length = read.map_err(|error| unread(error.to_string()))?;
    if length as u64 > MAX_BYTES {
        return Err(unread(format!("it is larger than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Reads the bytes of an ONNX file that keeps all its numbers in itself; see [`read_with`].
///
/// # Errors
/// The errors of [`read_with`].
pub fn read(bytes: &[u8]) -> Result<Model, OnnxError> {
    read_with(bytes, &ReadOptions::default())
}

/// Reads the bytes of an ONNX file: a network with one input and one output, both tensors of floats
/// whose first axis is the batch's.
///
/// A batch of a fixed size is read as one of any size.
///
/// # Errors
/// [`OnnxError`], which names the node or tensor that does not fit.
pub fn read_with(bytes: &[u8], options: &ReadOptions) -> Result<Model, OnnxError> {
    let model = ModelProto::decode(bytes).map_err(|error| OnnxError::NotOnnx(error.to_string()))?;
    let graph = model
        .graph
        .ok_or_else(|| OnnxError::NotOnnx("it has no graph".into()))?;
    let opset = model
        .opset_import
        .iter()
        .find(|opset| matches!(opset.domain.as_str(), "" | "ai.onnx"))
        .map_or(1, |opset| opset.version);
    if opset < OLDEST_OPSET {
        return Err(OnnxError::Interface(format!(
            "the model uses version {opset} of ONNX's operators, older than {OLDEST_OPSET}; convert \
             it with onnx.version_converter"
        )));
    }
    let entries = model.metadata_props.into_iter();
    let (network, [input_precision, precision]) = network(&graph, opset, options)?;
    Ok(Model {
        network,
        precision,
        input_precision,
        metadata: entries
            .map(|entry| (entry.key, entry.value))
            .collect::<BTreeMap<_, _>>(),
    })
}

/// The network of a graph's one output, and the formats of its input and of its coarsest value.
fn network(
    proto: &GraphProto,
    opset: i64,
    options: &ReadOptions,
) -> Result<(Network<f32>, [Precision; 2]), OnnxError> {
    let [output] = &proto.output[..] else {
        return Err(OnnxError::Interface(format!(
            "a classifier has one output, this model has {}: {:?}; export the logits only",
            proto.output.len(),
            names(&proto.output)
        )));
    };
    let output = output.name.as_str();
    let (nodes, needed) = needed(proto, output);
    let mut tensors: HashMap<&str, &TensorProto> = HashMap::new();
    for tensor in &proto.initializer {
        if tensors.insert(&tensor.name, tensor).is_some() {
            return Err(OnnxError::duplicate_name(&tensor.name));
        }
    }
    // Old files list their weights as inputs, too.
    let inputs = proto.input.iter();
    let inputs = inputs.filter(|input| !tensors.contains_key(input.name.as_str()));
    let (used, idle): (Vec<_>, Vec<_>) = inputs.partition(|x| needed.contains(x.name.as_str()));
    let input = match (&used[..], &idle[..]) {
        (&[input], _) => input,
        ([], &[input]) => {
            return Err(OnnxError::Interface(format!(
                "the output `{output}` does not depend on the input `{}`",
                input.name
            )));
        }
        _ => {
            return Err(OnnxError::Interface(format!(
                "a classifier has one input, this model has {}: {:?}",
                used.len() + idle.len(),
                names(used.into_iter().chain(idle))
            )));
        }
    };
    let mut builder = input_only(input, opset, options.unbatched)?;
    let input_precision = builder.precision;
    builder.declare(&nodes, output);
    for tensor in &proto.initializer {
        if needed.contains(tensor.name.as_str()) {
            let constant = Constant::read(tensor, options.folder.as_deref())?;
            builder.take_bytes(&tensor.name, constant.numbers.bytes())?;
            builder.bind(&tensor.name, Binding::Constant(Rc::new(constant)))?;
        }
    }
    for node in nodes {
        operators::import(&mut builder, node)?;
    }
    match builder.binding(output) {
        Some(&Binding::Value(value)) => {
            let formats = [input_precision, builder.precision];
            Ok((builder.finish(value.id)?, formats))
        }
        Some(Binding::Constant(_)) => Err(OnnxError::Interface(format!(
            "the output `{output}` does not depend on the numbers of the input `{}`",
            input.name
        ))),
        None => Err(OnnxError::Interface(format!(
            "nothing gives the output `{output}`"
        ))),
    }
}

fn names<'a>(values: impl IntoIterator<Item = &'a ValueInfoProto>) -> Vec<&'a str> {
    values
        .into_iter()
        .map(|value| value.name.as_str())
        .collect()
}

/// The nodes that the output needs, in the file's order, and the names.
fn needed<'f>(proto: &'f GraphProto, output: &'f str) -> (Vec<&'f NodeProto>, HashSet<&'f str>) {
    let mut names = HashSet::from([output]);
    let mut nodes = Vec::new();
    for node in proto.node.iter().rev() {
        if node.output.iter().any(|name| names.contains(name.as_str())) {
            names.extend(node.input.iter().map(String::as_str));
            nodes.push(node);
        }
    }
    nodes.reverse();
    (nodes, names)
}

/// A network with nothing but its input.
fn input_only(input: &ValueInfoProto, opset: i64, unbatched: bool) -> Result<Builder, OnnxError> {
    let name = input.name.as_str();
    let wrong = |why: String| OnnxError::Interface(format!("the input `{name}` {why}"));
    let tensor = input
        .r#type
        .as_ref()
        .and_then(|r#type| r#type.tensor_type.as_ref());
    if let Some(kind) = tensor
        .map(|tensor| tensor.elem_type)
        .filter(|&kind| kind != 0)
        && !is_real(kind)
    {
        return Err(wrong(format!(
            "holds numbers of ONNX's type {kind}; export the model with an input of floats"
        )));
    }
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let Some(shape) = shape.filter(|shape| (1..=MAX_AXES).contains(&shape.dim.len())) else {
        return Err(wrong("must say its shape, as in [n, 784]".into()));
    };
    let first = match &shape.dim[0].value {
        _ if unbatched || shape.dim.len() == 1 => None,
        Some(Dimension::Size(1)) => Some(Batch::One),
        Some(Dimension::Size(size @ 2..)) => Some(Batch::Fixed(*size)),
        _ => Some(Batch::Any),
    };
    let size = |axis: usize| match &shape.dim[axis].value {
        Some(Dimension::Size(size)) if *size > 0 => Ok(*size as usize),
        Some(Dimension::Name(symbol)) => Err(OnnxError::Interface(format!(
            "axis {axis} of the input `{name}` is `{symbol}`; only the batch may have any size: \
             export the model with a fixed image size"
        ))),
        _ => Err(OnnxError::Interface(format!(
            "axis {axis} of the input `{name}` has no size; export the model with a fixed image \
             size"
        ))),
    };
    let axes = usize::from(first.is_some())..shape.dim.len();
    let shape = axes.map(size).collect::<Result<Vec<_>, _>>()?;
    let mut builder = Builder::new(
        name,
        &shape,
        first.is_some(),
        first.unwrap_or(Batch::One),
        opset,
    )?;
    builder.has_values_of(tensor.map_or(0, |tensor| tensor.elem_type));
    Ok(builder)
}
