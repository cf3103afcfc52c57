//! What a search gives for each image.

use serde::{Deserialize, Serialize};

use super::norms::{Measure, Norm};

/// An image and the smallest perturbation found for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Position of the image in the set that was searched.
    pub position: usize,
    /// Index of the image in the data set that the searched set was chosen from
    /// ([`Inputs::index`](blindspot_model::inputs::Inputs::index)).
    pub index: usize,
    /// The true class.
    pub label: usize,
    /// The class that the classifier was to answer; where any wrong class would do, the one it
    /// answers to the adversarial image.
    pub target: usize,
    /// The class that the classifier gives the original.
    #[serde(rename = "before")]
    pub prediction_before: usize,
    /// The class that the classifier gives the adversarial image.
    #[serde(rename = "after")]
    pub prediction: usize,
    /// Whether the classifier misclassifies the original, as far as the criterion asks and by more
    /// than rounding noise: there was nothing to search for.
    #[serde(rename = "wrong_before")]
    pub already_misclassified: bool,
    /// Whether the adversarial image reaches the objective, verified on that image by a margin above
    /// the rounding [noise](Example::noise) there, or the original was misclassified already.
    pub success: bool,
    /// Whether nothing was found and nothing is known of the image either: the classifier's gradient
    /// at the original is zero, or the outputs that its users see are rounded to one number.
    pub no_gradient: bool,
    /// Whether another runtime that was asked does not take the adversarial image for a success. It
    /// counts as none then. No search sets this.
    pub refuted: bool,
    /// The adversarial image, within its bounds; the original where nothing was found or needed.
    pub adversarial: Vec<f32>,
    /// L2 norm of the perturbation, in the unit of the input's values, or of a table's columns, each in its scale; 0
    /// where there is none.
    pub l2: f64,
    /// Linf norm of the perturbation, in the same unit.
    pub linf: f64,
    /// L1 norm of the perturbation, in the same unit.
    pub l1: f64,
    /// How many values, or pixels where these were counted ([`Grouping`](super::Grouping)), the
    /// perturbation changes; of a table, how many columns.
    pub l0: f64,
    /// Evaluations of the classifier, over all targets tried.
    pub evaluations: u64,
    /// Gradients of the classifier that were used, over all targets tried.
    pub gradients: u64,
    /// How far from locally smallest the perturbation can be, as a fraction of its norm, were the
    /// classifier linear around the adversarial image, in `f64`; 0 at a local minimum, and where nothing
    /// was perturbed. In L2 the distance to the nearest point that would succeed (the natural residual
    /// of the Karush-Kuhn-Tucker conditions); in Linf and L1 how much smaller the smallest perturbation
    /// there is, which a linear program gives (a duality gap); in L0 how many fewer inputs would do for
    /// each of the margins that bind. Of whole numbers and categories of a table it says nothing: they count as fixed.
    #[serde(rename = "kkt")]
    pub kkt_residual: f64,
    /// How far a margin at the adversarial image can be from the exact one in the arithmetic of the
    /// user's runtime ([`rounding`](crate::rounding)), in units of the outputs.
    pub noise: f64,
}

impl Example {
    /// A norm of the perturbation; 0 where there is none.
    pub fn norm(&self, norm: Norm) -> f64 {
        match norm {
            Norm::L2 => self.l2,
            Norm::Linf => self.linf,
            Norm::L1 => self.l1,
            Norm::L0 => self.l0,
        }
    }

    /// Sets the norms to those of the perturbation from this original.
    pub(super) fn measure(&mut self, original: &[f32], measure: Measure) {
        let of = |norm| measure.with(norm).of(original, &self.adversarial);
        (self.l2, self.linf, self.l1, self.l0) =
            (of(Norm::L2), of(Norm::Linf), of(Norm::L1), of(Norm::L0));
    }

    /// Root mean square of the perturbation, the paper's distortion.
    pub fn distortion(&self) -> f64 {
        self.l2 / (self.adversarial.len() as f64).sqrt()
    }
}

/// The examples of some images, with the images.
#[derive(Debug)]
pub struct Block {
    /// The examples, in the order of the images.
    pub examples: Vec<Example>,
    /// The original image of each example, one after the other.
    pub originals: Vec<f32>,
}

impl Block {
    /// Puts the examples, and their originals, into the order of the images: several blocks of one
    /// search, one after the other, need not have it.
    pub fn sort(&mut self) {
        let length = self.originals.len() / self.examples.len().max(1);
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        order.sort_by_key(|&place| self.examples[place].position);
        let rows = order
            .iter()
            .map(|&place| &self.originals[place * length..][..length]);
        self.originals = rows.flatten().copied().collect();
        self.examples.sort_by_key(|example| example.position);
    }

    /// Takes another example of an image that it has in place of the one there, if that fails or is farther in a norm.
    /// What both took counts.
    pub(super) fn take_nearer(&mut self, other: Example, norm: Norm) {
        let mut own = self.examples.iter_mut();
        let Some(own) = own.find(|own| own.position == other.position) else {
            return;
        };
        let evaluations = own.evaluations + other.evaluations;
        let gradients = own.gradients + other.gradients;
        if !own.success || other.success && other.norm(norm) < own.norm(norm) {
            *own = other;
        }
        (own.evaluations, own.gradients) = (evaluations, gradients);
    }

    /// Takes out the examples of some positions.
    pub(super) fn leave_out(&mut self, positions: &[usize]) {
        let kept = |example: &Example| !positions.contains(&example.position);
        if self.examples.iter().all(kept) {
            return;
        }
        let length = self.originals.len() / self.examples.len();
        let rows = self.originals.chunks(length).zip(&self.examples);
        let rows = rows.filter(|(_, example)| kept(example));
        self.originals = rows.flat_map(|(row, _)| row).copied().collect();
        self.examples.retain(kept);
    }
}
