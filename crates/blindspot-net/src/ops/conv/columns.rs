//! Convolutions as matrix products: the windows of an image are the columns of a matrix.
//!
//! An image is worked by itself, so its bits do not depend on the batch, in blocks of output rows
//! whose columns stay in the cache.

use std::ops::Range;

use super::super::Gradient;
use super::super::window::Plane;
use super::{Sizes, parts};
use crate::matmul::{Matrix, product_into};
use crate::real::Real;

/// The most numbers in a block of columns: what the second level of a core's cache has room for.
const BLOCK: usize = 1 << 17;

impl Sizes {
    /// The length of a column: a window over all channels of a group.
    fn depth(&self) -> usize {
        self.channels * self.plane.kernel_len()
    }

    /// Output rows in a block.
    fn block_rows(&self) -> usize {
        let row = self.depth() * self.plane.output[1];
        (BLOCK / row).clamp(1, self.plane.output[0])
    }

    /// Numbers of a block of columns; none are needed where the image itself is the columns.
    fn block_len(&self) -> usize {
        if self.plane.is_pointwise() {
            0
        } else {
            self.depth() * self.block_rows() * self.plane.output[1]
        }
    }

    /// The blocks of output rows of an image.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = self.plane.output[0];
        let step = if self.plane.is_pointwise() {
            rows
        } else {
            self.block_rows()
        };
        (0..rows)
            .step_by(step)
            .map(move |start| start..rows.min(start + step))
    }

    /// For each image and group: the group, its numbers in `x` and in `y`.
    fn groups_of(
        &self,
        images: usize,
    ) -> impl Iterator<Item = (usize, Range<usize>, Range<usize>)> + use<> {
        let x = self.channels * self.plane.input_len();
        let y = self.features * self.plane.output_len();
        let groups = self.groups;
        (0..images * groups).map(move |i| (i % groups, i * x..(i + 1) * x, i * y..(i + 1) * y))
    }

    fn images(&self, y: usize) -> usize {
        y / (self.groups * self.features * self.plane.output_len())
    }

    /// The weights of a group as a matrix, a row for each feature.
    fn weights<'a, T>(&self, weight: &'a [T], group: usize) -> Matrix<'a, T> {
        let length = self.features * self.depth();
        Matrix::new(
            &weight[group * length..][..length],
            self.features,
            self.depth(),
        )
    }
}

/// Part of a matrix whose rows are planes: the windows of some output rows.
fn window<'a, T>(
    planes: &'a [T],
    count: usize,
    plane: usize,
    columns: Range<usize>,
) -> Matrix<'a, T> {
    Matrix {
        data: &planes[columns.start..],
        rows: count,
        cols: columns.len(),
        row_stride: plane,
        col_stride: 1,
    }
}

/// The numbers of memory that a convolution needs.
pub(super) fn scratch(sizes: &Sizes) -> u64 {
    sizes.block_len() as u64
}

pub(super) fn forward<T: Real>(
    sizes: &Sizes,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    output: &mut [T],
    scratch: &mut Vec<T>,
) {
    let out_plane = sizes.plane.output_len();
    if let Some(bias) = bias {
        for (i, plane) in output.chunks_exact_mut(out_plane).enumerate() {
            plane.fill(bias[i % bias.len()]);
        }
    }
    let [columns] = parts(scratch, [sizes.block_len()]);
    for (group, in_x, in_y) in sizes.groups_of(sizes.images(output.len())) {
        let (x, out) = (&x[in_x], &mut output[in_y]);
        let weights = sizes.weights(weight, group);
        for rows in sizes.blocks() {
            let place = rows.start * sizes.plane.output[1]..rows.end * sizes.plane.output[1];
            let windows = if sizes.plane.is_pointwise() {
                window(x, sizes.channels, out_plane, place.clone())
            } else {
                let columns = &mut columns[..sizes.depth() * place.len()];
                gather(&sizes.plane, x, rows, columns);
                Matrix::new(columns, sizes.depth(), place.len())
            };
            product_into(
                weights,
                windows,
                &mut out[place.start..],
                out_plane,
                bias.is_some(),
            );
        }
    }
}

