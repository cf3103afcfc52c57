//! Numbers brought to mean 0 and variance 1.

use super::strided_loop::sum;
use super::{Gradient, Input, Kernel, only_value};
use crate::ops::OperandShape;
use crate::real::{Real, vectorised};

/// (x - m) / sqrt(v + `epsilon`) with the mean m and the variance v of all numbers along the axes
/// from `axis` on: the core of layer, group and instance normalisation. Without `centred` m is 0 and
/// v the mean square, as in RMS normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalize {
    /// The first of the axes of one image; those after it belong to them, too.
    pub axis: usize,
    /// What is added to the variance.
    pub epsilon: f64,
    /// Whether the mean is subtracted.
    pub centred: bool,
}

impl Normalize {
    pub(crate) fn name(self) -> &'static str {
        if self.centred {
            "LayerNormalization"
        } else {
            "RMSNormalization"
        }
    }

    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        match (only_value(inputs)?, self.axis) {
            (shape, axis) if axis < shape.len() => Ok(shape.to_vec()),
            (shape, axis) => Err(format!("{shape:?} has no axis {axis}")),
        }
    }

    /// How many numbers are normalised together.
    fn row_len(self, shape: &[usize]) -> usize {
        shape[self.axis..].iter().product()
    }

    /// Writes a row less its mean; gives what it is to be multiplied with.
    #[inline(always)]
    fn centre<T: Real>(self, row: &[T], out: &mut [T], squares: &mut [T]) -> T {
        let count = T::of(row.len() as f64);
        let mean = if self.centred {
            sum(row) / count
        } else {
            T::zero()
        };
        for ((out, square), &x) in out.iter_mut().zip(squares.iter_mut()).zip(row) {
            *out = x - mean;
            *square = *out * *out;
        }
        T::one() / (sum(squares) / count + T::of(self.epsilon)).sqrt()
    }
}

impl<T: Real> Kernel<T> for Normalize {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T], scratch: &mut Vec<T>) {
        let row_len = self.row_len(inputs[0].shape);
        scratch.clear();
        scratch.resize(row_len, T::zero());
        let rows = inputs[0].data.chunks_exact(row_len);
        vectorised(
            #[inline(always)]
            || {
                for (row, out) in rows.zip(output.chunks_exact_mut(row_len)) {
                    let scale = self.centre(row, out, scratch);
                    out.iter_mut().for_each(|out| *out *= scale);
                }
            },
        );
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
        let row_len = self.row_len(inputs[0].shape);
        let count = T::of(row_len as f64);
        scratch.clear();
        scratch.resize(2 * row_len, T::zero());
        let (centred, squares) = scratch.split_at_mut(row_len);
        let rows = inputs[0].data.chunks_exact(row_len);
        let outer = output
            .chunks_exact(row_len)
            .zip(output_gradient.chunks_exact(row_len));
        let places = gradient.data.chunks_exact_mut(row_len);
        for ((row, (y, dy)), place) in rows.zip(outer).zip(places) {
            vectorised(
                #[inline(always)]
                || {
                    let scale = self.centre(row, centred, squares);
                    let mean = if self.centred {
                        sum(dy) / count
                    } else {
                        T::zero()
                    };
                    for ((product, &y), &dy) in squares.iter_mut().zip(y).zip(dy) {
                        *product = y * dy;
                    }
                    let along = sum(squares) / count;
                    let mut place = Gradient {
                        data: place,
                        accumulate: gradient.accumulate,
                    };
                    place.put(|i| scale * (dy[i] - mean - y[i] * along));
                },
            );
        }
    }
}
