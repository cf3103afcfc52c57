//! The same numbers under another shape.

use super::{Gradient, InPlace, Input, Kernel, only_value};
use crate::graph::OperandShape;
use crate::real::Real;

/// Reads an image's numbers under another shape: ONNX's Reshape, Flatten, Squeeze and Unsqueeze
/// wherever they leave the batch's axis first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshape {
    /// The new shape, without the batch's axis.
    pub shape: Vec<usize>,
}

impl Reshape {
    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let shape = only_value(inputs)?;
        let count = |shape: &[usize]| {
            shape
                .iter()
                .try_fold(1usize, |n, &axis| n.checked_mul(axis))
        };
        if count(shape) == count(&self.shape) {
            Ok(self.shape.clone())
        } else {
            Err(format!("{shape:?} cannot be read as {:?}", self.shape))
        }
    }
}

impl<T: Real> Kernel<T> for Reshape {
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

impl<T: Real> InPlace<T> for Reshape {
    fn forward(&self, _data: &mut [T]) {}

    fn backward(&self, _output: &[T], _gradient: &mut [T]) {}

    fn is_root(&self) -> bool {
        false
    }
}
