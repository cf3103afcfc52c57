//! Matrix products whose every row has the same bits whatever the other rows are.
//!
//! The `gemm` crate picks its kernel and the order of its sums by the sizes of the product, so a
//! row of a product of 500 rows can differ in the last bit from the same row computed alone. The
//! answer for one image must not depend on its neighbours in the batch, so [`rows_times_matrix`]
//! only lets it choose among paths whose sums run in one order: full blocks of rows, and
//! contractions of at most [`DEPTH`]. A few rows that fill no block are our own loops, in the same order.

mod few_rows;

use crate::real::{Real, vectorised};

/// Rows are worked in multiples of this: above `gemm`'s limit for its small-product kernels.
const ROW_BLOCK: usize = 32;
/// Rows beyond the last full block that are our own loops; more are filled up to a block.
const FEW: usize = 12;
/// The longest contraction that `gemm` never splits by itself.
const DEPTH: usize = 512;
/// Products narrower than this are plain loops: `gemm` has kernels of other orders for them.
const NARROW: usize = 8;
/// Rows of such products that are summed beside each other: an addition waits for the one before it.
const ABREAST: usize = 8;

/// A matrix in memory: element (i, j) is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A dense matrix, row after row.
    pub(crate) fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Matrix {
            data,
            rows,
            cols,
            row_stride: cols,
            col_stride: 1,
        }
    }

    /// The same memory read as the transpose.
    pub(crate) fn transposed(self) -> Self {
        Matrix {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    fn check(&self) {
        let needed = match (self.rows, self.cols) {
            (0, _) | (_, 0) => 0,
            (rows, cols) => (rows - 1) * self.row_stride + (cols - 1) * self.col_stride + 1,
        };
        assert!(
            self.data.len() >= needed,
            "a matrix reaches beyond its data"
        );
    }
}

/// `out = a b`, or `out += a b` where `accumulate` is set; `a` is n x k with dense rows, `b` k x m,
/// `out` n x m, row after row. Row i of `out` depends on row i of `a` and on `b` alone, to the bit.
pub(crate) fn rows_times_matrix<T: Real>(
    a: &[T],
    b: Matrix<'_, T>,
    out: &mut [T],
    accumulate: bool,
) {
    let (k, m) = (b.rows, b.cols);
    if m == 0 || out.is_empty() {
        return;
    }
    let n = out.len() / m;
    assert!(
        out.len() == n * m && a.len() == n * k,
        "the sizes of a matrix product disagree"
    );
    if !accumulate {
        out.fill(T::zero());
    }
    if m <= NARROW || k <= 2 {
        return narrow(a, b, out);
    }
    let full = n / ROW_BLOCK * ROW_BLOCK;
    if full > 0 {
        by_depth(&a[..full * k], b, &mut out[..full * m]);
    }
    let rest = &mut out[full * m..];
    if n - full <= FEW {
        few_rows::few_rows(&a[full * k..], b, rest);
    } else {
        // In a block of their own filled up with zeros.
        let mut a_block = vec![T::zero(); ROW_BLOCK * k];
        let mut out_block = vec![T::zero(); ROW_BLOCK * m];
        a_block[..(n - full) * k].copy_from_slice(&a[full * k..]);
        out_block[..rest.len()].copy_from_slice(rest);
        by_depth(&a_block, b, &mut out_block);
        rest.copy_from_slice(&out_block[..rest.len()]);
    }
}

/// The slices of a contraction of `k` that `gemm` leaves whole: where each begins, how long it is.
fn slices(k: usize) -> impl Iterator<Item = (usize, usize)> {
    let slice = k.div_ceil(k.div_ceil(DEPTH));
    (0..k)
        .step_by(slice)
        .map(move |start| (start, slice.min(k - start)))
}

/// `out += a b` in slices of the contraction that `gemm` leaves whole.
fn by_depth<T: Real>(a: &[T], b: Matrix<'_, T>, out: &mut [T]) {
    let (k, m) = (b.rows, b.cols);
    let n = out.len() / m;
    for (start, depth) in slices(k) {
        let a_slice = Matrix {
            data: &a[start..],
            rows: n,
            cols: depth,
            row_stride: k,
            col_stride: 1,
        };
        let b_slice = Matrix {
            data: &b.data[start * b.row_stride..],
            rows: depth,
            ..b
        };
        product(a_slice, b_slice, out, true);
    }
}

/// `out += a b` for narrow `b`, a few rows at a time.
fn narrow<T: Real>(a: &[T], b: Matrix<'_, T>, out: &mut [T]) {
    let (k, m) = (b.rows, b.cols);
    if k == 0 {
        return;
    }
    for (rows, out) in a.chunks(ABREAST * k).zip(out.chunks_mut(ABREAST * m)) {
        if rows.len() == ABREAST * k {
            let abreast: [&[T]; ABREAST] = std::array::from_fn(|row| &rows[row * k..][..k]);
            by_column(abreast, b, out);
        } else {
            for (row, out) in rows.chunks_exact(k).zip(out.chunks_exact_mut(m)) {
                by_column([row], b, out);
            }
        }
    }
}

/// The same for these rows, a column at a time.
fn by_column<T: Real, const R: usize>(rows: [&[T]; R], b: Matrix<'_, T>, out: &mut [T]) {
    for j in 0..b.cols {
        let column = &b.data[j * b.col_stride..];
        let sums = match b.row_stride {
            1 => rows.map(|row| dot(row, &column[..b.rows])),
            stride => in_order(rows, column.iter().step_by(stride).take(b.rows)),
        };
        for (row, sum) in sums.into_iter().enumerate() {
            out[row * b.cols + j] += sum;
        }
    }
}

/// The inner products of rows with one column, each summed in order.
fn in_order<'a, T: Real, const R: usize>(
    rows: [&[T]; R],
    column: impl Iterator<Item = &'a T>,
) -> [T; R] {
    vectorised(
        #[inline(always)]
        move || {
            let mut sums = [T::zero(); R];
            for (i, &w) in column.enumerate() {
                for (sum, row) in sums.iter_mut().zip(&rows) {
                    *sum = row[i].mul_add(w, *sum);
                }
            }
            sums
        },
    )
}

