//! Singular values of matrices held in memory.

use blindspot_net::vectorised;
use faer::{Mat, c64};

/// A matrix of numbers, row after row.
#[derive(Debug, Clone)]
pub(crate) struct Dense {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) data: Vec<f64>,
}

impl Dense {
    /// The square root of the sum of all squares: never below the largest singular value.
    pub(crate) fn frobenius(&self) -> f64 {
        self.data.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    /// All singular values, the largest first; None where the iteration does not end (never seen).
    pub(super) fn singular_values(&self) -> Option<Vec<f64>> {
        let matrix = Mat::from_fn(self.rows, self.cols, |i, j| self.data[i * self.cols + j]);
        settled(matrix.singular_values().ok())
    }

    /// A row of it.
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.data[i * self.cols..(i + 1) * self.cols]
    }
}

/// All singular values of a complex matrix, the largest first.
pub(super) fn complex_singular_values(
    rows: usize,
    cols: usize,
    element: impl FnMut(usize, usize) -> c64,
) -> Option<Vec<f64>> {
    settled(Mat::from_fn(rows, cols, element).singular_values().ok())
}

/// The singular values and, for each, the last number of its left singular vector: what a residual
/// of the Lanczos process takes. `element(i, j)` gives a square matrix.
pub(super) fn with_last_of_left(
    size: usize,
    element: impl FnMut(usize, usize) -> f64,
) -> Option<Vec<(f64, f64)>> {
    let svd = Mat::from_fn(size, size, element).svd().ok();
    settled(svd.map(|svd| {
        let (values, left) = (svd.S().column_vector(), svd.U());
        (0..size)
            .map(|i| (values[i], left[(size - 1, i)]))
            .collect()
    }))
}

/// What a decomposition can be wrong by in each singular value: backward stable algorithms end
/// within a modest multiple of the rounding unit times the largest singular value (Higham 2002,
/// section 20; the multiple grows no faster than the sum of both sizes).
pub(super) fn rounding(rows: usize, cols: usize, largest: f64) -> f64 {
    (rows + cols + 16) as f64 * f64::EPSILON * largest
}

/// Gives the result on, after a vector function of this program: the decomposition's kernels leave
/// the upper halves of the registers in use, which makes plain code behind them several times
/// slower.
pub(crate) fn settled<R>(result: R) -> R {
    let mut few = [0.0f64; 16];
    vectorised(
        #[inline(always)]
        || {
            for x in &mut few {
                *x += 1.0;
            }
        },
    );
    std::hint::black_box(&few);
    result
}
