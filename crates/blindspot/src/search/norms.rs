//! What a search makes small: a norm, with what it counts.

pub use blindspot_model::{Grouping, Norm};

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
        if self.norm != Norm::L0 {
            return self.norm.of(original, adversarial);
        }
        let pixels = original.len() / self.channels;
        let changed = |pixel: &usize| {
            let mut values = (0..self.channels).map(|channel| channel * pixels + pixel);
            values.any(|i| original[i] != adversarial[i])
        };
        (0..pixels).filter(changed).count() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_count_once_with_all_their_channels() {
        // Three channels of two pixels: values 1 and 4 are of pixels 1 and 0.
        let pixels = |changed: [usize; 2]| {
            let mut image = [0.5f32; 6];
            changed.iter().for_each(|&i| image[i] = 0.0);
            Measure::new(Norm::L0, Grouping::Pixel, &[3, 1, 2]).of(&[0.5; 6], &image)
        };
        assert_eq!(
            (pixels([1, 4]), pixels([1, 3]), pixels([0, 4])),
            (2.0, 1.0, 1.0)
        );
        assert_eq!(Measure::new(Norm::L0, Grouping::Pixel, &[6]).channels, 1);
    }
}
