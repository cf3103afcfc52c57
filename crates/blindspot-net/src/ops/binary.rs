//! Functions of two numbers, with broadcasting.

/// A function of two operands' numbers, each a value or a weight, at least one of them a value.
///
/// Shapes are aligned at their last axes and axes of length 1 are repeated, as in NumPy; the
/// batch's axis stands before all of a value's and is aligned by itself, so a value of shape [3]
/// beside one of [2, 3] is repeated twice for each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// a + b.
    Add,
    /// a - b.
    Sub,
    /// a b.
    Mul,
    /// a / b.
    Div,
    /// a^b.
    Pow,
    /// The smaller one; where both are equal the gradient goes to a.
    Min,
    /// The larger one; where both are equal the gradient goes to a.
    Max,
    /// a where it is at least 0, a b elsewhere.
    PRelu,
}
