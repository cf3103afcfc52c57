//! DeepFool (Moosavi-Dezfooli, Fawzi and Frossard, "DeepFool: a simple and accurate method to fool
//! deep neural networks", 2016): steps to the nearest of the linearised boundaries.

use super::super::iterate::Iterate;
use super::super::objective::{Goal, Objective};
use super::super::perturbation::scale;
use super::super::vectors::length;
use super::AttackMethod;

/// What a step adds to the margin that is lacking, as a fraction of the largest output. It is 1e-4
/// in the reference, whose outputs are near 10, and then as much here.
const BEYOND: f64 = 1e-5;

/// Options of [`DeepFool`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DeepFoolOptions {
    /// Steps at most; 50.
    pub steps: usize,
    /// How far beyond the linearised boundary a step goes, as a fraction of its length; 0.02, as
    /// in the paper.
    pub overshoot: f64,
    /// Runner-ups whose boundaries are linearised, those with the largest outputs; 10.
    pub runner_ups: usize,
}

impl Default for DeepFoolOptions {
    fn default() -> Self {
        DeepFoolOptions {
            steps: 50,
            overshoot: 0.02,
            runner_ups: 10,
        }
    }
}

impl DeepFoolOptions {
    /// Sets the number of steps.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Sets how far beyond the linearised boundary a step goes, as a fraction of its length.
    #[must_use]
    pub fn overshoot(mut self, overshoot: f64) -> Self {
        self.overshoot = overshoot;
        self
    }

    /// Sets the number of runner-ups whose boundaries are linearised.
    #[must_use]
    pub fn runner_ups(mut self, runner_ups: usize) -> Self {
        self.runner_ups = runner_ups;
        self
    }
}

/// DeepFool.
#[derive(Debug, Default)]
pub struct DeepFool {
    options: DeepFoolOptions,
    step: usize,
    /// What margins are measured against at the point: its largest absolute output.
    scale: f64,
    /// The pairs of classes that are linearised at the point, and their margins; filled at the
    /// first visit of a point.
    pairs: Vec<Pair>,
    /// How many of them have been linearised.
    visited: usize,
    /// The nearest boundary so far: its distance and the step there.
    nearest: Option<(f64, Vec<f32>)>,
}

/// Two classes, and the margin by which the first leads the second.
#[derive(Debug, Clone, Copy)]
struct Pair {
    up: usize,
    down: usize,
    margin: f64,
}

impl DeepFool {
    /// The attack with these options.
    pub fn new(options: DeepFoolOptions) -> Self {
        DeepFool {
            options,
            ..DeepFool::default()
        }
    }

    /// The pairs of which one is to be turned round, those with the largest outputs first.
    fn pairs(&self, objective: Objective, outputs: &[f32]) -> Vec<Pair> {
        let pair = |(up, down): (usize, usize)| {
            let lead = f64::from(outputs[up]) - f64::from(outputs[down]);
            let margin = lead - objective.confidence;
            Pair { up, down, margin }
        };
        match objective.goal {
            Goal::Untargeted { label, top_k: 1 } => {
                let mut others: Vec<usize> = (0..outputs.len()).filter(|&c| c != label).collect();
                others.sort_by(|&a, &b| outputs[b].total_cmp(&outputs[a]));
                let chosen = others.into_iter().take(self.options.runner_ups);
                chosen.map(|class| pair((class, label))).collect()
            }
            Goal::Targeted(_) | Goal::Untargeted { .. } => {
                vec![pair(objective.binding_pair(outputs))]
            }
        }
    }
}

impl AttackMethod for DeepFool {
    fn output_gradient(&mut self, objective: Objective, outputs: &[f32], gradient: &mut [f32]) {
        if self.visited == 0 {
            self.pairs = self.pairs(objective, outputs);
            self.scale = scale(outputs);
        }
        gradient.fill(0.0);
        if let Some(&Pair { up, down, .. }) = self.pairs.get(self.visited) {
            (gradient[up], gradient[down]) = (1.0, -1.0);
        }
    }

    fn step(&mut self, iterate: &Iterate<'_>, point: &mut [f32]) -> bool {
        if iterate.success || self.step == self.options.steps {
            return false;
        }
        let Some(&Pair { margin, .. }) = self.pairs.get(self.visited) else {
            return false;
        };
        let slope = length(iterate.gradient);
        let violation = margin.abs() + BEYOND * self.scale;
        let distance = violation / slope;
        if slope > 0.0 && self.nearest.as_ref().is_none_or(|(d, _)| distance < *d) {
            let factor = ((1.0 + self.options.overshoot) * violation / (slope * slope)) as f32;
            let delta = iterate.gradient.iter().map(|&g| factor * g).collect();
            self.nearest = Some((distance, delta));
        }
        self.visited += 1;
        if self.visited < self.pairs.len() {
            // The same point again, for the gradient of the next pair.
            return true;
        }
        self.visited = 0;
        self.step += 1;
        let Some((_, delta)) = self.nearest.take() else {
            return false;
        };
        for (point, delta) in point.iter_mut().zip(&delta) {
            *point += delta;
        }
        iterate.clip(point);
        true
    }
}
