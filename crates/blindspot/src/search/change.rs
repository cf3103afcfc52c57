//! A change of an image: its size, and the smallest one found.

use blindspot_net::Real;
use serde::{Deserialize, Serialize};

use super::ranges::Room;

/// A change counts as found only where the logits' lead is above this part of the largest logit:
/// more than `f32` rounding, so that any runtime gives the same answer to the final image.
pub(super) const SAFETY: f64 = 2e-6;

/// The largest logit, at least 1: what a lead is measured against.
pub(super) fn size<T: Real>(logits: &[T]) -> f64 {
    let sizes = logits.iter().map(|logit| logit.f64().abs());
    sizes.fold(1.0, f64::max)
}

/// The valid range of each input value, [0, 1] unless the user says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct InputBox {
    /// The smallest value allowed.
    pub lower: f32,
    /// The largest value allowed.
    pub upper: f32,
}

impl Default for InputBox {
    fn default() -> Self {
        InputBox {
            lower: 0.0,
            upper: 1.0,
        }
    }
}

/// The L2 norm of a change.
pub fn norm(original: &[f32], changed: &[f32]) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0f64; LANES];
    let mut a = original.chunks_exact(LANES);
    let mut b = changed.chunks_exact(LANES);
    for (a, b) in a.by_ref().zip(b.by_ref()) {
        for lane in 0..LANES {
            let change = f64::from(b[lane]) - f64::from(a[lane]);
            lanes[lane] += change * change;
        }
    }
    let rest = a.remainder().iter().zip(b.remainder());
    let rest: f64 = rest
        .map(|(&a, &b)| (f64::from(b) - f64::from(a)).powi(2))
        .sum();
    (lanes.iter().sum::<f64>() + rest).sqrt()
}

/// Writes the point `part` of the way from the image to `end`, inside the box.
pub(super) fn along(original: &[f32], end: &[f32], part: f64, room: &Room, out: &mut [f32]) {
    let part = part as f32;
    for (i, ((out, &from), &to)) in out.iter_mut().zip(original).zip(end).enumerate() {
        *out = room.inside(i, from + part * (to - from));
    }
}

/// The smallest change that succeeds, of those offered.
#[derive(Debug, Default)]
pub(super) struct Best {
    image: Vec<f32>,
    norm: Option<f64>,
    margin: f64,
}

impl Best {
    pub(super) fn clear(&mut self) {
        self.norm = None;
    }

    /// Keeps a changed image that succeeds, if its change is smaller than the one kept.
    pub(super) fn offer(&mut self, original: &[f32], changed: &[f32], margin: f64) {
        let size = norm(original, changed);
        if self.norm.is_none_or(|norm| size < norm) {
            self.norm = Some(size);
            self.margin = margin;
            self.image.clear();
            self.image.extend_from_slice(changed);
        }
    }

    /// The L2 norm of the change, where there is one.
    pub(super) fn size(&self) -> Option<f64> {
        self.norm
    }

    /// The changed image, where there is one.
    pub(super) fn image(&self) -> Option<&[f32]> {
        self.norm.map(|_| self.image.as_slice())
    }

    /// By how much the class wanted leads there.
    pub(super) fn margin(&self) -> Option<f64> {
        self.norm.map(|_| self.margin)
    }
}
