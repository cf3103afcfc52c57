//! Local response normalisation.

/// x / (bias + alpha / size * sum of squares over `size` neighbouring channels)^beta, channels being
/// the first axis (Krizhevsky et al. 2012, section 3.3, in ONNX's scaling of alpha).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lrn {
    /// How many channels, the own one in the middle.
    pub size: usize,
    /// The weight of the mean square.
    pub alpha: f64,
    /// The exponent.
    pub beta: f64,
    /// k of the paper.
    pub bias: f64,
}
