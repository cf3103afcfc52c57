//! The axes in another order.

/// The axes of one image in another order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transpose {
    /// Axis i of the output is axis `permutation[i]` of the value.
    pub permutation: Vec<usize>,
}
