//! A set of examples as files: arrays for NumPy, and JSON for what is not an array.

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::path::Path;

use blindspot_data::files::{self, FileError};
use npyz::WriterBuilder;
use npyz::npz::NpzWriter;
use serde::{Deserialize, Serialize};

use crate::preprocess::Preprocess;
use crate::search::{EightBit, Example, SearchOptions};
use crate::transfer::Distortion;

/// What is said of a set of examples besides its arrays: the content of the JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
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
    /// The examples in figures.
    pub summary: Summary,
    /// The same of the images as 8-bit files hold them, where they were saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eight_bit: Option<EightBitSummary>,
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

impl EightBitSummary {
    /// That of a set of images.
    pub fn of(images: &[EightBit]) -> EightBitSummary {
        let sum: f64 = images.iter().map(EightBit::distortion).sum();
        EightBitSummary {
            successes: images.iter().filter(|image| image.success).count(),
            rounded: images.iter().filter(|image| image.rounded).count(),
            distortion_mean: sum / images.len().max(1) as f64,
        }
    }
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
    /// The change of all images: those already wrong, or not changed for want of success, count 0.
    pub distortion: Distortion,
    /// Evaluations of the network for each image searched from, on average.
    pub evaluations_mean: f64,
    /// Gradients that the search used for each image searched from, on average.
    pub gradients_mean: f64,
}

impl Summary {
    /// That of a set of examples.
    pub fn of(examples: &[Example]) -> Summary {
        let already_wrong = examples
            .iter()
            .filter(|example| example.already_wrong())
            .count();
        let evaluations: u64 = examples.iter().map(|example| example.evaluations).sum();
        let gradients: u64 = examples.iter().map(|example| example.gradients).sum();
        let searched = examples.len() - already_wrong;
        Summary {
            samples: examples.len(),
            already_wrong,
            successes: examples.iter().filter(|example| example.success).count(),
            distortion: Distortion::of_examples(examples),
            evaluations_mean: evaluations as f64 / searched.max(1) as f64,
            gradients_mean: gradients as f64 / searched.max(1) as f64,
        }
    }
}

/// Writes the arrays to `path`, one entry an example: index, label, target, prediction_before,
/// prediction_after, evaluations, gradients (i64), success (bool), original, adversarial (f32, each of the
/// shape `shape`), l2, distortion, kkt (f64). `originals` are the original images, one after the other.
/// Of their images in 8 bits, where there are some: prediction_8bit (i64), success_8bit (bool), l2_8bit
/// (f64), and adversarial_8bit (u8, 255 standing for 1).
///
/// # Errors
/// [`FileError`].
pub fn write_arrays(
    path: &Path,
    examples: &[Example],
    originals: &[f32],
    eight_bit: Option<&[EightBit]>,
    shape: &[usize],
) -> Result<(), FileError> {
    files::write_atomically(path, |writer| {
        // The archive's table needs a writer that can seek.
        let mut archive = NpzWriter::new(Cursor::new(Vec::new()));
        let count = [examples.len() as u64];
        let mut integers = |name, value: fn(&Example) -> usize| {
            let values = examples.iter().map(|example| value(example) as i64);
            array(&mut archive, name, &count, values)
        };
        integers("index", |example| example.index)?;
        integers("label", |example| example.label)?;
        integers("target", |example| example.target)?;
        integers("prediction_before", |example| example.before)?;
        integers("prediction_after", |example| example.after)?;
        integers("evaluations", |example| example.evaluations as usize)?;
        integers("gradients", |example| example.gradients as usize)?;
        array(
            &mut archive,
            "success",
            &count,
            examples.iter().map(|example| example.success),
        )?;
        array(
            &mut archive,
            "l2",
            &count,
            examples.iter().map(|example| example.l2),
        )?;
        array(
            &mut archive,
            "distortion",
            &count,
            examples.iter().map(Example::distortion),
        )?;
        array(
            &mut archive,
            "kkt",
            &count,
            examples.iter().map(|example| example.kkt),
        )?;
        let images: Vec<u64> = count
            .into_iter()
            .chain(shape.iter().map(|&size| size as u64))
            .collect();
        array(&mut archive, "original", &images, originals.iter().copied())?;
        let adversarial = examples
            .iter()
            .flat_map(|example| &example.adversarial)
            .copied();
        array(&mut archive, "adversarial", &images, adversarial)?;
        if let Some(eight) = eight_bit {
            let answers = eight.iter().map(|image| image.after as i64);
            array(&mut archive, "prediction_8bit", &count, answers)?;
            let successes = eight.iter().map(|image| image.success);
            array(&mut archive, "success_8bit", &count, successes)?;
            let norms = eight.iter().map(|image| image.l2);
            array(&mut archive, "l2_8bit", &count, norms)?;
            let levels = eight.iter().flat_map(|image| image.levels.iter().copied());
            array(&mut archive, "adversarial_8bit", &images, levels)?;
        }
        let bytes = archive
            .zip_writer()
            .finish()
            .map_err(io::Error::other)?
            .into_inner();
        writer.write_all(&bytes)
    })
}

/// Adds one array.
pub(crate) fn array<T: npyz::AutoSerialize>(
    archive: &mut NpzWriter<Cursor<Vec<u8>>>,
    name: &str,
    shape: &[u64],
    values: impl Iterator<Item = T>,
) -> io::Result<()> {
    // As NumPy's own `savez`: images hardly shrink, and deflating them takes longer than the search.
    let options = npyz::zip::write::FileOptions::default()
        .compression_method(npyz::zip::CompressionMethod::Stored)
        // The clock has no place in a file that the same seed must give again.
        .last_modified_time(npyz::zip::DateTime::default());
    let mut writer = archive
        .array(name, options)?
        .default_dtype()
        .shape(shape)
        .begin_nd()?;
    writer.extend(values)?;
    writer.finish()
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
