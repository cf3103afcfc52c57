//! Operands side by side.

use super::strided_loop::split_at_axis;
use super::{Gradient, Input, Kernel};
use crate::ops::OperandShape;
use crate::real::Real;

/// Operands one after the other along `axis`; each a value or a weight (repeated for every image),
/// at least one a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concat {
    /// The axis of one image.
    pub axis: usize,
}

impl Concat {
    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let mut shapes = inputs.iter().map(|operand| match *operand {
            OperandShape::Value(shape) | OperandShape::Weight(shape) => shape,
        });
        let (Some(first), axis) = (shapes.next(), self.axis) else {
            return Err("takes at least one operand".to_owned());
        };
        let values = inputs
            .iter()
            .filter(|operand| matches!(operand, OperandShape::Value(_)));
        if values.count() == 0 {
            return Err("all operands are weights; one must depend on the image".to_owned());
        }
        if axis >= first.len() {
            return Err(format!("{first:?} has no axis {axis}"));
        }
        let mut joined = first.to_vec();
        for shape in shapes {
            let fits = shape.len() == first.len()
                && (0..shape.len()).all(|i| i == axis || shape[i] == first[i]);
            let length = joined[axis].checked_add(*shape.get(axis).unwrap_or(&0));
            match length {
                Some(length) if fits => joined[axis] = length,
                _ => return Err(format!("{first:?} and {shape:?} do not fit side by side")),
            }
        }
        Ok(joined)
    }

    /// How many numbers of each operand stand side by side, and how often in an image.
    fn parts<T>(self, inputs: &[Input<'_, T>]) -> (Vec<usize>, usize) {
        let part = |input: &Input<'_, T>| {
            let (_, length, after) = split_at_axis(input.shape, self.axis);
            length * after
        };
        let (rows, ..) = split_at_axis(inputs[0].shape, self.axis);
        (inputs.iter().map(part).collect(), rows)
    }
}

impl<T: Real> Kernel<T> for Concat {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        let (parts, rows) = self.parts(inputs);
        for (row, mut output) in output.chunks_exact_mut(parts.iter().sum()).enumerate() {
            for (input, &part) in inputs.iter().zip(&parts) {
                // A weight begins again with each image.
                let row = if input.batched { row } else { row % rows };
                let place;
                (place, output) = output.split_at_mut(part);
                place.copy_from_slice(&input.data[row * part..][..part]);
            }
        }
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
        let (parts, rows) = self.parts(inputs);
        let mut start = 0;
        for ((gradient, input), &part) in gradients.iter_mut().zip(inputs).zip(&parts) {
            if let Some(gradient) = gradient {
                if !input.batched {
                    gradient.begin_sum();
                }
                let all = output_gradient.chunks_exact(parts.iter().sum());
                for (row, dy) in all.enumerate() {
                    let row = if input.batched { row } else { row % rows };
                    let mut place = Gradient {
                        data: &mut gradient.data[row * part..][..part],
                        accumulate: gradient.accumulate,
                    };
                    let dy = &dy[start..start + part];
                    place.put(|i| dy[i]);
                }
            }
            start += part;
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}
