//! Exponentials normalised to sum 1.

use super::{Gradient, Input, Kernel, only_value};
use crate::graph::OperandShape;
use crate::matmul::dot;
use crate::real::{Real, vectorised};

/// e^x over its sum, along the last axis of the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Softmax;

impl Softmax {
    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        match only_value(inputs)? {
            [] => Err("takes a value with at least one axis".to_owned()),
            shape => Ok(shape.to_vec()),
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

impl<T: Real> Kernel<T> for Softmax {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T]) {
        let classes = *inputs[0]
            .shape
            .last()
            .expect("checked when the graph was built");
        softmax_rows(inputs[0].data, output, classes);
    }

    fn backward(
        &self,
        _n: usize,
        inputs: &[Input<'_, T>],
        output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
    ) {
        let Some(gradient) = &mut gradients[0] else {
            return;
        };
        let classes = *inputs[0]
            .shape
            .last()
            .expect("checked when the graph was built");
        let rows = output
            .chunks_exact(classes)
            .zip(output_gradient.chunks_exact(classes));
        for ((y, dy), out) in rows.zip(gradient.data.chunks_exact_mut(classes)) {
            let mean = dot(y, dy);
            let mut row = Gradient {
                data: out,
                accumulate: gradient.accumulate,
            };
            row.put(|i| y[i] * (dy[i] - mean));
        }
    }
}
