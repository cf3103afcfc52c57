//! A trained network as people have it: a [`Model`] is a network with its preprocessing, its input
//! box, its class names and its hash; a [`Classifier`](classifier::Classifier) is what a search
//! needs of one, and no more.
//!
//! ```
//! use blindspot_model::{Answer, Model};
//! use blindspot_net::{Graph, Network, Op, Operand, ops::Gemm};
//!
//! // The logits of an image (x, y) are (y, x).
//! let mut graph = Graph::new("image", &[2])?;
//! let weights = Operand::Weight(graph.weight("weights", &[2, 2])?);
//! let image = Operand::Value(graph.input());
//! graph.node("layer", Op::Gemm(Gemm { trans_b: false }), &[image, weights], "logits")?;
//! let network = Network::new(graph, vec![vec![0.0, 1.0, 1.0, 0.0]])?;
//!
//! let model = Model::from_network(network)?;
//! assert_eq!(model.answer(), Answer::Logits);
//! assert_eq!(model.input_box().upper, 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * [`inputs`]: where a study's inputs come from, one at a time.
//! * [`classify`]: outputs, answers and errors over whole sets.
//! * [`preprocess`]: what a network wants of its input.
//! * [`usual`]: preprocessings that are tried where a network is hardly right.
//! * [`rounding`]: how much of a lead is rounding noise.
//! * [`Norm`]: what the size of a change of an input is.
//!
//! What is done with models stands above: searches, certificates, units, transfer.

pub mod classifier;
pub mod classify;
mod input_box;
pub mod inputs;
mod model;
mod norms;
pub mod preprocess;
pub mod rounding;
pub mod usual;

pub use input_box::InputBox;
pub use model::{
    Answer, ExactModel, Interface, Model, ModelError, ModelOptions, Outputs, read_network,
};
pub use norms::{Grouping, Norm};
