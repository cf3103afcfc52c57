//! Convolutions whose output channels each see one input channel, without a matrix product.
//!
//! A plane is padded and cut into one plane for each remainder of the stride, so that all windows
//! see a tap of theirs at one distance in memory: output p of the plane, counted with the rows'
//! whole length, is the sum over the taps of weight * phase[p + offset]. That is a loop over
//! neighbouring numbers only; the few outputs that a row has too many are left out afterwards.

use pulp::{Simd, WithSimd};

use super::super::Gradient;
use super::super::window::Plane;
use super::rows::{copy_row, put_pairs, take_second, write_row};
use super::{Sizes, parts};
use crate::real::{Real, vectorised};

/// Numbers worked at once for one output plane, at the most.
const WIDE: usize = 64;
/// Output planes worked at once that see the same input plane.
const PLANES: usize = 4;
/// Numbers that an inner product works at once.
const NARROW: usize = 32;

/// How a plane lies in memory once it is cut.
struct Layout {
    plane: Plane,
    /// Rows and length of a row of each phase.
    rows: usize,
    row: usize,
    /// For each tap of the window: its phase, and the distance within that.
    taps: Vec<(usize, usize)>,
    /// The largest distance.
    reach: usize,
}

impl Layout {
    /// The layout without its taps.
    fn of(plane: Plane) -> Layout {
        let padded = |axis: usize| {
            (plane.before[axis] + plane.input[axis] + plane.after[axis])
                .div_ceil(plane.stride[axis])
        };
        let (rows, row) = (padded(0), padded(1));
        let last =
            |axis: usize| (plane.kernel[axis] - 1) * plane.dilation[axis] / plane.stride[axis];
        Layout {
            plane,
            rows,
            row,
            taps: Vec::new(),
            reach: last(0) * row + last(1),
        }
    }

    fn new(plane: Plane) -> Layout {
        let layout = Layout::of(plane);
        let row = layout.row;
        let mut taps = Vec::with_capacity(plane.kernel_len());
        for ky in 0..plane.kernel[0] {
            for kx in 0..plane.kernel[1] {
                let (y, x) = (ky * plane.dilation[0], kx * plane.dilation[1]);
                let phase = (y % plane.stride[0]) * plane.stride[1] + x % plane.stride[1];
                taps.push((phase, y / plane.stride[0] * row + x / plane.stride[1]));
            }
        }
        Layout { taps, ..layout }
    }

    fn phases(&self) -> usize {
        self.plane.stride[0] * self.plane.stride[1]
    }

    fn phase_len(&self) -> usize {
        self.rows * self.row
    }

    /// Memory for the cut plane, and what a loop may read beyond it.
    fn cut_len(&self) -> usize {
        self.phases() * self.phase_len() + self.reach + WIDE
    }

    /// Outputs of a plane, with what its rows have too many, up to whole steps of the loop.
    fn outputs(&self) -> usize {
        (self.plane.output[0] * self.row).next_multiple_of(WIDE)
    }

    /// Offsets of the taps in the cut plane.
    fn offsets(&self) -> Vec<usize> {
        let at = |&(phase, offset): &(usize, usize)| phase * self.phase_len() + offset;
        self.taps.iter().map(at).collect()
    }

    /// The rows of the input whose remainder, counted with the padding, is this: where each begins in its
    /// phases, and which it is.
    #[inline(always)]
    fn rows_of(&self, remainder: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (before, stride, row) = (self.plane.before[0], self.plane.stride[0], self.row);
        let first = (remainder + stride - before % stride) % stride;
        (first..self.plane.input[0])
            .step_by(stride)
            .map(move |y| ((y + before) / stride * row, y))
    }

