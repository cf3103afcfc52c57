//! The smallest perturbation in Linf or L1, by sequential linear programming: minimise |delta|
//! subject to margins that are replaced by their tangents at the iterate.
//!
//! A step goes to the nearest point of the box, in the norm, that satisfies the linearised
//! constraints ([`program`]). These norms are not strictly convex: the nearest point is a vertex,
//! and from one linearisation to the next it may jump to another one. So a step is taken only if
//! the merit, the norm and the weighted violation of the margin, falls by a part of what the
//! linearised problem promised; else the next one is looked for nearer, in a box around the iterate
//! ([`descent`]; Fletcher and Sainz de la Maza 1989). Where the linearised problem promises nothing
//! more, the iterate is a local minimum to first order.
//!
//! All runner-ups of the label are ranked by their linearised distances and searched, the nearest
//! first; one that is seen to end farther than the best so far is given up. At the end the best
//! point is moved along its ray to the boundary.

mod descent;
pub(super) mod program;
mod simplex;

use std::sync::Arc;

use super::batch::Search;
use super::norms::Measure;
use super::objective::Goal;
use super::perturbation::Best;
use super::ray::RaySearch;
use super::sqp::problem::{Evaluation, Problem};
use super::sqp::ranking::RunnerUps;
use super::task::{Effort, Task, share};
use super::{SearchOptions, Target};
pub(super) use descent::write_intervals;
use descent::{Descent, Progress};

/// Shares of the evaluations that are left which the descent for one class may take, once an objective was
/// reached and before, so that a small budget is divided; a large one is not touched by them.
const DESCENT_SHARE: f64 = 0.4;
const UNREACHED_SHARE: f64 = 0.7;
const RANKING_SHARE: f64 = 0.2;
/// Evaluations along the ray at the end, and relative length of the bracket at which it ends.
const RAY_EVALUATIONS: u32 = 4;
const RAY_WIDTH: f64 = 1e-5;

/// Where a search stands.
#[derive(Debug)]
enum Phase {
    /// At the original, for the linearised distance of the runner-up at this rank.
    Ranking(usize),
    /// At the original, before a search for a target class goes on from another point.
    Start,
    /// Along the linearised boundary of one class.
    Descent,
    /// Between the original and the best point.
    Ray(RaySearch),
    Done,
}

/// The search for one image and one objective.
pub(super) struct Slp {
    problem: Problem,
    measure: Measure,
    phase: Phase,
    /// A point that reaches the objective, to go on from once the original is known.
    start: Option<Vec<f32>>,
    runner_ups: RunnerUps,
    descent: Descent,
    point: Vec<f32>,
    at: Evaluation,
    margin_at_start: f64,
    best: Best,
    effort: Effort,
    /// Evaluations at which the descent for a class ends.
    descent_end: u64,
    /// Whether the class that is searched is the last one.
    last: bool,
}

impl Slp {
    /// The search from a point that reaches the objective.
    pub(super) fn from(point: &[f32], task: &Task<'_>, options: &SearchOptions) -> Self {
        let mut search = Self::new(task, options);
        search.start = Some(point.to_vec());
        if matches!(search.phase, Phase::Descent) {
            search.phase = Phase::Start;
        }
        search
    }

    /// The search from an original.
    pub(super) fn new(task: &Task<'_>, options: &SearchOptions) -> Self {
        let original = task.original.to_vec();
        let mut descent = Descent::default();
        descent.restart(task.measure.norm, &original, &original, f64::INFINITY);
        Slp {
            point: original.clone(),
            problem: Problem {
                original,
                objective: task.objective,
                lead: task.lead,
                feasible_box: Arc::clone(&task.feasible_box),
                max_evaluations: task.max_evaluations,
                every_runner_up: options.target == Target::All,
            },
            measure: task.measure,
            phase: match task.objective.goal {
                Goal::Untargeted { .. } => Phase::Ranking(0),
                Goal::Targeted(_) => Phase::Descent,
            },
            start: None,
            runner_ups: RunnerUps::default(),
            descent,
            at: Evaluation::default(),
            margin_at_start: 0.0,
            best: Best::by(task.measure),
            effort: Effort::default(),
            descent_end: share(UNREACHED_SHARE, task.max_evaluations),
            last: false,
        }
    }

    /// Evaluations that are left.
    fn left(&self) -> u64 {
        let made = self.effort.evaluations;
        self.problem.max_evaluations.saturating_sub(made)
    }

    /// Takes the linearised distance of one runner-up; goes on to the next, or to the nearest.
    fn rank(&mut self, rank: usize, gradient: &[f32]) -> Phase {
        self.effort.gradients += 1;
        let distance = self.descent.distance(gradient, &self.problem, self.at);
        self.runner_ups.set_distance(rank, distance);
        if rank + 1 < self.runner_ups.len() {
            return Phase::Ranking(rank + 1);
        }
        self.runner_ups.rank(self.problem.top_k(), true);
        self.resume().unwrap_or_else(|| self.descend())
    }

    /// On from the point that the search was given, if it was.
    fn resume(&mut self) -> Option<Phase> {
        self.point = self.start.take()?;
        self.last = true;
        Some(self.descend())
    }

