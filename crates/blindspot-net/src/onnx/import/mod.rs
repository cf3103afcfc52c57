//! A network out of an ONNX file.
//!
//! The file's nodes are written out (`functions`, `contrib`) and put in an order in which they can
//! run (`graph`); the image and the classes are chosen among its inputs and outputs (`interface`).
//! Then the file is read node by node. A [`Builder`] is the network so far and what the file's names
//! stand for; a [`Reader`](reader::Reader) is one node before it, with helpers for its attributes
//! and inputs; `operators` has a function for each operator. What does not depend on the image is
//! computed on the way (`fold`), including the arithmetic with shapes that exporters leave
//! (`shape_arith`).

mod attributes;
mod axes;
mod builder;
mod constant;
mod contrib;
mod external;
mod fold;
mod foreign;
mod functions;
mod graph;
mod inspect;
mod interface;
mod lower;
mod magnitudes;
mod operators;
mod options;
mod reader;
mod reals;
mod shape_arith;
mod weights;
mod wire;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;

use prost::Message;
use prost::bytes::Bytes;

use self::builder::{Binding, Builder};
use self::constant::Constant;
pub use self::contrib::FUSED;
use self::external::ExternalFiles;
pub use self::foreign::saved_model;
use self::graph::{Call, Producers};
pub use self::inspect::{Inspection, Port, inspect};
use self::interface::Reading;
pub use self::operators::OPERATORS;
pub use self::options::ReadOptions;
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use super::{MAX_BYTES, Model, OnnxError};
use crate::budget::Account;
use crate::exact::ExactNetwork;
use crate::graph::ValueId;

/// The oldest version of ONNX's operators that is read: the first in which shapes broadcast as in
/// NumPy.
const OLDEST_OPSET: i64 = 7;

/// The most axes of a value or constant.
const MAX_AXES: usize = 64;

