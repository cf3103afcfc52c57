//! ONNX, in and out: the one format of models.
//!
//! [`read_file`] takes classifiers made of the operators in [`OPERATORS`], from whichever exporter
//! they come; [`write()`] gives a file that any ONNX runtime opens. The first axis of every value in
//! a file is the batch's.

mod error;
mod export;
mod help;
mod import;
mod proto;

use std::collections::BTreeMap;

pub use error::OnnxError;
pub use export::write;
pub use import::{
    ExactModel, FUSED, Inspection, OPERATORS, Port, ReadOptions, inspect, read, read_exact,
    read_file, read_with, saved_model,
};

use crate::network::Network;

/// The largest model file that is read, in bytes: 2 GiB, the format's own limit.
pub const MAX_BYTES: u64 = 1 << 31;

/// What is in an ONNX file.
#[derive(Debug, Clone)]
pub struct Model {
    /// The network, which computes in single precision throughout. Its graph says in what
    /// [format](crate::Value::precision) the file keeps each value.
    pub network: Network<f32>,
    /// The file's metadata, by name.
    pub metadata: BTreeMap<String, String>,
    /// The names of the files beside it that its numbers were read from, relative to its folder, in
    /// the order of the alphabet.
    pub files: Vec<String>,
    /// The least and the largest number of an image, if the model takes whole numbers.
    pub whole: Option<[f64; 2]>,
    /// What has to be said about how the file was read, in sentences without a full stop: which of
    /// several outputs was taken, whether the batch could not be followed.
    pub notes: Vec<String>,
}
