//! The pools: what is in them, and how they are kept alive.

use std::sync::Arc;

use blindspot_net::{Evaluator, Network, argmax};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::layers::{self, Layer};
use super::{HardenError, PoolOptions};
use crate::session::LabelledData;
use crate::train::{Batch, CutNetwork, ExtraBatch, TrainError};
use blindspot::classify::outputs;
use blindspot::inputs::{InMemory, InputError, read_batch};
use blindspot::run::monitor::Unwatched;
use blindspot::run::random::Stream;
use blindspot::search::{Bounds, Example, Norm, SearchOptions, Target, norm, search};

/// Images that are searched from at a time.
const BLOCK_IMAGES: usize = 4096;
/// Images that are searched from, at most, for each example wanted.
const TRIES: usize = 4;
/// Images that are drawn for each that is searched from, if far ones are left out.
const DRAWS: usize = 4;
/// An image is far if a linear network's boundary would be more than this many times too far away.
const FAR_FACTOR: f64 = 1.5;
/// Images whose distances are estimated at once.
const SLICE_IMAGES: usize = 64;

/// What the making of one layer's pool has taken, over the whole training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolCount {
    /// The layer's name in the network.
    pub layer: String,
    /// Examples made.
    pub made: u64,
    /// Images that the network misclassified as they were: nothing was made of them.
    #[serde(rename = "wrong_before")]
    pub already_misclassified: u64,
    /// Searches that found nothing, or nothing that still fools the network after the overshoot:
    /// nothing entered the pool.
    pub failed: u64,
    /// Images left out because their example's perturbation is above the largest that may enter, or
    /// was estimated to be far above it.
    pub far: u64,
    /// Mean distortion of the examples made; None of none.
    pub distortion: Option<f64>,
}

/// The pool of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pool {
    /// Numbers of an example.
    pub(super) length: usize,
    /// One example after the other.
    pub(super) values: Vec<f32>,
    /// The true class of each.
    pub(super) labels: Vec<usize>,
    pub(super) count: PoolCount,
}

/// The pools of all layers asked for: the state that goes into a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pools {
    #[serde(with = "as_json")]
    options: PoolOptions,
    /// Examples of each pool in a step.
    #[serde(rename = "rows")]
    examples: usize,
    seed: u64,
    pub(super) pools: Vec<Pool>,
    /// The step of the last replacement; `None` before the pools were first filled.
    refreshed: Option<u64>,
}

/// Options as text: in a checkpoint's own format no field may be left out.
mod as_json {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::PoolOptions;

    pub(super) fn serialize<S: Serializer>(
        options: &PoolOptions,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(options).map_err(S::Error::custom)?;
        text.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PoolOptions, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map_err(D::Error::custom)
    }
}

impl Pools {
    /// Empty pools, to be filled in training with `batch` images a step.
    ///
    /// # Errors
    /// [`TrainError::Options`] if the options are invalid, or name a layer that isn't there.
    pub(super) fn new(
        network: &Network<f32>,
        options: &PoolOptions,
        batch: usize,
        seed: u64,
    ) -> Result<Pools, TrainError> {
        let graph = network.graph();
        let found = layers::find(network, &options.layers)?;
        let pool = |layer: Layer| {
            let value = graph.find(&layer.value).expect("it has just been found");
            Pool {
                length: graph.value(value).len(),
                values: Vec::new(),
                labels: Vec::new(),
                count: PoolCount {
                    layer: layer.value,
                    made: 0,
                    already_misclassified: 0,
                    failed: 0,
                    far: 0,
                    distortion: None,
                },
            }
        };
        let pools: Vec<Pool> = found.into_iter().map(pool).collect();
        let longest = pools.iter().map(|pool| pool.length).max().unwrap_or(1);
        let examples = ((options.mix_ratio * batch as f64).round() as usize).max(1);
        options.check(longest, examples)?;
        Ok(Pools {
            examples,
            options: options.clone(),
            seed,
            pools,
            refreshed: None,
        })
    }

    /// What the making of each pool has taken.
    pub(super) fn counts(&self) -> Vec<PoolCount> {
        self.pools.iter().map(|pool| pool.count.clone()).collect()
    }

    /// Replaces a random fraction of each pool by examples made against the network as it is now; the
    /// first time, fills them.
    fn refresh(
        &mut self,
        step: u64,
        network: &Network<f32>,
        data: &LabelledData<'_>,
    ) -> Result<(), HardenError> {
        let (seed, size) = (self.seed, self.options.size);
        let share = (self.options.refresh_fraction * size as f64).round() as usize;
        for pool in &mut self.pools {
            let layer = pool.count.layer.clone();
            let missing = size - pool.labels.len();
            let replaced = if missing == size { 0 } else { share.max(1) };
            // Those that a part-filled pool lacks come first, and old ones go for the others.
            let replaced = replaced.saturating_sub(missing);
            let maker = Maker::new(network, &layer, &self.options)?;
            let mut draw = Stream::new(
                seed,
                &format!("images for the pool of {layer}"),
                step as usize,
            );
            let made = maker.make(missing + replaced, &mut pool.count, data, &mut draw)?;
            let old = Stream::new(
                seed,
                &format!("replaced in the pool of {layer}"),
                step as usize,
            )
            .order(pool.labels.len());
            let mut made = made.into_iter();
            for (values, label) in made.by_ref().take(missing) {
                pool.values.extend_from_slice(&values);
                pool.labels.push(label);
            }
            for ((values, label), place) in made.zip(old) {
                pool.values[place * pool.length..][..pool.length].copy_from_slice(&values);
                pool.labels[place] = label;
            }
        }
        Ok(())
    }
}

