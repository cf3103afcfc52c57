//! A universal perturbation as files: arrays for NumPy, and a record as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use blindspot_data::ImageSet;
use blindspot_data::files::{self, FileError};
use blindspot_data::numpy::NpzWriter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Ended, FoolingShare, UniversalOptions, UniversalPerturbation, Verdict};
use crate::provenance::{Provenance, selection_sha256};
use crate::transfer::ModelFile;

/// The images that a perturbation is judged on, and was not found on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HeldOut {
    /// Whether they are a part of the images asked for, which the seed has chosen; else they are another set.
    pub split: bool,
    /// The image set, as it was named.
    pub data: String,
    /// SHA-256 of each data file (unpacked), by name.
    pub data_sha256: BTreeMap<String, String>,
    /// SHA-256 of their places in the set, each a u64, little-endian, in their order.
    pub selection_sha256: String,
}

impl HeldOut {
    /// Of images that are named `data`.
    pub fn of(images: &ImageSet, data: &str, split: bool) -> HeldOut {
        HeldOut {
            split,
            data: data.to_owned(),
            data_sha256: images.hashes().iter().cloned().collect(),
            selection_sha256: selection_sha256(images.indices()),
        }
    }
}

/// Where a universal perturbation comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// What was searched for.
    #[schemars(with = "crate::schema::UniversalOptions")]
    pub options: UniversalOptions,
    /// Model, images that it was found on, and program.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The images that it was judged on besides.
    pub held_out: HeldOut,
    /// Other models that it was judged by.
    pub models: Vec<ModelFile>,
}

/// What a model answers to the perturbed images, in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shares {
    /// The model's name.
    pub file: String,
    /// Of the images that the perturbation was found on; None where the model gets none of them right.
    pub training: Option<FoolingShare>,
    /// Of the images held out; None where the model gets none of them right.
    pub held_out: Option<FoolingShare>,
}

/// A universal perturbation in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Its norm, in the one of the options.
    pub norm: f64,
    /// Whether it fools the share asked for of the images that it was found on; true where none was.
    pub reached: bool,
    /// Why the search ended.
    pub ended: Ended,
    /// Evaluations for each of these images.
    pub evaluations_mean: f64,
    /// Gradients for each of these images.
    pub gradients_mean: f64,
    /// What it does to the model that it was found on, then to the others.
    pub shares: Vec<Shares>,
}

impl Summary {
    /// Of a perturbation and what models answer.
    pub fn of(found: &UniversalPerturbation, shares: Vec<Shares>) -> Summary {
        Summary {
            norm: found.norm,
            reached: found.reached,
            ended: found.ended,
            evaluations_mean: found.evaluations,
            gradients_mean: found.gradients,
            shares,
        }
    }
}

/// The content of the JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Where the perturbation comes from.
    #[serde(flatten)]
    pub about: About,
    /// What it is and does.
    pub summary: Summary,
}

/// Writes the arrays to `path`: `delta` (f32, of the axes `shape`); and for each image judged, those that it was found
/// on first, `index`, `label`, `prediction_before`, `prediction_after` (i64), `set` (u8: 0 where it was found on it, 1
/// held out) and `fooled` (bool).
///
/// # Errors
/// [`FileError`] if the file can't be written.
pub fn write_universal(
    path: &Path,
    found: &UniversalPerturbation,
    shape: &[usize],
    [training, held_out]: [&[Verdict]; 2],
) -> Result<(), FileError> {
    files::write_atomically(path, |sink| {
        let mut npz = NpzWriter::new(sink);
        let axes: Vec<u64> = shape.iter().map(|&axis| axis as u64).collect();
        npz.add("delta", &axes, found.delta.iter().map(|&d| Ok(d)))?;
        let all = || training.iter().chain(held_out);
        let count = [(training.len() + held_out.len()) as u64];
        npz.add("index", &count, all().map(|v| Ok(v.index as i64)))?;
        npz.add("label", &count, all().map(|v| Ok(v.label as i64)))?;
        let before = all().map(|v| Ok(v.before as i64));
        npz.add("prediction_before", &count, before)?;
        let after = all().map(|v| Ok(v.after as i64));
        npz.add("prediction_after", &count, after)?;
        let sets = (0..count[0]).map(|at| Ok(u8::from(at >= training.len() as u64)));
        npz.add("set", &count, sets)?;
        let target = found.options.class();
        npz.add("fooled", &count, all().map(|v| Ok(v.fooled(target))))?;
        npz.finish()
    })
}

/// Writes the record as JSON.
///
/// # Errors
/// [`FileError`] if the file can't be written.
pub fn write_record(path: &Path, record: &Record) -> Result<(), FileError> {
    files::write_atomically(path, |writer| {
        serde_json::to_writer_pretty(&mut *writer, record)?;
        writeln!(writer)
    })
}
