//! A set of examples as files: arrays for NumPy, and JSON for what is not an array; before that, as
//! the entries of a journal.

mod arrays;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use blindspot_data::files::{self, FileError};
use serde::{Deserialize, Serialize};

use crate::search::SearchOptions;
use crate::transfer::Distortion;
pub use arrays::{write_arrays, write_stored};
use blindspot_model::preprocess::Preprocess;
use blindspot_run::journal::{JournalError, Work};
pub use stored::{Layout, StoredExamples};

/// Where a set of examples comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// What was searched for.
    pub options: SearchOptions,
    /// What was put between image and network.
    #[serde(default)]
    pub preprocess: Preprocess,
    /// The image set, as it was named.
    pub data: String,
    /// SHA-256 of each data file (unpacked), by name.
    pub data_sha256: BTreeMap<String, String>,
    /// SHA-256 of the files of a mask and of ranges, by option, where they were given.
    #[serde(default)]
    pub ranges_sha256: BTreeMap<String, String>,
    /// SHA-256 of the model's file.
    pub model_sha256: String,
    /// Versions of the program, by name.
    pub versions: BTreeMap<String, String>,
}

/// What is said of a set of examples besides its arrays: the content of the JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Where they come from.
    #[serde(flatten)]
    pub origin: Origin,
    /// The examples in figures.
    pub summary: Summary,
    /// The same of the images as 8-bit files hold them, where they were saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eight_bit: Option<EightBitSummary>,
    /// The certificates, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateSummary>,
}

/// Certificates in figures: L2 distances below which no change of the label is possible.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CertificateSummary {
    /// Their mean over the images for which a change was found, those already wrong included.
    pub mean: f64,
    /// That mean over the mean L2 norm of these changes: at most 1; None where it would be 0 / 0.
    pub ratio: Option<f64>,
}

/// Examples as 8-bit files hold them, in figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EightBitSummary {
    /// Images for which the network ends wrong in the way asked for.
    pub successes: usize,
    /// Of these, those for which rounding was enough; the others were searched for again.
    pub rounded: usize,
    /// Mean of the distortions.
    pub distortion_mean: f64,
}

/// A set of examples in figures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Images.
    pub samples: usize,
    /// Of these, images that the network gets wrong as they are: distortion 0.
    pub already_wrong: usize,
    /// Images for which the network ends wrong in the way asked for, those already wrong included.
    pub successes: usize,
    /// Images of which nothing is known: nothing was found, and the network had no gradient there.
    #[serde(default)]
    pub no_gradient: usize,
    /// The change of all images: those already wrong, or not changed for want of success, count 0.
    pub distortion: Distortion,
    /// Evaluations of the network for each image searched from, on average.
    pub evaluations_mean: f64,
    /// Gradients that the search used for each image searched from, on average.
    pub gradients_mean: f64,
}

impl Record {
    /// What is said of stored examples from `origin`.
    ///
    /// # Errors
    /// [`JournalError`] where they can't be read.
    pub fn of(origin: Origin, examples: &StoredExamples<'_>) -> Result<Record, JournalError> {
        let length = examples.layout().input_len();
        let (mut already_wrong, mut successes, mut no_gradient) = (0, 0, 0);
        let (mut evaluations, mut gradients) = (0, 0);
        let mut eight_bit = EightBitSummary {
            successes: 0,
            rounded: 0,
            distortion_mean: 0.0,
        };
        let mut norms = Vec::with_capacity(examples.len());
        let (mut certified, mut found) = (0.0, 0.0);
        for numbers in examples.numbers()? {
            let numbers = numbers.map_err(JournalError::Unreadable)?;
            already_wrong += usize::from(numbers.wrong_before);
            successes += usize::from(numbers.success);
            no_gradient += usize::from(numbers.no_gradient);
            evaluations += numbers.evaluations;
            gradients += numbers.gradients;
            norms.push(numbers.l2);
            if numbers.success {
                certified += numbers.certificate;
                found += numbers.l2;
            }
            eight_bit.successes += usize::from(numbers.eight_bit_success);
            eight_bit.rounded += usize::from(numbers.rounded);
        }
        let samples = norms.len();
        if examples.layout().eight_bit {
            let mut sum = 0.0;
            for numbers in examples.eight_bit_numbers()? {
                sum += numbers.map_err(JournalError::Unreadable)?.l2;
            }
            eight_bit.distortion_mean = sum / (length as f64).sqrt() / samples.max(1) as f64;
        }
        let searched = (samples - already_wrong).max(1) as f64;
        Ok(Record {
            origin,
            summary: Summary {
                samples,
                already_wrong,
                successes,
                no_gradient,
                distortion: Distortion::of(&norms, length),
                evaluations_mean: evaluations as f64 / searched,
                gradients_mean: gradients as f64 / searched,
            },
            eight_bit: examples.layout().eight_bit.then_some(eight_bit),
            certificate: examples.layout().certificate.then(|| CertificateSummary {
                mean: certified / successes.max(1) as f64,
                ratio: (found > 0.0).then(|| certified / found),
            }),
        })
    }
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
    /// Which images of the set were chosen, by a hash of their places.
    pub chosen: String,
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
