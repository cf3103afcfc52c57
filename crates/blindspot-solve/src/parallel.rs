//! Kernels over long vectors, spread over rayon's threads.
//!
//! A vector is cut into blocks of one size whatever the number of threads, and sums of blocks are
//! added in order: the bits don't depend on the threads.

use rayon::prelude::*;

use crate::real::{self, Real};

/// Numbers in a block: half a megabyte for two vectors of `f64`.
const BLOCK: usize = 1 << 15;

/// The inner product of two vectors of one length.
pub(crate) fn dot<A: Real, B: Real>(a: &[A], b: &[B]) -> f64 {
    if a.len() <= BLOCK {
        return real::dot(a, b);
    }
    let blocks = a.par_chunks(BLOCK).zip(b.par_chunks(BLOCK));
    let sums: Vec<f64> = blocks.map(|(a, b)| real::dot(a, b)).collect();
    sums.iter().sum()
}

/// `out += a * row`.
pub(crate) fn axpy<T: Real>(a: f64, row: &[T], out: &mut [f64]) {
    let blocks = out.par_chunks_mut(BLOCK).zip(row.par_chunks(BLOCK));
    blocks.for_each(|(out, row)| real::axpy(a, row, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_do_not_depend_on_threads() {
        let n = 5 * BLOCK + 77;
        let a: Vec<f64> = (0..n).map(|i| (i as f64 * 0.37).sin()).collect();
        let b: Vec<f64> = (0..n).map(|i| (i as f64 * 0.11).cos()).collect();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let mut sum = b.clone();
            let product = pool.install(|| {
                axpy(0.3, &a, &mut sum);
                dot(&a, &sum)
            });
            (product.to_bits(), sum)
        };
        let one = on(1);
        assert_eq!(one, on(3));
        let plain: f64 = a.iter().zip(&one.1).map(|(x, y)| x * y).sum();
        assert!((f64::from_bits(one.0) - plain).abs() < 1e-9 * plain.abs());
    }
}
