//! Anderson's acceleration of a fixed-point iteration (Anderson 1965; Walker and Ni 2011, type II).

use blindspot_net::vectorised;

use super::super::vectors::{dot, solve_small, subtract};

/// Differences kept.
const HISTORY: usize = 4;

/// The last steps of an iteration r -> g(r).
#[derive(Debug, Default)]
pub(super) struct Anderson {
    /// Differences of the residuals g(r) - r, and of the values g(r), as a ring.
    residuals: [Vec<f32>; HISTORY],
    values: [Vec<f32>; HISTORY],
    /// Inner products of the residuals' differences.
    products: [[f64; HISTORY]; HISTORY],
    kept: usize,
    next: usize,
    last: Option<f64>,
    last_residual: Vec<f32>,
    last_value: Vec<f32>,
    residual: Vec<f32>,
}

impl Anderson {
    pub(super) fn clear(&mut self) {
        (self.kept, self.next, self.last) = (0, 0, None);
    }

    /// From r and g(r) the next r, written into `next`.
    ///
    /// Where the residual has grown, what was kept is forgotten: it misled.
    pub(super) fn step(&mut self, r: &[f32], value: &[f32], next: &mut [f32]) {
        let n = r.len();
        self.residual.resize(n, 0.0);
        subtract(value, r, &mut self.residual);
        let size = dot(&self.residual, &self.residual);
        if let Some(last) = self.last {
            if size > 2.0 * last {
                (self.kept, self.next) = (0, 0);
            }
            let slot = self.next;
            self.residuals[slot].resize(n, 0.0);
            self.values[slot].resize(n, 0.0);
            subtract(
                &self.residual,
                &self.last_residual,
                &mut self.residuals[slot],
            );
            subtract(value, &self.last_value, &mut self.values[slot]);
            self.kept = (self.kept + 1).min(HISTORY);
            self.next = (slot + 1) % HISTORY;
            for other in 0..self.kept {
                let product = dot(&self.residuals[slot], &self.residuals[other]);
                self.products[slot][other] = product;
                self.products[other][slot] = product;
            }
        }
        self.last = Some(size);
        self.last_residual.clear();
        self.last_residual.extend_from_slice(&self.residual);
        self.last_value.clear();
        self.last_value.extend_from_slice(value);
        next.copy_from_slice(value);
        let mut matrix: Vec<Vec<f64>> = (0..self.kept)
            .map(|i| {
                let mut row = self.products[i][..self.kept].to_vec();
                // Differences in `f32` can be nearly dependent.
                row[i] = row[i] * (1.0 + 1e-6) + f64::MIN_POSITIVE;
                row.push(dot(&self.residuals[i], &self.residual));
                row
            })
            .collect();
        if !solve_small(&mut matrix) {
            return;
        }
        for (i, row) in matrix.iter().enumerate() {
            let (weight, values, next) = (row[self.kept] as f32, &self.values[i], &mut *next);
            vectorised(
                #[inline(always)]
                move || {
                    for (next, &value) in next.iter_mut().zip(values) {
                        *next -= weight * value;
                    }
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_iteration_that_diverges_by_itself_ends_at_its_fixed_point() {
        // g(r) = m r + 1 with factors up to 1.5 in size: at 1 / (1 - m).
        let factors = [-1.5f32, 0.9, 0.5, -0.3];
        let (mut r, mut next) = (vec![0.0f32; 4], vec![0.0f32; 4]);
        let mut anderson = Anderson::default();
        for _ in 0..40 {
            let value: Vec<f32> = factors.iter().zip(&r).map(|(m, r)| m * r + 1.0).collect();
            anderson.step(&r, &value, &mut next);
            r.copy_from_slice(&next);
        }
        for (m, r) in factors.iter().zip(&r) {
            assert!((r - 1.0 / (1.0 - m)).abs() < 1e-2, "{r} {m}");
        }
    }
}
