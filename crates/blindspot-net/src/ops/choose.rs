//! Numbers of one operand or of another.

use super::strided_loop::{StridedLoop, broadcast, dense, image_stride, repeated, significant};
use super::{Gradient, Input, Kernel};
use crate::ops::OperandShape;
use crate::real::Real;

/// Three operands, a condition, a and b: the numbers of a where the condition is not 0, those of b
/// elsewhere. Shapes are repeated as those of a [`Binary`](super::Binary) are; at least one operand
/// is a value. The condition has no gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Where;

impl Where {
    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        if inputs.len() != 3 {
            return Err(format!("takes three operands, not {inputs:?}"));
        }
        let mut values = false;
        let mut shape = Vec::new();
        for operand in inputs {
            let own = match *operand {
                OperandShape::Value(shape) => {
                    values = true;
                    shape
                }
                OperandShape::Weight(shape) => significant(shape, false),
            };
            shape = broadcast(&shape, own)
                .ok_or_else(|| format!("the shapes of {inputs:?} do not fit each other"))?;
        }
        if values {
            Ok(shape)
        } else {
            Err("all operands are weights; one must depend on the image".to_owned())
        }
    }
}

/// Loops over the output, the condition, a and b.
fn strided_loop<T>(n: usize, inputs: &[Input<'_, T>]) -> StridedLoop<4> {
    let own = [0, 1, 2].map(|i| significant(inputs[i].shape, inputs[i].batched));
    let shape = own.iter().fold(Vec::new(), |shape, own| {
        broadcast(&shape, own).expect("checked when the graph was built")
    });
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let image = |i: usize| image_stride(&inputs[i], count(own[i]));
    let images = [count(&shape) as isize, image(0), image(1), image(2)];
    let strides = own.map(|own| repeated(own, &shape));
    let strides = [&dense(&shape)[..], &strides[0], &strides[1], &strides[2]];
    StridedLoop::new(n, images, &shape, strides)
}

impl<T: Real> Kernel<T> for Where {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        let lanes = strided_loop(n, inputs);
        lanes.for_each_position([0; 4], |[to, condition, a, b]| {
            let holds = inputs[0].data[condition] != T::zero();
            output[to] = if holds {
                inputs[1].data[a]
            } else {
                inputs[2].data[b]
            };
        });
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
        for gradient in gradients.iter_mut().flatten() {
            gradient.begin_sum();
        }
        let lanes = strided_loop(n, inputs);
        for side in [1, 2] {
            if let Some(gradient) = &mut gradients[side] {
                lanes.for_each_position([0; 4], |at| {
                    let holds = inputs[0].data[at[1]] != T::zero();
                    if holds == (side == 1) {
                        gradient.data[at[1 + side]] += output_gradient[at[0]];
                    }
                });
            }
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}
