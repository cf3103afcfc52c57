//! What the size of a perturbation is: the norms, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::perturbation;

/// A norm of perturbations; all but [`Norm::L0`] are in the unit of the input's values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
        Measure::from(self).of(original, adversarial)
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

/// What [`Norm::L0`] counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    fn channels(self, shape: &[usize]) -> usize {
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

/// A norm on inputs of known axes: what a search makes small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) norm: Norm,
    /// How many values change as one in L0: value i is of pixel `i % (length / channels)`.
    pub(super) channels: usize,
}

impl Default for Measure {
    fn default() -> Self {
        Norm::L2.into()
    }
}

impl From<Norm> for Measure {
    fn from(norm: Norm) -> Self {
        Measure { norm, channels: 1 }
    }
}

impl Measure {
    pub(super) fn new(norm: Norm, grouping: Grouping, shape: &[usize]) -> Measure {
        let channels = grouping.channels(shape);
        Measure { norm, channels }
    }

    /// This measure with another norm, and its grouping as it is.
    pub(super) fn with(self, norm: Norm) -> Measure {
        Measure { norm, ..self }
    }

    /// The norm of the perturbation that leads from one image to another.
    pub(super) fn of(self, original: &[f32], adversarial: &[f32]) -> f64 {
        let changes = || {
            let values = original.iter().zip(adversarial);
            values.map(|(&x, &y)| (f64::from(y) - f64::from(x)).abs())
        };
        match self.norm {
            Norm::L2 => perturbation::norm(original, adversarial),
            Norm::Linf => changes().fold(0.0, f64::max),
            Norm::L1 => changes().sum(),
            Norm::L0 => {
                let pixels = original.len() / self.channels;
                let changed = |pixel: &usize| {
                    let mut values = (0..self.channels).map(|channel| channel * pixels + pixel);
                    values.any(|i| original[i] != adversarial[i])
                };
                (0..pixels).filter(changed).count() as f64
            }
        }
    }
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
        // Three channels of two pixels: values 1 and 4 are of pixels 1 and 0.
        let pixels = |changed: [usize; 2]| {
            let mut image = original;
            changed.iter().for_each(|&i| image[i] = 0.0);
            Measure::new(Norm::L0, Grouping::Pixel, &[3, 1, 2]).of(&original, &image)
        };
        assert_eq!(
            (pixels([1, 4]), pixels([1, 3]), pixels([0, 4])),
            (2.0, 1.0, 1.0)
        );
        assert_eq!(Measure::new(Norm::L0, Grouping::Pixel, &[6]).channels, 1);
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
