//! The nearest point, in Linf or L1, of given intervals that satisfies linear constraints: the step
//! of [`Slp`](super::Slp), and what the residual of an example compares with.
//!
//! ```text
//! minimise |r|   subject to   a_j . r >= b_j  for each j,   lower <= r <= upper
//! ```
//!
//! One constraint: in Linf the best point of each ball is known, and the ball's size has one
//! equation, concave and piecewise linear, that Newton's iteration solves from below; in L1 it is a
//! fractional knapsack, by falling `|a_i|`. Several: the simplex method over vertices of norm and
//! box together (Dantzig and Wolfe 1960). It has a row for each constraint and one for the weights'
//! sum; which vertex enters is asked of the same two closed forms, for the constraints weighted by
//! the current multipliers. The answer is the mixture of at most one vertex more than constraints.

use blindspot_net::vectorised;

use super::simplex::Simplex;
use crate::search::norms::Norm;
use crate::search::vectors::{LANES_OF_F64, absolute_sum, largest, most, product};

/// A gap that is none, as far as single precision can tell.
pub(in crate::search) const EXACT: f64 = 1e-7;

/// In L1 the values of a group gain more than the largest of them over this.
const GROUP: f64 = 2.0;

/// A linear constraint `normal . r >= offset`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::search) struct Constraint {
    pub(in crate::search) normal: Vec<f64>,
    pub(in crate::search) offset: f64,
}

/// Where each value of a perturbation may lie.
#[derive(Debug, Clone, Default)]
pub(in crate::search) struct Intervals {
    pub(in crate::search) lower: Vec<f64>,
    pub(in crate::search) upper: Vec<f64>,
}

/// What the nearest point comes with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::search) struct Solution {
    /// By how much the norm would grow with each constraint's offset.
    pub(in crate::search) multipliers: Vec<f64>,
    /// Whether the intervals hold a point that satisfies all constraints.
    pub(in crate::search) feasible: bool,
}

impl Intervals {
    /// The point nearest to 0.
    pub(super) fn write_base(&self, point: &mut Vec<f64>) {
        let Intervals { lower, upper } = self;
        point.resize(lower.len(), 0.0);
        let point = &mut point[..];
        vectorised(
            #[inline(always)]
            move || {
                let ends = lower.iter().zip(upper);
                for (value, (&lower, &upper)) in point.iter_mut().zip(ends) {
                    *value = 0f64.max(lower).min(upper);
                }
            },
        );
    }

    /// The end of a place's interval in the direction of a sign.
    fn end(&self, i: usize, direction: f64) -> f64 {
        if direction > 0.0 {
            self.upper[i]
        } else {
            self.lower[i]
        }
    }
}

/// Writes the nearest point into `point`; where the intervals have none that satisfies the constraints,
/// one that violates them little. For several constraints it may be longer by the part `gap` of its norm.
pub(in crate::search) fn nearest(
    norm: Norm,
    constraints: &[Constraint],
    intervals: &Intervals,
    gap: f64,
    point: &mut Vec<f64>,
) -> Solution {
    match constraints {
        [] => {
            intervals.write_base(point);
            Solution {
                multipliers: Vec::new(),
                feasible: true,
            }
        }
        [constraint] => {
            let (multiplier, feasible) = match norm {
                Norm::Linf => in_ball(constraint, intervals, point),
                _ => knapsack(constraint, intervals, point),
            };
            Solution {
                multipliers: vec![multiplier],
                feasible,
            }
        }
        several => Simplex::new(norm, several, intervals, gap).solve(point),
    }
}

/// The norm, Linf or L1, of a point.
pub(in crate::search) fn size(norm: Norm, point: &[f64]) -> f64 {
    match norm {
        Norm::Linf => largest(point),
        _ => absolute_sum(point),
    }
}