impl ExtraBatch for Pools {
    type Error = HardenError;

    fn layers(&self) -> Vec<String> {
        let layers = self.pools.iter().map(|pool| pool.count.layer.clone());
        layers.collect()
    }

    fn batches(
        &mut self,
        step: u64,
        fraction: f64,
        network: &CutNetwork,
        data: &LabelledData<'_>,
    ) -> Result<Vec<Batch>, HardenError> {
        let due = match self.refreshed {
            None => fraction >= self.options.warmup,
            Some(last) => step - last >= self.options.refresh_interval,
        };
        if due {
            self.refresh(step, network.whole(), data)?;
            self.refreshed = Some(step);
        }
        let mut batches = Vec::new();
        for (number, pool) in self.pools.iter().enumerate() {
            let layer = &pool.count.layer;
            let (Some(segment), false) = (network.segment_above(layer), pool.labels.is_empty())
            else {
                continue;
            };
            let mut draw = Stream::new(self.seed, &format!("mixed in at {layer}"), step as usize);
            let chosen: Vec<usize> = (0..self.examples)
                .map(|_| draw.below(pool.labels.len()))
                .collect();
            let values = chosen.iter();
            let values = values.flat_map(|&i| &pool.values[i * pool.length..][..pool.length]);
            // After the keys of the training set, and never the same twice.
            let earlier = number + step as usize * self.pools.len();
            let first = data.labels.len() + earlier * self.examples;
            batches.push(Batch {
                segment,
                values: values.copied().collect(),
                labels: chosen.iter().map(|&i| pool.labels[i]).collect(),
                keys: (first..first + self.examples).collect(),
            });
        }
        Ok(batches)
    }
}

/// Makes examples for one layer of a network as it is.
struct Maker {
    /// From the input to the layer; `None` for the input itself.
    below: Option<Network<f32>>,
    /// From the layer to the logits.
    above: Network<f32>,
    options: SearchOptions,
    bounds: Arc<Bounds>,
    overshoot: f32,
    /// Infinite for any.
    norm: Norm,
    max_distance: f64,
}

/// A perturbed value of a layer, and the class of the image that it was made from.
type PoolExample = (Vec<f32>, usize);

impl Maker {
    fn new(network: &Network<f32>, layer: &str, pool: &PoolOptions) -> Result<Maker, TrainError> {
        let found = layers::find(network, &[layer.to_owned()])?.remove(0);
        let wrong = |error: blindspot_net::GraphError| TrainError::Options(error.to_string());
        let value = network.graph().find(layer).map_err(wrong)?;
        let hidden = value != network.graph().input();
        let above = if hidden {
            network.above(value).map_err(wrong)?
        } else {
            network.clone()
        };
        let bounds = Arc::new(found.bounds(above.input_len()));
        Ok(Maker {
            below: hidden.then(|| network.up_to(value)),
            above,
            options: SearchOptions::default()
                .target(Target::Untargeted)
                .norm(pool.norm)
                .bounds(Arc::clone(&bounds)),
            bounds,
            overshoot: pool.overshoot as f32,
            norm: pool.norm,
            max_distance: pool.max_distance.unwrap_or(f64::INFINITY),
        })
    }

    /// `wanted` examples of random images; fewer where too many searches fail.
    fn make(
        &self,
        wanted: usize,
        count: &mut PoolCount,
        data: &LabelledData<'_>,
        draw: &mut Stream,
    ) -> Result<Vec<PoolExample>, HardenError> {
        let bounded = self.max_distance.is_finite();
        // Far images are passed over without a search, so more of them can be looked at.
        let draws = if bounded { DRAWS } else { 1 };
        let (mut made, mut tries) = (Vec::with_capacity(wanted), 0);
        while made.len() < wanted && tries < TRIES * wanted {
            let missing = (wanted - made.len()).min(BLOCK_IMAGES);
            tries += missing;
            let chosen: Vec<usize> = (0..missing * draws)
                .map(|_| draw.below(data.labels.len()))
                .collect();
            let labels: Vec<usize> = chosen.iter().map(|&index| data.labels[index]).collect();
            let originals = self.originals(data, &chosen)?;
            let mut near: Vec<usize> = (0..chosen.len()).collect();
            if bounded {
                let distances = self.linear_distances(&originals, &labels);
                let limit = FAR_FACTOR * self.max_distance;
                near.retain(|&i| distances[i] * f64::from(self.overshoot) <= limit);
                count.far += (chosen.len() - near.len()) as u64;
                near.truncate(missing);
            }
            if near.is_empty() {
                continue;
            }
            let options = &self.options;
            let found = search(&self.above, &originals, &labels, &near, options, &Unwatched)?;
            made.extend(self.judged(&found, &originals, count)?);
        }
        Ok(made)
    }