pub(super) fn by_value<T: Real>(
    sizes: &Sizes,
    weight: &[T],
    dy: &[T],
    gradient: &mut Gradient<'_, T>,
    scratch: &mut Vec<T>,
) {
    let out_plane = sizes.plane.output_len();
    let pointwise = sizes.plane.is_pointwise();
    let accumulate = gradient.accumulate;
    if !pointwise {
        gradient.begin_sum();
    }
    let [columns] = parts(scratch, [sizes.block_len()]);
    for (group, in_x, in_y) in sizes.groups_of(sizes.images(dy.len())) {
        let (dx, dy) = (&mut gradient.data[in_x], &dy[in_y]);
        let weights = sizes.weights(weight, group).transposed();
        for rows in sizes.blocks() {
            let place = rows.start * sizes.plane.output[1]..rows.end * sizes.plane.output[1];
            let dy = window(dy, sizes.features, out_plane, place.clone());
            if pointwise {
                product_into(weights, dy, dx, out_plane, accumulate);
            } else {
                let columns = &mut columns[..sizes.depth() * place.len()];
                product_into(weights, dy, columns, place.len(), false);
                scatter(&sizes.plane, columns, rows, dx);
            }
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
    let out_plane = sizes.plane.output_len();
    let length = sizes.features * sizes.depth();
    let [columns] = parts(scratch, [sizes.block_len()]);
    for (group, in_x, in_y) in sizes.groups_of(sizes.images(dy.len())) {
        let (x, dy) = (&x[in_x], &dy[in_y]);
        let gradient = &mut gradient[group * length..][..length];
        for rows in sizes.blocks() {
            let place = rows.start * sizes.plane.output[1]..rows.end * sizes.plane.output[1];
            let dy = window(dy, sizes.features, out_plane, place.clone());
            let windows = if sizes.plane.is_pointwise() {
                window(x, sizes.channels, out_plane, place)
            } else {
                let columns = &mut columns[..sizes.depth() * place.len()];
                gather(&sizes.plane, x, rows, columns);
                Matrix::new(columns, sizes.depth(), place.len())
            };
            product_into(dy, windows.transposed(), gradient, sizes.depth(), true);
        }
    }
}

/// Calls `row` for every row of the columns of the output rows `rows`: where it begins in the
/// columns, the outputs (relative to that) that look into the input, and where in the image the
/// first of them looks; `None` where none does.
#[inline(always)]
fn each_row(
    plane: &Plane,
    channels: usize,
    rows: Range<usize>,
    mut row: impl FnMut(usize, Range<usize>, Option<usize>),
) {
    let [height, width] = plane.input;
    let mut start = 0;
    for channel in 0..channels {
        for ky in 0..plane.kernel[0] {
            let inside_y = plane.inside(0, ky);
            for kx in 0..plane.kernel[1] {
                let inside = plane.inside(1, kx);
                for y in rows.clone() {
                    let from = (inside_y.contains(&y) && !inside.is_empty()).then(|| {
                        (channel * height + plane.position(0, y, ky)) * width
                            + plane.position(1, inside.start, kx)
                    });
                    row(start, inside.clone(), from);
                    start += plane.output[1];
                }
            }
        }
    }
}

/// The windows of output rows `rows` as columns.
fn gather<T: Real>(plane: &Plane, x: &[T], rows: Range<usize>, columns: &mut [T]) {
    let (width, stride) = (plane.output[1], plane.stride[1]);
    let channels = x.len() / plane.input_len();
    each_row(plane, channels, rows, |start, inside, from| {
        let out = &mut columns[start..start + width];
        let Some(from) = from else {
            return out.fill(T::zero());
        };
        out[..inside.start].fill(T::zero());
        out[inside.end..].fill(T::zero());
        let out = &mut out[inside];
        match stride {
            1 => out.copy_from_slice(&x[from..from + out.len()]),
            _ => {
                for (out, &x) in out.iter_mut().zip(x[from..].iter().step_by(stride)) {
                    *out = x;
                }
            }
        }
    });
}

/// Adds columns to where they come from: the adjoint of [`gather`].
fn scatter<T: Real>(plane: &Plane, columns: &[T], rows: Range<usize>, dx: &mut [T]) {
    let stride = plane.stride[1];
    let channels = dx.len() / plane.input_len();
    each_row(plane, channels, rows, |start, inside, from| {
        let Some(from) = from else { return };
        let columns = &columns[start + inside.start..start + inside.end];
        match stride {
            1 => {
                for (dx, &value) in dx[from..from + columns.len()].iter_mut().zip(columns) {
                    *dx += value;
                }
            }
            _ => {
                for (dx, &value) in dx[from..].iter_mut().step_by(stride).zip(columns) {
                    *dx += value;
                }
            }
        }
    });
}
