//! The shapes of operands.

/// The shape of an operand: of one image's part of a value, or of a whole weight.
#[derive(Debug, Clone, Copy)]
pub enum OperandShape<'a> {
    /// A value's shape, without the batch's axis.
    Value(&'a [usize]),
    /// A weight's shape.
    Weight(&'a [usize]),
}

/// The shape of an operator's only operand, a value.
///
/// # Errors
/// The operands, in words, if they are others.
pub(super) fn only_value<'a>(inputs: &[OperandShape<'a>]) -> Result<&'a [usize], String> {
    match inputs {
        [OperandShape::Value(shape)] => Ok(shape),
        _ => Err(format!(
            "takes one value that depends on the image, not {inputs:?}"
        )),
    }
}
