//! Products of fewer rows than fill a block: one image, a few images.
//!
//! They are bound by reading the matrix once, not by arithmetic. Each sum runs as `gemm`'s does: by
//! fused multiply-adds along the contraction, from 0 in each slice of it, and the slices are added
//! up.

use std::ops::Range;

use super::{Matrix, slices};
use crate::real::{Real, vectorised};

/// Columns that are worked at a time: the sums of some rows and the strip of the matrix stay in
/// the nearest cache.
const STRIP: usize = 512;
/// Rows of the matrix that are read at a time.
const TOGETHER: usize = 4;
/// The side of the tiles in which a matrix stored by columns is turned.
const TILE: usize = 16;
/// Columns of a matrix whose sums for one row run side by side.
const ABREAST: usize = 8;

/// `out += a b`.
pub(super) fn few_rows<T: Real>(a: &[T], b: Matrix<'_, T>, out: &mut [T]) {
    vectorised(
        #[inline(always)]
        move || match b.col_stride {
            1 => by_rows(a, b, out),
            _ if out.len() == b.cols && b.row_stride == 1 => one_row(a, b, out),
            _ => by_columns(a, b, out),
        },
    );
}

/// Of a matrix whose rows are dense.
#[inline(always)]
fn by_rows<T: Real>(a: &[T], b: Matrix<'_, T>, out: &mut [T]) {
    let (k, m) = (b.rows, b.cols);
    let mut sums = vec![T::zero(); out.len() / m * STRIP.min(m)];
    for (start, depth) in slices(k) {
        for left in (0..m).step_by(STRIP) {
            let width = STRIP.min(m - left);
            let row_of_b = |l: usize| &b.data[(start + l) * b.row_stride + left..][..width];
            sums.fill(T::zero());
            let whole = depth / TOGETHER * TOGETHER;
            for l in (0..whole).step_by(TOGETHER) {
                let rows: [&[T]; TOGETHER] = std::array::from_fn(|i| row_of_b(l + i));
                for (row, sums) in a.chunks_exact(k).zip(sums.chunks_exact_mut(width)) {
                    let factors: [T; TOGETHER] = std::array::from_fn(|i| row[start + l + i]);
                    add_together(factors, rows, sums);
                }
            }
            for l in whole..depth {
                for (row, sums) in a.chunks_exact(k).zip(sums.chunks_exact_mut(width)) {
                    for (sum, &w) in sums.iter_mut().zip(row_of_b(l)) {
                        *sum = row[start + l].mul_add(w, *sum);
                    }
                }
            }
            for (row, sums) in out.chunks_exact_mut(m).zip(sums.chunks_exact(width)) {
                for (value, &sum) in row[left..].iter_mut().zip(sums) {
                    *value += sum;
                }
            }
        }
    }
}

#[inline(always)]
fn add_together<T: Real>(
    [f0, f1, f2, f3]: [T; TOGETHER],
    [r0, r1, r2, r3]: [&[T]; TOGETHER],
    sums: &mut [T],
) {
    let rows = r0.iter().zip(r1).zip(r2.iter().zip(r3));
    for (sum, ((&w0, &w1), (&w2, &w3))) in sums.iter_mut().zip(rows) {
        *sum = f3.mul_add(w3, f2.mul_add(w2, f1.mul_add(w1, f0.mul_add(w0, *sum))));
    }
}

/// One row, and a matrix whose columns are dense: sums of neighbouring columns run side by side, each number
/// by itself.
#[inline(always)]
fn one_row<T: Real>(a: &[T], b: Matrix<'_, T>, out: &mut [T]) {
    for (start, depth) in slices(b.rows) {
        let a = &a[start..start + depth];
        let column = |j: usize| &b.data[j * b.col_stride + start..][..depth];
        let whole = b.cols / ABREAST * ABREAST;
        for left in (0..whole).step_by(ABREAST) {
            let columns: [&[T]; ABREAST] = std::array::from_fn(|j| column(left + j));
            let mut sums = [T::zero(); ABREAST];
            for l in 0..depth {
                for j in 0..ABREAST {
                    sums[j] = a[l].mul_add(columns[j][l], sums[j]);
                }
            }
            for j in 0..ABREAST {
                out[left + j] += sums[j];
            }
        }
        for j in whole..b.cols {
            let products = a.iter().zip(column(j));
            out[j] += products.fold(T::zero(), |sum, (&a, &w)| a.mul_add(w, sum));
        }
    }
}

/// Of any other matrix: tiles of it are turned, so that sums of neighbouring columns run side by
/// side.
#[inline(always)]
fn by_columns<T: Real>(a: &[T], b: Matrix<'_, T>, out: &mut [T]) {
    let (k, m) = (b.rows, b.cols);
    let mut sums = vec![[T::zero(); TILE]; out.len() / m];
    for (start, depth) in slices(k) {
        for left in (0..m).step_by(TILE) {
            let width = TILE.min(m - left);
            sums.fill([T::zero(); TILE]);
            for l in (0..depth).step_by(TILE) {
                let height = TILE.min(depth - l);
                let tile = turned(b, start + l..start + l + height, left..left + width);
                // Several rows at once: their sums don't wait for each other.
                let rows = a.chunks(TOGETHER * k).zip(sums.chunks_mut(TOGETHER));
                for (rows, sums) in rows {
                    let row = |i: usize| &rows[i * k + start + l..][..height];
                    if let Ok(sums) = <&mut [_; TOGETHER]>::try_from(&mut *sums) {
                        tile_times(std::array::from_fn(row), &tile, sums);
                    } else {
                        for (i, sums) in sums.iter_mut().enumerate() {
                            tile_times([row(i)], &tile, std::array::from_mut(sums));
                        }
                    }
                }
            }
            for (row, sums) in out.chunks_exact_mut(m).zip(&sums) {
                for (value, &sum) in row[left..].iter_mut().zip(&sums[..width]) {
                    *value += sum;
                }
            }
        }
    }
}

#[inline(always)]
fn tile_times<T: Real, const ROWS: usize>(
    factors: [&[T]; ROWS],
    tile: &[[T; TILE]; TILE],
    sums: &mut [[T; TILE]; ROWS],
) {
    let mut running = *sums;
    for (l, weights) in tile.iter().take(factors[0].len()).enumerate() {
        for (factors, sums) in factors.iter().zip(&mut running) {
            let factor = factors[l];
            for (sum, &w) in sums.iter_mut().zip(weights) {
                *sum = factor.mul_add(w, *sum);
            }
        }
    }
    *sums = running;
}

/// Rows and columns of a matrix as a tile, zeros beyond them.
#[inline(always)]
fn turned<T: Real>(b: Matrix<'_, T>, rows: Range<usize>, cols: Range<usize>) -> [[T; TILE]; TILE] {
    let mut tile = [[T::zero(); TILE]; TILE];
    let from = |j: usize| &b.data[rows.start * b.row_stride + j * b.col_stride..];
    if b.row_stride == 1 && rows.len() == TILE && cols.len() == TILE {
        // Sizes that the compiler knows: twice as fast.
        for j in 0..TILE {
            for (row, &value) in tile.iter_mut().zip(&from(cols.start + j)[..TILE]) {
                row[j] = value;
            }
        }
        return tile;
    }
    for (j, col) in cols.enumerate() {
        let column = from(col).iter().step_by(b.row_stride);
        for (row, &value) in tile.iter_mut().zip(column.take(rows.len())) {
            row[j] = value;
        }
    }
    tile
}
