//! Tensors that are part of the file: their numbers.

use prost::bytes::Bytes;

use super::MAX_AXES;
use super::external::ExternalFiles;
use super::reals::{Reals, brain, half};
use crate::budget::Account;
use crate::graph::MAX_WEIGHTS;
use crate::onnx::OnnxError;
use crate::onnx::proto::*;

/// The most integers in one constant: shapes and positions are small.
pub(super) const MAX_INTS: usize = 1 << 22;

/// The most 8-bit integers of a constant that are kept as integers.
const MAX_SMALL_INTS: usize = 1 << 16;

/// Shape and numbers of a constant as plain values.
pub(super) type Array = (Vec<usize>, Vec<f64>);

/// An integer of the arithmetic with shapes that exporters leave in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dim {
    /// A number.
    Known(i64),
    /// The number of images in the batch, which is open.
    Batch,
}

/// The numbers of a constant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Numbers {
    /// Real numbers, as the file has them.
    Real(Reals),
    /// Integers, and truth values as 0 and 1.
    Int(Vec<Dim>),
}

impl Numbers {
    pub(super) fn len(&self) -> usize {
        match self {
            Numbers::Real(values) => values.len(),
            Numbers::Int(values) => values.len(),
        }
    }

    /// How many bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Numbers::Real(values) => values.bytes(),
            Numbers::Int(values) => size_of_val(&values[..]),
        }
    }
}

/// A constant: its shape and numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub(super) shape: Vec<usize>,
    pub(super) numbers: Numbers,
    /// Of real numbers that the file computes from others: their
    /// [magnitudes](crate::ExactNetwork); `None` for numbers of the file, and where nobody asks.
    pub(super) magnitudes: Option<Vec<f64>>,
}

impl Constant {
    /// Real numbers in a shape of as many.
    pub(super) fn of_reals(shape: Vec<usize>, values: Vec<f64>) -> Constant {
        Constant::new(shape, Numbers::Real(Reals::Double(values)))
    }

    /// Numbers in a shape of as many.
    pub(super) fn new(shape: Vec<usize>, numbers: Numbers) -> Constant {
        Constant {
            shape,
            numbers,
            magnitudes: None,
        }
    }

    /// A list of integers.
    pub(super) fn list(values: Vec<Dim>) -> Constant {
        Constant::new(vec![values.len()], Numbers::Int(values))
    }

    /// Reads a tensor of any of ONNX's float types (kept as `f64`), integer types, or truth values.
    ///
    /// # Errors
    /// [`OnnxError::Tensor`] where it does not fit itself, [`OnnxError::Budget`] where it is too large.
    pub(super) fn read(
        tensor: TensorProto,
        external: &mut ExternalFiles,
        account: &mut Account,
    ) -> Result<Constant, OnnxError> {
        let name = tensor.name.clone();
        account.take(copied_bytes(&tensor), || format!("tensor `{name}`"))?;
        read(tensor, external).map_err(|why| OnnxError::Tensor { name, why })
    }

    /// Numbers given from outside of the file, for a value of one of ONNX's types.
    pub(super) fn given(shape: &[usize], values: &[f32], data_type: i32) -> Constant {
        let numbers = if is_real(data_type) || data_type == 0 {
            Numbers::Real(Reals::Single(values.to_vec()))
        } else {
            ints(values.iter().map(|&value| value as i64))
        };
        Constant::new(shape.to_vec(), numbers)
    }

    /// How many bytes of memory its numbers take, with their magnitudes.
    pub(super) fn bytes(&self) -> usize {
        let magnitudes = self.magnitudes.as_deref().map_or(0, size_of_val);
        self.numbers.bytes() + magnitudes
    }

    /// Its numbers, if they are real.
    pub(super) fn reals(&self) -> Option<&Reals> {
        match &self.numbers {
            Numbers::Real(values) => Some(values),
            Numbers::Int(_) => None,
        }
    }

    /// The magnitudes of its numbers, if they are real: no smaller than their absolute values.
    pub(super) fn magnitudes(&self) -> Vec<f64> {
        match &self.magnitudes {
            Some(magnitudes) => magnitudes.clone(),
            None => self.reals().map_or_else(Vec::new, |reals| {
                let sizes = reals.iter().map(f64::abs);
                sizes.collect()
            }),
        }
    }

    /// Its numbers, if they are integers.
    pub(super) fn ints(&self) -> Option<&[Dim]> {
        match &self.numbers {
            Numbers::Int(values) => Some(values),
            Numbers::Real(_) => None,
        }
    }
}

/// How many bytes the numbers of a tensor take beside those that they are read from: none where they
/// stay where they are in the file.
fn copied_bytes(tensor: &TensorProto) -> u64 {
    let count = shape_of(tensor).map_or(0, |shape| shape.iter().product::<usize>());
    let width = match tensor.data_location {
        _ if !is_real(tensor.data_type) => size_of::<Dim>(),
        0 if tensor.raw_data.is_empty() => size_of::<f32>(),
        0 => 0,
        _ => width(tensor.data_type).unwrap_or(0),
    };
    count.saturating_mul(width) as u64
}

