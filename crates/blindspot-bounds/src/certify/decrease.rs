//! How far a linear function of a perturbation can decrease inside the ball of a norm and the box.
//!
//! A function a·d decreases by the sum of w_i t_i, with w_i = |a_i|, where the i-th value moves by
//! t_i in the direction that lowers a_i d_i, at most m_i. In the ball of radius r, the largest such
//! sum is:
//!
//! - in Linf that of w_i min(r, m_i);
//! - in L1 a fractional knapsack: the values with the largest w_i move by m_i each, until r is used
//!   up, and the next one by what is left of it;
//! - in L0 the r largest w_i m_i, and a part of the next one where r is no whole number;
//! - in L2 that of w_i min(w_i / lambda, m_i), lambda being the ball's multiplier.
//!
//! For any multiplier lambda >= 0, in L1 the sum of max(0, w_i - lambda) m_i plus lambda r is an
//! upper bound, and likewise in L0 and L2 (weak duality). So the iterations for it need not be
//! exact.

use blindspot_model::Norm;

/// How far a linear function can decrease.
pub(super) struct Decrease {
    /// An upper bound of the decrease.
    pub(super) most: f64,
    /// The sum of the absolute values that the bound was computed from.
    pub(super) size: f64,
    moves: Moves,
}

/// How far each value moves for the largest decrease; never beyond its limit.
enum Moves {
    /// Its weight times this.
    Proportional(f64),
    /// This far, if it has a weight.
    UpTo(f64),
    /// To its limit where the weight is above the multiplier; values of just that weight use up
    /// what is `left` of the radius.
    Heaviest { multiplier: f64, left: f64 },
    /// To its limit where weight times limit is above the multiplier; values of just that gain use
    /// up, in part, what is `left` of how many may move.
    Gainful { multiplier: f64, left: f64 },
}

impl Decrease {
    /// The largest decrease of a function with these `weights` w and `limits` m. `order` is
    /// reusable memory.
    #[inline(always)]
    pub(super) fn of(
        norm: Norm,
        weights: &[f64],
        limits: &[f64],
        radius: f64,
        order: &mut Vec<u32>,
    ) -> Decrease {
        match norm {
            Norm::L2 => l2(weights, limits, radius),
            Norm::Linf => up_to(weights, limits, radius),
            Norm::L1 => {
                let knapsack =
                    knapsack(|i| weights[i], |i| limits[i], radius, order, weights.len());
                let Knapsack { multiplier, left } = knapsack;
                let excess = sum(weights, limits, |w, m| above(w, multiplier, m));
                Decrease {
                    moves: Moves::Heaviest { multiplier, left },
                    ..priced(excess, multiplier, radius)
                }
            }
            Norm::L0 => {
                let gain = |i: usize| weights[i] * limits[i];
                let knapsack = knapsack(gain, |_| 1.0, radius, order, weights.len());
                let Knapsack { multiplier, left } = knapsack;
                let excess = sum(weights, limits, |w, m| above(w * m, multiplier, 1.0));
                Decrease {
                    moves: Moves::Gainful { multiplier, left },
                    ..priced(excess, multiplier, radius)
                }
            }
        }
    }

    /// Writes how far each value moves.
    #[inline(always)]
    pub(super) fn write_moves(&self, weights: &[f64], limits: &[f64], moved: &mut [f64]) {
        let values = moved.iter_mut().zip(weights).zip(limits);
        match self.moves {
            Moves::Proportional(inverse) => {
                values.for_each(|((moved, &w), &m)| *moved = (w * inverse).min(m));
            }
            Moves::UpTo(most) => values.for_each(|((moved, &w), &m)| {
                *moved = if w > 0.0 { most.min(m) } else { 0.0 };
            }),
            Moves::Heaviest {
                multiplier,
                mut left,
            } => values.for_each(|((moved, &w), &m)| {
                *moved = taken(w, multiplier, m, &mut left);
            }),
            Moves::Gainful {
                multiplier,
                mut left,
            } => values.for_each(|((moved, &w), &m)| {
                *moved = m * taken(w * m, multiplier, 1.0, &mut left);
            }),
        }
    }

    /// How far a value that the box does not stop moves in L2 for each unit of its weight; 0 if
    /// there is none.
    pub(super) fn inverse(&self) -> f64 {
        match self.moves {
            Moves::Proportional(inverse) => inverse,
            _ => 0.0,
        }
    }
}

/// How fast a linear function with these coefficients can decrease for each unit of the norm, the
/// box aside: the dual norm. In L0 for each value that moves by at most 1.
pub(super) fn dual_norm(norm: Norm, coefficients: &[f64]) -> f64 {
    let sizes = coefficients.iter().map(|a| a.abs());
    match norm {
        Norm::L2 => sizes.map(|a| a * a).sum::<f64>().sqrt(),
        Norm::Linf => sizes.sum(),
        Norm::L1 | Norm::L0 => {
            sizes.fold(0.0, |most, a| if a > most || a.is_nan() { a } else { most })
        }
    }
}

