//! What networks answer to examples and their variants: the work that several processes can share.

use std::collections::BTreeMap;
use std::ops::Range;

use blindspot_model::classifier::{Classifier, ClassifierError};
use blindspot_model::classify::{answered, answers};
use blindspot_model::inputs::InMemory;
use blindspot_model::preprocess::Preprocess;
use blindspot_net::Network;
use blindspot_run::journal::Work;
use blindspot_run::monitor::Monitor;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::saved::{SavedError, SavedExamples};
use super::source::{ExampleBlock, ExampleSource};
use super::variant::Variant;
use crate::goals::{OutputGoal, answering_threshold};

/// A set of examples, by name and size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExampleSet {
    /// The set's name.
    pub name: String,
    /// Number of examples.
    pub count: usize,
    /// Number of values of an image.
    pub image_len: usize,
    /// The goal for a model's outputs that they are to reach; not written of examples that are to be misclassified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub goal: Option<OutputGoal>,
}

/// A model, by name and hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelFile {
    /// The model's name.
    pub file: String,
    /// SHA-256 of the model's file.
    pub sha256: String,
    /// What happens to an image before its network sees it; not written if that is nothing.
    #[serde(default, skip_serializing_if = "Preprocess::is_identity")]
    pub preprocess: Preprocess,
}

/// Which networks answer to which examples: the header of a journal, and what transfer.json says beside
/// the matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// What is done to each example.
    pub variants: Vec<Variant>,
    /// Seed of the noise.
    pub seed: u64,
    /// The models.
    pub models: Vec<ModelFile>,
    /// Versions of the program, by name.
    pub versions: BTreeMap<String, String>,
    /// The sets of examples.
    pub examples: Vec<ExampleSet>,
    /// SHA-256 of the files of examples, by name.
    pub examples_sha256: BTreeMap<String, String>,
    /// Whether only images count that all the models get right as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub correct_only: bool,
}

impl Work for About {
    const KIND: &'static str = "transfer";

    fn bytes(&self) -> usize {
        content_len(self.variants.len(), self.models.len())
    }
}

/// Number of bytes of the answers to an example: its label (u32) and each network's answer to its original
/// (u32), then for each variant the L2 norm of the perturbation (f64) and each network's answer (u32). Of a goal the
/// label is 0, and an answer is 1 where the goal is reached, else 0.
fn content_len(variants: usize, networks: usize) -> usize {
    4 + 4 * networks + variants * (8 + 4 * networks)
}

/// Sets of examples, networks and variants: each network is to answer to each example in each variant. A
/// network may be any [`Classifier`].
pub struct Trial<'a, S = SavedExamples, N = Network<f32>> {
    /// The sets of examples by name. Positions count through all sets, one after the other.
    pub files: &'a [(String, S)],
    /// The networks by name.
    pub networks: &'a [(String, N)],
    /// What is done to each example.
    pub variants: &'a [Variant],
    /// Seed of the noise.
    pub seed: u64,
}

impl<S, N> Clone for Trial<'_, S, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, N> Copy for Trial<'_, S, N> {}

