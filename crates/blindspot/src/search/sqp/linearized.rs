//! Steps along the linearised boundary, for one runner-up or one target class.

use super::super::problem::{Evaluation, MAX_OVERSHOOT, Problem};
use super::super::runner_ups::RunnerUps;
use super::super::vectors::{distance, dot, subtract};
use super::anderson::Anderson;
use super::constraints::{LinearizedConstraints, MAX_CONSTRAINTS};

/// Steps at most.
const MAX_STEPS: u32 = 60;
/// A step this small, as a fraction of the perturbation, ends the search: the error of the norm is
/// its square.
const SMALL_STEP: f64 = 4e-3;
/// Steps shorter than this fraction of the perturbation are taken without a look at the merit:
/// near the end it would refuse good ones (the Maratos effect).
const LONG_STEP: f64 = 0.1;
/// Halvings of a step at most.
const MAX_HALVINGS: u32 = 6;
/// Where a step is still longer than this fraction of the perturbation after many steps, the
/// boundary has kinks (of ReLUs, of max pooling), and the search goes from one facet to another and
/// back.
const KINK_STEP: f64 = 0.1;
/// The fraction that tells a kink after the last step.
const LAST_KINK_STEP: f64 = 0.02;
/// So does, after the last step, a perturbation that the linearised constraints promise below this
/// fraction of the best.
const PROMISED: f64 = 0.99;

/// What a step has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is another point to evaluate.
    Searching,
    /// Steps stay long, or are too many: the boundary has kinks.
    Kink,
    /// The steps have settled on the boundary, or can't end at a perturbation smaller than the best.
    Ended,
}

/// The iteration delta -> nearest point that satisfies the constraints linearised at delta.
#[derive(Debug, Default)]
pub(super) struct Linearized {
    constraints: LinearizedConstraints,
    anderson: Anderson,
    /// The perturbation at the point.
    delta: Vec<f32>,
    /// The nearest perturbation that satisfies the linearised constraints.
    projected: Vec<f32>,
    /// The next perturbation, accelerated.
    accelerated: Vec<f32>,
    /// The perturbation before the last step, and its merit.
    previous: Vec<f32>,
    previous_merit: f64,
    /// What a violated constraint weighs in the merit.
    weight: f64,
    halvings: u32,
    /// The class whose margin's gradient was asked for, and that margin.
    asked: usize,
    asked_margin: f64,
    /// Classes that are still to be linearised at the point.
    pending: Vec<usize>,
    /// How far beyond the boundary steps aim, in units of the slack.
    overshoot: f64,
    steps: u32,
    /// Margins linearised since the last restart.
    gradients: u64,
    /// Length of the first projection.
    first_distance: f64,
}

impl Linearized {
    /// Begins again, at a point.
    pub(super) fn restart(&mut self, original: &[f32], point: &[f32]) {
        self.delta.clear();
        let values = point.iter().zip(original);
        self.delta.extend(values.map(|(point, x)| point - x));
        self.projected.resize(original.len(), 0.0);
        self.previous.resize(original.len(), 0.0);
        self.constraints.clear();
        self.anderson.clear();
        self.overshoot = 1.0;
        self.steps = 0;
        self.gradients = 0;
        self.pending.clear();
        self.previous_merit = f64::INFINITY;
        self.weight = 0.0;
        self.halvings = 0;
    }

    /// Steps since the last restart.
    pub(super) fn steps(&self) -> u32 {
        self.steps
    }

    /// Margins linearised since the last restart.
    pub(super) fn gradients(&self) -> u64 {
        self.gradients
    }

    /// Length of the first projection: the linearised distance of a target class.
    pub(super) fn first_distance(&self) -> f64 {
        self.first_distance
    }

    /// Asks for the gradient of a class's margin.
    pub(super) fn ask(
        &mut self,
        class: usize,
        problem: &Problem,
        outputs: &[f32],
        gradient: &mut [f32],
    ) {
        self.asked = class;
        self.asked_margin = problem.margin_of(class, outputs);
        let (up, down) = problem.pair(class);
        gradient.fill(0.0);
        (gradient[up], gradient[down]) = (1.0, -1.0);
    }

    /// Asks for the gradient of the next margin to be linearised at the point.
    pub(super) fn ask_next(
        &mut self,
        problem: &Problem,
        runner_ups: &RunnerUps,
        outputs: &[f32],
        gradient: &mut [f32],
    ) {
        if self.pending.is_empty() {
            let active = |class| self.constraints.is_active(class);
            self.pending = runner_ups.to_linearize(problem, outputs, MAX_CONSTRAINTS, active);
            self.constraints.retain(&self.pending);
        }
        let class = self.pending.pop().unwrap_or(0);
        self.ask(class, problem, outputs, gradient);
    }

