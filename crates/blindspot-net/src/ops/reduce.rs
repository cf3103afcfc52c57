//! Mean, sum or maximum over axes.

/// How the numbers along the axes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReduceKind {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// The largest; the gradient goes to the first of several.
    Max,
}

/// One number out of all along some axes. GlobalAveragePool and GlobalMaxPool are this over the
/// axes after the channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reduce {
    /// How.
    pub kind: ReduceKind,
    /// The axes of one image, in rising order, none twice.
    pub axes: Vec<usize>,
    /// Whether they stay, with length 1.
    pub keep_axes: bool,
}
