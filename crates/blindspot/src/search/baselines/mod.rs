//! Published attacks, to compare with: the same goals, box, counts and checks as for our own search.
//!
//! Each is a [`Rule`] that says where to go from a point and its gradient; the smallest change that
//! succeeds at any point on the way is kept.

mod carlini_wagner;
mod ddn;
mod deepfool;
mod fgsm;
mod pgd;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::batch::{Effort, Search};
use super::change::{Best, SAFETY, size};
use super::goal::Goal;
use super::here::Here;
use super::method::{Method, Start};
use super::ranges::Room;

/// The rule of each method that is a baseline.
pub(super) fn rule(method: Method) -> Option<fn() -> Box<dyn Rule>> {
    Some(match method {
        Method::Sqp | Method::Lbfgs => return None,
        Method::Fgsm => || Box::<fgsm::Fgsm>::default(),
        Method::Pgd => || Box::<pgd::Pgd>::default(),
        Method::DeepFool => || Box::<deepfool::DeepFool>::default(),
        Method::CarliniWagner => || Box::<carlini_wagner::CarliniWagner>::default(),
        Method::Ddn => || Box::<ddn::Ddn>::default(),
    })
}

/// An attack's way from point to point.
pub(super) trait Rule: Send {
    /// Writes the gradient, with respect to the logits, of what the next step needs.
    fn ask(&mut self, goal: Goal, logits: &[f32], gradient: &mut [f32]) {
        goal.loss(logits, gradient);
    }

    /// Moves `point` on; false at the end.
    fn step(&mut self, here: &Here<'_>, point: &mut [f32]) -> bool;
}

/// The search for one image and one goal by a rule.
pub(super) struct Baseline {
    original: Vec<f32>,
    point: Vec<f32>,
    goal: Goal,
    room: Arc<Room>,
    limit: u64,
    rule: Box<dyn Rule>,
    margin: f64,
    feasible: bool,
    best: Best,
    effort: Effort,
}

impl Baseline {
    pub(super) fn new(start: &Start<'_>, rule: Box<dyn Rule>) -> Self {
        Baseline {
            original: start.original.to_vec(),
            point: start.original.to_vec(),
            goal: start.goal,
            room: Arc::clone(&start.room),
            limit: start.limit,
            rule,
            margin: 0.0,
            feasible: false,
            best: Best::default(),
            effort: Effort::default(),
        }
    }
}

impl Search for Baseline {
    fn point(&self) -> &[f32] {
        &self.point
    }

    fn take_logits(&mut self, logits: &[f32], gradient: &mut [f32]) {
        self.effort.forward += 1;
        self.margin = self.goal.margin(logits);
        self.feasible = self.margin > SAFETY * size(logits);
        if self.feasible {
            self.best.offer(&self.original, &self.point, self.margin);
        }
        self.rule.ask(self.goal, logits, gradient);
    }

    fn take_gradient(&mut self, gradient: &[f32]) -> bool {
        self.effort.gradient += 1;
        // An image that does as it is needs no change.
        let done = self.feasible && self.effort.forward == 1;
        let here = Here {
            original: &self.original,
            room: &self.room,
            gradient,
            margin: self.margin,
            feasible: self.feasible,
        };
        !done && self.effort.forward < self.limit && self.rule.step(&here, &mut self.point)
    }

    fn best(&self) -> Option<&[f32]> {
        self.best.image()
    }

    fn effort(&self) -> Effort {
        self.effort
    }
}

/// A search for the smallest size that succeeds: from `first` it is doubled until one does, then
/// halved between the largest that fails and the smallest that succeeds.
#[derive(Debug, Clone, Copy)]
struct Bracket {
    size: f64,
    fails: f64,
    succeeds: Option<f64>,
    rounds: usize,
}

impl Bracket {
    fn new(first: f64, rounds: usize) -> Bracket {
        Bracket {
            size: first,
            fails: 0.0,
            succeeds: None,
            rounds,
        }
    }

    /// Goes on to the next size; false after the last one.
    fn next(&mut self, succeeded: bool) -> bool {
        match succeeded {
            true => self.succeeds = Some(self.size),
            false => self.fails = self.size,
        }
        self.size = match self.succeeds {
            Some(succeeds) => 0.5 * (self.fails + succeeds),
            None => 2.0 * self.size,
        };
        self.rounds -= 1;
        self.rounds > 0
    }
}
