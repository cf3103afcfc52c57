//! Mean, sum, maximum, norm and the like over axes.

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
    /// The smallest; the gradient goes to the first of several.
    Min,
    /// Their product.
    Prod,
    /// The sum of their absolute values.
    L1,
    /// The root of the sum of their squares; its gradient is 0 where it is 0.
    L2,
    /// The sum of their squares.
    SumSquare,
    /// The natural logarithm of their sum.
    LogSum,
    /// The natural logarithm of the sum of their exponentials.
    LogSumExp,
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
            ReduceKind::Min => "ReduceMin",
            ReduceKind::Prod => "ReduceProd",
            ReduceKind::L1 => "ReduceL1",
            ReduceKind::L2 => "ReduceL2",
            ReduceKind::SumSquare => "ReduceSumSquare",
            ReduceKind::LogSum => "ReduceLogSum",
            ReduceKind::LogSumExp => "ReduceLogSumExp",
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

    /// How many numbers become one.
    fn count(&self, shape: &[usize]) -> usize {
        self.axes.iter().map(|&axis| shape[axis]).product()
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

/// The smaller one, or NaN if one is.
#[inline(always)]
fn smaller<T: Real>(smallest: T, x: T) -> T {
    if x < smallest || x.is_nan() {
        x
    } else {
        smallest
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

/// Folds all numbers of `data` into `output`, which begins as `start`.
fn fold_all<T: Real>(
    lanes: &StridedLoop<2>,
    data: &[T],
    output: &mut [T],
    start: T,
    fold: impl Fn(T, T) -> T,
) {
    output.fill(start);
    fold_lanes(lanes, data, output, &fold, |so_far, lane| {
        lane.iter().fold(so_far, |so_far, &x| fold(so_far, x))
    });
}

/// Sums up `term(x, i)` of the numbers of `data`, i being their place in `output`; `scratch` holds
/// a lane.
fn sum_terms<T: Real>(
    lanes: &StridedLoop<2>,
    data: &[T],
    output: &mut [T],
    scratch: &mut Vec<T>,
    term: impl Fn(T, usize) -> T,
) {
    output.fill(T::zero());
    scratch.clear();
    scratch.resize(lanes.lane_len, T::zero());
    let one_place = lanes.strides[1] == 0;
    lanes.for_each_lane_vectorised(
        #[inline(always)]
        |[from, to]| {
            let lane = &data[from..from + lanes.lane_len];
            for (i, (out, &x)) in scratch.iter_mut().zip(lane).enumerate() {
                *out = term(x, if one_place { to } else { to + i });
            }
            if one_place {
                output[to] += sum(scratch);
            } else {
                for (out, &term) in output[to..].iter_mut().zip(&*scratch) {
                    *out += term;
                }
            }
        },
    );
}

/// Gives each number of the value the gradient of its output times `slope(x, y)`.
fn slopes<T: Real>(
    lanes: &StridedLoop<2>,
    (data, output): (&[T], &[T]),
    output_gradient: &[T],
    gradient: &mut Gradient<'_, T>,
    slope: impl Fn(T, T) -> T,
) {
    lanes.for_each_lane([0; 2], |[from, to]| {
        let range = from..from + lanes.lane_len;
        let data = &data[range.clone()];
        let mut lane = Gradient {
            data: &mut gradient.data[range],
            accumulate: gradient.accumulate,
        };
        match lanes.strides[1] {
            0 => lane.put(|i| output_gradient[to] * slope(data[i], output[to])),
            _ => lane.put(|i| output_gradient[to + i] * slope(data[i], output[to + i])),
        }
    });
}

impl<T: Real> Kernel<T> for Reduce {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], scratch: &mut Vec<T>) {
        let (data, lanes) = (inputs[0].data, self.strided_loop(n, inputs[0].shape));
        match self.kind {
            ReduceKind::Max => fold_all(&lanes, data, output, T::neg_infinity(), larger),
            ReduceKind::Min => fold_all(&lanes, data, output, T::infinity(), smaller),
            ReduceKind::Prod => fold_all(&lanes, data, output, T::one(), |all, x| all * x),
            ReduceKind::Sum | ReduceKind::Mean | ReduceKind::LogSum => {
                output.fill(T::zero());
                let add = |sum, x| sum + x;
                fold_lanes(&lanes, data, output, add, |total, lane| total + sum(lane));
            }
            ReduceKind::L1 => sum_terms(&lanes, data, output, scratch, |x, _| x.abs()),
            ReduceKind::L2 | ReduceKind::SumSquare => {
                sum_terms(&lanes, data, output, scratch, |x, _| x * x);
            }
            ReduceKind::LogSumExp => {
                // Less the largest, so that none overflows.
                let mut largest = vec![T::zero(); output.len()];
                fold_all(&lanes, data, &mut largest, T::neg_infinity(), larger);
                for largest in largest.iter_mut().filter(|largest| largest.is_infinite()) {
                    *largest = T::zero();
                }
                let term = |x: T, i: usize| (x - largest[i]).exp();
                sum_terms(&lanes, data, output, scratch, term);
                for (sum, largest) in output.iter_mut().zip(largest) {
                    *sum = sum.ln() + largest;
                }
            }
        }
        match self.kind {
            ReduceKind::Mean => {
                let scale = T::one() / T::of(self.count(inputs[0].shape) as f64);
                output.iter_mut().for_each(|sum| *sum *= scale);
            }
            ReduceKind::L2 => output.iter_mut().for_each(|sum| *sum = sum.sqrt()),
            ReduceKind::LogSum => output.iter_mut().for_each(|sum| *sum = sum.ln()),
            _ => {}
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
        let (data, lanes) = (inputs[0].data, self.strided_loop(n, inputs[0].shape));
        let (zero, one) = (T::zero(), T::one());
        macro_rules! slopes {
            ($slope:expr) => {
                slopes(&lanes, (data, output), output_gradient, gradient, $slope)
            };
        }
        match self.kind {
            ReduceKind::Max | ReduceKind::Min => {
                gradient.begin_sum();
                // What is left to be given to the first of several.
                scratch.clear();
                scratch.extend_from_slice(output_gradient);
                lanes.for_each_position([0; 2], |[from, to]| {
                    if data[from] == output[to] {
                        gradient.data[from] += std::mem::replace(&mut scratch[to], zero);
                    }
                });
            }
            ReduceKind::Prod => {
                gradient.begin_sum();
                // The product of all numbers but zeros, and how many zeros there are.
                scratch.clear();
                scratch.resize(2 * output.len(), zero);
                let (products, zeros) = scratch.split_at_mut(output.len());
                products.fill(one);
                lanes.for_each_position([0; 2], |[from, to]| match data[from] {
                    x if x == zero => zeros[to] += one,
                    x => products[to] *= x,
                });
                lanes.for_each_position([0; 2], |[from, to]| {
                    let x = data[from];
                    let others = match zeros[to] {
                        none if none == zero => products[to] / x,
                        alone if alone == one && x == zero => products[to],
                        _ => zero,
                    };
                    gradient.data[from] += output_gradient[to] * others;
                });
            }
            ReduceKind::Sum => slopes!(|_, _| one),
            ReduceKind::Mean => {
                let scale = one / T::of(self.count(inputs[0].shape) as f64);
                slopes!(|_, _| scale);
            }
            ReduceKind::L1 => slopes!(|x, _| {
                let below = if x < zero { -one } else { zero };
                if x > zero { one } else { below }
            }),
            ReduceKind::L2 => slopes!(|x, y| if y == zero { zero } else { x / y }),
            ReduceKind::SumSquare => slopes!(|x, _| x + x),
            ReduceKind::LogSum => slopes!(|_, y: T| (-y).exp()),
            ReduceKind::LogSumExp => slopes!(|x, y: T| (x - y).exp()),
        }
    }

    fn needs_no_output(&self) -> bool {
        matches!(
            self.kind,
            ReduceKind::Mean | ReduceKind::Sum | ReduceKind::L1 | ReduceKind::SumSquare
        )
    }
}
