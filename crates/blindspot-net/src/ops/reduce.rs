//! Mean, sum or maximum over axes.

use super::nest::{Nest, dense, repeated, sum};
use super::{Gradient, Input, Kernel, only_value};
use crate::ops::OperandShape;
use crate::real::{Real, vectorised};

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
    fn nest(&self, n: usize, shape: &[usize]) -> Nest<2> {
        let reduced = self.reduced(shape);
        let count = |shape: &[usize]| shape.iter().product::<usize>() as isize;
        let steps = [&dense(shape)[..], &repeated(&reduced, shape)];
        Nest::new(n, [count(shape), count(&reduced)], shape, steps)
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

/// Whether a number takes the place of the largest one so far; NaN does, and stays.
fn beats<T: Real>(x: T, largest: T) -> bool {
    x > largest || x.is_nan()
}

impl<T: Real> Kernel<T> for Reduce {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        let nest = self.nest(n, inputs[0].shape);
        let one_place = nest.steps[1] == 0;
        let largest = self.kind == ReduceKind::Max;
        output.fill(if largest {
            T::neg_infinity()
        } else {
            T::zero()
        });
        vectorised(
            #[inline(always)]
            || {
                nest.runs(
                    [0; 2],
                    #[inline(always)]
                    |[from, to]| {
                        let run = &inputs[0].data[from..from + nest.length];
                        match (largest, one_place) {
                            (false, true) => output[to] += sum(run),
                            (false, false) => {
                                let places = output[to..].iter_mut();
                                places.zip(run).for_each(|(sum, &x)| *sum += x);
                            }
                            (true, true) => {
                                let start = output[to];
                                let larger = |m, &x| if beats(x, m) { x } else { m };
                                output[to] = run.iter().fold(start, larger);
                            }
                            (true, false) => {
                                for (m, &x) in output[to..].iter_mut().zip(run) {
                                    *m = if beats(x, *m) { x } else { *m };
                                }
                            }
                        }
                    },
                );
            },
        );
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
        let nest = self.nest(n, inputs[0].shape);
        if self.kind == ReduceKind::Max {
            gradient.begin_sum();
            // What is left to be given to the first of the largest.
            scratch.clear();
            scratch.extend_from_slice(output_gradient);
            nest.places([0; 2], |[from, to]| {
                if inputs[0].data[from] == output[to] {
                    gradient.data[from] += std::mem::replace(&mut scratch[to], T::zero());
                }
            });
            return;
        }
        let scale = self.scale(inputs[0].shape);
        nest.runs([0; 2], |[from, to]| {
            let mut run = Gradient {
                data: &mut gradient.data[from..from + nest.length],
                accumulate: gradient.accumulate,
            };
            match nest.steps[1] {
                0 => run.put(|_| output_gradient[to] * scale),
                _ => run.put(|i| output_gradient[to + i] * scale),
            }
        });
    }

    fn needs_no_output(&self) -> bool {
        self.kind != ReduceKind::Max
    }
}
