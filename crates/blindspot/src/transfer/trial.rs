//! What networks answer to saved examples, and to what can be made of them.

use std::collections::BTreeMap;
use std::ops::Range;

use blindspot_net::Network;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::saved::{Block, SavedError, SavedExamples};
use super::{Distortion, add_noise, scale};
use crate::classify::predictions;
use crate::inputs::InMemory;
use crate::preprocess::Preprocess;
use crate::run::journal::Work;
use crate::run::monitor::Monitor;
use crate::search::norm;

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

/// A file of examples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExampleSet {
    /// What it is called.
    pub name: String,
    /// How many examples it has.
    pub count: usize,
    /// Values of an image.
    pub image_len: usize,
}

/// A model, and the hash of its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFile {
    /// What it is called.
    pub file: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// What happens to an image before its network sees it; not written if that is nothing.
    #[serde(default, skip_serializing_if = "Preprocess::is_identity")]
    pub preprocess: Preprocess,
}

/// Which networks answer to which examples: what a journal says in its header, and transfer.json besides
/// the matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// What is done to each example.
    pub variants: Vec<Variant>,
    /// Where the noise comes from.
    pub seed: u64,
    /// The networks.
    pub models: Vec<ModelFile>,
    /// Versions of the program, by name.
    pub versions: BTreeMap<String, String>,
    /// The examples.
    pub examples: Vec<ExampleSet>,
    /// SHA-256 of the files of examples, by name.
    pub examples_sha256: BTreeMap<String, String>,
}

impl Work for About {
    const KIND: &'static str = "transfer";

    fn bytes(&self) -> usize {
        content_len(self.variants.len(), self.models.len())
    }
}

/// Bytes of the answers to an example: its label (u32), then for each variant the norm of the change (f64)
/// and each network's answer (u32).
fn content_len(variants: usize, networks: usize) -> usize {
    4 + variants * (8 + 4 * networks)
}

/// Networks that are to answer to the examples of some files, by name, in each variant.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// The files; their examples are counted through, file after file.
    pub files: &'a [(String, SavedExamples)],
    /// The networks.
    pub networks: &'a [(String, Network<f32>)],
    /// What is done to each example.
    pub variants: &'a [Variant],
    /// Where the noise comes from.
    pub seed: u64,
}

impl Trial<'_> {
    /// How many examples there are.
    pub fn examples(&self) -> usize {
        self.files.iter().map(|(_, file)| file.count()).sum()
    }

    /// The files.
    pub fn sets(&self) -> Vec<ExampleSet> {
        let set = |(name, file): &(String, SavedExamples)| ExampleSet {
            name: name.clone(),
            count: file.count(),
            image_len: file.image_len(),
        };
        self.files.iter().map(set).collect()
    }

    /// The answers to the examples `range`. `take` is given some at a time: the first one's number, and
    /// the content of a journal's entry for each. Where the monitor cancels the work, it ends after the
    /// last whole block.
    ///
    /// # Errors
    /// [`SavedError`], what `take` fails with.
    pub fn answers<E: From<SavedError>>(
        &self,
        range: Range<usize>,
        monitor: &dyn Monitor,
        mut take: impl FnMut(usize, Vec<Vec<u8>>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.check()?;
        monitor.begin("transfer", range.len() as u64);
        let (mut before, mut done) = (0, 0);
        for (name, file) in self.files {
            let own = |at: usize| at.clamp(before, before + file.count()) - before;
            let part = own(range.start)..own(range.end);
            if part.is_empty() || monitor.cancelled() {
                before += file.count();
                continue;
            }
            let factors = self.factors(file)?;
            file.blocks(part, |block| {
                let contents = self.of_block(block, file, &factors)?;
                if monitor.cancelled() {
                    return Ok(false);
                }
                take(before + block.first, contents)?;
                done += block.labels.len() as u64;
                monitor.progress(done, name);
                Ok::<bool, E>(true)
            })?;
            before += file.count();
        }
        monitor.end();
        Ok(())
    }

    /// Whether networks and images fit.
    fn check(&self) -> Result<(), SavedError> {
        for (_, file) in self.files {
            for (model, network) in self.networks {
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
        Ok(())
    }

    /// What the changes of a file are multiplied by in each variant.
    fn factors(&self, file: &SavedExamples) -> Result<Vec<f64>, SavedError> {
        let factor = |variant: &Variant| match *variant {
            Variant::Factor(factor) => Ok(factor),
            Variant::Distortion(wanted) => factor_for(file, wanted),
            Variant::Plain | Variant::Noise(_) => Ok(1.0),
        };
        self.variants.iter().map(factor).collect()
    }

    fn of_block(
        &self,
        block: &Block,
        file: &SavedExamples,
        factors: &[f64],
    ) -> Result<Vec<Vec<u8>>, SavedError> {
        for (model, network) in self.networks {
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
        let length = content_len(self.variants.len(), self.networks.len());
        let begin = |&label: &usize| {
            let mut content = Vec::with_capacity(length);
            // Below a network's number of classes, which fits.
            content.extend((label as u32).to_le_bytes());
            content
        };
        let mut contents: Vec<Vec<u8>> = block.labels.iter().map(begin).collect();
        for (&variant, &factor) in self.variants.iter().zip(factors) {
            let mut norms = Vec::with_capacity(block.labels.len());
            let length = file.image_len();
            let changed = change(block, length, variant, factor, self.seed, &mut norms);
            let networks = self.networks.par_iter();
            let answers = networks.map(|(_, network)| predictions(network, &changed));
            let answers: Vec<Vec<usize>> = answers
                .collect::<Result<_, _>>()
                .expect("images in memory can be read");
            for (i, (content, norm)) in contents.iter_mut().zip(norms).enumerate() {
                content.extend(norm.to_le_bytes());
                for answers in &answers {
                    content.extend((answers[i] as u32).to_le_bytes());
                }
            }
        }
        Ok(contents)
    }
}

/// The factor that brings the mean distortion of a file's examples to `wanted`.
fn factor_for(file: &SavedExamples, wanted: f64) -> Result<f64, SavedError> {
    let mut norms = Vec::new();
    file.blocks(0..file.count(), |block| {
        let length = file.image_len();
        let originals = block.originals.chunks_exact(length);
        let pairs = originals.zip(block.adversarial.chunks_exact(length));
        norms.extend(pairs.map(|(original, changed)| norm(original, changed)));
        Ok::<bool, SavedError>(true)
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
