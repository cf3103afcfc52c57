//! The smallest change in the box that satisfies linear constraints: the subproblem of
//! [`Sqp`](super::sqp::Sqp).
//!
//! min |r|^2 subject to `normal_j · r >= offset_j` and the box has a dual with a variable for each
//! constraint: r(m) = clamp(sum m_j normal_j). Few constraints count at a time, mostly one, so the
//! dual is solved by Newton's iteration in one to three numbers.

use blindspot_net::vectorised;

use super::ranges::Room;

/// Constraints kept at a time: the rivals that meet near one point of the boundary.
pub(super) const MOST: usize = 6;
/// How closely constraints are met, as a part of their offset: as far as sums in `f32` reach.
const TOLERANCE: f64 = 2e-6;
/// Newton's steps, and halvings of them, for several constraints at most.
const STEPS: usize = 60;
const LANES: usize = 16;

/// The lead over a rival, linearised: `normal · r >= offset` puts it where it is aimed at.
#[derive(Debug, Clone, Default)]
struct Cut {
    rival: usize,
    normal: Vec<f32>,
    offset: f64,
    multiplier: f64,
}

/// The constraints of one search.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    cuts: Vec<Cut>,
    spare: Vec<Cut>,
}

impl Cuts {
    pub(super) fn clear(&mut self) {
        self.spare.append(&mut self.cuts);
    }

    /// True where the constraint of a rival holds the last answer.
    pub(super) fn holds(&self, rival: usize) -> bool {
        self.cuts
            .iter()
            .any(|cut| cut.rival == rival && cut.multiplier > 0.0)
    }

    /// The sum of the multipliers: what a violation costs, by the last answer.
    pub(super) fn multipliers(&self) -> f64 {
        self.cuts.iter().map(|cut| cut.multiplier).sum()
    }

    /// Forgets the constraints of all other rivals.
    pub(super) fn keep(&mut self, rivals: &[usize]) {
        for position in (0..self.cuts.len()).rev() {
            if !rivals.contains(&self.cuts[position].rival) {
                self.spare.push(self.cuts.swap_remove(position));
            }
        }
    }

    /// Sets the constraint of a rival.
    pub(super) fn put(&mut self, rival: usize, normal: &[f32], offset: f64) {
        let mut cuts = self.cuts.iter();
        let position = cuts.position(|cut| cut.rival == rival);
        let position = position.unwrap_or_else(|| {
            self.cuts.push(self.spare.pop().unwrap_or_default());
            let added = self.cuts.len() - 1;
            self.cuts[added].multiplier = 0.0;
            added
        });
        let cut = &mut self.cuts[position];
        cut.rival = rival;
        cut.normal.clear();
        cut.normal.extend_from_slice(normal);
        cut.offset = offset;
    }

    /// Writes the smallest change that satisfies all constraints; false where the box has none
    /// (what is written then goes as far as it allows).
    pub(super) fn nearest(&mut self, original: &[f32], room: &Room, change: &mut [f32]) -> bool {
        let found = match &mut self.cuts[..] {
            [cut] => one(original, room, cut),
            cuts => several(original, room, cuts, change),
        };
        write(original, room, &self.cuts, change);
        found
    }
}

/// The multiplier of a single constraint.
///
/// `normal · r(m)` rises with m, piecewise linear and concave, so that Newton's iteration from
/// anywhere ends on the right piece from below after finitely many steps.
fn one(original: &[f32], room: &Room, cut: &mut Cut) -> bool {
    if cut.offset <= 0.0 {
        cut.multiplier = 0.0;
        return true;
    }
    let mut restarted = false;
    for _ in 0..50 {
        let (reached, slope) = reach(original, &cut.normal, cut.multiplier as f32, room);
        let missing = cut.offset - reached;
        if missing.abs() <= TOLERANCE * cut.offset {
            return true;
        }
        if slope > 0.0 {
            cut.multiplier = (cut.multiplier + missing / slope).max(0.0);
        } else if missing > 0.0 || restarted {
            return missing <= 0.0;
        } else {
            // Beyond every corner: from the other side.
            cut.multiplier = 0.0;
            restarted = true;
        }
    }
    true
}

