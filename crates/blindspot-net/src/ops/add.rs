//! The sum of two operands.

use super::{Gradient, Input, Kernel};
use crate::graph::OperandShape;
use crate::real::Real;

/// The sum of two values of one shape, or of a value and a weight whose shape is the end of the
/// value's (a bias after MatMul).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Add;

impl Add {
    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        match inputs {
            [OperandShape::Value(a), OperandShape::Value(b)] if a == b => Ok(a.to_vec()),
            [OperandShape::Value(a), OperandShape::Weight(b)] => {
                // Leading axes of length 1 change nothing: [1, m] is added to [m] like [m].
                let significant = b.iter().position(|&axis| axis != 1).unwrap_or(b.len());
                match a.ends_with(&b[significant..]) {
                    true => Ok(a.to_vec()),
                    false => Err(format!(
                        "a weight of shape {b:?} does not fit a value of {a:?}"
                    )),
                }
            }
            _ => Err(format!(
                "takes a value, and a value or a weight that fits it, not {inputs:?}"
            )),
        }
    }
}

impl<T: Real> Kernel<T> for Add {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T]) {
        let (a, b) = (inputs[0].data, inputs[1].data);
        for (out, a) in output
            .chunks_exact_mut(b.len())
            .zip(a.chunks_exact(b.len()))
        {
            for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *out = a + b;
            }
        }
    }

    fn backward(
        &self,
        _n: usize,
        _inputs: &[Input<'_, T>],
        _output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
    ) {
        for gradient in gradients.iter_mut().flatten() {
            if !gradient.accumulate {
                gradient.data.fill(T::zero());
            }
            for part in output_gradient.chunks_exact(gradient.data.len()) {
                for (sum, &value) in gradient.data.iter_mut().zip(part) {
                    *sum += value;
                }
            }
        }
    }
}
