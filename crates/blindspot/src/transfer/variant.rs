//! What is done to examples before networks see them.

use blindspot_model::Norm;
use blindspot_model::inputs::InMemory;
use blindspot_run::random::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::matrix::of_perturbed;
use super::source::ExampleBlock;
use super::{ExampleSource, SavedError};
use crate::search::norm;

/// What is done to examples before the networks see them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Variant {
    /// Nothing.
    Plain,
    /// Each perturbation is multiplied by this factor. The image can leave the input box.
    Factor(f64),
    /// All perturbations are multiplied by one factor, so that the mean distortion of the images that are
    /// perturbed is this. An image can leave the input box.
    Distortion(f64),
    /// All perturbations are multiplied by one factor, so that the mean norm of those that are not 0 is
    /// `mean`. An image can leave the input box. No factor changes an L0 norm.
    Norm {
        /// The norm.
        norm: Norm,
        /// Its mean; above 0.
        mean: f64,
    },
    /// Each perturbation is multiplied by a factor of its own, so that its distortion is this. An image
    /// can leave the input box.
    EachDistortion(f64),
    /// The original with Gaussian noise of this standard deviation in place of the perturbation. The
    /// image can leave the input box.
    Noise(f64),
    /// The original with Gaussian noise of this standard deviation, clipped to [0, 1].
    ClippedNoise(f64),
}

impl Variant {
    /// The name of the examples `name` in this variant.
    pub(super) fn name_of(self, name: &str) -> String {
        match self {
            Variant::Plain => name.to_owned(),
            Variant::Factor(factor) => format!("{name} times {factor}"),
            Variant::Distortion(wanted) => format!("{name} x{wanted}"),
            Variant::Norm { norm, mean } => format!("{name} {} {mean}", norm.title()),
            Variant::EachDistortion(wanted) => format!("{name} each x{wanted}"),
            Variant::Noise(deviation) => format!("{name}: noise {deviation}"),
            Variant::ClippedNoise(deviation) => format!("{name}: clipped noise {deviation}"),
        }
    }

    /// The factor of all perturbations of a source in this variant; 1 for a variant without one.
    pub(super) fn factor(self, source: &impl ExampleSource) -> Result<f64, SavedError> {
        Ok(match self {
            Variant::Factor(factor) => factor,
            Variant::Distortion(wanted) => {
                factor_to(wanted, &norms_of(source, Norm::L2)?, source.image_len())
            }
            Variant::Norm { norm, mean } => {
                let norms = norms_of(source, norm)?;
                let perturbed = norms.iter().filter(|&&norm| norm > 0.0);
                match perturbed.clone().count() {
                    0 => 1.0,
                    count => mean * count as f64 / perturbed.sum::<f64>(),
                }
            }
            _ => 1.0,
        })
    }

    /// The images of a block in this variant, and the L2 norms of their perturbations.
    pub(super) fn apply(
        self,
        block: &ExampleBlock,
        length: usize,
        factor: f64,
        seed: u64,
    ) -> (InMemory, Vec<f64>) {
        let mut changed = block.adversarial.clone();
        let originals = block.originals.chunks_exact(length);
        let mut norms = Vec::with_capacity(block.labels.len());
        let images = changed.chunks_exact_mut(length).zip(originals);
        for ((image, original), &stream) in images.zip(&block.noise_streams) {
            match self {
                Variant::Plain => {}
                Variant::Factor(_) | Variant::Distortion(_) | Variant::Norm { .. } => {
                    scale(original, image, factor);
                }
                Variant::EachDistortion(wanted) => {
                    let factor = factor_to(wanted, &[norm(original, image)], length);
                    scale(original, image, factor);
                }
                Variant::Noise(deviation) => {
                    image.copy_from_slice(original);
                    add_noise(image, deviation, seed, stream);
                }
                Variant::ClippedNoise(deviation) => {
                    image.copy_from_slice(original);
                    add_noise(image, deviation, seed, stream);
                    for value in &mut *image {
                        *value = value.clamp(0.0, 1.0);
                    }
                }
            }
            norms.push(norm(original, image));
        }
        (InMemory::new(changed, length), norms)
    }
}

/// The norm of each perturbation of a source.
fn norms_of(source: &impl ExampleSource, norm: Norm) -> Result<Vec<f64>, SavedError> {
    let mut norms = Vec::new();
    let length = source.image_len();
    source.blocks(0..source.count(), &mut |block| {
        let originals = block.originals.chunks_exact(length);
        let pairs = originals.zip(block.adversarial.chunks_exact(length));
        norms.extend(pairs.map(|(original, adversarial)| norm.of(original, adversarial)));
        true
    })?;
    Ok(norms)
}

/// The factor that brings the mean distortion of perturbations with these L2 norms to `wanted`; 1 if
/// nothing was perturbed.
fn factor_to(wanted: f64, norms: &[f64], length: usize) -> f64 {
    of_perturbed(norms, length).map_or(1.0, |distortion| wanted / distortion.mean)
}

