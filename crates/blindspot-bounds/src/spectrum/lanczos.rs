//! The extreme singular values of a linear operator that is only applied, never stored:
//! Golub-Kahan- Lanczos bidiagonalisation.
//!
//! From a random unit vector it builds orthonormal vectors V on the operator's smaller side with A
//! V = U B, where B is upper bidiagonal. B's singular values approach those of A from inside, at
//! both ends first. Each is no farther from a singular value of A than its residual, |beta_k| times
//! the last entry of B's left singular vector. V is orthogonalised against all its vectors, twice;
//! U then stays orthogonal enough by itself (Simon and Zha 2000).
//!
//! # Why not faer's `partial_svd`
//!
//! faer has a restarted Lanczos process for the largest singular values. This process is kept for
//! three reasons: it returns a bound of each value's error, made of the residual and the rounding,
//! where faer tells how many values met a tolerance; its sums have a fixed order, so the same seed
//! gives the same bits for any number of threads; and one run finds both ends of the spectrum, with
//! the operator applied by the network's own kernels.

use blindspot_run::random::Stream;

use super::dense::{SingularTriplet, singular_triplets};

/// A linear operator A and its adjoint.
pub(crate) trait LinearOperator {
    /// The length of an input.
    fn cols(&self) -> usize;
    /// The length of an output.
    fn rows(&self) -> usize;
    /// Writes A x into `out`.
    fn apply(&mut self, x: &[f64], out: &mut [f64]);
    /// Writes A' y into `out`, A' being the adjoint.
    fn adjoint(&mut self, y: &[f64], out: &mut [f64]);
}

/// An approximate singular value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    /// The operator has a singular value that is no farther from `value` than this.
    pub(crate) error: f64,
}

/// The singular values that the process found at both ends of the spectrum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ExtremeSingularValues {
    pub(crate) largest: Estimate,
    /// The smallest of the singular values on the operator's smaller side.
    pub(crate) smallest: Estimate,
    /// How often operator and adjoint were applied.
    pub(crate) steps: usize,
}

/// When the process stops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The relative error of the largest singular value that is good enough.
    pub(crate) tolerance: f64,
    /// The largest number of steps.
    pub(crate) steps: usize,
    /// Go on until the smallest singular value is as accurate, too.
    pub(crate) both: bool,
}

/// The numbers that the vectors of one process may hold.
const MAX_NUMBERS: usize = 48 << 20;

/// The bytes that the vectors of one process take, for an operator with so many outputs and inputs.
pub(super) fn lanczos_bytes(rows: usize, cols: usize) -> u64 {
    let (small, large) = (rows.min(cols), rows.max(cols));
    let numbers = MAX_NUMBERS.max(8 * small) + 2 * large + small;
    (numbers * size_of::<f64>()) as u64
}

/// Runs the process from a random vector of `start`. None if the operator is 0 or not finite.
pub(crate) fn golub_kahan(
    operator: &mut dyn LinearOperator,
    start: &mut Stream,
    limits: Limits,
) -> Option<ExtremeSingularValues> {
    let flipped = operator.rows() < operator.cols();
    let (small, large) = if flipped {
        (operator.rows(), operator.cols())
    } else {
        (operator.cols(), operator.rows())
    };
    // From the smaller side to the larger one, or back.
    let mut apply = |x: &[f64], out: &mut [f64], back: bool| {
        if back == flipped {
            operator.apply(x, out);
        } else {
            operator.adjoint(x, out);
        }
    };
    let max_steps = limits.steps.min(small).min((MAX_NUMBERS / small).max(8));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(max_steps);
    let mut v: Vec<f64> = (0..small).map(|_| start.normal()).collect();
    let norm = length(&v);
    scale(&mut v, 1.0 / norm);
    let (mut u, mut next_u) = (vec![0.0; large], vec![0.0; large]);
    let (mut diagonal, mut above): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut best = None;
    while diagonal.len() < max_steps {
        apply(&v, &mut next_u, false);
        if let Some(&beta) = above.last() {
            next_u
                .iter_mut()
                .zip(&u)
                .for_each(|(next, u)| *next -= beta * u);
        }
        std::mem::swap(&mut u, &mut next_u);
        let alpha = length(&u);
        if !alpha.is_finite() {
            return None;
        }
        diagonal.push(alpha);
        basis.push(v.clone());
        if alpha > 0.0 {
            scale(&mut u, 1.0 / alpha);
        }
        apply(&u, &mut v, true);
        for _ in 0..2 {
            for vector in &basis {
                let part = dot(vector, &v);
                v.iter_mut().zip(vector).for_each(|(v, b)| *v -= part * b);
            }
        }
        let beta = length(&v);
        let size = diagonal.len();
        // The Krylov space is invariant: nothing new would come.
        let exhausted = alpha == 0.0 || beta <= f64::EPSILON * diagonal[0].max(alpha);
        let last = size == max_steps || exhausted;
        if last || size.is_multiple_of(10) {
            let bidiagonal = |i: usize, j: usize| match j {
                _ if i == j => diagonal[i],
                _ if j == i + 1 => above[i],
                _ => 0.0,
            };
            let triplets = singular_triplets(size, bidiagonal)?;
            let rounding = 16.0 * size as f64 * f64::EPSILON * triplets[0].value;
            let estimate = |triplet: &SingularTriplet| Estimate {
                value: triplet.value,
                error: (beta * triplet.last_left_entry).abs() + rounding,
            };
            let found = ExtremeSingularValues {
                largest: estimate(&triplets[0]),
                smallest: estimate(&triplets[size - 1]),
                steps: size,
            };
            let good = |one: Estimate| one.error <= limits.tolerance * one.value;
            best = Some(found);
            // A space that is exhausted early holds the part of the spectrum that the start vector
            // has.
            if exhausted || good(found.largest) && (!limits.both || good(found.smallest)) {
                break;
            }
        }
        above.push(beta);
        scale(&mut v, 1.0 / beta);
    }
    best.filter(|found| found.largest.value > 0.0)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight sums in a fixed order, which become vector instructions.
    let mut lanes = [0.0; 8];
    let (mut x, mut y) = (a.chunks_exact(8), b.chunks_exact(8));
    for (x, y) in x.by_ref().zip(y.by_ref()) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    let rest = x.remainder().iter().zip(y.remainder());
    lanes.iter().sum::<f64>() + rest.map(|(x, y)| x * y).sum::<f64>()
}

fn length(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

fn scale(x: &mut [f64], by: f64) {
    x.iter_mut().for_each(|x| *x *= by);
}
