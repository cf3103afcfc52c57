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

use super::affine::{ActivationLayer, AffineLayer, AffineLayers, LayerEvaluator, MAX_FUNCTIONS};
use super::ball::{self, PerturbationBox, Scratch};
use super::layer_relaxation::{Constant, MaxBounds, Relaxation};

/// The rows of the first affine layer's matrix, which are the same for all images.
pub(super) struct FirstLayer {
    rows: Vec<Row>,
}

/// A row of a matrix that may be sparse.
struct Row {
    coefficients: Vec<f64>,
    /// The coefficients' positions, if some were left out because they are 0.
    support: Option<Vec<u32>>,
}

impl FirstLayer {
    pub(super) fn new(layer: &AffineLayer) -> FirstLayer {
        let mut rows = Vec::with_capacity(layer.outputs);
        layer.for_each_row(|row| rows.push(Row::new(row)));
        FirstLayer { rows }
    }
}

impl Row {
    fn new(row: &[f64]) -> Row {
        let used: Vec<u32> = (0..row.len() as u32)
            .filter(|&i| row[i as usize] != 0.0)
            .collect();
        if 2 * used.len() > row.len() {
            Row {
                coefficients: row.to_vec(),
                support: None,
            }
        } else {
            Row {
                coefficients: used.iter().map(|&i| row[i as usize]).collect(),
                support: Some(used),
            }
        }
    }
}

/// Lower and upper bounds of a layer's pre-activations, the numbers that its activation takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Intervals {
    pub(super) lower: Vec<f64>,
    pub(super) upper: Vec<f64>,
}

/// All activations' relaxations within a radius, and the bounds that they were made from.
pub(super) struct Relaxed {
    pub(super) relaxations: Vec<Relaxation>,
    pub(super) intervals: Vec<Intervals>,
}

/// Linear functions of the input, one row of coefficients each.
struct InputFunctions {
    rows: Vec<f64>,
    constants: Vec<Constant>,
}

/// Lower bounds of linear functions, and the perturbations at which they are attained.
pub(super) struct AttainedBounds {
    pub(super) bounds: Vec<f64>,
    /// One perturbation after the other.
    pub(super) points: Vec<f64>,
}

/// Propagates bounds through a network, with the memory of one thread.
pub(super) struct BoundPropagation<'c> {
    layers: &'c AffineLayers,
    first: &'c FirstLayer,
    evaluators: Vec<LayerEvaluator<'c>>,
    scratch: Scratch,
}

