//! The smallest perturbation in the box that satisfies linearised constraints: the subproblem of
//! [`Sqp`](super::Sqp).
//!
//! min |delta|^2 subject to `normal_j · delta >= offset_j` and the box has a dual with one variable
//! for each constraint: delta(m) = clamp(sum m_j normal_j). Few constraints are active at a time,
//! mostly one, so the dual is solved by Newton's iteration in one to three variables.

use blindspot_net::vectorised;

use super::super::bounds::FeasibleBox;
use super::super::vectors::{dot, masked_dot, solve_small};

/// Constraints kept at most: those of the classes that meet near one point of the boundary.
pub(super) const MAX_CONSTRAINTS: usize = 6;
/// Largest violation, as a fraction of a constraint's offset: as far as sums in `f32` reach.
const TOLERANCE: f64 = 2e-6;
/// Newton steps for a single constraint at most.
const SINGLE_STEPS: usize = 50;
/// Newton steps, and halvings of them, for several constraints at most.
const ACTIVE_SET_STEPS: usize = 60;
const LANES: usize = 16;

/// A margin replaced by its tangent at the iterate: it is as large as it should be where
/// `normal · delta >= offset`.
#[derive(Debug, Clone, Default)]
struct LinearizedConstraint {
    /// The class that the margin is about.
    class: usize,
    normal: Vec<f32>,
    offset: f64,
    multiplier: f64,
}

/// The linearised constraints of one search, one a class at most.
#[derive(Debug, Default)]
pub(super) struct LinearizedConstraints {
    constraints: Vec<LinearizedConstraint>,
    recycled: Vec<LinearizedConstraint>,
}

impl LinearizedConstraints {
    pub(super) fn clear(&mut self) {
        self.recycled.append(&mut self.constraints);
    }

    /// Whether the constraint of a class was active in the last projection.
    pub(super) fn is_active(&self, class: usize) -> bool {
        self.constraints
            .iter()
            .any(|constraint| constraint.class == class && constraint.multiplier > 0.0)
    }

    /// The sum of the multipliers of the last projection: what a violation costs.
    pub(super) fn multipliers(&self) -> f64 {
        let constraints = self.constraints.iter();
        constraints.map(|constraint| constraint.multiplier).sum()
    }

    /// Drops the constraints of all other classes.
    pub(super) fn retain(&mut self, classes: &[usize]) {
        for position in (0..self.constraints.len()).rev() {
            if !classes.contains(&self.constraints[position].class) {
                self.recycled.push(self.constraints.swap_remove(position));
            }
        }
    }

    /// Sets the constraint of a class; the multiplier of the one it replaces stays, as a start.
    pub(super) fn set(&mut self, class: usize, normal: &[f32], offset: f64) {
        let mut constraints = self.constraints.iter();
        let position = constraints.position(|constraint| constraint.class == class);
        let position = position.unwrap_or_else(|| {
            self.constraints
                .push(self.recycled.pop().unwrap_or_default());
            let added = self.constraints.len() - 1;
            self.constraints[added].multiplier = 0.0;
            added
        });
        let constraint = &mut self.constraints[position];
        constraint.class = class;
        constraint.normal.clear();
        constraint.normal.extend_from_slice(normal);
        constraint.offset = offset;
    }

    /// Writes the smallest perturbation that satisfies all constraints. False where the box has
    /// none; what is written then goes as far as the box allows.
    pub(super) fn project(
        &mut self,
        original: &[f32],
        feasible_box: &FeasibleBox,
        delta: &mut [f32],
    ) -> bool {
        let found = match &mut self.constraints[..] {
            [constraint] => solve_single(original, feasible_box, constraint),
            constraints => solve_active_set(original, feasible_box, constraints, delta),
        };
        write_perturbation(original, feasible_box, &self.constraints, delta);
        found
    }
}

/// Finds the multiplier of a single constraint; false where the box holds no solution.
///
/// `normal · delta(m)` rises with m, piecewise linear and concave, so that Newton's iteration from
/// anywhere ends on the right piece from below after finitely many steps.
fn solve_single(
    original: &[f32],
    feasible_box: &FeasibleBox,
    constraint: &mut LinearizedConstraint,
) -> bool {
    if constraint.offset <= 0.0 {
        constraint.multiplier = 0.0;
        return true;
    }
    let mut restarted = false;
    for _ in 0..SINGLE_STEPS {
        let multiplier = constraint.multiplier as f32;
        let (reached, slope) = reach(original, &constraint.normal, multiplier, feasible_box);
        let violation = constraint.offset - reached;
        if violation.abs() <= TOLERANCE * constraint.offset {
            return true;
        }
        if slope > 0.0 {
            constraint.multiplier = (constraint.multiplier + violation / slope).max(0.0);
        } else if violation > 0.0 || restarted {
            return violation <= 0.0;
        } else {
            // Beyond every corner: from the other side.
            constraint.multiplier = 0.0;
            restarted = true;
        }
    }
    true
}

