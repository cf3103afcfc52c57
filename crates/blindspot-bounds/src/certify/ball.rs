//! The smallest value of a linear function over all perturbations of an image inside the ball of a
//! norm and the input box: its value at the image less the largest
//! [decrease](super::decrease), with the rounding of both subtracted.

use blindspot_net::vectorised;

use super::decrease::Decrease;
use super::perturbation_box::PerturbationBox;

const LANES: usize = 16;

/// Reusable memory: |a_i| and m_i of one linear function.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    weights: Vec<f64>,
    limits: Vec<f64>,
    order: Vec<u32>,
}

/// An upper bound of the rounding error of a sum of `count` products whose absolute values sum to
/// `size`: each product is rounded once, and so is each partial sum (Higham 2002, section 3.1),
/// whatever the order of the additions.
pub(super) fn rounding(count: usize, size: f64) -> f64 {
    (count + 32) as f64 * f64::EPSILON * size
}

/// Lower bounds of a·(x + d) and of -a·(x + d) over the ball and the box, with the rounding
/// subtracted. `support` lists the positions of the coefficients if there is not one for each
/// value.
pub(super) fn min_both_signs(
    coefficients: &[f64],
    support: Option<&[u32]>,
    domain: &PerturbationBox,
    radius: f64,
    scratch: &mut Scratch,
) -> [f64; 2] {
    [1.0, -1.0].map(|sign| min_value(coefficients, sign, support, domain, radius, scratch))
}

/// A lower bound of sign a·(x + d) over the ball and the box, with the rounding subtracted.
/// `support` is as in [`min_both_signs`].
pub(super) fn min_value(
    coefficients: &[f64],
    sign: f64,
    support: Option<&[u32]>,
    domain: &PerturbationBox,
    radius: f64,
    scratch: &mut Scratch,
) -> f64 {
    let count = coefficients.len();
    let Scratch {
        weights,
        limits,
        order,
    } = scratch;
    weights.resize(count, 0.0);
    limits.resize(count, 0.0);
    let (center, size) = match support {
        None => vectorised(
            #[inline(always)]
            || value_at_image(coefficients, sign, domain, weights, limits),
        ),
        Some(support) => {
            let mut sums = (0.0, 0.0);
            for (i, (&a, &at)) in coefficients.iter().zip(support).enumerate() {
                let (a, at) = (sign * a, at as usize);
                let part = a * domain.image[at];
                sums = (sums.0 + part, sums.1 + part.abs());
                weights[i] = a.abs();
                limits[i] = if a > 0.0 {
                    domain.down[at]
                } else {
                    domain.up[at]
                };
            }
            sums
        }
    };
    let Decrease {
        most, size: moved, ..
    } = vectorised(
        #[inline(always)]
        move || Decrease::of(domain.norm, weights, limits, radius, order),
    );
    center - most - rounding(count, size + moved)
}

/// A lower bound of a margin as it may be compared with others: one that is no number says nothing.
pub(super) fn known_margin(margin: f64) -> f64 {
    if margin.is_nan() {
        f64::NEG_INFINITY
    } else {
        margin
    }
}

/// A lower bound of a·(x + d) over the ball and the box, with the rounding subtracted; `point`
/// becomes a perturbation that attains about this value, as in [`min_change`].
pub(super) fn min_value_at(
    coefficients: &[f64],
    domain: &PerturbationBox,
    radius: f64,
    scratch: &mut Scratch,
    point: &mut [f64],
) -> f64 {
    let (mut centre, mut size) = (0.0, 0.0);
    for (a, x) in coefficients.iter().zip(&domain.image) {
        centre += a * x;
        size += (a * x).abs();
    }
    let least = min_change(coefficients, domain, radius, scratch, point).value;
    centre + least - rounding(coefficients.len(), size + least.abs())
}

/// The minimum of a linear function of the perturbation.
pub(super) struct Minimum {
    /// A lower bound of a·d, with the rounding subtracted.
    pub(super) value: f64,
    /// In L2 how far a free value moves for each unit of its coefficient (1 / lambda); 0 if no value
    /// is free.
    pub(super) inverse: f64,
}

