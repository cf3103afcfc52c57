//! The nearest point of a box on the far side of a hyperplane: what the search comes to where the
//! network is linear and one runner-up counts.

use blindspot_model::InputBox;

/// The smallest change r of `original` with `normal · r >= offset` that keeps the image in the
/// box, written into `change`; false where the box has no such point.
///
/// The dual has one variable: r(m) = clamp(m normal), and `normal · r(m)` rises with m, piecewise
/// linear and concave while the image is inside the box; Newton's iteration from 0 ends on the
/// right piece after finitely many steps, never beyond the answer.
pub(super) fn nearest_beyond(
    original: &[f32],
    normal: &[f32],
    offset: f64,
    bounds: InputBox,
    change: &mut [f32],
) -> bool {
    let (lower, upper) = (f64::from(bounds.lower), f64::from(bounds.upper));
    let mut multiplier = 0.0f64;
    if offset > 0.0 {
        // Each step but the last passes a corner; hundreds of corners can share few steps.
        for _ in 0..100 {
            let (mut reached, mut slope) = (0.0f64, 0.0f64);
            for (&x, &a) in original.iter().zip(normal) {
                let (x, a) = (f64::from(x), f64::from(a));
                let wanted = x + multiplier * a;
                let inside = wanted.clamp(lower, upper);
                reached += a * (inside - x);
                // At a corner, the slope ahead: into the box.
                let free = (wanted > lower || (wanted == lower && a > 0.0))
                    && (wanted < upper || (wanted == upper && a < 0.0));
                slope += if free { a * a } else { 0.0 };
            }
            let missing = offset - reached;
            if missing <= 1e-9 * offset {
                break;
            }
            if slope <= 0.0 {
                return false;
            }
            multiplier += missing / slope;
        }
    }
    for ((change, &x), &a) in change.iter_mut().zip(original).zip(normal) {
        let x = f64::from(x);
        *change = ((x + multiplier * f64::from(a)).clamp(lower, upper) - x) as f32;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot_run::random::Stream;

    #[test]
    fn no_point_of_the_box_that_is_nearer_satisfies_the_constraint() {
        for case in 0..200 {
            let mut stream = Stream::new(5, "halfspace", case);
            let n = 2 + stream.below(6);
            let original: Vec<f32> = (0..n).map(|_| stream.below(9) as f32 / 8.0).collect();
            let normal: Vec<f32> = (0..n).map(|_| stream.normal() as f32).collect();
            let most: f64 = original
                .iter()
                .zip(&normal)
                .map(|(&x, &a)| f64::from(if a > 0.0 { a * (1.0 - x) } else { -a * x }))
                .sum();
            let mut change = vec![0.0; n];
            let bounds = InputBox::default();
            assert!(!nearest_beyond(
                &original,
                &normal,
                most + 0.01,
                bounds,
                &mut change
            ));
            let offset = most * stream.below(100) as f64 / 100.0;
            assert!(nearest_beyond(
                &original,
                &normal,
                offset,
                bounds,
                &mut change
            ));
            let product = |r: &[f32]| -> f64 {
                r.iter()
                    .zip(&normal)
                    .map(|(&r, &a)| f64::from(r) * f64::from(a))
                    .sum()
            };
            let square = |r: &[f32]| r.iter().map(|&r| f64::from(r * r)).sum::<f64>();
            assert!(
                product(&change) > offset - 1e-5,
                "{} {offset}",
                product(&change)
            );
            // Projected optimality: moving along any feasible direction never shortens it.
            for _ in 0..50 {
                let other: Vec<f32> = (0..n)
                    .map(|i| stream.below(1000) as f32 / 999.0 - original[i])
                    .collect();
                if product(&other) >= offset {
                    assert!(square(&other) >= square(&change) - 1e-5);
                    let inner: f64 = change
                        .iter()
                        .zip(&other)
                        .map(|(&r, &o)| f64::from(r) * f64::from(o - r))
                        .sum();
                    assert!(inner >= -1e-4, "{inner}");
                }
            }
        }
    }
}
