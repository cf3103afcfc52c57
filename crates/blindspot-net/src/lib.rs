//! Networks as graphs of operators, their gradients, and ONNX.
//!
//! - A [`Graph`] is data: named values, weights, and the [operators](Op) between them.
//! - A [`Network`] is a graph with numbers for its weights, in `f32` or `f64` ([`Real`]).
//! - An [`Evaluator`] runs a network over batches of images, forward and backward.
//! - [`onnx`] reads networks from files and writes them.
//!
//! All shapes, axes and paddings are those of one image; the batch's axis stands before them. What
//! is computed for an image depends on that image alone, to the bit, and not on the rest of its
//! batch. Everything runs on the calling thread.
//!
//! # A network of one's own
//!
//! A fully connected layer with a ReLU, for images of two values and three classes:
//!
//! ```
//! use blindspot_net::ops::{Gemm, Unary};
//! use blindspot_net::{Evaluator, Graph, Network, Op, Operand, argmax, cross_entropy, onnx};
//! use std::collections::BTreeMap;
//!
//! let mut graph = Graph::new("image", &[2])?;
//! let image = Operand::Value(graph.input());
//! let weight = Operand::Weight(graph.weight("weight", &[2, 3])?);
//! let bias = Operand::Weight(graph.weight("bias", &[3])?);
//! let dense = Op::Gemm(Gemm { trans_b: false });
//! let dense = Operand::Value(graph.node("dense", dense, &[image, weight, bias], "sums")?);
//! graph.node("relu", Op::Unary(Unary::Relu), &[dense], "logits")?;
//! let weights = vec![vec![1.0f32, 0.0, -1.0, 0.0, 1.0, 0.5], vec![0.0, 0.1, 0.0]];
//! let network = Network::new(graph, weights)?;
//!
//! // Two images in one batch: outputs, then the gradient of the loss with respect to the images.
//! let mut evaluator = Evaluator::new(&network);
//! evaluator.input(2).copy_from_slice(&[1.0, 0.0, 0.0, 1.0]);
//! let logits = evaluator.forward().to_vec();
//! assert_eq!(logits, [1.0, 0.1, 0.0, 0.0, 1.1, 0.5]);
//! assert_eq!(argmax(&logits[..3]), 0);
//! let mut by_logits = vec![0.0; logits.len()];
//! cross_entropy(&logits, 3, &[0, 1], &mut by_logits, |_image, _loss| {});
//! let by_images = evaluator.backward(&by_logits);
//! assert!(by_images[0] < 0.0, "more of the first value, less loss");
//!
//! // Into a file, and back.
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("network.onnx");
//! let notes = BTreeMap::from([("made by".to_owned(), "hand".to_owned())]);
//! std::fs::write(&path, onnx::write(&network, &notes))?;
//! let model = onnx::read_file(&path)?;
//! assert_eq!((model.network, model.metadata), (network, notes));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod evaluate;
mod exact;
mod graph;
mod loss;
mod matmul;
mod network;
pub mod onnx;
pub mod ops;
mod plan;
mod precision;
mod real;

pub use budget::{Budget, BudgetError, Bytes};
pub use evaluate::{Buffers, Evaluator, NodeTime};
pub use exact::ExactNetwork;
pub use graph::{
    Graph, GraphError, MAX_VALUES, MAX_WEIGHTS, Node, Operand, Value, ValueId, WeightId, WeightInfo,
};
pub use loss::{argmax, cross_entropy};
pub use network::{Network, WeightError};
pub use ops::{Op, OperandShape};
pub use plan::MAX_STEPS;
pub use precision::Precision;
pub use real::{Real, peak_gflops, vectorised};
