//! Exponentials normalised to sum 1.

use super::strided_loop::split_at_axis;
use super::{Gradient, Input, Kernel, only_value};
use crate::matmul::dot;
use crate::ops::OperandShape;
use crate::real::{Real, vectorised};

/// e^x over its sum along an axis, or the logarithm of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Softmax {
    /// The axis of one image.
    pub axis: usize,
    /// The logarithms instead (ONNX's LogSoftmax).
    pub log: bool,
}

impl Softmax {
    pub(super) fn name(self) -> &'static str {
        if self.log { "LogSoftmax" } else { "Softmax" }
    }

    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        match (only_value(inputs)?, self.axis) {
            (shape, axis) if axis < shape.len() => Ok(shape.to_vec()),
            (shape, axis) => Err(format!("{shape:?} has no axis {axis}")),
        }
    }
}

/// Writes the softmax of each row of length `classes`; the exponentials of a row are taken of
/// x - max, so that none overflows.
pub(crate) fn softmax_rows<T: Real>(x: &[T], out: &mut [T], classes: usize) {
    for (x, out) in x.chunks_exact(classes).zip(out.chunks_exact_mut(classes)) {
        let max = x.iter().copied().fold(T::neg_infinity(), T::max);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x - max;
        }
    }
    vectorised(
        #[inline(always)]
        || {
            for value in out.iter_mut() {
                *value = value.exp_poly();
            }
        },
    );
    for row in out.chunks_exact_mut(classes) {
        let sum: T = row.iter().copied().sum();
        for value in row {
            *value = *value / sum;
        }
    }
}

/// The same along an axis after which `width` numbers stand, of which each is the start of a row;
/// `sums` is memory for them.
fn softmax_columns<T: Real>(
    x: &[T],
    out: &mut [T],
    classes: usize,
    width: usize,
    log: bool,
    sums: &mut Vec<T>,
) {
    sums.clear();
    sums.resize(2 * width, T::zero());
    let (max, sums) = sums.split_at_mut(width);
    let size = classes * width;
    vectorised(
        #[inline(always)]
        || {
            for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
                max.fill(T::neg_infinity());
                sums.fill(T::zero());
                for x in x.chunks_exact(width) {
                    for j in 0..width {
                        max[j] = max[j].max(x[j]);
                    }
                }
                for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                    for j in 0..width {
                        let less = x[j] - max[j];
                        let power = less.exp_poly();
                        sums[j] += power;
                        out[j] = if log { less } else { power };
                    }
                }
                if log {
                    sums.iter_mut().for_each(|sum| *sum = sum.ln());
                }
                for out in out.chunks_exact_mut(width) {
                    for j in 0..width {
                        out[j] = if log {
                            out[j] - sums[j]
                        } else {
                            out[j] / sums[j]
                        };
                    }
                }
            }
        },
    );
}

/// The gradient of one row of probabilities.
fn row_gradient<T: Real>(y: &[T], dy: &[T], out: &mut [T], accumulate: bool) {
    let mean = dot(y, dy);
    vectorised(
        #[inline(always)]
        move || {
            let numbers = out.iter_mut().zip(y).zip(dy);
            if accumulate {
                numbers.for_each(|((out, &y), &dy)| *out += y * (dy - mean));
            } else {
                numbers.for_each(|((out, &y), &dy)| *out = y * (dy - mean));
            }
        },
    );
}

impl<T: Real> Kernel<T> for Softmax {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T], scratch: &mut Vec<T>) {
        let (_, classes, width) = split_at_axis(inputs[0].shape, self.axis);
        match (width, self.log) {
            (1, false) => softmax_rows(inputs[0].data, output, classes),
            _ => softmax_columns(inputs[0].data, output, classes, width, self.log, scratch),
        }
    }

    fn backward(
        &self,
        _n: usize,
        inputs: &[Input<'_, T>],
        output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
        scratch: &mut Vec<T>,
    ) {
        let Some(gradient) = &mut gradients[0] else {
            return;
        };
        let (_, classes, width) = split_at_axis(inputs[0].shape, self.axis);
        let size = classes * width;
        let parts = output
            .chunks_exact(size)
            .zip(output_gradient.chunks_exact(size));
        for ((y, dy), out) in parts.zip(gradient.data.chunks_exact_mut(size)) {
            if width == 1 && !self.log {
                row_gradient(y, dy, out, gradient.accumulate);
                continue;
            }
            // Of the gradients weighted with the probabilities; of logarithms, without weights.
            scratch.clear();
            scratch.resize(width, T::zero());
            for (y, dy) in y.chunks_exact(width).zip(dy.chunks_exact(width)) {
                for (j, sum) in scratch.iter_mut().enumerate() {
                    *sum += if self.log { dy[j] } else { y[j] * dy[j] };
                }
            }
            let rows = y.chunks_exact(width).zip(dy.chunks_exact(width));
            for ((y, dy), out) in rows.zip(out.chunks_exact_mut(width)) {
                let mut out = Gradient {
                    data: out,
                    accumulate: gradient.accumulate,
                };
                if self.log {
                    out.put(|j| dy[j] - y[j].exp_poly() * scratch[j])
                } else {
                    out.put(|j| y[j] * (dy[j] - scratch[j]))
                }
            }
        }
    }
}
