//! Certificates as files: the entries of a journal, arrays for NumPy, and a record as JSON.

use std::io;
use std::path::Path;

use blindspot_data::files::{self, FileError};
use blindspot_data::numpy::NpzWriter;
use blindspot_run::journal::{Entries, JournalError, Work, take};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Arithmetic, Certificate};
use crate::provenance::Provenance;
use crate::search::{Norm, SearchOptions};

/// Where certificates come from: what the header of their journal says, and the JSON file beside the arrays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// How the smallest perturbation was searched for; the certificates hold in the same norm and input box.
    #[schemars(with = "crate::schema::SearchOptions")]
    pub options: SearchOptions,
    /// Model, images and program.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The time limit for the certificates, in seconds; None if there was none.
    #[serde(default)]
    pub time_limit: Option<f64>,
    /// The arithmetic in which the certificates hold.
    #[serde(default)]
    #[schemars(with = "crate::schema::Arithmetic")]
    pub arithmetic: Arithmetic,
    /// Bounds that could not be used and why, a phrase each; empty if nothing was missing.
    pub limits: Vec<String>,
}

/// The content of the JSON file beside the arrays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Where the certificates come from.
    #[serde(flatten)]
    pub about: About,
    /// Statistics of the certificates.
    pub summary: Summary,
}

impl Work for About {
    const KIND: &'static str = "certify";

    fn bytes(&self) -> usize {
        Bracket::BYTES
    }
}

/// A bracket of the distance at which the answer to an image changes, in the norm of
/// [`About::options`]: no less than the certificate's radius, and no more than the norm of the
/// smallest perturbation found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bracket {
    /// The lower end.
    pub certificate: Certificate,
    /// The upper end: the norm of the smallest perturbation found; infinite if none was found.
    pub found: f64,
}

impl Bracket {
    /// The length of a journal's entry in bytes.
    const BYTES: usize = 40;

    /// Encodes the bracket as a journal's entry: index and label as u64, then radius, Lipschitz
    /// radius (NaN if it is not known) and the smallest perturbation's norm as f64, all
    /// little-endian.
    pub fn encode(&self) -> Vec<u8> {
        let certificate = &self.certificate;
        let lipschitz = certificate.lipschitz.unwrap_or(f64::NAN);
        let mut content = Vec::with_capacity(Bracket::BYTES);
        content.extend((certificate.index as u64).to_le_bytes());
        content.extend((certificate.label as u64).to_le_bytes());
        for number in [certificate.radius, lipschitz, self.found] {
            content.extend(number.to_le_bytes());
        }
        content
    }

    fn decode(position: usize, mut content: &[u8]) -> Bracket {
        let rest = &mut content;
        let certificate = Certificate {
            position,
            index: u64::from_le_bytes(take(rest)) as usize,
            label: u64::from_le_bytes(take(rest)) as usize,
            radius: f64::from_le_bytes(take(rest)),
            lipschitz: Some(f64::from_le_bytes(take(rest))).filter(|bound| !bound.is_nan()),
        };
        Bracket {
            certificate,
            found: f64::from_le_bytes(take(rest)),
        }
    }

    /// Reads the brackets that journals hold, in the order of the images.
    ///
    /// # Errors
    /// [`JournalError`] if the journals are not of certificates, or can't be read.
    pub fn read_all(entries: &Entries) -> Result<Vec<Bracket>, JournalError> {
        About::of(entries)?;
        let contents = entries.bytes(0..Bracket::BYTES)?;
        let brackets = entries.positions().zip(contents);
        let brackets = brackets.map(|(position, content)| Ok(Bracket::decode(position, &content?)));
        let brackets: io::Result<Vec<Bracket>> = brackets.collect();
        brackets.map_err(JournalError::Unreadable)
    }
}

/// Statistics of certificates. No mean has the images that are misclassified without a perturbation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// The number of images.
    pub samples: usize,
    /// Images that the network gets right without a perturbation; of all, the clean accuracy.
    pub right: usize,
    /// Images that the network misclassifies without a perturbation.
    #[serde(rename = "already_wrong")]
    pub already_misclassified: usize,
    /// Of those right, images for which a perturbation was found.
    pub found: usize,
    /// The mean certified radius of the images that are right; None if there are none.
    pub certificate_mean: Option<f64>,
    /// The mean radius of the images that are right that the product of the layers' bounds certifies;
    /// None if there are none, or it is not known for all.
    pub lipschitz_mean: Option<f64>,
    /// The mean norm of the perturbations found; None if there are none.
    pub found_mean: Option<f64>,
    /// The mean certified radius of the images for which a perturbation was found, divided by the mean
    /// norm of these perturbations; None if there are none.
    pub ratio: Option<f64>,
}

