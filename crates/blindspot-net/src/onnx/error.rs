//! Why a file can't be run as a network.

use std::path::PathBuf;

use super::OPERATORS;
use crate::graph::GraphError;
use crate::network::WeightError;

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
    /// It is not an ONNX file, or a damaged one.
    #[error("not an ONNX model ({0}); give a file made by an ONNX exporter")]
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
    /// A weight is not finite.
    #[error(transparent)]
    Weight(#[from] WeightError),
}

impl OnnxError {
    /// A name that the file gives to two values.
    pub(super) fn duplicate_name(name: &str) -> OnnxError {
        OnnxError::Interface(format!(
            "the name `{name}` stands for two values; give each its own"
        ))
    }
}
