//! Decoupled direction and norm (Rony et al., "Decoupling direction and norm for efficient
//! gradient-based L2 adversarial attacks and defenses", 2019), without its rounding to levels.

use super::{Here, Rule, length};

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
        let part = self.step as f64 / STEPS as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
        let rate = LAST + (1.0 - LAST) * cosine;
        if self.step > 0 {
            self.norm *= if here.feasible {
                1.0 - GAMMA
            } else {
                1.0 + GAMMA
            };
        }
        self.step += 1;
        let slope = length(here.gradient).max(f64::MIN_POSITIVE);
        let factor = (rate / slope) as f32;
        let change: Vec<f32> = point
            .iter()
            .zip(here.original)
            .zip(here.gradient)
            .map(|((&point, &x), &g)| point - factor * g - x)
            .collect();
        let scale = (self.norm / length(&change).max(f64::MIN_POSITIVE)) as f32;
        for (point, (&x, change)) in point.iter_mut().zip(here.original.iter().zip(&change)) {
            *point = x + scale * change;
        }
        here.clip(point);
        true
    }
}
