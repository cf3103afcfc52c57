//! The minimum of the quadratic model over the variables that are free at the Cauchy point, drawn
//! into the box: J. L. Morales, J. Nocedal, ACM TOMS 38 (2011).

use crate::cauchy::{Boxed, Cauchy};
use crate::compact::Compact;
use crate::real::{Real, dot, vectorised};

/// The room to find it.
#[derive(Clone, Debug)]
pub(crate) struct Subspace {
    residual: Vec<f64>,
    step: Vec<f64>,
    narrow: Vec<f64>,
}

impl Subspace {
    pub(crate) fn new(n: usize, capacity: usize) -> Self {
        Subspace {
            residual: vec![0.0; n],
            step: vec![0.0; n],
            narrow: vec![0.0; 2 * capacity],
        }
    }

    /// Writes the minimum to `target`. Without a history it is the Cauchy point. False where the model is not
    /// positive definite within rounding.
    pub(crate) fn minimise<T: Real>(
        &mut self,
        at: Boxed<T>,
        cauchy: &Cauchy,
        model: &mut Compact<T>,
        target: &mut [f64],
    ) -> bool {
        if !model.set_free(&cauchy.free) {
            return false;
        }
        if model.is_empty() {
            target.copy_from_slice(&cauchy.point);
            return true;
        }
        let n = target.len();
        let theta = model.theta();
        let narrow = &mut self.narrow[..model.width()];

        // The model's negative gradient at the Cauchy point: -g - B (point - x).
        narrow.copy_from_slice(&cauchy.c[..model.width()]);
        model.apply_middle(narrow);
        model.expand(narrow, &mut self.residual);
        let (x, g, point, free) = (
            &at.x[..n],
            &at.g[..n],
            &cauchy.point[..n],
            &cauchy.free[..n],
        );
        let (lower, upper) = (&at.lower[..n], &at.upper[..n]);
        let residual = &mut self.residual[..n];
        vectorised(
            #[inline(always)]
            move || {
                for i in 0..n {
                    let moved = point[i] - x[i].into();
                    let r = residual[i] - theta * moved - g[i].into();
                    residual[i] = if free[i] { r } else { 0.0 };
                }
            },
        );

        model.project(&self.residual, narrow);
        model.solve_reduced(narrow);
        model.expand(narrow, &mut self.step);
        let (residual, step, goal) = (&mut self.residual[..n], &mut self.step[..n], &mut *target);
        vectorised(
            #[inline(always)]
            move || {
                for i in 0..n {
                    let free_step = (residual[i] + step[i] / theta) / theta;
                    step[i] = if free[i] { free_step } else { 0.0 };
                    goal[i] = (point[i] + step[i])
                        .max(lower[i].into())
                        .min(upper[i].into());
                    residual[i] = goal[i] - x[i].into();
                }
            },
        );

        // The residual is now the way from the iterate.
        if dot(at.g, &self.residual) > 0.0 {
            self.truncate(at, cauchy, target);
        }
        true
    }

    /// The projection of the minimum is no descent: goes from the Cauchy point towards it, as far
    /// as the box allows.
    fn truncate<T: Real>(&self, at: Boxed<T>, cauchy: &Cauchy, target: &mut [f64]) {
        let n = target.len();
        let mut part = 1.0f64;
        for i in 0..n {
            let (x, step) = (cauchy.point[i], self.step[i]);
            let bound: f64 = if step > 0.0 {
                at.upper[i].into()
            } else {
                at.lower[i].into()
            };
            if step != 0.0 && part * step.abs() > (bound - x).abs() {
                part = ((bound - x) / step).max(0.0);
            }
        }
        for i in 0..n {
            let (lower, upper): (f64, f64) = (at.lower[i].into(), at.upper[i].into());
            target[i] = (cauchy.point[i] + part * self.step[i])
                .max(lower)
                .min(upper);
        }
    }
}
