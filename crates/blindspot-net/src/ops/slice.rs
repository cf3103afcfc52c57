//! A part of a value.

use super::strided_loop::{StridedLoop, dense};
use super::{Gradient, Input, Kernel, only_value};
use crate::ops::OperandShape;
use crate::real::Real;

/// What is taken of one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceAxis {
    /// The axis of one image.
    pub axis: usize,
    /// The first position taken.
    pub start: usize,
    /// From one position to the next; below 0 it goes backwards.
    pub step: i64,
    /// How many positions.
    pub length: usize,
}

/// A part of some axes; the others are taken whole. ONNX's Slice, and each output of its Split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// What is taken, an axis at most once.
    pub axes: Vec<SliceAxis>,
}

impl Slice {
    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let shape = only_value(inputs)?;
        let mut taken = shape.to_vec();
        for (i, part) in self.axes.iter().enumerate() {
            let &SliceAxis {
                axis,
                start,
                step,
                length,
            } = part;
            if axis >= shape.len() || self.axes[..i].iter().any(|other| other.axis == axis) {
                return Err(format!(
                    "axis {axis} is not one of {shape:?}, or comes twice"
                ));
            }
            let last = i128::from(step) * (length as i128 - 1) + start as i128;
            let inside = |position: i128| (0..shape[axis] as i128).contains(&position);
            if length == 0 || step == 0 || !inside(start as i128) || !inside(last) {
                return Err(format!("{part:?} is no part of {shape:?}"));
            }
            taken[axis] = length;
        }
        Ok(taken)
    }

    /// Where the first number taken stands in an image, and the loops over the value and the
    /// output.
    fn strided_loop(&self, n: usize, shape: &[usize]) -> (usize, StridedLoop<2>) {
        let (mut strides, mut taken, mut first) = (dense(shape), shape.to_vec(), 0);
        let image = shape.iter().product::<usize>() as isize;
        for part in &self.axes {
            first += part.start * strides[part.axis] as usize;
            // A step that is never taken may be too large for anything.
            if part.length > 1 {
                strides[part.axis] *= part.step as isize;
            }
            taken[part.axis] = part.length;
        }
        let count = taken.iter().product::<usize>() as isize;
        let lanes = StridedLoop::new(n, [image, count], &taken, [&strides, &dense(&taken)]);
        (first, lanes)
    }
}

impl<T: Real> Kernel<T> for Slice {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        let (first, lanes) = self.strided_loop(n, inputs[0].shape);
        let (x, length) = (inputs[0].data, lanes.lane_len);
        if lanes.strides[0] == 1 {
            lanes.for_each_lane([first, 0], |[from, to]| {
                output[to..to + length].copy_from_slice(&x[from..from + length]);
            });
        } else {
            lanes.for_each_position([first, 0], |[from, to]| output[to] = x[from]);
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
            let (first, lanes) = self.strided_loop(n, inputs[0].shape);
            lanes.for_each_position([first, 0], |[to, from]| {
                gradient.data[to] += output_gradient[from]
            });
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}
