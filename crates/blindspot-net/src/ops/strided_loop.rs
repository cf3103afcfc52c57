//! Nested loops through several arrays at once, and how shapes are aligned for them.

use super::Input;
use crate::real::{Real, vectorised};

/// Nested loops over a batch of one shape, through `K` arrays that each have their own strides: the
/// distance in memory from one position of an axis to the next.
///
/// Adjacent axes become one if all arrays allow it, so that the innermost loop, the lane, is long.
/// The batch's axis never does, so that no lane crosses from one image into the next.
pub(super) struct StridedLoop<const K: usize> {
    /// All loops but the innermost one, outermost first: length, and stride in each array.
    outer: Vec<(usize, [isize; K])>,
    /// The number of positions in a lane.
    pub(super) lane_len: usize,
    /// The stride along a lane in each array.
    pub(super) strides: [isize; K],
}

impl<const K: usize> StridedLoop<K> {
    /// Over `n` images of a shape. `image_strides` are the distances from one image to the next,
    /// `strides` those along each axis of the shape.
    pub(super) fn new(
        n: usize,
        image_strides: [isize; K],
        shape: &[usize],
        strides: [&[isize]; K],
    ) -> Self {
        let mut axes: Vec<(usize, [isize; K])> = Vec::with_capacity(shape.len() + 1);
        for (axis, &length) in shape.iter().enumerate().filter(|&(_, &length)| length > 1) {
            let strides = strides.map(|strides| strides[axis]);
            match axes.last_mut() {
                Some((outer, wide)) if *wide == strides.map(|stride| stride * length as isize) => {
                    *outer *= length;
                    *wide = strides;
                }
                _ => axes.push((length, strides)),
            }
        }
        let (lane_len, strides) = axes.pop().unwrap_or((1, [0; K]));
        axes.insert(0, (n, image_strides));
        StridedLoop {
            outer: axes,
            lane_len,
            strides,
        }
    }

    /// Whether the array is repeated: along an axis, or over the batch, its stride is 0.
    pub(super) fn repeats(&self, array: usize) -> bool {
        let inner = self.lane_len > 1 && self.strides[array] == 0;
        let mut outer = self.outer.iter();
        inner || outer.any(|(n, strides)| *n > 1 && strides[array] == 0)
    }

    /// Takes out the loop, other than the lanes' and the batch's, along which an array has stride 1:
    /// its length and strides. Without such a loop that is one position.
    pub(super) fn take_dense(&mut self, array: usize) -> (usize, [isize; K]) {
        let axes = self.outer.iter().skip(1);
        let found = axes.clone().position(|(_, strides)| strides[array] == 1);
        found.map_or((1, [0; K]), |axis| self.outer.remove(axis + 1))
    }

    /// Calls `each` for every lane, with the position of its start in each array.
    #[inline(always)]
    pub(super) fn for_each_lane(&self, start: [usize; K], mut each: impl FnMut([usize; K])) {
        let mut at = start.map(|at| at as isize);
        let mut counts = vec![0; self.outer.len()];
        if self.outer.iter().any(|&(length, _)| length == 0) {
            return;
        }
        loop {
            each(at.map(|at| at as usize));
            let mut axis = self.outer.len();
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                let (length, strides) = &self.outer[axis];
                counts[axis] += 1;
                if counts[axis] < *length {
                    (0..K).for_each(|k| at[k] += strides[k]);
                    break;
                }
                counts[axis] = 0;
                (0..K).for_each(|k| at[k] -= strides[k] * (*length as isize - 1));
            }
        }
    }

    /// Calls `each` for every lane as [`for_each_lane`](StridedLoop::for_each_lane) does, compiled
    /// for the widest vector instructions; `each` must be marked `#[inline(always)]`.
    #[inline(always)]
    pub(super) fn for_each_lane_vectorised(&self, each: impl FnMut([usize; K])) {
        vectorised(
            #[inline(always)]
            move || self.for_each_lane([0; K], each),
        );
    }

    /// Calls `each` for every position, with where it is in each array.
    #[inline(always)]
    pub(super) fn for_each_position(&self, start: [usize; K], mut each: impl FnMut([usize; K])) {
        self.for_each_lane(start, |mut at| {
            for _ in 0..self.lane_len {
                each(at);
                (0..K).for_each(|k| at[k] = at[k].wrapping_add_signed(self.strides[k]));
            }
        });
    }
}

/// The strides of an array that is filled row after row.
pub(super) fn dense(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as isize;
    }
    strides
}

/// The strides along the axes of `shape` of an array with the shape `own` that is repeated to fill
/// it: 0 along axes that it lacks or has once.
pub(super) fn repeated(own: &[usize], shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let first = shape.len() - own.len();
    for (axis, stride) in dense(own).into_iter().enumerate() {
        if own[axis] > 1 {
            strides[first + axis] = stride;
        }
    }
    strides
}

/// The shape to which both can be repeated, aligned at their last axes as in NumPy; `None` if there
/// is none.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| {
        let own = (axis + shape.len()).checked_sub(rank);
        own.map_or(1, |own| shape[own])
    };
    let common = |axis| match (size(a, axis), size(b, axis)) {
        (1, size) | (size, 1) => Some(size),
        (a, b) => (a == b).then_some(a),
    };
    (0..rank).map(common).collect()
}

/// A weight's shape without leading axes of length 1, which only stand for the batch's axis ([1, m]
/// is added to [m] like [m]); a value's shape as it is.
pub(super) fn significant(shape: &[usize], batched: bool) -> &[usize] {
    let leading = shape.iter().take_while(|&&axis| axis == 1).count();
    if batched { shape } else { &shape[leading..] }
}

/// The stride from one image to the next in an operand of which an image has `length` numbers: 0 in
/// a weight.
pub(super) fn image_stride<T>(input: &Input<'_, T>, length: usize) -> isize {
    if input.batched { length as isize } else { 0 }
}

/// The number of positions of all axes before an axis, of the axis, and of all axes after it.
pub(super) fn split_at_axis(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    let (before, after) = (&shape[..axis], &shape[axis + 1..]);
    (before.iter().product(), shape[axis], after.iter().product())
}

/// The sum of numbers, in an order that depends on their count alone: the numbers beyond the last
/// multiple of 16, then sixteen interleaved partial sums, one after the other.
#[inline(always)]
pub(super) fn sum<T: Real>(x: &[T]) -> T {
    const LANES: usize = 16;
    let mut sums = [T::zero(); LANES];
    let parts = x.chunks_exact(LANES);
    let tail = parts.remainder().iter().fold(T::zero(), |sum, &x| sum + x);
    for part in parts {
        for lane in 0..LANES {
            sums[lane] += part[lane];
        }
    }
    sums.iter().fold(tail, |sum, &lane| sum + lane)
}
