//! Matrix products of values.

/// The matrix product of two operands over their last two axes, repeated over the axes before
/// them with broadcasting as in NumPy's matmul. At least one operand is a value; a value times a
/// weight of two axes is a [`Gemm`](super::Gemm), which is faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatMul;