impl<'c> BoundPropagation<'c> {
    pub(super) fn new(layers: &'c AffineLayers, first: &'c FirstLayer) -> BoundPropagation<'c> {
        BoundPropagation {
            layers,
            first,
            evaluators: layers.affine.iter().map(AffineLayer::evaluator).collect(),
            scratch: Scratch::default(),
        }
    }

    /// Bounds of all pre-activations within `radius`; None if one is not finite.
    pub(super) fn intervals(
        &mut self,
        domain: &PerturbationBox,
        radius: f64,
    ) -> Option<Vec<Intervals>> {
        Some(self.relax(domain, radius)?.intervals)
    }

    /// Relaxes all activations within `radius`; None if a pre-activation's bound is not finite.
    pub(super) fn relax(&mut self, domain: &PerturbationBox, radius: f64) -> Option<Relaxed> {
        let count = self.layers.activations.len();
        let mut relaxations: Vec<Relaxation> = Vec::with_capacity(count);
        let mut intervals: Vec<Intervals> = Vec::with_capacity(count);
        for (i, activation) in self.layers.activations.iter().enumerate() {
            let behind_relu = i > 0 && self.layers.activations[i - 1].is_relu();
            let Intervals { lower, upper } = match intervals.last() {
                // Right behind a ReLU, the ReLU of its interval is the tightest.
                Some(before) if behind_relu && self.layers.affine[i].is_identity() => {
                    let positive = |bounds: &Vec<f64>| bounds.iter().map(|b| b.max(0.0)).collect();
                    Intervals {
                        lower: positive(&before.lower),
                        upper: positive(&before.upper),
                    }
                }
                _ => self.bound_layer(i, &relaxations, domain, radius),
            };
            if !lower.iter().chain(&upper).all(|bound| bound.is_finite()) {
                return None;
            }
            relaxations.push(match activation {
                ActivationLayer::Elementwise(activation) => {
                    let intervals = lower.iter().zip(&upper);
                    Relaxation::Elementwise(
                        intervals
                            .map(|(&l, &u)| activation.linear_bounds(l, u.max(l)))
                            .collect(),
                    )
                }
                ActivationLayer::MaxPool(windows) => Relaxation::MaxPool(
                    windows
                        .iter()
                        .map(|window| MaxBounds::new(window, &lower, &upper))
                        .collect(),
                ),
            });
            intervals.push(Intervals { lower, upper });
        }
        Some(Relaxed {
            relaxations,
            intervals,
        })
    }

    /// A lower bound of the smallest margin of `label` over any other class within `radius`.
    pub(super) fn margin(&mut self, domain: &PerturbationBox, label: usize, radius: f64) -> f64 {
        let Some(Relaxed { relaxations, .. }) = self.relax(domain, radius) else {
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
            for margin in self.lower_bounds(last, rows, &relaxations, domain, radius) {
                let known = if margin.is_nan() {
                    f64::NEG_INFINITY
                } else {
                    margin
                };
                least = least.min(known);
            }
        }
        least
    }

    /// Bounds of what the activation behind affine layer `i` takes.
    fn bound_layer(
        &mut self,
        i: usize,
        relaxations: &[Relaxation],
        domain: &PerturbationBox,
        radius: f64,
    ) -> Intervals {
        if i == 0 {
            return self.bound_first_layer(domain, radius);
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
            let bounds = self.lower_bounds(i, rows, relaxations, domain, radius);
            intervals.lower.extend_from_slice(&bounds[..count]);
            let upper = bounds[count..].iter().map(|bound| -bound);
            intervals.upper.extend(upper);
        }
        intervals
    }

    /// Bounds of what the first activation takes, which is an affine function of the image.
    fn bound_first_layer(&mut self, domain: &PerturbationBox, radius: f64) -> Intervals {
        let layer = &self.layers.affine[0];
        let mut intervals = Intervals::default();
        let rows = self.first.rows.iter().take(self.layers.activated[0]);
        for (i, row) in rows.enumerate() {
            let support = row.support.as_deref();
            let scratch = &mut self.scratch;
            let [least, negated] =
                ball::min_both_signs(&row.coefficients, support, domain, radius, scratch);
            let rounding = ball::rounding(layer.terms, layer.magnitude[i]);
            intervals.lower.push(layer.bias[i] + least - rounding);
            intervals.upper.push(layer.bias[i] - negated + rounding);
        }
        intervals
    }

    /// Lower bounds of linear functions of the output of affine layer `i`, one row each.
    fn lower_bounds(
        &mut self,
        i: usize,
        rows: Vec<f64>,
        relaxations: &[Relaxation],
        domain: &PerturbationBox,
        radius: f64,
    ) -> Vec<f64> {
        let layers = self.layers;
        let functions = self.pull_back(i, rows, |at, rows, constants| {
            relaxations[at].pull_back(rows, layers, at, constants)
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
        through: impl FnMut(usize, Vec<f64>, &mut [Constant]) -> Vec<f64>,
        domain: &PerturbationBox,
        radius: f64,
    ) -> AttainedBounds {
        let functions = self.pull_back(self.layers.activations.len(), rows, through);
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
        AttainedBounds { bounds, points }
    }

    /// Pulls linear functions of the output of affine layer `i`, one row each, back to the image;
    /// `through` is as in [`lower_bounds_by`](Self::lower_bounds_by).
    fn pull_back(
        &mut self,
        i: usize,
        mut rows: Vec<f64>,
        mut through: impl FnMut(usize, Vec<f64>, &mut [Constant]) -> Vec<f64>,
    ) -> InputFunctions {
        let count = rows.len() / self.layers.affine[i].outputs;
        let mut constants = vec![Constant::default(); count];
        for at in (0..=i).rev() {
            let layer = &self.layers.affine[at];
            let functions = rows.chunks_exact(layer.outputs).zip(&mut constants);
            for (row, constant) in functions {
                let (mut sum, mut size) = (0.0, 0.0);
                for ((&s, &bias), &magnitude) in row.iter().zip(&layer.bias).zip(&layer.magnitude) {
                    sum += s * bias;
                    size += s.abs() * magnitude;
                }
                constant.add(sum, size, layer.terms + row.len());
            }
            self.evaluators[at].pull_back(count, &mut rows);
            if at > 0 {
                rows = through(at - 1, rows, &mut constants);
            }
        }
        InputFunctions { rows, constants }
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
