//! Branch and bound for networks with ReLUs: linear bounds whose lines are optimised for the
//! function that is bounded, in subproblems where units are active or inactive.
//!
//! The line below an unstable ReLU may have any slope alpha from 0 to 1. In a part of the ball
//! where all inputs z of a unit have s z >= 0 (active: s = 1, inactive: s = -1), the unit is
//! linear, and a function is no less than the function minus beta s z for any multiplier beta >= 0
//! (beta-CROWN, Wang et al. 2021). So each function has a parameter for each unstable unit, a slope
//! or a multiplier, and every choice of them gives a bound. Steps along the bound's gradient
//! improve them. By the envelope theorem, that gradient is made of the units' inputs and
//! coefficients at the point where the bound is attained.
//!
//! If that is not enough, the ball is cut in two at the unit whose relaxation is the loosest at
//! that point, and so on. The bounds of the units' inputs stay those of the whole ball: to improve
//! them in the same way took more time than it saved.

use std::collections::BinaryHeap;

use super::activation::ActivationLayer;
use super::affine::{AffineLayers, MAX_FUNCTIONS};
use super::layer_relaxation::{Constant, Relaxation};
use super::outcome::Outcome;
use super::perturbation_box::PerturbationBox;
use super::propagation::{AttainedBounds, BoundPropagation, Errors, Relaxed};
use super::subproblem::{Next, Phase, Subproblem, Trial, UnitValues, UnstableUnit};

/// Steps that improve a subproblem's bound, at most. It starts from the parameters of the
/// subproblem that it was cut from, and branching again helps more than further steps.
const MAX_STEPS: usize = 2;
/// How far above 0 a step aims, as a fraction of how far below 0 the bound began.
const OVERSHOOT: f64 = 0.2;
/// The numbers that waiting subproblems hold at most: 128 MB for each thread.
const MAX_NUMBERS: usize = 1 << 24;

/// Linear bounds within one radius, with lines to be chosen for the unstable ReLUs.
pub(super) struct ReluBranching<'b, 'c> {
    propagation: &'b mut BoundPropagation<'c>,
    layers: &'c AffineLayers,
    domain: &'b PerturbationBox,
    radius: f64,
    /// The unstable units, layer after layer.
    pub(super) units: Vec<UnstableUnit>,
    /// The slopes of the lines below the units that their intervals alone suggest.
    slopes: Vec<f64>,
    /// The relaxation of everything but the unstable units, which have none here.
    relaxations: Vec<Relaxation>,
    /// What a runtime's rounding can change.
    errors: Errors,
    /// For each activation, the coefficients of its output in the functions that were bounded last.
    coefficients: Vec<Vec<f64>>,
}

/// Whether a network has ReLUs to branch on.
pub(super) fn has_relus(layers: &AffineLayers) -> bool {
    layers.activations.iter().any(ActivationLayer::is_relu)
}

impl<'b, 'c> ReluBranching<'b, 'c> {
    /// Bounds all pre-activations; None if a bound is not finite.
    pub(super) fn new(
        propagation: &'b mut BoundPropagation<'c>,
        domain: &'b PerturbationBox,
        radius: f64,
    ) -> Option<ReluBranching<'b, 'c>> {
        let relaxed = propagation.relax(domain, radius)?;
        Some(ReluBranching::of_relaxed(
            propagation,
            domain,
            radius,
            relaxed,
        ))
    }

    /// Goes on from all pre-activations' bounds.
    pub(super) fn of_relaxed(
        propagation: &'b mut BoundPropagation<'c>,
        domain: &'b PerturbationBox,
        radius: f64,
        relaxed: Relaxed,
    ) -> ReluBranching<'b, 'c> {
        let layers = propagation.layers();
        let Relaxed {
            mut relaxations,
            errors,
            ..
        } = relaxed;
        let (mut units, mut slopes) = (Vec::new(), Vec::new());
        let pairs = relaxations.iter_mut().zip(&layers.activations);
        for (layer, (relaxation, activation)) in pairs.enumerate() {
            let Relaxation::Elementwise(bounds) = relaxation else {
                continue;
            };
            for (at, unit) in bounds.iter_mut().enumerate() {
                // For a stable unit both lines are the unit itself.
                if activation.is_relu() && unit.lower != unit.upper {
                    let unit = std::mem::take(unit);
                    slopes.push(unit.lower.slope);
                    let upper = unit.upper;
                    units.push(UnstableUnit { layer, at, upper });
                }
            }
        }
        ReluBranching {
            propagation,
            layers,
            domain,
            radius,
            units,
            slopes,
            relaxations,
            errors,
            coefficients: vec![Vec::new(); layers.activations.len()],
        }
    }

    /// Whether functions of the network's output, one row each, are above 0 in the whole ball,
    /// which is branched at most `budget` times. `falsifies` tells whether a perturbation shows
    /// that one is not.
    pub(super) fn verify(
        &mut self,
        functions: &[f64],
        mut budget: usize,
        mut falsifies: impl FnMut(&[f64]) -> bool,
        stop: &dyn Fn() -> bool,
    ) -> Outcome {
        let mut waiting = BinaryHeap::new();
        let count = functions.len() / self.layers.classes();
        let slopes = self.slopes.clone();
        let mut whole = (0..count).map(|function| Subproblem::new(function, slopes.clone()));
        let mut batch: Vec<Subproblem> = whole.by_ref().take(MAX_FUNCTIONS).collect();
        let numbers = 2 * self.units.len() + self.domain.image.len();
        loop {
            self.improve(functions, &mut batch, stop);
            waiting.extend(batch.drain(..).filter(|one| one.bound <= 0.0));
            batch.extend(whole.by_ref().take(MAX_FUNCTIONS));
            if !batch.is_empty() {
                continue;
            }
            let Some(lowest) = waiting.peek() else {
                return Outcome::Verified;
            };
            if stop() {
                return Outcome::Unknown;
            }
            if waiting.len() * numbers > MAX_NUMBERS || falsifies(&lowest.point) {
                return Outcome::Falsified;
            }
            if budget == 0 {
                return Outcome::Unknown;
            }
            for _ in 0..(MAX_FUNCTIONS / 2).min(budget).min(waiting.len()) {
                let mut subproblem = waiting.pop().expect("no more are taken than wait");
                match subproblem.next {
                    Next::Branch { unit, s } => {
                        let mut other = subproblem.clone();
                        other.fix(unit, s, Phase::Active);
                        subproblem.fix(unit, s, Phase::Inactive);
                        batch.push(other);
                    }
                    Next::Improve => subproblem.use_patience(),
                    Next::GiveUp => return Outcome::Falsified,
                }
                batch.push(subproblem);
                budget -= 1;
            }
        }
    }