    /// The rows of the input that have numbers in a phase: where these lie in the phase, the first of them in
    /// the input, and how many there are.
    #[inline(always)]
    fn runs(&self, phase: usize) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (before, stride, width) = (
            self.plane.before[1],
            self.plane.stride[1],
            self.plane.input[1],
        );
        let x = (phase % stride + stride - before % stride) % stride;
        let count = width.saturating_sub(x).div_ceil(stride);
        let column = (x + before) / stride;
        self.rows_of(phase / stride)
            .filter(move |_| count > 0)
            .map(move |(row, y)| (row + column, y * width + x, count))
    }

    /// Cuts a plane; the padding is left as it is.
    fn cut<T: Real>(&self, x: &[T], out: &mut [T]) {
        let phases = out.chunks_exact_mut(self.phase_len()).take(self.phases());
        vectorised(
            #[inline(always)]
            move || {
                for (phase, out) in phases.enumerate() {
                    for (place, from, count) in self.runs(phase) {
                        let out = &mut out[place..place + count];
                        match self.plane.stride[1] {
                            1 => copy_row(&x[from..from + count], out),
                            2 => take_second(&x[from..], out),
                            stride => {
                                for (out, &x) in
                                    out.iter_mut().zip(x[from..].iter().step_by(stride))
                                {
                                    *out = x;
                                }
                            }
                        }
                    }
                }
            },
        );
    }
}

impl Layout {
    /// Writes the rows of a plane whose phases begin with `first`, or adds them to what is there, from the
    /// phases of such rows: each is a whole number of steps of the loop long.
    #[inline(always)]
    fn put_together<T: Real>(&self, first: usize, phases: &[T], to: &mut [T], accumulate: bool) {
        let (stride, width) = (self.plane.stride[1], self.plane.input[1]);
        let whole = self.phase_len().next_multiple_of(WIDE);
        if stride == 2 {
            // Where the even and the odd places of a row are, as the padding shifts them.
            let before = self.plane.before[1];
            let [even, odd] = [before, before + 1].map(|at| at % 2 * whole + at / 2);
            for (row, y) in self.rows_of(first / stride) {
                let even = &phases[even + row..][..width.div_ceil(2)];
                let odd = &phases[odd + row..][..width / 2];
                put_pairs(even, odd, &mut to[y * width..][..width], accumulate);
            }
            return;
        }
        for phase in 0..stride {
            let sums = &phases[phase * whole..];
            for (place, from, count) in self.runs(first + phase) {
                let (sums, to) = (&sums[place..place + count], &mut to[from..]);
                if stride == 1 && !accumulate {
                    copy_row(sums, &mut to[..count]);
                } else {
                    let to = to.iter_mut().step_by(stride);
                    to.zip(sums)
                        .for_each(|(to, &sum)| *to = if accumulate { *to + sum } else { sum });
                }
            }
        }
    }
}

/// The most numbers of memory that a convolution needs in either direction, the lists of its taps
/// included.
pub(super) fn scratch(sizes: &Sizes) -> u64 {
    let layout = Layout::of(sizes.plane);
    let (taps, count) = (sizes.plane.kernel_len(), layout.outputs());
    let forward = count + layout.cut_len() + PLANES * (count + taps);
    let whole = layout.phase_len().next_multiple_of(WIDE);
    let by_value =
        sizes.features * (layout.reach + whole + WIDE + taps) + sizes.plane.stride[1] * whole;
    // Of places and of weights, in `usize`.
    let lists = 8 * sizes.features * taps;
    (forward.max(by_value) + lists) as u64
}

/// `out[r][p] = sum over taps of weights[tap][r] * x[p + offset of the tap]`, for `out` of `R` rows one
/// after the other, each a multiple of `WIDE` long.
struct Correlation<'a, T, const R: usize> {
    x: &'a [T],
    offsets: &'a [usize],
    weights: &'a [T],
    out: &'a mut [T],
}

impl<T: Real, const R: usize> Correlation<'_, T, R> {
    fn run(self) {
        pulp::Arch::new().dispatch(self);
    }

    /// `C` vectors of each row at a time.
    #[inline(always)]
    fn by<S: Simd, const C: usize>(self, simd: S) {
        let (length, taps) = (self.out.len() / R, self.offsets.len());
        let width = C * size_of::<T::Vector<S>>() / size_of::<T>();
        for start in (0..length).step_by(width) {
            let mut sums = [[T::splat(simd, T::zero()); C]; R];
            // By numbers, not by iterators: what those call is not always inlined here.
            for tap in 0..taps {
                let x = T::vectors::<S>(&self.x[start + self.offsets[tap]..]).first_chunk::<C>();
                let x = x.expect("the planes have room behind them");
                for r in 0..R {
                    let weight = T::splat(simd, self.weights[tap * R + r]);
                    for c in 0..C {
                        sums[r][c] = T::multiply_add(simd, weight, x[c], sums[r][c]);
                    }
                }
            }
            for r in 0..R {
                let out = &mut self.out[r * length + start..][..width];
                let out = T::vectors_mut::<S>(out).first_chunk_mut::<C>();
                *out.expect("rows are whole vectors long") = sums[r];
            }
        }
    }
}

