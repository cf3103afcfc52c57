//! The smallest perturbation, by sequential quadratic programming on the decision boundary:
//! minimise |delta|^2 subject to margins that are replaced by their tangents at the iterate.
//!
//! A step goes to the nearest point of the box that satisfies the linearised constraints, seen
//! from the original itself: its fixed points are the points of the boundary that are locally
//! nearest. Anderson's acceleration takes the place of the curvature. The label's runner-ups are
//! ranked by their linearised distances first, and only the nearest are searched. Where the
//! boundary has kinks, direction and norm are decoupled instead.
//!
//! The phases, and what follows each ([`Sqp::take_gradient`]):
//!
//! | phase | ends with | then |
//! |---|---|---|
//! | `Ranking` | all runner-ups ranked | `SmoothSqp` for the nearest |
//! | `SmoothSqp` | settled or beaten | `SmoothSqp` for the next runner-up, after the last `Ray` |
//! | `SmoothSqp` | a kink or too long | `PerClassDdn` for the same runner-up, `Ascent` for a target class |
//! | `PerClassDdn` | end of its schedule | `PerClassDdn` for the next runner-up, after the last `PolishDdn` |
//! | `Ascent` | the objective, or too many steps | `PolishDdn` |
//! | `PolishDdn` | end of its schedule | `FinalSqp` |
//! | `FinalSqp` | settled, a kink or too long | `Ray` |
//! | `Ray` | at the boundary | `Done` |
//!
//! A target class begins with `SmoothSqp`. A search that is given a point goes on from there with
//! `PolishDdn`, after `Ranking` or, for a target class, `Start`. Else `PolishDdn`, `FinalSqp` and
//! `Ray` start from the best point so far. Where there is none, an `Ascent` looks for one; where it
//! finds none either, the search is done. A search that has made all its evaluations is done, too;
//! no phase takes more than its share of those that are left, and a `SmoothSqp` that has not settled
//! by then ends as at a kink.
//!
//! Everything here is free of the scale of the outputs: what follows a loss follows the margin
//! with a soft maximum over the classes near the binding one
//! ([`Objective::descent`](super::objective::Objective)). The cross entropy of small outputs, by
//! contrast, pushes all other classes down alike.

mod anderson;
mod ascent;
mod constraints;
pub(super) mod ddn;
mod linearized;

use super::SearchOptions;
use super::batch::Search;
use super::objective::Goal;
use super::perturbation::norm;
use super::ray::RaySearch;
use super::state::State;
use super::task::{Effort, Task, share};
use ascent::Ascent;
use ddn::{RelativeDdn, Schedule};
use linearized::{Linearized, Progress};

/// Initial norm of the search at kinks, as a fraction of the best norm so far.
const BELOW_BEST: f64 = 0.9;
/// Initial norm of the search at kinks, as a multiple of the linearised distance, if nothing was
/// found yet; no longer than the widest range.
const FIRST_NORM: f64 = 2.0;
/// Schedule at kinks for each runner-up, from the original.
const PER_RUNNER_UP: Schedule = Schedule::new(20, 1.5);
/// Schedule at kinks from the best point of all runner-ups.
const POLISH: Schedule = Schedule::new(100, 2.0);
/// Schedule from the point that an ascent has reached: it is near the boundary, and first steps as
/// long as the perturbation lose it.
const POLISH_ASCENT: Schedule = Schedule::new(100, 0.2);
/// Shares of the evaluations that are left which a phase may take, so that a small budget is divided
/// and not cut off; a large one is not touched by them.
const SMOOTH_SHARE: f64 = 0.4;
const PER_RUNNER_UP_SHARE: f64 = 0.1;
const UNREACHED_SHARE: f64 = 0.2;
const ASCENT_SHARE: f64 = 0.4;
const POLISH_SHARE: f64 = 0.85;
/// A runner-up is not searched at kinks where it would get fewer steps than this.
const FEWEST_STEPS: u32 = 8;
/// Steps that tell a kink by staying long.
const KINK_STEPS: u64 = 12;
/// Steps that tell a kink from the best point found at kinks.
const FINAL_KINK_STEPS: u64 = 3;

