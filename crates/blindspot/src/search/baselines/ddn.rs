//! Decoupled direction and norm (Rony et al., "Decoupling direction and norm for efficient
//! gradient-based L2 adversarial attacks and defenses", 2019), without its rounding to levels.

use super::super::here::{Here, cosine};
use super::Rule;

const STEPS: usize = 100;
/// The first norm.
const FIRST: f64 = 1.0;
/// By which part the norm grows and shrinks.
const GAMMA: f64 = 0.05;
/// The last step's length; the first one's is 1, half a cosine lies between.
const LAST: f64 = 0.01;

pub(super) struct Ddn {
    norm: f64,
    step: usize,
}

impl Default for Ddn {
    fn default() -> Self {
        Ddn {
            norm: FIRST,
            step: 0,
        }
    }
}

impl Rule for Ddn {
    fn step(&mut self, here: &Here<'_>, point: &mut [f32]) -> bool {
        if self.step == STEPS {
            return false;
        }
        let rate = cosine((1.0, LAST), self.step as f64 / STEPS as f64);
        if self.step > 0 {
            self.norm *= if here.feasible {
                1.0 - GAMMA
            } else {
                1.0 + GAMMA
            };
        }
        self.step += 1;
        here.turn(rate, self.norm, point);
        true
    }
}
