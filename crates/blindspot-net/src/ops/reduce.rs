//! Mean, sum or maximum over axes.

use super::strided_loop::{StridedLoop, dense, repeated, sum};
use super::{Gradient, Input, Kernel, only_value};
use crate::ops::OperandShape;
use crate::real::Real;

/// How the numbers along the axes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceKind {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// The largest; the gradient goes to the first of several.
    Max,
}

/// One number out of all along some axes. GlobalAveragePool and GlobalMaxPool are this over the
/// axes after the channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reduce {
    /// How.
    pub kind: ReduceKind,
    /// The axes of one image, in rising order, none twice.
    pub axes: Vec<usize>,
    /// Whether they stay, with length 1.
    pub keep_axes: bool,
}

impl Reduce {
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            ReduceKind::Mean => "ReduceMean",
            ReduceKind::Sum => "ReduceSum",
            ReduceKind::Max => "ReduceMax",
        }
    }

    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let shape = only_value(inputs)?;
        let rising = self.axes.is_sorted_by(|a, b| a < b);
        if !rising || self.axes.last().is_some_and(|&last| last >= shape.len()) {
            let axes = &self.axes;
            return Err(format!("{axes:?} are no axes of {shape:?} in rising order"));
        }
        let mut reduced = self.reduced(shape);
        if !self.keep_axes {
            let mut axis = 0;
            reduced.retain(|_| {
                axis += 1;
                !self.axes.contains(&(axis - 1))
            });
        }
        Ok(reduced)
    }

    /// The shape with length 1 along the axes.
    fn reduced(&self, shape: &[usize]) -> Vec<usize> {
        let mut reduced = shape.to_vec();
        for &axis in &self.axes {
            reduced[axis] = 1;
        }
        reduced
    }

    /// Loops over the value and the output.
    fn strided_loop(&self, n: usize, shape: &[usize]) -> StridedLoop<2> {
        let reduced = self.reduced(shape);
        let count = |shape: &[usize]| shape.iter().product::<usize>() as isize;
        let strides = [&dense(shape)[..], &repeated(&reduced, shape)];
        StridedLoop::new(n, [count(shape), count(&reduced)], shape, strides)
    }

    /// What a sum is multiplied with.
    fn scale<T: Real>(&self, shape: &[usize]) -> T {
        let count: usize = self.axes.iter().map(|&axis| shape[axis]).product();
        match self.kind {
            ReduceKind::Mean => T::one() / T::of(count as f64),
            ReduceKind::Sum | ReduceKind::Max => T::one(),
        }
    }
}

/// The larger one, or NaN if one is.
#[inline(always)]
fn larger<T: Real>(largest: T, x: T) -> T {
    if x > largest || x.is_nan() {
        x
    } else {
        largest
    }
}

/// Folds the numbers of `data` into `output`: number by number with `fold`, or a lane at a time with
/// `fold_lane` if all of it goes into one place.
fn fold_lanes<T: Real>(
    lanes: &StridedLoop<2>,
    data: &[T],
    output: &mut [T],
    fold: impl Fn(T, T) -> T,
    fold_lane: impl Fn(T, &[T]) -> T,
) {
    let one_place = lanes.strides[1] == 0;
    lanes.for_each_lane_vectorised(
        #[inline(always)]
        |[from, to]| {
            let lane = &data[from..from + lanes.lane_len];
            if one_place {
                output[to] = fold_lane(output[to], lane);
            } else {
                for (out, &x) in output[to..].iter_mut().zip(lane) {
                    *out = fold(*out, x);
                }
            }
        },
    );
}

impl<T: Real> Kernel<T> for Reduce {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        let lanes = self.strided_loop(n, inputs[0].shape);
        if self.kind == ReduceKind::Max {
            output.fill(T::neg_infinity());
            fold_lanes(&lanes, inputs[0].data, output, larger, |largest, lane| {
                lane.iter().fold(largest, |largest, &x| larger(largest, x))
            });
        } else {
            output.fill(T::zero());
            let add = |sum, x| sum + x;
            fold_lanes(&lanes, inputs[0].data, output, add, |total, lane| {
                total + sum(lane)
            });
        }
        if self.kind == ReduceKind::Mean {
            let scale = self.scale(inputs[0].shape);
            output.iter_mut().for_each(|sum| *sum *= scale);
        }
    }

    fn backward(
        &self,
        n: usize,
        inputs: &[Input<'_, T>],
        output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
        scratch: &mut Vec<T>,
    ) {
        let Some(gradient) = &mut gradients[0] else {
            return;
        };
        let lanes = self.strided_loop(n, inputs[0].shape);
        if self.kind == ReduceKind::Max {
            gradient.begin_sum();
            // What is left to be given to the first of the largest.
            scratch.clear();
            scratch.extend_from_slice(output_gradient);
            lanes.for_each_position([0; 2], |[from, to]| {
                if inputs[0].data[from] == output[to] {
                    gradient.data[from] += std::mem::replace(&mut scratch[to], T::zero());
                }
            });
            return;
        }
        let scale = self.scale(inputs[0].shape);
        lanes.for_each_lane([0; 2], |[from, to]| {
            let mut lane = Gradient {
                data: &mut gradient.data[from..from + lanes.lane_len],
                accumulate: gradient.accumulate,
            };
            match lanes.strides[1] {
                0 => lane.put(|_| output_gradient[to] * scale),
                _ => lane.put(|i| output_gradient[to + i] * scale),
            }
        });
    }

    fn needs_no_output(&self) -> bool {
        self.kind != ReduceKind::Max
    }
}
