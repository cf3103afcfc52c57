//! Linear bounds propagated backward through the network (CROWN, Zhang et al. 2018), with the ball
//! and the box together at the input.
//!
//! A linear function of an affine layer's output is a linear function of the layer's input, too. An
//! activation is replaced by its relaxation: by the lower line if the coefficient of its output is
//! positive and by the upper line if it is negative, so that the function never becomes larger.
//! What is left at the input is minimised exactly ([`ball`](super::ball)). In this way every
//! pre-activation gets bounds, these give the next layer's relaxation, and in the end the margin of
//! the label over each other class has a lower bound.
//!
//! # Rounding
//!
//! All numbers are f64. The coefficients computed differ from those of exact arithmetic; what
//! counts is by how much the function's value can differ. A backward step through an affine layer
//! computes, for coefficients s, the product A' s with an error of at most gamma |A|' |s| (Higham
//! 2002, section 3.5; gamma is the number of terms of all its sums times the unit roundoff,
//! whatever their order). On values h before the layer that moves the function by at most gamma |s|
//! (|A| |h| + |b|). The vector in brackets is bounded once for all inputs of the box
//! ([`AffineLayer::magnitude`](super::affine::AffineLayer)), so each step costs one more scalar
//! product. The lines are rounded outward ([`relaxation`](super::relaxation)); a coefficient times
//! a slope, or minus a multiplier ([`relu_branching`](super::relu_branching)), is rounded once,
//! which one more unit in gamma covers. Constants and the final minimum subtract the rounding of
//! their own sums. Overflow gives infinities or NaN, which certify nothing.
//!
//! # A runtime's rounding
//!
//! A network that a runtime computes is the exact one with a little added to each layer's output:
//! at most gamma (|A| |h| + |b|), h being the values that the runtime has before the layer
//! ([`arithmetic`](super::arithmetic)). A function with the coefficients s of that output changes
//! by at most gamma |s| (|A| |h| + |b|). So the same scalar product is subtracted once more, with
//! the runtime's gamma, and with |h| bounded by the intervals within the radius. The intervals in
//! turn hold for the values that a runtime has.

use std::time::Instant;

use super::activation::{ActivationErrors, ActivationLayer};
use super::affine::{AffineLayer, AffineLayers, LayerEvaluator, MAX_FUNCTIONS};
use super::arithmetic::Rounding;
use super::ball::{self, Scratch};
use super::first_layer::FirstLayer;
use super::interval::{Intervals, Middles};
use super::layer_relaxation::{Constant, MaxBounds, Relaxation};
use super::magnitude::MagnitudeEvaluator;
use super::perturbation_box::PerturbationBox;
use super::products::ProductBounds;

/// All activations' relaxations within a radius, and the bounds that they were made from.
#[derive(Default)]
pub(super) struct Relaxed {
    pub(super) relaxations: Vec<Relaxation>,
    pub(super) intervals: Vec<Intervals>,
    pub(super) errors: Errors,
}

/// How far rounding can move the values that a runtime computes, within a radius.
#[derive(Debug, Clone, Default)]
pub(super) struct Errors {
    /// For each affine layer, of its outputs, given its computed inputs.
    pub(super) layers: Vec<Vec<f64>>,
    /// For each affine layer whose sizes are known for each radius only, the sizes of its terms.
    measured: Vec<Option<Vec<f64>>>,
    /// For each activation, of its outputs, given its computed inputs.
    pub(super) activations: Vec<ActivationErrors>,
    /// Of any margin at the end of the network.
    pub(super) end: f64,
}

impl Errors {
    /// The sizes of the terms of an affine layer's outputs.
    pub(super) fn magnitude<'a>(&'a self, layers: &'a AffineLayers, i: usize) -> &'a [f64] {
        match self.measured.get(i) {
            Some(Some(sizes)) => sizes,
            _ => &layers.affine[i].magnitude,
        }
    }
}

/// Linear functions of the input, one row of coefficients each.
struct InputFunctions {
    rows: Vec<f64>,
    constants: Vec<Constant>,
}

/// Lower bounds of linear functions, and the perturbations at which they are attained.
pub(super) struct AttainedBounds {
    pub(super) bounds: Vec<f64>,
    /// The coefficients of the input in the linear functions that bound them, one row after the other.
    pub(super) rows: Vec<f64>,
    /// One perturbation after the other.
    pub(super) points: Vec<f64>,
}

/// Propagates bounds through a network, with the memory of one thread.
pub(super) struct BoundPropagation<'c> {
    layers: &'c AffineLayers,
    first: &'c FirstLayer,
    evaluators: Vec<LayerEvaluator<'c>>,
    magnitudes: Vec<MagnitudeEvaluator<'c>>,
    /// The rounding that bounds allow for beside that of their own computation.
    rounding: Option<EndRounding>,
    /// When it stops: from then on no bound is known.
    deadline: Option<Instant>,
    scratch: Scratch,
}

