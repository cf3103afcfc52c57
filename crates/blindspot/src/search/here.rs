//! What a search that steps along gradients sees where it stands, and the steps' common parts.

use super::ranges::Room;

/// Where a search stands, and what it sees there.
pub(super) struct Here<'a> {
    pub(super) original: &'a [f32],
    pub(super) room: &'a Room,
    /// That of what was asked for, with respect to the input.
    pub(super) gradient: &'a [f32],
    /// By how much the goal is reached.
    pub(super) margin: f64,
    /// Whether it is reached clearly.
    pub(super) feasible: bool,
}

impl Here<'_> {
    /// Moves a point into its range.
    pub(super) fn clip(&self, point: &mut [f32]) {
        for (i, value) in point.iter_mut().enumerate() {
            *value = self.room.inside(i, *value);
        }
    }

    /// A step of this length against the gradient, then to this norm.
    pub(super) fn turn(&self, step: f64, norm: f64, point: &mut [f32]) {
        let factor = (step / length(self.gradient).max(f64::MIN_POSITIVE)) as f32;
        let values = point.iter_mut().zip(self.original).zip(self.gradient);
        for ((point, &x), &gradient) in values {
            *point = *point - factor * gradient - x;
        }
        let scale = (norm / length(point).max(f64::MIN_POSITIVE)) as f32;
        for (point, &x) in point.iter_mut().zip(self.original) {
            *point = x + scale * *point;
        }
        self.clip(point);
    }
}

/// The L2 norm of a vector.
pub(super) fn length(vector: &[f32]) -> f64 {
    let sum: f64 = vector.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    sum.sqrt()
}

/// Half a cosine from the first value to the last one.
pub(super) fn cosine((first, last): (f64, f64), part: f64) -> f64 {
    last + (first - last) * 0.5 * (1.0 + (std::f64::consts::PI * part).cos())
}