/// Where a search stands; the module's table says what follows what.
#[derive(Debug)]
enum Phase {
    /// At the original, for the linearised distance of the runner-up at this rank.
    Ranking(usize),
    /// At the original, before a search for a target class goes on from another point.
    Start,
    /// From the original along the linearised boundary of one class.
    SmoothSqp,
    /// From the original by decoupled direction and norm, for one class.
    PerClassDdn(RelativeDdn),
    /// From the original by short steps against the gradient until the objective is reached, for a
    /// target class at kinks, or where nothing else has reached it.
    Ascent(Ascent),
    /// From the best point by decoupled direction and norm.
    PolishDdn(RelativeDdn),
    /// From the best point along the linearised boundary, as long as steps are short.
    FinalSqp,
    /// Between the original and the best point.
    Ray(RaySearch),
    Done,
}

/// The search for one image and one objective.
pub(super) struct Sqp {
    state: State,
    phase: Phase,
    linearized: Linearized,
    /// Evaluations at which steps along the linearised boundary end, settled or not.
    smooth_end: u64,
}

impl Sqp {
    /// The search from a point that reaches the objective, by decoupled direction and norm first,
    /// in the memory of one that has ended.
    pub(super) fn from(
        point: &[f32],
        task: &Task<'_>,
        options: &SearchOptions,
        recycled: Option<Sqp>,
    ) -> Self {
        let mut search = Self::new(task, options, recycled);
        search.state.start = Some(point.to_vec());
        if matches!(search.phase, Phase::SmoothSqp) {
            search.phase = Phase::Start;
        }
        search
    }

    /// The search from an original, in the memory of one that has ended.
    pub(super) fn new(task: &Task<'_>, options: &SearchOptions, recycled: Option<Sqp>) -> Self {
        let (recycled, linearized) = match recycled {
            Some(Sqp {
                state, linearized, ..
            }) => (Some(state), linearized),
            None => (None, Linearized::default()),
        };
        let mut search = Sqp {
            state: State::new(task, options, recycled),
            phase: match task.objective.goal {
                Goal::Untargeted { .. } => Phase::Ranking(0),
                Goal::Targeted(_) => Phase::SmoothSqp,
            },
            linearized,
            smooth_end: share(SMOOTH_SHARE, task.max_evaluations),
        };
        search.linearized.restart(task.original, task.original);
        search
    }

    /// From the point along the linearised boundary.
    fn smooth(&mut self) -> Phase {
        self.smooth_end = self.state.effort.evaluations + share(SMOOTH_SHARE, self.state.left());
        Phase::SmoothSqp
    }

    /// Takes the linearised distance of one runner-up; goes on to the next, or to the nearest.
    fn rank(&mut self, rank: usize, gradient: &[f32]) -> Phase {
        self.state.effort.gradients += 1;
        let distance = self
            .linearized
            .distance(gradient, &self.state.problem, self.state.at);
        let distance = distance.unwrap_or(f64::INFINITY);
        self.state.runner_ups.set_distance(rank, distance);
        if rank + 1 < self.state.runner_ups.len() {
            return Phase::Ranking(rank + 1);
        }
        let top_k = self.state.problem.top_k();
        self.state
            .runner_ups
            .rank(top_k, self.state.problem.every_runner_up);
        self.resume().unwrap_or_else(|| self.smooth())
    }

    /// On from the point that the search was given, if it was.
    fn resume(&mut self) -> Option<Phase> {
        self.state.point = self.state.start.take()?;
        let norm = norm(&self.state.problem.original, &self.state.point);
        Some(self.ddn_from(norm, POLISH_ASCENT))
    }

    /// A step along the linearised boundary.
    fn step(&mut self, gradient: &[f32], kink_steps: u64) -> Progress {
        let before = self.linearized.gradients();
        let progress = self.linearized.step(
            gradient,
            &self.state.problem,
            self.state.at,
            (self.state.best.norm(), kink_steps),
            &mut self.state.point,
        );
        self.state.effort.gradients += self.linearized.gradients() - before;
        progress
    }

