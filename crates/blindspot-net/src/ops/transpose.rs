//! The axes in another order.

use super::strided_loop::{StridedLoop, dense};
use super::{Gradient, Input, Kernel, only_value};
use crate::ops::OperandShape;
use crate::real::Real;

/// The axes of one image in another order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transpose {
    /// Axis i of the output is axis `permutation[i]` of the value.
    pub permutation: Vec<usize>,
}

/// Two axes that lie across each other in memory are worked in squares of so many numbers, so that
/// both sides stay in the cache.
const TILE: usize = 16;

impl Transpose {
    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let shape = only_value(inputs)?;
        let permutation = &self.permutation;
        let mut sorted = permutation.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..shape.len()) {
            return Err(format!(
                "{permutation:?} is no order of the axes of {shape:?}"
            ));
        }
        Ok(permutation.iter().map(|&axis| shape[axis]).collect())
    }

    /// Loops over the value (0) and the output (1), in the output's order.
    fn strided_loop(&self, n: usize, shape: &[usize]) -> StridedLoop<2> {
        let order = |of: &dyn Fn(usize) -> isize| -> Vec<isize> {
            self.permutation.iter().map(|&axis| of(axis)).collect()
        };
        let own = dense(shape);
        let from = order(&|axis| own[axis]);
        let out: Vec<usize> = self.permutation.iter().map(|&axis| shape[axis]).collect();
        let image = shape.iter().product::<usize>() as isize;
        StridedLoop::new(n, [image; 2], &out, [&from, &dense(&out)])
    }
}

/// Puts each number of `from`, which is array `side` of the lanes, where it belongs in the other.
fn put<T: Real>(mut lanes: StridedLoop<2>, from: &[T], side: usize, to: &mut Gradient<'_, T>) {
    let (length, inner) = (lanes.lane_len, lanes.strides);
    if inner == [1, 1] {
        lanes.for_each_lane([0; 2], |at| {
            let mut run = Gradient {
                data: &mut to.data[at[1 - side]..][..length],
                accumulate: to.accumulate,
            };
            let from = &from[at[side]..][..length];
            run.put(|i| from[i]);
        });
        return;
    }
    // The innermost loop of the value lies across that of the output.
    let (across, outer) = lanes.take_dense(0);
    lanes.for_each_lane([0; 2], |start| {
        for tile in tiles(across, length) {
            for i in tile.0.clone() {
                for j in tile.1.clone() {
                    let at = |k: usize| start[k] + i * outer[k] as usize + j * inner[k] as usize;
                    let (value, place) = (from[at(side)], &mut to.data[at(1 - side)]);
                    *place = if to.accumulate { *place + value } else { value };
                }
            }
        }
    });
}

/// Squares of at most [`TILE`] that cover a rectangle.
fn tiles(
    rows: usize,
    columns: usize,
) -> impl Iterator<Item = (std::ops::Range<usize>, std::ops::Range<usize>)> {
    let parts = |n: usize| (0..n).step_by(TILE).map(move |i| i..n.min(i + TILE));
    parts(rows).flat_map(move |rows| parts(columns).map(move |columns| (rows.clone(), columns)))
}

impl<T: Real> Kernel<T> for Transpose {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        let mut output = Gradient {
            data: output,
            accumulate: false,
        };
        put(
            self.strided_loop(n, inputs[0].shape),
            inputs[0].data,
            0,
            &mut output,
        );
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
            put(
                self.strided_loop(n, inputs[0].shape),
                output_gradient,
                1,
                gradient,
            );
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}
