//! The end of a search: along the ray of the best perturbation to the boundary.

use super::problem::Problem;
use super::{Phase, Sqp};
use crate::search::ray::RaySearch;
use crate::search::task::share;

/// Share of the evaluations that are left for the ray.
const RAY_SHARE: f64 = 0.15;
/// Evaluations along the ray at the end.
const RAY_EVALUATIONS: u32 = 3;
/// Evaluations along the ray at the end where the least margin is no small part of what is to gain,
/// and the margin a staircase of few steps.
const STAIRCASE_EVALUATIONS: u32 = 12;
/// Relative length of the bracket at which the search along the ray ends.
const RAY_WIDTH: f64 = 1e-5;

impl Sqp {
    /// Whether the best perturbation leads farther than the boundary.
    pub(super) fn is_long(&self) -> bool {
        let margin = self.best.margin();
        margin.is_some_and(|margin| margin > self.at.beyond(2.0))
    }

    /// To the boundary along the ray of the best perturbation, unless it is there already.
    pub(super) fn shrink(&mut self) -> Phase {
        match (self.best.image(), self.best.margin()) {
            (Some(image), Some(margin)) if self.is_long() => {
                let evaluations = if self.at.is_staircase() {
                    STAIRCASE_EVALUATIONS
                } else {
                    RAY_EVALUATIONS
                };
                let start = self.margin_at_start;
                self.place_on_ray(RaySearch::new(image, start, margin, evaluations))
            }
            _ => Phase::Done,
        }
    }

    /// The last evaluations, for the ray where that is needed.
    pub(super) fn kept_for_ray(&self) -> u64 {
        share(RAY_SHARE, self.problem.max_evaluations).min(RAY_EVALUATIONS.into())
    }

    fn place_on_ray(&mut self, mut ray: RaySearch) -> Phase {
        let fraction = if self.at.is_staircase() && ray.evaluations_left() % 2 == 1 {
            // No secant gets through steps.
            0.5 * (ray.fails().fraction + ray.succeeds().fraction)
        } else {
            let crossing = ray.crossing(self.at.beyond(0.5));
            crossing.clamp(ray.fails().fraction, ray.succeeds().fraction)
        };
        let Problem {
            original,
            feasible_box,
            ..
        } = &self.problem;
        ray.place(fraction, original, feasible_box, &mut self.point);
        Phase::Ray(ray)
    }

    pub(super) fn follow_ray(&mut self, mut ray: RaySearch) -> Phase {
        ray.take(self.at.margin, self.at.success());
        let near = ray.succeeds().margin <= self.at.beyond(2.0);
        if ray.evaluations_left() == 0 || ray.width() <= RAY_WIDTH || near {
            Phase::Done
        } else {
            self.place_on_ray(ray)
        }
    }
}