    /// A step by decoupled direction and norm; false at its end.
    fn step_ddn(&mut self, ddn: &mut RelativeDdn, gradient: &[f32]) -> bool {
        self.state.effort.gradients += 1;
        let iterate = self.state.problem.iterate(gradient, self.state.at);
        ddn.step(&iterate, self.state.best.norm(), &mut self.state.point)
    }

    /// From the original along the linearised boundary of the next runner-up, if there is one.
    fn next_smooth(&mut self) -> Phase {
        if !self.state.runner_ups.advance(self.state.problem.objective) {
            return if self.state.best.norm().is_some() {
                self.shrink()
            } else {
                self.ascend()
            };
        }
        self.restart_at_original();
        self.smooth()
    }

    /// From the original by decoupled direction and norm, for the runner-up that is searched; for a
    /// target class by an ascent.
    fn per_class_ddn(&mut self) -> Phase {
        let steps = self
            .state
            .within(PER_RUNNER_UP_SHARE, PER_RUNNER_UP.steps());
        let runner_up = match self.state.runner_ups.current() {
            Some(runner_up) if steps >= FEWEST_STEPS => runner_up,
            Some(_) if self.state.best.norm().is_some() => return self.polish(POLISH),
            _ => return self.ascend(),
        };
        let distance = runner_up.linearized_distance;
        self.state
            .point
            .copy_from_slice(&self.state.problem.original);
        let guess = || (FIRST_NORM * distance).min(self.state.problem.feasible_box.widest);
        let norm = self.state.best.norm().map(|best| BELOW_BEST * best);
        let unreached = self.state.within(UNREACHED_SHARE, u32::MAX);
        let schedule = PER_RUNNER_UP.within(steps, unreached);
        Phase::PerClassDdn(RelativeDdn::new(norm.unwrap_or_else(guess), schedule))
    }

    /// From the original against the gradient.
    fn ascend(&mut self) -> Phase {
        let distance = match self.state.runner_ups.nearest() {
            Some(runner_up) => runner_up.linearized_distance,
            None => self.linearized.first_distance(),
        };
        self.restart_at_original();
        let mut steps = self.state.within(ASCENT_SHARE, ascent::STEPS);
        if steps < ascent::FEWEST_STEPS {
            // Too few to be divided.
            steps = self.state.within(1.0, ascent::FEWEST_STEPS);
        }
        let feasible_box = &self.state.problem.feasible_box;
        Phase::Ascent(Ascent::new(distance, steps, feasible_box))
    }

    /// A step of an ascent, or on from what it has reached.
    fn climb(&mut self, mut ascent: Ascent, gradient: &[f32]) -> Phase {
        self.state.effort.gradients += 1;
        let iterate = self.state.problem.iterate(gradient, self.state.at);
        if self.state.at.success() || !ascent.step(&iterate, self.state.at, &mut self.state.point) {
            return self.polish(POLISH_ASCENT);
        }
        Phase::Ascent(ascent)
    }

    /// From the best point by decoupled direction and norm, if there is one.
    fn polish(&mut self, schedule: Schedule) -> Phase {
        let Some(norm) = self.state.best.norm() else {
            return self.shrink();
        };
        self.restart_at_best();
        self.ddn_from(norm, schedule)
    }

    /// From the point, whose perturbation has this norm, by decoupled direction and norm.
    fn ddn_from(&self, norm: f64, schedule: Schedule) -> Phase {
        let steps = self.state.within(POLISH_SHARE, schedule.steps());
        let unreached = self.state.within(UNREACHED_SHARE, u32::MAX);
        Phase::PolishDdn(RelativeDdn::new(norm, schedule.within(steps, unreached)))
    }

