//! A set of examples as files: arrays for NumPy, and JSON for what is not an array; before that, as
//! the entries of a journal.

mod arrays;
mod confidence;
mod robust;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use blindspot_data::files::{self, FileError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::provenance::Provenance;
use crate::search::{Norm, SearchOptions, Target};
use crate::transfer::Distortion;
pub use arrays::{with_stored, write_arrays, write_found, write_stored};
use blindspot_run::journal::{JournalError, Work};
pub use confidence::confidences;
pub use robust::{Distance, RobustAccuracy, Share};
pub use stored::{Extra, Layout, Numbers, SavedExample, StoredExample, StoredExamples};

/// Where a set of examples comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Origin {
    /// What was searched for.
    #[schemars(with = "crate::schema::SearchOptions")]
    pub options: SearchOptions,
    /// Model, images and program.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// Whether the images had no classes, so that the model's own answers to them count as right.
    #[serde(default)]
    pub answers_as_labels: bool,
    /// SHA-256 of the files of a mask and of ranges, by option, where they were given.
    #[serde(default)]
    pub ranges_sha256: BTreeMap<String, String>,
    /// The norms at which robust accuracy was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epsilons: Vec<f64>,
}

/// What is said of a set of examples besides its arrays: the content of the JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Where they come from.
    #[serde(flatten)]
    pub origin: Origin,
    /// What is stored of each; None in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Where only the images fooled by the smallest perturbations were asked for: how many. These are in the arrays;
    /// all figures here are of all images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smallest: Option<usize>,
    /// The indices of these in the image set, the smallest perturbation first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub smallest_indices: Vec<usize>,
    /// The examples in figures.
    pub summary: Summary,
    /// The same of the images as 8-bit files hold them, where they were saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eight_bit: Option<EightBitSummary>,
    /// The certificates, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateSummary>,
    /// Robust accuracy at the norms that were asked for, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub robust_accuracy: Vec<RobustAccuracy>,
}

/// Certificates in figures: distances below which no change of the label is possible, in the norm of the search.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateSummary {
    /// Their mean over the images that the network gets right as they are; None of no image.
    pub mean: Option<f64>,
    /// Their mean over the images fooled, divided by the mean norm of these images' perturbations:
    /// at most 1; None of no image.
    pub ratio: Option<f64>,
}

/// Examples as 8-bit files hold them, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EightBitSummary {
    /// Images fooled: of those searched from, those whose 8-bit image is answered as was asked for.
    pub fooled: usize,
    /// Of these, those for which rounding was enough; the others were searched for again.
    pub rounded: usize,
    /// Mean of the distortions of the images fooled; None of no image.
    pub distortion_mean: Option<f64>,
}

/// Norms of perturbations in figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NormSummary {
    /// The mean of the norm that the search made small.
    pub mean: f64,
    /// Its median.
    pub median: f64,
    /// The mean L2 norm, in the unit of the input's values.
    pub l2_mean: f64,
    /// The mean Linf norm, in the same unit.
    pub linf_mean: f64,
    /// The mean L1 norm, in the same unit.
    pub l1_mean: f64,
    /// How many values, or pixels where these were counted, change on average.
    pub l0_mean: f64,
}

impl NormSummary {
    /// The figures of perturbations by their norms, in the order of [`Norm::NAMES`]; None of none.
    fn of(norm: Norm, norms: &[[f64; 4]]) -> Option<NormSummary> {
        let place = Norm::NAMES.iter().position(|&(named, _)| named == norm);
        let place = place.expect("every norm has a name");
        let mut sizes: Vec<f64> = norms.iter().map(|norms| norms[place]).collect();
        sizes.sort_by(f64::total_cmp);
        let mean = |place: usize| mean(norms.iter().map(|norms| norms[place]).sum(), norms.len());
        let middle = sizes.len() / 2;
        Some(NormSummary {
            mean: mean(place)?,
            median: 0.5 * (sizes[middle] + sizes[(sizes.len() - 1) / 2]),
            l2_mean: mean(0)?,
            linf_mean: mean(1)?,
            l1_mean: mean(2)?,
            l0_mean: mean(3)?,
        })
    }
}

/// A set of examples in figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Images.
    pub samples: usize,
    /// Images that the network gets right as they are; of all, the clean accuracy.
    pub right: usize,
    /// Images that the network gets wrong as they are, as far as the criterion asks: they are not
    /// searched from, and no mean has them.
    pub already_wrong: usize,
    /// The other images, which are searched from.
    pub searched: usize,
    /// Images fooled: of those searched from, those whose adversarial image is answered as was asked
    /// for.
    pub fooled: usize,
    /// Of the images fooled, those whose adversarial image is answered with the target class; None of a
    /// search without target classes.
    pub answers_target: Option<usize>,
    /// Images of which nothing is known: nothing was found, and the network had no gradient there.
    #[serde(default)]
    pub no_gradient: usize,
    /// Images that another runtime, which was asked, does not take for successes.
    #[serde(default)]
    pub refuted: usize,
    /// The perturbations of the images fooled; None of no image.
    pub distortion: Option<Distortion>,
    /// Their norms; None of no image, and in files of earlier versions.
    #[serde(default)]
    pub norms: Option<NormSummary>,
    /// Evaluations of the network, on average over the images searched from; None of no image.
    pub evaluations_mean: Option<f64>,
    /// Gradients that the search used, on average over the images searched from; None of no image.
    pub gradients_mean: Option<f64>,
}

