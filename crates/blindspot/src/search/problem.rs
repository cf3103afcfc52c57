//! What is searched for, where, and what an evaluation says of it.

use std::sync::Arc;

use super::bounds::FeasibleBox;
use super::iterate::Iterate;
use super::norms::Measure;
use super::objective::{Goal, Objective};

/// By how much the search aims to exceed the least margin, as a fraction of what it has to gain: by
/// the least margin itself where that is less, as it is unless outputs carry large offsets.
const SLACK: f64 = 2e-3;

/// The farthest that steps aim beyond the boundary, in units of the slack.
pub(super) const MAX_OVERSHOOT: f64 = 1e4;

/// What is searched for, and where.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) original: Vec<f32>,
    pub(super) objective: Objective,
    /// What is to be small.
    pub(super) measure: Measure,
    pub(super) lead: f64,
    pub(super) feasible_box: Arc<FeasibleBox>,
    pub(super) max_evaluations: u64,
    /// Whether every runner-up is searched, and not only the nearest.
    pub(super) every_runner_up: bool,
}

impl Problem {
    /// Classes that must stand before the label; 1 of a search for a target class.
    pub(super) fn top_k(&self) -> usize {
        match self.objective.goal {
            Goal::Targeted(_) => 1,
            Goal::Untargeted { top_k, .. } => top_k,
        }
    }

    /// The classes whose difference is the margin that another class decides: the first is to
    /// rise, the second to fall.
    pub(super) fn pair(&self, class: usize) -> (usize, usize) {
        match self.objective.goal {
            Goal::Targeted(target) => (target, class),
            Goal::Untargeted { label, .. } => (class, label),
        }
    }

    /// A point of the search, as far as steps ask for it.
    pub(super) fn iterate<'a>(&'a self, gradient: &'a [f32], at: Evaluation) -> Iterate<'a> {
        Iterate {
            original: &self.original,
            gradient,
            margin: at.margin,
            success: at.success(),
            feasible_box: &self.feasible_box,
        }
    }

    /// The margin that another class decides, less the confidence.
    pub(super) fn margin_of(&self, class: usize, outputs: &[f32]) -> f64 {
        let (up, down) = self.pair(class);
        f64::from(outputs[up]) - f64::from(outputs[down]) - self.objective.confidence
    }
}

/// What the last evaluation has shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Evaluation {
    pub(super) margin: f64,
    /// What the margin must exceed there to count.
    pub(super) lead: f64,
    /// By how much more the search aims to exceed it.
    slack: f64,
}

impl Evaluation {
    /// An evaluation with this margin, of a search that began at another.
    pub(super) fn new(margin: f64, lead: f64, margin_at_start: f64) -> Self {
        Evaluation {
            margin,
            lead,
            slack: lead.min(SLACK * (lead - margin_at_start).abs()),
        }
    }

    pub(super) fn success(self) -> bool {
        self.margin > self.lead
    }

    /// A margin that exceeds the least one by this multiple of the slack.
    pub(super) fn beyond(self, slacks: f64) -> f64 {
        self.lead + slacks * self.slack
    }

    /// Whether the least margin is so large a part of what is to gain that single precision tells
    /// few margins apart near it.
    pub(super) fn is_staircase(self) -> bool {
        self.slack < self.lead
    }
}
