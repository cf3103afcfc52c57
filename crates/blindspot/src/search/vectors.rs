//! Sums over vectors, each with an order of its own that results depend on, and small systems of
//! equations.

use blindspot_net::vectorised;

const LANES: usize = 16;
pub(super) const LANES_OF_F64: usize = 8;

/// Sum of products, in lanes of `f32`.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    vectorised(
        #[inline(always)]
        move || {
            let mut lanes = [0.0f32; LANES];
            let (a_chunks, a_rest) = a.as_chunks::<LANES>();
            let (b_chunks, b_rest) = b.as_chunks::<LANES>();
            for (a, b) in a_chunks.iter().zip(b_chunks) {
                for lane in 0..LANES {
                    lanes[lane] += a[lane] * b[lane];
                }
            }
            let rest: f64 = a_rest
                .iter()
                .zip(b_rest)
                .map(|(a, b)| f64::from(a * b))
                .sum();
            lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + rest
        },
    )
}

/// Sum of the products where `mask` is 1, in lanes of `f32`.
pub(super) fn masked_dot(a: &[f32], b: &[f32], mask: &[f32]) -> f64 {
    vectorised(
        #[inline(always)]
        move || {
            let mut lanes = [0.0f32; LANES];
            let (a_chunks, a_rest) = a.as_chunks::<LANES>();
            let (b_chunks, b_rest) = b.as_chunks::<LANES>();
            let (masks, mask_rest) = mask.as_chunks::<LANES>();
            for ((a, b), mask) in a_chunks.iter().zip(b_chunks).zip(masks) {
                for lane in 0..LANES {
                    lanes[lane] += a[lane] * b[lane] * mask[lane];
                }
            }
            let rest = a_rest.iter().zip(b_rest).zip(mask_rest);
            for (lane, ((a, b), mask)) in lanes.iter_mut().zip(rest) {
                *lane += a * b * mask;
            }
            lanes.iter().map(|&lane| f64::from(lane)).sum()
        },
    )
}

/// The L2 distance of two vectors, summed in lanes of `f32`.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f64 {
    vectorised(
        #[inline(always)]
        move || {
            let mut lanes = [0.0f32; LANES];
            let (a_chunks, a_rest) = a.as_chunks::<LANES>();
            let (b_chunks, b_rest) = b.as_chunks::<LANES>();
            for (a, b) in a_chunks.iter().zip(b_chunks) {
                for lane in 0..LANES {
                    lanes[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
                }
            }
            let rest: f32 = a_rest
                .iter()
                .zip(b_rest)
                .map(|(a, b)| (a - b) * (a - b))
                .sum();
            f64::from(lanes.iter().sum::<f32>() + rest).sqrt()
        },
    )
}

/// Sum of products, in lanes of `f64`.
pub(super) fn product(a: &[f64], b: &[f64]) -> f64 {
    in_lanes(a, b, |sum, a, b| sum + a * b).iter().sum()
}

/// The sum of absolute values, in lanes of `f64`.
pub(super) fn absolute_sum(vector: &[f64]) -> f64 {
    in_lanes(vector, vector, |sum, v, _| sum + v.abs())
        .iter()
        .sum()
}

/// The largest absolute difference of two vectors.
pub(super) fn farthest(a: &[f64], b: &[f64]) -> f64 {
    most(a, b, |a, b| (a - b).abs())
}

/// The largest absolute value.
pub(super) fn largest(vector: &[f64]) -> f64 {
    most(vector, vector, |v, _| v.abs())
}

/// The largest number that pairs of values give; 0 where none is above.
pub(super) fn most(a: &[f64], b: &[f64], number: impl Fn(f64, f64) -> f64) -> f64 {
    let lanes = in_lanes(a, b, move |most, a, b| {
        let number = number(a, b);
        if number > most { number } else { most }
    });
    lanes.into_iter().fold(0.0, f64::max)
}

/// Folds pairs of values from 0, every eighth pair into the same lane.
fn in_lanes(a: &[f64], b: &[f64], step: impl Fn(f64, f64, f64) -> f64) -> [f64; LANES_OF_F64] {
    vectorised(
        #[inline(always)]
        move || {
            let mut lanes = [0.0; LANES_OF_F64];
            let (a_chunks, a_rest) = a.as_chunks::<LANES_OF_F64>();
            let (b_chunks, b_rest) = b.as_chunks::<LANES_OF_F64>();
            for (a, b) in a_chunks.iter().zip(b_chunks) {
                for lane in 0..LANES_OF_F64 {
                    lanes[lane] = step(lanes[lane], a[lane], b[lane]);
                }
            }
            for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
                *lane = step(*lane, a, b);
            }
            lanes
        },
    )
}

/// The L2 norm of a vector, summed in `f64` from the first value to the last.
pub(super) fn length(vector: &[f32]) -> f64 {
    let sum: f64 = vector.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    sum.sqrt()
}

/// Writes the difference of two vectors.
pub(super) fn subtract(a: &[f32], b: &[f32], out: &mut [f32]) {
    vectorised(
        #[inline(always)]
        move || {
            for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *out = a - b;
            }
        },
    );
}

/// Solves a small positive definite system in place by Gauss-Jordan elimination; the right-hand
/// side is the last column. False where the system is singular.
pub(super) fn solve_small(matrix: &mut [Vec<f64>]) -> bool {
    let n = matrix.len();
    for pivot in 0..n {
        let scale = matrix[pivot][pivot];
        if !(scale > 1e-300 && scale.is_finite()) {
            return false;
        }
        let row = matrix[pivot].clone();
        for (i, other) in matrix.iter_mut().enumerate() {
            let factor = other[pivot] / scale;
            if i != pivot {
                for (value, &above) in other.iter_mut().zip(&row) {
                    *value -= factor * above;
                }
            }
        }
    }
    for (i, row) in matrix.iter_mut().enumerate() {
        row[n] /= row[i];
    }
    true
}
