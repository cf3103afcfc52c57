//! Functions of two numbers, with broadcasting.

use super::strided_loop::{
    StridedLoop, broadcast, dense, image_stride, repeated, significant, sum,
};
use super::{Gradient, Input, Kernel};
use crate::ops::OperandShape;
use crate::real::Real;

/// A function of two operands' numbers, each a value or a weight, at least one of them a value.
///
/// Shapes are aligned at their last axes and axes of length 1 are repeated, as in NumPy; the
/// batch's axis stands before all of a value's and is aligned by itself, so a value of shape `[3]`
/// beside one of [2, 3] is repeated twice for each image. A weight's leading axes of length 1 may
/// stand for the batch's axis: they count for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// a + b.
    Add,
    /// a - b.
    Sub,
    /// a b.
    Mul,
    /// a / b.
    Div,
    /// a^b. Where b is 0 the gradient with respect to a is 0, where a is 0 that with respect to b.
    Pow,
    /// The smaller one; where both are equal the gradient goes to a.
    Min,
    /// The larger one; where both are equal the gradient goes to a.
    Max,
    /// a where it is at least 0, a b elsewhere.
    PRelu,
    /// What is left of a after whole times b, with the sign of a: C's fmod.
    Mod,
    /// 1 where a is below b, 0 elsewhere; without a gradient, as all comparisons.
    Less,
    /// 1 where a is at most b, 0 elsewhere.
    LessOrEqual,
    /// 1 where a is above b, 0 elsewhere.
    Greater,
    /// 1 where a is at least b, 0 elsewhere.
    GreaterOrEqual,
    /// 1 where a is b, 0 elsewhere.
    Equal,
}

impl Binary {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Binary::Add => "Add",
            Binary::Sub => "Sub",
            Binary::Mul => "Mul",
            Binary::Div => "Div",
            Binary::Pow => "Pow",
            Binary::Min => "Min",
            Binary::Max => "Max",
            Binary::PRelu => "PRelu",
            Binary::Mod => "Mod",
            Binary::Less => "Less",
            Binary::LessOrEqual => "LessOrEqual",
            Binary::Greater => "Greater",
            Binary::GreaterOrEqual => "GreaterOrEqual",
            Binary::Equal => "Equal",
        }
    }

    /// Whether it gives truth values, 1 and 0.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Binary::Less
                | Binary::LessOrEqual
                | Binary::Greater
                | Binary::GreaterOrEqual
                | Binary::Equal
        )
    }

    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let shape = |operand: &OperandShape<'_>| match *operand {
            OperandShape::Value(shape) => shape.to_vec(),
            OperandShape::Weight(shape) => significant(shape, false).to_vec(),
        };
        match inputs {
            [OperandShape::Weight(_), OperandShape::Weight(_)] => {
                Err("both operands are weights; one must depend on the image".to_owned())
            }
            [a, b] => broadcast(&shape(a), &shape(b))
                .ok_or_else(|| format!("the shapes of {a:?} and {b:?} do not fit each other")),
            _ => Err(format!("takes two operands, not {inputs:?}")),
        }
    }
}