/// Multiplies the perturbation of an image by a factor.
fn scale(original: &[f32], changed: &mut [f32], factor: f64) {
    for (value, &original) in changed.iter_mut().zip(original) {
        let perturbation = f64::from(*value) - f64::from(original);
        *value = (f64::from(original) + factor * perturbation) as f32;
    }
}

/// Adds Gaussian noise of a standard deviation to an image: the same noise for the same deviation, seed
/// and number, whichever other images there are.
pub fn add_noise(image: &mut [f32], deviation: f64, seed: u64, number: usize) {
    let mut stream = Stream::new(seed, &format!("noise {deviation}"), number);
    for value in image {
        *value = (f64::from(*value) + deviation * stream.normal()) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::Distortion;

    fn block(originals: Vec<f32>, adversarial: Vec<f32>, length: usize) -> ExampleBlock {
        let count = originals.len() / length;
        ExampleBlock {
            first: 0,
            labels: vec![0; count],
            noise_streams: (0..count).collect(),
            originals,
            adversarial,
        }
    }

    /// A source of one block in memory.
    struct One(ExampleBlock, usize);

    impl ExampleSource for One {
        fn count(&self) -> usize {
            self.0.labels.len()
        }

        fn image_len(&self) -> usize {
            self.1
        }

        fn path(&self) -> std::path::PathBuf {
            "one block".into()
        }

        fn blocks(
            &self,
            _range: std::ops::Range<usize>,
            take: &mut dyn FnMut(&ExampleBlock) -> bool,
        ) -> Result<(), SavedError> {
            take(&self.0);
            Ok(())
        }
    }

    #[test]
    fn amplified_perturbations_keep_their_direction_and_have_the_distortion_asked_for() {
        let originals = vec![0.5, 0.5, 0.25, 0.75, 0.5, 0.5];
        let adversarial = vec![0.6, 0.5, 0.25, 0.45, 0.5, 0.5];
        let source = One(block(originals, adversarial, 2), 2);
        let apply = |variant: Variant| {
            let factor = variant.factor(&source).unwrap();
            variant.apply(&source.0, 2, factor, 0)
        };
        let (each, _) = apply(Variant::EachDistortion(0.5));
        let root = 0.5f32.sqrt();
        let expected = [0.5 + root, 0.5, 0.25, 0.75 - root, 0.5, 0.5];
        for (value, expected) in each.values().iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{each:?}");
        }
        let (set, norms) = apply(Variant::Distortion(0.5));
        // The mean is over the images that are perturbed.
        let perturbed: Vec<f64> = norms.into_iter().filter(|&norm| norm > 0.0).collect();
        assert_eq!(perturbed.len(), 2);
        assert!((Distortion::of(&perturbed, 2).unwrap().mean - 0.5).abs() < 1e-6);
        // The perturbations keep their proportion, one to three.
        let values = set.values();
        assert!(((0.75 - values[3]) / (values[0] - 0.5) - 3.0).abs() < 1e-4);
    }

    #[test]
    fn amplified_perturbations_have_the_mean_norm_asked_for() {
        let originals = vec![0.5, 0.5, 0.25, 0.75, 0.5, 0.5];
        let adversarial = vec![0.6, 0.4, 0.25, 0.45, 0.5, 0.5];
        let source = One(block(originals.clone(), adversarial, 2), 2);
        for (norm, factor) in [(Norm::Linf, 3.0), (Norm::L1, 2.4), (Norm::L2, 2.718_490)] {
            let variant = Variant::Norm { norm, mean: 0.6 };
            let found = variant.factor(&source).unwrap();
            assert!((found - factor).abs() < 1e-5, "{norm}: {found}");
            let (changed, _) = variant.apply(&source.0, 2, found, 0);
            let rows = originals
                .chunks_exact(2)
                .zip(changed.values().chunks_exact(2));
            let sum: f64 = rows.map(|(original, row)| norm.of(original, row)).sum();
            assert!((sum / 2.0 - 0.6).abs() < 1e-6, "{norm}: {sum}");
        }
    }

    #[test]
    fn noise_has_its_deviation_and_is_clipped_when_asked() {
        let images = vec![0.25; 50 * 100];
        let whole = block(images.clone(), images, 100);
        let (free, norms) = Variant::Noise(0.3).apply(&whole, 100, 1.0, 1);
        let size = Distortion::of(&norms, 100).unwrap().pooled;
        assert!((size - 0.3).abs() < 0.01);
        assert!(free.values().iter().any(|&value| value < 0.0));
        let (clipped, norms) = Variant::ClippedNoise(0.3).apply(&whole, 100, 1.0, 1);
        let inside = |&value: &f32| (0.0..=1.0).contains(&value);
        assert!(clipped.values().iter().all(inside));
        assert!(Distortion::of(&norms, 100).unwrap().pooled < size);
        // One image alone gets the same noise as in a set.
        let mut alone = block(vec![0.25; 100], vec![0.25; 100], 100);
        alone.noise_streams = vec![7];
        let (alone, _) = Variant::Noise(0.3).apply(&alone, 100, 1.0, 1);
        assert_eq!(alone.values(), &free.values()[700..800]);
    }
}