impl<T: Real, const R: usize> WithSimd for Correlation<'_, T, R> {
    type Output = ();

    /// Eight sums at once, since an addition waits for the one before it, or as many as `WIDE` holds.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let fit = WIDE * size_of::<T>() / size_of::<T::Vector<S>>();
        match (R, fit) {
            (2.., _) => self.by::<S, 2>(simd),
            (_, 8..) => self.by::<S, 8>(simd),
            _ => self.by::<S, 4>(simd),
        }
    }
}

/// Writes the weights of `R` output planes tap by tap.
fn interleave<T: Real>(weights: &[T], planes: usize, out: &mut [T]) {
    let taps = weights.len() / planes;
    for (tap, out) in out.chunks_exact_mut(planes).enumerate() {
        for (r, out) in out.iter_mut().enumerate() {
            *out = weights[r * taps + tap];
        }
    }
}

pub(super) fn forward<T: Real>(
    sizes: &Sizes,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    output: &mut [T],
    scratch: &mut Vec<T>,
) {
    let layout = Layout::new(sizes.plane);
    let (taps, offsets) = (layout.taps.len(), layout.offsets());
    let (features, count) = (sizes.features, layout.outputs());
    let lengths = [count + layout.cut_len(), PLANES * count, PLANES * taps];
    let [cut, sums, packed] = parts(scratch, lengths);
    cut.fill(T::zero());
    let [height, width] = sizes.plane.output;
    let channels = sizes.groups;
    let planes = x.chunks_exact(sizes.plane.input_len());
    let outputs = output.chunks_exact_mut(features * height * width);
    for (i, (x, out)) in planes.zip(outputs).enumerate() {
        let channel = i % channels;
        layout.cut(x, cut);
        let mut feature = 0;
        while feature < features {
            let together = if features - feature >= PLANES {
                PLANES
            } else {
                1
            };
            let first = channel * features + feature;
            let weights = &weight[first * taps..(first + together) * taps];
            let sums = &mut sums[..together * count];
            if together == PLANES {
                interleave(weights, PLANES, packed);
                Correlation::<T, PLANES> {
                    x: cut,
                    offsets: &offsets,
                    weights: packed,
                    out: sums,
                }
                .run();
            } else {
                Correlation::<T, 1> {
                    x: cut,
                    offsets: &offsets,
                    weights,
                    out: sums,
                }
                .run();
            }
            let outs = out[feature * height * width..].chunks_exact_mut(height * width);
            let planes = outs.take(together).zip(sums.chunks_exact(count));
            let row = layout.row;
            vectorised(
                #[inline(always)]
                move || {
                    for (r, (out, sums)) in planes.enumerate() {
                        let bias = bias.map_or(T::zero(), |bias| bias[first + r]);
                        let rows = out.chunks_exact_mut(width).zip(sums.chunks_exact(row));
                        rows.for_each(|(out, sums)| write_row(sums, out, move |sum| sum + bias));
                    }
                },
            );
            feature += together;
        }
    }
}

/// Puts a plane of outputs at their places with the rows' whole length, zeros between them.
fn spread<T: Real>(layout: &Layout, dy: &[T], out: &mut [T]) {
    let (row, width) = (layout.row, layout.plane.output[1]);
    vectorised(
        #[inline(always)]
        move || {
            for (out, dy) in out.chunks_mut(row).zip(dy.chunks_exact(width)) {
                copy_row(dy, &mut out[..width]);
            }
        },
    );
}

