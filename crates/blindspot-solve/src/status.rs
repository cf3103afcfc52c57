//! When a solver stops, and what it answers to an evaluation.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::real::Real;

/// When a solver stops, and what it remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LbfgsOptions {
    /// Pairs of steps and gradient changes that make up the curvature, at least 1.
    pub history: usize,
    /// Iterations at most.
    pub max_iterations: usize,
    /// Evaluations at most.
    pub max_evaluations: usize,
    /// Stop when no component of the (projected) gradient is larger than this.
    pub gradient_tolerance: f64,
    /// Stop when `(f_k - f_{k+1}) / max(|f_k|, |f_{k+1}|, 1)` is at most this for
    /// [`patience`](Self::patience) iterations in a row.
    pub relative_decrease: f64,
    /// Iterations with too small a decrease that stop the solver, at least 1.
    pub patience: usize,
}

impl Default for LbfgsOptions {
    /// 20 pairs, a gradient of 1e-5 or a relative decrease of 2.2e-9 (SciPy's tolerances),
    /// 15,000 iterations and as many evaluations.
    fn default() -> Self {
        LbfgsOptions {
            history: 20,
            max_iterations: 15_000,
            max_evaluations: 15_000,
            gradient_tolerance: 1e-5,
            relative_decrease: 1e7 * f64::EPSILON,
            patience: 1,
        }
    }
}

/// What a solver wants after an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The next point is to be evaluated; the iterate is the one before.
    Evaluate,
    /// There is a new iterate, and the next point is to be evaluated.
    Iterated,
    /// The solver has ended; its iterate is the result.
    Done(Reason),
}

/// Why a solver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The largest component of the (projected) gradient is within the tolerance.
    Gradient,
    /// The value has all but stopped falling.
    Decrease,
    /// The largest number of iterations is reached.
    Iterations,
    /// The largest number of evaluations is reached.
    Evaluations,
    /// No lower value was found along the steepest descent: the limit of the arithmetic, or a
    /// gradient that doesn't belong to the function.
    LineSearch,
    /// The value or gradient at the start is not finite.
    NotFinite,
    /// The observer asked for the end.
    Observer,
}

impl Reason {
    /// Whether the iterate is a minimum as far as the tolerances tell.
    pub fn converged(self) -> bool {
        matches!(self, Reason::Gradient | Reason::Decrease)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Gradient => "the gradient is within its tolerance",
            Reason::Decrease => "the value has stopped falling",
            Reason::Iterations => "the iterations are used up",
            Reason::Evaluations => "the evaluations are used up",
            Reason::LineSearch => "the line search found no lower value",
            Reason::NotFinite => "the function is not finite at the start",
            Reason::Observer => "the observer ended it",
        })
    }
}

/// How far a solver is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// At the iterate; none until there is a finite value.
    pub(crate) value: Option<f64>,
    first_value: f64,
    pub(crate) iterations: usize,
    pub(crate) evaluations: usize,
    /// Iterations in a row with too small a decrease.
    stalled: usize,
    pub(crate) done: Option<Reason>,
}

impl Progress {
    /// Takes the start's value and gradient norm, and returns the reason to stop there.
    pub(crate) fn start(
        &mut self,
        value: f64,
        norm: f64,
        options: &LbfgsOptions,
    ) -> Option<Reason> {
        self.value = Some(value);
        self.first_value = value;
        self.reason_to_stop(norm, options)
    }

    /// Takes a new iterate's value and gradient norm, and returns the reason to stop there.
    pub(crate) fn accept(
        &mut self,
        value: f64,
        norm: f64,
        options: &LbfgsOptions,
    ) -> Option<Reason> {
        let before = self.value.replace(value).unwrap_or(value);
        let decrease = (before - value) / before.abs().max(value.abs()).max(1.0);
        let stalls = decrease <= options.relative_decrease;
        self.stalled = if stalls { self.stalled + 1 } else { 0 };
        self.iterations += 1;
        self.reason_to_stop(norm, options)
    }

    fn reason_to_stop(&self, norm: f64, options: &LbfgsOptions) -> Option<Reason> {
        if norm <= options.gradient_tolerance.max(0.0) {
            Some(Reason::Gradient)
        } else if self.stalled >= options.patience.max(1) {
            Some(Reason::Decrease)
        } else if self.iterations >= options.max_iterations {
            Some(Reason::Iterations)
        } else if self.evaluations >= options.max_evaluations {
            Some(Reason::Evaluations)
        } else {
            None
        }
    }

    /// How much values near the iterate's may differ by rounding alone. No iterate lies above the
    /// start, not even by rounding.
    pub(crate) fn noise<T: Real>(&self) -> f64 {
        let value = self.value.unwrap_or(0.0);
        (10.0 * T::EPSILON * value.abs()).min(self.first_value - value)
    }
}
