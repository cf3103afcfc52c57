//! The ends of the spectrum of a linear operator that is only ever applied: the bidiagonalisation
//! of Golub, Kahan and Lanczos.
//!
//! From a random unit vector v it builds orthonormal vectors V on the operator's smaller side with
//! A V = U B, B upper bidiagonal. B's singular values approach those of A from inside, both ends
//! first. Each is within its residual of a singular value of A: |beta_k| |last entry of B's left
//! singular vector|. V is orthogonalised against all its vectors, twice; U then stays orthogonal
//! enough by itself (Simon and Zha 2000).

use crate::run::random::Stream;

use super::dense::with_last_of_left;

/// A linear operator and its adjoint.
pub(crate) trait Operator {
    /// How many numbers go in.
    fn cols(&self) -> usize;
    /// How many come out.
    fn rows(&self) -> usize;
    /// Writes A x into `out`.
    fn apply(&mut self, x: &[f64], out: &mut [f64]);
    /// Writes the adjoint of A times y into `out`.
    fn adjoint(&mut self, y: &[f64], out: &mut [f64]);
}

/// One end of a spectrum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct End {
    /// The singular value.
    pub(crate) value: f64,
    /// A singular value of the operator is no farther from it.
    pub(crate) error: f64,
}

/// What the process found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ends {
    pub(crate) largest: End,
    /// Of the singular values on the smaller side.
    pub(crate) smallest: End,
    /// How often operator and adjoint were applied.
    pub(crate) steps: usize,
}

/// When the process ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The largest singular value's error, over the value, that is good enough.
    pub(crate) tolerance: f64,
    /// Steps at most.
    pub(crate) steps: usize,
    /// Go on until the smallest one is as good, too.
    pub(crate) both: bool,
}

/// Memory for the vectors of one process, in numbers.
const MEMORY: usize = 48 << 20;

/// Runs the process. None where the operator is 0 or not finite.
pub(crate) fn ends(
    operator: &mut dyn Operator,
    start: &mut Stream,
    limits: Limits,
) -> Option<Ends> {
    let flipped = operator.rows() < operator.cols();
    let (small, large) = match flipped {
        true => (operator.rows(), operator.cols()),
        false => (operator.cols(), operator.rows()),
    };
    let mut up = |x: &[f64], out: &mut [f64], back: bool| match back == flipped {
        true => operator.apply(x, out),
        false => operator.adjoint(x, out),
    };
    let most = limits.steps.min(small).min((MEMORY / small).max(8));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(most);
    let mut v: Vec<f64> = (0..small).map(|_| start.normal()).collect();
    let norm = length(&v);
    scale(&mut v, 1.0 / norm);
    let (mut u, mut next_u) = (vec![0.0; large], vec![0.0; large]);
    let (mut diagonal, mut above): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut best = None;
    while diagonal.len() < most {
        up(&v, &mut next_u, false);
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
        up(&u, &mut v, true);
        for _ in 0..2 {
            for vector in &basis {
                let part = dot(vector, &v);
                v.iter_mut().zip(vector).for_each(|(v, b)| *v -= part * b);
            }
        }
        let beta = length(&v);
        let size = diagonal.len();
        let spent = alpha == 0.0 || beta <= f64::EPSILON * diagonal[0].max(alpha);
        let last = size == most || spent;
        if last || size.is_multiple_of(10) {
            let bidiagonal = |i: usize, j: usize| match j {
                _ if i == j => diagonal[i],
                _ if j == i + 1 => above[i],
                _ => 0.0,
            };
            let values = with_last_of_left(size, bidiagonal)?;
            let end = |(value, entry): (f64, f64)| End {
                value,
                error: (beta * entry).abs() + 16.0 * size as f64 * f64::EPSILON * values[0].0,
            };
            let found = Ends {
                largest: end(values[0]),
                smallest: end(values[size - 1]),
                steps: size,
            };
            let good = |end: End| end.error <= limits.tolerance * end.value;
            best = Some(found);
            // A space that closed before it was whole holds the start's part of the spectrum only.
            if spent || good(found.largest) && (!limits.both || good(found.smallest)) {
                break;
            }
        }
        above.push(beta);
        scale(&mut v, 1.0 / beta);
    }
    best.filter(|found| found.largest.value > 0.0)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Eight sums in a fixed order, which the compiler turns into vector instructions.
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
