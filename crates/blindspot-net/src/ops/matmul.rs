//! Matrix products of values.

use super::strided_loop::{StridedLoop, broadcast, dense, image_stride, repeated, significant};
use super::{Gradient, Input, Kernel};
use crate::matmul::{Matrix, product};
use crate::ops::OperandShape;
use crate::real::Real;

/// The matrix product of two operands over their last two axes, repeated over the axes before
/// them with broadcasting as in NumPy's matmul (a weight's leading axes of length 1 count for
/// nothing). At least one operand is a value; a value times a
/// weight of two axes is a [`Gemm`](super::Gemm), which is faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatMul;

/// The sizes of each product p x k by k x m, and the shape of the axes before.
struct Sizes {
    p: usize,
    k: usize,
    m: usize,
    repeats: Vec<usize>,
}

/// A shape's axes before the last two, and the last two.
fn split(shape: &[usize], batched: bool) -> Option<(&[usize], [usize; 2])> {
    let (repeats, matrix) = shape.split_last_chunk::<2>()?;
    Some((significant(repeats, batched), *matrix))
}

impl Sizes {
    fn new(a: (&[usize], bool), b: (&[usize], bool)) -> Option<Sizes> {
        let (repeats_a, [p, k]) = split(a.0, a.1)?;
        let (repeats_b, [rows, m]) = split(b.0, b.1)?;
        let repeats = broadcast(repeats_a, repeats_b)?;
        (k == rows).then_some(Sizes { p, k, m, repeats })
    }

    fn of<T>(inputs: &[Input<'_, T>]) -> Sizes {
        let [a, b] = [0, 1].map(|i| (inputs[i].shape, inputs[i].batched));
        Sizes::new(a, b).expect("checked when the graph was built")
    }

    /// Loops over the products: through the output, a and b.
    fn strided_loop<T>(&self, n: usize, inputs: &[Input<'_, T>]) -> StridedLoop<3> {
        let &Sizes { p, k, m, .. } = self;
        let outer = &self.repeats[..];
        let own = |i: usize| {
            let (own, _) = split(inputs[i].shape, inputs[i].batched).expect("checked before");
            own
        };
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let scaled = |strides: Vec<isize>, by: usize| -> Vec<isize> {
            strides
                .into_iter()
                .map(|stride| stride * by as isize)
                .collect()
        };
        let images = [
            (count(outer) * p * m) as isize,
            image_stride(&inputs[0], count(own(0)) * p * k),
            image_stride(&inputs[1], count(own(1)) * k * m),
        ];
        let strides = [
            &scaled(dense(outer), p * m)[..],
            &scaled(repeated(own(0), outer), p * k),
            &scaled(repeated(own(1), outer), k * m),
        ];
        StridedLoop::new(n, images, outer, strides)
    }
}

impl MatMul {
    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let shape = |operand| match operand {
            OperandShape::Value(shape) => (shape, true),
            OperandShape::Weight(shape) => (shape, false),
        };
        match *inputs {
            [OperandShape::Weight(_), OperandShape::Weight(_)] => {
                Err("both operands are weights; one must depend on the image".to_owned())
            }
            [a, b] => match Sizes::new(shape(a), shape(b)) {
                Some(Sizes { p, m, repeats, .. }) => Ok([&repeats[..], &[p, m]].concat()),
                None => Err(format!("{a:?} and {b:?} have no matrix product")),
            },
            _ => Err(format!("takes two operands, not {inputs:?}")),
        }
    }
}

impl<T: Real> Kernel<T> for MatMul {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        let sizes = Sizes::of(inputs);
        let Sizes { p, k, m, .. } = sizes;
        // One product after the other, so that none's order of sums depends on the batch.
        sizes
            .strided_loop(n, inputs)
            .for_each_position([0; 3], |[at, a, b]| {
                let a = Matrix::new(&inputs[0].data[a..][..p * k], p, k);
                let b = Matrix::new(&inputs[1].data[b..][..k * m], k, m);
                product(a, b, &mut output[at..][..p * m], false);
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
        let sizes = Sizes::of(inputs);
        let Sizes { p, k, m, .. } = sizes;
        let lanes = sizes.strided_loop(n, inputs);
        for (side, gradient) in gradients.iter_mut().enumerate() {
            let Some(gradient) = gradient else {
                continue;
            };
            if lanes.repeats(side + 1) {
                gradient.begin_sum();
            }
            lanes.for_each_position([0; 3], |[at, a, b]| {
                let dy = Matrix::new(&output_gradient[at..][..p * m], p, m);
                let accumulate = gradient.accumulate;
                if side == 0 {
                    let b = Matrix::new(&inputs[1].data[b..][..k * m], k, m);
                    let place = &mut gradient.data[a..][..p * k];
                    product(dy, b.transposed(), place, accumulate);
                } else {
                    let a = Matrix::new(&inputs[0].data[a..][..p * k], p, k);
                    let place = &mut gradient.data[b..][..k * m];
                    product(a.transposed(), dy, place, accumulate);
                }
            });
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}
