//! Chosen positions of an axis.

/// The parts of a value at chosen positions of an axis, in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gather {
    /// The axis of one image.
    pub axis: usize,
    /// The positions; the output's axis is as long as this list. A position may come twice.
    pub positions: Vec<usize>,
}
