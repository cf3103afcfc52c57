//! Transfer: how often the adversarial examples of one network fool others (section 4.2 of the paper).
//!
//! The paper's surprise is that examples made for one network are misclassified by networks with other
//! layers, other regularisation, or other training data. Its tables 2 and 4 have a row for each set of
//! examples and a column for each network. An entry is the column's *error on the examples*: the fraction of
//! the row's images, counted against their true labels, that the network misclassifies. It includes the images
//! that the network gets wrong anyway, so its clean error belongs beside it; Gaussian noise of the same size
//! is the control, as the paper has it.
//!
//! [`Transfer`] makes such a table of any examples and any networks. Each [`Variant`] adds a row: the examples
//! as they are, their perturbations amplified to a given distortion (table 4's x + 0.1 (x' - x) / rms(x' - x)),
//! or Gaussian noise in place of the perturbations. A [`Rate`] has the 95% confidence interval of
//! Wilson (Probable inference, the law of succession, and statistical inference, JASA 22, 1927), which stays
//! in [0, 1] and is meaningful at 0% and 100% too. [`Distortion`] says how large the perturbations are.
//!
//! ```
//! use blindspot::inputs::InMemory;
//! use blindspot::net::{Graph, Network, Op, Operand, ops::Reshape};
//! use blindspot::search::Example;
//! use blindspot::transfer::{MemoryExamples, Transfer};
//!
//! // A network that answers with the larger of its two inputs.
//! let mut graph = Graph::new("x", &[2])?;
//! let input = Operand::Value(graph.input());
//! graph.node("logits", Op::Reshape(Reshape { shape: vec![2] }), &[input], "logits")?;
//! let network = Network::new(graph, Vec::new())?;
//!
//! # let example = |position, label, adversarial: [f32; 2]| Example {
//! #     position, index: position, label, target: 1, prediction_before: label, prediction: 1,
//! #     already_misclassified: false, success: true, adversarial: adversarial.to_vec(), l2: 0.1,
//! #     evaluations: 1, gradients: 1, kkt_residual: 0.0,
//! # };
//! // What a search gave for two images: one is misclassified now.
//! let images = InMemory::new(vec![0.6, 0.4, 0.2, 0.8], 2);
//! let examples = [example(0, 0, [0.4, 0.6]), example(1, 1, [0.3, 0.7])];
//!
//! let matrix = Transfer::new()
//!     .examples("a", MemoryExamples::new(&examples, &images))
//!     .model("larger", &network)
//!     .noise(0.01)
//!     .run()?;
//! assert_eq!(matrix.rows, ["a", "a: noise 0.01"]);
//! assert_eq!((matrix.rates[0][0].error, matrix.rates[1][0].error), (0.5, 0.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod builder;
mod matrix;
mod saved;
mod source;
mod trial;
mod variant;

use blindspot_net::Network;
use serde::{Deserialize, Serialize};

use crate::classify::error;
use crate::inputs::{InMemory, InputError, Inputs};
use crate::search::{Example, InputBox, norm};
pub use builder::Transfer;
pub use matrix::{Matrix, Rate, Tally, matrix};
pub use saved::{SavedError, SavedExamples};
pub use source::{ExampleBlock, ExampleSource, MemoryExamples};
pub use trial::{About, ExampleSet, ModelFile, Trial};
use variant::scale;
pub use variant::{Variant, add_noise};

/// The size of a set of perturbations. The distortion of one image is the root mean square of its
/// perturbation, the L2 norm over the square root of the number of values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Distortion {
    /// Mean of the images' distortions: the paper's average distortion.
    pub mean: f64,
    /// Root mean square of the perturbation over all values of all images.
    pub pooled: f64,
    /// Median of the images' distortions; the mean of the middle two if their number is even.
    pub median: f64,
    /// Mean of the images' L2 norms.
    pub l2_mean: f64,
}

impl Distortion {
    /// The distortion of perturbations with these L2 norms, of images with `length` values; zeros if there
    /// are none.
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
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        };
        let pooled = square.sqrt() / root;
        Distortion {
            mean: l2_mean / root,
            pooled,
            median: median / root,
            l2_mean,
        }
    }

    /// The distortion of a set of examples; an image that was not perturbed counts 0.
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

