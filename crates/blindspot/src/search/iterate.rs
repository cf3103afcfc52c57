//! What a method that follows gradients sees at a point, and the steps that several methods share.

use super::bounds::FeasibleBox;
use super::vectors::length;

/// A point that has been evaluated, as an [`AttackMethod`](super::AttackMethod) sees it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Iterate<'a> {
    /// The original image.
    pub original: &'a [f32],
    /// Gradient, with respect to the point, of what
    /// [`output_gradient`](super::AttackMethod::output_gradient) asked for.
    pub gradient: &'a [f32],
    /// The [margin](super::Objective::margin) of the objective at the point.
    pub margin: f64,
    /// Whether the objective is reached, by more than rounding errors can undo.
    pub success: bool,
    pub(super) feasible_box: &'a FeasibleBox,
}

impl Iterate<'_> {
    /// The smallest value that the input may have at a position; may be -infinity.
    pub fn lower(&self, position: usize) -> f32 {
        self.feasible_box.lower[position]
    }

    /// The largest value that the input may have at a position; may be infinity.
    pub fn upper(&self, position: usize) -> f32 {
        self.feasible_box.upper[position]
    }

    /// What lengths are measured in, so that a method does the same on inputs in [0, 1] and in
    /// [0, 255]: the width of the widest range that a value has; 1 where that is open.
    pub fn unit(&self) -> f64 {
        self.feasible_box.unit()
    }

    /// The valid value at a position that is nearest to `value`.
    pub fn clip_value(&self, position: usize, value: f32) -> f32 {
        self.feasible_box.clip_value(position, value)
    }

    /// Moves each value of a point into its valid range.
    pub fn clip(&self, point: &mut [f32]) {
        self.feasible_box.clip(point);
    }

    /// Moves a point by `step` (L2) against the gradient's values that the box doesn't hold, and
    /// clips it.
    pub(super) fn step_in_box(&self, step: f64, point: &mut [f32]) {
        let free = |i: usize, value: f32| {
            let gradient = self.gradient[i];
            let held = gradient > 0.0 && value <= self.lower(i)
                || gradient < 0.0 && value >= self.upper(i);
            if held { 0.0 } else { gradient }
        };
        let square: f64 = (0..point.len())
            .map(|i| f64::from(free(i, point[i])).powi(2))
            .sum();
        let factor = (step / square.sqrt().max(f64::MIN_POSITIVE)) as f32;
        for i in 0..point.len() {
            point[i] = self.clip_value(i, point[i] - factor * free(i, point[i]));
        }
    }

    /// Moves a point by `step` (L2) against the gradient and projects its perturbation onto the
    /// sphere of radius `norm`, which may leave the box.
    pub(super) fn step_on_sphere(&self, step: f64, norm: f64, point: &mut [f32]) {
        let factor = (step / length(self.gradient).max(f64::MIN_POSITIVE)) as f32;
        let values = point.iter_mut().zip(self.original).zip(self.gradient);
        for ((point, &x), &gradient) in values {
            *point = *point - factor * gradient - x;
        }
        let scale = (norm / length(point).max(f64::MIN_POSITIVE)) as f32;
        for (point, &x) in point.iter_mut().zip(self.original) {
            *point = x + scale * *point;
        }
    }
}

/// Half a cosine from the first value to the last one, at a fraction of the way in [0, 1].
pub(super) fn cosine((first, last): (f64, f64), fraction: f64) -> f64 {
    last + (first - last) * 0.5 * (1.0 + (std::f64::consts::PI * fraction).cos())
}
