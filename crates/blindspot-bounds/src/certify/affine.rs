//! A network as affine layers with activations between them: the form that bounds are carried
//! through.
//!
//! Values that are needed again behind an activation (skip connections, parallel branches) stand
//! beside its input and pass through it unchanged: the next affine layer takes them together with
//! the activation's output. So a network that branches has this form, too.

use std::time::Instant;

use blindspot_model::Norm;
use blindspot_net::{Evaluator, ExactNetwork, Network, Node, Op, Operand, ValueId, WeightId};

use super::activation::{ActivationErrors, ActivationLayer, Role};
use super::arithmetic::{Rounding, Roundings};
use super::decrease::dual_norm;
use super::error::CertifyError;
use super::gates::Gates;
use super::interval::Intervals;
use super::lowered::Lowered;
use super::magnitude::{self, MagnitudeEvaluator, OUTWARD};
use super::part::Part;

/// An affine function of the values before it.
pub(super) struct AffineLayer {
    /// None if the layer is the identity.
    network: Option<Network<f64>>,
    /// The layer with the magnitudes of its weights for them, which gives the sum of the absolute
    /// values of all terms of an output; None if the layer is the identity.
    positive: Option<Network<f64>>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Its value at 0.
    pub(super) bias: Vec<f64>,
    /// For each output, a bound of the sum of the absolute values of all its terms, over all inputs
    /// that can occur: what rounding errors are measured by.
    pub(super) magnitude: Vec<f64>,
    /// For each output, the sum of the absolute values of its terms where all inputs are 0: the
    /// size of the biases.
    pub(super) bias_magnitude: Vec<f64>,
    /// An upper bound of the number of terms of any sum in it, over all its operators, when it is
    /// applied or pulled back here.
    pub(super) terms: usize,
    /// The roundings of a number on its way through it in a runtime.
    pub(super) roundings: Roundings,
}

/// The network: affine layers that alternate with activations, an affine layer first and last.
pub(super) struct AffineLayers {
    pub(super) affine: Vec<AffineLayer>,
    /// One fewer than the affine layers.
    pub(super) activations: Vec<ActivationLayer>,
    /// How many outputs of each affine layer, the first ones, go into the activation behind it; the
    /// others pass through unchanged.
    pub(super) activated: Vec<usize>,
    /// The first affine layer behind a function that grows without bound. From there on the sizes of
    /// terms that can occur over all inputs say nothing: those within a radius count.
    measured_from: usize,
}

/// The number of functions that are pulled back through a layer at a time, at most.
pub(super) const MAX_FUNCTIONS: usize = 64;

impl AffineLayers {
    /// Cuts a network into layers. Its inputs' absolute values are at most `largest`; a runtime
    /// computes it with `rounding`.
    ///
    /// # Errors
    /// [`CertifyError::Unsupported`] for an operator without bounds, [`CertifyError::Cut`] if the
    /// graph can't be cut.
    pub(super) fn new(
        lowered: &Lowered<'_>,
        largest: f64,
        rounding: &Rounding,
    ) -> Result<AffineLayers, CertifyError> {
        let exact = &*lowered.network;
        let graph = exact.network().graph();
        let mut layers = AffineLayers {
            affine: Vec::new(),
            activations: Vec::new(),
            activated: Vec::new(),
            measured_from: usize::MAX,
        };
        // The values behind the last activation, side by side, and bounds of their absolute values.
        let mut live = vec![graph.input()];
        let mut largest = vec![largest; graph.value(graph.input()).len()];
        // The last node that takes each value.
        let mut last_use = vec![0; graph.values().len()];
        for (at, node) in graph.nodes().iter().enumerate() {
            for operand in &node.inputs {
                if let Operand::Value(id) = operand {
                    last_use[id.index()] = at;
                }
            }
        }
        let gates = Gates::new(exact);
        // The affine nodes since the last activation.
        let mut pending: Vec<&Node> = Vec::new();
        for (at, node) in graph.nodes().iter().enumerate() {
            if gates.is_inside(at) {
                continue;
            }
            let role = match (lowered.meaning(node.output), gates.function(at)) {
                (Some(meaning), _) => Role::meant(graph, node, meaning),
                (None, Some((curve, number))) => Role::function(curve.clone(), *number),
                (None, None) => Role::of(exact, node)?,
            };
            let (activation, inputs) = match role {
                Role::Affine => {
                    pending.push(node);
                    continue;
                }
                Role::Activation(activation, inputs) => (activation, inputs),
            };
            let needed_later = |id: ValueId| last_use[id.index()] > at || id == graph.output();
            let known = live.iter().copied();
            let passing = known.chain(pending.iter().map(|node| node.output));
            let outputs: Vec<ValueId> = (inputs.iter().copied())
                .chain(passing.filter(|&id| needed_later(id)))
                .collect();
            let layer = AffineLayer::new(lowered, rounding, &live, &pending, &outputs, &largest)?;
            let count = inputs.iter().map(|id| graph.value(*id).len()).sum();
            let (activated, passing) = layer.magnitude.split_at(count);
            let all: Intervals = activated.iter().map(|&size| [-size, size]).collect();
            largest = activation.largest_outputs(&all, &ActivationErrors::None);
            largest.extend_from_slice(passing);
            layers.affine.push(layer);
            if activation.is_steep() {
                layers.measured_from = layers.measured_from.min(layers.affine.len());
            }
            layers.activations.push(activation);
            layers.activated.push(count);
            live = [node.output]
                .into_iter()
                .chain(outputs[inputs.len()..].iter().copied())
                .collect();
            pending.clear();
        }
        let output = [graph.output()];
        let last = AffineLayer::new(lowered, rounding, &live, &pending, &output, &largest)?;
        layers.affine.push(last);
        layers.activated.push(graph.value(graph.output()).len());
        Ok(layers)
    }