/// Loops over the output, a and b.
fn strided_loop<T>(n: usize, inputs: &[Input<'_, T>]) -> StridedLoop<3> {
    let [a, b] = [0, 1].map(|i| significant(inputs[i].shape, inputs[i].batched));
    let shape = broadcast(a, b).expect("checked when the graph was built");
    let count = |shape: &[usize]| shape.iter().product();
    let images = [
        count(&shape) as isize,
        image_stride(&inputs[0], count(a)),
        image_stride(&inputs[1], count(b)),
    ];
    let strides = [
        &dense(&shape)[..],
        &repeated(a, &shape),
        &repeated(b, &shape),
    ];
    StridedLoop::new(n, images, &shape, strides)
}

/// Calls `each(i, a, b)` for the pairs of the lane that starts at `at`.
#[inline(always)]
fn pairs<T: Real>(
    lanes: &StridedLoop<3>,
    inputs: &[Input<'_, T>],
    at: [usize; 3],
    mut each: impl FnMut(usize, T, T),
) {
    let (a, b) = (&inputs[0].data[at[1]..], &inputs[1].data[at[2]..]);
    match (lanes.strides[1], lanes.strides[2]) {
        (0, 0) => each(0, a[0], b[0]),
        (0, _) => {
            for (i, &b) in b[..lanes.lane_len].iter().enumerate() {
                each(i, a[0], b);
            }
        }
        (_, 0) => {
            for (i, &a) in a[..lanes.lane_len].iter().enumerate() {
                each(i, a, b[0]);
            }
        }
        _ => {
            let pairs = a[..lanes.lane_len].iter().zip(&b[..lanes.lane_len]);
            for (i, (&a, &b)) in pairs.enumerate() {
                each(i, a, b);
            }
        }
    }
}

/// A truth value as a number.
#[inline(always)]
fn truth<T: Real>(holds: bool) -> T {
    if holds { T::one() } else { T::zero() }
}

fn apply<T: Real>(
    n: usize,
    inputs: &[Input<'_, T>],
    output: &mut [T],
    function: impl Fn(T, T) -> T,
) {
    let lanes = strided_loop(n, inputs);
    lanes.for_each_lane_vectorised(
        #[inline(always)]
        |at| {
            let out = &mut output[at[0]..at[0] + lanes.lane_len];
            pairs(
                &lanes,
                inputs,
                at,
                #[inline(always)]
                |i, a, b| out[i] = function(a, b),
            );
        },
    );
}

/// What the gradient of an operand is computed from.
struct Chain<'c, 'i, T> {
    n: usize,
    inputs: &'c [Input<'i, T>],
    /// The gradient with respect to the output.
    dy: &'c [T],
    scratch: &'c mut Vec<T>,
}

impl<T: Real> Chain<'_, '_, T> {
    /// The gradient with respect to operand `side`, by the chain rule: each pair (a, b) with the
    /// gradient dy of its output gives the part `part(a, b, dy)`, and the parts of all places to
    /// which an operand is repeated are summed.
    fn gradient(
        &mut self,
        side: usize,
        gradient: &mut Gradient<'_, T>,
        part: impl Fn(T, T, T) -> T,
    ) {
        let inputs = self.inputs;
        let lanes = strided_loop(self.n, inputs);
        let lane_len = lanes.lane_len;
        if lanes.repeats(side + 1) {
            gradient.begin_sum();
        }
        if lane_len > 1 && lanes.strides[side + 1] == 0 {
            // A lane is summed into one place.
            if self.scratch.len() < lane_len {
                self.scratch.resize(lane_len, T::zero());
            }
            let parts = &mut self.scratch[..lane_len];
            lanes.for_each_lane_vectorised(
                #[inline(always)]
                |at| {
                    let dy = &self.dy[at[0]..at[0] + lane_len];
                    pairs(
                        &lanes,
                        inputs,
                        at,
                        #[inline(always)]
                        |i, a, b| parts[i] = part(a, b, dy[i]),
                    );
                    gradient.data[at[side + 1]] += sum(parts);
                },
            );
            return;
        }
        let accumulate = gradient.accumulate;
        lanes.for_each_lane_vectorised(
            #[inline(always)]
            |at| {
                let dy = &self.dy[at[0]..at[0] + lane_len];
                let place = &mut gradient.data[at[side + 1]..at[side + 1] + lane_len];
                if accumulate {
                    pairs(
                        &lanes,
                        inputs,
                        at,
                        #[inline(always)]
                        |i, a, b| place[i] += part(a, b, dy[i]),
                    );
                } else {
                    pairs(
                        &lanes,
                        inputs,
                        at,
                        #[inline(always)]
                        |i, a, b| place[i] = part(a, b, dy[i]),
                    );
                }
            },
        );
    }
}

impl<T: Real> Kernel<T> for Binary {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        match self {
            Binary::Add => apply(n, inputs, output, |a, b| a + b),
            Binary::Sub => apply(n, inputs, output, |a, b| a - b),
            Binary::Mul => apply(n, inputs, output, |a, b| a * b),
            Binary::Div => apply(n, inputs, output, |a, b| a / b),
            Binary::Pow => apply(n, inputs, output, T::powf),
            // Written so that NaN stays NaN.
            Binary::Min => apply(
                n,
                inputs,
                output,
                |a, b| if b < a || b.is_nan() { b } else { a },
            ),
            Binary::Max => apply(
                n,
                inputs,
                output,
                |a, b| if b > a || b.is_nan() { b } else { a },
            ),
            Binary::PRelu => apply(
                n,
                inputs,
                output,
                |a, b| if a < T::zero() { a * b } else { a },
            ),
            Binary::Mod => apply(n, inputs, output, |a, b| a % b),
            Binary::Less => apply(n, inputs, output, |a, b| truth(a < b)),
            Binary::LessOrEqual => apply(n, inputs, output, |a, b| truth(a <= b)),
            Binary::Greater => apply(n, inputs, output, |a, b| truth(a > b)),
            Binary::GreaterOrEqual => apply(n, inputs, output, |a, b| truth(a >= b)),
            Binary::Equal => apply(n, inputs, output, |a, b| truth(a == b)),
        }
    }

    fn backward(
        &self,
        n: usize,
        inputs: &[Input<'_, T>],
        _output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
        scratch: &mut Vec<T>,
    ) {
        let zero = T::zero();
        let mut chain = Chain {
            n,
            inputs,
            dy: output_gradient,
            scratch,
        };
        macro_rules! chain {
            ($side:literal, $part:expr) => {
                if let Some(gradient) = &mut gradients[$side] {
                    chain.gradient($side, gradient, $part);
                }
            };
        }
        match self {
            Binary::Add => {
                chain!(0, |_, _, dy| dy);
                chain!(1, |_, _, dy| dy);
            }
            Binary::Sub => {
                chain!(0, |_, _, dy| dy);
                chain!(1, |_, _, dy: T| -dy);
            }
            Binary::Mul => {
                chain!(0, |_, b, dy| dy * b);
                chain!(1, |a, _, dy| dy * a);
            }
            // What a Where does not take may have no slope: 0 comes back through it.
            Binary::Div => {
                chain!(0, |_, b, dy| if dy == zero { zero } else { dy / b });
                chain!(1, |a, b, dy| if dy == zero {
                    zero
                } else {
                    -dy * a / (b * b)
                });
            }
            Binary::Pow => {
                chain!(0, |a, b, dy| if b == zero || dy == zero {
                    zero
                } else {
                    dy * b * a.powf(b - T::one())
                });
                chain!(1, |a, b, dy| if a == zero || dy == zero {
                    zero
                } else {
                    dy * a.powf(b) * a.ln()
                });
            }
            Binary::Min => {
                chain!(0, |a, b, dy| if b < a { zero } else { dy });
                chain!(1, |a, b, dy| if b < a { dy } else { zero });
            }
            Binary::Max => {
                chain!(0, |a, b, dy| if b > a { zero } else { dy });
                chain!(1, |a, b, dy| if b > a { dy } else { zero });
            }
            Binary::PRelu => {
                chain!(0, |a, b, dy| if a < zero { dy * b } else { dy });
                chain!(1, |a, _, dy| if a < zero { dy * a } else { zero });
            }
            Binary::Mod => {
                chain!(0, |_, _, dy| dy);
                chain!(1, |a, b, dy: T| -dy * (a / b).trunc());
            }
            Binary::Less
            | Binary::LessOrEqual
            | Binary::Greater
            | Binary::GreaterOrEqual
            | Binary::Equal => {
                for gradient in gradients.iter_mut().flatten() {
                    gradient.begin_sum();
                }
            }
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}