/// Writes the point of the Linf ball of a size, cut to the intervals, that goes farthest along `normal`.
fn farthest_in_ball(normal: &[f64], size: f64, intervals: &Intervals, point: &mut Vec<f64>) {
    let Intervals { lower, upper } = intervals;
    point.resize(normal.len(), 0.0);
    let point = &mut point[..];
    vectorised(
        #[inline(always)]
        move || {
            let ends = lower.iter().zip(upper);
            for ((point, &a), (&lower, &upper)) in point.iter_mut().zip(normal).zip(ends) {
                let wanted = if a == 0.0 { 0.0 } else { size.copysign(a) };
                *point = wanted.max(lower).min(upper);
            }
        },
    );
}

/// The size of the smallest Linf ball that meets the intervals.
fn least_ball(intervals: &Intervals) -> f64 {
    most(&intervals.lower, &intervals.upper, |lower, upper| {
        if lower > -upper { lower } else { -upper }
    })
}

/// The nearest point in Linf for one constraint, with its multiplier and whether there is one.
fn in_ball(constraint: &Constraint, intervals: &Intervals, point: &mut Vec<f64>) -> (f64, bool) {
    let Constraint { normal, offset } = constraint;
    let reach = Reach::new(normal, intervals);
    let mut ball = least_ball(intervals);
    let mut multiplier = 0.0;
    let feasible = loop {
        let (reached, slope) = reach.of(ball);
        let missing = offset - reached;
        if missing <= 1e-12 * offset.abs() {
            break true;
        }
        if slope <= 0.0 {
            break false;
        }
        multiplier = 1.0 / slope;
        let next = ball + missing / slope;
        if next <= ball {
            break true;
        }
        ball = next;
    };
    farthest_in_ball(normal, ball, intervals, point);
    (multiplier, feasible)
}

/// How far a growing Linf ball, cut to the intervals, goes along a vector.
struct Reach {
    /// For each value the vector's size, and the nearest and the farthest that the value may lie in its direction.
    sizes: Vec<f64>,
    nearest: Vec<f64>,
    farthest: Vec<f64>,
}

impl Reach {
    fn new(normal: &[f64], intervals: &Intervals) -> Reach {
        let values = || {
            let ends = intervals.lower.iter().zip(&intervals.upper);
            normal.iter().zip(ends)
        };
        // What does not count is nowhere, so that open ends stay out of the sums.
        let towards = |a: f64, up: f64, down: f64| {
            if a > 0.0 {
                up
            } else if a < 0.0 {
                -down
            } else {
                0.0
            }
        };
        Reach {
            sizes: normal.iter().map(|a| a.abs()).collect(),
            nearest: values()
                .map(|(&a, (&lower, &upper))| towards(a, lower, upper))
                .collect(),
            farthest: values()
                .map(|(&a, (&lower, &upper))| towards(a, upper, lower))
                .collect(),
        }
    }

    /// How far the ball of a size goes, and how fast that grows with its size.
    fn of(&self, ball: f64) -> (f64, f64) {
        let Reach {
            sizes,
            nearest,
            farthest,
        } = self;
        vectorised(
            #[inline(always)]
            move || {
                let (mut reached, mut slope) = ([0.0; LANES_OF_F64], [0.0; LANES_OF_F64]);
                let mut add = |lane: usize, size: f64, near: f64, far: f64| {
                    let beyond = if ball > near { ball } else { near };
                    reached[lane] += size * if beyond < far { beyond } else { far };
                    slope[lane] += if ball < far { size } else { 0.0 };
                };
                let (size_chunks, sizes) = sizes.as_chunks::<LANES_OF_F64>();
                let (near_chunks, nearest) = nearest.as_chunks::<LANES_OF_F64>();
                let (far_chunks, farthest) = farthest.as_chunks::<LANES_OF_F64>();
                for ((size, near), far) in size_chunks.iter().zip(near_chunks).zip(far_chunks) {
                    for lane in 0..LANES_OF_F64 {
                        add(lane, size[lane], near[lane], far[lane]);
                    }
                }
                let rest = sizes.iter().zip(nearest).zip(farthest);
                for (lane, ((&size, &near), &far)) in rest.enumerate() {
                    add(lane, size, near, far);
                }
                (reached.iter().sum(), slope.iter().sum())
            },
        )
    }
}