/// A multiplier's share of an item's value; NaN stays, so that it certifies nothing.
#[inline(always)]
fn above(value: f64, multiplier: f64, limit: f64) -> f64 {
    let excess = value - multiplier;
    if excess <= 0.0 { 0.0 } else { excess * limit }
}

/// How much of an item is taken.
#[inline(always)]
fn taken(value: f64, multiplier: f64, limit: f64, left: &mut f64) -> f64 {
    if value > multiplier {
        return limit;
    }
    let part = if value == multiplier && value > 0.0 {
        left.min(limit)
    } else {
        0.0
    };
    *left -= part;
    part
}

/// The dual value of a knapsack, without its moves.
fn priced(excess: f64, multiplier: f64, radius: f64) -> Decrease {
    let most = excess + multiplier * radius;
    Decrease {
        most,
        size: 3.0 * most,
        moves: Moves::UpTo(0.0),
    }
}

/// What a fractional knapsack takes: all items above the multiplier, and of those at it so much.
struct Knapsack {
    multiplier: f64,
    left: f64,
}

/// The items with the largest values whose costs fit into `radius`, of `count` items: a weighted
/// median, found by ever smaller parts of the items.
fn knapsack(
    value: impl Fn(usize) -> f64,
    cost: impl Fn(usize) -> f64,
    radius: f64,
    order: &mut Vec<u32>,
    count: usize,
) -> Knapsack {
    let mut left = radius;
    order.clear();
    order.extend((0..count as u32).filter(|&i| value(i as usize) > 0.0 && cost(i as usize) > 0.0));
    let mut items = &mut order[..];
    while !items.is_empty() {
        let middle = (items.len() - 1) / 2;
        items.select_nth_unstable_by(middle, |&a, &b| {
            value(b as usize).total_cmp(&value(a as usize))
        });
        let (heavy, light) = items.split_at_mut(middle + 1);
        let together: f64 = heavy.iter().map(|&i| cost(i as usize)).sum();
        if together <= left {
            left -= together;
            items = light;
        } else if let [last] = heavy {
            return Knapsack {
                multiplier: value(*last as usize),
                left,
            };
        } else {
            items = heavy;
        }
    }
    // All of them fit.
    Knapsack {
        multiplier: 0.0,
        left,
    }
}

/// Where each value moves as far as it can, up to `most`.
#[inline(always)]
fn up_to(weights: &[f64], limits: &[f64], most: f64) -> Decrease {
    let gain = sum(weights, limits, |w, m| w * if most < m { most } else { m });
    Decrease {
        most: gain,
        size: 3.0 * gain,
        moves: Moves::UpTo(most),
    }
}

const LANES: usize = 16;

/// The sum over all values of a term of weight and limit, as sums that become vector instructions.
#[inline(always)]
fn sum(weights: &[f64], limits: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let (mut w, mut m) = (weights.chunks_exact(LANES), limits.chunks_exact(LANES));
    for (w, m) in w.by_ref().zip(m.by_ref()) {
        for lane in 0..LANES {
            lanes[lane] += term(w[lane], m[lane]);
        }
    }
    for (lane, (&w, &m)) in w.remainder().iter().zip(m.remainder()).enumerate() {
        lanes[lane] += term(w, m);
    }
    lanes.iter().sum()
}

/// Sums over all values for one multiplier in L2: over clamped values, which move to the edge of the
/// box, and over free values, which the box does not stop.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    /// Sum of m^2 over clamped values.
    clamped: f64,
    /// Sum of |a| m over clamped values.
    gain: f64,
    /// Sum of a^2 over free values.
    free: f64,
}

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

#[inline(always)]
fn l2(weights: &[f64], limits: &[f64], radius: f64) -> Decrease {
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
            moves: Moves::UpTo(f64::INFINITY),
        };
    }
    if inverse <= 0.0 {
        // Nothing moves in a ball of radius 0. Otherwise a square over- or underflowed.
        return Decrease {
            most: if radius > 0.0 { f64::INFINITY } else { 0.0 },
            size: 0.0,
            moves: Moves::Proportional(inverse),
        };
    }
    // Minus the dual value: its sum over free values of min over t of lambda t^2 / 2 - |a| t is
    // -a^2 / (2 lambda), over clamped ones lambda m^2 / 2 - |a| m; less lambda r^2 / 2.
    let lambda = 1.0 / inverse;
    let held = 0.5 * lambda * (radius * radius - sums.clamped);
    let free = 0.5 * inverse * sums.free;
    let size = 3.0 * (free + sums.gain + lambda * (radius * radius + sums.clamped));
    Decrease {
        most: free + sums.gain + held,
        size,
        moves: Moves::Proportional(inverse),
    }
}
