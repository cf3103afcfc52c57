//! Dropout.

/// The identity: units are only dropped while training, by whoever trains (Hinton et al., 2012).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The part of the units that training drops, in [0, 1).
    pub ratio: f64,
}