    /// After one class at kinks: the next one, or on from the best point.
    fn next_per_class(&mut self) -> Phase {
        let more = self.state.runner_ups.advance(self.state.problem.objective);
        // Where several classes must lead the label, their common loss has been followed already.
        if more && self.state.problem.top_k() == 1 {
            self.restart_at_original();
            return self.per_class_ddn();
        }
        if self.state.best.norm().is_none() {
            return self.ascend();
        }
        self.polish(POLISH)
    }

    /// From the best point along the linearised boundary: it was smooth there after all.
    fn final_sqp(&mut self) -> Phase {
        self.state.runner_ups.advance(self.state.problem.objective);
        if self.state.best.image().is_none() {
            return self.shrink();
        }
        self.restart_at_best();
        Phase::FinalSqp
    }

    /// To the boundary along the ray of the best perturbation, unless it is there already.
    fn shrink(&mut self) -> Phase {
        self.state.shrink().map_or(Phase::Done, Phase::Ray)
    }

    fn restart_at_original(&mut self) {
        self.state
            .point
            .copy_from_slice(&self.state.problem.original);
        self.linearized
            .restart(&self.state.problem.original, &self.state.point);
    }

    /// Begins again at the best point, if there is one.
    fn restart_at_best(&mut self) {
        if let Some(image) = self.state.best.image() {
            self.state.point.copy_from_slice(image);
        }
        self.linearized
            .restart(&self.state.problem.original, &self.state.point);
    }
}

impl Search for Sqp {
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
        let objective = self.state.problem.objective;
        match (&self.phase, objective.goal) {
            (&Phase::Ranking(rank), Goal::Untargeted { .. }) => {
                let class = self.state.class_at(rank, outputs);
                self.linearized
                    .ask(class, &self.state.problem, outputs, gradient);
            }
            (Phase::PerClassDdn(_), Goal::Untargeted { label, top_k: 1 }) => {
                let runner_up = self.state.runner_ups.current();
                let runner_up = runner_up.expect("they were ranked before");
                // Up for the label, down for the runner-up.
                gradient.fill(0.0);
                (gradient[label], gradient[runner_up.class]) = (1.0, -1.0);
            }
            (Phase::PerClassDdn(_) | Phase::Ascent(_) | Phase::PolishDdn(_), _) => {
                objective.descent(outputs, gradient);
            }
            (Phase::Start | Phase::Ray(_) | Phase::Done, _) => gradient.fill(0.0),
            (phase, goal) => {
                let new_best = matches!(phase, Phase::FinalSqp) && self.linearized.steps() == 0;
                if let (true, Goal::Untargeted { top_k: 1, .. }) = (new_best, goal) {
                    // The class that the best perturbation has led to.
                    self.state.runner_ups.choose_largest(outputs);
                }
                self.linearized.ask_next(
                    &self.state.problem,
                    &self.state.runner_ups,
                    outputs,
                    gradient,
                );
            }
        }
    }

    fn take_gradient(&mut self, gradient: &[f32]) -> bool {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Ranking(rank) => self.rank(rank, gradient),
            Phase::Start => self.resume().unwrap_or(Phase::Done),
            Phase::SmoothSqp => match self.step(gradient, KINK_STEPS) {
                Progress::Searching if self.state.effort.evaluations < self.smooth_end => {
                    Phase::SmoothSqp
                }
                Progress::Searching | Progress::Kink => self.per_class_ddn(),
                Progress::Ended => self.next_smooth(),
            },
            Phase::PerClassDdn(mut ddn) => {
                if self.step_ddn(&mut ddn, gradient) {
                    Phase::PerClassDdn(ddn)
                } else {
                    self.next_per_class()
                }
            }
            Phase::Ascent(ascent) => self.climb(ascent, gradient),
            Phase::PolishDdn(mut ddn) => {
                if self.step_ddn(&mut ddn, gradient) {
                    Phase::PolishDdn(ddn)
                } else {
                    self.final_sqp()
                }
            }
            Phase::FinalSqp => match self.step(gradient, FINAL_KINK_STEPS) {
                Progress::Searching => Phase::FinalSqp,
                Progress::Kink | Progress::Ended => self.shrink(),
            },
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