    /// Whether no value passes through an activation unchanged.
    pub(super) fn is_sequential(&self) -> bool {
        let pairs = self.affine.iter().zip(&self.activated);
        pairs
            .into_iter()
            .all(|(layer, &activated)| layer.outputs == activated)
    }

    /// Whether the sizes of an affine layer's terms are known for each radius only.
    pub(super) fn is_measured(&self, layer: usize) -> bool {
        layer >= self.measured_from
    }

    /// The number of the network's outputs.
    pub(super) fn classes(&self) -> usize {
        self.affine[self.activations.len()].outputs
    }
}

impl AffineLayer {
    /// The function by `nodes` from the values `live`, side by side, to the values `outputs`.
    fn new(
        lowered: &Lowered<'_>,
        rounding: &Rounding,
        live: &[ValueId],
        nodes: &[&Node],
        outputs: &[ValueId],
        largest: &[f64],
    ) -> Result<AffineLayer, CertifyError> {
        let count = largest.len();
        let exact = &*lowered.network;
        let graph = exact.network().graph();
        let mut roundings = Roundings::default();
        if live == [graph.input()] {
            roundings += Roundings::INPUT;
        }
        if live == outputs {
            return Ok(AffineLayer {
                network: None,
                positive: None,
                inputs: count,
                outputs: count,
                bias: vec![0.0; count],
                magnitude: largest.to_vec(),
                bias_magnitude: vec![0.0; count],
                terms: 1,
                roundings,
            });
        }
        let cut = |error: Box<dyn std::error::Error>| CertifyError::Cut(error.to_string());
        let numbers = |_: &Op, id: WeightId| exact.network().weights()[id.index()].clone();
        let part = Part {
            graph,
            live,
            nodes,
            targets: outputs,
        };
        let network = part.network(Op::clone, numbers, 0.0).map_err(cut)?;
        let sizes = |op: &Op, id| magnitude::of_weight(exact, op, id);
        // What is rounded below the smallest normal number has an absolute error.
        let floor = rounding.floor();
        let positive = part
            .network(magnitude::without_signs, sizes, floor)
            .map_err(cut)?;
        let values = network.graph().values().iter();
        let terms = values
            .map(|value| value.len() + ExactNetwork::ROUNDINGS)
            .sum();
        for node in nodes.iter().filter(|node| !lowered.is_exact(node.output)) {
            roundings += Roundings::of(exact, node);
        }
        let mut evaluator = Evaluator::new(&network);
        evaluator.input(1).fill(0.0);
        let bias = evaluator.forward().to_vec();
        let mut evaluator = MagnitudeEvaluator::new(Some(&positive));
        Ok(AffineLayer {
            inputs: count,
            outputs: bias.len(),
            magnitude: evaluator.at(largest, None),
            bias_magnitude: evaluator.at(&vec![0.0; count], None),
            bias,
            terms,
            roundings,
            network: Some(network),
            positive: Some(positive),
        })
    }

