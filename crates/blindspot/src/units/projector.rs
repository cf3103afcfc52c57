//! The projections of images on units and directions, image by image.
//!
//! The directions become one more layer of the network: fully connected, or a pointwise convolution.
//! A projection therefore has the same bits whichever images are evaluated with it.

use std::str::FromStr;

use blindspot_model::inputs::{InputError, Inputs, read_batch};
use blindspot_net::ops::{Conv, Gemm, Reduce, ReduceKind, Window};
use blindspot_net::{Evaluator, Network, Op, Operand, ValueId};
use blindspot_run::monitor::Monitor;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evaluator_pool::EvaluatorPool;
use super::{Directions, Layer, UnitsError};

/// How the values at all positions of a convolutional layer become one number for each channel or
/// direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// The largest value; of equal values the first position counts.
    Max,
    /// The mean value.
    Mean,
}

impl FromStr for Reduction {
    type Err = String;

    fn from_str(text: &str) -> Result<Reduction, String> {
        match text {
            "max" => Ok(Reduction::Max),
            "mean" => Ok(Reduction::Mean),
            other => Err(format!("unknown reduction `{other}`; use max or mean")),
        }
    }
}

/// Largest number of images that a thread evaluates at once.
const MAX_BATCH_IMAGES: usize = 256;
/// Memory for one thread's activations, in bytes.
const MAX_THREAD_BYTES: usize = 64 << 20;
/// Largest number of images whose projections are collected before they are handed on.
const MAX_BLOCK_IMAGES: usize = 512;
/// Memory for one block's projections and positions, in bytes.
const MAX_BLOCK_BYTES: usize = 64 << 20;
/// Bytes of a projection and its position.
const PROJECTION_BYTES: usize = size_of::<f32>() + size_of::<u32>();
/// Largest number of values of all directions together, and of their projections of one image.
const MAX_DIRECTION_VALUES: usize = 1 << 26;

/// A network that ends in the projections.
pub(super) struct Projector {
    network: Network<f32>,
    layer: String,
    /// The value that the units are read from.
    source: ValueId,
    /// Number of positions of each unit or direction.
    positions: usize,
    units: Vec<usize>,
    /// Number of directions.
    vectors: usize,
}

impl Projector {
    pub(super) fn new(
        network: &Network<f32>,
        layer: &Layer,
        reduce: Reduction,
        directions: &Directions,
    ) -> Result<Projector, UnitsError> {
        check(layer, directions)?;
        let part = network.up_to(layer.id);
        let (mut graph, mut weights) = (part.graph().clone(), part.weights().to_vec());
        let mut source = graph.output();
        let mut positions = layer.positions.iter().product();
        if !layer.positions.is_empty() && reduce == Reduction::Mean {
            let mean = Op::Reduce(Reduce {
                kind: ReduceKind::Mean,
                axes: (1..=layer.positions.len()).collect(),
                keep_axes: false,
            });
            let name = "blindspot/mean";
            source = graph.node(name, mean, &[Operand::Value(source)], name)?;
            positions = 1;
        }
        let vectors = directions.vectors.len();
        if vectors > 0 {
            let name = "blindspot/directions";
            let axes = graph.value(source).shape.len() - 1;
            let ones = vec![1; axes];
            let shape = [&[vectors, layer.units], &ones[..]].concat();
            let weight = graph.weight("blindspot/directions.weight", &shape)?;
            let project = if axes == 0 {
                Op::Gemm(Gemm { trans_b: true })
            } else {
                Op::Conv(Conv {
                    window: Window::dense(&ones),
                    groups: 1,
                })
            };
            let operands = [Operand::Value(source), Operand::Weight(weight)];
            graph.node(name, project, &operands, name)?;
            weights.push(directions.vectors.concat());
        }
        let network = Network::new(graph, weights).expect("directions are finite and fit");
        Ok(Projector {
            network,
            layer: layer.name.clone(),
            source,
            positions,
            units: directions.units.clone(),
            vectors,
        })
    }

    /// The network that ends in the projections.
    pub(super) fn network(&self) -> &Network<f32> {
        &self.network
    }

    fn len(&self) -> usize {
        self.units.len() + self.vectors
    }

