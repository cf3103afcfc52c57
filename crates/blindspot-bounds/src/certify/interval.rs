//! Intervals propagated forward through the network: looser than linear bounds, and as cheap as a few
//! evaluations of it. They are what a deadline leaves time for.
//!
//! An affine layer takes an interval's middle c and half width w to A c + b and |A| w, the matrix of
//! magnitudes being no smaller than |A|. What rounding adds is as for linear bounds
//! ([`propagation`](super::propagation)).

use super::affine::MAX_FUNCTIONS;
use super::ball;
use super::layer_relaxation::Constant;
use super::magnitude::OUTWARD;
use super::perturbation_box::PerturbationBox;
use super::propagation::{BoundPropagation, Errors};

/// Lower and upper bounds of numbers, such as those that an activation takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Intervals {
    pub(super) lower: Vec<f64>,
    pub(super) upper: Vec<f64>,
}

impl Intervals {
    pub(super) fn are_finite(&self) -> bool {
        let mut bounds = self.lower.iter().chain(&self.upper);
        bounds.all(|bound| bound.is_finite())
    }

    /// Keeps the first `count` and returns the others.
    pub(super) fn split_off(&mut self, count: usize) -> Intervals {
        Intervals {
            lower: self.lower.split_off(count),
            upper: self.upper.split_off(count),
        }
    }

    pub(super) fn extend(&mut self, others: Intervals) {
        self.lower.extend(others.lower);
        self.upper.extend(others.upper);
    }
}

impl FromIterator<[f64; 2]> for Intervals {
    fn from_iter<I: IntoIterator<Item = [f64; 2]>>(bounds: I) -> Intervals {
        let (lower, upper) = bounds.into_iter().map(|[l, u]| (l, u)).unzip();
        Intervals { lower, upper }
    }
}

/// Middles and half widths of intervals, the latter rounded up.
pub(super) struct Middles {
    pub(super) middles: Vec<f64>,
    pub(super) widths: Vec<f64>,
}

impl Middles {
    pub(super) fn of(intervals: &Intervals) -> Middles {
        let pairs = || intervals.lower.iter().zip(&intervals.upper);
        let middles: Vec<f64> = pairs().map(|(l, u)| 0.5 * l + 0.5 * u).collect();
        let widths = pairs()
            .zip(&middles)
            .map(|((l, u), middle)| (u - middle).max(middle - l) * (1.0 + 4.0 * f64::EPSILON));
        Middles {
            widths: widths.collect(),
            middles,
        }
    }

    /// Bounds of the absolute values.
    fn sizes(&self) -> Vec<f64> {
        let pairs = self.middles.iter().zip(&self.widths);
        pairs.map(|(middle, width)| middle.abs() + width).collect()
    }
}

impl BoundPropagation<'_> {
    /// A lower bound of the smallest margin of `label` over any other class within `radius`, by
    /// intervals alone.
    pub(super) fn interval_margin(
        &mut self,
        domain: &PerturbationBox,
        label: usize,
        radius: f64,
    ) -> f64 {
        self.below_last_layer(domain, radius)
            .map_or(f64::NEG_INFINITY, |(inputs, errors)| {
                self.margin_over(&inputs, &errors, label)
            })
    }

    /// Intervals of what the last affine layer takes, and the errors of all layers; None if a bound is
    /// not finite, or the network is affine, or the time is up.
    fn below_last_layer(
        &mut self,
        domain: &PerturbationBox,
        radius: f64,
    ) -> Option<(Intervals, Errors)> {
        let layers = self.layers();
        if layers.activations.is_empty() {
            return None;
        }
        let mut errors = Errors::default();
        let mut inputs = Intervals::default();
        let mut largest: Vec<f64> = domain.image.iter().map(|x| x.abs()).collect();
        for (i, activation) in layers.activations.iter().enumerate() {
            if self.is_late() {
                return None;
            }
            let sizes = self.add_errors(i, &largest, (domain, radius), &mut errors);
            let mut outputs = match i {
                0 => {
                    let all = layers.affine[0].outputs;
                    self.bound_first_layer(all, &errors.layers[0], domain, radius)
                }
                _ => self.through_affine(i, &inputs, &errors.layers[i]),
            };
            if !outputs.are_finite() {
                return None;
            }
            let passing = outputs.split_off(layers.activated[i]);
            let own = self.activation_errors(activation, &outputs);
            largest = activation.largest_outputs(&outputs, &own);
            largest.extend_from_slice(&sizes[layers.activated[i]..]);
            inputs = activation.outputs(&outputs, &own);
            inputs.extend(passing);
            errors.activations.push(own);
        }
        self.add_errors(
            layers.activations.len(),
            &largest,
            (domain, radius),
            &mut errors,
        );
        errors.end = self.end_error();
        Some((inputs, errors))
    }

    /// Intervals of the outputs of affine layer `i`, whose errors are these.
    fn through_affine(&mut self, i: usize, inputs: &Intervals, errors: &[f64]) -> Intervals {
        let layer = &self.layers().affine[i];
        let inputs = Middles::of(inputs);
        let mut terms = self.magnitudes_of(i, &inputs.sizes()).into_iter();
        let widths = self.magnitudes_of(i, &inputs.widths);
        let mut middles = inputs.middles;
        self.apply(i, 1, &mut middles);
        let mut outputs = Intervals::default();
        let numbers = middles.iter().zip(widths).zip(&layer.bias_magnitude);
        for (j, ((middle, width), bias)) in numbers.enumerate() {
            // Both are rounded up, the bias is to be taken off rounded down.
            let width = (width - bias / (OUTWARD * OUTWARD)).max(0.0) + 4.0 * f64::EPSILON * width;
            let rounding = ball::rounding(layer.terms, terms.next().unwrap_or(f64::INFINITY));
            let far = width + rounding + errors.get(j).copied().unwrap_or(0.0);
            outputs.lower.push(middle - far);
            outputs.upper.push(middle + far);
        }
        outputs
    }

    /// The smallest margin of `label` over any other class for inputs of the last affine layer in
    /// these intervals.
    fn margin_over(&mut self, inputs: &Intervals, errors: &Errors, label: usize) -> f64 {
        let layers = self.layers();
        let (last, classes) = (layers.activations.len(), layers.classes());
        let inputs = Middles::of(inputs);
        let others: Vec<usize> = (0..classes).filter(|&class| class != label).collect();
        let mut least = f64::INFINITY;
        for others in others.chunks(MAX_FUNCTIONS) {
            let mut rows = vec![0.0; others.len() * classes];
            for (row, &other) in rows.chunks_exact_mut(classes).zip(others) {
                (row[label], row[other]) = (1.0, -1.0);
            }
            let mut constants = vec![Constant::default(); others.len()];
            for constant in &mut constants {
                constant.allow(errors.end);
            }
            self.pull_through(last, &mut rows, errors, &mut constants);
            let rows = rows.chunks_exact(inputs.middles.len());
            for (row, constant) in rows.zip(constants) {
                let (mut lowest, mut size) = (0.0, 0.0);
                let numbers = inputs.middles.iter().zip(&inputs.widths);
                for (s, (middle, width)) in row.iter().zip(numbers) {
                    lowest += s * middle - s.abs() * width;
                    size += s.abs() * (middle.abs() + width);
                }
                let margin = constant.below(lowest - ball::rounding(2 * row.len(), size));
                least = least.min(ball::known_margin(margin));
            }
        }
        least
    }
}
