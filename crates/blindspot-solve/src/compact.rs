//! The compact form of the L-BFGS matrix: R. H. Byrd, J. Nocedal, R. B. Schnabel, Mathematical
//! Programming 63 (1994).
//!
//! B = theta I - W M W', with W = [Y, theta S] and
//!
//! ```text
//! M^-1 = [ -D  L'        ]
//!        [  L  theta S'S ]
//! ```
//!
//! where S and Y hold the steps and the changes of the gradient, D is the diagonal of S'Y and L
//! what is below it. On the free variables F (A are the others) the inverse of B is
//! 1/theta I + 1/theta^2 W_F K^-1 W_F', with
//!
//! ```text
//! K = [ -D - Y_F'Y_F/theta   (L - S_F'Y_F)'  ]
//!     [  L - S_F'Y_F          theta S_A'S_A  ]
//! ```
//!
//! The products over F and A are kept, and changed by what enters F and leaves it.

use crate::quasi_definite::QuasiDefinite;
use crate::real::{Real, combine, dot, dots};

/// The newest pairs of a step and its change of the gradient, and the matrix that they make.
#[derive(Clone, Debug)]
pub(crate) struct Compact<T> {
    capacity: usize,
    count: usize,
    /// The pair that the next one replaces.
    oldest: usize,
    /// Pair k has its change in row 2k and its step in row 2k + 1.
    rows: Vec<T>,
    theta: f64,
    /// S'S and S'Y, each `capacity` x `capacity`.
    ss: Vec<f64>,
    sy: Vec<f64>,
    free: Vec<bool>,
    yy_free: Vec<f64>,
    ss_active: Vec<f64>,
    /// L - S_F'Y_F: s_i y_j summed over A where pair i is newer than j, else minus the sum over F.
    cross: Vec<f64>,
    middle: QuasiDefinite,
    reduced: QuasiDefinite,
    step: Vec<f64>,
    change: Vec<f64>,
    products: Vec<f64>,
}

impl<T: Real> Compact<T> {
    pub(crate) fn new(n: usize, capacity: usize) -> Self {
        let square = || vec![0.0; capacity * capacity];
        Compact {
            capacity,
            count: 0,
            oldest: 0,
            rows: vec![T::zero(); 2 * capacity * n],
            theta: 1.0,
            ss: square(),
            sy: square(),
            free: vec![true; n],
            yy_free: square(),
            ss_active: square(),
            cross: square(),
            middle: QuasiDefinite::new(capacity),
            reduced: QuasiDefinite::new(capacity),
            step: vec![0.0; n],
            change: vec![0.0; n],
            products: vec![0.0; 2 * capacity],
        }
    }

    /// Back to B = I.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.oldest = 0;
        self.theta = 1.0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn theta(&self) -> f64 {
        self.theta
    }

    /// The columns of W.
    pub(crate) fn width(&self) -> usize {
        2 * self.count
    }

