//! Tensors that are part of the file.

use super::OnnxError;
use super::proto::{DOUBLE, FLOAT, INT64, TensorProto};
use crate::graph::MAX_VALUES;

/// The numbers of a constant.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Numbers {
    Real(Vec<f32>),
    Whole(Vec<i64>),
}

/// A constant: its shape and numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub(super) shape: Vec<usize>,
    pub(super) numbers: Numbers,
}

impl Constant {
    /// Reads a tensor of floats, doubles (rounded to floats) or 64-bit integers.
    pub(super) fn new(tensor: &TensorProto) -> Result<Constant, OnnxError> {
        let wrong = |why: String| OnnxError::Tensor {
            name: tensor.name.clone(),
            why,
        };
        if tensor.data_location != 0 {
            let why = "its numbers are in another file; save the model as one file";
            return Err(wrong(why.into()));
        }
        let shape: Option<Vec<usize>> = tensor
            .dims
            .iter()
            .map(|&size| usize::try_from(size).ok())
            .collect();
        let count = shape.as_ref().and_then(|shape| {
            shape
                .iter()
                .try_fold(1usize, |n, &size| n.checked_mul(size))
        });
        let (Some(shape), Some(count)) = (shape, count.filter(|&count| count <= MAX_VALUES)) else {
            return Err(wrong(format!("its shape is {:?}", tensor.dims)));
        };
        let raw = &tensor.raw_data;
        let numbers = match tensor.data_type {
            FLOAT if raw.is_empty() => Numbers::Real(tensor.float_data.clone()),
            FLOAT => Numbers::Real(words(raw, f32::from_le_bytes)),
            DOUBLE if raw.is_empty() => {
                Numbers::Real(tensor.double_data.iter().map(|&x| x as f32).collect())
            }
            DOUBLE => Numbers::Real(words(raw, |bytes| f64::from_le_bytes(bytes) as f32)),
            INT64 if raw.is_empty() => Numbers::Whole(tensor.int64_data.clone()),
            INT64 => Numbers::Whole(words(raw, i64::from_le_bytes)),
            other => {
                return Err(wrong(format!(
                    "its numbers are of ONNX's type {other}; export the model in float32"
                )));
            }
        };
        let found = match &numbers {
            Numbers::Real(values) => values.len(),
            Numbers::Whole(values) => values.len(),
        };
        if found != count {
            return Err(wrong(format!(
                "its shape is {shape:?}, but it has {found} numbers"
            )));
        }
        Ok(Constant { shape, numbers })
    }

    /// Its numbers, where they are real.
    pub(super) fn real(&self) -> Option<&[f32]> {
        match &self.numbers {
            Numbers::Real(values) => Some(values),
            Numbers::Whole(_) => None,
        }
    }

    /// Its numbers, where they are whole.
    pub(super) fn whole(&self) -> Option<&[i64]> {
        match &self.numbers {
            Numbers::Whole(values) => Some(values),
            Numbers::Real(_) => None,
        }
    }
}

/// Little-endian numbers; bytes left over make one number more, so that the count is wrong.
fn words<const N: usize, T>(raw: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    let whole = raw.chunks(N).map(|bytes| {
        let mut word = [0; N];
        word[..bytes.len()].copy_from_slice(bytes);
        number(word)
    });
    let rest = !raw.len().is_multiple_of(N);
    whole.chain(rest.then(|| number([0; N]))).collect()
}
