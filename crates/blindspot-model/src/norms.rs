//! What the size of a perturbation is: the norms, by name.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A norm of perturbations; all but L0 are in the unit of the input's values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
pub enum Norm {
    /// The root of the sum of squares.
    #[default]
    L2,
    /// The largest change of any value.
    Linf,
    /// The sum of the changes' absolute values.
    L1,
    /// How many values, or pixels ([`Grouping`]), change at all. No norm in the strict sense.
    L0,
}

impl Norm {
    /// Every norm with its name.
    pub const NAMES: [(Norm, &'static str); 4] = [
        (Norm::L2, "l2"),
        (Norm::Linf, "linf"),
        (Norm::L1, "l1"),
        (Norm::L0, "l0"),
    ];

    /// The norm of the perturbation that leads from `original` to `adversarial`, images of one length;
    /// in L0 each value counts for itself.
    pub fn of(self, original: &[f32], adversarial: &[f32]) -> f64 {
        let changes = || {
            let values = original.iter().zip(adversarial);
            values.map(|(&x, &y)| (f64::from(y) - f64::from(x)).abs())
        };
        match self {
            Norm::L2 => l2(original, adversarial),
            Norm::Linf => changes().fold(0.0, f64::max),
            Norm::L1 => changes().sum(),
            Norm::L0 => {
                let values = original.iter().zip(adversarial);
                values.filter(|(x, y)| x != y).count() as f64
            }
        }
    }

    /// Its name as texts write it: `L2`, `Linf`, `L1`, `L0`.
    pub fn title(self) -> &'static str {
        match self {
            Norm::L2 => "L2",
            Norm::Linf => "Linf",
            Norm::L1 => "L1",
            Norm::L0 => "L0",
        }
    }
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().find(|(norm, _)| norm == self);
        f.write_str(named.expect("every norm has a name").1)
    }
}

impl FromStr for Norm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(_, name)| *name == text);
        known.map(|(norm, _)| *norm).ok_or_else(|| {
            let names = Self::NAMES.map(|(_, name)| name).join(", ");
            format!("unknown norm `{text}`; use one of {names}")
        })
    }
}

impl From<Norm> for String {
    fn from(norm: Norm) -> String {
        norm.to_string()
    }
}

impl TryFrom<String> for Norm {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// What an L0 norm counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grouping {
    /// Input values.
    #[default]
    Value,
    /// Pixels with all their channels, of images of the axes `[channels, height, width]`; of inputs with
    /// other axes, values.
    Pixel,
}

impl Grouping {
    /// Every grouping with its name.
    pub const NAMES: [(Grouping, &'static str); 2] =
        [(Grouping::Value, "value"), (Grouping::Pixel, "pixel")];

    /// How many values of inputs of these axes count as one.
    pub fn channels(self, shape: &[usize]) -> usize {
        match (self, shape) {
            (Grouping::Pixel, &[channels, _, _]) => channels.max(1),
            _ => 1,
        }
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().find(|(grouping, _)| grouping == self);
        f.write_str(named.expect("every grouping has a name").1)
    }
}

impl FromStr for Grouping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(_, name)| *name == text);
        known.map(|(grouping, _)| *grouping).ok_or_else(|| {
            let names = Self::NAMES.map(|(_, name)| name).join(", ");
            format!("unknown group `{text}`; use one of {names}")
        })
    }
}

/// The L2 norm of a perturbation, in sixteen sums that become vector instructions.
fn l2(original: &[f32], adversarial: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0f64; LANES];
    let mut a = original.chunks_exact(LANES);
    let mut b = adversarial.chunks_exact(LANES);
    for (a, b) in a.by_ref().zip(b.by_ref()) {
        for lane in 0..LANES {
            let delta = f64::from(b[lane]) - f64::from(a[lane]);
            lanes[lane] += delta * delta;
        }
    }
    let rest = a.remainder().iter().zip(b.remainder());
    let rest: f64 = rest
        .map(|(&a, &b)| (f64::from(b) - f64::from(a)).powi(2))
        .sum();
    (lanes.iter().sum::<f64>() + rest).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_of_a_perturbation_by_hand() {
        let (original, adversarial) = ([0.5f32; 6], [0.5, 0.25, 0.5, 0.5, 1.0, 0.5]);
        let of = |norm: Norm| norm.of(&original, &adversarial);
        assert_eq!(
            (of(Norm::Linf), of(Norm::L1), of(Norm::L0)),
            (0.5, 0.75, 2.0)
        );
        assert!((of(Norm::L2) - 0.3125f64.sqrt()).abs() < 1e-15);
        let channels = |shape: &[usize]| Grouping::Pixel.channels(shape);
        assert_eq!((channels(&[3, 1, 2]), channels(&[6])), (3, 1));
        assert_eq!(Grouping::Value.channels(&[3, 1, 2]), 1);
    }

    #[test]
    fn norms_are_read_as_they_are_written() {
        for (norm, name) in Norm::NAMES {
            assert_eq!((norm.to_string().as_str(), name.parse()), (name, Ok(norm)));
        }
        assert!(
            "l3".parse::<Norm>()
                .unwrap_err()
                .contains("l2, linf, l1, l0")
        );
    }
}