pub(super) fn by_value<T: Real>(
    sizes: &Sizes,
    weight: &[T],
    dy: &[T],
    gradient: &mut Gradient<'_, T>,
    scratch: &mut Vec<T>,
) {
    let layout = Layout::new(sizes.plane);
    let (taps, features) = (layout.taps.len(), sizes.features);
    let stride = sizes.plane.stride[1];
    let whole = layout.phase_len().next_multiple_of(WIDE);
    // Each plane of outputs with zeros before it, as far as a tap reaches, and behind it.
    let spread_len = layout.reach + whole + WIDE;
    let [spread_planes, sums, weights] = parts(
        scratch,
        [features * spread_len, stride * whole, features * taps],
    );
    spread_planes.fill(T::zero());
    // For each phase the taps in it: where they are among the spread planes, and which weights.
    let phases: Vec<(Vec<usize>, Vec<usize>)> = (0..layout.phases())
        .map(|phase| {
            let taps_of = layout
                .taps
                .iter()
                .enumerate()
                .filter(|(_, tap)| tap.0 == phase);
            let all = (0..features).flat_map(|feature| {
                taps_of
                    .clone()
                    .map(move |(tap, &(_, offset))| (feature, tap, offset))
            });
            let offset = |(feature, _, offset)| feature * spread_len + layout.reach - offset;
            let weight = |(feature, tap, _): (usize, usize, usize)| feature * taps + tap;
            (all.clone().map(offset).collect(), all.map(weight).collect())
        })
        .collect();
    let accumulate = gradient.accumulate;
    let in_plane = sizes.plane.input_len();
    let out_planes = dy.chunks_exact(features * sizes.plane.output_len());
    for (i, (dx, dy)) in gradient
        .data
        .chunks_exact_mut(in_plane)
        .zip(out_planes)
        .enumerate()
    {
        let of_channel = &weight[i % sizes.groups * features * taps..][..features * taps];
        let planes = dy.chunks_exact(sizes.plane.output_len());
        for (dy, out) in planes.zip(spread_planes.chunks_exact_mut(spread_len)) {
            spread(&layout, dy, &mut out[layout.reach..]);
        }
        for (first, abreast) in (0..).step_by(stride).zip(phases.chunks(stride)) {
            for (sums, (offsets, order)) in sums.chunks_exact_mut(whole).zip(abreast) {
                for (place, &position) in weights.iter_mut().zip(order) {
                    *place = of_channel[position];
                }
                Correlation::<T, 1> {
                    x: spread_planes,
                    offsets,
                    weights: &weights[..order.len()],
                    out: sums,
                }
                .run();
            }
            let (sums, dx, layout) = (&*sums, &mut *dx, &layout);
            vectorised(
                #[inline(always)]
                move || layout.put_together(first, sums, dx, accumulate),
            );
        }
    }
}

/// Adds to `gradient`.
pub(super) fn by_weight<T: Real>(
    sizes: &Sizes,
    x: &[T],
    dy: &[T],
    gradient: &mut [T],
    scratch: &mut Vec<T>,
) {
    let layout = Layout::new(sizes.plane);
    let (taps, offsets) = (layout.taps.len(), layout.offsets());
    let (features, count) = (sizes.features, layout.outputs());
    let [cut, wide] = parts(scratch, [count + layout.cut_len(), count]);
    cut.fill(T::zero());
    wide.fill(T::zero());
    let out_plane = sizes.plane.output_len();
    let planes = x.chunks_exact(sizes.plane.input_len());
    for (i, (x, dy)) in planes
        .zip(dy.chunks_exact(features * out_plane))
        .enumerate()
    {
        layout.cut(x, cut);
        let of_channel = &mut gradient[i % sizes.groups * features * taps..][..features * taps];
        let gradients = of_channel.chunks_exact_mut(taps);
        for (dy, gradient) in dy.chunks_exact(out_plane).zip(gradients) {
            spread(&layout, dy, wide);
            let (cut, wide) = (&*cut, &*wide);
            vectorised(
                #[inline(always)]
                || {
                    for (gradient, &offset) in gradient.iter_mut().zip(&offsets) {
                        *gradient += lanes_dot(wide, &cut[offset..]);
                    }
                },
            );
        }
    }
}

/// The inner product over the whole of `a`, whose length is a multiple of `NARROW`.
#[inline(always)]
fn lanes_dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut sums = [T::zero(); NARROW];
    for (a, b) in a.chunks_exact(NARROW).zip(b.chunks_exact(NARROW)) {
        for lane in 0..NARROW {
            sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
        }
    }
    sums.iter().copied().sum()
}
