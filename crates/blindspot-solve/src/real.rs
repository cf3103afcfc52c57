//! The numbers that vectors are stored in, and the kernels over them.
//!
//! Vectors that are kept (points, gradients, history) are stored as the caller's type; every sum
//! is made in `f64`. So an `f32` solver loses to rounding only what its points and gradients lose.
//!
//! A sum runs over [`LANES`] partial sums, which are added in a fixed order: the bits are the same
//! on every processor, and the compiler can use whatever vector instructions there are.
//! [`pulp::Arch`] picks those at run time.

use std::fmt::Debug;

use num_traits::Float;
use pulp::Arch;

/// The storage of a solver's vectors: `f32` or `f64`.
pub trait Real: Float + Into<f64> + Default + Debug + Send + Sync + 'static {
    /// The distance from 1 to the next larger number of this type.
    const EPSILON: f64;

    /// The nearest number of this type.
    fn rounded(x: f64) -> Self;
}

impl Real for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;

    #[inline(always)]
    fn rounded(x: f64) -> Self {
        x as f32
    }
}

impl Real for f64 {
    const EPSILON: f64 = f64::EPSILON;

    #[inline(always)]
    fn rounded(x: f64) -> Self {
        x
    }
}

/// Four vectors of eight `f64`: enough additions under way to hide the latency of one.
const LANES: usize = 32;

/// The sum of the lanes, by halves.
#[inline(always)]
fn total(mut lanes: [f64; LANES]) -> f64 {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0]
}

#[inline(always)]
fn dot_here<A: Real, B: Real>(a: &[A], b: &[B]) -> f64 {
    let mut lanes = [0.0; LANES];
    let mut a = a.chunks_exact(LANES);
    let mut b = b.chunks_exact(LANES);
    for (a, b) in a.by_ref().zip(b.by_ref()) {
        for lane in 0..LANES {
            lanes[lane] += a[lane].into() * b[lane].into();
        }
    }
    for (lane, (&a, &b)) in a.remainder().iter().zip(b.remainder()).enumerate() {
        lanes[lane] += a.into() * b.into();
    }
    total(lanes)
}

/// The inner product of two vectors of one length.
pub(crate) fn dot<A: Real, B: Real>(a: &[A], b: &[B]) -> f64 {
    Arch::new().dispatch(
        #[inline(always)]
        || dot_here(a, b),
    )
}

/// The largest absolute value; NaN if there is one.
pub(crate) fn max_norm<T: Real>(v: &[T]) -> f64 {
    let larger = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
    v.iter().fold(0.0, |norm, &x| {
        if f64::is_nan(norm) {
            norm
        } else {
            larger(norm, x.into().abs())
        }
    })
}

/// The inner product of each row (`v.len()` values each) with `v`.
pub(crate) fn dots<T: Real>(rows: &[T], v: &[f64], out: &mut [f64]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (row, out) in rows.chunks_exact(v.len()).zip(out) {
                *out = dot_here(row, v);
            }
        },
    );
}

/// `out += a * row`.
pub(crate) fn axpy<T: Real>(a: f64, row: &[T], out: &mut [f64]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (out, &x) in out.iter_mut().zip(row) {
                *out += a * x.into();
            }
        },
    );
}

/// `out = sum_j coefficients[j] * rows[j]`, for rows of `out.len()` values each.
pub(crate) fn combine<T: Real>(coefficients: &[f64], rows: &[T], out: &mut [f64]) {
    /// Sums that fit the registers, so that a sum is written once and not once a row.
    const BLOCK: usize = 64;
    let n = out.len();
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                let from = block * BLOCK;
                if let Ok(out) = <&mut [f64; BLOCK]>::try_from(&mut *out) {
                    let mut sums = [0.0; BLOCK];
                    for (&a, row) in coefficients.iter().zip(rows.chunks_exact(n)) {
                        let row = &row[from..from + BLOCK];
                        for lane in 0..BLOCK {
                            sums[lane] += a * row[lane].into();
                        }
                    }
                    *out = sums;
                } else {
                    out.fill(0.0);
                    for (&a, row) in coefficients.iter().zip(rows.chunks_exact(n)) {
                        for (out, &x) in out.iter_mut().zip(&row[from..]) {
                            *out += a * x.into();
                        }
                    }
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(n: usize) -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-1.0..1.0, n)
    }

    proptest! {
        #[test]
        fn kernels_agree_with_plain_loops(
            (rows, v, n) in (1usize..200).prop_flat_map(|n| (vector(3 * n), vector(n), Just(n))),
        ) {
            let mut products = [0.0; 3];
            dots(&rows, &v, &mut products);
            let mut combined = vec![f64::NAN; n];
            combine(&products, &rows, &mut combined);
            let mut added = vec![0.0; n];
            let mut plain = vec![0.0; n];
            for (j, row) in rows.chunks(n).enumerate() {
                let sum: f64 = row.iter().zip(&v).map(|(a, b)| a * b).sum();
                prop_assert!((products[j] - sum).abs() < 1e-13);
                axpy(products[j], row, &mut added);
                for i in 0..n {
                    plain[i] += products[j] * row[i];
                }
            }
            for i in 0..n {
                prop_assert!((combined[i] - plain[i]).abs() < 1e-12);
                prop_assert!((added[i] - plain[i]).abs() < 1e-12);
            }
        }
    }
}