/// Reads an ONNX file, and the files beside it that hold numbers of its tensors; see [`read_with`].
///
/// # Errors
/// [`OnnxError::File`] if the file can't be read or is larger than [`MAX_BYTES`], and the errors of
/// [`read_with`].
pub fn read_file(path: &Path) -> Result<Model, OnnxError> {
    read_with(read_bytes(path)?, &ReadOptions::beside(path))
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

/// Reads the bytes of an ONNX file: a network from one input, an image, to one output, a number for
/// each class.
///
/// The first axis of the image is the batch's; a batch of a fixed size is read as one of any size.
/// Where the batch can't be followed through the model, or has no axis, each image is evaluated as
/// if it were alone, and [`Model::notes`] says so. Bytes that are given away (a `Vec`) are not
/// copied.
///
/// # Errors
/// [`OnnxError`], which names the node or tensor that does not fit.
pub fn read_with(bytes: impl Into<Vec<u8>>, options: &ReadOptions) -> Result<Model, OnnxError> {
    let ReadFile {
        builder,
        output,
        metadata,
        files,
        whole,
        notes,
    } = read_network(bytes.into(), options, false)?;
    Ok(Model {
        network: builder.finish(output)?,
        metadata,
        files,
        whole,
        notes,
    })
}

/// What [`read_exact`] reads.
#[derive(Debug, Clone)]
pub struct ExactModel {
    /// The network with the file's own numbers.
    pub network: ExactNetwork,
    /// The files beside the model's own that hold some of its numbers, as in [`Model::files`].
    pub files: Vec<String>,
}

/// Reads the bytes of an ONNX file with its own numbers, none of them rounded to single precision;
/// otherwise like [`read_with`].
///
/// # Errors
/// [`OnnxError`], which names the node or tensor that does not fit.
pub fn read_exact(
    bytes: impl Into<Vec<u8>>,
    options: &ReadOptions,
) -> Result<ExactModel, OnnxError> {
    let ReadFile {
        builder,
        output,
        files,
        ..
    } = read_network(bytes.into(), options, true)?;
    let network = builder.finish_exact(output)?;
    Ok(ExactModel { network, files })
}

/// A file that is read, but for the numbers of the weights; the fields are those of [`Model`].
struct ReadFile {
    builder: Builder,
    /// The value of the output.
    output: ValueId,
    metadata: BTreeMap<String, String>,
    files: Vec<String>,
    whole: Option<[f64; 2]>,
    notes: Vec<String>,
}

/// Reads a file; `exact` is as in [`Builder`].
fn read_network(bytes: Vec<u8>, options: &ReadOptions, exact: bool) -> Result<ReadFile, OnnxError> {
    let (model, mut account) = decode(bytes, options)?;
    let graph = model
        .graph
        .ok_or_else(|| OnnxError::NotOnnx("it has no graph".into()))?;
    let GraphProto {
        node: nodes,
        initializer,
        input: inputs,
        output: outputs,
        ..
    } = graph;
    let opset = graph::opset_of(&model.opset_import).unwrap_or(1);
    let calls = functions::write_out(nodes, opset, &model.functions)?;
    let producers = Producers::new(&calls);
    let wanted = options.output.as_deref();
    let (output, note) = interface::output(&outputs, &calls, &producers, wanted)?;
    let order = graph::order(&calls, &producers, &output)?;
    let calls: Vec<&Call> = order.into_iter().map(|position| &calls[position]).collect();
    check_operators(&calls)?;
    let names = calls.iter().flat_map(|call| &call.node.input);
    let needed: HashSet<&str> = names.map(String::as_str).chain([&*output]).collect();

    // Old files list their weights as inputs, too.
    let stored: HashSet<&str> = initializer.iter().map(|tensor| &*tensor.name).collect();
    let given = |name: &str| stored.contains(name) && !options.constants.contains_key(name);
    let inputs: Vec<_> = inputs.iter().filter(|info| !given(&info.name)).collect();
    let image = interface::image(&inputs, |name| needed.contains(name), options, &output)?;
    let readings = interface::readings(image, &outputs, options)?;

    let mut external = ExternalFiles::of(options.folder.as_deref());
    let mut constants = Vec::new();
    let tensors = calls.iter().filter_map(|call| stored_constant(&call.node));
    let types = tensors.map(|(name, tensor)| (name.to_owned(), tensor.data_type));
    let mut types: HashMap<String, i32> = types.collect();
    for (name, (shape, values)) in &options.constants {
        let info = inputs.iter().find(|info| info.name == *name);
        let kind = info.map_or(0, |info| interface::type_of(info));
        constants.push((name.clone(), Rc::new(Constant::given(shape, values, kind))));
    }
    let chosen = |name: &str| options.constants.contains_key(name) || name == image.name;
    let of_nodes = calls
        .iter()
        .filter_map(|call| external_constant(&call.node));
    let of_nodes: Vec<TensorProto> = of_nodes.collect();
    for tensor in initializer.into_iter().chain(of_nodes) {
        let name = tensor.name.clone();
        if needed.contains(&*name) && !chosen(&name) {
            types.insert(name.clone(), tensor.data_type);
            let constant = Constant::read(tensor, &mut external, &mut account)?;
            constants.push((name, Rc::new(constant)));
        }
    }
    account.begin();
    let file = Graph {
        calls: &calls,
        image,
        output: &output,
        types: &types,
        account,
        exact,
    };
    let (builder, output, reading_note) = file.network(readings, constants)?;
    let entries = model.metadata_props.into_iter();
    Ok(ReadFile {
        builder,
        output,
        metadata: entries
            .map(|entry| (entry.key, entry.value))
            .collect::<BTreeMap<_, _>>(),
        files: external.names(),
        whole: interface::whole_range(image),
        notes: [note, reading_note, interface::whole_note(image)]
            .into_iter()
            .flatten()
            .collect(),
    })
}

/// Decodes the bytes of a file, as far as the memory allows; gives what that has taken, too.
fn decode(bytes: Vec<u8>, options: &ReadOptions) -> Result<(ModelProto, Account), OnnxError> {
    if let Some(error) = foreign::foreign(&bytes) {
        return Err(error);
    }
    let mut account = Account::new(options.budget);
    account.take(options.held, || "what is in memory already".to_owned())?;
    account.take(bytes.len() as u64, || "the file".to_owned())?;
    account.take(wire::decoded_bytes(&bytes), || {
        "the file's nodes and tensors".to_owned()
    })?;
    let model = ModelProto::decode(Bytes::from(bytes));
    let model = model.map_err(|error| OnnxError::NotOnnx(error.to_string()))?;
    Ok((model, account))
}

/// Checks that all operators are known, and in versions that are.
fn check_operators(calls: &[&Call]) -> Result<(), OnnxError> {
    let nodes = || calls.iter().map(|call| &call.node);
    if nodes().any(|node| !operators::is_known(node)) {
        return Err(operators::unsupported(nodes()));
    }
    let old = |call: &&&Call| {
        call.opset < OLDEST_OPSET && matches!(call.node.domain.as_str(), "" | "ai.onnx")
    };
    match calls.iter().find(old) {
        Some(call) => Err(OnnxError::Interface(format!(
            "the model uses version {} of ONNX's operators, older than {OLDEST_OPSET}; convert \
             it with onnx.version_converter",
            call.opset
        ))),
        None => Ok(()),
    }
}

/// The tensor of a Constant, and the name of its output.
fn stored_constant(node: &NodeProto) -> Option<(&str, &TensorProto)> {
    if node.op_type != "Constant" {
        return None;
    }
    let mut attributes = node.attribute.iter();
    let attribute = attributes.find(|attribute| attribute.name == "value")?;
    Some((node.output.first()?, attribute.t.as_ref()?))
}

/// The tensor of a Constant whose numbers are in another file, under the name of its output.
fn external_constant(node: &NodeProto) -> Option<TensorProto> {
    let (name, tensor) = stored_constant(node)?;
    (tensor.data_location != 0).then(|| TensorProto {
        name: name.to_owned(),
        ..tensor.clone()
    })
}

/// The constants of a file, by their names.
type Constants = Vec<(String, Rc<Constant>)>;

/// A file's graph, ready to be read.
struct Graph<'f> {
    calls: &'f [&'f Call],
    image: &'f ValueInfoProto,
    output: &'f str,
    /// The types of constants, by their names.
    types: &'f HashMap<String, i32>,
    /// What reading has taken so far.
    account: Account,
    exact: bool,
}

