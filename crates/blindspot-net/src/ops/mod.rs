//! The operators: what each computes, its gradient, and the shapes that it takes.
//!
//! An operator is data (an [`Op`], after the ONNX operators that it stands for); what runs it is
//! its kernel. All shapes, axes and paddings are those of one image: the batch's axis stands before
//! them and is no operator's concern. A new operator is a file here with the two directions, and a
//! line in each `match` below.

mod binary;
mod choose;
mod concat;
mod conv;
mod cost;
mod dropout;
mod gather;
mod identity;
mod linear;
mod local;
mod lrn;
mod matmul;
mod normalize;
mod pad;
mod pool;
mod reduce;
mod reshape;
mod shape;
mod slice;
mod softmax;
mod strided_loop;
mod topk;
mod transpose;
mod unary;
mod window;

pub use binary::Binary;
pub use choose::Where;
pub use concat::Concat;
pub use conv::Conv;
pub use dropout::Dropout;
pub use gather::Gather;
pub use linear::Gemm;
pub use local::{Fields, Local, tiles};
pub use lrn::Lrn;
pub use matmul::MatMul;
pub use normalize::Normalize;
pub use pad::{Pad, PadMode};
pub use pool::{Pool, PoolKind};
pub use reduce::{Reduce, ReduceKind};
pub use reshape::Reshape;
pub use shape::OperandShape;
use shape::only_value;
pub use slice::{Slice, SliceAxis};
pub use softmax::Softmax;
pub(crate) use softmax::softmax_rows;
pub use topk::TopK;
pub use transpose::Transpose;
pub use unary::Unary;
pub use window::Window;

use crate::real::Real;

/// An operator and its attributes.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A function of one number, applied to each: Relu, Sigmoid, Clip and so on.
    Unary(Unary),
    /// A function of two numbers, with broadcasting: Add, Mul, PRelu and so on.
    Binary(Binary),
    /// Numbers of one operand or of another, by a condition.
    Where(Where),
    /// `x w + b`: a fully connected layer.
    Gemm(Gemm),
    /// The matrix product of two values, or of a weight and a value.
    MatMul(MatMul),
    /// A convolution over one or two axes.
    Conv(Conv),
    /// A convolution whose weights are not shared between positions.
    Local(Local),
    /// The maximum or mean over windows.
    Pool(Pool),
    /// Local response normalisation over neighbouring channels.
    Lrn(Lrn),
    /// Numbers brought to mean 0 and variance 1, along the last axes.
    Normalize(Normalize),
    /// Exponentials normalised to sum 1 along an axis, or their logarithms.
    Softmax(Softmax),
    /// Mean, sum, maximum, norm and the like over axes.
    Reduce(Reduce),
    /// The largest numbers along an axis.
    TopK(TopK),
    /// The same numbers under another shape.
    Reshape(Reshape),
    /// The axes in another order.
    Transpose(Transpose),
    /// Operands one after the other along an axis.
    Concat(Concat),
    /// A part of each axis, perhaps in steps, perhaps backwards.
    Slice(Slice),
    /// Chosen positions of an axis.
    Gather(Gather),
    /// More at the borders.
    Pad(Pad),
    /// The identity, but while training.
    Dropout(Dropout),
}

/// Applies an expression to the operator, whichever it is.
macro_rules! each {
    ($op:expr, $inner:ident => $result:expr) => {
        match $op {
            Op::Unary($inner) => $result,
            Op::Binary($inner) => $result,
            Op::Where($inner) => $result,
            Op::Gemm($inner) => $result,
            Op::MatMul($inner) => $result,
            Op::Conv($inner) => $result,
            Op::Local($inner) => $result,
            Op::Pool($inner) => $result,
            Op::Lrn($inner) => $result,
            Op::Normalize($inner) => $result,
            Op::Softmax($inner) => $result,
            Op::Reduce($inner) => $result,
            Op::TopK($inner) => $result,
            Op::Reshape($inner) => $result,
            Op::Transpose($inner) => $result,
            Op::Concat($inner) => $result,
            Op::Slice($inner) => $result,
            Op::Gather($inner) => $result,
            Op::Pad($inner) => $result,
            Op::Dropout($inner) => $result,
        }
    };
}

impl Op {
    /// ONNX's name for it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Unary(op) => op.name(),
            Op::Binary(op) => op.name(),
            Op::Where(_) => "Where",
            Op::Gemm(_) => "Gemm",
            Op::MatMul(_) => "MatMul",
            Op::Conv(_) => "Conv",
            Op::Local(_) => "MatMul",
            Op::Pool(op) => op.name(),
            Op::Lrn(_) => "LRN",
            Op::Normalize(op) => op.name(),
            Op::Softmax(op) => op.name(),
            Op::Reduce(op) => op.name(),
            Op::TopK(_) => "TopK",
            Op::Reshape(_) => "Reshape",
            Op::Transpose(_) => "Transpose",
            Op::Concat(_) => "Concat",
            Op::Slice(_) => "Slice",
            Op::Gather(_) => "Gather",
            Op::Pad(_) => "Pad",
            Op::Dropout(_) => "Dropout",
        }
    }

    /// The shape of its output for one image, or what does not fit.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        each!(self, op => op.infer(inputs))
    }

    /// What runs it in the number type `T`.
    pub(crate) fn kernel<T: Real>(&self) -> &dyn Kernel<T> {
        T::kernel(self)
    }

    /// What runs the operator in the number type `T`, for [`Real::kernel`] alone: any other caller
    /// compiles all kernels once more.
    pub(crate) fn compiled<T: Real>(&self) -> &dyn Kernel<T> {
        each!(self, op => op)
    }
}

/// An operand as a kernel sees it.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a, T> {
    /// Of a value: n images one after the other; of a weight: all of it.
    pub(crate) data: &'a [T],
    /// The shape of one image's part, or of the weight.
    pub(crate) shape: &'a [usize],
    /// True where `data` has a part for each image, false for a weight.
    pub(crate) batched: bool,
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

    /// Ready for sums: zero, unless what is there counts.
    pub(crate) fn begin_sum(&mut self) {
        if !self.accumulate {
            self.data.fill(T::zero());
            self.accumulate = true;
        }
    }
}

/// The two directions of an operator over a batch of `n` images. `scratch` is memory that is kept
/// from call to call, of any length and content.
pub(crate) trait Kernel<T: Real> {
    /// Writes the whole of `output`. The part of an image depends on that image alone, to the bit.
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], scratch: &mut Vec<T>);

    /// From the gradient with respect to the output, that with respect to each input for which
    /// there is a place in `gradients`. The part of an image depends on that image alone, to the
    /// bit; the sums over images in a weight's gradient run in the order of the images.
    fn backward(
        &self,
        n: usize,
        inputs: &[Input<'_, T>],
        output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
        scratch: &mut Vec<T>,
    );

    /// How to work in the memory of the input, where that is possible.
    fn in_place(&self) -> Option<&dyn InPlace<T>> {
        None
    }

    /// True where [`backward`](Kernel::backward) can do without its output's numbers: the operator
    /// above may then write over them.
    fn needs_no_output(&self) -> bool {
        false
    }
}

/// An operator on one value that can work in that value's memory, because its gradient can be had
/// from its output alone.
pub(crate) trait InPlace<T: Real> {
    /// From the input to the output, in one place.
    fn forward(&self, data: &mut [T]);

    /// From the gradient with respect to the output to that with respect to the input, in one
    /// place.
    fn backward(&self, output: &[T], gradient: &mut [T]);

    /// False where the numbers stay as they are (another shape).
    fn writes(&self) -> bool {
        true
    }
}
