//! Several linear constraints: the simplex method over mixtures of the vertices of norm and
//! intervals together (Dantzig and Wolfe 1960).

use super::program::{Constraint, Intervals, Solution, size, vertex};
use crate::search::norms::Norm;
use crate::search::vectors::product;

/// Vertices that enter at most.
const MAX_PIVOTS: usize = 400;
/// What a unit of violation costs, where rows have a dual norm of 1: more than any step gains.
const VIOLATION_COST: f64 = 1e6;
/// Where intervals are open, several constraints are not looked for beyond this multiple of the
/// farthest of them.
const FARTHEST: f64 = 1e3;

/// A column of the simplex method.
#[derive(Debug, Clone)]
enum Column {
    /// A vertex of norm and intervals.
    Vertex(Vec<f64>),
    /// By how much a constraint is exceeded.
    Surplus(usize),
    /// By how much constraints may be violated.
    Violation,
}

/// The simplex method over mixtures of vertices.
pub(super) struct Simplex<'a> {
    norm: Norm,
    constraints: &'a [Constraint],
    intervals: Intervals,
    /// The mixture is taken for optimal at this part of its norm above the dual bound.
    gap: f64,
    /// What each constraint is divided by: the dual norm of its normal.
    units: Vec<f64>,
    basis: Vec<Column>,
    /// The entries of each column of the basis: one a constraint, and the weight in the mixture.
    entries: Vec<Vec<f64>>,
    costs: Vec<f64>,
}

impl<'a> Simplex<'a> {
    pub(super) fn new(
        norm: Norm,
        constraints: &'a [Constraint],
        intervals: &Intervals,
        gap: f64,
    ) -> Self {
        let units = constraints.iter().map(|constraint| {
            let dual = match norm {
                Norm::Linf => size(Norm::L1, &constraint.normal),
                _ => size(Norm::Linf, &constraint.normal),
            };
            if dual > 0.0 { dual } else { 1.0 }
        });
        let units: Vec<f64> = units.collect();
        let far = constraints.iter().zip(&units);
        let far = far.fold(0.0, |far: f64, (constraint, unit)| {
            far.max(constraint.offset / unit)
        });
        let mut intervals = intervals.clone();
        let mut base = Vec::new();
        intervals.write_base(&mut base);
        let far = FARTHEST * (far + size(norm, &base) + f64::MIN_POSITIVE);
        let close = |value: &mut f64| {
            if value.is_infinite() {
                *value = far.copysign(*value);
            }
        };
        intervals.lower.iter_mut().for_each(close);
        intervals.upper.iter_mut().for_each(close);
        let mut simplex = Simplex {
            norm,
            constraints,
            intervals,
            gap,
            units,
            basis: Vec::new(),
            entries: Vec::new(),
            costs: Vec::new(),
        };
        let rows = constraints.len();
        let start = simplex.entries_of(&base);
        let violation = |&row: &usize| simplex.offset(row) - start[row];
        let worst = (0..rows).max_by(|a, b| violation(a).total_cmp(&violation(b)));
        for row in 0..rows {
            if Some(row) == worst {
                simplex.push(Column::Violation);
            } else {
                simplex.push(Column::Surplus(row));
            }
        }
        simplex.push(Column::Vertex(base));
        simplex
    }

    fn offset(&self, row: usize) -> f64 {
        self.constraints[row].offset / self.units[row]
    }

    /// The entries of a vertex.
    fn entries_of(&self, point: &[f64]) -> Vec<f64> {
        let rows = self.constraints.iter().zip(&self.units);
        let rows = rows.map(|(constraint, unit)| product(&constraint.normal, point) / unit);
        rows.chain([1.0]).collect()
    }

    /// The entries and the cost of a column.
    fn describe(&self, column: &Column) -> (Vec<f64>, f64) {
        let rows = self.constraints.len();
        match column {
            Column::Vertex(point) => (self.entries_of(point), size(self.norm, point)),
            Column::Surplus(row) => {
                let mut entries = vec![0.0; rows + 1];
                entries[*row] = -1.0;
                (entries, 0.0)
            }
            Column::Violation => {
                let mut entries = vec![1.0; rows + 1];
                entries[rows] = 0.0;
                (entries, VIOLATION_COST)
            }
        }
    }

    fn push(&mut self, column: Column) {
        let (entries, cost) = self.describe(&column);
        self.basis.push(column);
        self.entries.push(entries);
        self.costs.push(cost);
    }

