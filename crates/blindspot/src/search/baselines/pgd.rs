//! Projected gradient descent in an L2 ball (Madry et al., "Towards deep learning models resistant
//! to adversarial attacks", 2018), with a search for the smallest ball.

use super::super::here::{Here, length};
use super::{Bracket, Rule};

/// The first ball's radius.
const FIRST: f64 = 1.0;
const BALLS: usize = 12;
const STEPS: usize = 40;
/// The length of a step in parts of radius / steps, as in the reference.
const STEP: f64 = 2.5;

pub(super) struct Pgd {
    ball: Bracket,
    step: usize,
}

impl Default for Pgd {
    fn default() -> Self {
        Pgd {
            ball: Bracket::new(FIRST, BALLS),
            step: 0,
        }
    }
}

impl Rule for Pgd {
    fn step(&mut self, here: &Here<'_>, point: &mut [f32]) -> bool {
        if here.feasible || self.step == STEPS {
            if !self.ball.next(here.feasible) {
                return false;
            }
            self.step = 0;
            if here.feasible {
                // Within a smaller ball it begins at the image again; in a larger one it goes on.
                point.copy_from_slice(here.original);
                return true;
            }
        }
        self.step += 1;
        let radius = self.ball.size;
        let slope = length(here.gradient).max(f64::MIN_POSITIVE);
        let factor = (STEP * radius / STEPS as f64 / slope) as f32;
        let mut change: Vec<f32> = point
            .iter()
            .zip(here.original)
            .zip(here.gradient)
            .map(|((&point, &x), &g)| point - factor * g - x)
            .collect();
        let beyond = length(&change) / radius;
        if beyond > 1.0 {
            let scale = (1.0 / beyond) as f32;
            change.iter_mut().for_each(|change| *change *= scale);
        }
        for (point, (&x, change)) in point.iter_mut().zip(here.original.iter().zip(&change)) {
            *point = x + change;
        }
        here.clip(point);
        true
    }
}