    /// Takes in a step from `from` to `to`, unless its curvature is lost in rounding. False where
    /// the matrix is not positive definite any more.
    pub(crate) fn push(&mut self, from: (&[T], &[T]), to: (&[T], &[T])) -> bool {
        let n = self.step.len();
        difference(to.0, from.0, &mut self.step);
        difference(to.1, from.1, &mut self.change);
        let curvature = dot(&self.step, &self.change);
        let square = dot(&self.change, &self.change);
        let expected = -dot(from.1, &self.step);
        if !(curvature > T::EPSILON * expected && curvature > 0.0 && square.is_finite()) {
            return true;
        }

        let (m, new) = (self.capacity, self.oldest);
        let (change, step) = self.rows[2 * new * n..][..2 * n].split_at_mut(n);
        change
            .iter_mut()
            .zip(&self.change)
            .for_each(|(row, &x)| *row = T::rounded(x));
        step.iter_mut()
            .zip(&self.step)
            .for_each(|(row, &x)| *row = T::rounded(x));
        self.oldest = (new + 1) % m;
        self.count = (self.count + 1).min(m);
        self.theta = square / curvature;

        let rows = &self.rows[..2 * self.count * n];
        dots(rows, &self.step, &mut self.products);
        for k in 0..self.count {
            self.sy[new * m + k] = self.products[2 * k];
            self.ss[new * m + k] = self.products[2 * k + 1];
            self.ss[k * m + new] = self.products[2 * k + 1];
        }
        for ((&free, step), change) in self.free.iter().zip(&mut self.step).zip(&mut self.change) {
            *(if free { step } else { change }) = 0.0;
        }
        dots(rows, &self.step, &mut self.products);
        for k in 0..self.count {
            self.cross[new * m + k] = self.products[2 * k];
            self.ss_active[new * m + k] = self.products[2 * k + 1];
            self.ss_active[k * m + new] = self.products[2 * k + 1];
        }
        dots(rows, &self.change, &mut self.products);
        for k in 0..self.count {
            self.yy_free[new * m + k] = self.products[2 * k];
            self.yy_free[k * m + new] = self.products[2 * k];
            self.cross[k * m + new] = -self.products[2 * k + 1];
        }

        let (ss, sy, theta, oldest) = (&self.ss, &self.sy, self.theta, self.oldest);
        let age = |k: usize| (k + m - oldest) % m;
        self.middle.factor(
            self.count,
            |i, j| if i == j { sy[i * m + i] } else { 0.0 },
            |i, j| if age(i) > age(j) { sy[i * m + j] } else { 0.0 },
            |i, j| theta * ss[i * m + j],
        )
    }

    /// Sets the free variables. False where the matrix over them is not positive definite any
    /// more.
    pub(crate) fn set_free(&mut self, free: &[bool]) -> bool {
        let (n, m) = (self.step.len(), self.capacity);
        for i in 0..n {
            if self.free[i] == free[i] {
                continue;
            }
            self.free[i] = free[i];
            let sign = if free[i] { 1.0 } else { -1.0 };
            for k in 0..2 * self.count {
                self.products[k] = self.rows[k * n + i].into();
            }
            for k in 0..self.count {
                let (y, s) = (sign * self.products[2 * k], sign * self.products[2 * k + 1]);
                for l in 0..self.count {
                    self.yy_free[k * m + l] += y * self.products[2 * l];
                    self.ss_active[k * m + l] -= s * self.products[2 * l + 1];
                    self.cross[k * m + l] -= s * self.products[2 * l];
                }
            }
        }
        let (sy, yy_free, ss_active, cross) =
            (&self.sy, &self.yy_free, &self.ss_active, &self.cross);
        let theta = self.theta;
        self.reduced.factor(
            self.count,
            |i, j| if i == j { sy[i * m + i] } else { 0.0 } + yy_free[i * m + j] / theta,
            |i, j| cross[i * m + j],
            |i, j| theta * ss_active[i * m + j],
        )
    }

    /// out = W' v
    pub(crate) fn project(&self, v: &[f64], out: &mut [f64]) {
        dots(&self.rows[..2 * self.count * v.len()], v, out);
        self.scale(out);
    }

    /// out = W v; `v` is scratch afterwards.
    pub(crate) fn expand(&self, v: &mut [f64], out: &mut [f64]) {
        self.scale(v);
        combine(v, &self.rows[..2 * self.count * out.len()], out);
    }

    /// out = row i of W
    pub(crate) fn row(&self, i: usize, out: &mut [f64]) {
        let n = self.step.len();
        for k in 0..2 * self.count {
            out[k] = self.rows[k * n + i].into();
        }
        self.scale(out);
    }

    fn scale(&self, v: &mut [f64]) {
        v.iter_mut()
            .skip(1)
            .step_by(2)
            .for_each(|s| *s *= self.theta);
    }

    /// v = M v
    pub(crate) fn apply_middle(&mut self, v: &mut [f64]) {
        self.middle.solve(v);
    }

    /// v = K^-1 v
    pub(crate) fn solve_reduced(&mut self, v: &mut [f64]) {
        self.reduced.solve(v);
    }
}

