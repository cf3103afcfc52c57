//! The fast gradient sign method (Goodfellow, Shlens and Szegedy, "Explaining and harnessing
//! adversarial examples", 2015), with a search for the smallest step.

use super::super::here::Here;
use super::{Bracket, Rule};

/// The first step, in the unit of the input's values.
const FIRST: f64 = 0.01;
const ROUNDS: usize = 18;

pub(super) struct Fgsm {
    signs: Vec<f32>,
    step: Bracket,
}

impl Default for Fgsm {
    fn default() -> Self {
        Fgsm {
            signs: Vec::new(),
            step: Bracket::new(FIRST, ROUNDS),
        }
    }
}

impl Rule for Fgsm {
    fn step(&mut self, here: &Here<'_>, point: &mut [f32]) -> bool {
        if self.signs.is_empty() {
            // Downhill; a gradient of 0 moves nothing.
            let sign = |&g: &f32| if g == 0.0 { 0.0 } else { -g.signum() };
            self.signs = here.gradient.iter().map(sign).collect();
        } else if !self.step.next(here.feasible) {
            return false;
        }
        let values = here.original.iter().zip(&self.signs);
        for (point, (&x, sign)) in point.iter_mut().zip(values) {
            *point = x + self.step.size as f32 * sign;
        }
        here.clip(point);
        true
    }
}
