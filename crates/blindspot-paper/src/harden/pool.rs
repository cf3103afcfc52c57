//! The pools: what is in them, and how they are kept alive.

use std::sync::Arc;

use blindspot_net::{Evaluator, Network, argmax};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::PoolOptions;
use super::layers::{self, Layer};
use crate::train::{Chain, Mix, Rows, TrainError};
use blindspot::classify::outputs;
use blindspot::inputs::{InMemory, Inputs, read_batch};
use blindspot::run::monitor::Unwatched;
use blindspot::run::random::Stream;
use blindspot::search::{Bounds, SearchOptions, Target, norm, search};

/// Images that are searched from at a time.
const BLOCK: usize = 4096;
/// Images that are tried at most for each example wanted.
const TRIES: usize = 4;
/// Images that are looked at for each that is searched from, where far ones are left out.
const LOOKS: usize = 4;
/// An image is far where a linear network's boundary would be so many times too far away.
const MARGIN: f64 = 1.5;
/// Images whose distances are guessed at once.
const SLICE: usize = 64;

/// What the making of one layer's pool has taken, over the whole training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolCount {
    /// The layer's name in the network.
    pub layer: String,
    /// Examples made.
    pub made: u64,
    /// Images that the network got wrong as they were: nothing was made of them.
    pub wrong_before: u64,
    /// Searches that found nothing, or nothing that still fools the network at the distance asked
    /// for: nothing entered the pool.
    pub failed: u64,
    /// Images left out because their example's distortion is above what was asked for, or would
    /// be by far.
    pub far: u64,
    /// Mean distortion of the examples made.
    pub distortion: f64,
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
    options: PoolOptions,
    /// Examples of each pool in a step.
    rows: usize,
    seed: u64,
    pub(super) pools: Vec<Pool>,
    /// The step of the last replacement.
    refreshed: Option<u64>,
}

