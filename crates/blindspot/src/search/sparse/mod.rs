//! The fewest inputs, or pixels, that make the objective: the search in L0.
//!
//! Changed pixels stand at the ends of their ranges that the gradient points to: what is left of
//! L0 is a choice of pixels. For each runner-up, the nearest first,
//!
//! - pixels are added, those with the largest gradient times range first, half of what the
//!   linearised margin still lacks at a time, until the objective is reached;
//! - then some are taken away: as many as the linearised margin spares, or the one that contributes
//!   least;
//! - where the objective is lost, pixels are exchanged, and values moved to other ends, as long as
//!   that raises the margin: many at once as the gradient says, fewer where the margin falls, at
//!   last one after the other. Once the objective is reached again, pixels are taken away again.
//!
//! Where the classifier is linear this is exact: the pixels that are added are those that gain most.

mod pixels;

use super::SearchOptions;
use super::batch::Search;
use super::objective::Goal;
use super::state::State;
use super::task::{Effort, Task};
use pixels::{Move, Pixels};

/// Single moves that are refused one after the other before a class is given up.
const MAX_REFUSED: usize = 10;
/// A class is not searched whose linearised distance is more than this multiple of the best, and this
/// many pixels.
const FARTHEST: (f64, f64) = (1.6, 2.0);
/// Steps of growth at most.
const MAX_GROWTH: u32 = 60;

/// Where a search stands.
#[derive(Debug)]
enum Phase {
    /// At the original, for the linearised distance of the runner-up at this rank.
    Ranking(usize),
    /// At the original, before a search for a target class goes on from another point.
    Start,
    /// Pixels are added.
    Growth(u32),
    /// From a point that reaches the objective some pixels are taken away.
    Reduction(usize),
    /// Pixels are exchanged, so many at a time.
    Exchange(usize),
    Done,
}

/// The search for one image and one objective.
pub(super) struct Sparse {
    state: State,
    phase: Phase,
    /// The margin at the point, of the class that is searched.
    margin: f64,
    /// The point that stands, with its margin and the margin's gradient.
    stands: Vec<f32>,
    standing_margin: f64,
    gradient: Vec<f32>,
    /// Moves that have led from it and were refused, and those tried now.
    refused: Vec<Move>,
    tried: Vec<Move>,
    last: bool,
}

impl Sparse {
    /// The search from a point that reaches the objective.
    pub(super) fn from(point: &[f32], task: &Task<'_>, options: &SearchOptions) -> Self {
        let mut search = Self::new(task, options);
        search.state.start = Some(point.to_vec());
        if matches!(search.phase, Phase::Growth(_)) {
            search.phase = Phase::Start;
        }
        search
    }

    /// The search from an original.
    pub(super) fn new(task: &Task<'_>, options: &SearchOptions) -> Self {
        Sparse {
            state: State::new(task, options, None),
            stands: task.original.to_vec(),
            gradient: vec![0.0; task.original.len()],
            phase: match task.objective.goal {
                Goal::Untargeted { .. } => Phase::Ranking(0),
                Goal::Targeted(_) => Phase::Growth(0),
            },
            margin: 0.0,
            standing_margin: 0.0,
            refused: Vec::new(),
            tried: Vec::new(),
            last: false,
        }
    }