/// The inner product of two vectors of equal length, in a fixed order of sums.
pub(crate) fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    const LANES: usize = 16;
    vectorised(
        #[inline(always)]
        move || {
            let mut sums = [T::zero(); LANES];
            let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
            let rest = xs.remainder().iter().zip(ys.remainder());
            let mut tail = T::zero();
            for (&a, &b) in rest {
                tail = a.mul_add(b, tail);
            }
            for (a, b) in xs.zip(ys) {
                for lane in 0..LANES {
                    sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
                }
            }
            sums.iter().copied().fold(tail, |sum, lane| sum + lane)
        },
    )
}

/// `out = a b` or `out += a b`, `out` dense, row after row; on the calling thread. The order of
/// the sums depends on the sizes.
pub(crate) fn product<T: Real>(
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    out: &mut [T],
    accumulate: bool,
) {
    assert!(
        out.len() == a.rows * b.cols,
        "the sizes of a matrix product disagree"
    );
    product_into(a, b, out, b.cols, accumulate);
}

/// The same into part of a larger matrix, whose rows are `row_stride` apart.
#[allow(unsafe_code)]
pub(crate) fn product_into<T: Real>(
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    out: &mut [T],
    row_stride: usize,
    accumulate: bool,
) {
    let (n, k, m) = (a.rows, a.cols, b.cols);
    if n == 0 || m == 0 {
        return;
    }
    assert!(
        b.rows == k && row_stride >= m && out.len() >= (n - 1) * row_stride + m,
        "the sizes of a matrix product disagree"
    );
    a.check();
    b.check();
    // SAFETY: the three matrices lie within their slices, as just checked, and `out` is borrowed
    // mutably, so it overlaps neither of the others.
    unsafe {
        gemm::gemm(
            n,
            m,
            k,
            out.as_mut_ptr(),
            1,
            row_stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            T::one(),
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_769) | 1;
        (0..count)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state as f32 / u32::MAX as f32 - 0.5
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Against the sum in f64, and each row against the same row computed in another batch.
        #[test]
        fn a_row_does_not_depend_on_its_neighbours(
            n in 1usize..150, k in 1usize..1100, m in 1usize..130, seed: u32, transposed: bool,
        ) {
            let a = values(n * k, seed);
            let stored = values(k * m, seed ^ 77);
            let b = if transposed {
                Matrix::new(&stored, m, k).transposed()
            } else {
                Matrix::new(&stored, k, m)
            };
            let mut all = vec![0.0f32; n * m];
            rows_times_matrix(&a, b, &mut all, false);
            for i in [0, n / 2, n - 1] {
                let row = &a[i * k..(i + 1) * k];
                let mut alone = vec![0.0f32; m];
                rows_times_matrix(row, b, &mut alone, false);
                prop_assert_eq!(&alone[..], &all[i * m..(i + 1) * m]);
                for j in 0..m {
                    let exact: f64 = (0..k)
                        .map(|l| {
                            let w = stored[l * b.row_stride + j * b.col_stride];
                            f64::from(row[l]) * f64::from(w)
                        })
                        .sum();
                    prop_assert!((f64::from(alone[j]) - exact).abs() < 1e-4);
                }
            }
        }
    }
}
