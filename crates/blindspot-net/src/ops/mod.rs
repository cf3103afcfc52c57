//! The operators: what each computes, its gradient, and the shapes that it takes.
//!
//! An operator is data (an [`Op`], as in the ONNX file); what runs it is its kernel. A new one
//! is a file here with the two directions, and a line in each `match` below.

mod activation;
mod add;
mod linear;
mod reshape;
mod softmax;

pub use activation::{Relu, Sigmoid};
pub use add::Add;
pub use linear::Gemm;
pub use reshape::Reshape;
pub use softmax::Softmax;
pub(crate) use softmax::softmax_rows;

use crate::graph::OperandShape;
use crate::real::Real;

/// An operator and its attributes, by ONNX's names.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// `x w + b`: a fully connected layer.
    Gemm(Gemm),
    /// The sum of two values, or of a value and a weight.
    Add(Add),
    /// The logistic function.
    Sigmoid(Sigmoid),
    /// max(0, x).
    Relu(Relu),
    /// Exponentials normalised to sum 1 over the last axis.
    Softmax(Softmax),
    /// The same numbers under another shape.
    Reshape(Reshape),
}

impl Op {
    /// ONNX's name for it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Gemm(_) => "Gemm",
            Op::Add(_) => "Add",
            Op::Sigmoid(_) => "Sigmoid",
            Op::Relu(_) => "Relu",
            Op::Softmax(_) => "Softmax",
            Op::Reshape(_) => "Reshape",
        }
    }

    /// The shape of its output for one image, or what does not fit.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        match self {
            Op::Gemm(op) => op.infer(inputs),
            Op::Add(op) => op.infer(inputs),
            Op::Sigmoid(_) | Op::Relu(_) => activation::infer(inputs),
            Op::Softmax(op) => op.infer(inputs),
            Op::Reshape(op) => op.infer(inputs),
        }
    }

    /// What runs it in the number type `T`.
    pub(crate) fn kernel<T: Real>(&self) -> &dyn Kernel<T> {
        match self {
            Op::Gemm(op) => op,
            Op::Add(op) => op,
            Op::Sigmoid(op) => op,
            Op::Relu(op) => op,
            Op::Softmax(op) => op,
            Op::Reshape(op) => op,
        }
    }
}

/// An operand as a kernel sees it.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a, T> {
    /// Of a value: n images one after the other; of a weight: all of it.
    pub(crate) data: &'a [T],
    /// The shape of one image's part, or of the weight.
    pub(crate) shape: &'a [usize],
}

/// Where the gradient with respect to an operand goes.
pub(crate) struct Gradient<'a, T> {
    /// As long as the operand.
    pub(crate) data: &'a mut [T],
    /// Add to what is there; otherwise write over it.
    pub(crate) accumulate: bool,
}

impl<T: Real> Gradient<'_, T> {
    /// Puts `value(i)` into, or on top of, each place.
    #[inline(always)]
    pub(crate) fn put(&mut self, value: impl Fn(usize) -> T) {
        if self.accumulate {
            for (i, out) in self.data.iter_mut().enumerate() {
                *out += value(i);
            }
        } else {
            for (i, out) in self.data.iter_mut().enumerate() {
                *out = value(i);
            }
        }
    }
}

/// The two directions of an operator over a batch of `n` images.
pub(crate) trait Kernel<T: Real> {
    /// Writes the whole of `output`. The part of an image depends on that image alone, to the bit.
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T]);

    /// From the gradient with respect to the output, that with respect to each input for which
    /// there is a place in `gradients`.
    fn backward(
        &self,
        n: usize,
        inputs: &[Input<'_, T>],
        output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
    );
}

/// The one value among operands, where an operator takes just that.
fn only_value<'a>(inputs: &[OperandShape<'a>]) -> Result<&'a [usize], String> {
    match inputs {
        [OperandShape::Value(shape)] => Ok(shape),
        _ => Err(format!(
            "takes one value that depends on the image, not {inputs:?}"
        )),
    }
}
