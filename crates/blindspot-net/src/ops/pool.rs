//! Pooling.

use super::window::Plane;
use super::{Gradient, Input, Kernel, Window, only_value};
use crate::ops::OperandShape;
use crate::real::{Real, vectorised};

/// What a window becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// Its largest number, the padding not counted; the gradient goes to the first of several.
    Max,
    /// Its mean.
    Average {
        /// Whether the padding counts as zeros, or not at all.
        count_padding: bool,
    },
}

/// The maximum or mean over windows of each channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// What a window becomes.
    pub kind: PoolKind,
    /// Where the windows stand; the padding is less than a window.
    pub window: Window,
    /// Whether a last window that does not fit whole is taken, too (ONNX's ceil_mode).
    pub ceil: bool,
}

impl Pool {
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            PoolKind::Max => "MaxPool",
            PoolKind::Average { .. } => "AveragePool",
        }
    }

    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let [channels, positions @ ..] = only_value(inputs)? else {
            return Err("takes a value [channels, positions...]".to_owned());
        };
        let mut shape = self.window.outputs(positions, self.ceil)?;
        for (axis, &kernel) in self.window.kernel.iter().enumerate() {
            // Otherwise a window could see nothing but padding.
            let window = (kernel - 1) * self.window.dilations[axis] + 1;
            let padding = self.window.before[axis].max(self.window.after[axis]);
            // Taps farther apart than the input is long could see nothing of it.
            let blind = kernel > 1 && self.window.dilations[axis] > positions[axis];
            if padding >= window || blind {
                return Err(format!(
                    "a padding of {padding} does not fit windows over {window} positions of {}",
                    positions[axis]
                ));
            }
        }
        shape.insert(0, *channels);
        Ok(shape)
    }

    fn plane(&self, input: &Input<'_, impl Real>) -> Plane {
        self.window.plane(&input.shape[1..], self.ceil)
    }
}

/// How many positions of each window count along an axis.
fn counts(plane: &Plane, axis: usize, padding: bool) -> Vec<usize> {
    let mut counts = vec![0; plane.output[axis]];
    for tap in 0..plane.kernel[axis] {
        if padding {
            let end = plane.before[axis] + plane.input[axis] + plane.after[axis];
            let at = |output: usize| output * plane.stride[axis] + tap * plane.dilation[axis];
            let counted = counts.iter_mut().enumerate();
            for (_, count) in counted.filter(|&(output, _)| at(output) < end) {
                *count += 1;
            }
        } else {
            counts[plane.inside(axis, tap)]
                .iter_mut()
                .for_each(|count| *count += 1);
        }
    }
    counts
}

/// One over the number of positions that count, for every window of a plane.
fn shares<T: Real>(plane: &Plane, padding: bool, out: &mut [T]) {
    let (rows, columns) = (counts(plane, 0, padding), counts(plane, 1, padding));
    for (out, &row) in out.chunks_exact_mut(columns.len()).zip(&rows) {
        for (out, &column) in out.iter_mut().zip(&columns) {
            *out = T::of(1.0 / (row * column) as f64);
        }
    }
}

/// Calls `tap` for every output row and every row of positions that its windows see: the outputs
/// (a range in the plane) and where the first of them looks.
#[inline(always)]
fn each_tap(plane: &Plane, y: usize, mut tap: impl FnMut(std::ops::Range<usize>, usize)) {
    let start = y * plane.output[1];
    for ky in 0..plane.kernel[0] {
        if !plane.inside(0, ky).contains(&y) {
            continue;
        }
        let row = plane.position(0, y, ky) * plane.input[1];
        for kx in 0..plane.kernel[1] {
            let inside = plane.inside(1, kx);
            if !inside.is_empty() {
                let from = row + plane.position(1, inside.start, kx);
                tap(start + inside.start..start + inside.end, from);
            }
        }
    }
}

/// Runs `with` on numbers of `x` that are `stride` apart and `out`; the usual strides are known to
/// the compiler.
#[inline(always)]
fn strided<X, Y>(x: X, stride: usize, out: Y, mut with: impl FnMut(X::Item, Y::Item))
where
    X: ExactSizeIterator,
    Y: ExactSizeIterator,
{
    match stride {
        1 => x.zip(out).for_each(|(x, out)| with(x, out)),
        2 => x.step_by(2).zip(out).for_each(|(x, out)| with(x, out)),
        _ => x.step_by(stride).zip(out).for_each(|(x, out)| with(x, out)),
    }
}

/// Whether windows stand side by side, two positions wide: then both numbers of a window's row are handled at once, since
/// stores with gaps between them are no vector instructions.
fn in_pairs(plane: &Plane) -> bool {
    (plane.kernel[1], plane.stride[1], plane.dilation[1]) == (2, 2, 1)
        && (0..2).all(|kx| plane.inside(1, kx) == (0..plane.output[1]))
}

/// Calls `tap` for every output row and every row of positions that its windows see, as [`each_tap`] for windows
/// [`in_pairs`]: the outputs, and where the first position is, of twice as many.
#[inline(always)]
fn each_row(plane: &Plane, y: usize, mut tap: impl FnMut(std::ops::Range<usize>, usize)) {
    let width = plane.output[1];
    for ky in (0..plane.kernel[0]).filter(|&ky| plane.inside(0, ky).contains(&y)) {
        tap(
            y * width..(y + 1) * width,
            plane.position(0, y, ky) * plane.input[1],
        );
    }
}

