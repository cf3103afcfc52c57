//! Operands side by side.

/// Operands one after the other along `axis`; each a value or a weight (repeated for every image),
/// at least one a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concat {
    /// The axis of one image.
    pub axis: usize,
}