    fn pixels(&self) -> Pixels<'_> {
        Pixels {
            original: &self.state.problem.original,
            feasible_box: &self.state.problem.feasible_box,
            pixels: self.state.problem.original.len() / self.state.problem.measure.channels,
        }
    }

    /// What a margin lacks.
    fn missing(&self, margin: f64) -> f64 {
        self.state.at.beyond(1.0) - margin
    }

    /// Takes the linearised distance of one runner-up; goes on to the next, or to the nearest.
    fn rank(&mut self, rank: usize, gradient: &[f32]) -> Phase {
        let distance = self.pixels().distance(gradient, self.missing(self.margin));
        self.state.runner_ups.set_distance(rank, distance);
        if rank + 1 < self.state.runner_ups.len() {
            return Phase::Ranking(rank + 1);
        }
        self.state.runner_ups.rank(self.state.problem.top_k(), true);
        self.resume().unwrap_or(Phase::Growth(0))
    }

    /// On from the point that the search was given, if it was.
    fn resume(&mut self) -> Option<Phase> {
        self.state.point = self.state.start.take()?;
        self.last = true;
        Some(Phase::Growth(0))
    }

    /// From the original for the next runner-up that could be nearer than the best, if there is one.
    fn next_class(&mut self) -> Phase {
        while !self.last && self.state.runner_ups.advance(self.state.problem.objective) {
            let distance = self
                .state
                .runner_ups
                .current()
                .map(|r| r.linearized_distance);
            let near = |best: f64| distance.is_some_and(|d| d <= FARTHEST.0 * best + FARTHEST.1);
            if self.state.best.norm().is_none_or(near) {
                self.state
                    .point
                    .copy_from_slice(&self.state.problem.original);
                return Phase::Growth(0);
            }
        }
        Phase::Done
    }

    /// Makes the point that was evaluated the one that stands.
    fn stand(&mut self, gradient: &[f32]) {
        self.state.effort.gradients += 1;
        self.stands.copy_from_slice(&self.state.point);
        self.standing_margin = self.margin;
        self.gradient.copy_from_slice(gradient);
        self.refused.clear();
    }

    /// Adds pixels, or goes on to others where that leads nowhere.
    fn grow(&mut self, steps: u32) -> Phase {
        let missing = self.missing(self.standing_margin);
        let pixels = self.pixels();
        let changed = pixels.changed(&self.stands, &self.gradient);
        let count = changed.len();
        let most = self
            .state
            .best
            .norm()
            .map_or(usize::MAX, |best| (best as usize).saturating_sub(1));
        if count >= most && count > 0 {
            // As many as are of use: the most of these that contribute most, and exchanges.
            let drop = count - most;
            let mut point = self.stands.clone();
            changed[..drop]
                .iter()
                .for_each(|&(_, pixel)| pixels.put_back(pixel, &mut point));
            if most == 0 {
                return self.next_class();
            }
            self.state.point = point;
            return if drop > 0 {
                Phase::Reduction(0)
            } else {
                self.exchange(usize::MAX)
            };
        }
        let changed: Vec<usize> = changed.into_iter().map(|(_, pixel)| pixel).collect();
        let others = pixels.ranked(&self.gradient, missing, |pixel| !changed.contains(&pixel));
        let mut left = missing;
        let needed = others.iter().take_while(|(gain, _)| {
            let goes_on = left > 0.0;
            left -= gain;
            goes_on
        });
        let needed = needed.count();
        if needed == 0 || steps >= MAX_GROWTH {
            return if count > 0 {
                self.exchange(usize::MAX)
            } else {
                self.next_class()
            };
        }
        let added = needed.div_ceil(2).min(most - count);
        let mut point = self.stands.clone();
        for &(_, pixel) in &others[..added] {
            pixels.set(pixel, &self.gradient, missing, &mut point);
        }
        self.state.point = point;
        Phase::Growth(steps + 1)
    }

    /// From the point that stands, and reaches the objective, takes some pixels away.
    fn reduce(&mut self, most: usize) -> Phase {
        let pixels = self.pixels();
        let changed = pixels.changed(&self.stands, &self.gradient);
        let mut spare = -self.missing(self.standing_margin);
        let spared = changed.iter().take_while(|(contribution, _)| {
            spare -= contribution;
            spare >= 0.0
        });
        let count = spared.count().clamp(1, most.max(1));
        if changed.len() <= 1 {
            return self.next_class();
        }
        let mut point = self.stands.clone();
        let count = count.min(changed.len() - 1);
        changed[..count]
            .iter()
            .for_each(|&(_, pixel)| pixels.put_back(pixel, &mut point));
        self.state.point = point;
        Phase::Reduction(count)
    }

    /// From the point that stands, exchanges some pixels at once.
    fn exchange(&mut self, most: usize) -> Phase {
        if self.refused.len() > MAX_REFUSED {
            return self.next_class();
        }
        let mut moves = self
            .pixels()
            .moves(&self.stands, &self.gradient, &self.refused);
        moves.truncate(most.max(1));
        if moves.is_empty() {
            return self.next_class();
        }
        let mut point = self.stands.clone();
        let pixels = self.pixels();
        for this in &moves {
            this.out
                .iter()
                .for_each(|&out| pixels.put_back(out, &mut point));
            pixels.set(this.into, &self.gradient, 0.0, &mut point);
        }
        self.state.point = point;
        self.tried = moves;
        Phase::Exchange(self.tried.len())
    }

    /// What follows an evaluated point.
    fn advance(&mut self, phase: Phase, gradient: &[f32]) -> Phase {
        let success = self.margin > self.state.at.lead;
        match phase {
            Phase::Ranking(rank) => self.rank(rank, gradient),
            Phase::Start => self.resume().unwrap_or(Phase::Done),
            Phase::Growth(steps) => {
                self.stand(gradient);
                if success {
                    self.reduce(usize::MAX)
                } else {
                    self.grow(steps)
                }
            }
            Phase::Reduction(count) => {
                if count > 1 && !success {
                    // The point that stands still reaches the objective.
                    return self.reduce(count / 2);
                }
                self.stand(gradient);
                if success {
                    self.reduce(usize::MAX)
                } else {
                    self.exchange(usize::MAX)
                }
            }
            Phase::Exchange(count) => {
                if success || self.margin > self.standing_margin {
                    self.stand(gradient);
                    return if success {
                        self.reduce(usize::MAX)
                    } else {
                        self.exchange(count.max(2))
                    };
                }
                if count == 1 {
                    self.refused.append(&mut self.tried);
                }
                self.exchange(count / 2)
            }
            Phase::Done => Phase::Done,
        }
    }
}

impl Search for Sparse {
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
        let class = match (&self.phase, objective.goal) {
            (&Phase::Ranking(rank), Goal::Untargeted { .. }) => self.state.class_at(rank, outputs),
            (phase, Goal::Untargeted { label, top_k: 1 }) => {
                if self.last && matches!(phase, Phase::Growth(0)) {
                    self.state.runner_ups.choose_largest(outputs);
                }
                let current = self.state.runner_ups.current();
                current.map_or(label, |runner_up| runner_up.class)
            }
            _ => {
                self.margin = self.state.at.margin;
                objective.descent(outputs, gradient);
                gradient
                    .iter_mut()
                    .for_each(|gradient| *gradient = -*gradient);
                return;
            }
        };
        self.margin = self.state.problem.margin_of(class, outputs);
        let (up, down) = self.state.problem.pair(class);
        gradient.fill(0.0);
        (gradient[up], gradient[down]) = (1.0, -1.0);
    }

    fn take_gradient(&mut self, gradient: &[f32]) -> bool {
        let phase = std::mem::replace(&mut self.phase, Phase::Done);
        self.phase = self.advance(phase, gradient);
        if self.state.left() == 0 {
            self.phase = Phase::Done;
        }
        !matches!(self.phase, Phase::Done)
    }
}
