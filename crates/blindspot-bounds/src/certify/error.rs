//! Why there are no certificates.

use blindspot_data::ErrorKind;
use blindspot_model::inputs::InputError;
use blindspot_net::{BudgetError, Graph, Node};

use crate::spectrum::layers::name_of;

/// Why a network or its images have no certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertifyError {
    /// The network has an operator without known bounds.
    #[error(
        "node `{node}` ({op}): {why}; certificates take fully connected and convolutional layers, \
         activation functions, maxima, pooling and means, sums and products, and parallel branches"
    )]
    Unsupported {
        /// The node's name.
        node: String,
        /// ONNX's name of its operator.
        op: &'static str,
        /// What is missing.
        why: String,
    },
    /// The network can't be cut into affine layers.
    #[error("the network can't be cut between its layers: {0}")]
    Cut(String),
    /// The model's file can't be read again, or a constant in it has no bound of its rounding.
    #[error("{0}")]
    Model(String),
    /// The time for certificates ran out before their bounds were prepared.
    #[error("the time ran out before its bounds were prepared; give more time")]
    Late,
    /// Certificates take more memory or time than allowed.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// An image can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The images have no labels, so there is no answer to certify.
    #[error("the images have no labels; a certificate is about each image's own label")]
    NoLabels,
    /// Images and network have different sizes.
    #[error("the network takes {network} values, an image has {image}; choose other data")]
    Size {
        /// Values of the network's input.
        network: usize,
        /// Values of an image.
        image: usize,
    },
    /// A label is not one of the network's classes.
    #[error("label {label} is not one of the network's {classes} classes, 0 to {}", classes - 1)]
    Label {
        /// The label.
        label: usize,
        /// The number of classes.
        classes: usize,
    },
    /// The network has fewer than two classes.
    #[error("the network has {0} class; a certificate takes at least 2")]
    Classes(usize),
}

impl CertifyError {
    /// What the error is about: the model or the images.
    pub fn kind(&self) -> ErrorKind {
        match self {
            CertifyError::Unsupported { .. }
            | CertifyError::Cut(_)
            | CertifyError::Model(_)
            | CertifyError::Late
            | CertifyError::Budget(_)
            | CertifyError::Classes(_) => ErrorKind::Model,
            CertifyError::Input(_)
            | CertifyError::NoLabels
            | CertifyError::Size { .. }
            | CertifyError::Label { .. } => ErrorKind::Data,
        }
    }
}

/// The error for a node of a graph.
pub(super) fn unsupported(graph: &Graph, node: &Node, why: &str) -> CertifyError {
    CertifyError::Unsupported {
        node: name_of(graph, node),
        op: node.op.name(),
        why: why.to_owned(),
    }
}