    /// What the layer gives of some images.
    fn originals(&self, data: &LabelledData<'_>, chosen: &[usize]) -> Result<InMemory, InputError> {
        let length = data.inputs.input_len();
        let mut images = vec![0.0; chosen.len() * length];
        read_batch(data.inputs, chosen.iter().copied(), &mut images)?;
        let images = InMemory::new(images, length);
        match &self.below {
            Some(below) => outputs(below, &images),
            None => Ok(images),
        }
    }

    /// The examples among those found that enter the pool; all of them are counted.
    fn judged(
        &self,
        found: &[Example],
        originals: &InMemory,
        count: &mut PoolCount,
    ) -> Result<Vec<PoolExample>, InputError> {
        let length = self.above.input_len();
        let (mut adversarial, mut kept) = (Vec::new(), Vec::new());
        for example in found {
            if example.already_misclassified {
                count.already_misclassified += 1;
            } else if !example.success {
                count.failed += 1;
            } else {
                let original = originals.input(example.position);
                let end = self.overshot(original, &example.adversarial);
                let distortion = norm(original, &end) / (length as f64).sqrt();
                let distance = match self.norm {
                    Norm::L2 => distortion,
                    other => other.of(original, &end),
                };
                if distance > self.max_distance {
                    count.far += 1;
                } else {
                    adversarial.extend(end);
                    kept.push((example.label, distortion));
                }
            }
        }
        let adversarial = InMemory::new(adversarial, length);
        let answers = outputs(&self.above, &adversarial)?;
        let answers = answers.values().chunks_exact(self.above.output_len());
        let values = adversarial.values().chunks_exact(length);
        let mut made = Vec::new();
        for ((values, (label, distortion)), logits) in values.zip(kept).zip(answers) {
            if argmax(logits) == label {
                count.failed += 1;
            } else {
                count.made += 1;
                let mean = count.distortion.unwrap_or(0.0);
                count.distortion = Some(mean + (distortion - mean) / count.made as f64);
                made.push((values.to_vec(), label));
            }
        }
        Ok(made)
    }

    /// How far each original would be from the boundary to its runner-up, in what examples are bounded
    /// by, were the network linear; 0 or less if it is misclassified. In L0, where any change may be of
    /// any size, 0.
    fn linear_distances(&self, originals: &InMemory, labels: &[usize]) -> Vec<f64> {
        let (length, classes) = (self.above.input_len(), self.above.output_len());
        let chunks = originals.values().par_chunks(SLICE_IMAGES * length);
        let distances = |evaluator: &mut Evaluator<'_, f32>, (rows, labels): (&[f32], &[usize])| {
            evaluator.input(labels.len()).copy_from_slice(rows);
            let mut direction = vec![0.0; labels.len() * classes];
            let logits = evaluator.forward().chunks_exact(classes);
            let mut margins = Vec::with_capacity(labels.len());
            for ((logits, &label), out) in
                logits.zip(labels).zip(direction.chunks_exact_mut(classes))
            {
                let mut others = logits.to_vec();
                others[label] = f32::NEG_INFINITY;
                let runner_up = argmax(&others);
                (out[label], out[runner_up]) = (1.0, -1.0);
                margins.push(f64::from(logits[label] - logits[runner_up]));
            }
            let gradients = evaluator.backward(&direction).chunks_exact(length);
            let distance = |(gradient, margin): (&[f32], f64)| {
                let sizes = gradient.iter().map(|&g| f64::from(g).abs());
                // The dual norm.
                let fall = match self.norm {
                    Norm::L2 => {
                        sizes.map(|g| g.powi(2)).sum::<f64>().sqrt() * (length as f64).sqrt()
                    }
                    Norm::Linf => sizes.sum(),
                    Norm::L1 => sizes.fold(0.0, f64::max),
                    Norm::L0 => f64::INFINITY,
                };
                margin / fall.max(f64::MIN_POSITIVE)
            };
            gradients.zip(margins).map(distance).collect::<Vec<f64>>()
        };
        let of_slices: Vec<Vec<f64>> = chunks
            .zip(labels.par_chunks(SLICE_IMAGES))
            .map_init(|| Evaluator::new(&self.above), distances)
            .collect();
        of_slices.concat()
    }

    /// The point `overshoot` times as far from the original as the adversarial one, inside the bounds.
    fn overshot(&self, original: &[f32], adversarial: &[f32]) -> Vec<f32> {
        if self.overshoot == 1.0 {
            return adversarial.to_vec();
        }
        let bounds = self.bounds.lower.iter().zip(&self.bounds.upper);
        let values = original.iter().zip(adversarial).zip(bounds);
        let value = |((&from, &to), (&lower, &upper)): ((&f32, &f32), (&f32, &f32))| {
            (from + self.overshoot * (to - from)).max(lower).min(upper)
        };
        values.map(value).collect()
    }
}
