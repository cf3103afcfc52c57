//! The smallest value of a linear function over all perturbations of an image inside an L2 ball and
//! the input box.
//!
//! Minimise a·d over |d| <= r with each x_i + d_i in its range. For any multiplier lambda >= 0 of
//! the ball constraint, the value
//!
//! ```text
//! sum_i min over t in [0, m_i] of (lambda t^2 / 2 - |a_i| t)  -  lambda r^2 / 2
//! ```
//!
//! is a lower bound (weak duality), m_i being how far the i-th value can move in the direction that
//! lowers a_i d_i. The bound holds for any multiplier, so the iteration that improves it may stop
//! early.

use blindspot_net::vectorised;

/// An image, and how far the input box lets each of its values move down and up: the perturbations
/// that are considered around it. Both distances are at least 0.
#[derive(Debug, Clone)]
pub(super) struct PerturbationBox {
    pub(super) image: Vec<f64>,
    pub(super) down: Vec<f64>,
    pub(super) up: Vec<f64>,
}

impl PerturbationBox {
    /// Perturbations of `image` that stay between `lower` and `upper`.
    pub(super) fn new(image: &[f32], lower: f32, upper: f32) -> PerturbationBox {
        let wide = |value: f32| f64::from(value);
        PerturbationBox {
            image: image.iter().map(|&x| wide(x)).collect(),
            // The difference of two f32 numbers is rounded in f64: a larger box stays sound.
            down: image
                .iter()
                .map(|&x| outward(wide(x) - wide(lower)))
                .collect(),
            up: image
                .iter()
                .map(|&x| outward(wide(upper) - wide(x)))
                .collect(),
        }
    }

    /// Perturbations in this input box of the image plus `perturbation`, which lies in the box.
    pub(super) fn moved(&self, perturbation: &[f64]) -> PerturbationBox {
        // Where both terms nearly cancel, more than the rounding of either is added.
        let side = |(distance, d): (&f64, f64)| {
            outward(distance + d) + 4.0 * f64::EPSILON * (distance.abs() + d.abs())
        };
        let back = perturbation.iter().map(|d| -d);
        PerturbationBox {
            image: self
                .image
                .iter()
                .zip(perturbation)
                .map(|(x, d)| x + d)
                .collect(),
            down: self
                .down
                .iter()
                .zip(perturbation.iter().copied())
                .map(side)
                .collect(),
            up: self.up.iter().zip(back).map(side).collect(),
        }
    }

    /// L2 norm of the largest perturbation: the distance of the farthest corner.
    pub(super) fn max_norm(&self) -> f64 {
        let sides = self.down.iter().zip(&self.up);
        sides
            .map(|(down, up)| down.max(*up).powi(2))
            .sum::<f64>()
            .sqrt()
    }
}

fn outward(side: f64) -> f64 {
    (side * (1.0 + 4.0 * f64::EPSILON)).max(0.0)
}

/// Sums over all values for one multiplier: over clamped values, which move to the edge of the box,
/// and over free values, which the box does not stop.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    /// Sum of m^2 over clamped values.
    clamped: f64,
    /// Sum of |a| m over clamped values.
    gain: f64,
    /// Sum of a^2 over free values.
    free: f64,
}

const LANES: usize = 16;

/// The sums for the inverse of a multiplier: a value is clamped if |a| / lambda > m.
#[inline(always)]
fn sums_at(weights: &[f64], limits: &[f64], inverse: f64) -> Sums {
    let mut lanes = [[0.0f64; LANES]; 3];
    let mut add = |lane: usize, w: f64, m: f64| {
        let clamped = w * inverse > m;
        let (edge, rest) = if clamped { (m, 0.0) } else { (0.0, w) };
        lanes[0][lane] += edge * edge;
        lanes[1][lane] += w * edge;
        lanes[2][lane] += rest * rest;
    };
    let (mut w, mut m) = (weights.chunks_exact(LANES), limits.chunks_exact(LANES));
    for (w, m) in w.by_ref().zip(m.by_ref()) {
        for lane in 0..LANES {
            add(lane, w[lane], m[lane]);
        }
    }
    for (lane, (&w, &m)) in w.remainder().iter().zip(m.remainder()).enumerate() {
        add(lane, w, m);
    }
    let [clamped, gain, free] = lanes.map(|lanes| lanes.iter().sum());
    Sums {
        clamped,
        gain,
        free,
    }
}