impl Pools {
    /// Empty pools, to be filled in training with `batch` images a step.
    ///
    /// # Errors
    /// [`TrainError::Options`] where the options make none, or name a layer that isn't there.
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
                    wrong_before: 0,
                    failed: 0,
                    far: 0,
                    distortion: 0.0,
                },
            }
        };
        let pools: Vec<Pool> = found.into_iter().map(pool).collect();
        let longest = pools.iter().map(|pool| pool.length).max().unwrap_or(1);
        let rows = ((options.mix * batch as f64).round() as usize).max(1);
        options.check(longest, rows)?;
        Ok(Pools {
            rows,
            options: options.clone(),
            seed,
            pools,
            refreshed: None,
        })
    }

    /// What each has taken.
    pub(super) fn counts(&self) -> Vec<PoolCount> {
        self.pools.iter().map(|pool| pool.count.clone()).collect()
    }

    /// Replaces a random part of each pool by examples made against the network as it is now; the
    /// first time, fills them.
    fn refresh(
        &mut self,
        step: u64,
        network: &Network<f32>,
        inputs: &dyn Inputs,
        labels: &[usize],
    ) -> Result<(), TrainError> {
        let (seed, size) = (self.seed, self.options.size);
        let part = (self.options.refresh * size as f64).round() as usize;
        for pool in &mut self.pools {
            let layer = pool.count.layer.clone();
            let missing = size - pool.labels.len();
            let replaced = if missing == size { 0 } else { part.max(1) };
            // Those that a part-filled pool lacks come first, and old ones go for the others.
            let replaced = replaced.saturating_sub(missing);
            let maker = Maker::new(network, &layer, &self.options)?;
            let mut draw = Stream::new(
                seed,
                &format!("images for the pool of {layer}"),
                step as usize,
            );
            let made = maker.make(
                missing + replaced,
                &mut pool.count,
                inputs,
                labels,
                &mut draw,
            )?;
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

impl Mix for Pools {
    fn layers(&self) -> Vec<String> {
        let layers = self.pools.iter().map(|pool| pool.count.layer.clone());
        layers.collect()
    }

    fn rows(
        &mut self,
        step: u64,
        part: f64,
        chain: &Chain,
        inputs: &dyn Inputs,
        labels: &[usize],
    ) -> Result<Vec<Rows>, TrainError> {
        let due = match self.refreshed {
            None => part >= self.options.after,
            Some(last) => step - last >= self.options.every,
        };
        if due {
            self.refresh(step, chain.whole(), inputs, labels)?;
            self.refreshed = Some(step);
        }
        let mut all = Vec::new();
        for (number, pool) in self.pools.iter().enumerate() {
            let layer = &pool.count.layer;
            let (Some(part), false) = (chain.part_above(layer), pool.labels.is_empty()) else {
                continue;
            };
            let mut draw = Stream::new(self.seed, &format!("mixed in at {layer}"), step as usize);
            let chosen: Vec<usize> = (0..self.rows)
                .map(|_| draw.below(pool.labels.len()))
                .collect();
            let values = chosen.iter();
            let values = values.flat_map(|&i| &pool.values[i * pool.length..][..pool.length]);
            let first = labels.len() + (number + step as usize * self.pools.len()) * self.rows;
            all.push(Rows {
                part,
                values: values.copied().collect(),
                labels: chosen.iter().map(|&i| pool.labels[i]).collect(),
                keys: (first..first + self.rows).collect(),
            });
        }
        Ok(all)
    }
}

/// Makes examples for one layer of a network as it is.
struct Maker {
    /// From the input to the layer; `None` for the input itself.
    below: Option<Network<f32>>,
    above: Network<f32>,
    options: SearchOptions,
    ranges: Arc<Bounds>,
    beyond: f32,
    within: f64,
}

impl Maker {
    fn new(network: &Network<f32>, layer: &str, pool: &PoolOptions) -> Result<Maker, TrainError> {
        let found = layers::find(network, &[layer.to_owned()])?.remove(0);
        let wrong = |error: blindspot_net::GraphError| TrainError::Options(error.to_string());
        let value = network.graph().find(layer).map_err(wrong)?;
        let hidden = value != network.graph().input();
        let above = match hidden {
            true => network.above(value).map_err(wrong)?,
            false => network.clone(),
        };
        let ranges = Arc::new(found.ranges(above.input_len()));
        Ok(Maker {
            below: hidden.then(|| network.up_to(value)),
            above,
            options: SearchOptions {
                target: Target::Untargeted,
                bounds: Some(Arc::clone(&ranges)),
                ..SearchOptions::default()
            },
            ranges,
            beyond: pool.beyond as f32,
            within: pool.within.unwrap_or(f64::INFINITY),
        })
    }

    /// So many examples of random images, with their classes; fewer where too many searches fail.
    fn make(
        &self,
        wanted: usize,
        count: &mut PoolCount,
        inputs: &dyn Inputs,
        labels: &[usize],
        draw: &mut Stream,
    ) -> Result<Vec<(Vec<f32>, usize)>, TrainError> {
        let length = self.above.input_len();
        // Far images are passed over without a search, so more of them can be looked at.
        let looks = if self.within.is_finite() { LOOKS } else { 1 };
        let (mut made, mut tries) = (Vec::with_capacity(wanted), 0);
        while made.len() < wanted && tries < TRIES * wanted {
            let missing = (wanted - made.len()).min(BLOCK);
            tries += missing;
            let chosen: Vec<usize> = (0..missing * looks)
                .map(|_| draw.below(labels.len()))
                .collect();
            let labels: Vec<usize> = chosen.iter().map(|&index| labels[index]).collect();
            let mut images = vec![0.0; chosen.len() * inputs.input_len()];
            read_batch(inputs, chosen.iter().copied(), &mut images)?;
            let images = InMemory::new(images, inputs.input_len());
            let originals = match &self.below {
                Some(below) => outputs(below, &images)?,
                None => images,
            };
            let mut near: Vec<usize> = (0..chosen.len()).collect();
            if self.within.is_finite() {
                let distances = self.guesses(&originals, &labels);
                near.retain(|&i| distances[i] * f64::from(self.beyond) <= MARGIN * self.within);
                count.far += (chosen.len() - near.len()) as u64;
                near.truncate(missing);
            }
            if near.is_empty() {
                continue;
            }
            let options = &self.options;
            let found = search(&self.above, &originals, &labels, &near, options, &Unwatched)?;
            let (mut changed, mut kept) = (Vec::new(), Vec::new());
            for example in found {
                if example.already_misclassified {
                    count.wrong_before += 1;
                } else if !example.success {
                    count.failed += 1;
                } else {
                    let original = originals.input(example.position);
                    let end = self.farther(original, &example.adversarial);
                    let distortion = norm(original, &end) / (length as f64).sqrt();
                    if distortion > self.within {
                        count.far += 1;
                    } else {
                        changed.extend(end);
                        kept.push((example.label, distortion));
                    }
                }
            }
            let changed = InMemory::new(changed, length);
            let answers = outputs(&self.above, &changed)?;
            let answers = answers.values().chunks_exact(self.above.output_len());
            let values = changed.values().chunks_exact(length);
            for ((values, (label, distortion)), logits) in values.zip(kept).zip(answers) {
                if argmax(logits) == label {
                    count.failed += 1;
                } else {
                    count.made += 1;
                    count.distortion += (distortion - count.distortion) / count.made as f64;
                    made.push((values.to_vec(), label));
                }
            }
        }
        Ok(made)
    }

    /// How far each original is from the boundary to its strongest rival, as a distortion, were the
    /// network linear; 0 or less where it is beyond.
    fn guesses(&self, originals: &InMemory, labels: &[usize]) -> Vec<f64> {
        let (length, classes) = (self.above.input_len(), self.above.output_len());
        let chunks = originals.values().par_chunks(SLICE * length);
        let guess = |evaluator: &mut Evaluator<'_, f32>, (rows, labels): (&[f32], &[usize])| {
            evaluator.input(labels.len()).copy_from_slice(rows);
            let mut direction = vec![0.0; labels.len() * classes];
            let logits = evaluator.forward().chunks_exact(classes);
            let mut leads = Vec::with_capacity(labels.len());
            for ((logits, &label), out) in
                logits.zip(labels).zip(direction.chunks_exact_mut(classes))
            {
                let mut others = logits.to_vec();
                others[label] = f32::NEG_INFINITY;
                let rival = argmax(&others);
                (out[label], out[rival]) = (1.0, -1.0);
                leads.push(f64::from(logits[label] - logits[rival]));
            }
            let gradients = evaluator.backward(&direction).chunks_exact(length);
            let distance = |(gradient, lead): (&[f32], f64)| {
                let square: f64 = gradient.iter().map(|&g| f64::from(g).powi(2)).sum();
                lead / (square.sqrt() * (length as f64).sqrt()).max(f64::MIN_POSITIVE)
            };
            gradients.zip(leads).map(distance).collect::<Vec<f64>>()
        };
        let guesses: Vec<Vec<f64>> = chunks
            .zip(labels.par_chunks(SLICE))
            .map_init(|| Evaluator::new(&self.above), guess)
            .collect();
        guesses.concat()
    }

    /// The point so many times as far from the original, inside the box.
    fn farther(&self, original: &[f32], changed: &[f32]) -> Vec<f32> {
        if self.beyond == 1.0 {
            return changed.to_vec();
        }
        let ends = self.ranges.lower.iter().zip(&self.ranges.upper);
        let values = original.iter().zip(changed).zip(ends);
        let value = |((&from, &to), (&lower, &upper)): ((&f32, &f32), (&f32, &f32))| {
            (from + self.beyond * (to - from)).max(lower).min(upper)
        };
        values.map(value).collect()
    }
}
