//! The projections of images on units and directions, image after image.
//!
//! The directions become one more layer of the network: a fully connected one, or a pointwise
//! convolution. So a projection has the same bits whatever images stand beside it.

use blindspot_net::ops::{Conv, Gemm, Reduce, ReduceKind, Window};
use blindspot_net::{Evaluator, Network, Op, Operand, ValueId};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::spare::Spare;
use super::{Layer, UnitsError};
use crate::inputs::{InputError, Inputs, read_batch};
use crate::run::monitor::Monitor;

/// How the positions of a convolutional layer become one number for each channel or direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// The largest of all positions; the first of several equal ones.
    Max,
    /// Their mean.
    Mean,
}

/// What images are projected on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Probes {
    /// Units of the layer, e_i.
    pub units: Vec<usize>,
    /// Directions over the layer's units, each as long as there are units.
    pub directions: Vec<Vec<f32>>,
}

impl Probes {
    /// How many there are, the units before the directions.
    pub fn len(&self) -> usize {
        self.units.len() + self.directions.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Images that a thread evaluates at a time, at most.
const BATCH: usize = 256;
/// Bytes that a thread's values may take.
const MEMORY: usize = 64 << 20;
/// Images between two looks at the results, at most, and the bytes of these.
const BLOCK: usize = 512;
const BLOCK_MEMORY: usize = 64 << 20;
/// Values that all directions may have, and that they may give for one image.
const MOST_VALUES: usize = 1 << 26;

/// A network that ends in the projections.
pub(super) struct Projector {
    network: Network<f32>,
    layer: String,
    /// What the units are read from.
    source: ValueId,
    /// How many numbers each unit or direction has there.
    positions: usize,
    units: Vec<usize>,
    directions: usize,
}

impl Projector {
    pub(super) fn new(
        network: &Network<f32>,
        layer: &Layer,
        reduce: Reduction,
        probes: &Probes,
    ) -> Result<Projector, UnitsError> {
        check(layer, probes)?;
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
        let directions = probes.directions.len();
        if directions > 0 {
            let name = "blindspot/directions";
            let axes = graph.value(source).shape.len() - 1;
            let ones = vec![1; axes];
            let shape = [&[directions, layer.units], &ones[..]].concat();
            let weight = graph.weight("blindspot/directions.weight", &shape)?;
            let project = match axes {
                0 => Op::Gemm(Gemm { trans_b: true }),
                _ => Op::Conv(Conv {
                    window: Window::dense(&ones),
                    groups: 1,
                }),
            };
            let operands = [Operand::Value(source), Operand::Weight(weight)];
            graph.node(name, project, &operands, name)?;
            weights.push(probes.directions.concat());
        }
        let network = Network::new(graph, weights).expect("directions are finite and fit");
        Ok(Projector {
            network,
            layer: layer.name.clone(),
            source,
            positions,
            units: probes.units.clone(),
            directions,
        })
    }

    /// The network that ends in the projections.
    pub(super) fn network(&self) -> &Network<f32> {
        &self.network
    }

    fn len(&self) -> usize {
        self.units.len() + self.directions
    }

    /// Projects all images. `take` is given them in blocks, in order: the first image, then for
    /// each image a row of projections, and a row of the positions that they were found at.
    pub(super) fn run(
        &self,
        inputs: &(impl Inputs + ?Sized),
        monitor: &dyn Monitor,
        mut take: impl FnMut(usize, &[f32], &[u32]),
    ) -> Result<(), UnitsError> {
        let (images, probes) = (inputs.len(), self.len());
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
        let batch = (MEMORY / bytes.max(1)).clamp(1, BATCH);
        let block = (BLOCK_MEMORY / (8 * probes)).clamp(1, BLOCK).min(images);
        let (mut scores, mut places) = (vec![0f32; block * probes], vec![0u32; block * probes]);
        let spare = Spare::default();
        for start in (0..images).step_by(block) {
            if monitor.cancelled() {
                return Err(UnitsError::Cancelled);
            }
            let count = block.min(images - start);
            let (scores, places) = (&mut scores[..count * probes], &mut places[..count * probes]);
            scores
                .par_chunks_mut(batch * probes)
                .zip(places.par_chunks_mut(batch * probes))
                .enumerate()
                .try_for_each(|(chunk, (scores, places))| {
                    let (first, n) = (start + chunk * batch, scores.len() / probes);
                    spare.evaluate(&self.network, &[self.source], |evaluator| {
                        read_batch(inputs, first..first + n, evaluator.input(n))?;
                        evaluator.forward();
                        self.read(evaluator, scores, places);
                        Ok::<(), InputError>(())
                    })
                })?;
            if let Some(wrong) = scores.iter().position(|score| !score.is_finite()) {
                return Err(UnitsError::NotFinite {
                    layer: self.layer.clone(),
                    image: start + wrong / probes,
                });
            }
            take(start, scores, places);
            monitor.progress((start + count) as u64, "");
        }
        Ok(())
    }

    /// The projections of the images that were just evaluated.
    fn read(&self, evaluator: &Evaluator<'_, f32>, scores: &mut [f32], places: &mut [u32]) {
        let probes = self.len();
        let graph = self.network.graph();
        let length = graph.value(self.source).len();
        let units = evaluator.value(self.source).chunks_exact(length);
        let length = self.directions * self.positions;
        let directions = evaluator.value(graph.output());
        let rows = scores
            .chunks_exact_mut(probes)
            .zip(places.chunks_exact_mut(probes));
        for (image, (units, (scores, places))) in units.zip(rows).enumerate() {
            let directions = match length {
                0 => &[],
                _ => &directions[image * length..][..length],
            };
            let maps = self
                .units
                .iter()
                .map(|unit| &units[unit * self.positions..][..self.positions])
                .chain(directions.chunks_exact(self.positions));
            for (map, (score, place)) in maps.zip(scores.iter_mut().zip(places)) {
                let largest = blindspot_net::argmax(map);
                (*score, *place) = (map[largest], largest as u32);
            }
        }
    }
}

/// Whether the probes fit the layer, and memory.
fn check(layer: &Layer, probes: &Probes) -> Result<(), UnitsError> {
    let (name, units) = (|| layer.name.clone(), layer.units);
    if probes.is_empty() {
        return Err(UnitsError::Nothing);
    }
    if let Some(&unit) = probes.units.iter().find(|&&unit| unit >= units) {
        let layer = name();
        return Err(UnitsError::Unit { unit, units, layer });
    }
    let unfit = |direction: &&Vec<f32>| {
        direction.len() != units || direction.iter().any(|value| !value.is_finite())
    };
    if let Some(direction) = probes.directions.iter().find(unfit) {
        return Err(UnitsError::Direction {
            found: direction.len(),
            units,
            layer: name(),
        });
    }
    let directions = probes.directions.len();
    let most = most_directions(layer);
    match directions > most {
        true => Err(UnitsError::Directions {
            directions,
            units,
            most,
        }),
        false => Ok(()),
    }
}

/// How many directions of a layer may be looked at in one pass.
pub(super) fn most_directions(layer: &Layer) -> usize {
    let positions: usize = layer.positions.iter().product();
    MOST_VALUES / layer.units.max(positions)
}