/// One input value's part of `normal · r(m)` and of its slope.
#[inline(always)]
fn term(x: f32, a: f32, multiplier: f32, lower: f32, upper: f32) -> (f32, f32) {
    let wanted = x + multiplier * a;
    let inside = wanted.max(lower).min(upper);
    let ahead = if a > 0.0 {
        upper - wanted
    } else {
        wanted - lower
    };
    (a * (inside - x), if ahead > 0.0 { a * a } else { 0.0 })
}

/// `normal · r(m)` and its slope.
fn reach(original: &[f32], normal: &[f32], multiplier: f32, room: &Room) -> (f64, f64) {
    vectorised(
        #[inline(always)]
        || {
            let (mut reached, mut slope) = ([0.0f32; LANES], [0.0f32; LANES]);
            let (xs, x_rest) = original.as_chunks::<LANES>();
            let (normals, a_rest) = normal.as_chunks::<LANES>();
            let (lowers, l_rest) = room.lower.as_chunks::<LANES>();
            let (uppers, u_rest) = room.upper.as_chunks::<LANES>();
            for (((x, a), l), u) in xs.iter().zip(normals).zip(lowers).zip(uppers) {
                for lane in 0..LANES {
                    let (moved, ahead) = term(x[lane], a[lane], multiplier, l[lane], u[lane]);
                    reached[lane] += moved;
                    slope[lane] += ahead;
                }
            }
            let rest = x_rest.iter().zip(a_rest).zip(l_rest).zip(u_rest);
            for (lane, (((&x, &a), &l), &u)) in rest.enumerate() {
                let (moved, ahead) = term(x, a, multiplier, l, u);
                reached[lane] += moved;
                slope[lane] += ahead;
            }
            let sum = |lanes: [f32; LANES]| lanes.iter().map(|&lane| f64::from(lane)).sum();
            (sum(reached), sum(slope))
        },
    )
}

/// The multipliers of several constraints: projected Newton ascent of the dual, on those that are
/// violated or hold the answer, with steps halved until the dual rises. Where it has not ended
/// after many steps, what it has is used: the next linearisation corrects it.
fn several(original: &[f32], room: &Room, cuts: &mut [Cut], change: &mut [f32]) -> bool {
    let mut free = vec![0.0f32; original.len()];
    let mut best = f64::NEG_INFINITY;
    let mut before: Vec<f64> = cuts.iter().map(|cut| cut.multiplier).collect();
    for _ in 0..STEPS {
        write(original, room, cuts, change);
        let missing: Vec<f64> = cuts
            .iter()
            .map(|cut| cut.offset - dot(&cut.normal, change))
            .collect();
        let lacking: f64 = cuts
            .iter()
            .zip(&missing)
            .map(|(cut, missing)| cut.multiplier * missing)
            .sum();
        let dual = 0.5 * dot(change, change) + lacking;
        if dual < best - 1e-6 * best.abs() {
            for (cut, &before) in cuts.iter_mut().zip(&before) {
                cut.multiplier = 0.5 * (cut.multiplier + before);
            }
            continue;
        }
        best = dual;
        let tolerance = |j: usize| 2.0 * TOLERANCE * cuts[j].offset.abs();
        let working: Vec<usize> = (0..cuts.len())
            .filter(|&j| missing[j] > tolerance(j) || cuts[j].multiplier > 0.0)
            .collect();
        if working.iter().all(|&j| missing[j].abs() <= tolerance(j)) {
            return true;
        }
        mark_free(original, room, change, &mut free);
        let Some(steps) = newton(cuts, &working, &missing, &free) else {
            return false;
        };
        for (before, cut) in before.iter_mut().zip(cuts.iter()) {
            *before = cut.multiplier;
        }
        for (&j, step) in working.iter().zip(steps) {
            cuts[j].multiplier = (cuts[j].multiplier + step).max(0.0);
        }
    }
    true
}

