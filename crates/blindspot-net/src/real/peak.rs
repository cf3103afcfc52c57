//! What a core can compute at most.

use std::hint::black_box;
use std::time::Instant;

use pulp::{Simd, WithSimd};

use super::Lanes;

/// Sums that do not wait for each other: more than any processor has under way.
const CHAINS: usize = 12;
/// Multiply-adds in each chain: some milliseconds of them.
const LENGTH: usize = 1 << 20;
/// The fastest of so many runs counts.
const RUNS: usize = 7;

/// Chains of multiply-adds in registers; gives what they come to, and how many numbers a vector has.
struct Chains;

impl WithSimd for Chains {
    type Output = (f32, usize);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f32, usize) {
        let lanes = size_of::<<f32 as Lanes>::Vector<S>>() / size_of::<f32>();
        let factor = f32::splat(simd, black_box(0.5));
        let term = f32::splat(simd, black_box(0.25));
        let mut sums = [f32::splat(simd, black_box(1.0)); CHAINS];
        for _ in 0..LENGTH {
            for sum in &mut sums {
                *sum = f32::multiply_add(simd, *sum, factor, term);
            }
        }
        let mut numbers = [0.0f32; 16];
        for sum in sums {
            f32::vectors_mut::<S>(&mut numbers[..lanes])[0] = sum;
            black_box(&numbers);
        }
        (numbers[0], lanes)
    }
}

/// Billions of operations in single precision (a multiply-add counts as two) that one core computes in
/// a second at most, with the vector instructions that networks run on here: measured, in some 50 ms.
pub fn peak_gflops() -> f64 {
    let arch = pulp::Arch::new();
    let run = |_| {
        let begun = Instant::now();
        let (_, lanes) = black_box(arch.dispatch(Chains));
        let operations = 2 * CHAINS * LENGTH * lanes;
        operations as f64 / begun.elapsed().as_secs_f64() / 1e9
    };
    (0..RUNS).map(run).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_core_computes_something() {
        assert!(super::peak_gflops() > 0.0);
    }
}
