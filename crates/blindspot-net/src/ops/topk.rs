//! The largest numbers along an axis.

use std::cmp::Ordering;

use super::strided_loop::split_at_axis;
use super::{Gradient, Input, Kernel, only_value};
use crate::ops::OperandShape;
use crate::real::Real;

/// The `k` largest or smallest numbers along an axis, the most extreme first. Of equal ones the first
/// comes first; NaN counts as larger than all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopK {
    /// The axis of one image.
    pub axis: usize,
    /// How many, from 1 to the length of the axis.
    pub k: usize,
    /// The largest, or else the smallest.
    pub largest: bool,
}

impl TopK {
    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let mut shape = only_value(inputs)?.to_vec();
        match shape.get_mut(self.axis) {
            Some(length) if (1..=*length).contains(&self.k) => *length = self.k,
            _ => {
                let TopK { axis, k, .. } = self;
                return Err(format!(
                    "there are no {k} numbers along axis {axis} of {shape:?}"
                ));
            }
        }
        Ok(shape)
    }

    /// Calls `each` with the place of each number in the value and in the output.
    fn for_each<T: Real>(self, input: &Input<'_, T>, mut each: impl FnMut(usize, usize)) {
        let (_, length, after) = split_at_axis(input.shape, self.axis);
        let mut order: Vec<usize> = Vec::with_capacity(length);
        for (row, data) in input.data.chunks_exact(length * after).enumerate() {
            for column in 0..after {
                order.clear();
                order.extend(0..length);
                let number = |i: usize| data[i * after + column];
                order.sort_by(|&i, &j| {
                    let rising = compare(number(i), number(j));
                    if self.largest {
                        rising.reverse()
                    } else {
                        rising
                    }
                });
                for (place, &i) in order[..self.k].iter().enumerate() {
                    let from = (row * length + i) * after + column;
                    each(from, (row * self.k + place) * after + column);
                }
            }
        }
    }
}

/// The order of numbers, NaN above all.
fn compare<T: Real>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl<T: Real> Kernel<T> for TopK {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        self.for_each(&inputs[0], |from, to| output[to] = inputs[0].data[from]);
    }

    fn backward(
        &self,
        _n: usize,
        inputs: &[Input<'_, T>],
        _output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
        _scratch: &mut Vec<T>,
    ) {
        if let Some(gradient) = &mut gradients[0] {
            gradient.begin_sum();
            self.for_each(&inputs[0], |from, to| {
                gradient.data[from] += output_gradient[to];
            });
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}