    /// Whether its output equals its input.
    pub(super) fn is_identity(&self) -> bool {
        self.network.is_none()
    }

    /// Hands the rows of the layer's matrix, one for each output, to `take` in their order.
    pub(super) fn for_each_row(&self, take: impl FnMut(&[f64])) {
        self.for_each_row_until(None, take);
    }

    /// As [`for_each_row`](AffineLayer::for_each_row), by a deadline; says whether all rows came in time.
    pub(super) fn for_each_row_until(
        &self,
        deadline: Option<Instant>,
        take: impl FnMut(&[f64]),
    ) -> bool {
        self.for_each_row_by(self.evaluator(), deadline, take)
    }

    /// The dual norms of the rows of the matrix of magnitudes, one for each output: how much more the
    /// sizes of its terms can be for each unit of a perturbation's norm.
    pub(super) fn magnitude_norms(&self, norm: Norm) -> Vec<f64> {
        let mut norms = Vec::with_capacity(self.outputs);
        let evaluator = LayerEvaluator::new(self.positive.as_ref());
        self.for_each_row_by(evaluator, None, |row| {
            norms.push(OUTWARD * dual_norm(norm, row));
        });
        norms
    }

    fn for_each_row_by(
        &self,
        mut evaluator: LayerEvaluator<'_>,
        deadline: Option<Instant>,
        mut take: impl FnMut(&[f64]),
    ) -> bool {
        for from in (0..self.outputs).step_by(MAX_FUNCTIONS) {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            let count = MAX_FUNCTIONS.min(self.outputs - from);
            let mut rows = vec![0.0; count * self.outputs];
            for i in 0..count {
                rows[i * self.outputs + from + i] = 1.0;
            }
            evaluator.pull_back(count, &mut rows);
            rows.chunks_exact(self.inputs).for_each(&mut take);
        }
        true
    }

    /// What applies the layer, and pulls functions of its output back to its input.
    pub(super) fn evaluator(&self) -> LayerEvaluator<'_> {
        LayerEvaluator::new(self.network.as_ref())
    }

    /// What bounds the terms of its outputs.
    pub(super) fn magnitude_evaluator(&self) -> MagnitudeEvaluator<'_> {
        MagnitudeEvaluator::new(self.positive.as_ref())
    }
}

/// An affine layer and the adjoint of its linear part, with their memory.
pub(super) struct LayerEvaluator<'a> {
    evaluator: Option<Evaluator<'a, f64>>,
    /// Whether it can go backward.
    is_ready: bool,
}

impl<'a> LayerEvaluator<'a> {
    fn new(network: Option<&'a Network<f64>>) -> LayerEvaluator<'a> {
        LayerEvaluator {
            evaluator: network.map(Evaluator::new),
            is_ready: false,
        }
    }

    /// Replaces the coefficients of `count` linear functions of the output, at most
    /// [`MAX_FUNCTIONS`], one row each, by their coefficients of the input.
    pub(super) fn pull_back(&mut self, count: usize, rows: &mut Vec<f64>) {
        if let Some(evaluator) = &mut self.evaluator {
            if !std::mem::replace(&mut self.is_ready, true) {
                // The backward pass needs a forward pass before it; with affine operators any input
                // will do.
                evaluator.input(MAX_FUNCTIONS).fill(0.0);
                evaluator.forward();
            }
            evaluator.input(count);
            let pulled = evaluator.backward(rows);
            rows.clear();
            rows.extend_from_slice(pulled);
        }
    }

    /// Replaces `count` inputs of the layer, at most [`MAX_FUNCTIONS`], one row each, by its
    /// outputs.
    pub(super) fn apply(&mut self, count: usize, rows: &mut Vec<f64>) {
        if let Some(evaluator) = &mut self.evaluator {
            evaluator.input(count).copy_from_slice(rows);
            let outputs = evaluator.forward();
            rows.clear();
            rows.extend_from_slice(outputs);
        }
    }
}