/// A lower bound of a·d over the ball and the box. `point` becomes a perturbation in the box that
/// attains about this value and lies about inside the ball.
pub(super) fn min_change(
    coefficients: &[f64],
    domain: &PerturbationBox,
    radius: f64,
    scratch: &mut Scratch,
    point: &mut [f64],
) -> Minimum {
    let count = coefficients.len();
    let Scratch {
        weights,
        limits,
        order,
    } = scratch;
    weights.resize(count, 0.0);
    limits.resize(count, 0.0);
    let (down, up) = (&domain.down[..count], &domain.up[..count]);
    vectorised(
        #[inline(always)]
        move || {
            for (i, &a) in coefficients.iter().enumerate() {
                weights[i] = a.abs();
                limits[i] = if a > 0.0 { down[i] } else { up[i] };
            }
            let decrease = Decrease::of(domain.norm, weights, limits, radius, order);
            decrease.write_moves(weights, limits, point);
            for (point, &a) in point.iter_mut().zip(coefficients) {
                *point = -point.copysign(a);
            }
            Minimum {
                value: -decrease.most - rounding(count, decrease.size),
                inverse: decrease.inverse(),
            }
        },
    )
}

/// The value of sign a·x at the image and the sum of the absolute values of its terms; writes the
/// weights and limits.
#[inline(always)]
fn value_at_image(
    coefficients: &[f64],
    sign: f64,
    domain: &PerturbationBox,
    weights: &mut [f64],
    limits: &mut [f64],
) -> (f64, f64) {
    let count = coefficients.len();
    let image = &domain.image[..count];
    let (down, up) = (&domain.down[..count], &domain.up[..count]);
    let (weights, limits) = (&mut weights[..count], &mut limits[..count]);
    let mut sums = [[0.0f64; LANES]; 2];
    for i in 0..count {
        let a = sign * coefficients[i];
        weights[i] = a.abs();
        limits[i] = if a > 0.0 { down[i] } else { up[i] };
    }
    let (mut a, mut x) = (coefficients.chunks_exact(LANES), image.chunks_exact(LANES));
    for (a, x) in a.by_ref().zip(x.by_ref()) {
        for lane in 0..LANES {
            let part = sign * a[lane] * x[lane];
            sums[0][lane] += part;
            sums[1][lane] += part.abs();
        }
    }
    for (lane, (&a, &x)) in a.remainder().iter().zip(x.remainder()).enumerate() {
        let part = sign * a * x;
        sums[0][lane] += part;
        sums[1][lane] += part.abs();
    }
    let [center, size] = sums.map(|lanes| lanes.iter().sum());
    (center, size)
}

#[cfg(test)]
mod tests {
    use blindspot_model::Norm;
    use blindspot_run::random::Stream;

    use super::*;

    fn problem(seed: usize) -> (Vec<f64>, Vec<f32>, f64) {
        let mut stream = Stream::new(1, "ball of a test", seed);
        let count = 1 + stream.below(60);
        let mut a: Vec<f64> = (0..count).map(|_| stream.normal()).collect();
        a[stream.below(count)] = 0.0;
        let image = (0..count)
            .map(|_| (stream.uniform() * 2.0 - 0.5).clamp(0.0, 1.0) as f32)
            .collect();
        (a, image, stream.uniform() * 3.0)
    }

    #[test]
    fn squares_that_overflow_or_underflow_stay_sound() {
        let domain = PerturbationBox::new(&[0.5, 0.5], 0.0, 1.0);
        let least = |a: [f64; 2]| min_value(&a, 1.0, None, &domain, 0.1, &mut Scratch::default());
        assert!(least([1e160, 0.0]) <= 0.4e160);
        assert!(least([1e-170, 0.0]) <= 0.4e-170);
    }