/// Marks with 1 the values that the box lets move.
fn mark_free(original: &[f32], room: &Room, change: &[f32], free: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            let ranges = room.lower.iter().zip(&room.upper);
            let values = original.iter().zip(change).zip(ranges);
            for (free, ((&x, &r), (&lower, &upper))) in free.iter_mut().zip(values) {
                let inside = x + r > lower && x + r < upper;
                *free = if inside || r == 0.0 && lower < upper {
                    1.0
                } else {
                    0.0
                };
            }
        },
    );
}

/// Newton's step for the multipliers of the working constraints.
fn newton(cuts: &[Cut], working: &[usize], missing: &[f64], free: &[f32]) -> Option<Vec<f64>> {
    let count = working.len();
    let mut matrix = vec![vec![0.0f64; count + 1]; count];
    for row in 0..count {
        for col in row..count {
            let (a, b) = (&cuts[working[row]].normal, &cuts[working[col]].normal);
            let product = masked_dot(a, b, free);
            (matrix[row][col], matrix[col][row]) = (product, product);
        }
        // Nearly the same constraint twice still has an answer.
        matrix[row][row] = matrix[row][row] * (1.0 + 1e-6) + f64::MIN_POSITIVE;
        matrix[row][count] = missing[working[row]];
    }
    let solved = eliminate(&mut matrix);
    solved.then(|| matrix.iter().map(|row| row[count]).collect())
}

/// Solves a small positive definite system, its right side the last column, in place; false where
/// it has no solution.
pub(super) fn eliminate(matrix: &mut [Vec<f64>]) -> bool {
    let n = matrix.len();
    for pivot in 0..n {
        let scale = matrix[pivot][pivot];
        if !(scale > 1e-300 && scale.is_finite()) {
            return false;
        }
        let row = matrix[pivot].clone();
        for (i, other) in matrix.iter_mut().enumerate() {
            let factor = other[pivot] / scale;
            if i != pivot {
                for (value, &above) in other.iter_mut().zip(&row) {
                    *value -= factor * above;
                }
            }
        }
    }
    for (i, row) in matrix.iter_mut().enumerate() {
        row[n] /= row[i];
    }
    true
}

/// r(m), for the multipliers that the constraints have.
fn write(original: &[f32], room: &Room, cuts: &[Cut], change: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            change.fill(0.0);
            for cut in cuts.iter().filter(|cut| cut.multiplier > 0.0) {
                let multiplier = cut.multiplier as f32;
                for (r, &a) in change.iter_mut().zip(&cut.normal) {
                    *r += multiplier * a;
                }
            }
            let ranges = room.lower.iter().zip(&room.upper);
            for ((r, &x), (&lower, &upper)) in change.iter_mut().zip(original).zip(ranges) {
                *r = (x + *r).max(lower).min(upper) - x;
            }
        },
    );
}

/// Sum of the products where `mask` is 1, in lanes.
fn masked_dot(a: &[f32], b: &[f32], mask: &[f32]) -> f64 {
    vectorised(
        #[inline(always)]
        || {
            let mut lanes = [0.0f32; LANES];
            let chunks = a.chunks(LANES).zip(b.chunks(LANES)).zip(mask.chunks(LANES));
            for ((a, b), mask) in chunks {
                for (lane, ((a, b), mask)) in a.iter().zip(b).zip(mask).enumerate() {
                    lanes[lane] += a * b * mask;
                }
            }
            lanes.iter().map(|&lane| f64::from(lane)).sum()
        },
    )
}

