//! The same numbers under another shape.

use super::{OperandShape, only_value};

/// Reads an image's numbers under another shape: ONNX's Reshape, Flatten, Squeeze and Unsqueeze
/// wherever they leave the batch's axis first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshape {
    /// The new shape, without the batch's axis.
    pub shape: Vec<usize>,
}

impl Reshape {
    pub(super) fn infer(&self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        let shape = only_value(inputs)?;
        let count = |shape: &[usize]| {
            shape
                .iter()
                .try_fold(1usize, |n, &axis| n.checked_mul(axis))
        };
        if count(shape) != count(&self.shape) {
            return Err(format!("{shape:?} cannot be read as {:?}", self.shape));
        }
        Ok(self.shape.clone())
    }
}