impl Summary {
    /// Summarises brackets.
    pub fn of(brackets: &[Bracket]) -> Summary {
        // Only an image that is misclassified already has a perturbation of norm 0.
        let right = || brackets.iter().filter(|bracket| bracket.found > 0.0);
        let found = || right().filter(|bracket| bracket.found.is_finite());
        let mean = |numbers: Vec<f64>| {
            (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
        };
        let products: Option<Vec<f64>> = right().map(|b| b.certificate.lipschitz).collect();
        let found_mean = mean(found().map(|bracket| bracket.found).collect());
        let certified = mean(found().map(|b| b.certificate.radius).collect());
        let right_count = right().count();
        Summary {
            samples: brackets.len(),
            right: right_count,
            already_misclassified: brackets.len() - right_count,
            found: found().count(),
            certificate_mean: mean(right().map(|b| b.certificate.radius).collect()),
            lipschitz_mean: products.and_then(mean),
            found_mean,
            ratio: certified
                .zip(found_mean)
                .map(|(radius, found)| radius / found),
        }
    }
}

/// Writes the arrays as an npz file, with one entry for each image: `index` and `label` (i64);
/// `certificate`, the certified radius; by the name of the norm, that of the smallest perturbation
/// found (infinite if none was); `lipschitz`, the radius by the product of the layers' bounds (NaN if it is not
/// known) (f64).
///
/// # Errors
/// [`FileError`] if the file can't be written.
pub fn write_certificates(path: &Path, brackets: &[Bracket], norm: Norm) -> Result<(), FileError> {
    files::write_atomically(path, |sink| {
        let mut npz = NpzWriter::new(sink);
        let count = [brackets.len() as u64];
        let norm = norm.to_string();
        let mut numbers = |name: &str, number: fn(&Bracket) -> f64| {
            let numbers = brackets.iter().map(|bracket| Ok(number(bracket)));
            npz.add(name, &count, numbers)
        };
        numbers("certificate", |b| b.certificate.radius)?;
        numbers("lipschitz", |b| b.certificate.lipschitz.unwrap_or(f64::NAN))?;
        numbers(&norm, |b| b.found)?;
        let labels = brackets.iter().map(|b| Ok(b.certificate.label as i64));
        npz.add("label", &count, labels)?;
        let indices = brackets.iter().map(|b| Ok(b.certificate.index as i64));
        npz.add("index", &count, indices)?;
        npz.finish()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bracket((radius, found): (f64, f64)) -> Bracket {
        Bracket {
            certificate: Certificate {
                position: 0,
                index: 0,
                label: 0,
                radius,
                lipschitz: Some(radius / 2.0),
            },
            found,
        }
    }

    #[test]
    fn certificates_without_a_perturbation_count_and_images_already_wrong_do_not() {
        let of = |brackets: &[(f64, f64)]| {
            Summary::of(&brackets.iter().copied().map(bracket).collect::<Vec<_>>())
        };
        let summary = of(&[(0.0, 0.0), (1.0, 4.0), (5.0, f64::INFINITY)]);
        assert_eq!((summary.samples, summary.right, summary.found), (3, 2, 1));
        assert_eq!(summary.already_misclassified, 1);
        assert_eq!(summary.certificate_mean, Some(3.0));
        assert_eq!(summary.lipschitz_mean, Some(1.5));
        assert_eq!((summary.found_mean, summary.ratio), (Some(4.0), Some(0.25)));
        // Nothing found; nothing right; nothing at all.
        let everywhere = of(&[(5.0, f64::INFINITY); 2]);
        assert_eq!(everywhere.certificate_mean, Some(5.0));
        assert_eq!((everywhere.found_mean, everywhere.ratio), (None, None));
        for brackets in [&[(0.0, 0.0); 2][..], &[]] {
            let summary = of(brackets);
            assert_eq!(
                (summary.certificate_mean, summary.lipschitz_mean),
                (None, None)
            );
            assert_eq!((summary.found_mean, summary.ratio), (None, None));
        }
    }
}