/// Reads a tensor.
fn read(mut tensor: TensorProto, external: &mut ExternalFiles) -> Result<Constant, String> {
    if tensor.dims.len() > MAX_AXES {
        let axes = tensor.dims.len();
        return Err(format!("it has {axes} axes, more than {MAX_AXES}"));
    }
    let shape = shape_of(&tensor).ok_or_else(|| format!("its shape is {:?}", tensor.dims))?;
    let count = shape.iter().product();
    let width = width(tensor.data_type)?;
    // So many bytes are the weights of a quantised network, and no shape.
    let weights = matches!(tensor.data_type, INT8 | UINT8) && count > MAX_SMALL_INTS;
    if !is_real(tensor.data_type) && !weights && count > MAX_INTS {
        return Err(format!("it has {count} integers, more than {MAX_INTS}"));
    }
    let bytes = match tensor.data_location {
        0 if tensor.raw_data.is_empty() => None,
        0 => Some(std::mem::take(&mut tensor.raw_data)),
        _ => {
            let bytes = external.read(&tensor.external_data, count * width)?;
            Some(Bytes::from(bytes))
        }
    };
    let found = bytes.as_ref().map(|bytes| bytes.len());
    if let Some(found) = found.filter(|&found| found != count * width) {
        return Err(format!(
            "its shape is {shape:?}, but it has {found} bytes, not {}",
            count * width
        ));
    }
    let numbers = match bytes {
        Some(bytes) if weights || is_real(tensor.data_type) => Numbers::Real(Reals::Stored {
            data_type: tensor.data_type,
            bytes,
        }),
        Some(bytes) => of_bytes(tensor.data_type, &bytes),
        None => of_fields(tensor),
    };
    if numbers.len() == count {
        Ok(Constant::new(shape, numbers))
    } else {
        Err(format!(
            "its shape is {shape:?}, but it has {} numbers",
            numbers.len()
        ))
    }
}

/// Whether one of ONNX's types holds real numbers.
pub(super) fn is_real(data_type: i32) -> bool {
    matches!(data_type, FLOAT | DOUBLE | FLOAT16 | BFLOAT16)
}

/// Whether one of ONNX's types holds whole numbers.
pub(super) fn is_whole(data_type: i32) -> bool {
    matches!(
        data_type,
        UINT8 | INT8 | UINT16 | INT16 | INT32 | INT64 | UINT32 | UINT64
    )
}

/// What ONNX calls a type.
pub(super) fn type_name(data_type: i32) -> String {
    const NAMES: [&str; 17] = [
        "undefined",
        "float32",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "float64",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    let name = usize::try_from(data_type).ok().and_then(|i| NAMES.get(i));
    name.map_or_else(|| format!("number {data_type}"), |&name| name.to_owned())
}

/// The shape of a tensor, unless no memory could hold it.
fn shape_of(tensor: &TensorProto) -> Option<Vec<usize>> {
    let sizes = tensor.dims.iter().map(|&size| usize::try_from(size).ok());
    let shape: Vec<usize> = sizes.collect::<Option<_>>()?;
    let count = shape
        .iter()
        .try_fold(1usize, |n, &size| n.checked_mul(size.max(1)))?;
    (count <= MAX_WEIGHTS).then_some(shape)
}

/// How many bytes a number takes where a tensor is stored as bytes.
fn width(data_type: i32) -> Result<usize, String> {
    match data_type {
        BOOL | INT8 | UINT8 => Ok(1),
        FLOAT16 | BFLOAT16 | INT16 | UINT16 => Ok(2),
        FLOAT | INT32 | UINT32 => Ok(4),
        DOUBLE | INT64 | UINT64 => Ok(8),
        other => Err(format!(
            "its numbers are of the type {}; export the model in float32",
            type_name(other)
        )),
    }
}

/// Integers stored as little-endian bytes.
fn of_bytes(data_type: i32, bytes: &[u8]) -> Numbers {
    match data_type {
        INT64 => ints(words(bytes).map(i64::from_le_bytes)),
        INT32 => ints(words(bytes).map(i32::from_le_bytes)),
        INT16 => ints(words(bytes).map(i16::from_le_bytes)),
        INT8 => ints(words(bytes).map(i8::from_le_bytes)),
        UINT64 => ints(words(bytes).map(|word| saturated(u64::from_le_bytes(word)))),
        UINT32 => ints(words(bytes).map(u32::from_le_bytes)),
        UINT16 => ints(words(bytes).map(u16::from_le_bytes)),
        // Bytes, and truth values.
        _ => ints(bytes.iter().copied()),
    }
}

/// Numbers stored in the field for their type.
fn of_fields(tensor: TensorProto) -> Numbers {
    let bits = || tensor.int32_data.iter().copied();
    match tensor.data_type {
        FLOAT => Numbers::Real(Reals::Single(tensor.float_data)),
        DOUBLE => Numbers::Real(Reals::Double(tensor.double_data)),
        FLOAT16 => singles(bits().map(|bits| half(bits as u16))),
        BFLOAT16 => singles(bits().map(|bits| brain(bits as u16))),
        INT64 => ints(tensor.int64_data.iter().copied()),
        UINT64 | UINT32 => ints(tensor.uint64_data.iter().map(|&x| saturated(x))),
        _ => ints(bits()),
    }
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    let words = bytes.chunks_exact(N);
    words.map(|word| word.try_into().expect("chunks are exact"))
}

fn singles(values: impl Iterator<Item = f32>) -> Numbers {
    Numbers::Real(Reals::Single(values.collect()))
}

fn ints(values: impl Iterator<Item = impl Into<i64>>) -> Numbers {
    Numbers::Int(values.map(|value| Dim::Known(value.into())).collect())
}

/// The nearest number that has a sign.
fn saturated(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
