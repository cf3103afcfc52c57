//! Certificates as files: arrays for NumPy, and what is said of them besides; before that, as the entries of
//! a journal.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use blindspot_data::files::{self, FileError};
use serde::{Deserialize, Serialize};

use super::Certificate;
use crate::npz::Npz;
use crate::preprocess::Preprocess;
use crate::run::journal::{Entries, JournalError, Work, take};
use crate::search::SearchOptions;

/// Where certificates come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// How the smallest change was searched for; its box is that of the certificates.
    pub options: SearchOptions,
    /// What was put between image and network.
    pub preprocess: Preprocess,
    /// The image set, as it was named.
    pub data: String,
    /// SHA-256 of each data file (unpacked), by name.
    pub data_sha256: BTreeMap<String, String>,
    /// SHA-256 of the model's file.
    pub model_sha256: String,
    /// Versions of the program, by name.
    pub versions: BTreeMap<String, String>,
    /// Seconds that there were to raise the certificates in, where a limit was given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_limit: Option<f64>,
    /// What the certificates rest on less than they could, in words.
    pub limits: Vec<String>,
}

/// What is said of certificates besides their arrays: the content of the JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Where they come from.
    #[serde(flatten)]
    pub origin: Origin,
    /// The certificates in figures.
    pub summary: Summary,
}

/// What a journal of certificates says in its header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Where they come from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Which images of the set were chosen, by a hash of their places.
    pub chosen: String,
}

impl Work for About {
    const KIND: &'static str = "certify";

    fn bytes(&self) -> usize {
        Bracket::BYTES
    }
}

/// Where the answer to an image changes: beyond its certificate, at the smallest change found the latest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bracket {
    /// The distance below which it does not.
    pub certificate: Certificate,
    /// L2 norm of the smallest change found; infinite where none was.
    pub l2: f64,
}

impl Bracket {
    /// Bytes of the content of an entry.
    const BYTES: usize = 40;

    /// It as the content of a journal's entry.
    pub fn content(&self) -> Vec<u8> {
        let certificate = &self.certificate;
        let lipschitz = certificate.lipschitz.unwrap_or(f64::NAN);
        let mut content = Vec::with_capacity(Bracket::BYTES);
        content.extend((certificate.index as u64).to_le_bytes());
        content.extend((certificate.label as u64).to_le_bytes());
        for number in [certificate.distance, lipschitz, self.l2] {
            content.extend(number.to_le_bytes());
        }
        content
    }

    fn of_content(position: usize, mut content: &[u8]) -> Bracket {
        let rest = &mut content;
        let certificate = Certificate {
            position,
            index: u64::from_le_bytes(take(rest)) as usize,
            label: u64::from_le_bytes(take(rest)) as usize,
            distance: f64::from_le_bytes(take(rest)),
            lipschitz: Some(f64::from_le_bytes(take(rest))).filter(|bound| !bound.is_nan()),
        };
        Bracket {
            certificate,
            l2: f64::from_le_bytes(take(rest)),
        }
    }

    /// Those that journals hold, in the order of the images.
    ///
    /// # Errors
    /// [`JournalError`] where they hold something else, or can't be read.
    pub fn stored(entries: &Entries) -> Result<Vec<Bracket>, JournalError> {
        About::of(entries)?;
        let contents = entries.bytes(0..Bracket::BYTES)?;
        let brackets = entries.positions().zip(contents);
        let brackets =
            brackets.map(|(position, content)| Ok(Bracket::of_content(position, &content?)));
        let brackets: io::Result<Vec<Bracket>> = brackets.collect();
        brackets.map_err(JournalError::unreadable)
    }
}

/// Certificates in figures. Norms are L2.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Images.
    pub samples: usize,
    /// Of these, images that the network gets wrong as they are: both norms are 0.
    pub already_wrong: usize,
    /// Images for which a change was found, those already wrong included. The means are over them.
    pub found: usize,
    /// The mean certificate.
    pub certificate_mean: f64,
    /// The mean certificate by the product of the layers' bounds, where it is known.
    pub lipschitz_mean: Option<f64>,
    /// The mean norm of the smallest change found.
    pub l2_mean: f64,
    /// The mean certificate over the mean norm; None where no image has to be changed.
    pub ratio: Option<f64>,
}

impl Summary {
    /// That of some images.
    pub fn of(brackets: &[Bracket]) -> Summary {
        let found = || brackets.iter().filter(|bracket| bracket.l2.is_finite());
        let count = found().count();
        let mean = |sum: f64| if count > 0 { sum / count as f64 } else { 0.0 };
        let l2_mean = mean(found().map(|bracket| bracket.l2).sum());
        let certificate_mean = mean(found().map(|b| b.certificate.distance).sum());
        let products: Option<Vec<f64>> = found().map(|b| b.certificate.lipschitz).collect();
        Summary {
            samples: brackets.len(),
            already_wrong: brackets.iter().filter(|bracket| bracket.l2 == 0.0).count(),
            found: count,
            certificate_mean,
            lipschitz_mean: products.map(|products| mean(products.iter().sum())),
            l2_mean,
            ratio: (l2_mean > 0.0).then(|| certificate_mean / l2_mean),
        }
    }
}

/// Writes the arrays to `path`, one entry an image: index, label (i64), certificate, l2 (of the smallest
/// change found, infinite where none was) and lipschitz (NaN where it is not known) (f64).
///
/// # Errors
/// [`FileError`].
pub fn write_certificates(path: &Path, brackets: &[Bracket]) -> Result<(), FileError> {
    files::write_atomically(path, |sink| {
        let mut npz = Npz::new(sink);
        let count = [brackets.len() as u64];
        let mut numbers = |name, number: fn(&Bracket) -> f64| {
            let numbers = brackets.iter().map(|bracket| Ok(number(bracket)));
            npz.add(name, &count, numbers)
        };
        numbers("certificate", |b| b.certificate.distance)?;
        numbers("lipschitz", |b| b.certificate.lipschitz.unwrap_or(f64::NAN))?;
        numbers("l2", |b| b.l2)?;
        let labels = brackets.iter().map(|b| Ok(b.certificate.label as i64));
        npz.add("label", &count, labels)?;
        let indices = brackets.iter().map(|b| Ok(b.certificate.index as i64));
        npz.add("index", &count, indices)?;
        npz.finish()
    })
}
