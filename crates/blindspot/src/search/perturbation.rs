//! Perturbations: their size, points on the way to them, and the smallest one found.

use super::bounds::FeasibleBox;
use super::norms::{Measure, Norm};
pub(super) use blindspot_model::rounding::scale;

/// The L2 norm of the perturbation that leads from `original` to `adversarial`, images of one
/// length.
pub fn norm(original: &[f32], adversarial: &[f32]) -> f64 {
    Norm::L2.of(original, adversarial)
}

/// Writes the point that lies `fraction` of the way from the original to `end`, moved into the
/// feasible box; fractions above 1 lie beyond `end`.
pub(super) fn interpolate(
    original: &[f32],
    end: &[f32],
    fraction: f64,
    feasible_box: &FeasibleBox,
    out: &mut [f32],
) {
    let fraction = fraction as f32;
    for ((out, &from), &to) in out.iter_mut().zip(original).zip(end) {
        *out = from + fraction * (to - from);
    }
    feasible_box.clip(out);
}

/// The successful image with the smallest perturbation, in L2 unless another norm is named, of those offered.
#[derive(Debug, Default)]
pub(super) struct Best {
    measure: Measure,
    image: Vec<f32>,
    norm: Option<f64>,
    margin: f64,
}

impl Best {
    /// Nothing yet; the smallest by this measure will be kept.
    pub(super) fn by(measure: Measure) -> Best {
        Best {
            measure,
            ..Best::default()
        }
    }

    pub(super) fn clear(&mut self) {
        self.norm = None;
    }

    /// Keeps a successful image if its perturbation is smaller than that of the one kept.
    pub(super) fn offer(&mut self, original: &[f32], image: &[f32], margin: f64) {
        let size = self.measure.of(original, image);
        if self.norm.is_none_or(|norm| size < norm) {
            self.norm = Some(size);
            self.margin = margin;
            self.image.clear();
            self.image.extend_from_slice(image);
        }
    }

    /// The norm of the smallest perturbation, if any succeeded.
    pub(super) fn norm(&self) -> Option<f64> {
        self.norm
    }

    /// The image with the smallest perturbation, if any succeeded.
    pub(super) fn image(&self) -> Option<&[f32]> {
        self.norm.map(|_| self.image.as_slice())
    }

    /// The margin at that image.
    pub(super) fn margin(&self) -> Option<f64> {
        self.norm.map(|_| self.margin)
    }
}
