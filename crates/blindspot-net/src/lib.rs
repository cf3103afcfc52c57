//! Networks as graphs of operators, their gradients, and ONNX.
//!
//! A [`Graph`] is data: named values and the operators between them. With numbers for its weights
//! it is a [`Network`]; an [`Evaluator`] runs that over batches of images, forward and backward.

mod evaluate;
mod graph;
mod loss;
mod matmul;
mod network;
pub mod onnx;
pub mod ops;
mod real;

pub use evaluate::{Buffers, Evaluator};
pub use graph::{
    Graph, GraphError, MAX_VALUES, MAX_WEIGHTS, Node, Operand, Value, ValueId, WeightId, WeightInfo,
};
pub use loss::{argmax, cross_entropy};
pub use network::{Network, WeightError};
pub use ops::{Op, OperandShape};
pub use real::{Real, vectorised};
