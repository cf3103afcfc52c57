//! Section 4.2: what a set of changed images does to other networks, and Gaussian noise as the
//! control.

use blindspot_net::Network;
use serde::{Deserialize, Serialize};

use crate::inputs::{InMemory, Inputs};
use crate::random::Stream;
use crate::search::{Example, InputBox};
use crate::train::error;

/// How much a set of images was changed. Distortion is the root mean square of the change of an
/// input value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Distortion {
    /// Mean over the images of the distortion.
    pub mean: f64,
    /// Root mean square of the change over all values of all images.
    pub pooled: f64,
    /// Median over the images of the distortion: the mean of the middle two of an even number.
    pub median: f64,
    /// Mean over the images of the L2 norm.
    pub l2_mean: f64,
}

impl Distortion {
    /// That of changes with these L2 norms, of images of `length` values; zeros of no change.
    pub fn of(norms: &[f64], length: usize) -> Distortion {
        if norms.is_empty() || length == 0 {
            return Distortion {
                mean: 0.0,
                pooled: 0.0,
                median: 0.0,
                l2_mean: 0.0,
            };
        }
        let (count, root) = (norms.len() as f64, (length as f64).sqrt());
        let l2_mean = norms.iter().sum::<f64>() / count;
        let square = norms.iter().map(|norm| norm * norm).sum::<f64>() / count;
        let mut sorted = norms.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        };
        let pooled = square.sqrt() / root;
        Distortion {
            mean: l2_mean / root,
            pooled,
            median: median / root,
            l2_mean,
        }
    }

    /// That of a set of examples.
    pub fn of_examples(examples: &[Example]) -> Distortion {
        let norms: Vec<f64> = examples.iter().map(|example| example.l2).collect();
        Distortion::of(
            &norms,
            examples
                .first()
                .map_or(0, |example| example.adversarial.len()),
        )
    }
}

/// A changed set of images, and what the change was.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The images.
    pub images: InMemory,
    /// The true class of each.
    pub labels: Vec<usize>,
    /// How far they are from the originals.
    pub distortion: Distortion,
}

impl Changed {
    /// The adversarial images of a set of examples.
    ///
    /// # Panics
    /// Where there is none.
    pub fn adversarial(examples: &[Example]) -> Changed {
        let length = examples
            .first()
            .expect("a set of examples has one")
            .adversarial
            .len();
        let values = examples
            .iter()
            .flat_map(|example| &example.adversarial)
            .copied()
            .collect();
        Changed {
            images: InMemory::new(values, length),
            labels: examples.iter().map(|example| example.label).collect(),
            distortion: Distortion::of_examples(examples),
        }
    }

    /// Images `indices` of a set with Gaussian noise added to each value, drawn for each image
    /// from a stream of its own. The paper's noise leaves the box; with `clip` it is cut to it.
    pub fn noisy(
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        indices: &[usize],
        deviation: f64,
        seed: u64,
        clip: Option<InputBox>,
    ) -> Changed {
        let length = inputs.input_len();
        let mut values = vec![0.0f32; indices.len() * length];
        let mut norms = Vec::with_capacity(indices.len());
        for (&index, image) in indices.iter().zip(values.chunks_exact_mut(length)) {
            inputs.write(index, image);
            let mut stream = Stream::new(seed, &format!("noise {deviation}"), index);
            let mut square = 0.0;
            for value in image {
                let original = f64::from(*value);
                *value = (original + deviation * stream.normal()) as f32;
                if let Some(bounds) = clip {
                    *value = value.clamp(bounds.lower, bounds.upper);
                }
                square += (f64::from(*value) - original).powi(2);
            }
            norms.push(square.sqrt());
        }
        Changed {
            images: InMemory::new(values, length),
            labels: indices.iter().map(|&index| labels[index]).collect(),
            distortion: Distortion::of(&norms, length),
        }
    }

    /// The fraction of these images that a network gets wrong: for the images of another network,
    /// the transfer rate.
    pub fn error_of(&self, network: &Network<f32>) -> f64 {
        error(network, &self.images, &self.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distortion_of_known_norms() {
        let distortion = Distortion::of(&[0.0, 2.0, 4.0, 6.0], 4);
        assert_eq!(distortion.mean, 1.5);
        assert_eq!(distortion.median, 1.5);
        assert_eq!(distortion.l2_mean, 3.0);
        assert!((distortion.pooled - 3.5f64.sqrt()).abs() < 1e-15);
        assert_eq!(Distortion::of(&[1.0, 5.0, 2.0], 1).median, 2.0);
        assert_eq!(Distortion::of(&[], 784).pooled, 0.0);
    }

    #[test]
    fn noise_has_its_deviation_and_is_cut_to_the_box_when_asked() {
        let inputs = InMemory::new(vec![0.25; 50 * 100], 100);
        let labels = vec![0; 50];
        let indices: Vec<usize> = (0..50).collect();
        let free = Changed::noisy(&inputs, &labels, &indices, 0.3, 1, None);
        assert!((free.distortion.pooled - 0.3).abs() < 0.01);
        assert!(free.images.values().iter().any(|&value| value < 0.0));
        let cut = Changed::noisy(
            &inputs,
            &labels,
            &indices,
            0.3,
            1,
            Some(InputBox::default()),
        );
        assert!(
            cut.images
                .values()
                .iter()
                .all(|&value| (0.0..=1.0).contains(&value))
        );
        assert!(cut.distortion.pooled < free.distortion.pooled);
        // One image alone gets the same noise as in a set.
        let alone = Changed::noisy(&inputs, &labels, &[7], 0.3, 1, None);
        assert_eq!(alone.images.values(), &free.images.values()[700..800]);
    }
}