    /// The linearised distance of the class asked for, alone; `None` where the box is too small.
    pub(super) fn distance(
        &mut self,
        gradient: &[f32],
        problem: &Problem,
        at: Evaluation,
    ) -> Option<f64> {
        let found = self.project(gradient, problem, at);
        let distance = dot(&self.projected, &self.projected).sqrt();
        self.constraints.clear();
        found.then_some(distance)
    }

    /// Takes the gradient of the margin asked for; moves `point` on once all margins that count
    /// there are linearised. Steps that stay long tell a kink after `kink_steps` of them.
    pub(super) fn step(
        &mut self,
        gradient: &[f32],
        problem: &Problem,
        at: Evaluation,
        (best, kink_steps): (Option<f64>, u64),
        point: &mut [f32],
    ) -> Progress {
        if !self.pending.is_empty() {
            // More margins to linearise here.
            self.linearize(gradient, at);
            return Progress::Searching;
        }
        self.steps += 1;
        if self.steps < MAX_STEPS && self.backtrack(at) {
            self.place(problem, point);
            return Progress::Searching;
        }
        let found = self.project(gradient, problem, at);
        let length = dot(&self.projected, &self.projected).sqrt();
        let moved = distance(&self.projected, &self.delta);
        let small = found && moved <= SMALL_STEP * length;
        if self.steps == 1 {
            self.first_distance = length;
        }
        // Halved steps take no gradients.
        let taken = u64::from(self.steps).min(self.gradients);
        if taken >= kink_steps && moved > KINK_STEP * length {
            return Progress::Kink;
        }
        let settled = small && at.success();
        if settled || self.is_beaten(length, moved, best) {
            return Progress::Ended;
        }
        if self.steps >= MAX_STEPS {
            // The steps go on, or promise a smaller perturbation than any that they have reached.
            let promises = best.is_none_or(|best| length < PROMISED * best);
            let kink = promises || moved > LAST_KINK_STEP * length;
            return if kink {
                Progress::Kink
            } else {
                Progress::Ended
            };
        }
        if small {
            self.overshoot = (2.0 * self.overshoot).min(MAX_OVERSHOOT);
        }
        self.weight = self.weight.max(2.0 * self.constraints.multipliers());
        self.previous_merit = self.merit(at);
        self.accelerated.resize(self.delta.len(), 0.0);
        self.anderson
            .step(&self.delta, &self.projected, &mut self.accelerated);
        self.previous.copy_from_slice(&self.delta);
        self.delta.copy_from_slice(&self.accelerated);
        self.place(problem, point);
        Progress::Searching
    }

    /// Replaces the margin asked for by its tangent.
    fn linearize(&mut self, gradient: &[f32], at: Evaluation) {
        self.gradients += 1;
        let offset = at.beyond(self.overshoot) - self.asked_margin + dot(gradient, &self.delta);
        self.constraints.set(self.asked, gradient, offset);
    }

    /// Linearises the margin asked for and finds the nearest perturbation that satisfies all
    /// constraints; false where the box has none.
    fn project(&mut self, gradient: &[f32], problem: &Problem, at: Evaluation) -> bool {
        self.linearize(gradient, at);
        self.constraints.project(
            &problem.original,
            &problem.feasible_box,
            &mut self.projected,
        )
    }

    /// Half the square of the perturbation, and the weighted violation of the objective.
    fn merit(&self, at: Evaluation) -> f64 {
        let violation = (at.beyond(1.0) - at.margin).max(0.0);
        0.5 * dot(&self.delta, &self.delta) + self.weight * violation
    }

    /// Goes half of the way back where a long step has led to a point of less merit; whether it
    /// has.
    fn backtrack(&mut self, at: Evaluation) -> bool {
        let step = distance(&self.delta, &self.previous);
        let length = dot(&self.delta, &self.delta).sqrt();
        let worse = self.merit(at) > self.previous_merit && step > LONG_STEP * length;
        if !worse || self.halvings >= MAX_HALVINGS {
            self.halvings = 0;
            return false;
        }
        self.halvings += 1;
        self.anderson.clear();
        for (delta, &previous) in self.delta.iter_mut().zip(&self.previous) {
            *delta = 0.5 * (*delta + previous);
        }
        true
    }

    /// Sets the point to the perturbation, moved into the box.
    fn place(&mut self, problem: &Problem, point: &mut [f32]) {
        for ((point, delta), x) in point.iter_mut().zip(&self.delta).zip(&problem.original) {
            *point = x + delta;
        }
        problem.feasible_box.clip(point);
        subtract(point, &problem.original, &mut self.delta);
    }

    /// Whether this class can't give a perturbation smaller than the best any more.
    fn is_beaten(&self, length: f64, moved: f64, best: Option<f64>) -> bool {
        let Some(best) = best else {
            return false;
        };
        self.steps >= 3 && moved < 0.3 * length && length - 0.5 * moved > 1.02 * best
    }
}
