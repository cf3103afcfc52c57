//! The smallest change where the boundary has kinks, of ReLUs and of max pooling: direction and norm
//! decoupled, after Rony et al. ("Decoupling direction and norm for efficient gradient-based L2
//! adversarial attacks and defenses", 2019).
//!
//! The change turns towards the gradient at its own norm; the norm shrinks where the goal is
//! reached and grows where it isn't. Unlike the reference's, the steps are parts of the norm, and
//! both they and the norm's factor shrink until the end: the search looks far around first, and
//! does not swing about the boundary at last.

use super::here::{Here, cosine};

/// Steps at most before the goal is reached for the first time.
const UNREACHED: u32 = 100;
/// By which part the norm grows and shrinks: at first, at last.
const GAMMA: (f64, f64) = (0.15, 0.002);
/// The last step's length, as a part of the norm.
const LAST: f64 = 0.003;
/// A class is given up where it is not reached at a norm that is so many times the smallest change
/// found,
const TOO_FAR: f64 = 1.7;
/// after so many steps, or in the second half.
const LATE: u32 = 4;

/// How many steps there are once the goal has been reached, and the first one's length as a part of
/// the norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Schedule {
    steps: u32,
    first: f64,
}

impl Schedule {
    pub(super) const fn new(steps: u32, first: f64) -> Self {
        Schedule { steps, first }
    }
}

/// The way for one class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decoupled {
    norm: f64,
    schedule: Schedule,
    /// Steps before the goal was reached for the first time, and since.
    before: u32,
    since: u32,
}

impl Decoupled {
    /// From a norm.
    pub(super) fn new(norm: f64, schedule: Schedule) -> Self {
        Decoupled {
            norm,
            schedule,
            before: 0,
            since: 0,
        }
    }

    /// Moves `point` on; false at the end, which has come where no change below the norm `best` is
    /// to be expected.
    pub(super) fn step(&mut self, here: &Here<'_>, best: Option<f64>, point: &mut [f32]) -> bool {
        // Nothing shrinks before the goal is reached: a class that is far off takes its time.
        let Schedule { steps, first } = self.schedule;
        let part = f64::from(self.since) / f64::from(steps);
        if self.before + self.since > 0 {
            let gamma = cosine(GAMMA, part);
            self.norm *= match here.feasible {
                true => 1.0 - gamma,
                false => 1.0 + gamma,
            };
        }
        let far = !here.feasible && best.is_some_and(|best| self.norm > TOO_FAR * best);
        let late = self.before >= LATE || 2 * self.since >= steps;
        if self.before == UNREACHED || self.since == steps || far && late {
            return false;
        }
        match here.feasible || self.since > 0 {
            true => self.since += 1,
            false => self.before += 1,
        }
        here.turn(cosine((first, LAST), part) * self.norm, self.norm, point);
        true
    }
}
