//! The errors of any networks on any saved examples, as in tables 2 and 4.

use blindspot_net::Network;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::saved::{Block, SavedError, SavedExamples};
use super::{Distortion, add_noise, scale};
use crate::inputs::InMemory;
use crate::monitor::Monitor;
use crate::search::norm;
use crate::train::predictions;

/// What is done to the changes before the networks see them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Nothing.
    Plain,
    /// Each change times this factor; what comes out can leave the box.
    Factor(f64),
    /// All changes by one factor, which brings the file's mean distortion to this.
    Distortion(f64),
    /// Gaussian noise of this standard deviation in place of the change, not cut to the box.
    Noise(f64),
}

/// The part of a set of images that a network gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Images that it gets wrong.
    pub wrong: u64,
    /// Images.
    pub images: u64,
    /// Their fraction, in [0, 1].
    pub error: f64,
    /// Where the fraction can lie with 95% confidence: from here (Wilson 1927) ...
    pub low: f64,
    /// ... to here.
    pub high: f64,
}

impl Rate {
    /// The rate of `wrong` in `images`, and its interval.
    pub fn of(wrong: u64, images: u64) -> Rate {
        let (count, z) = (images.max(1) as f64, 1.959_963_984_540_054f64);
        let error = wrong as f64 / count;
        let middle = error + z * z / (2.0 * count);
        let spread = z * (error * (1.0 - error) / count + z * z / (4.0 * count * count)).sqrt();
        let whole = 1.0 + z * z / count;
        Rate {
            wrong,
            images,
            error,
            low: ((middle - spread) / whole).max(0.0),
            high: ((middle + spread) / whole).min(1.0),
        }
    }
}

/// Rows of examples, columns of networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// The examples' names, with what was done to them.
    pub rows: Vec<String>,
    /// The networks' names.
    pub columns: Vec<String>,
    /// `rates[row][column]`.
    pub rates: Vec<Vec<Rate>>,
    /// How far each row's images are from the originals.
    pub distortion: Vec<Distortion>,
}

/// The errors of the networks on the examples of each file, by name, in each variant. The same
/// seed gives the same noise. A file is read block after block, once for each variant (twice where
/// its mean distortion is needed first). Where the monitor cancels the work, the rows done are given.
///
/// # Errors
/// [`SavedError`].
pub fn matrix(
    files: &[(String, SavedExamples)],
    networks: &[(String, Network<f32>)],
    variants: &[Variant],
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<Matrix, SavedError> {
    for (_, file) in files {
        for (model, network) in networks {
            if network.input_len() != file.image_len() {
                return Err(SavedError::Size {
                    path: file.path().to_owned(),
                    image: file.image_len(),
                    model: model.clone(),
                    network: network.input_len(),
                });
            }
        }
    }
    let mut matrix = Matrix {
        rows: Vec::new(),
        columns: networks.iter().map(|(name, _)| name.clone()).collect(),
        rates: Vec::new(),
        distortion: Vec::new(),
    };
    let images: usize = files.iter().map(|(_, file)| file.count()).sum();
    monitor.begin("transfer", (images * variants.len()) as u64);
    let mut done = 0;
    for (name, file) in files {
        for &variant in variants {
            let factor = match variant {
                Variant::Factor(factor) => factor,
                Variant::Distortion(wanted) => factor_for(file, wanted)?,
                _ => 1.0,
            };
            let mut wrong = vec![0u64; networks.len()];
            let mut norms = Vec::with_capacity(file.count().min(1 << 20));
            file.blocks(|block| {
                for (model, network) in networks {
                    let classes = network.output_len();
                    if let Some(&label) = block.labels.iter().find(|&&label| label >= classes) {
                        return Err(SavedError::Label {
                            path: file.path().to_owned(),
                            label,
                            model: model.clone(),
                            classes,
                        });
                    }
                }
                let changed = change(block, file.image_len(), variant, factor, seed, &mut norms);
                let counts = networks.par_iter().zip(&mut wrong);
                counts.for_each(|((_, network), wrong)| {
                    let answers = predictions(network, &changed);
                    let pairs = answers.iter().zip(&block.labels);
                    *wrong += pairs.filter(|(answer, label)| answer != label).count() as u64;
                });
                done += block.labels.len() as u64;
                monitor.progress(done, name);
                Ok(!monitor.cancelled())
            })?;
            if monitor.cancelled() {
                monitor.end();
                return Ok(matrix);
            }
            let count = file.count() as u64;
            matrix.rows.push(match variant {
                Variant::Plain => name.clone(),
                Variant::Factor(factor) => format!("{name} times {factor}"),
                Variant::Distortion(wanted) => format!("{name} x{wanted}"),
                Variant::Noise(deviation) => format!("{name}: noise {deviation}"),
            });
            matrix
                .rates
                .push(wrong.iter().map(|&wrong| Rate::of(wrong, count)).collect());
            matrix
                .distortion
                .push(Distortion::of(&norms, file.image_len()));
        }
    }
    monitor.end();
    Ok(matrix)
}

/// The factor that brings the mean distortion of a file's examples to `wanted`.
fn factor_for(file: &SavedExamples, wanted: f64) -> Result<f64, SavedError> {
    let mut norms = Vec::new();
    file.blocks(|block| {
        let length = file.image_len();
        let originals = block.originals.chunks_exact(length);
        let pairs = originals.zip(block.adversarial.chunks_exact(length));
        norms.extend(pairs.map(|(original, changed)| norm(original, changed)));
        Ok(true)
    })?;
    let mean = Distortion::of(&norms, file.image_len()).mean;
    Ok(if mean > 0.0 { wanted / mean } else { 1.0 })
}

/// The images of a block as the networks see them; their changes' norms are added to `norms`.
fn change(
    block: &Block,
    length: usize,
    variant: Variant,
    factor: f64,
    seed: u64,
    norms: &mut Vec<f64>,
) -> InMemory {
    let mut changed = block.adversarial.clone();
    let originals = block.originals.chunks_exact(length);
    for (i, (image, original)) in changed.chunks_exact_mut(length).zip(originals).enumerate() {
        match variant {
            Variant::Plain => {}
            Variant::Factor(_) | Variant::Distortion(_) => scale(original, image, factor),
            Variant::Noise(deviation) => {
                image.copy_from_slice(original);
                add_noise(image, deviation, seed, block.first + i);
            }
        }
        norms.push(norm(original, image));
    }
    InMemory::new(changed, length)
}