/// Reusable memory: |a_i| and m_i of one linear function.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    weights: Vec<f64>,
    limits: Vec<f64>,
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
    let Scratch { weights, limits } = scratch;
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
        || max_decrease(weights, limits, radius),
    );
    center - most - rounding(count, size + moved)
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
    /// How far a free value moves for each unit of its coefficient (1 / lambda); 0 if no value is
    /// free.
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
    let Scratch { weights, limits } = scratch;
    weights.resize(count, 0.0);
    limits.resize(count, 0.0);
    let (down, up) = (&domain.down[..count], &domain.up[..count]);
    vectorised(
        #[inline(always)]
        || {
            for (i, &a) in coefficients.iter().enumerate() {
                weights[i] = a.abs();
                limits[i] = if a > 0.0 { down[i] } else { up[i] };
            }
            let decrease = max_decrease(weights, limits, radius);
            for (i, point) in point.iter_mut().enumerate() {
                let free = if decrease.all_clamped && weights[i] > 0.0 {
                    f64::INFINITY
                } else {
                    weights[i] * decrease.inverse
                };
                let far = free.min(limits[i]);
                *point = -far.copysign(coefficients[i]);
            }
            Minimum {
                value: -decrease.most - rounding(count, decrease.size),
                inverse: decrease.inverse,
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

/// How far a linear function can decrease inside the ball and the box.
struct Decrease {
    /// An upper bound of the decrease.
    most: f64,
    /// The sum of the absolute values that the bound was computed from.
    size: f64,
    /// The inverse of the ball's multiplier.
    inverse: f64,
    /// The box clamps every value; the ball constrains none.
    all_clamped: bool,
}

#[inline(always)]
fn max_decrease(weights: &[f64], limits: &[f64], radius: f64) -> Decrease {
    // The inverse grows from its smallest value and clamps ever more values: monotone and finite.
    let mut inverse = 0.0;
    let mut sums = sums_at(weights, limits, inverse);
    for _ in 0..24 {
        let left = radius * radius - sums.clamped;
        // If no value is free, the corner that lowers the function the most is within the ball.
        if sums.free <= 0.0 || left <= 0.0 {
            break;
        }
        let next = (left / sums.free).sqrt();
        if next <= inverse * (1.0 + 1e-9) {
            break;
        }
        inverse = next;
        let before = sums.free;
        sums = sums_at(weights, limits, inverse);
        if sums.free == before {
            break;
        }
    }
    if sums.free <= 0.0 {
        // All values are clamped, or all coefficients are 0, or their squares underflow: the box
        // alone gives a bound, too.
        let gain = weights.iter().zip(limits).map(|(w, m)| w * m).sum();
        return Decrease {
            most: gain,
            size: 3.0 * gain,
            inverse: 0.0,
            all_clamped: true,
        };
    }
    if inverse <= 0.0 {
        // Nothing moves in a ball of radius 0. Otherwise a square over- or underflowed.
        return Decrease {
            most: if radius > 0.0 { f64::INFINITY } else { 0.0 },
            size: 0.0,
            inverse,
            all_clamped: false,
        };
    }
    // Minus the dual value of the module's page: its sum over free values is -a^2 / (2 lambda), over
    // clamped ones lambda m^2 / 2 - |a| m.
    let lambda = 1.0 / inverse;
    let held = 0.5 * lambda * (radius * radius - sums.clamped);
    let free = 0.5 * inverse * sums.free;
    let size = 3.0 * (free + sums.gain + lambda * (radius * radius + sums.clamped));
    Decrease {
        most: free + sums.gain + held,
        size,
        inverse,
        all_clamped: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot_run::random::Stream;

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
}
