//! Convolutions.

use super::Window;

/// A convolution over one or two axes, as in ONNX (no flip). Operands: a value [C, positions...],
/// a weight [F, C / groups, kernel...], and a weight [F] if there is a bias; the padding is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// Where the windows stand.
    pub window: Window,
    /// Channels are cut into so many groups; a group of outputs sees its group of inputs only.
    pub groups: usize,
}
