//! How small a perturbation could be, were the classifier linear around an adversarial image: what
//! the residual in Linf, L1 and L0 compares with.

use super::bounds::FeasibleBox;
use super::norms::{Measure, Norm};
use super::slp::program::{Constraint, EXACT, Intervals, nearest, size};
use super::slp::write_intervals;
use super::vectors::product;

/// The least norm of a perturbation that goes as far along the normals of the active constraints as the
/// one from `original` to `adversarial` does. In L0 the most that any of the constraints needs
/// alone: no more than all need together.
pub(super) fn smallest(
    measure: Measure,
    (original, adversarial): (&[f32], &[f32]),
    normals: &[&[f64]],
    feasible_box: &FeasibleBox,
) -> f64 {
    let delta = original.iter().zip(adversarial);
    let delta: Vec<f64> = delta.map(|(&x, &y)| f64::from(y) - f64::from(x)).collect();
    let mut intervals = Intervals::default();
    write_intervals(
        original,
        feasible_box,
        (&delta, f64::INFINITY),
        &mut intervals,
    );
    if measure.norm == Norm::L0 {
        let counts = normals.iter();
        return counts.fold(0.0, |most, normal| {
            f64::max(most, fewest(measure, normal, &delta, &intervals))
        });
    }
    let constraints: Vec<Constraint> = normals
        .iter()
        .map(|normal| Constraint {
            normal: normal.to_vec(),
            offset: product(normal, &delta),
        })
        .collect();
    let mut point = Vec::new();
    nearest(measure.norm, &constraints, &intervals, EXACT, &mut point);
    size(measure.norm, &point)
}

/// How many pixels go as far along a normal.
fn fewest(measure: Measure, normal: &[f64], delta: &[f64], intervals: &Intervals) -> f64 {
    let pixels = normal.len() / measure.channels;
    let mut gains = vec![0.0; pixels];
    for (i, &a) in normal.iter().enumerate() {
        let ends = [intervals.lower[i] * a, intervals.upper[i] * a];
        gains[i % pixels] += if a == 0.0 { 0.0 } else { ends[0].max(ends[1]) };
    }
    gains.sort_unstable_by(|a, b| b.total_cmp(a));
    // As far but for the rounding of the last pixel's share.
    let mut missing = product(normal, delta) * (1.0 - 1e-9);
    let needed = gains.iter().take_while(|gain| {
        let goes_on = missing > 0.0;
        missing -= **gain;
        goes_on
    });
    needed.count() as f64
}
