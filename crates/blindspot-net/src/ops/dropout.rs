//! Dropout.

use super::{OperandShape, only_value};

/// The identity: units are only dropped while training, by whoever trains (Hinton et al., 2012).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The fraction of the units that training drops, in [0, 1).
    pub ratio: f64,
}

impl Dropout {
    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        if !(0.0..1.0).contains(&self.ratio) {
            return Err(format!("a ratio of {} is not in [0, 1)", self.ratio));
        }
        only_value(inputs).map(<[usize]>::to_vec)
    }
}
