//! Dropout.

use super::{Gradient, InPlace, Input, Kernel, only_value};
use crate::graph::OperandShape;
use crate::real::Real;

/// The identity: units are only dropped while training, by whoever trains (Hinton et al., 2012).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The part of the units that training drops, in [0, 1).
    pub ratio: f64,
}

impl Dropout {
    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        if (0.0..1.0).contains(&self.ratio) {
            only_value(inputs).map(<[usize]>::to_vec)
        } else {
            Err(format!("a ratio of {} is not in [0, 1)", self.ratio))
        }
    }
}

impl<T: Real> Kernel<T> for Dropout {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
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

impl<T: Real> InPlace<T> for Dropout {
    fn forward(&self, _data: &mut [T]) {}

    fn backward(&self, _output: &[T], _gradient: &mut [T]) {}

    fn is_root(&self) -> bool {
        false
    }
}