/// Sum of products, in lanes.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    vectorised(
        #[inline(always)]
        || {
            let mut lanes = [0.0f32; LANES];
            let (a_chunks, a_rest) = a.as_chunks::<LANES>();
            let (b_chunks, b_rest) = b.as_chunks::<LANES>();
            for (a, b) in a_chunks.iter().zip(b_chunks) {
                for lane in 0..LANES {
                    lanes[lane] += a[lane] * b[lane];
                }
            }
            let rest: f64 = a_rest
                .iter()
                .zip(b_rest)
                .map(|(a, b)| f64::from(a * b))
                .sum();
            lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + rest
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::change::InputBox;
    use super::super::ranges::{Bounds, Rooms};
    use super::*;
    use crate::run::random::Stream;

    /// Projected gradient on the dual with tiny steps, in f64: slow, and nothing else.
    fn brute(original: &[f32], room: &Room, cuts: &[Cut]) -> Vec<f64> {
        let mut multipliers = vec![0.0f64; cuts.len()];
        let scale: f64 = cuts.iter().map(|cut| dot(&cut.normal, &cut.normal)).sum();
        let change = |multipliers: &[f64]| -> Vec<f64> {
            let at = |i: usize| {
                let terms = cuts.iter().zip(multipliers);
                let moved: f64 = terms.map(|(cut, m)| m * f64::from(cut.normal[i])).sum();
                let x = f64::from(original[i]);
                (x + moved).clamp(room.lower[i].into(), room.upper[i].into()) - x
            };
            (0..original.len()).map(at).collect()
        };
        for _ in 0..200_000 {
            let r = change(&multipliers);
            for (cut, multiplier) in cuts.iter().zip(&mut multipliers) {
                let reached: f64 = cut
                    .normal
                    .iter()
                    .zip(&r)
                    .map(|(&a, r)| f64::from(a) * r)
                    .sum();
                *multiplier = (*multiplier + (cut.offset - reached) / scale).max(0.0);
            }
        }
        change(&multipliers)
    }

    #[test]
    fn the_change_is_that_of_a_dual_ascent() {
        for case in 0..60 {
            let mut stream = Stream::new(5, "cuts", case);
            // With short ranges one constraint: where several meet at many corners, the ascent may
            // stop short, and the next linearisation goes on.
            let count = if case % 2 == 1 {
                1
            } else {
                1 + stream.below(3)
            };
            let n = 3 + stream.below(20);
            let original: Vec<f32> = (0..n).map(|_| stream.below(9) as f32 / 8.0).collect();
            // In every other case some values may move a little only, or not at all.
            let mut ranges = Bounds::within(InputBox::default(), n);
            if case % 2 == 1 {
                ranges.max_perturbation = (0..n).map(|_| stream.below(4) as f32 / 4.0).collect();
            }
            let room = Rooms::new(&ranges).of(&original);
            // A point of the box that satisfies them all, so that there is an answer.
            let inside: Vec<f32> = (0..n)
                .map(|i| room.inside(i, stream.below(9) as f32 / 8.0) - original[i])
                .collect();
            let mut cuts = Cuts::default();
            for rival in 0..count {
                let normal: Vec<f32> = (0..n).map(|_| stream.normal() as f32).collect();
                cuts.put(rival, &normal, dot(&normal, &inside) - 0.05);
            }
            let mut change = vec![0.0; n];
            assert!(cuts.nearest(&original, &room, &mut change), "{case}");
            let expected = brute(&original, &room, &cuts.cuts);
            for (a, b) in change.iter().zip(&expected) {
                assert!(
                    (f64::from(*a) - b).abs() < 2e-3,
                    "case {case}: {change:?} {expected:?}"
                );
            }
        }
    }

    #[test]
    fn what_the_box_does_not_allow_is_told() {
        let mut cuts = Cuts::default();
        cuts.put(0, &[1.0, -1.0], 1.5);
        let mut change = [0.0; 2];
        let room = Room::within(InputBox::default(), 2);
        assert!(!cuts.nearest(&[0.5, 0.5], &room, &mut change));
    }
}