    /// Against the exact minimum, found by bisection on the multiplier.
    #[test]
    fn the_bound_is_the_exact_minimum() {
        for seed in 0..500 {
            let (a, image, radius) = problem(seed);
            let domain = PerturbationBox::new(&image, 0.0, 1.0);
            let point = |lambda: f64| -> Vec<f64> {
                let d = a.iter().zip(&image).map(|(&a, &x)| {
                    let x = f64::from(x);
                    let wanted = if lambda > 0.0 {
                        -a / lambda
                    } else {
                        -a * f64::INFINITY
                    };
                    if a == 0.0 {
                        0.0
                    } else {
                        wanted.clamp(-x, 1.0 - x)
                    }
                });
                d.collect()
            };
            let norm = |d: &[f64]| d.iter().map(|d| d * d).sum::<f64>().sqrt();
            let (mut low, mut high) = (0.0, 1e9);
            for _ in 0..200 {
                let middle = 0.5 * (low + high);
                if norm(&point(middle)) > radius {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            let d = if norm(&point(0.0)) <= radius {
                point(0.0)
            } else {
                point(high)
            };
            let values = a.iter().zip(&image).zip(&d);
            let exact: f64 = values.map(|((a, &x), d)| a * (f64::from(x) + d)).sum();
            let found = min_value(&a, 1.0, None, &domain, radius, &mut Scratch::default());
            let (error, size) = (exact - found, 1.0 + exact.abs());
            assert!(
                (0.0..1e-6 * size).contains(&error),
                "{seed}: {found} {exact}"
            );
            let support: Vec<u32> = (0..a.len() as u32).collect();
            let same = min_both_signs(&a, Some(&support), &domain, radius, &mut Scratch::default());
            assert!((same[0] - found).abs() < 1e-12 * size);
        }
    }

    /// Against the greedy optimum; it is attained at the point that is given.
    #[test]
    fn the_bound_is_the_exact_minimum_in_other_norms() {
        for seed in 0..500 {
            let (a, image, radius) = problem(seed);
            let wide: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
            let far = |i: usize| if a[i] > 0.0 { wide[i] } else { 1.0 - wide[i] };
            for norm in [Norm::Linf, Norm::L1, Norm::L0] {
                // Some beyond all of the box.
                let radius = match (seed % 10, norm) {
                    (0, _) => 100.0,
                    (_, Norm::Linf) => radius / 3.0,
                    _ => radius,
                };
                let domain = PerturbationBox::new(&image, 0.0, 1.0).in_norm(norm);
                let gain = |i: &usize| match norm {
                    Norm::L0 => a[*i].abs() * far(*i),
                    _ => a[*i].abs(),
                };
                let mut order: Vec<usize> = (0..a.len()).collect();
                order.sort_by(|i, j| gain(j).total_cmp(&gain(i)));
                let mut left = radius;
                let start: f64 = a.iter().zip(&wide).map(|(a, x)| a * x).sum();
                let exact = order.into_iter().fold(start, |sum, i| {
                    let step = match norm {
                        Norm::L0 => far(i) * left.clamp(0.0, 1.0),
                        _ => far(i).min(left),
                    };
                    match norm {
                        Norm::L1 => left -= step,
                        Norm::L0 => left -= 1.0,
                        _ => {}
                    }
                    sum - a[i].abs() * step
                });
                let mut scratch = Scratch::default();
                let found = min_value(&a, 1.0, None, &domain, radius, &mut scratch);
                let (error, size) = (exact - found, 1.0 + exact.abs());
                assert!(
                    (-1e-12 * size..1e-9 * size).contains(&error),
                    "{seed} {norm}: {found} {exact}"
                );
                let support: Vec<u32> = (0..a.len() as u32).collect();
                let [same, _] = min_both_signs(&a, Some(&support), &domain, radius, &mut scratch);
                assert!((same - found).abs() < 1e-12 * size);
                let mut point = vec![0.0; a.len()];
                let low = min_value_at(&a, &domain, radius, &mut scratch, &mut point);
                let moved = wide.iter().zip(&point).map(|(x, d)| x + d);
                let there: f64 = a.iter().zip(moved.clone()).map(|(a, x)| a * x).sum();
                assert!(
                    (there - low).abs() < 1e-9 * size,
                    "{seed} {norm}: {there} {low}"
                );
                assert!(moved.clone().all(|x| (-1e-12..1.0 + 1e-12).contains(&x)));
                let reached = match norm {
                    Norm::Linf => point.iter().fold(0.0f64, |most, d| most.max(d.abs())),
                    Norm::L1 => point.iter().map(|d| d.abs()).sum(),
                    _ => {
                        let parts = point.iter().enumerate().filter(|(_, d)| **d != 0.0);
                        parts.map(|(i, d)| d.abs() / far(i)).sum()
                    }
                };
                assert!(
                    reached <= radius + 1e-9,
                    "{seed} {norm}: {reached} {radius}"
                );
            }
        }
    }

    #[test]
    fn numbers_that_overflow_give_no_bound_in_any_norm() {
        for (norm, _) in Norm::NAMES {
            let domain = PerturbationBox::new(&[0.5; 3], 0.0, 1.0).in_norm(norm);
            let least = |a: [f64; 3], radius: f64| {
                min_value(&a, 1.0, None, &domain, radius, &mut Scratch::default())
            };
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for radius in [0.0, 0.1, 2.0, 10.0] {
                    let bound = least([1.0, bad, -1.0], radius);
                    assert!(bound.is_nan() || bound < -1e300, "{norm} {bad}");
                }
            }
            assert!(least([1e160, 0.0, 0.0], 0.1) <= 0.5e160 - 0.01e160);
        }
    }
}
