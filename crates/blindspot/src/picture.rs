//! Images for people to look at.

/// An image for people to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Values in a channel-first layout, 1 or 3 channels; shown as 0 = black, 1 = full, clamped.
    pub values: Vec<f32>,
}
