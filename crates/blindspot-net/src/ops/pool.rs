//! Pooling.

use super::Window;

/// What a window becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolKind {
    /// Its largest number, the padding not counted; the gradient goes to the first of several.
    Max,
    /// Its mean.
    Average {
        /// Whether the padding counts as zeros, or not at all.
        count_padding: bool,
    },
}

/// The maximum or mean over windows of each channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// What a window becomes.
    pub kind: PoolKind,
    /// Where the windows stand.
    pub window: Window,
    /// Whether a last window that does not fit whole is taken, too (ONNX's ceil_mode).
    pub ceil: bool,
}
