//! Small symmetric systems of the form
//!
//! ```text
//! [ -P  Q' ]
//! [  Q  R  ]   with P and R + Q P^-1 Q' positive definite,
//! ```
//!
//! solved by two Cholesky factorisations. Vectors interleave the two halves: an even entry belongs
//! to P, the odd one after it to R.

/// The factors: P = J J', H = Q J'^-1, and R + H H' = C C'.
#[derive(Clone, Debug)]
pub(crate) struct QuasiDefinite {
    /// Rows of every matrix here.
    stride: usize,
    j: Vec<f64>,
    h: Vec<f64>,
    c: Vec<f64>,
    upper: Vec<f64>,
    lower: Vec<f64>,
}

impl QuasiDefinite {
    /// Room for blocks of `stride` x `stride`.
    pub(crate) fn new(stride: usize) -> Self {
        QuasiDefinite {
            stride,
            j: vec![0.0; stride * stride],
            h: vec![0.0; stride * stride],
            c: vec![0.0; stride * stride],
            upper: vec![0.0; stride],
            lower: vec![0.0; stride],
        }
    }

    /// Factors blocks of `size` x `size`, given by their elements; P and R by those with
    /// row >= column. False where the matrix is not of the form, within rounding.
    pub(crate) fn factor(
        &mut self,
        size: usize,
        p: impl Fn(usize, usize) -> f64,
        q: impl Fn(usize, usize) -> f64,
        r: impl Fn(usize, usize) -> f64,
    ) -> bool {
        let m = self.stride;
        for row in 0..size {
            for column in 0..=row {
                self.j[row * m + column] = p(row, column);
            }
        }
        if !cholesky(&mut self.j, size, m) {
            return false;
        }
        for row in 0..size {
            let h = &mut self.h[row * m..row * m + size];
            for (column, h) in h.iter_mut().enumerate() {
                *h = q(row, column);
            }
            forward(&self.j, m, h);
        }
        for row in 0..size {
            for column in 0..=row {
                let (a, b) = (&self.h[row * m..][..size], &self.h[column * m..][..size]);
                self.c[row * m + column] = r(row, column) + sum_of_products(a, b);
            }
        }
        cholesky(&mut self.c, size, m)
    }

    /// Solves for the right-hand side in `x`, interleaved and as long as what was factored last, in
    /// place. Nothing is done without entries.
    pub(crate) fn solve(&mut self, x: &mut [f64]) {
        let (m, size) = (self.stride, x.len() / 2);
        let (upper, lower) = (&mut self.upper[..size], &mut self.lower[..size]);
        for i in 0..size {
            upper[i] = x[2 * i];
            lower[i] = x[2 * i + 1];
        }
        forward(&self.j, m, upper);
        for i in 0..size {
            lower[i] += sum_of_products(&self.h[i * m..][..size], upper);
        }
        forward(&self.c, m, lower);
        backward(&self.c, m, lower);
        upper.iter_mut().for_each(|u| *u = -*u);
        for i in 0..size {
            for (u, h) in upper.iter_mut().zip(&self.h[i * m..][..size]) {
                *u += h * lower[i];
            }
        }
        backward(&self.j, m, upper);
        for i in 0..size {
            x[2 * i] = upper[i];
            x[2 * i + 1] = lower[i];
        }
    }
}

#[inline(always)]
fn sum_of_products(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

/// The lower Cholesky factor in place, with the inverses of its diagonal. False where the matrix
/// is not positive definite.
fn cholesky(a: &mut [f64], size: usize, stride: usize) -> bool {
    for row in 0..size {
        let (above, rest) = a.split_at_mut(row * stride);
        let this = &mut rest[..=row];
        for column in 0..row {
            let other = &above[column * stride..][..=column];
            let sum = sum_of_products(&this[..column], &other[..column]);
            this[column] = (this[column] - sum) * other[column];
        }
        let whole = this[row];
        let pivot = whole - sum_of_products(&this[..row], &this[..row]);
        // A pivot that is nothing but rounding says nothing.
        if !(pivot > f64::EPSILON * whole && pivot.is_finite()) {
            return false;
        }
        this[row] = 1.0 / pivot.sqrt();
    }
    true
}

/// x = L^-1 x
fn forward(l: &[f64], stride: usize, x: &mut [f64]) {
    for i in 0..x.len() {
        let row = &l[i * stride..][..=i];
        x[i] = (x[i] - sum_of_products(&row[..i], &x[..i])) * row[i];
    }
}

/// x = L'^-1 x
fn backward(l: &[f64], stride: usize, x: &mut [f64]) {
    for i in (0..x.len()).rev() {
        let row = &l[i * stride..][..=i];
        x[i] *= row[i];
        let (before, this) = x.split_at_mut(i);
        for (x, l) in before.iter_mut().zip(row) {
            *x -= l * this[0];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_solution_satisfies_its_equations(
            (n, a, q, x) in (1usize..7).prop_flat_map(|n| (
                Just(n),
                prop::collection::vec(-1.0..1.0, n * n),
                prop::collection::vec(-1.0..1.0, n * n),
                prop::collection::vec(-1.0..1.0, 2 * n),
            )),
        ) {
            // P = A A' + I, R = A' A.
            let p = |i: usize, j: usize| -> f64 {
                (0..n).map(|k| a[i * n + k] * a[j * n + k]).sum::<f64>() + f64::from(i == j)
            };
            let r = |i: usize, j: usize| -> f64 {
                (0..n).map(|k| a[k * n + i] * a[k * n + j]).sum::<f64>() + f64::from(i == j) * 1e-3
            };
            let q = |i: usize, j: usize| q[i * n + j];
            let mut right = vec![0.0; 2 * n];
            for i in 0..n {
                for j in 0..n {
                    right[2 * i] += -p(i, j) * x[2 * j] + q(j, i) * x[2 * j + 1];
                    right[2 * i + 1] += q(i, j) * x[2 * j] + r(i, j) * x[2 * j + 1];
                }
            }
            let mut system = QuasiDefinite::new(8);
            prop_assert!(system.factor(n, p, q, r));
            system.solve(&mut right);
            for (x, solved) in x.iter().zip(&right) {
                prop_assert!(f64::abs(x - solved) < 1e-8, "{x} {solved}");
            }
        }
    }

    #[test]
    fn another_form_is_refused() {
        let mut system = QuasiDefinite::new(2);
        let identity = |i: usize, j: usize| f64::from(i == j);
        assert!(system.factor(2, identity, |_, _| 0.0, identity));
        assert!(!system.factor(2, |_, _| 1.0, |_, _| 0.0, identity));
        assert!(!system.factor(2, identity, |_, _| 0.0, |_, _| -1.0));
        assert!(!system.factor(2, identity, |_, _| f64::NAN, identity));
    }
}
