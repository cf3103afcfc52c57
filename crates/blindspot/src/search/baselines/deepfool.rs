//! DeepFool (Moosavi-Dezfooli, Fawzi and Frossard, "DeepFool: a simple and accurate method to fool
//! deep neural networks", 2016): steps to the nearest of the linearised boundaries.

use super::super::goal::{Aim, Goal};
use super::super::here::{Here, length};
use super::Rule;

/// The paper's: how far beyond the boundary a step goes.
const OVERSHOOT: f64 = 0.02;
const STEPS: usize = 50;
/// Rivals of the label whose boundaries are looked at, the likeliest ones.
const RIVALS: usize = 10;

#[derive(Default)]
pub(super) struct DeepFool {
    step: usize,
    /// The pairs of classes whose leads are linearised here, and the leads; filled at the first
    /// visit of a point.
    pairs: Vec<(usize, usize, f64)>,
    /// How many of them have been.
    seen: usize,
    /// The nearest so far: its distance and the step there.
    nearest: Option<(f64, Vec<f32>)>,
}

impl Rule for DeepFool {
    fn ask(&mut self, goal: Goal, logits: &[f32], gradient: &mut [f32]) {
        if self.seen == 0 {
            self.pairs = pairs(goal, logits);
        }
        gradient.fill(0.0);
        if let Some(&(up, down, _)) = self.pairs.get(self.seen) {
            (gradient[up], gradient[down]) = (1.0, -1.0);
        }
    }

    fn step(&mut self, here: &Here<'_>, point: &mut [f32]) -> bool {
        if here.feasible || self.step == STEPS {
            return false;
        }
        let Some(&(_, _, lead)) = self.pairs.get(self.seen) else {
            return false;
        };
        let slope = length(here.gradient);
        // As in the reference: a little more than the linearised lead lacks.
        let lacking = lead.abs() + 1e-4;
        let distance = lacking / slope;
        if slope > 0.0 && self.nearest.as_ref().is_none_or(|(d, _)| distance < *d) {
            let factor = ((1.0 + OVERSHOOT) * lacking / (slope * slope)) as f32;
            let there = here.gradient.iter().map(|&g| factor * g).collect();
            self.nearest = Some((distance, there));
        }
        self.seen += 1;
        if self.seen < self.pairs.len() {
            // The same point again, for the next rival's gradient.
            return true;
        }
        self.seen = 0;
        self.step += 1;
        let Some((_, there)) = self.nearest.take() else {
            return false;
        };
        for (point, change) in point.iter_mut().zip(&there) {
            *point += change;
        }
        here.clip(point);
        true
    }
}

/// The leads that would do if they were gained, the likeliest first.
fn pairs(goal: Goal, logits: &[f32]) -> Vec<(usize, usize, f64)> {
    let lead = |(up, down): (usize, usize)| {
        let lead = f64::from(logits[up]) - f64::from(logits[down]) - goal.confidence;
        (up, down, lead)
    };
    match goal.aim {
        Aim::Leave { label, top: 1 } => {
            let mut rivals: Vec<usize> = (0..logits.len()).filter(|&c| c != label).collect();
            rivals.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
            let pairs = rivals.into_iter().take(RIVALS);
            pairs.map(|rival| lead((rival, label))).collect()
        }
        Aim::Become(_) | Aim::Leave { .. } => vec![lead(goal.weakest(logits))],
    }
}
