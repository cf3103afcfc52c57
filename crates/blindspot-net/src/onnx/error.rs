//! Why a file can't be run as a network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::help::help;
use crate::budget::BudgetError;
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
    /// It is a file of another format.
    #[error("it is {what}, not an ONNX model; {advice}")]
    Foreign {
        /// The format, with its article.
        what: &'static str,
        /// How to come by an ONNX model.
        advice: &'static str,
    },
    /// Operators that are not among [`OPERATORS`](super::OPERATORS), each with the number of nodes.
    /// Those of other domains than ONNX's own have it before their names.
    #[error("{}", unsupported(.0))]
    Operators(BTreeMap<String, usize>),
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
    /// A node makes the images of a batch depend on each other, or needs to know how many they are,
    /// and the model can't be read for one image alone.
    #[error("node `{node}` ({operator}): {why}; export the model with a batch of 1")]
    Batch {
        /// The node's name.
        node: String,
        /// The operator.
        operator: String,
        /// What it does with the batch.
        why: String,
    },
    /// The file leaves the size of an image open.
    #[error(
        "the input `{input}` has the shape [{}], of which only the batch may be open; say the \
         shape of an image, or export the model with a fixed one",
        shape.join(", ")
    )]
    OpenShape {
        /// The input's name.
        input: String,
        /// The sizes of its axes, the batch's included: numbers, names, or `?`.
        shape: Vec<String>,
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
    /// Reading the file would take more memory or time than allowed.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// The operators don't fit each other.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A weight is not finite.
    #[error(transparent)]
    Weight(#[from] WeightError),
}

/// Operators with their counts, and what helps.
fn unsupported(operators: &BTreeMap<String, usize>) -> String {
    let mut text = String::from("the model has operators that are not supported: ");
    let named = operators.iter().map(|(operator, count)| match count {
        1 => operator.clone(),
        count => format!("{operator} ({count} times)"),
    });
    text += &named.collect::<Vec<_>>().join(", ");
    let advice = operators.keys().map(|operator| help(operator));
    // Each once.
    for advice in advice.collect::<BTreeSet<_>>() {
        text += "; ";
        text += advice;
    }
    text
}

impl OnnxError {
    /// A name that the file gives to two values.
    pub(super) fn duplicate_name(name: &str) -> OnnxError {
        OnnxError::Interface(format!(
            "the name `{name}` stands for two values; give each its own"
        ))
    }
}
