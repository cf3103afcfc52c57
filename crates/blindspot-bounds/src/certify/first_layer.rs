//! The first affine layer, whose outputs have exact bounds.

use std::time::Instant;

use blindspot_model::Norm;

use super::affine::AffineLayer;
use super::ball::{self, Scratch};
use super::interval::Intervals;
use super::perturbation_box::PerturbationBox;

/// The rows of the first affine layer's matrix, which are the same for all images.
pub(super) struct FirstLayer {
    rows: Vec<Row>,
    /// The dual norms of the rows of its magnitudes.
    pub(super) magnitude_norms: Vec<f64>,
}

/// A row of a matrix that may be sparse.
struct Row {
    coefficients: Vec<f64>,
    /// The coefficients' positions, if some were left out because they are 0.
    support: Option<Vec<u32>>,
}

impl FirstLayer {
    #[cfg(test)]
    pub(super) fn new(layer: &AffineLayer) -> FirstLayer {
        FirstLayer::until(layer, None).expect("there is no deadline")
    }

    /// The rows by a deadline; None if they don't come in time.
    pub(super) fn until(layer: &AffineLayer, deadline: Option<Instant>) -> Option<FirstLayer> {
        let mut rows = Vec::with_capacity(layer.outputs);
        let in_time = layer.for_each_row_until(deadline, |row| rows.push(Row::new(row)));
        in_time.then(|| FirstLayer {
            rows,
            magnitude_norms: layer.magnitude_norms(Norm::default()),
        })
    }

    /// Prepares the layer for radii in another norm.
    pub(super) fn set_norm(&mut self, layer: &AffineLayer, norm: Norm) {
        self.magnitude_norms = layer.magnitude_norms(norm);
    }

    /// Bounds of the first `count` outputs of the layer, which are affine functions of the image up to
    /// the `errors` of a runtime.
    pub(super) fn bounds(
        &self,
        (layer, count): (&AffineLayer, usize),
        errors: &[f64],
        (domain, radius): (&PerturbationBox, f64),
        scratch: &mut Scratch,
    ) -> Intervals {
        let mut intervals = Intervals::default();
        for (i, row) in self.rows.iter().take(count).enumerate() {
            let support = row.support.as_deref();
            let [least, negated] =
                ball::min_both_signs(&row.coefficients, support, domain, radius, scratch);
            let error = errors.get(i).copied().unwrap_or(0.0);
            let rounding = ball::rounding(layer.terms, layer.magnitude[i]) + error;
            intervals.lower.push(layer.bias[i] + least - rounding);
            intervals.upper.push(layer.bias[i] - negated + rounding);
        }
        intervals
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
