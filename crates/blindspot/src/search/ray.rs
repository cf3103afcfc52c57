//! The search along the ray from an image through a successful point, for the point nearest to the
//! image that still succeeds.

use super::bounds::FeasibleBox;
use super::perturbation::interpolate;

/// A point of the ray and the margin there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RayPoint {
    /// Fraction of the way to the end of the ray.
    pub(super) fraction: f64,
    pub(super) margin: f64,
}

/// A bracket on a ray: a point that fails and, farther out, one that succeeds.
///
/// Who searches chooses each next point, mostly near where the secant through the two margins
/// [crosses](RaySearch::crossing) the margin wanted, and when to end.
#[derive(Debug)]
pub(super) struct RaySearch {
    end: Vec<f32>,
    fails: RayPoint,
    succeeds: RayPoint,
    /// Where the margin is to be evaluated next.
    fraction: f64,
    evaluations_left: u32,
}

impl RaySearch {
    /// The ray from an image with one margin to a successful point with another, for this many
    /// evaluations.
    pub(super) fn new(
        end: &[f32],
        margin_at_original: f64,
        margin_at_end: f64,
        evaluations: u32,
    ) -> Self {
        let point = |fraction, margin| RayPoint { fraction, margin };
        RaySearch {
            end: end.to_vec(),
            fails: point(0.0, margin_at_original),
            succeeds: point(1.0, margin_at_end),
            fraction: 1.0,
            evaluations_left: evaluations,
        }
    }

    pub(super) fn fails(&self) -> RayPoint {
        self.fails
    }

    pub(super) fn succeeds(&self) -> RayPoint {
        self.succeeds
    }

    /// Length of the bracket, as a fraction of the ray.
    pub(super) fn width(&self) -> f64 {
        self.succeeds.fraction - self.fails.fraction
    }

    pub(super) fn evaluations_left(&self) -> u32 {
        self.evaluations_left
    }

    /// Where the secant through the two margins has this margin.
    pub(super) fn crossing(&self, margin: f64) -> f64 {
        let (fails, succeeds) = (self.fails, self.succeeds);
        fails.fraction
            + (margin - fails.margin) * (succeeds.fraction - fails.fraction)
                / (succeeds.margin - fails.margin)
    }

    /// Chooses the next point and writes it.
    pub(super) fn place(
        &mut self,
        fraction: f64,
        original: &[f32],
        feasible_box: &FeasibleBox,
        point: &mut [f32],
    ) {
        self.fraction = fraction;
        interpolate(original, &self.end, fraction, feasible_box, point);
    }

    /// Takes the margin at the point chosen last.
    pub(super) fn take(&mut self, margin: f64, success: bool) {
        let fraction = self.fraction;
        let end = if success {
            &mut self.succeeds
        } else {
            &mut self.fails
        };
        *end = RayPoint { fraction, margin };
        self.evaluations_left -= 1;
    }
}
