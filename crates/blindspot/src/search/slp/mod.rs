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
//! on: the tangents know nothing of what is behind the kink. From the original descents end there soon, so that few
//! classes are searched; the nearest minima are found from elsewhere: from the ends of other searches ([`Slp::from`]) and
//! around the best of them ([`Slp::around`]; [`restarts`]). There, points that are refused leave their tangents as cuts,
//! which the next steps have to satisfy, too.
//!
//! All runner-ups of the label are ranked by their linearised distances and searched, the nearest
//! first; one that is seen to end farther than the best so far is given up. At the end the best
//! point is moved along its ray to the boundary.

mod descent;
pub(super) mod program;
mod restarts;
mod simplex;

use super::SearchOptions;
use super::batch::Search;
use super::objective::Goal;
use super::ray::RaySearch;
use super::state::State;
use super::task::{Effort, Task, share};
pub(super) use descent::write_intervals;
use descent::{Descent, Progress};
use restarts::Restarts;

/// Shares of the evaluations that are left which the descent for one class may take, once an objective was
/// reached and before, so that a small budget is divided; a large one is not touched by them.
const DESCENT_SHARE: f64 = 0.4;
const UNREACHED_SHARE: f64 = 0.7;
/// From the original no further class is searched after so many descents that ended at kinks.
const MAX_KINKS: u32 = 3;
/// The first trust region from another point, as a part of the farthest move there: what is near that point counts.
const REGION: f64 = 0.4;

/// Where a search stands.
#[derive(Debug)]
enum Phase {
    /// At the original, for the linearised distance of the runner-up at this rank.
    Ranking(usize),
    /// At the original, before a search goes on from another point.
    Start,
    /// At the best point of other searches, before descents begin around it.
    Best,
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
    /// Descents that have ended at a kink.
    kinks: u32,
    /// Around the best point of other searches, where descents begin.
    restarts: Option<Restarts>,
}

impl Slp {
    /// The search from a point that reaches the objective.
    pub(super) fn from(point: &[f32], task: &Task<'_>, options: &SearchOptions) -> Self {
        let mut search = Self::new(task, options);
        search.state.start = Some(point.to_vec());
        search.descent.keep_cuts();
        // Of several classes that are to lead, the linearised distances say which.
        if search.state.problem.top_k() == 1 {
            search.phase = Phase::Start;
        }
        search
    }

    /// The search from so many starts around a point that reaches the objective, a local minimum.
    pub(super) fn around(
        point: &[f32],
        starts: u32,
        task: &Task<'_>,
        options: &SearchOptions,
    ) -> Self {
        let mut search = Self::from(point, task, options);
        search.restarts = Some(Restarts::new(starts, options.seed, task.index));
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
            kinks: 0,
            restarts: None,
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
        match self.restarts {
            Some(_) => Some(Phase::Best),
            None => Some(self.descend()),
        }
    }

    /// From the point along the linearised boundary.
    fn descend(&mut self) -> Phase {
        let part = match self.state.best.norm() {
            Some(_) => DESCENT_SHARE,
            None => UNREACHED_SHARE,
        };
        self.descent_end = self.state.effort.evaluations + share(part, self.state.left()).max(1);
        let State { problem, point, .. } = &self.state;
        let (original, norm) = (&problem.original, problem.measure.norm);
        let moves = point.iter().zip(original).map(|(p, x)| (p - x).abs());
        let farthest = f64::from(moves.fold(0.0, f32::max));
        let radius = if farthest > 0.0 {
            REGION * farthest
        } else {
            f64::INFINITY
        };
        self.descent.restart(norm, original, point, radius);
        Phase::Descent
    }

    /// From the original along the linearised boundary of the next runner-up, if there is one that is worth it; of a search
    /// around a point, from its next start.
    fn next_descent(&mut self) -> Phase {
        let goes_on = if let Some(restarts) = &mut self.restarts {
            restarts.place(&mut self.state)
        } else {
            let objective = self.state.problem.objective;
            let next =
                !self.last && self.kinks < MAX_KINKS && self.state.runner_ups.advance(objective);
            if next {
                let State { problem, point, .. } = &mut self.state;
                point.copy_from_slice(&problem.original);
            }
            next
        };
        if goes_on {
            self.descend()
        } else {
            self.shrink()
        }
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

    fn is_kinked(&self) -> bool {
        self.kinks > 0
    }

    fn point(&self) -> &[f32] {
        &self.state.point
    }

    fn take_outputs(&mut self, outputs: &[f32], gradient: &mut [f32]) {
        self.state.take_outputs(outputs);
        match (&self.phase, self.state.problem.objective.goal) {
            (Phase::Start, Goal::Untargeted { .. }) => {
                self.state.class_at(0, outputs);
                gradient.fill(0.0);
            }
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
            Phase::Best => self.next_descent(),
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
                        self.kinks += u32::from(progress == Progress::Kink);
                        self.next_descent()
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