impl Record {
    /// What is said of stored examples from `origin`.
    ///
    /// # Errors
    /// [`JournalError`] where they can't be read.
    pub fn of(origin: Origin, examples: &StoredExamples<'_>) -> Result<Record, JournalError> {
        let length = examples.layout().input_len();
        let (norm, certified) = (origin.options.norm, examples.layout().certificate);
        let mut distances = Vec::new();
        let (mut samples, mut right, mut searched) = (0, 0, 0);
        let (mut no_gradient, mut refuted) = (0, 0);
        let (mut evaluations, mut gradients, mut on_target) = (0, 0, 0);
        // Of the images fooled.
        let (mut norms, mut all_norms, mut certificates) = (Vec::new(), Vec::new(), 0.0);
        let (mut certificates_of_right, mut found) = (0.0, 0.0);
        for numbers in examples.numbers()? {
            let numbers = numbers.map_err(JournalError::Unreadable)?;
            samples += 1;
            distances.push(numbers.distance(norm, certified));
            if numbers.before == numbers.label {
                right += 1;
                certificates_of_right += numbers.certificate;
            }
            searched += usize::from(!numbers.wrong_before);
            no_gradient += usize::from(numbers.no_gradient);
            refuted += usize::from(numbers.refuted);
            evaluations += numbers.evaluations;
            gradients += numbers.gradients;
            if numbers.fooled() {
                norms.push(numbers.l2);
                all_norms.push([numbers.l2, numbers.linf, numbers.l1, numbers.l0]);
                found += numbers.norm(norm);
                certificates += numbers.certificate;
                on_target += usize::from(numbers.after == numbers.target);
            }
        }
        let has_target = matches!(
            origin.options.target,
            Target::Random | Target::Nearest | Target::Class(_)
        );
        let certificate = certified.then(|| CertificateSummary {
            mean: mean(certificates_of_right, right),
            ratio: (!norms.is_empty()).then(|| certificates / found),
        });
        let norms_in_figures = NormSummary::of(norm, &all_norms);
        let robust_accuracy = RobustAccuracy::of(&origin.epsilons, &distances);
        Ok(Record {
            origin,
            layout: Some(examples.layout().clone()),
            smallest: None,
            smallest_indices: Vec::new(),
            summary: Summary {
                samples,
                right,
                already_wrong: samples - searched,
                searched,
                fooled: norms.len(),
                answers_target: has_target.then_some(on_target),
                no_gradient,
                refuted,
                distortion: Distortion::of(&norms, length),
                norms: norms_in_figures,
                evaluations_mean: mean(evaluations as f64, searched),
                gradients_mean: mean(gradients as f64, searched),
            },
            eight_bit: EightBitSummary::of(examples)?,
            certificate,
            robust_accuracy,
        })
    }
}

impl EightBitSummary {
    /// The figures of stored examples; None where they hold no 8-bit images.
    fn of(examples: &StoredExamples<'_>) -> Result<Option<EightBitSummary>, JournalError> {
        if !examples.layout().eight_bit {
            return Ok(None);
        }
        let (mut fooled, mut rounded, mut norms) = (0, 0, 0.0);
        for (numbers, as_saved) in examples.numbers()?.zip(examples.eight_bit_numbers()?) {
            let numbers = numbers.map_err(JournalError::Unreadable)?;
            let as_saved = as_saved.map_err(JournalError::Unreadable)?;
            if numbers.eight_bit_success && !numbers.wrong_before {
                fooled += 1;
                rounded += usize::from(numbers.rounded);
                norms += as_saved.l2;
            }
        }
        let root = (examples.layout().input_len() as f64).sqrt();
        Ok(Some(EightBitSummary {
            fooled,
            rounded,
            distortion_mean: mean(norms / root, fooled),
        }))
    }
}

/// The mean of `count` numbers by their sum; None of no number.
fn mean(sum: f64, count: usize) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

/// What a journal of examples says in its header besides: all that its file is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Where the examples come from.
    #[serde(flatten)]
    pub origin: Origin,
    /// What an entry holds.
    pub layout: Layout,
    /// Channels, height and width of an image, as a picture has them.
    pub image_shape: [usize; 3],
}

impl Work for About {
    const KIND: &'static str = "attack";

    fn bytes(&self) -> usize {
        self.layout.bytes()
    }
}

/// Writes the record as JSON.
///
/// # Errors
/// [`FileError`].
pub fn write_record(path: &Path, record: &Record) -> Result<(), FileError> {
    files::write_atomically(path, |writer| {
        serde_json::to_writer_pretty(&mut *writer, record)?;
        writeln!(writer)
    })
}