/// The rounding of a runtime, and how far it can move a margin at the end of a network.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndRounding {
    pub(super) rounding: Rounding,
    pub(super) end: f64,
}

impl<'c> BoundPropagation<'c> {
    pub(super) fn new(layers: &'c AffineLayers, first: &'c FirstLayer) -> BoundPropagation<'c> {
        BoundPropagation {
            layers,
            first,
            evaluators: layers.affine.iter().map(AffineLayer::evaluator).collect(),
            magnitudes: (layers.affine.iter())
                .map(AffineLayer::magnitude_evaluator)
                .collect(),
            rounding: None,
            deadline: None,
            scratch: Scratch::default(),
        }
    }

    /// Bounds the values that a runtime with this rounding has; those of exact arithmetic if None.
    pub(super) fn set_rounding(&mut self, rounding: Option<EndRounding>) {
        self.rounding = rounding;
    }

    /// Ends every propagation at this time, without a bound.
    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Whether the time is up.
    pub(super) fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// What a runtime's rounding can take off a margin at the end of the network.
    pub(super) fn end_error(&self) -> f64 {
        self.rounding.map_or(0.0, |runtime| runtime.end)
    }

    /// How far a runtime's outputs of an activation can be from the functions of its inputs in these
    /// intervals.
    pub(super) fn activation_errors(
        &self,
        activation: &ActivationLayer,
        inputs: &Intervals,
    ) -> ActivationErrors {
        let of = |runtime: EndRounding| activation.errors(&runtime.rounding, inputs);
        self.rounding.map_or(ActivationErrors::None, of)
    }

    /// The sums of the absolute values of all terms of the outputs of affine layer `i`, for inputs of
    /// absolute values up to `largest`.
    pub(super) fn magnitudes_of(&mut self, i: usize, largest: &[f64]) -> Vec<f64> {
        self.magnitudes[i].at(largest, None)
    }

    /// Relaxes all activations within `radius`; None if a pre-activation's bound is not finite, or the
    /// time is up.
    pub(super) fn relax(&mut self, domain: &PerturbationBox, radius: f64) -> Option<Relaxed> {
        let layers = self.layers;
        let mut relaxed = Relaxed::default();
        let mut largest: Vec<f64> = domain.image.iter().map(|x| x.abs()).collect();
        for (i, activation) in layers.activations.iter().enumerate() {
            let sizes = self.add_errors(i, &largest, (domain, radius), &mut relaxed.errors);
            let behind_relu = i > 0 && layers.activations[i - 1].is_relu();
            let intervals = match relaxed.intervals.last() {
                // Right behind a ReLU, the ReLU of its interval is the tightest.
                Some(before) if behind_relu && layers.affine[i].is_identity() => {
                    let positive = |bounds: &Vec<f64>| bounds.iter().map(|b| b.max(0.0)).collect();
                    Intervals {
                        lower: positive(&before.lower),
                        upper: positive(&before.upper),
                    }
                }
                _ => self.bound_layer(i, &relaxed, domain, radius),
            };
            if !intervals.are_finite() {
                return None;
            }
            let Intervals { lower, upper } = &intervals;
            relaxed.relaxations.push(match activation {
                ActivationLayer::Elementwise(activation) => {
                    let intervals = lower.iter().zip(upper);
                    Relaxation::Elementwise(
                        intervals
                            .map(|(&l, &u)| activation.linear_bounds(l, u.max(l)))
                            .collect(),
                    )
                }
                ActivationLayer::Curves(curves) => {
                    let intervals = lower.iter().zip(upper).zip(curves.iter().cycle());
                    Relaxation::Elementwise(
                        intervals
                            .map(|((&l, &u), curve)| curve.linear_bounds(l, u.max(l)))
                            .collect(),
                    )
                }
                ActivationLayer::MaxPool(windows) => Relaxation::MaxPool(
                    windows
                        .iter()
                        .map(|window| MaxBounds::new(window, lower, upper))
                        .collect(),
                ),
                ActivationLayer::Products(sums)
                | ActivationLayer::Squares { squares: sums, .. } => {
                    let middles = Middles::of(&intervals);
                    let bounds = sums.iter();
                    Relaxation::Products(
                        bounds
                            .map(|pairs| ProductBounds::new(pairs, &middles))
                            .collect(),
                    )
                }
            });
            let errors = self.activation_errors(activation, &intervals);
            largest = activation.largest_outputs(&intervals, &errors);
            largest.extend_from_slice(&sizes[lower.len()..]);
            relaxed.errors.activations.push(errors);
            relaxed.intervals.push(intervals);
        }
        self.add_errors(
            layers.activations.len(),
            &largest,
            (domain, radius),
            &mut relaxed.errors,
        );
        relaxed.errors.end = self.end_error();
        Some(relaxed)
    }

    /// Adds the errors of affine layer `i`, whose inputs have absolute values up to `largest`; those
    /// of the first one are the image's, from which inputs may be as far as `radius`. Returns bounds
    /// of the absolute values of its outputs.
    pub(super) fn add_errors(
        &mut self,
        i: usize,
        largest: &[f64],
        (domain, radius): (&PerturbationBox, f64),
        errors: &mut Errors,
    ) -> Vec<f64> {
        let layer = &self.layers.affine[i];
        let magnitudes = &mut self.magnitudes[i];
        let is_measured = self.layers.is_measured(i);
        let Some(EndRounding { rounding, .. }) = &self.rounding else {
            errors.layers.push(Vec::new());
            let sizes = is_measured.then(|| magnitudes.at(largest, None));
            errors.measured.push(sizes.clone());
            return sizes.unwrap_or_else(|| layer.magnitude.clone());
        };
        let sizes: Vec<f64> = if i == 0 {
            // All values that far would be farther than the radius together; but only that tells
            // whether numbers on the way overflow.
            let far = magnitudes.at(&domain.largest_within(radius), Some(rounding));
            let most = radius * domain.unit();
            let sizes = magnitudes.at(largest, None).into_iter();
            let norms = self.first.magnitude_norms.iter();
            let each = sizes.zip(norms).zip(far);
            each.map(|((size, norm), far)| match far {
                f64::INFINITY => far,
                _ => far.min(size + most * norm),
            })
            .collect()
        } else {
            magnitudes.at(largest, Some(rounding))
        };
        errors.measured.push(is_measured.then(|| sizes.clone()));
        let relative = rounding.relative(layer.roundings);
        // Where the layer is the identity nothing is rounded, however large it is.
        let error = |size: &f64| if relative > 0.0 { relative * size } else { 0.0 };
        errors.layers.push(sizes.iter().map(error).collect());
        sizes.iter().map(|size| size * (1.0 + relative)).collect()
    }

    /// A lower bound of the smallest margin of `label` over any other class within `radius`.
    pub(super) fn margin(&mut self, domain: &PerturbationBox, label: usize, radius: f64) -> f64 {
        let Some(relaxed) = self.relax(domain, radius) else {
            return f64::NEG_INFINITY;
        };
        let classes = self.layers.classes();
        let others: Vec<usize> = (0..classes).filter(|&class| class != label).collect();
        let last = self.layers.activations.len();
        let mut least = f64::INFINITY;
        for others in others.chunks(MAX_FUNCTIONS) {
            let mut rows = vec![0.0; others.len() * classes];
            for (row, &other) in rows.chunks_exact_mut(classes).zip(others) {
                (row[label], row[other]) = (1.0, -1.0);
            }
            for margin in self.lower_bounds(last, rows, &relaxed, domain, radius) {
                least = least.min(ball::known_margin(margin));
            }
        }
        least
    }

    /// Bounds of what the activation behind affine layer `i` takes.
    fn bound_layer(
        &mut self,
        i: usize,
        relaxed: &Relaxed,
        domain: &PerturbationBox,
        radius: f64,
    ) -> Intervals {
        if i == 0 {
            let activated = self.layers.activated[0];
            return self.bound_first_layer(activated, &relaxed.errors.layers[0], domain, radius);
        }
        let layer = &self.layers.affine[i];
        let mut intervals = Intervals::default();
        let activated = self.layers.activated[i];
        for from in (0..activated).step_by(MAX_FUNCTIONS / 2) {
            let count = (MAX_FUNCTIONS / 2).min(activated - from);
            let mut rows = vec![0.0; 2 * count * layer.outputs];
            for k in 0..count {
                rows[k * layer.outputs + from + k] = 1.0;
                rows[(count + k) * layer.outputs + from + k] = -1.0;
            }
            let bounds = self.lower_bounds(i, rows, relaxed, domain, radius);
            intervals.lower.extend_from_slice(&bounds[..count]);
            let upper = bounds[count..].iter().map(|bound| -bound);
            intervals.upper.extend(upper);
        }
        intervals
    }

    /// Bounds of the first `count` outputs of the first affine layer, up to the `errors` of a runtime.
    pub(super) fn bound_first_layer(
        &mut self,
        count: usize,
        errors: &[f64],
        domain: &PerturbationBox,
        radius: f64,
    ) -> Intervals {
        let layer = (&self.layers.affine[0], count);
        let scratch = &mut self.scratch;
        self.first.bounds(layer, errors, (domain, radius), scratch)
    }

    /// Lower bounds of linear functions of the output of affine layer `i`, one row each.
    fn lower_bounds(
        &mut self,
        i: usize,
        rows: Vec<f64>,
        relaxed: &Relaxed,
        domain: &PerturbationBox,
        radius: f64,
    ) -> Vec<f64> {
        let layers = self.layers;
        let Relaxed {
            relaxations,
            errors,
            ..
        } = relaxed;
        let functions = self.pull_back(i, rows, errors, |at, rows, constants| {
            let before = (at, errors.magnitude(layers, at));
            relaxations[at].pull_back(rows, layers, before, constants)
        });
        functions
            .rows
            .chunks_exact(layers.affine[0].inputs)
            .zip(functions.constants)
            .map(|(row, constant)| {
                let scratch = &mut self.scratch;
                constant.below(ball::min_value(row, 1.0, None, domain, radius, scratch))
            })
            .collect()
    }

    /// Lower bounds of linear functions of the network's output, one row each, and the
    /// perturbations at which they are attained. `through` replaces the activations: it gets an
    /// activation's index, functions of its output and their constants, and returns functions of
    /// its input.
    pub(super) fn lower_bounds_by(
        &mut self,
        rows: Vec<f64>,
        errors: &Errors,
        through: impl FnMut(usize, Vec<f64>, &mut [Constant]) -> Vec<f64>,
        domain: &PerturbationBox,
        radius: f64,
    ) -> AttainedBounds {
        let functions = self.pull_back(self.layers.activations.len(), rows, errors, through);
        let mut points = vec![0.0; functions.rows.len()];
        let inputs = self.layers.affine[0].inputs;
        let rows = functions.rows.chunks_exact(inputs);
        let bounds = rows
            .zip(functions.constants)
            .zip(points.chunks_exact_mut(inputs))
            .map(|((row, constant), point)| {
                let scratch = &mut self.scratch;
                constant.below(ball::min_value_at(row, domain, radius, scratch, point))
            })
            .collect();
        AttainedBounds {
            bounds,
            rows: functions.rows,
            points,
        }
    }

    /// Pulls linear functions of the output of affine layer `i`, one row each, back to the image;
    /// `through` is as in [`lower_bounds_by`](Self::lower_bounds_by).
    fn pull_back(
        &mut self,
        i: usize,
        mut rows: Vec<f64>,
        errors: &Errors,
        mut through: impl FnMut(usize, Vec<f64>, &mut [Constant]) -> Vec<f64>,
    ) -> InputFunctions {
        let count = rows.len() / self.layers.affine[i].outputs;
        let mut constants = vec![Constant::default(); count];
        if i == self.layers.activations.len() {
            constants
                .iter_mut()
                .for_each(|constant| constant.allow(errors.end));
        }
        for at in (0..=i).rev() {
            self.pull_through(at, &mut rows, errors, &mut constants);
            if at > 0 {
                let width = rows.len() / count;
                for (row, constant) in rows.chunks_exact(width).zip(&mut constants) {
                    constant.allow(errors.activations[at - 1].of_function(row));
                }
                rows = through(at - 1, rows, &mut constants);
            }
        }
        InputFunctions { rows, constants }
    }

    /// Pulls linear functions of the output of affine layer `at`, one row each, back to its input. When
    /// the time is up, the functions are replaced by 0 and their constants by what bounds nothing.
    pub(super) fn pull_through(
        &mut self,
        at: usize,
        rows: &mut Vec<f64>,
        errors: &Errors,
        constants: &mut [Constant],
    ) {
        let layer = &self.layers.affine[at];
        if self.is_late() {
            *rows = vec![0.0; layer.inputs * constants.len()];
            constants
                .iter_mut()
                .for_each(|constant| constant.allow(f64::INFINITY));
            return;
        }
        let functions = rows.chunks_exact(layer.outputs).zip(constants.iter_mut());
        for (row, constant) in functions {
            let (mut sum, mut size) = (0.0, 0.0);
            let magnitudes = errors.magnitude(self.layers, at);
            for ((&s, &bias), &magnitude) in row.iter().zip(&layer.bias).zip(magnitudes) {
                sum += s * bias;
                size += s.abs() * magnitude;
            }
            constant.add(sum, size, layer.terms + row.len());
            let errors = row.iter().zip(&errors.layers[at]);
            constant.allow(errors.map(|(s, error)| s.abs() * error).sum());
        }
        self.evaluators[at].pull_back(constants.len(), rows);
    }

    /// Replaces `count` inputs of affine layer `at`, one row each, by its outputs.
    pub(super) fn apply(&mut self, at: usize, count: usize, rows: &mut Vec<f64>) {
        self.evaluators[at].apply(count, rows);
    }

    /// The network that is bounded.
    pub(super) fn layers(&self) -> &'c AffineLayers {
        self.layers
    }
}
