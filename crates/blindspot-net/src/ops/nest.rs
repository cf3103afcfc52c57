//! Nested loops through several arrays at once, and how shapes are aligned for them.

use super::Input;
use crate::real::Real;

/// Nested loops over a batch of one shape, through `K` arrays that each lie in memory in their own
/// way. Adjacent axes become one where all arrays allow it, so that the innermost loop is long; the
/// batch's axis never does, so that no loop crosses from one image into the next.
pub(super) struct Nest<const K: usize> {
    /// All loops but the innermost one, outermost first: how long, and from one position to the
    /// next in each array.
    outer: Vec<(usize, [isize; K])>,
    /// How long the innermost loop is.
    pub(super) length: usize,
    /// From one position to the next in it, in each array.
    pub(super) steps: [isize; K],
}

impl<const K: usize> Nest<K> {
    /// Over `n` images of a shape; `images` are the steps from one image to the next, `steps` those
    /// along each axis of the shape.
    pub(super) fn new(n: usize, images: [isize; K], shape: &[usize], steps: [&[isize]; K]) -> Self {
        let mut axes: Vec<(usize, [isize; K])> = Vec::with_capacity(shape.len() + 1);
        for (axis, &length) in shape.iter().enumerate().filter(|&(_, &length)| length > 1) {
            let steps = steps.map(|steps| steps[axis]);
            match axes.last_mut() {
                Some((outer, wide)) if *wide == steps.map(|step| step * length as isize) => {
                    *outer *= length;
                    *wide = steps;
                }
                _ => axes.push((length, steps)),
            }
        }
        let (length, steps) = axes.pop().unwrap_or((1, [0; K]));
        axes.insert(0, (n, images));
        Nest {
            outer: axes,
            length,
            steps,
        }
    }

    /// True where the array is repeated: an axis, or the batch, does not move in it.
    pub(super) fn repeats(&self, array: usize) -> bool {
        let inner = self.length > 1 && self.steps[array] == 0;
        inner
            || self
                .outer
                .iter()
                .any(|(n, steps)| *n > 1 && steps[array] == 0)
    }

    /// Takes out the loop, other than the innermost one and the batch's, along which an array lies
    /// without gaps: its length and steps; one step where there is none.
    pub(super) fn take_dense(&mut self, array: usize) -> (usize, [isize; K]) {
        let axes = self.outer.iter().skip(1);
        let found = axes.clone().position(|(_, steps)| steps[array] == 1);
        found.map_or((1, [0; K]), |axis| self.outer.remove(axis + 1))
    }

    /// Calls `each` for every innermost loop, with the position of its start in each array.
    #[inline(always)]
    pub(super) fn runs(&self, start: [usize; K], mut each: impl FnMut([usize; K])) {
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
                let (length, steps) = &self.outer[axis];
                counts[axis] += 1;
                if counts[axis] < *length {
                    (0..K).for_each(|k| at[k] += steps[k]);
                    break;
                }
                counts[axis] = 0;
                (0..K).for_each(|k| at[k] -= steps[k] * (*length as isize - 1));
            }
        }
    }

    /// Calls `each` for every position, with where it is in each array.
    #[inline(always)]
    pub(super) fn places(&self, start: [usize; K], mut each: impl FnMut([usize; K])) {
        self.runs(start, |mut at| {
            for _ in 0..self.length {
                each(at);
                (0..K).for_each(|k| at[k] = at[k].wrapping_add_signed(self.steps[k]));
            }
        });
    }
}

/// The steps along each axis of an array that is filled row after row.
pub(super) fn dense(shape: &[usize]) -> Vec<isize> {
    let mut steps = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        steps[axis - 1] = steps[axis] * shape[axis] as isize;
    }
    steps
}

/// The steps along each axis of `shape` in an array of another one that is repeated to fill it: 0
/// along axes that it lacks or has once.
pub(super) fn repeated(own: &[usize], shape: &[usize]) -> Vec<isize> {
    let mut steps = vec![0; shape.len()];
    let first = shape.len() - own.len();
    for (axis, step) in dense(own).into_iter().enumerate() {
        if own[axis] > 1 {
            steps[first + axis] = step;
        }
    }
    steps
}

/// The shape that both can be repeated to, aligned at their last axes as in NumPy.
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

/// A shape without leading axes of length 1, where it is a weight's: they only stand for the
/// batch's axis ([1, m] is added to [m] like [m]).
pub(super) fn significant(shape: &[usize], batched: bool) -> &[usize] {
    let leading = shape.iter().take_while(|&&axis| axis == 1).count();
    if batched { shape } else { &shape[leading..] }
}

/// From one image to the next in an operand of which an image has `length` numbers: nothing, in a
/// weight.
pub(super) fn image_step<T>(input: &Input<'_, T>, length: usize) -> isize {
    if input.batched { length as isize } else { 0 }
}

/// How many rows stand before, how long, and how many numbers after an axis.
pub(super) fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    let (before, after) = (&shape[..axis], &shape[axis + 1..]);
    (before.iter().product(), shape[axis], after.iter().product())
}

/// The sum of numbers, in an order that depends on their count alone.
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
