//! Arithmetic of `f64` vectors. Each function sums in one fixed order, so that results have the same
//! bits on every machine.

use blindspot_net::vectorised;

/// The inner product, summed in 8 lanes.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    vectorised(
        #[inline(always)]
        move || {
            let mut lanes = [0.0; 8];
            let (a_runs, b_runs) = (a.chunks_exact(8), b.chunks_exact(8));
            let rest = a_runs.remainder().iter().zip(b_runs.remainder());
            let rest: f64 = rest.map(|(a, b)| a * b).sum();
            for (a, b) in a_runs.zip(b_runs) {
                for lane in 0..8 {
                    lanes[lane] += a[lane] * b[lane];
                }
            }
            lanes.iter().sum::<f64>() + rest
        },
    )
}

/// `to += factor * from`
pub(super) fn add(to: &mut [f64], from: &[f64], factor: f64) {
    vectorised(
        #[inline(always)]
        move || {
            for (to, from) in to.iter_mut().zip(from) {
                *to += factor * from;
            }
        },
    );
}

/// Removes from `vector` its components along the orthonormal `axes` and scales it to length 1. Two
/// passes of Gram-Schmidt are enough (Kahan; Parlett, The Symmetric Eigenvalue Problem, 6.9).
pub(super) fn make_perpendicular(vector: &mut [f64], axes: &[Vec<f64>]) {
    for _ in 0..2 {
        for axis in axes {
            let component = dot(vector, axis);
            add(vector, axis, -component);
        }
        let norm = dot(vector, vector).sqrt();
        vector.iter_mut().for_each(|x| *x /= norm);
    }
}

/// The vector of length 1 in the direction of `values`.
pub(super) fn normalised(values: &[f64]) -> Vec<f32> {
    let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
    values.iter().map(|x| (x / norm) as f32).collect()
}
