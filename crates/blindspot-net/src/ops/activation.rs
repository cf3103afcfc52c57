//! Functions of one number, applied to each value.

use super::{Gradient, Input, Kernel, only_value};
use crate::graph::OperandShape;
use crate::real::{Real, vectorised};

/// The logistic function, 1 / (1 + e^-x).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sigmoid;

/// max(0, x); its gradient at 0 is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relu;

pub(super) fn infer(inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
    only_value(inputs).map(<[usize]>::to_vec)
}

impl<T: Real> Kernel<T> for Sigmoid {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T]) {
        vectorised(
            #[inline(always)]
            || {
                for (y, &x) in output.iter_mut().zip(inputs[0].data) {
                    *y = T::one() / (T::one() + (-x).exp_poly());
                }
            },
        );
    }

    fn backward(
        &self,
        _n: usize,
        _inputs: &[Input<'_, T>],
        output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
    ) {
        let Some(gradient) = &mut gradients[0] else {
            return;
        };
        vectorised(
            #[inline(always)]
            || {
                let (y, dy) = (output, &output_gradient[..output.len()]);
                gradient.put(
                    #[inline(always)]
                    |i| dy[i] * y[i] * (T::one() - y[i]),
                );
            },
        );
    }
}

impl<T: Real> Kernel<T> for Relu {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T]) {
        vectorised(
            #[inline(always)]
            || {
                for (y, &x) in output.iter_mut().zip(inputs[0].data) {
                    // Written so that NaN stays NaN.
                    *y = if x < T::zero() { T::zero() } else { x };
                }
            },
        );
    }

    fn backward(
        &self,
        _n: usize,
        _inputs: &[Input<'_, T>],
        output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
    ) {
        let Some(gradient) = &mut gradients[0] else {
            return;
        };
        vectorised(
            #[inline(always)]
            || {
                let (y, dy) = (output, &output_gradient[..output.len()]);
                gradient.put(
                    #[inline(always)]
                    |i| if y[i] > T::zero() { dy[i] } else { T::zero() },
                );
            },
        );
    }
}
