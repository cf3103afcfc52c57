//! Certificates as files: arrays for NumPy, and what is said of them besides.

use std::collections::BTreeMap;
use std::path::Path;

use blindspot_data::files::{self, FileError};
use serde::{Deserialize, Serialize};

use super::Certificate;
use crate::npz::Npz;
use crate::preprocess::Preprocess;
use crate::search::SearchOptions;

/// What is said of certificates besides their arrays: the content of the JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
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
    /// The certificates in figures.
    pub summary: Summary,
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
    /// That of certificates with, for each, the norm of the smallest change found (infinite where
    /// none was).
    pub fn of(certificates: &[Certificate], l2: &[f64]) -> Summary {
        let found = || certificates.iter().zip(l2).filter(|(_, l2)| l2.is_finite());
        let count = found().count();
        let mean = |sum: f64| if count > 0 { sum / count as f64 } else { 0.0 };
        let l2_mean = mean(found().map(|(_, l2)| l2).sum());
        let certificate_mean = mean(found().map(|(c, _)| c.distance).sum());
        let products: Option<Vec<f64>> = found().map(|(c, _)| c.lipschitz).collect();
        Summary {
            samples: certificates.len(),
            already_wrong: l2.iter().filter(|l2| **l2 == 0.0).count(),
            found: count,
            certificate_mean,
            lipschitz_mean: products.map(|products| mean(products.iter().sum())),
            l2_mean,
            ratio: (l2_mean > 0.0).then(|| certificate_mean / l2_mean),
        }
    }
}

/// Writes the arrays to `path`, one entry a certificate: index (that of `places`), label (i64),
/// certificate, l2 (of the smallest change found, infinite where none was) and lipschitz (NaN where it
/// is not known) (f64).
///
/// # Errors
/// [`FileError`].
pub fn write_certificates(
    path: &Path,
    certificates: &[Certificate],
    places: &[usize],
    l2: &[f64],
) -> Result<(), FileError> {
    files::write_atomically(path, |sink| {
        let mut npz = Npz::new(sink);
        let count = [certificates.len() as u64];
        let mut numbers = |name, number: fn(&Certificate) -> f64| {
            let numbers = certificates.iter().map(|c| Ok(number(c)));
            npz.add(name, &count, numbers)
        };
        numbers("certificate", |c| c.distance)?;
        numbers("lipschitz", |c| c.lipschitz.unwrap_or(f64::NAN))?;
        npz.add("l2", &count, l2.iter().map(|&l2| Ok(l2)))?;
        let labels = certificates.iter().map(|c| Ok(c.label as i64));
        npz.add("label", &count, labels)?;
        let indices = places.iter().map(|&place| Ok(place as i64));
        npz.add("index", &count, indices)?;
        npz.finish()
    })
}
