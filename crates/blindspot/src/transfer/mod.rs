//! Transfer: how often the adversarial examples of one network fool others (section 4.2 of the paper).
//!
//! The paper's surprise is that examples made for one network are misclassified by networks with other
//! layers, other regularisation, or other training data. Its tables 2 and 4 have a row for each set of
//! examples and a column for each network. An entry is the column's *error on the examples*: the fraction of
//! the row's images, counted against their true labels, that the network misclassifies. It includes the images
//! that the network gets wrong anyway, so its clean error stands beside it, and the fraction *fooled*: of the
//! images that the network gets right as they are, those that it misclassifies in the end. Gaussian noise of
//! the same size is the control, as the paper has it.
//!
//! Examples of a [goal](crate::goals) for a model's outputs have no class. A network is wrong about them where its own
//! outputs reach the goal, from those that it gives for the original.
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
//! #     linf: 0.1, l1: 0.1, l0: 1.0,
//! #     evaluations: 1, gradients: 1, no_gradient: false, refuted: false, kkt_residual: 0.0,
//! #     noise: 1e-6,
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

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::search::Example;
pub use builder::Transfer;
pub use matrix::{Matrix, Rate, Tally, matrix};
pub use saved::{SavedError, SavedExamples};
pub use source::{ExampleBlock, ExampleSource, MemoryExamples};
pub use trial::{About, ExampleSet, ModelFile, Trial};
pub use variant::{Variant, add_noise};

/// The size of a set of perturbations. The distortion of one image is the root mean square of its
/// perturbation, the L2 norm over the square root of the number of values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distortion {
    /// Number of images that the figures are of.
    pub images: u64,
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
    /// The distortion of perturbations with these L2 norms, of images with `length` values; None if there
    /// are none.
    pub fn of(norms: &[f64], length: usize) -> Option<Distortion> {
        if norms.is_empty() || length == 0 {
            return None;
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
        Some(Distortion {
            images: norms.len() as u64,
            mean: l2_mean / root,
            pooled,
            median: median / root,
            l2_mean,
        })
    }

    /// The distortion of all images of a set of examples, as in the paper's tables: one that was not
    /// perturbed, because it was misclassified already or nothing was found, counts 0. None if there are no
    /// images.
    pub fn of_examples(examples: &[Example]) -> Option<Distortion> {
        let norms: Vec<f64> = examples.iter().map(|example| example.l2).collect();
        Distortion::of(
            &norms,
            examples
                .first()
                .map_or(0, |example| example.adversarial.len()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distortion_of_known_norms() {
        let distortion = Distortion::of(&[0.0, 2.0, 4.0, 6.0], 4).unwrap();
        assert_eq!(distortion.images, 4);
        assert_eq!(distortion.mean, 1.5);
        assert_eq!(distortion.median, 1.5);
        assert_eq!(distortion.l2_mean, 3.0);
        assert!((distortion.pooled - 3.5f64.sqrt()).abs() < 1e-15);
        assert_eq!(Distortion::of(&[1.0, 5.0, 2.0], 1).unwrap().median, 2.0);
        assert_eq!(Distortion::of(&[], 784), None);
        assert_eq!(Distortion::of_examples(&[]), None);
    }
}
