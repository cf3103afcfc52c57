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
//! At kinks (of ReLUs, of max pooling) no step along the tangents may be taken, though the nearest point lies farther
//! on: the tangents know nothing of what is behind the kink. Where a descent has ended so, all of them are made once
//! more, and points that are refused leave their tangents as cuts, which the next steps have to satisfy, too.
//!
//! All runner-ups of the label are ranked by their linearised distances and searched, the nearest
//! first; one that is seen to end farther than the best so far is given up. At the end the best
//! point is moved along its ray to the boundary.

mod descent;
pub(super) mod program;
mod simplex;

use super::SearchOptions;
use super::batch::Search;
use super::objective::Goal;
use super::ray::RaySearch;
use super::state::State;
use super::task::{Effort, Task, share};
pub(super) use descent::write_intervals;
use descent::{Descent, Progress};

/// Shares of the evaluations that are left which the descent for one class may take, once an objective was
/// reached and before, so that a small budget is divided; a large one is not touched by them.
const DESCENT_SHARE: f64 = 0.4;
const UNREACHED_SHARE: f64 = 0.7;

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
    state: State,
    phase: Phase,
    descent: Descent,
    /// Evaluations at which the descent for a class ends.
    descent_end: u64,
    /// Whether the class that is searched is the last one.
    last: bool,
    /// Whether a descent has ended at a kink.
    kinked: bool,
}

impl Slp {
    /// The search from a point that reaches the objective.
    pub(super) fn from(point: &[f32], task: &Task<'_>, options: &SearchOptions) -> Self {
        let mut search = Self::new(task, options);
        search.state.start = Some(point.to_vec());
        if matches!(search.phase, Phase::Descent) {
            search.phase = Phase::Start;
        }
        search
    }

    /// The search from an original.
    pub(super) fn new(task: &Task<'_>, options: &SearchOptions) -> Self {
        let mut descent = Descent::default();
        descent.restart(
            task.measure.norm,
            task.original,
            task.original,
            f64::INFINITY,
        );
        Slp {
            state: State::new(task, options, None),
            phase: match task.objective.goal {
                Goal::Untargeted { .. } => Phase::Ranking(0),
                Goal::Targeted(_) => Phase::Descent,
            },
            descent,
            descent_end: share(UNREACHED_SHARE, task.max_evaluations),
            last: false,
            kinked: false,
        }
    }

    /// Takes the linearised distance of one runner-up; goes on to the next, or to the nearest.
    fn rank(&mut self, rank: usize, gradient: &[f32]) -> Phase {
        self.state.effort.gradients += 1;
        let distance = self
            .descent
            .distance(gradient, &self.state.problem, self.state.at);
        self.state.runner_ups.set_distance(rank, distance);
        if rank + 1 < self.state.runner_ups.len() {
            return Phase::Ranking(rank + 1);
        }
        self.state.runner_ups.rank(self.state.problem.top_k(), true);
        self.resume().unwrap_or_else(|| self.descend())
    }

    /// On from the point that the search was given, if it was.
    fn resume(&mut self) -> Option<Phase> {
        self.state.point = self.state.start.take()?;
        self.last = true;
        Some(self.descend())
    }

    /// From the point along the linearised boundary.
    fn descend(&mut self) -> Phase {
        let part = match self.state.best.norm() {
            Some(_) => DESCENT_SHARE,
            None => UNREACHED_SHARE,
        };
        self.descent_end = self.state.effort.evaluations + share(part, self.state.left()).max(1);
        let (original, norm) = (
            &self.state.problem.original,
            self.state.problem.measure.norm,
        );
        self.descent
            .restart(norm, original, &self.state.point, f64::INFINITY);
        Phase::Descent
    }

    /// From the original along the linearised boundary of the next runner-up, if there is one; after the last one of all
    /// of them once more, with cuts, where one has ended at a kink.
    fn next_class(&mut self) -> Phase {
        if self.last || !self.state.runner_ups.advance(self.state.problem.objective) {
            if self.last || !self.kinked || self.descent.keeps_cuts() {
                return self.shrink();
            }
            self.descent.keep_cuts();
            self.state.runner_ups.restart();
        }
        self.state
            .point
            .copy_from_slice(&self.state.problem.original);
        self.descend()
    }

    /// To the boundary along the ray of the best perturbation, unless it is there already.
    fn shrink(&mut self) -> Phase {
        self.state.shrink().map_or(Phase::Done, Phase::Ray)
    }
}

impl Search for Slp {
    fn best(&self) -> Option<&[f32]> {
        self.state.best.image()
    }

    fn effort(&self) -> Effort {
        self.state.effort
    }

    fn point(&self) -> &[f32] {
        &self.state.point
    }

    fn take_outputs(&mut self, outputs: &[f32], gradient: &mut [f32]) {
        self.state.take_outputs(outputs);
        match (&self.phase, self.state.problem.objective.goal) {
            (&Phase::Ranking(rank), Goal::Untargeted { .. }) => {
                let class = self.state.class_at(rank, outputs);
                self.descent
                    .ask(class, &self.state.problem, outputs, gradient);
            }
            (Phase::Descent, goal) => {
                let fresh = self.last && self.descent.is_fresh();
                if let (true, Goal::Untargeted { top_k: 1, .. }) = (fresh, goal) {
                    self.state.runner_ups.choose_largest(outputs);
                }
                let at = (outputs, self.state.at);
                self.descent.take_outputs(
                    &self.state.problem,
                    &self.state.runner_ups,
                    at,
                    gradient,
                );
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
                let known = (self.state.at, self.state.best.norm());
                let progress =
                    self.descent
                        .step(gradient, &self.state.problem, known, &mut self.state.point);
                self.state.effort.gradients += self.descent.gradients() - before;
                match progress {
                    Progress::Searching if self.state.effort.evaluations < self.descent_end => {
                        Phase::Descent
                    }
                    progress => {
                        self.kinked |= progress == Progress::Kink;
                        self.next_class()
                    }
                }
            }
            Phase::Ray(ray) => self.state.follow_ray(ray).map_or(Phase::Done, Phase::Ray),
            Phase::Done => Phase::Done,
        };
        if self.state.left() == 0 {
            self.phase = Phase::Done;
        } else if !matches!(self.phase, Phase::Ray(_) | Phase::Done) && self.state.must_shrink() {
            self.phase = self.shrink();
        }
        !matches!(self.phase, Phase::Done)
    }
}