    /// Projects all images, block by block. `take` gets the index of a block's first image, and for
    /// each image a row of projections and a row of the positions that they were found at.
    pub(super) fn run(
        &self,
        inputs: &(impl Inputs + ?Sized),
        monitor: &dyn Monitor,
        mut take: impl FnMut(usize, &[f32], &[u32]),
    ) -> Result<(), UnitsError> {
        let (images, directions) = (inputs.len(), self.len());
        if images == 0 {
            return Err(UnitsError::Empty);
        }
        if inputs.input_len() != self.network.input_len() {
            return Err(UnitsError::Size {
                network: self.network.input_len(),
                image: inputs.input_len(),
            });
        }
        let values = self.network.graph().values().iter();
        let bytes: usize = values.map(|value| size_of::<f32>() * value.len()).sum();
        let batch = (MAX_THREAD_BYTES / bytes.max(1)).clamp(1, MAX_BATCH_IMAGES);
        let block = (MAX_BLOCK_BYTES / (PROJECTION_BYTES * directions)).clamp(1, MAX_BLOCK_IMAGES);
        let block = block.min(images);
        let mut scores = vec![0f32; block * directions];
        let mut places = vec![0u32; block * directions];
        let pool = EvaluatorPool::default();
        for start in (0..images).step_by(block) {
            if monitor.cancelled() {
                return Err(UnitsError::Cancelled);
            }
            let count = block.min(images - start);
            let scores = &mut scores[..count * directions];
            let places = &mut places[..count * directions];
            scores
                .par_chunks_mut(batch * directions)
                .zip(places.par_chunks_mut(batch * directions))
                .enumerate()
                .try_for_each(|(chunk, (scores, places))| {
                    let (first, n) = (start + chunk * batch, scores.len() / directions);
                    pool.evaluate(&self.network, &[self.source], |evaluator| {
                        read_batch(inputs, first..first + n, evaluator.input(n))?;
                        evaluator.forward();
                        self.read(evaluator, scores, places);
                        Ok::<(), InputError>(())
                    })
                })?;
            if let Some(wrong) = scores.iter().position(|score| !score.is_finite()) {
                return Err(UnitsError::NotFinite {
                    layer: self.layer.clone(),
                    image: start + wrong / directions,
                });
            }
            take(start, scores, places);
            monitor.progress((start + count) as u64, "");
        }
        Ok(())
    }

    /// The projections of the images that were just evaluated.
    fn read(&self, evaluator: &Evaluator<'_, f32>, scores: &mut [f32], places: &mut [u32]) {
        let graph = self.network.graph();
        let length = graph.value(self.source).len();
        let units = evaluator.value(self.source).chunks_exact(length);
        let length = self.vectors * self.positions;
        let vectors = evaluator.value(graph.output());
        let rows = scores
            .chunks_exact_mut(self.len())
            .zip(places.chunks_exact_mut(self.len()));
        for (image, (units, (scores, places))) in units.zip(rows).enumerate() {
            // Without directions the network ends in the units themselves.
            let vectors = if length == 0 {
                &[]
            } else {
                &vectors[image * length..][..length]
            };
            let maps = self
                .units
                .iter()
                .map(|unit| &units[unit * self.positions..][..self.positions])
                .chain(vectors.chunks_exact(self.positions));
            for (map, (score, place)) in maps.zip(scores.iter_mut().zip(places)) {
                let largest = blindspot_net::argmax(map);
                (*score, *place) = (map[largest], largest as u32);
            }
        }
    }
}

/// Whether the directions fit the layer, and memory.
fn check(layer: &Layer, directions: &Directions) -> Result<(), UnitsError> {
    let (name, units) = (|| layer.name.clone(), layer.units);
    if directions.is_empty() {
        return Err(UnitsError::Nothing);
    }
    if let Some(&unit) = directions.units.iter().find(|&&unit| unit >= units) {
        let layer = name();
        return Err(UnitsError::Unit { unit, units, layer });
    }
    let unfit =
        |vector: &&Vec<f32>| vector.len() != units || vector.iter().any(|value| !value.is_finite());
    if let Some(direction) = directions.vectors.iter().find(unfit) {
        return Err(UnitsError::Direction {
            found: direction.len(),
            units,
            layer: name(),
        });
    }
    let (directions, most) = (directions.vectors.len(), max_directions(layer));
    if directions > most {
        return Err(UnitsError::Directions {
            directions,
            units,
            most,
        });
    }
    Ok(())
}

/// Largest number of directions of a layer in one pass.
pub(super) fn max_directions(layer: &Layer) -> usize {
    let positions: usize = layer.positions.iter().product();
    MAX_DIRECTION_VALUES / layer.units.max(positions)
}
