//! Products of fewer rows than fill a block: one image, a few images.
//!
//! They are bound by reading the matrix once, not by arithmetic. Each sum runs as `gemm`'s does: by
//! fused multiply-adds along the contraction, from 0 in each slice of it, and the slices are added
//! up.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{Matrix, slices};
use crate::real::{Real, vectorised};

/// Rows that are worked at a time.
const TOGETHER: usize = 4;
/// The side of the tiles in which a matrix stored by columns is turned.
const TILE: usize = 16;
/// Columns of a matrix whose sums for one row run side by side.
const ABREAST: usize = 8;

/// `out += a b`.
pub(super) fn few_rows<T: Real>(a: &[T], b: Matrix<'_, T>, out: &mut [T]) {
    if b.col_stride == 1 && b.row_stride == b.cols {
        return by_rows(a, b, out);
    }
    vectorised(
        #[inline(always)]
        move || match b.row_stride {
            1 if out.len() == b.cols => one_row(a, b, out),
            _ => by_columns(a, b, out),
        },
    );
}

/// Of a matrix whose rows are dense.
fn by_rows<T: Real>(a: &[T], b: Matrix<'_, T>, out: &mut [T]) {
    let (k, m) = (b.rows, b.cols);
    for (start, depth) in slices(k) {
        let rows = a.chunks(TOGETHER * k).zip(out.chunks_mut(TOGETHER * m));
        for (a, out) in rows {
            let a = &a[start..];
            let b = &b.data[start * b.row_stride..];
            let depth = (depth, k);
            let arch = pulp::Arch::new();
            match out.len() / m {
                TOGETHER => arch.dispatch(Strip::<T, TOGETHER> {
                    a,
                    depth,
                    b,
                    m,
                    out,
                }),
                3 => arch.dispatch(Strip::<T, 3> {
                    a,
                    depth,
                    b,
                    m,
                    out,
                }),
                2 => arch.dispatch(Strip::<T, 2> {
                    a,
                    depth,
                    b,
                    m,
                    out,
                }),
                _ => arch.dispatch(Strip::<T, 1> {
                    a,
                    depth,
                    b,
                    m,
                    out,
                }),
            }
        }
    }
}

/// `R` rows times a matrix whose rows are dense, added to `out`: the sums of some neighbouring columns stay in
/// registers while the matrix is read from top to bottom.
struct Strip<'a, T, const R: usize> {
    a: &'a [T],
    /// How many numbers of a row of `a` are taken, and from one row to the next.
    depth: (usize, usize),
    b: &'a [T],
    /// Columns of the matrix, one row of it directly behind the other, and of `out`.
    m: usize,
    out: &'a mut [T],
}

impl<T: Real, const R: usize> Strip<'_, T, R> {
    /// `C` vectors of columns from `left` on.
    #[inline(always)]
    fn vectors<S: Simd, const C: usize>(&mut self, simd: S, left: usize) {
        let (depth, k) = self.depth;
        let mut sums = [[T::splat(simd, T::zero()); C]; R];
        for l in 0..depth {
            let weights = T::vectors::<S>(&self.b[l * self.m + left..]).first_chunk::<C>();
            let weights = weights.expect("there are as many columns");
            for r in 0..R {
                let factor = T::splat(simd, self.a[r * k + l]);
                for c in 0..C {
                    sums[r][c] = T::multiply_add(simd, factor, weights[c], sums[r][c]);
                }
            }
        }
        let one = T::splat(simd, T::one());
        for r in 0..R {
            let out = T::vectors_mut::<S>(&mut self.out[r * self.m + left..]);
            let out = out.first_chunk_mut::<C>();
            let out = out.expect("there are as many columns");
            for c in 0..C {
                out[c] = T::multiply_add(simd, one, sums[r][c], out[c]);
            }
        }
    }
}

impl<T: Real, const R: usize> WithSimd for Strip<'_, T, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let mut left = 0;
        // One row is bound by reading the matrix: longer pieces of its rows.
        while R == 1 && left + 8 * lanes <= self.m {
            self.vectors::<S, 8>(simd, left);
            left += 8 * lanes;
        }
        while left + 3 * lanes <= self.m {
            self.vectors::<S, 3>(simd, left);
            left += 3 * lanes;
        }
        while left + lanes <= self.m {
            self.vectors::<S, 1>(simd, left);
            left += lanes;
        }
        let (depth, k) = self.depth;
        for j in left..self.m {
            let mut sums = [T::zero(); R];
            for l in 0..depth {
                let weight = self.b[l * self.m + j];
                for r in 0..R {
                    sums[r] = self.a[r * k + l].mul_add(weight, sums[r]);
                }
            }
            for r in 0..R {
                self.out[r * self.m + j] += sums[r];
            }
        }
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
