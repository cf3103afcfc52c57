//! More at the borders.

/// What stands at the borders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PadMode {
    /// A number.
    Constant(f64),
    /// The value mirrored, without its border again.
    Reflect,
    /// The border repeated.
    Edge,
}

/// A value with more at its borders; negative numbers take away (with [`PadMode::Constant`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Pad {
    /// How many positions more before each axis of one image.
    pub before: Vec<i64>,
    /// How many after.
    pub after: Vec<i64>,
    /// What stands there.
    pub mode: PadMode,
}
