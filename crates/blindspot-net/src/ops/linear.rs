//! Fully connected layers.

use super::{Gradient, Input, Kernel};
use crate::matmul::{Matrix, product, rows_times_matrix};
use crate::ops::OperandShape;
use crate::real::Real;

/// `x w + b` for each row x of the value: ONNX's Gemm with the scale factors folded into the
/// weights, and MatMul where `b` is missing. Operands: a value [..., k], a weight [k, m] (or
/// [m, k] where `trans_b` is set), and a weight of shape `[m]` if there is a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gemm {
    /// The weight is stored transposed, [m, k].
    pub trans_b: bool,
}

impl Gemm {
    fn weight<'a, T>(&self, input: &Input<'a, T>) -> Matrix<'a, T> {
        let stored = Matrix::new(input.data, input.shape[0], input.shape[1]);
        if self.trans_b {
            stored.transposed()
        } else {
            stored
        }
    }

    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let (value, weight, bias) = match inputs {
            [OperandShape::Value(value), OperandShape::Weight(weight)] => (value, weight, None),
            [
                OperandShape::Value(value),
                OperandShape::Weight(w),
                OperandShape::Weight(bias),
            ] => (value, w, Some(bias)),
            _ => {
                return Err(format!(
                    "takes a value, a weight and perhaps a bias, not {inputs:?}"
                ));
            }
        };
        let (k, m) = match (*weight, self.trans_b) {
            (&[k, m], false) | (&[m, k], true) => (k, m),
            _ => {
                return Err(format!(
                    "the weight must have two axes, not shape {weight:?}"
                ));
            }
        };
        if value.last() != Some(&k) {
            return Err(format!(
                "a value of shape {value:?} does not fit a weight of {k} rows"
            ));
        }
        if let Some(bias) = bias.filter(|&&bias| bias != [m]) {
            return Err(format!("a bias of shape {bias:?} does not fit {m} outputs"));
        }
        let mut shape = value.to_vec();
        *shape.last_mut().expect("the last axis was just compared") = m;
        Ok(shape)
    }
}

impl<T: Real> Kernel<T> for Gemm {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        if let Some(bias) = inputs.get(2) {
            for row in output.chunks_exact_mut(bias.data.len()) {
                row.copy_from_slice(bias.data);
            }
        }
        rows_times_matrix(
            inputs[0].data,
            self.weight(&inputs[1]),
            output,
            inputs.len() > 2,
        );
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
        let weight = self.weight(&inputs[1]);
        let rows = output_gradient.len() / weight.cols;
        if let Some(gradient) = &mut gradients[0] {
            let accumulate = gradient.accumulate;
            rows_times_matrix(
                output_gradient,
                weight.transposed(),
                gradient.data,
                accumulate,
            );
        }
        if let Some(gradient) = &mut gradients[1] {
            let x = Matrix::new(inputs[0].data, rows, weight.rows);
            let dy = Matrix::new(output_gradient, rows, weight.cols);
            let (a, b) = if self.trans_b { (dy, x) } else { (x, dy) };
            product(a.transposed(), b, gradient.data, gradient.accumulate);
        }
        if let Some(Some(gradient)) = gradients.get_mut(2) {
            gradient.begin_sum();
            for row in output_gradient.chunks_exact(weight.cols) {
                for (sum, &value) in gradient.data.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}