impl<S: ExampleSource, N: Classifier> Trial<'_, S, N> {
    /// Number of examples in all sets.
    pub fn examples(&self) -> usize {
        self.files.iter().map(|(_, file)| file.count()).sum()
    }

    /// Name and size of each set of examples.
    pub fn sets(&self) -> Vec<ExampleSet> {
        let set = |(name, file): &(String, S)| ExampleSet {
            name: name.clone(),
            count: file.count(),
            image_len: file.image_len(),
            goal: file.goal().cloned(),
        };
        self.files.iter().map(set).collect()
    }

    /// The networks' answers to the examples at positions `range`. `take` gets them block by block: the
    /// position of the first example, and for each example the content of its journal entry. If the
    /// monitor cancels the work, it ends after a whole block.
    ///
    /// # Errors
    /// [`SavedError`] if examples can't be read or don't fit a network, or any error of `take`.
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
            let factors = self.variants.iter().map(|variant| variant.factor(file));
            let factors = factors.collect::<Result<Vec<f64>, SavedError>>()?;
            let mut answer = |block: &ExampleBlock| {
                let contents = self.of_block(block, file, &factors)?;
                if monitor.cancelled() {
                    return Ok(false);
                }
                take(before + block.first, contents)?;
                done += block.labels.len() as u64;
                monitor.progress(done, name);
                Ok::<bool, E>(true)
            };
            let mut failed = None;
            file.blocks(part, &mut |block| {
                answer(block).unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                })
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            before += file.count();
        }
        monitor.end();
        Ok(())
    }

    /// Whether images and networks fit.
    fn check(&self) -> Result<(), SavedError> {
        for (_, file) in self.files {
            if file.count() == 0 {
                return Err(SavedError::Unreadable {
                    path: file.path(),
                    why: "it has no examples".into(),
                });
            }
            for (model, network) in self.networks {
                if network.input_len() != file.image_len() {
                    return Err(SavedError::Size {
                        path: file.path(),
                        image: file.image_len(),
                        model: model.clone(),
                        network: network.input_len(),
                    });
                }
                let Some(goal) = file.goal() else { continue };
                if let Some(image) = goal.template() {
                    let why = format!(
                        "{goal}: it is measured from the outputs for image {image}, and each model gives others for \
                         that; attack each model with this goal by itself"
                    );
                    let path = file.path();
                    return Err(SavedError::UnknownGoal { path, why });
                }
                goal.check(network.classes())
                    .map_err(|source| SavedError::Goal {
                        path: file.path(),
                        model: model.clone(),
                        source,
                    })?;
            }
        }
        Ok(())
    }

    /// The content of the journal entry of each example in a block.
    fn of_block(
        &self,
        block: &ExampleBlock,
        file: &S,
        factors: &[f64],
    ) -> Result<Vec<Vec<u8>>, SavedError> {
        let originals = InMemory::new(block.originals.clone(), file.image_len());
        let judge = match file.goal() {
            Some(goal) => Judge::Goal(goal, self.outputs_for(&originals, block.first)?),
            None => Judge::Class,
        };
        let unclassified = vec![0; block.labels.len()];
        let labels = match judge {
            Judge::Goal(..) => &unclassified,
            Judge::Class => &block.labels,
        };
        for (model, network) in self.networks {
            let classes = network.classes();
            if let Some(&label) = labels.iter().find(|&&label| label >= classes) {
                return Err(SavedError::Label {
                    path: file.path(),
                    label,
                    model: model.clone(),
                    classes,
                });
            }
        }
        let length = content_len(self.variants.len(), self.networks.len());
        let begin = |&label: &usize| {
            let mut content = Vec::with_capacity(length);
            // A label is below a network's number of classes, which fits.
            content.extend((label as u32).to_le_bytes());
            content
        };
        let mut contents: Vec<Vec<u8>> = labels.iter().map(begin).collect();
        let add = |contents: &mut [Vec<u8>], answers: &[Vec<usize>]| {
            for (i, content) in contents.iter_mut().enumerate() {
                for answers in answers {
                    content.extend((answers[i] as u32).to_le_bytes());
                }
            }
        };
        add(
            &mut contents,
            &self.answers_to(&originals, block.first, &judge)?,
        );
        for (&variant, &factor) in self.variants.iter().zip(factors) {
            let (changed, norms) = variant.apply(block, file.image_len(), factor, self.seed);
            for (content, norm) in contents.iter_mut().zip(norms) {
                content.extend(norm.to_le_bytes());
            }
            let found = self.answers_to(&changed, block.first, &judge)?;
            add(&mut contents, &found);
        }
        Ok(contents)
    }

    /// Each network's answers to images, of which the first is the example at position `first`.
    fn answers_to(
        &self,
        images: &InMemory,
        first: usize,
        judge: &Judge<'_>,
    ) -> Result<Vec<Vec<usize>>, SavedError> {
        let Judge::Goal(goal, before) = judge else {
            return self.by_each(first, |network| answers(network, images));
        };
        let after = self.outputs_for(images, first)?;
        let reached = before.iter().zip(&after).zip(self.networks);
        let reached = reached.map(|((before, after), (_, network))| {
            let classes = network.classes();
            let threshold = answering_threshold(network);
            let rows = before
                .chunks_exact(classes)
                .zip(after.chunks_exact(classes));
            let reached = rows.map(|(before, after)| goal.is_reached(before, after, threshold));
            reached.map(usize::from).collect()
        });
        Ok(reached.collect())
    }

    /// The outputs that each network's users see for images, of which the first is the example at position `first`.
    fn outputs_for(&self, images: &InMemory, first: usize) -> Result<Vec<Vec<f64>>, SavedError> {
        self.by_each(first, |network| {
            let outputs = answered(network, images)?;
            Ok(outputs
                .values()
                .iter()
                .map(|&output| output.into())
                .collect())
        })
    }

    /// What is asked of each network, about images of which the first is the example at position `first`.
    fn by_each<A: Send>(
        &self,
        first: usize,
        ask: impl Fn(&N) -> Result<A, ClassifierError> + Sync,
    ) -> Result<Vec<A>, SavedError> {
        let networks = self.networks.par_iter();
        let answers = networks.map(|(model, network)| {
            ask(network).map_err(|source| SavedError::Classifier {
                model: model.clone(),
                source: source.of_input(|i| first + i),
            })
        });
        answers.collect()
    }
}

/// What a network's answer to an image is compared with.
enum Judge<'a> {
    /// The image's class.
    Class,
    /// A goal, from the outputs that each network gives for the originals.
    Goal(&'a OutputGoal, Vec<Vec<f64>>),
}
