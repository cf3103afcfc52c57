//! Steps for boundaries with kinks, of ReLUs and of max pooling: direction and norm decoupled,
//! after Rony et al. ("Decoupling direction and norm for efficient gradient-based L2 adversarial
//! attacks and defenses", 2019).
//!
//! The perturbation turns towards the gradient at a fixed norm; the norm shrinks where the
//! objective is reached and grows where it isn't. Unlike the reference's, steps are relative to the
//! norm, and both they and the norm's factor shrink until the end: the search looks far around
//! first, and does not swing about the boundary at last.

use super::super::iterate::{Iterate, cosine};

/// Steps at most before the objective is reached for the first time.
const MAX_UNREACHED_STEPS: u32 = 100;
/// Fraction by which the norm grows and shrinks, at first and at last.
const GAMMA: (f64, f64) = (0.15, 0.002);
/// Length of the last step, as a fraction of the norm.
const LAST_STEP: f64 = 0.003;
/// A class is given up where it is not reached at this multiple of the smallest norm found.
const HOPELESS_NORM: f64 = 1.7;
/// Steps that a class is given before it may be given up for its norm, unless it has been reached
/// and half of its steps are over.
const MIN_UNREACHED_STEPS: u32 = 4;

/// The number of steps after the objective has been reached for the first time, and the length of
/// the first step as a fraction of the norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct Schedule {
    steps: u32,
    first_step: f64,
    /// Steps at most before the objective is reached for the first time.
    unreached_steps: u32,
}

impl Schedule {
    pub(in super::super) const fn new(steps: u32, first_step: f64) -> Self {
        Schedule {
            steps,
            first_step,
            unreached_steps: MAX_UNREACHED_STEPS,
        }
    }

    pub(in super::super) fn steps(self) -> u32 {
        self.steps
    }

    /// The same from the first step to the last one in fewer steps, and given up after fewer.
    pub(in super::super) fn within(self, steps: u32, unreached_steps: u32) -> Self {
        Schedule {
            steps: self.steps.min(steps),
            unreached_steps: self.unreached_steps.min(unreached_steps),
            ..self
        }
    }
}

/// Decoupled direction and norm, with steps relative to the norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) struct RelativeDdn {
    norm: f64,
    schedule: Schedule,
    /// Steps before the objective was reached for the first time.
    unreached_steps: u32,
    /// Steps since then.
    steps: u32,
}

impl RelativeDdn {
    pub(in super::super) fn new(first_norm: f64, schedule: Schedule) -> Self {
        RelativeDdn {
            norm: first_norm,
            schedule,
            unreached_steps: 0,
            steps: 0,
        }
    }

    /// Moves `point` on; false at the end, which comes early where no perturbation smaller than
    /// the `best` norm so far is to be expected.
    pub(in super::super) fn step(
        &mut self,
        iterate: &Iterate<'_>,
        best: Option<f64>,
        point: &mut [f32],
    ) -> bool {
        // Nothing shrinks before the objective is reached: a class far off takes its time.
        let Schedule {
            steps,
            first_step,
            unreached_steps,
        } = self.schedule;
        let fraction = f64::from(self.steps) / f64::from(steps.max(1));
        if self.unreached_steps + self.steps > 0 {
            let gamma = cosine(GAMMA, fraction);
            self.norm *= if iterate.success {
                1.0 - gamma
            } else {
                1.0 + gamma
            };
        }
        let hopeless =
            !iterate.success && best.is_some_and(|best| self.norm > HOPELESS_NORM * best);
        let tried = self.unreached_steps >= MIN_UNREACHED_STEPS || 2 * self.steps >= steps;
        if self.unreached_steps >= unreached_steps || self.steps >= steps || hopeless && tried {
            return false;
        }
        if iterate.success || self.steps > 0 {
            self.steps += 1;
        } else {
            self.unreached_steps += 1;
        }
        let step = cosine((first_step, LAST_STEP), fraction) * self.norm;
        iterate.step_on_sphere(step, self.norm, point);
        iterate.clip(point);
        true
    }
}