/// Folds the numbers of each window of a plane into `out`, from `start` on, in the order of the
/// window's positions.
#[inline(always)]
fn fold_windows<T: Real>(
    plane: &Plane,
    x: &[T],
    out: &mut [T],
    start: T,
    fold: impl Fn(T, T) -> T,
) {
    out.fill(start);
    if in_pairs(plane) {
        for y in 0..plane.output[0] {
            each_row(plane, y, |outputs, from| {
                let (pairs, _) = x[from..][..2 * outputs.len()].as_chunks::<2>();
                for (out, &[a, b]) in out[outputs].iter_mut().zip(pairs) {
                    *out = fold(fold(*out, a), b);
                }
            });
        }
        return;
    }
    for y in 0..plane.output[0] {
        each_tap(plane, y, |outputs, from| {
            let out = out[outputs].iter_mut();
            strided(x[from..].iter(), plane.stride[1], out, |&x, out| {
                *out = fold(*out, x);
            });
        });
    }
}

/// Adds the gradient of each window's output to all its positions.
#[inline(always)]
fn spread_gradient<T: Real>(plane: &Plane, dx: &mut [T], dy: &[T]) {
    for y in 0..plane.output[0] {
        each_tap(plane, y, |outputs, from| {
            let dx = dx[from..].iter_mut();
            strided(dx, plane.stride[1], dy[outputs].iter(), |dx, dy| *dx += *dy);
        });
    }
}

/// Adds the gradient of each window's output to the first of its positions that equals the output.
/// `left` is what is left of the gradients: first all, then nothing.
#[inline(always)]
fn give_gradient<T: Real>(plane: &Plane, (x, y): (&[T], &[T]), dx: &mut [T], left: &mut [T]) {
    let give = |x: T, y: T, dx: &mut T, left: &mut T| {
        let given = if x == y { *left } else { T::zero() };
        *dx += given;
        *left -= given;
    };
    if in_pairs(plane) {
        for row in 0..plane.output[0] {
            each_row(plane, row, |outputs, from| {
                let width = 2 * outputs.len();
                let (x, _) = x[from..][..width].as_chunks::<2>();
                let (dx, _) = dx[from..][..width].as_chunks_mut::<2>();
                let windows = y[outputs.clone()].iter().zip(&mut left[outputs]);
                for ((x, dx), (&y, left)) in x.iter().zip(dx).zip(windows) {
                    give(x[0], y, &mut dx[0], left);
                    give(x[1], y, &mut dx[1], left);
                }
            });
        }
        return;
    }
    for row in 0..plane.output[0] {
        each_tap(plane, row, |outputs, from| {
            let left = left[outputs.clone()].iter_mut();
            let at = x[from..].iter().zip(dx[from..].iter_mut());
            let outputs = y[outputs].iter().zip(left);
            strided(at, plane.stride[1], outputs, |(&x, dx), (&y, left)| {
                give(x, y, dx, left);
            });
        });
    }
}

/// The larger one; written so that NaN stays NaN.
#[inline(always)]
fn larger<T: Real>(largest: T, x: T) -> T {
    if x <= largest { largest } else { x }
}

impl<T: Real> Kernel<T> for Pool {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T], scratch: &mut Vec<T>) {
        let plane = self.plane(&inputs[0]);
        let length = plane.output_len();
        let planes = inputs[0].data.chunks_exact(plane.input_len());
        let planes = planes.zip(output.chunks_exact_mut(length));
        match self.kind {
            PoolKind::Max => vectorised(
                #[inline(always)]
                move || {
                    for (x, out) in planes {
                        fold_windows(&plane, x, out, T::neg_infinity(), larger);
                    }
                },
            ),
            PoolKind::Average { count_padding } => {
                scratch.resize(length.max(scratch.len()), T::zero());
                let share = &mut scratch[..length];
                shares(&plane, count_padding, share);
                vectorised(
                    #[inline(always)]
                    move || {
                        for (x, out) in planes {
                            fold_windows(&plane, x, out, T::zero(), |sum, x| sum + x);
                            for (out, &share) in out.iter_mut().zip(&*share) {
                                *out *= share;
                            }
                        }
                    },
                );
            }
        }
    }

    fn backward(
        &self,
        _n: usize,
        inputs: &[Input<'_, T>],
        output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
        scratch: &mut Vec<T>,
    ) {
        let Some(gradient) = &mut gradients[0] else {
            return;
        };
        gradient.begin_sum();
        let plane = self.plane(&inputs[0]);
        let length = plane.output_len();
        scratch.resize((2 * length).max(scratch.len()), T::zero());
        let (share, left) = scratch[..2 * length].split_at_mut(length);
        let planes = output_gradient.chunks_exact(length);
        let planes = planes.zip(gradient.data.chunks_exact_mut(plane.input_len()));
        match self.kind {
            PoolKind::Max => {
                let x = inputs[0].data.chunks_exact(plane.input_len());
                let planes = planes.zip(x.zip(output.chunks_exact(length)));
                vectorised(
                    #[inline(always)]
                    move || {
                        for ((dy, dx), numbers) in planes {
                            left.copy_from_slice(dy);
                            give_gradient(&plane, numbers, dx, left);
                        }
                    },
                );
            }
            PoolKind::Average { count_padding } => {
                shares(&plane, count_padding, share);
                vectorised(
                    #[inline(always)]
                    move || {
                        for (dy, dx) in planes {
                            for (i, left) in left.iter_mut().enumerate() {
                                *left = dy[i] * share[i];
                            }
                            spread_gradient(&plane, dx, left);
                        }
                    },
                );
            }
        }
    }
}
