//! Where the windows of convolutions and pooling stand.

/// The windows over the spatial axes of a value [channels, positions...], one or two of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// How long a window is along each axis.
    pub kernel: Vec<usize>,
    /// From one window to the next along each axis.
    pub strides: Vec<usize>,
    /// From one position of a window to the next along each axis.
    pub dilations: Vec<usize>,
    /// Positions added before each axis.
    pub before: Vec<usize>,
    /// Positions added after each axis.
    pub after: Vec<usize>,
}