/// How a set of changes is made larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amplify {
    /// All by one factor.
    Set,
    /// Each to the same distortion.
    Each,
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

    /// The same examples with their changes made larger, until the distortion is `distortion`: that
    /// of each image by itself, or, by one factor for all of them, the mean of the set. The paper's
    /// formula can be read in both ways; what comes out can leave the box, as its noise does. An
    /// image that was not changed stays as it is.
    ///
    /// # Errors
    /// [`InputError`] where an original can't be read.
    ///
    /// # Panics
    /// Where there is no example.
    pub fn amplified(
        examples: &[Example],
        inputs: &(impl Inputs + ?Sized),
        distortion: f64,
        amplify: Amplify,
    ) -> Result<Changed, InputError> {
        let mut changed = Changed::adversarial(examples);
        let length = inputs.input_len();
        let mean = changed.distortion.mean;
        let mut norms = Vec::with_capacity(examples.len());
        let mut original = vec![0.0; length];
        let places = changed.images.values_mut().chunks_exact_mut(length);
        for (example, place) in examples.iter().zip(places) {
            let from = match amplify {
                Amplify::Set => mean,
                Amplify::Each => example.distortion(),
            };
            let factor = if from > 0.0 { distortion / from } else { 1.0 };
            inputs.read(example.position, &mut original)?;
            scale(&original, place, factor);
            norms.push(norm(&original, place));
        }
        changed.distortion = Distortion::of(&norms, length);
        Ok(changed)
    }

    /// Images `indices` of a set with Gaussian noise added to each value, drawn for each image
    /// from a stream of its own. The paper's noise leaves the box; with `clip` it is cut to it.
    ///
    /// # Errors
    /// [`InputError`] where an image can't be read.
    pub fn noisy(
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        indices: &[usize],
        deviation: f64,
        seed: u64,
        clip: Option<InputBox>,
    ) -> Result<Changed, InputError> {
        let length = inputs.input_len();
        let mut values = vec![0.0f32; indices.len() * length];
        let mut norms = Vec::with_capacity(indices.len());
        let mut original = vec![0.0; length];
        for (&index, image) in indices.iter().zip(values.chunks_exact_mut(length)) {
            inputs.read(index, &mut original)?;
            image.copy_from_slice(&original);
            add_noise(image, deviation, seed, index);
            if let Some(bounds) = clip {
                for value in &mut *image {
                    *value = value.clamp(bounds.lower, bounds.upper);
                }
            }
            norms.push(norm(&original, image));
        }
        Ok(Changed {
            images: InMemory::new(values, length),
            labels: indices.iter().map(|&index| labels[index]).collect(),
            distortion: Distortion::of(&norms, length),
        })
    }

    /// The fraction of these images that a network gets wrong: for the images of another network,
    /// the transfer rate.
    pub fn error_of(&self, network: &Network<f32>) -> f64 {
        let error = error(network, &self.images, &self.labels);
        error.expect("images in memory can be read")
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
    fn amplified_changes_keep_their_direction_and_have_the_distortion_asked_for() {
        let inputs = InMemory::new(vec![0.5, 0.5, 0.25, 0.75, 0.5, 0.5], 2);
        let example = |index, adversarial: [f32; 2]| {
            let mut original = [0.0; 2];
            inputs.read(index, &mut original).unwrap();
            Example {
                position: index,
                index,
                label: 0,
                target: 1,
                prediction_before: 0,
                prediction: 1,
                success: true,
                l2: norm(&original, &adversarial),
                adversarial: adversarial.to_vec(),
                evaluations: 1,
                gradients: 0,
                already_misclassified: false,
                kkt_residual: 0.0,
            }
        };
        let examples = [
            example(0, [0.6, 0.5]),
            example(1, [0.25, 0.45]),
            example(2, [0.5, 0.5]),
        ];
        let each = Changed::amplified(&examples, &inputs, 0.5, Amplify::Each).unwrap();
        let root = 0.5f32.sqrt();
        let expected = [0.5 + root, 0.5, 0.25, 0.75 - root, 0.5, 0.5];
        for (value, expected) in each.images.values().iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{:?}", each.images);
        }
        let set = Changed::amplified(&examples, &inputs, 0.5, Amplify::Set).unwrap();
        assert!((set.distortion.mean - 0.5).abs() < 1e-6);
        // The changes keep their proportion, one to three.
        let values = set.images.values();
        assert!(((0.75 - values[3]) / (values[0] - 0.5) - 3.0).abs() < 1e-4);
    }

    #[test]
    fn noise_has_its_deviation_and_is_cut_to_the_box_when_asked() {
        let inputs = InMemory::new(vec![0.25; 50 * 100], 100);
        let labels = vec![0; 50];
        let indices: Vec<usize> = (0..50).collect();
        let free = Changed::noisy(&inputs, &labels, &indices, 0.3, 1, None).unwrap();
        assert!((free.distortion.pooled - 0.3).abs() < 0.01);
        assert!(free.images.values().iter().any(|&value| value < 0.0));
        let cut = Changed::noisy(
            &inputs,
            &labels,
            &indices,
            0.3,
            1,
            Some(InputBox::default()),
        )
        .unwrap();
        assert!(
            cut.images
                .values()
                .iter()
                .all(|&value| (0.0..=1.0).contains(&value))
        );
        assert!(cut.distortion.pooled < free.distortion.pooled);
        // One image alone gets the same noise as in a set.
        let alone = Changed::noisy(&inputs, &labels, &[7], 0.3, 1, None).unwrap();
        assert_eq!(alone.images.values(), &free.images.values()[700..800]);
    }
}
