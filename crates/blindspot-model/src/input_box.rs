//! Where inputs may move.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The valid range of every input value, [0, 1] unless the user says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InputBox {
    /// The smallest valid value.
    pub lower: f32,
    /// The largest valid value.
    pub upper: f32,
}

impl Default for InputBox {
    /// The box [0, 1].
    fn default() -> Self {
        InputBox {
            lower: 0.0,
            upper: 1.0,
        }
    }
}