/// The nearest point in L1 for one constraint, with its multiplier and whether there is one.
fn knapsack(constraint: &Constraint, intervals: &Intervals, point: &mut Vec<f64>) -> (f64, bool) {
    let Constraint { normal, offset } = constraint;
    intervals.write_base(point);
    let mut missing = offset - product(normal, point);
    if missing <= 0.0 {
        return (0.0, true);
    }
    // Mostly few values are needed: they are taken in groups, the largest gains first, so that only those are put into
    // order.
    let gains = gains(normal, intervals, point);
    let (mut top, mut last) = (largest(&gains), 0.0);
    let mut group: Vec<usize> = Vec::new();
    while top > 0.0 {
        let least = top / GROUP;
        group.clear();
        group.extend((0..gains.len()).filter(|&i| gains[i] > least && gains[i] <= top));
        group.sort_unstable_by(|&i, &j| gains[j].total_cmp(&gains[i]).then(i.cmp(&j)));
        for &i in &group {
            let room = (intervals.end(i, normal[i]) - point[i]).abs();
            last = gains[i];
            if room * last >= missing {
                point[i] += normal[i].signum() * (missing / last);
                return (1.0 / last, true);
            }
            point[i] = intervals.end(i, normal[i]);
            missing -= room * last;
        }
        top = most(
            &gains,
            &gains,
            move |gain, _| {
                if gain <= least { gain } else { 0.0 }
            },
        );
    }
    (
        if last > 0.0 { 1.0 / last } else { 0.0 },
        missing <= 1e-12 * offset.abs(),
    )
}

/// What moving each value in the direction of `normal` gains, 0 where it has no room.
fn gains(normal: &[f64], intervals: &Intervals, point: &[f64]) -> Vec<f64> {
    let Intervals { lower, upper } = intervals;
    let mut gains = vec![0.0; normal.len()];
    let out = &mut gains[..];
    vectorised(
        #[inline(always)]
        move || {
            let values = out.iter_mut().zip(normal).zip(point);
            for (((gain, &a), &value), (&lower, &upper)) in values.zip(lower.iter().zip(upper)) {
                let end = if a > 0.0 { upper } else { lower };
                *gain = if end == value { 0.0 } else { a.abs() };
            }
        },
    );
    gains
}

/// Writes the vertex that maximises `direction . r - |r|` over the intervals.
pub(super) fn vertex(norm: Norm, direction: &[f64], intervals: &Intervals, point: &mut Vec<f64>) {
    if norm != Norm::Linf {
        intervals.write_base(point);
        for (i, &c) in direction.iter().enumerate() {
            let end = intervals.end(i, c);
            // Back towards 0 there is nowhere to go: the base is the nearest.
            if c.abs() > 1.0 && (end - point[i]) * c > 0.0 {
                point[i] = end;
            }
        }
        return;
    }
    // The ball grows as long as the values that still have room gain more than it costs.
    let least = least_ball(intervals);
    let rooms = direction.iter().enumerate().filter(|(_, c)| **c != 0.0);
    let rooms = rooms.map(|(i, &c)| (intervals.end(i, c) * c.signum(), c.abs()));
    let mut rooms: Vec<(f64, f64)> = rooms.filter(|&(room, _)| room > least).collect();
    let gain: f64 = rooms.iter().map(|&(_, gain)| gain).sum();
    let ball = if gain <= 1.0 {
        least
    } else {
        weighted_room(&mut rooms, gain - 1.0)
    };
    farthest_in_ball(direction, ball, intervals, point);
}

