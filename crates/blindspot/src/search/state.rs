//! What a search for the smallest perturbation keeps in any norm, and how it ends: along the ray of
//! the best perturbation to the boundary.

use std::sync::Arc;

use super::objective::Goal;
use super::perturbation::Best;
use super::problem::{Evaluation, Problem};
use super::ray::RaySearch;
use super::runner_ups::RunnerUps;
use super::task::{Effort, Task, share};
use super::{SearchOptions, Target};

/// Share of the evaluations that are left which the ranking of the runner-ups may take.
const RANKING_SHARE: f64 = 0.2;
/// Share of all evaluations that are kept for the ray.
const RAY_SHARE: f64 = 0.15;
/// Evaluations along the ray at the end.
const RAY_EVALUATIONS: u32 = 3;
/// Evaluations along the ray at the end where the least margin is no small part of what is to gain,
/// and the margin a staircase of few steps.
const STAIRCASE_EVALUATIONS: u32 = 12;
/// Relative length of the bracket at which the search along the ray ends.
const RAY_WIDTH: f64 = 1e-5;

/// The state of the search for one image and one objective.
#[derive(Debug)]
pub(super) struct State {
    pub(super) problem: Problem,
    /// A point that reaches the objective, to go on from once the original is known.
    pub(super) start: Option<Vec<f32>>,
    pub(super) runner_ups: RunnerUps,
    /// The point to evaluate.
    pub(super) point: Vec<f32>,
    /// What its evaluation has shown.
    pub(super) at: Evaluation,
    margin_at_start: f64,
    pub(super) best: Best,
    pub(super) effort: Effort,
}

impl State {
    /// The state at the original, in the memory of a search in the same norm that has ended.
    pub(super) fn new(task: &Task<'_>, options: &SearchOptions, recycled: Option<State>) -> Self {
        let (mut original, mut point) = (Vec::new(), Vec::new());
        let (mut runner_ups, mut best) = (RunnerUps::default(), Best::by(task.measure));
        if let Some(old) = recycled {
            (original, point) = (old.problem.original, old.point);
            (runner_ups, best) = (old.runner_ups, old.best);
        }
        original.clear();
        original.extend_from_slice(task.original);
        point.clear();
        point.extend_from_slice(task.original);
        runner_ups.clear();
        best.clear();
        State {
            problem: Problem {
                original,
                objective: task.objective,
                measure: task.measure,
                lead: task.lead,
                feasible_box: Arc::clone(&task.feasible_box),
                max_evaluations: task.max_evaluations,
                every_runner_up: options.target == Target::All,
            },
            start: None,
            runner_ups,
            point,
            at: Evaluation::default(),
            margin_at_start: 0.0,
            best,
            effort: Effort::default(),
        }
    }

    /// Evaluations that are left.
    pub(super) fn left(&self) -> u64 {
        let made = self.effort.evaluations;
        self.problem.max_evaluations.saturating_sub(made)
    }

    /// As many evaluations as wanted, if they are no more than a share of those left.
    pub(super) fn within(&self, part: f64, wanted: u32) -> u32 {
        let most = share(part, self.left());
        u32::try_from(most).unwrap_or(u32::MAX).min(wanted)
    }

    /// Takes the outputs at the point, and keeps it if it is the best so far.
    pub(super) fn take_outputs(&mut self, outputs: &[f32]) {
        self.effort.evaluations += 1;
        let margin = self.problem.objective.margin(outputs);
        if self.effort.evaluations == 1 {
            self.margin_at_start = margin;
        }
        self.at = Evaluation::new(margin, self.problem.lead, self.margin_at_start);
        if self.at.success() {
            self.best.offer(&self.problem.original, &self.point, margin);
        }
    }

    /// The class of the runner-up at a rank; at the first, lists those of the label from the
    /// original's outputs.
    pub(super) fn class_at(&mut self, rank: usize, outputs: &[f32]) -> usize {
        if let (0, Goal::Untargeted { label, top_k }) = (rank, self.problem.objective.goal) {
            let all = self.problem.every_runner_up;
            let most = self.within(RANKING_SHARE, u32::MAX) as usize;
            self.runner_ups.fill(label, top_k, outputs, (all, most));
        }
        self.runner_ups.class(rank)
    }

    /// Whether the best perturbation leads farther than the boundary.
    fn is_long(&self) -> bool {
        let margin = self.best.margin();
        margin.is_some_and(|margin| margin > self.at.beyond(2.0))
    }

    /// Whether the evaluations that are left are those that the ray needs.
    pub(super) fn must_shrink(&self) -> bool {
        let kept = share(RAY_SHARE, self.problem.max_evaluations).min(RAY_EVALUATIONS.into());
        self.left() <= kept && self.is_long()
    }

    /// The search along the ray of the best perturbation, with its first point, unless that is at the boundary already.
    pub(super) fn shrink(&mut self) -> Option<RaySearch> {
        if !self.is_long() {
            return None;
        }
        let evaluations = if self.at.is_staircase() {
            STAIRCASE_EVALUATIONS
        } else {
            RAY_EVALUATIONS
        };
        let (image, margin) = (self.best.image()?, self.best.margin()?);
        let ray = RaySearch::new(image, self.margin_at_start, margin, evaluations);
        Some(self.place_on_ray(ray))
    }

    /// The next point along the ray; none at its end.
    pub(super) fn follow_ray(&mut self, mut ray: RaySearch) -> Option<RaySearch> {
        ray.take(self.at.margin, self.at.success());
        let near = ray.succeeds().margin <= self.at.beyond(2.0);
        if ray.evaluations_left() == 0 || ray.width() <= RAY_WIDTH || near {
            return None;
        }
        Some(self.place_on_ray(ray))
    }

    fn place_on_ray(&mut self, mut ray: RaySearch) -> RaySearch {
        let (fails, succeeds) = (ray.fails().fraction, ray.succeeds().fraction);
        let fraction = if self.at.is_staircase() && ray.evaluations_left() % 2 == 1 {
            // No secant gets through steps.
            0.5 * (fails + succeeds)
        } else {
            ray.crossing(self.at.beyond(0.5)).clamp(fails, succeeds)
        };
        let Problem {
            original,
            feasible_box,
            ..
        } = &self.problem;
        ray.place(fraction, original, feasible_box, &mut self.point);
        ray
    }
}
