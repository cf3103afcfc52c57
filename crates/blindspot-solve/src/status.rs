//! What a solver answers to an evaluation.

use std::fmt;

use serde::{Deserialize, Serialize};

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