impl Graph<'_> {
    /// The network by the first of the readings that works, the value of its output, and what has to be
    /// said about the reading.
    fn network(
        &self,
        readings: Vec<Reading>,
        constants: Constants,
    ) -> Result<(Builder, ValueId, Option<String>), OnnxError> {
        let mut first = None;
        for reading in readings {
            match self.read(&reading, &constants) {
                Ok((builder, value)) => {
                    let note = reading.note.map(str::to_owned);
                    return Ok((builder, value, note));
                }
                // Another reading takes as much.
                Err(error @ OnnxError::Budget(_)) => return Err(error),
                // That the batch can't be followed is not the cause if something else is wrong, too.
                Err(error) => match first {
                    None => first = Some(error),
                    Some(OnnxError::Batch { .. }) if reading.batched => first = Some(error),
                    Some(_) => {}
                },
            }
        }
        Err(first.unwrap_or_else(|| OnnxError::Interface("the input can't be read".into())))
    }

    /// All of the graph, with the value of the output.
    fn read(
        &self,
        reading: &Reading,
        constants: &Constants,
    ) -> Result<(Builder, ValueId), OnnxError> {
        let (name, shape) = (&*self.image.name, &reading.shape);
        let opset = self.calls.first().map_or(0, |call| call.opset);
        let account = self.account.clone();
        let mut builder =
            Builder::new(name, shape, reading.batched, reading.batch, opset, account)?;
        builder.set_type_of_input(interface::type_of(self.image));
        builder.exact = self.exact;
        builder.declare_types(self.types);
        builder.declare(self.calls.iter().map(|call| &call.node), self.output);
        if interface::whole_range(self.image).is_some()
            && let Some(&Binding::Value(value)) = builder.binding(name)
        {
            builder.mark_whole(value);
        }
        for (name, constant) in constants {
            builder.bind(name, Binding::Constant(constant.clone()))?;
        }
        for call in self.calls {
            // Read before, from its own file.
            if external_constant(&call.node).is_none() {
                builder.opset = call.opset;
                operators::import(&mut builder, &call.node)?;
            }
        }
        match builder.binding(self.output) {
            Some(&Binding::Value(value)) => Ok((builder, value.id)),
            Some(Binding::Constant(_)) => Err(OnnxError::Interface(format!(
                "the output `{}` does not depend on the numbers of the input `{name}`",
                self.output
            ))),
            None => Err(OnnxError::Interface(format!(
                "nothing gives the output `{}`",
                self.output
            ))),
        }
    }
}