    /// Improves the bounds of at most [`MAX_FUNCTIONS`] subproblems until they are above 0.
    /// `functions` are functions of the network's output, one row each.
    fn improve(
        &mut self,
        functions: &[f64],
        subproblems: &mut [Subproblem],
        stop: &dyn Fn() -> bool,
    ) {
        let (outputs, inputs) = (self.layers.classes(), self.domain.image.len());
        let mut trials: Vec<Trial> = subproblems.iter_mut().map(Trial::new).collect();
        for step in 0..=MAX_STEPS {
            if trials.is_empty() || stop() {
                return;
            }
            let function =
                |trial: &Trial| &functions[trial.subproblem.function * outputs..][..outputs];
            let rows = trials.iter().flat_map(function).copied().collect();
            let AttainedBounds { bounds, points, .. } = self.bound(rows, &trials);
            let values = self.unit_values_at(&points, &trials);
            let mut found = bounds.iter().zip(points.chunks_exact(inputs)).zip(&values);
            trials.retain_mut(|trial| {
                let Some(((&bound, point), values)) = found.next() else {
                    return false;
                };
                if step == 0 {
                    trial.first = bound;
                }
                if step == 0 || bound > trial.subproblem.bound {
                    trial.keep(bound, point, values);
                }
                let wanted = OVERSHOOT * trial.first.abs() - bound;
                trial.subproblem.bound <= 0.0 && step < MAX_STEPS && trial.step(values, wanted)
            });
        }
    }

    /// Lower bounds by the parameters under trial.
    pub(super) fn bound(&mut self, rows: Vec<f64>, trials: &[Trial<'_>]) -> AttainedBounds {
        let ReluBranching {
            propagation,
            layers,
            units,
            relaxations,
            errors,
            coefficients,
            ..
        } = self;
        let through_units = |layer: usize, rows: Vec<f64>, constants: &mut [Constant]| {
            coefficients[layer].clone_from(&rows);
            let before = (layer, errors.magnitude(layers, layer));
            let mut out = relaxations[layer].pull_back(rows, layers, before, constants);
            let own = units_of_layer(units, layer);
            if own.is_empty() {
                return out;
            }
            let width = out.len() / trials.len();
            for (k, constant) in constants.iter_mut().enumerate() {
                // A ReLU layer has as many outputs as inputs.
                let (row, coefficients) =
                    (&mut out[k * width..], &coefficients[layer][k * width..]);
                let (mut sum, mut size) = (0.0, 0.0);
                for u in own.clone() {
                    let at = units[u].at;
                    let term = trials[k].unit_bound(u, units).pull_back(coefficients[at]);
                    row[at] = term.coefficient;
                    sum += term.constant;
                    size += term.constant.abs();
                }
                constant.add(sum, size, own.len());
            }
            out
        };
        propagation.lower_bounds_by(rows, errors, through_units, self.domain, self.radius)
    }

    /// Each trial's unit values at the perturbation where its bound is attained: the perturbed
    /// image goes through the relaxation that was chosen.
    fn unit_values_at(&mut self, points: &[f64], trials: &[Trial<'_>]) -> Vec<Vec<UnitValues>> {
        let count = trials.len();
        let image = self.domain.image.iter().cycle();
        let mut rows: Vec<f64> = points.iter().zip(image).map(|(d, x)| x + d).collect();
        let mut values = vec![Vec::with_capacity(self.units.len()); count];
        for layer in 0..self.layers.activations.len() {
            let own = units_of_layer(&self.units, layer);
            if own.start == self.units.len() {
                break;
            }
            self.propagation.apply(layer, count, &mut rows);
            let coefficients = &self.coefficients[layer];
            let (below, above) = (rows.len() / count, coefficients.len() / count);
            let relaxation = &self.relaxations[layer];
            let activated = self.layers.activated[layer];
            let mut next = Vec::with_capacity(coefficients.len());
            for (k, trial) in trials.iter().enumerate() {
                let inputs = &rows[k * below..][..below];
                let coefficients = &coefficients[k * above..][..above];
                let start = next.len();
                relaxation.apply(inputs, coefficients, activated, &mut next);
                for u in own.clone() {
                    let at = self.units[u].at;
                    let (s, z) = (coefficients[at], inputs[at]);
                    let output = trial.unit_bound(u, &self.units).output(s, z);
                    next[start + at] = output;
                    values[k].push(UnitValues { s, z, output });
                }
            }
            rows = next;
        }
        values
    }
}

/// The unstable units of a layer, as positions in `units`.
fn units_of_layer(units: &[UnstableUnit], layer: usize) -> std::ops::Range<usize> {
    let before = |layer: usize| units.partition_point(|unit| unit.layer < layer);
    before(layer)..before(layer + 1)
}
