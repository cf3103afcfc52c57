//! Singular values of matrices held in memory.

use blindspot_net::vectorised;
use faer::{Mat, c64};

/// A real matrix held in memory, row after row.
#[derive(Debug, Clone)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) data: Vec<f64>,
}

impl Matrix {
    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> u64 {
        size_of_val(&self.data[..]) as u64
    }

    /// The Frobenius norm: the square root of the sum of all squares. It is never below the largest
    /// singular value.
    pub(crate) fn frobenius(&self) -> f64 {
        self.data.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    /// All singular values, the largest first; None if the iteration does not converge (never
    /// seen).
    pub(super) fn singular_values(&self) -> Option<Vec<f64>> {
        let matrix = Mat::from_fn(self.rows, self.cols, |i, j| self.data[i * self.cols + j]);
        clear_upper_registers(matrix.singular_values().ok())
    }

    /// Row `i`.
    pub(crate) fn row(&self, i: usize) -> &[f64] {
        &self.data[i * self.cols..(i + 1) * self.cols]
    }
}

/// All singular values of a complex matrix, the largest first; None if the iteration does not
/// converge.
pub(super) fn complex_singular_values(
    rows: usize,
    cols: usize,
    element: impl FnMut(usize, usize) -> c64,
) -> Option<Vec<f64>> {
    clear_upper_registers(Mat::from_fn(rows, cols, element).singular_values().ok())
}

/// A singular value, and the last entry of its left singular vector: what a residual of the Lanczos
/// process is made of.
pub(super) struct SingularTriplet {
    pub(super) value: f64,
    pub(super) last_left_entry: f64,
}

/// The singular values of the square matrix with the entries `element(i, j)`, the largest first;
/// None if the iteration does not converge.
pub(super) fn singular_triplets(
    size: usize,
    element: impl FnMut(usize, usize) -> f64,
) -> Option<Vec<SingularTriplet>> {
    let svd = Mat::from_fn(size, size, element).svd().ok();
    clear_upper_registers(svd.map(|svd| {
        let (values, left) = (svd.S().column_vector(), svd.U());
        (0..size)
            .map(|i| SingularTriplet {
                value: values[i],
                last_left_entry: left[(size - 1, i)],
            })
            .collect()
    }))
}

/// An upper bound of the error of each singular value of a decomposition. Backward stable
/// algorithms end within a modest multiple of the unit roundoff times the largest singular value
/// (Higham 2002, section 20); the multiple grows no faster than the sum of both sizes.
pub(super) fn rounding(rows: usize, cols: usize, largest: f64) -> f64 {
    (rows + cols + 16) as f64 * f64::EPSILON * largest
}

/// Passes a decomposition's result on after running one vectorised function. The decomposition's
/// kernels leave the upper halves of the vector registers dirty, which makes the scalar code behind
/// them several times slower.
pub(crate) fn clear_upper_registers<R>(result: R) -> R {
    let mut lanes = [0.0f64; 16];
    vectorised(
        #[inline(always)]
        move || {
            for x in &mut lanes {
                *x += 1.0;
            }
        },
    );
    std::hint::black_box(&lanes);
    result
}
