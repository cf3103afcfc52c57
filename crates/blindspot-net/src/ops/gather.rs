//! Chosen positions of an axis.

use super::strided_loop::split_at_axis;
use super::{Gradient, Input, Kernel, only_value};
use crate::ops::OperandShape;
use crate::real::Real;

/// The parts of a value at chosen positions of an axis, in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gather {
    /// The axis of one image.
    pub axis: usize,
    /// The positions; the output's axis is as long as this list. A position may come twice.
    pub positions: Vec<usize>,
}

impl Gather {
    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let (shape, axis) = (only_value(inputs)?, self.axis);
        let Some(&length) = shape.get(axis) else {
            return Err(format!("{shape:?} has no axis {axis}"));
        };
        match self.positions.iter().find(|&&position| position >= length) {
            Some(position) => Err(format!(
                "axis {axis} of {shape:?} has no position {position}"
            )),
            None => {
                let mut shape = shape.to_vec();
                shape[axis] = self.positions.len();
                Ok(shape)
            }
        }
    }

    /// Where each part of the output comes from, in order: (place in the value, place in the
    /// output), and how long a part is.
    fn parts(&self, n: usize, shape: &[usize]) -> (impl Iterator<Item = (usize, usize)>, usize) {
        let (rows, length, part) = split_at_axis(shape, self.axis);
        let starts = (0..n * rows).flat_map(move |row| {
            let positions = self.positions.iter();
            positions.map(move |position| (row * length + position) * part)
        });
        (starts.zip((0..).step_by(part)), part)
    }
}

impl<T: Real> Kernel<T> for Gather {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        let (parts, part) = self.parts(n, inputs[0].shape);
        for (from, to) in parts {
            output[to..to + part].copy_from_slice(&inputs[0].data[from..from + part]);
        }
    }

    fn backward(
        &self,
        n: usize,
        inputs: &[Input<'_, T>],
        _output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
        _scratch: &mut Vec<T>,
    ) {
        if let Some(gradient) = &mut gradients[0] {
            gradient.begin_sum();
            let (parts, part) = self.parts(n, inputs[0].shape);
            for (to, from) in parts {
                let dy = &output_gradient[from..from + part];
                for (sum, &dy) in gradient.data[to..to + part].iter_mut().zip(dy) {
                    *sum += dy;
                }
            }
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}
