//! How a verification query ends.

/// The answer to "does the label keep its margin everywhere within this radius?", in the words of
/// the verification literature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The margin is above 0 everywhere in the ball.
    Verified,
    /// The bound can't become positive: it is attained at a perturbation whose margin is not, or
    /// further branching does not raise it.
    Falsified,
    /// The subproblems or the time ran out.
    Unknown,
}