    /// Writes the best mixture.
    pub(super) fn solve(mut self, point: &mut Vec<f64>) -> Solution {
        let rows = self.constraints.len();
        let mut weights = vec![0.0; rows + 1];
        let mut multipliers = vec![0.0; rows];
        let offsets: Vec<f64> = (0..rows).map(|row| self.offset(row)).chain([1.0]).collect();
        // Where the base satisfies all constraints the violation is negative: it leaves for a surplus.
        let least = self.entries_of(match &self.basis[rows] {
            Column::Vertex(base) => base,
            _ => unreachable!("the base was put there"),
        });
        if (0..rows).all(|row| least[row] >= offsets[row]) {
            self.intervals.write_base(point);
            return Solution {
                multipliers,
                feasible: true,
            };
        }
        let mut candidate = Vec::new();
        for _ in 0..MAX_PIVOTS {
            let Some(inverse) = inverse(&self.entries) else {
                break;
            };
            weights = times(&inverse, &offsets);
            let duals: Vec<f64> = (0..=rows)
                .map(|row| (0..=rows).map(|at| self.costs[at] * inverse[at][row]).sum())
                .collect();
            multipliers.copy_from_slice(&duals[..rows]);
            let cost = product(&self.costs, &weights);
            let Some((column, gain)) = self.entering(&duals, &mut candidate) else {
                break;
            };
            if gain <= self.gap * cost {
                break;
            }
            let (entries, cost) = self.describe(&column);
            let moves = times(&inverse, &entries);
            let leaving = (0..=rows).filter(|&at| moves[at] > 1e-11);
            let ratio = |at: usize| weights[at].max(0.0) / moves[at];
            let leaving = leaving.min_by(|&a, &b| {
                ratio(a)
                    .total_cmp(&ratio(b))
                    .then(moves[b].total_cmp(&moves[a]))
            });
            let Some(at) = leaving else { break };
            (self.basis[at], self.entries[at], self.costs[at]) = (column, entries, cost);
        }
        self.mix(&weights, multipliers, point)
    }

    /// The column that enters the basis, and by how much the cost could fall; `None` where no column
    /// helps.
    fn entering(&self, duals: &[f64], candidate: &mut Vec<f64>) -> Option<(Column, f64)> {
        let rows = self.constraints.len();
        let negative = (0..rows).min_by(|&a, &b| duals[a].total_cmp(&duals[b]))?;
        if duals[negative] < -1e-12 {
            return Some((Column::Surplus(negative), f64::INFINITY));
        }
        let sum: f64 = duals[..rows].iter().sum();
        if sum > VIOLATION_COST * (1.0 + 1e-9) {
            return Some((Column::Violation, f64::INFINITY));
        }
        let mut direction = vec![0.0; self.intervals.lower.len()];
        for (row, constraint) in self.constraints.iter().enumerate() {
            let weight = duals[row].max(0.0) / self.units[row];
            if weight > 0.0 {
                for (sum, a) in direction.iter_mut().zip(&constraint.normal) {
                    *sum += weight * a;
                }
            }
        }
        vertex(self.norm, &direction, &self.intervals, candidate);
        let reduced = size(self.norm, candidate) - product(&direction, candidate) - duals[rows];
        (reduced < 0.0).then(|| (Column::Vertex(candidate.clone()), -reduced))
    }

    /// Writes the mixture of the vertices in the basis.
    fn mix(&self, weights: &[f64], multipliers: Vec<f64>, point: &mut Vec<f64>) -> Solution {
        point.clear();
        point.resize(self.intervals.lower.len(), 0.0);
        let mut violation = 0.0;
        let vertices =
            self.basis
                .iter()
                .zip(weights)
                .filter_map(|(column, &weight)| match column {
                    Column::Vertex(vertex) => Some((vertex, weight.max(0.0))),
                    _ => None,
                });
        let sum: f64 = vertices.clone().map(|(_, weight)| weight).sum();
        for (vertex, weight) in vertices {
            for (sum_at, value) in point.iter_mut().zip(vertex) {
                *sum_at += weight / sum * value;
            }
        }
        for (column, &weight) in self.basis.iter().zip(weights) {
            if matches!(column, Column::Violation) {
                violation += weight;
            }
        }
        let scale = (0..self.units.len()).fold(0.0, |most: f64, row| most.max(self.offset(row)));
        let multipliers = multipliers
            .iter()
            .zip(&self.units)
            .map(|(m, unit)| m.max(0.0) / unit);
        Solution {
            multipliers: multipliers.collect(),
            feasible: violation <= 1e-9 * scale,
        }
    }
}

/// A matrix times a vector.
fn times(matrix: &[Vec<f64>], vector: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| product(row, vector)).collect()
}

/// The inverse of the matrix with these columns, by Gauss and Jordan with pivots; `None` of a singular one.
fn inverse(columns: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let n = columns.len();
    let row = |i: usize| {
        let identity = (0..n).map(move |j| f64::from(u8::from(i == j)));
        columns
            .iter()
            .map(|column| column[i])
            .chain(identity)
            .collect()
    };
    let mut rows: Vec<Vec<f64>> = (0..n).map(row).collect();
    for pivot in 0..n {
        let size = |&i: &usize| rows[i][pivot].abs();
        let best = (pivot..n).max_by(|a, b| size(a).total_cmp(&size(b)))?;
        rows.swap(pivot, best);
        let scale = rows[pivot][pivot];
        if scale.is_nan() || scale.abs() < 1e-14 {
            return None;
        }
        rows[pivot].iter_mut().for_each(|value| *value /= scale);
        let own = rows[pivot].clone();
        for (i, row) in rows.iter_mut().enumerate() {
            let factor = row[pivot];
            if i != pivot && factor != 0.0 {
                for (value, above) in row.iter_mut().zip(&own) {
                    *value -= factor * above;
                }
            }
        }
    }
    Some(rows.into_iter().map(|row| row[n..].to_vec()).collect())
}
