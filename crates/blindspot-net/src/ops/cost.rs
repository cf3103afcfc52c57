//! What running an operator takes, known from shapes alone.

use super::{Op, OperandShape};

/// Multiply-adds of a matrix product that take as long as one other step.
const PRODUCTS_A_STEP: f64 = 8.0;

impl OperandShape<'_> {
    fn len(&self) -> f64 {
        let (OperandShape::Value(shape) | OperandShape::Weight(shape)) = self;
        shape.iter().map(|&size| size as f64).product()
    }

    /// The length of an axis, counted from the last one.
    fn axis_from_last(&self, axis: usize) -> f64 {
        let (OperandShape::Value(shape) | OperandShape::Weight(shape)) = self;
        shape
            .iter()
            .rev()
            .nth(axis)
            .map_or(1.0, |&size| size as f64)
    }
}

impl Op {
    /// About how many elementary steps the operator takes for one image in one direction, from the
    /// shapes of its operands and its output. A core takes a billion of them in a second, or more.
    pub fn steps(&self, inputs: &[OperandShape<'_>], output: &[usize]) -> f64 {
        let outputs: f64 = output.iter().map(|&size| size as f64).product();
        let operands: f64 = inputs.iter().map(OperandShape::len).sum();
        let all = outputs + operands;
        let products = self.multiply_adds(inputs, output) / PRODUCTS_A_STEP;
        all + match (self, inputs) {
            (Op::Conv(conv), [_, weight, ..]) => {
                let kernel: f64 = conv.window.kernel.iter().map(|&size| size as f64).product();
                let channels = weight.axis_from_last(conv.window.kernel.len());
                let positions = outputs / output.first().map_or(1.0, |&features| features as f64);
                let columns = positions * kernel * channels * conv.groups as f64;
                columns + products
            }
            (Op::Gemm(_) | Op::MatMul(_) | Op::Local(_), _) => products,
            (Op::Pool(pool), _) => {
                let kernel = pool.window.kernel.iter().map(|&size| size as f64);
                outputs * kernel.product::<f64>()
            }
            (Op::Lrn(lrn), _) => {
                let channels = output.first().map_or(1, |&channels| channels);
                outputs * lrn.size.min(channels) as f64
            }
            // Functions and sorting take longer than sums.
            (Op::Unary(_) | Op::Softmax(_) | Op::TopK(_), _) => 16.0 * all,
            _ => 4.0 * all,
        }
    }

    /// Multiply-adds of the operator's products for one image in one direction, from the shapes of its
    /// operands and its output: of convolutions, dense layers and matrix products; 0 of all others.
    pub fn multiply_adds(&self, inputs: &[OperandShape<'_>], output: &[usize]) -> f64 {
        let outputs: f64 = output.iter().map(|&size| size as f64).product();
        let terms = match (self, inputs) {
            (Op::Conv(_), [_, weight, ..]) => {
                // The weight is [features, channels, kernel...].
                weight.len() / output.first().map_or(1.0, |&features| features as f64)
            }
            (Op::Gemm(_) | Op::MatMul(_), [a, ..]) => a.axis_from_last(0),
            (Op::Local(local), _) => local.fields.field_len() as f64,
            _ => 0.0,
        };
        outputs * terms
    }

    /// How many numbers of memory the operator needs for `n` images beside its operands, its output
    /// and their gradients, in either direction, at most.
    pub(crate) fn scratch(&self, n: usize, inputs: &[OperandShape<'_>], output: &[usize]) -> u64 {
        let count = |shape: &[usize]| {
            let sizes = shape.iter().map(|&size| size as u64);
            sizes.fold(1, u64::saturating_mul)
        };
        match (self, inputs) {
            (Op::Conv(conv), [OperandShape::Value(value), OperandShape::Weight(weight), ..]) => {
                conv.scratch(value, weight)
            }
            (Op::Pool(_) | Op::Lrn(_) | Op::Softmax(_) | Op::Normalize(_), _) => 2 * count(output),
            (Op::Reduce(_), [OperandShape::Value(value)]) => (2 * n as u64)
                .saturating_mul(count(output))
                .max(count(value)),
            // A list of places.
            (Op::TopK(_), [OperandShape::Value(value)]) => 2 * count(value),
            _ => 0,
        }
    }
}
