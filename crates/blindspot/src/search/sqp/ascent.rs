//! Short steps against the gradient until the objective is reached.

use super::super::bounds::FeasibleBox;
use super::super::iterate::Iterate;
use super::super::problem::Evaluation;
use super::super::vectors;

/// Steps at most.
pub(super) const STEPS: u32 = 100;
/// Steps at least, if so many evaluations are left.
pub(super) const FEWEST_STEPS: u32 = 20;
/// Length of a step, as a fraction of the linearised distance.
const STEP: f64 = 0.3;
/// The most that steps grow from one to the next.
const MAX_GROWTH: f64 = 2.0;

/// An ascent of the margin. Where it has fewer than the usual steps they grow, and go as far as the
/// linearised boundary where that is farther.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ascent {
    length: f64,
    /// What the length is multiplied by from step to step.
    growth: f64,
    steps_left: u32,
}

impl Ascent {
    /// The ascent from an original with this linearised distance.
    pub(super) fn new(distance: f64, steps: u32, feasible_box: &FeasibleBox) -> Self {
        let length = STEP * distance.min(feasible_box.widest);
        let growth = if steps < STEPS {
            // The last one is as long as the box is wide.
            (feasible_box.unit() / length).powf(1.0 / f64::from(steps.max(2)))
        } else {
            1.0
        };
        Ascent {
            length,
            growth: growth.clamp(1.0, MAX_GROWTH),
            steps_left: steps,
        }
    }

    /// Moves `point` on; false at the end.
    pub(super) fn step(
        &mut self,
        iterate: &Iterate<'_>,
        at: Evaluation,
        point: &mut [f32],
    ) -> bool {
        if self.steps_left == 0 {
            return false;
        }
        self.steps_left -= 1;
        let mut length = self.length;
        if self.growth > 1.0 {
            let slope = vectors::length(iterate.gradient).max(f64::MIN_POSITIVE);
            let linear = (at.beyond(1.0) - at.margin) / slope;
            length = length.max(linear.min(iterate.unit()));
        }
        iterate.step_in_box(length, point);
        self.length *= self.growth;
        true
    }
}