    /// From the point along the linearised boundary.
    fn descend(&mut self) -> Phase {
        let part = match self.best.norm() {
            Some(_) => DESCENT_SHARE,
            None => UNREACHED_SHARE,
        };
        self.descent_end = self.effort.evaluations + share(part, self.left()).max(1);
        let (original, norm) = (&self.problem.original, self.measure.norm);
        self.descent
            .restart(norm, original, &self.point, f64::INFINITY);
        Phase::Descent
    }

    /// From the original along the linearised boundary of the next runner-up, if there is one.
    fn next_class(&mut self) -> Phase {
        if self.last || !self.runner_ups.advance(self.problem.objective) {
            return self.shrink();
        }
        self.point.copy_from_slice(&self.problem.original);
        self.descend()
    }

    /// Whether the best perturbation leads farther than the boundary.
    fn is_long(&self) -> bool {
        let margin = self.best.margin();
        margin.is_some_and(|margin| margin > self.at.beyond(2.0))
    }

    /// To the boundary along the ray of the best perturbation, unless it is there already.
    fn shrink(&mut self) -> Phase {
        match (self.best.image(), self.best.margin()) {
            (Some(image), Some(margin)) if self.is_long() => {
                let start = self.margin_at_start;
                self.place_on_ray(RaySearch::new(image, start, margin, RAY_EVALUATIONS))
            }
            _ => Phase::Done,
        }
    }

    fn place_on_ray(&mut self, mut ray: RaySearch) -> Phase {
        let crossing = ray.crossing(self.at.beyond(0.5));
        let fraction = crossing.clamp(ray.fails().fraction, ray.succeeds().fraction);
        let Problem {
            original,
            feasible_box,
            ..
        } = &self.problem;
        ray.place(fraction, original, feasible_box, &mut self.point);
        Phase::Ray(ray)
    }

    fn follow_ray(&mut self, mut ray: RaySearch) -> Phase {
        ray.take(self.at.margin, self.at.success());
        let near = ray.succeeds().margin <= self.at.beyond(2.0);
        if ray.evaluations_left() == 0 || ray.width() <= RAY_WIDTH || near {
            Phase::Done
        } else {
            self.place_on_ray(ray)
        }
    }
}

impl Search for Slp {
    fn best(&self) -> Option<&[f32]> {
        self.best.image()
    }

    fn effort(&self) -> Effort {
        self.effort
    }

    fn point(&self) -> &[f32] {
        &self.point
    }

    fn take_outputs(&mut self, outputs: &[f32], gradient: &mut [f32]) {
        let objective = self.problem.objective;
        self.effort.evaluations += 1;
        let margin = objective.margin(outputs);
        if self.effort.evaluations == 1 {
            self.margin_at_start = margin;
        }
        self.at = Evaluation::new(margin, self.problem.lead, self.margin_at_start);
        if self.at.success() {
            self.best.offer(&self.problem.original, &self.point, margin);
        }
        match (&self.phase, objective.goal) {
            (&Phase::Ranking(rank), Goal::Untargeted { label, top_k }) => {
                if rank == 0 {
                    let all = self.problem.every_runner_up;
                    let most = share(RANKING_SHARE, self.left());
                    let most = usize::try_from(most).unwrap_or(usize::MAX);
                    self.runner_ups.fill(label, top_k, outputs, (all, most));
                }
                let class = self.runner_ups.class(rank);
                self.descent.ask(class, &self.problem, outputs, gradient);
            }
            (Phase::Descent, goal) => {
                let fresh = self.last && self.descent.is_fresh();
                if let (true, Goal::Untargeted { top_k: 1, .. }) = (fresh, goal) {
                    self.runner_ups.choose_largest(outputs);
                }
                let at = (outputs, self.at);
                self.descent
                    .take_outputs(&self.problem, &self.runner_ups, at, gradient);
            }
            _ => gradient.fill(0.0),
        }
    }

    fn take_gradient(&mut self, gradient: &[f32]) -> bool {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Ranking(rank) => self.rank(rank, gradient),
            Phase::Start => self.resume().unwrap_or(Phase::Done),
            Phase::Descent => {
                let before = self.descent.gradients();
                let known = (self.at, self.best.norm());
                let progress = self
                    .descent
                    .step(gradient, &self.problem, known, &mut self.point);
                self.effort.gradients += self.descent.gradients() - before;
                match progress {
                    Progress::Searching if self.effort.evaluations < self.descent_end => {
                        Phase::Descent
                    }
                    Progress::Searching | Progress::Ended => self.next_class(),
                }
            }
            Phase::Ray(ray) => self.follow_ray(ray),
            Phase::Done => Phase::Done,
        };
        let left = self.left();
        if left == 0 {
            self.phase = Phase::Done;
        } else if left <= u64::from(RAY_EVALUATIONS)
            && !matches!(self.phase, Phase::Ray(_) | Phase::Done)
            && self.is_long()
        {
            self.phase = self.shrink();
        }
        !matches!(self.phase, Phase::Done)
    }
}
