//! ONNX, in and out: the one format of models.
//!
//! [`write()`] gives a file that any ONNX runtime opens; [`read_file`] takes classifiers made of the
//! operators in [`OPERATORS`], from wherever they come. The first axis of every value is that of
//! the batch.
//!
//! A file is read node by node, in its order (`import` is what is known so far, `operators` what
//! each node adds). What does not depend on the image is computed on the way (`fold`), the
//! arithmetic with shapes that exporters leave included (`whole`).

mod constant;
mod export;
mod external;
mod fold;
mod import;
mod node;
mod operators;
mod proto;
mod read;
mod whole;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use operators::OPERATORS;
pub use read::{Options, read, read_file, read_with};
pub use write::write;

use crate::graph::GraphError;
use crate::network::{Network, WeightError};

/// The largest model file that is read: 2 GiB, the format's own limit.
pub const MAX_BYTES: u64 = 1 << 31;

/// What is in an ONNX file.
#[derive(Debug, Clone)]
pub struct Model {
    /// The network.
    pub network: Network<f32>,
    /// The file's notes, by name.
    pub metadata: BTreeMap<String, String>,
}

/// Why a file can't be run as a network.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum OnnxError {
    /// The file can't be read.
    #[error("can't read {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// It is no ONNX file, or a damaged one.
    #[error("this is no ONNX model ({0}); give a file made by an ONNX exporter")]
    NotOnnx(String),
    /// An operator is not one of [`OPERATORS`].
    #[error(
        "node `{node}` is a {operator}, which is not supported; simplify the model \
         (onnxsim), or export it with operators that are: {}",
        OPERATORS.join(", ")
    )]
    Operator {
        /// The node's name.
        node: String,
        /// The operator, with its domain unless that is ONNX's own.
        operator: String,
    },
    /// A supported operator is used in a way that is not.
    #[error("node `{node}` ({operator}): {why}")]
    Node {
        /// The node's name.
        node: String,
        /// The operator.
        operator: String,
        /// What does not fit.
        why: String,
    },
    /// The inputs or outputs are not those of a classifier.
    #[error("{0}")]
    Interface(String),
    /// A tensor's numbers can't be read.
    #[error("tensor `{name}`: {why}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The operators don't fit each other.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The weights are no finite numbers.
    #[error(transparent)]
    Weight(#[from] WeightError),
}
