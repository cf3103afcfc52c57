//! More at the borders.

use super::strided_loop::{StridedLoop, dense, split_at_axis};
use super::{Gradient, Input, Kernel, only_value};
use crate::ops::OperandShape;
use crate::real::Real;

/// What stands at the borders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PadMode {
    /// A number.
    Constant(f64),
    /// The value mirrored, without its border again.
    Reflect,
    /// The border repeated.
    Edge,
}

/// A value with more at its borders; negative numbers take away (with [`PadMode::Constant`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Pad {
    /// How many positions more before each axis of one image.
    pub before: Vec<i64>,
    /// How many after.
    pub after: Vec<i64>,
    /// What stands there.
    pub mode: PadMode,
}

impl Pad {
    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let shape = only_value(inputs)?;
        let (before, after) = (&self.before, &self.after);
        if before.len() != shape.len() || after.len() != shape.len() {
            return Err(format!(
                "{before:?} and {after:?} are not for the axes of {shape:?}"
            ));
        }
        let most = crate::graph::MAX_VALUES as i64;
        let padded = |axis: usize| {
            let length = i64::try_from(shape[axis]).ok()?;
            let allowed = match self.mode {
                PadMode::Constant(_) => -most..=most,
                PadMode::Reflect => 0..=length - 1,
                PadMode::Edge => 0..=most,
            };
            let sides = [before[axis], after[axis]];
            let padded = length + sides[0].clamp(-most, most) + sides[1].clamp(-most, most);
            let fits = sides.iter().all(|more| allowed.contains(more));
            usize::try_from(padded).ok().filter(|_| fits)
        };
        let padded = (0..shape.len()).map(padded).collect::<Option<Vec<usize>>>();
        padded.ok_or_else(|| {
            let mode = self.mode;
            format!("{before:?} before and {after:?} after {shape:?} can't be had by {mode:?}")
        })
    }

    /// The output's shape.
    fn padded(&self, shape: &[usize]) -> Vec<usize> {
        let more = self.before.iter().zip(&self.after);
        let lengths = shape.iter().zip(more);
        lengths
            .map(|(&length, (before, after))| length.wrapping_add_signed((before + after) as isize))
            .collect()
    }

    /// Where the first number that is kept stands in the value and in the output, and the loops
    /// over all that are; nothing where none is.
    fn strided_loop(&self, n: usize, shape: &[usize]) -> Option<([usize; 2], StridedLoop<2>)> {
        let padded = self.padded(shape);
        let (own, out) = (dense(shape), dense(&padded));
        let mut start = [0; 2];
        let mut kept = shape.to_vec();
        for axis in 0..shape.len() {
            let cut = |more: i64| more.min(0).unsigned_abs() as usize;
            let (before, after) = (cut(self.before[axis]), cut(self.after[axis]));
            kept[axis] = shape[axis]
                .checked_sub(before + after)
                .filter(|&kept| kept > 0)?;
            start[0] += before * own[axis] as usize;
            start[1] += self.before[axis].max(0) as usize * out[axis] as usize;
        }
        let count = |shape: &[usize]| shape.iter().product::<usize>() as isize;
        let images = [count(shape), count(&padded)];
        Some((start, StridedLoop::new(n, images, &kept, [&own, &out])))
    }

    /// Calls `each(border, inside)` for every place of the border along an axis of the output, and
    /// the place inside of which it is the image.
    fn border(&self, axis: usize, length: usize, mut each: impl FnMut(usize, usize)) {
        let (before, after) = (self.before[axis] as usize, self.after[axis] as usize);
        let first = before;
        let last = before + length - 1;
        for more in 1..=before {
            match self.mode {
                PadMode::Reflect => each(first - more, first + more),
                _ => each(first - more, first),
            }
        }
        for more in 1..=after {
            match self.mode {
                PadMode::Reflect => each(last + more, last - more),
                _ => each(last + more, last),
            }
        }
    }
}

impl<T: Real> Kernel<T> for Pad {
    fn forward(&self, n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        let shape = inputs[0].shape;
        if let PadMode::Constant(constant) = self.mode {
            output.fill(T::of(constant));
        }
        if let Some((start, lanes)) = self.strided_loop(n, shape) {
            let (x, length) = (inputs[0].data, lanes.lane_len);
            match lanes.strides {
                [1, 1] => lanes.for_each_lane(start, |[from, to]| {
                    output[to..to + length].copy_from_slice(&x[from..from + length]);
                }),
                _ => lanes.for_each_position(start, |[from, to]| output[to] = x[from]),
            }
        }
        if let PadMode::Reflect | PadMode::Edge = self.mode {
            // One axis after the other, the borders of those done before taken along.
            let padded = self.padded(shape);
            for axis in (0..shape.len()).rev() {
                let (rows, length, part) = split_at_axis(&padded, axis);
                for row in output.chunks_exact_mut(length * part).take(n * rows) {
                    self.border(axis, shape[axis], |to, from| {
                        row.copy_within(from * part..(from + 1) * part, to * part);
                    });
                }
            }
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
        let Some(gradient) = &mut gradients[0] else {
            return;
        };
        let shape = inputs[0].shape;
        let mut dy = output_gradient;
        if let PadMode::Reflect | PadMode::Edge = self.mode {
            // The forward direction's copies, each the other way and in the reverse order.
            scratch.clear();
            scratch.extend_from_slice(output_gradient);
            let padded = self.padded(shape);
            for axis in 0..shape.len() {
                let (_, length, part) = split_at_axis(&padded, axis);
                for row in scratch.chunks_exact_mut(length * part) {
                    self.border(axis, shape[axis], |from, to| {
                        for i in 0..part {
                            let more = row[from * part + i];
                            row[to * part + i] += more;
                        }
                    });
                }
            }
            dy = scratch;
        }
        // What was taken away has no gradient.
        gradient.begin_sum();
        if let Some((start, lanes)) = self.strided_loop(n, shape) {
            lanes.for_each_position(start, |[to, from]| gradient.data[to] += dy[from]);
        }
    }

    fn needs_no_output(&self) -> bool {
        true
    }
}