/// The contribution of one input value to `normal · delta(m)` and to its slope.
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
fn reach(
    original: &[f32],
    normal: &[f32],
    multiplier: f32,
    feasible_box: &FeasibleBox,
) -> (f64, f64) {
    vectorised(
        #[inline(always)]
        move || {
            let (mut reached, mut slope) = ([0.0f32; LANES], [0.0f32; LANES]);
            let (xs, x_rest) = original.as_chunks::<LANES>();
            let (normals, a_rest) = normal.as_chunks::<LANES>();
            let (lowers, l_rest) = feasible_box.lower.as_chunks::<LANES>();
            let (uppers, u_rest) = feasible_box.upper.as_chunks::<LANES>();
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

/// Finds the multipliers of several constraints by projected Newton ascent of the dual, on those
/// that are violated or active, with steps halved until the dual rises; false where the box holds
/// no solution.
///
/// Where the ascent has not ended after many steps, what it has is used: the next linearisation
/// corrects it.
fn solve_active_set(
    original: &[f32],
    feasible_box: &FeasibleBox,
    constraints: &mut [LinearizedConstraint],
    delta: &mut [f32],
) -> bool {
    let mut free = vec![0.0f32; original.len()];
    let mut best = f64::NEG_INFINITY;
    let multipliers = constraints.iter().map(|constraint| constraint.multiplier);
    let mut before: Vec<f64> = multipliers.collect();
    for _ in 0..ACTIVE_SET_STEPS {
        write_perturbation(original, feasible_box, constraints, delta);
        let violations: Vec<f64> = constraints
            .iter()
            .map(|constraint| constraint.offset - dot(&constraint.normal, delta))
            .collect();
        let penalty: f64 = constraints
            .iter()
            .zip(&violations)
            .map(|(constraint, violation)| constraint.multiplier * violation)
            .sum();
        let dual = 0.5 * dot(delta, delta) + penalty;
        if dual < best - 1e-6 * best.abs() {
            for (constraint, &before) in constraints.iter_mut().zip(&before) {
                constraint.multiplier = 0.5 * (constraint.multiplier + before);
            }
            continue;
        }
        best = dual;
        let tolerance = |j: usize| 2.0 * TOLERANCE * constraints[j].offset.abs();
        let working: Vec<usize> = (0..constraints.len())
            .filter(|&j| violations[j] > tolerance(j) || constraints[j].multiplier > 0.0)
            .collect();
        if working.iter().all(|&j| violations[j].abs() <= tolerance(j)) {
            return true;
        }
        mark_free(original, feasible_box, delta, &mut free);
        let Some(steps) = newton(constraints, &working, &violations, &free) else {
            return false;
        };
        for (before, constraint) in before.iter_mut().zip(constraints.iter()) {
            *before = constraint.multiplier;
        }
        for (&j, step) in working.iter().zip(steps) {
            constraints[j].multiplier = (constraints[j].multiplier + step).max(0.0);
        }
    }
    true
}

/// Marks with 1 the values that the box lets move.
fn mark_free(original: &[f32], feasible_box: &FeasibleBox, delta: &[f32], free: &mut [f32]) {
    vectorised(
        #[inline(always)]
        move || {
            let ranges = feasible_box.lower.iter().zip(&feasible_box.upper);
            let values = original.iter().zip(delta).zip(ranges);
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

/// Newton's step for the multipliers of the working constraints; `None` where their system is
/// singular.
fn newton(
    constraints: &[LinearizedConstraint],
    working: &[usize],
    violations: &[f64],
    free: &[f32],
) -> Option<Vec<f64>> {
    let count = working.len();
    let mut matrix = vec![vec![0.0f64; count + 1]; count];
    for row in 0..count {
        for col in row..count {
            let (a, b) = (
                &constraints[working[row]].normal,
                &constraints[working[col]].normal,
            );
            let product = masked_dot(a, b, free);
            (matrix[row][col], matrix[col][row]) = (product, product);
        }
        // Nearly the same constraint twice still has an answer.
        matrix[row][row] = matrix[row][row] * (1.0 + 1e-6) + f64::MIN_POSITIVE;
        matrix[row][count] = violations[working[row]];
    }
    let solved = solve_small(&mut matrix);
    solved.then(|| matrix.iter().map(|row| row[count]).collect())
}

/// Writes delta(m), for the multipliers that the constraints have.
fn write_perturbation(
    original: &[f32],
    feasible_box: &FeasibleBox,
    constraints: &[LinearizedConstraint],
    delta: &mut [f32],
) {
    vectorised(
        #[inline(always)]
        move || {
            delta.fill(0.0);
            for constraint in constraints
                .iter()
                .filter(|constraint| constraint.multiplier > 0.0)
            {
                let multiplier = constraint.multiplier as f32;
                for (r, &a) in delta.iter_mut().zip(&constraint.normal) {
                    *r += multiplier * a;
                }
            }
            let ranges = feasible_box.lower.iter().zip(&feasible_box.upper);
            for ((r, &x), (&lower, &upper)) in delta.iter_mut().zip(original).zip(ranges) {
                *r = (x + *r).max(lower).min(upper) - x;
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::bounds::{Bounds, FeasibleBoxes};
    use super::*;
    use blindspot_model::InputBox;
    use blindspot_run::random::Stream;

    /// Projected gradient on the dual with tiny steps, in f64: slow, and nothing else.
    fn brute(
        original: &[f32],
        feasible_box: &FeasibleBox,
        constraints: &[LinearizedConstraint],
    ) -> Vec<f64> {
        let mut multipliers = vec![0.0f64; constraints.len()];
        let scale: f64 = constraints
            .iter()
            .map(|constraint| dot(&constraint.normal, &constraint.normal))
            .sum();
        let delta_of = |multipliers: &[f64]| -> Vec<f64> {
            let at = |i: usize| {
                let terms = constraints.iter().zip(multipliers);
                let moved: f64 = terms
                    .map(|(constraint, m)| m * f64::from(constraint.normal[i]))
                    .sum();
                let x = f64::from(original[i]);
                (x + moved).clamp(feasible_box.lower[i].into(), feasible_box.upper[i].into()) - x
            };
            (0..original.len()).map(at).collect()
        };
        for _ in 0..200_000 {
            let r = delta_of(&multipliers);
            for (constraint, multiplier) in constraints.iter().zip(&mut multipliers) {
                let reached: f64 = constraint
                    .normal
                    .iter()
                    .zip(&r)
                    .map(|(&a, r)| f64::from(a) * r)
                    .sum();
                *multiplier = (*multiplier + (constraint.offset - reached) / scale).max(0.0);
            }
        }
        delta_of(&multipliers)
    }

    #[test]
    fn the_perturbation_is_that_of_a_dual_ascent() {
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
            let mut bounds = Bounds::within(InputBox::default(), n);
            if case % 2 == 1 {
                bounds.max_perturbation = (0..n).map(|_| stream.below(4) as f32 / 4.0).collect();
            }
            let feasible_box = FeasibleBoxes::new(Arc::new(bounds)).around(&original);
            // A point of the box that satisfies them all, so that there is an answer.
            let inside: Vec<f32> = (0..n)
                .map(|i| feasible_box.clip_value(i, stream.below(9) as f32 / 8.0) - original[i])
                .collect();
            let mut constraints = LinearizedConstraints::default();
            for class in 0..count {
                let normal: Vec<f32> = (0..n).map(|_| stream.normal() as f32).collect();
                constraints.set(class, &normal, dot(&normal, &inside) - 0.05);
            }
            let mut delta = vec![0.0; n];
            assert!(
                constraints.project(&original, &feasible_box, &mut delta),
                "{case}"
            );
            let expected = brute(&original, &feasible_box, &constraints.constraints);
            for (a, b) in delta.iter().zip(&expected) {
                assert!(
                    (f64::from(*a) - b).abs() < 2e-3,
                    "case {case}: {delta:?} {expected:?}"
                );
            }
        }
    }

    #[test]
    fn a_constraint_that_the_box_cannot_satisfy_is_reported() {
        let mut constraints = LinearizedConstraints::default();
        constraints.set(0, &[1.0, -1.0], 1.5);
        let mut delta = [0.0; 2];
        let feasible_box = FeasibleBox::within(InputBox::default(), 2);
        assert!(!constraints.project(&[0.5, 0.5], &feasible_box, &mut delta));
    }
}