/// out = a - b, as exact as the storage
fn difference<T: Real>(a: &[T], b: &[T], out: &mut [f64]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = (a - b).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const N: usize = 6;

    /// B v for the matrix that the BFGS formula makes of theta I.
    fn bfgs(theta: f64, pairs: &[(Vec<f64>, Vec<f64>)], v: &[f64]) -> Vec<f64> {
        // A row for each variable.
        let mut b: Vec<Vec<f64>> = (0..N)
            .map(|i| (0..N).map(|j| if i == j { theta } else { 0.0 }).collect())
            .collect();
        let times = |b: &[Vec<f64>], v: &[f64]| -> Vec<f64> {
            b.iter()
                .map(|row| row.iter().zip(v).map(|(b, v)| b * v).sum())
                .collect()
        };
        for (s, y) in pairs {
            let bs = times(&b, s);
            let sbs: f64 = s.iter().zip(&bs).map(|(s, b)| s * b).sum();
            let ys: f64 = s.iter().zip(y).map(|(s, y)| s * y).sum();
            for i in 0..N {
                for j in 0..N {
                    b[i][j] += y[i] * y[j] / ys - bs[i] * bs[j] / sbs;
                }
            }
        }
        times(&b, v)
    }

    proptest! {
        #[test]
        fn the_compact_form_is_that_of_bfgs(
            steps in prop::collection::vec(prop::collection::vec(-1.0..1.0f64, N), 1..6),
            frees in prop::collection::vec(prop::collection::vec(any::<bool>(), N), 6),
            v in prop::collection::vec(-1.0..1.0f64, N),
        ) {
            // Changes of the gradient of a quadratic, with a history of three.
            let change = |s: &[f64]| -> Vec<f64> {
                (0..N).map(|i| (i + 1) as f64 * s[i] + 0.3 * s.iter().sum::<f64>()).collect()
            };
            let zero = [0.0; N];
            let mut model = Compact::new(N, 3);
            let mut pairs = Vec::new();
            for (step, free) in steps.iter().zip(&frees) {
                prop_assume!(dot(step, step) > 0.01);
                let y = change(step);
                // From a gradient that makes it a descent.
                let down: Vec<f64> = step.iter().map(|s| -s).collect();
                let after: Vec<f64> = down.iter().zip(&y).map(|(a, b)| a + b).collect();
                prop_assert!(model.push((&zero, &down), (step, &after)));
                prop_assert!(model.set_free(free));
                pairs.push((step.clone(), y));
            }
            let pairs = &pairs[pairs.len().saturating_sub(3)..];
            let (s, y) = &pairs[pairs.len() - 1];
            let theta = model.theta();
            prop_assert!((theta - dot(y, y) / dot(s, y)).abs() < 1e-9 * theta);

            let mut narrow = vec![0.0; model.width()];
            let mut out = vec![0.0; N];
            model.project(&v, &mut narrow);
            model.apply_middle(&mut narrow);
            model.expand(&mut narrow, &mut out);
            for (i, expected) in bfgs(theta, pairs, &v).iter().enumerate() {
                let got = theta * v[i] - out[i];
                prop_assert!((got - expected).abs() < 1e-6 * theta, "{got} {expected}");
            }

            // The inverse over the free variables.
            let free = &frees[steps.len() - 1];
            let masked = |v: &[f64]| -> Vec<f64> {
                v.iter().zip(free).map(|(&v, &free)| if free { v } else { 0.0 }).collect()
            };
            let right = masked(&v);
            model.project(&right, &mut narrow);
            model.solve_reduced(&mut narrow);
            model.expand(&mut narrow, &mut out);
            let step: Vec<f64> =
                masked(&out).iter().zip(&right).map(|(w, r)| (r + w / theta) / theta).collect();
            for (got, expected) in masked(&bfgs(theta, pairs, &step)).iter().zip(&right) {
                prop_assert!((got - expected).abs() < 1e-6, "{got} {expected}");
            }
        }
    }
}
