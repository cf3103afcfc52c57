//! What one search is given, what it gives back, and when all of them must end.

use std::sync::Arc;
use std::time::Instant;

use blindspot_run::monitor::Monitor;

use super::bounds::FeasibleBox;
use super::norms::Measure;
use super::objective::Objective;

/// One image and the objective that is searched for.
#[derive(Debug, Clone)]
pub(super) struct Task<'a> {
    pub(super) original: &'a [f32],
    /// Where the tool's own search begins, if not at the original.
    pub(super) begin: Option<&'a [f32]>,
    /// Index of the image in the data set.
    pub(super) index: usize,
    pub(super) objective: Objective,
    /// What is to be small.
    pub(super) measure: Measure,
    /// What the margin must exceed to count, in units of the outputs: more than rounding can undo.
    pub(super) lead: f64,
    pub(super) feasible_box: Arc<FeasibleBox>,
    /// Evaluations at most; at least one is made.
    pub(super) max_evaluations: u64,
}

/// What a search has asked of the classifier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Effort {
    /// Points whose outputs were computed.
    pub(super) evaluations: u64,
    /// Gradients that were used.
    pub(super) gradients: u64,
}

impl std::ops::AddAssign for Effort {
    fn add_assign(&mut self, other: Effort) {
        self.evaluations += other.evaluations;
        self.gradients += other.gradients;
    }
}

/// What a search has found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The image with the smallest perturbation that reaches the objective, if any does.
    pub(super) adversarial: Option<Vec<f32>>,
    pub(super) effort: Effort,
    /// Whether the first search has ended at kinks.
    pub(super) is_kinked: bool,
}

/// When searches must end.
#[derive(Clone, Copy)]
pub(super) struct StopCondition<'a> {
    pub(super) monitor: &'a dyn Monitor,
    /// Searches under way then end with the best they have.
    pub(super) deadline: Option<Instant>,
}

impl StopCondition<'_> {
    /// Whether no time is left.
    pub(super) fn timed_out(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// A share of some evaluations.
pub(super) fn share(part: f64, evaluations: u64) -> u64 {
    (part * evaluations as f64) as u64
}
