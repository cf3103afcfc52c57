//! Operators that leave all numbers as they are.

use super::{Gradient, InPlace, Input, Kernel};
use crate::real::Real;

/// Implements [`Kernel`] and [`InPlace`] of operators that give the numbers of their one value.
macro_rules! identity_kernel {
    ($($operator:ty),+) => {$(
        impl<T: Real> Kernel<T> for $operator {
            fn forward(
                &self,
                _n: usize,
                inputs: &[Input<'_, T>],
                output: &mut [T],
                _scratch: &mut Vec<T>,
            ) {
                output.copy_from_slice(inputs[0].data);
            }

            fn backward(
                &self,
                _n: usize,
                _inputs: &[Input<'_, T>],
                _output: &[T],
                output_gradient: &[T],
                gradients: &mut [Option<Gradient<'_, T>>],
                _scratch: &mut Vec<T>,
            ) {
                if let Some(gradient) = &mut gradients[0] {
                    gradient.put(|i| output_gradient[i]);
                }
            }

            fn in_place(&self) -> Option<&dyn InPlace<T>> {
                Some(self)
            }

            fn needs_no_output(&self) -> bool {
                true
            }
        }

        impl<T: Real> InPlace<T> for $operator {
            fn forward(&self, _data: &mut [T]) {}

            fn backward(&self, _output: &[T], _gradient: &mut [T]) {}

            fn writes(&self) -> bool {
                false
            }
        }
    )+};
}

identity_kernel!(super::Dropout, super::Reshape);