/// The smallest room such that the gains of all rooms up to it sum up to `wanted` at least.
fn weighted_room(mut rooms: &mut [(f64, f64)], mut wanted: f64) -> f64 {
    loop {
        let middle = rooms.len() / 2;
        let by_room =
            |a: &(f64, f64), b: &(f64, f64)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1));
        let (_, pivot, _) = rooms.select_nth_unstable_by(middle, by_room);
        let pivot = *pivot;
        if rooms.len() == 1 {
            return pivot.0;
        }
        let below: f64 = rooms[..middle].iter().map(|&(_, gain)| gain).sum();
        if below >= wanted && middle > 0 {
            rooms = &mut rooms[..middle];
        } else if below + pivot.1 >= wanted || middle + 1 == rooms.len() {
            return pivot.0;
        } else {
            wanted -= below + pivot.1;
            rooms = &mut rooms[middle + 1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use blindspot_run::random::Stream;
    use blindspot_testing::{HIGHS, python, run_python, skip};

    use super::*;

    type Problem = (String, Vec<Vec<f64>>, Vec<f64>, Vec<f64>, Vec<f64>);

    fn highs(problems: &[Problem]) -> Vec<f64> {
        let input = serde_json::to_vec(problems).unwrap();
        let output = run_python(HIGHS, [""; 0], input).unwrap();
        serde_json::from_str(&output).unwrap()
    }

    #[test]
    fn the_nearest_point_is_as_near_as_that_of_a_linear_programs_solver() {
        if let Err(why) = python() {
            skip!("{why}");
        }
        let (mut problems, mut ours) = (Vec::new(), Vec::new());
        for case in 0..120 {
            let mut stream = Stream::new(8, "programs", case);
            let norm = [Norm::Linf, Norm::L1][case % 2];
            let (n, rows) = (4 + stream.below(30), 1 + stream.below(6));
            // Every third case in a trust region: 0 need not be in it.
            let away = if case % 3 == 0 { 1.0 } else { 0.0 };
            let centre: Vec<f64> = (0..n).map(|_| away * (stream.uniform() - 0.5)).collect();
            let lower: Vec<f64> = centre.iter().map(|c| c - stream.uniform()).collect();
            let upper: Vec<f64> = centre.iter().map(|c| c + stream.uniform()).collect();
            // A point inside satisfies them all, but for every tenth case.
            let fraction: Vec<f64> = (0..n).map(|_| stream.uniform()).collect();
            let inside = |i: usize| lower[i] + fraction[i] * (upper[i] - lower[i]);
            let inside: Vec<f64> = (0..n).map(inside).collect();
            let beyond = if case % 10 == 9 { 100.0 } else { 0.0 };
            let constraints: Vec<Constraint> = (0..rows)
                .map(|_| {
                    let normal: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
                    let offset = product(&normal, &inside) + beyond;
                    Constraint { normal, offset }
                })
                .collect();
            let intervals = Intervals {
                lower: lower.clone(),
                upper: upper.clone(),
            };
            let mut point = Vec::new();
            let solution = nearest(norm, &constraints, &intervals, EXACT, &mut point);
            for i in 0..n {
                assert!((lower[i] - 1e-9..=upper[i] + 1e-9).contains(&point[i]));
            }
            for Constraint { normal, offset } in &constraints {
                let reached = product(normal, &point);
                assert!(!solution.feasible || reached >= offset - 1e-7, "{case}");
            }
            ours.push(if solution.feasible {
                size(norm, &point)
            } else {
                1e300
            });
            let normals = constraints.iter().map(|c| c.normal.clone()).collect();
            let offsets = constraints.iter().map(|c| c.offset).collect();
            problems.push((norm.to_string(), normals, offsets, lower, upper));
        }
        let mut infeasible = 0;
        for (case, (ours, exact)) in ours.iter().zip(highs(&problems)).enumerate() {
            let near = (ours - exact).abs() <= 1e-6 * exact + 1e-12;
            assert!(near, "{case}: {ours} {exact}");
            infeasible += usize::from(exact == 1e300);
        }
        assert!(infeasible >= 10, "{infeasible}");
    }
}
