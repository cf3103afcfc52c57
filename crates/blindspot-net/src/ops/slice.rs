//! A part of a value.

/// What is taken of one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceAxis {
    /// The axis of one image.
    pub axis: usize,
    /// The first position taken.
    pub start: usize,
    /// From one position to the next; below 0 it goes backwards.
    pub step: i64,
    /// How many positions.
    pub length: usize,
}

/// A part of some axes; the others are taken whole. ONNX's Slice, and each output of its Split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// What is taken, an axis at most once.
    pub axes: Vec<SliceAxis>,
}
