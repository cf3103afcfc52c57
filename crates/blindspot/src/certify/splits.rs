//! Branch and bound on networks with ReLUs: linear bounds whose lines are chosen for what is bounded,
//! in parts of the ball where units are open or closed.
//!
//! The line below a ReLU whose input has both signs may have any slope from 0 to 1. And where a part of
//! the ball has only inputs z of a unit with s z >= 0 (open: s = 1, closed: s = -1), the unit is linear
//! there, and a function is no less than what is left of it after s z times any multiplier that is not
//! negative (beta-CROWN, Wang et al. 2021). So each function has a number for each such unit, its slope or
//! its multiplier, and every choice of them gives a bound; they are improved by steps along the bound's
//! gradient. That is, by the envelope theorem, what the units' inputs and coefficients are at the
//! point where the bound is taken on.
//!
//! Where that is not enough, the ball is cut in two at the unit whose lines are the farthest from the ReLU
//! at that point, and so on. The bounds of the units' inputs stay those of the whole ball: to improve them
//! in the same way took more time than it saved.

use std::collections::BinaryHeap;

use super::ball::{self, Room};
use super::bounds::{Bounds, Relaxed, through};
use super::chain::{Between, Chain, ROWS};
use super::relax::{Activation, Line, Lines};
use super::slices::Outcome;

/// Steps of improvement at most of a part's bound, which begins where that of the part that it was cut from
/// has come to: cutting again helps more than further steps.
const STEPS: usize = 2;
/// How far above 0 a bound is aimed at, as a part of how far below it begins.
const BEYOND: f64 = 0.2;
/// Numbers that open parts hold at most: half a gigabyte.
const MOST: usize = 1 << 26;

/// A ReLU whose input has both signs.
struct Unit {
    /// Which activation it is in, and where.
    layer: usize,
    at: usize,
    /// The chord above it.
    above: Line,
}

/// What is known of a unit in a part of the ball.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Both,
    Open,
    Closed,
}

/// A linear function of the network's output over a part of the ball, and the choice that it is bounded by.
#[derive(Clone)]
struct Part {
    /// Which function.
    function: usize,
    /// Of each unit.
    sides: Vec<Side>,
    /// The slope below a unit that has both sides, else the multiplier of its side.
    numbers: Vec<f64>,
    /// The best bound, and the numbers that gave it.
    bound: f64,
    best: Vec<f64>,
    /// Where it is taken on, and the unit that is the farthest from its lines there.
    point: Vec<f64>,
    branch: Option<usize>,
}

impl Part {
    fn new(function: usize, numbers: Vec<f64>) -> Part {
        Part {
            function,
            sides: vec![Side::Both; numbers.len()],
            bound: f64::NEG_INFINITY,
            best: numbers.clone(),
            numbers,
            point: Vec::new(),
            branch: None,
        }
    }

    /// The part of this one on a side of a unit.
    fn on(&self, unit: usize, side: Side) -> Part {
        let mut part = Part {
            numbers: self.best.clone(),
            ..self.clone()
        };
        part.sides[unit] = side;
        part.numbers[unit] = 0.0;
        part
    }
}

/// The lowest bound first.
impl Ord for Part {
    fn cmp(&self, other: &Part) -> std::cmp::Ordering {
        other.bound.total_cmp(&self.bound)
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Part) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Part) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Part {}

/// Linear bounds within one radius.
pub(super) struct Splits<'b, 'c> {
    bounds: &'b mut Bounds<'c>,
    chain: &'c Chain,
    room: &'b Room,
    radius: f64,
    /// Layer after layer.
    units: Vec<Unit>,
    /// The slopes below the units that their ranges alone suggest.
    slopes: Vec<f64>,
    /// Lines of everything but the units, which have none here.
    relaxed: Vec<Relaxed>,
    /// Of the functions bounded last, the coefficients at each activation's output, and the units' inputs
    /// where the bounds are taken on.
    coefficients: Vec<Vec<f64>>,
    inputs: Vec<Vec<f64>>,
}

/// Whether a network has units to choose lines for.
pub(super) fn has_units(chain: &Chain) -> bool {
    let relu = |between: &Between| matches!(between, Between::Each(Activation::Relu));
    chain.between.iter().any(relu)
}

impl<'b, 'c> Splits<'b, 'c> {
    /// Bounds the inputs of all activations; None where one is not finite.
    pub(super) fn new(
        bounds: &'b mut Bounds<'c>,
        room: &'b Room,
        radius: f64,
    ) -> Option<Splits<'b, 'c>> {
        let chain = bounds.chain();
        let (mut relaxed, _) = bounds.relaxed(room, radius)?;
        let (mut units, mut slopes) = (Vec::new(), Vec::new());
        for (layer, relaxed) in relaxed.iter_mut().enumerate() {
            let relu = matches!(chain.between[layer], Between::Each(Activation::Relu));
            if let (Relaxed::Each(lines), true) = (relaxed, relu) {
                for (at, lines) in lines.iter_mut().enumerate() {
                    // Where the input has one sign both lines are the function.
                    if lines.below != lines.above {
                        let Lines { below, above } = std::mem::take(lines);
                        units.push(Unit { layer, at, above });
                        slopes.push(below.slope);
                    }
                }
            }
        }
        Some(Splits {
            bounds,
            chain,
            room,
            radius,
            units,
            slopes,
            relaxed,
            coefficients: chain.between.iter().map(|_| Vec::new()).collect(),
            inputs: Vec::new(),
        })
    }

    /// Whether functions of the network's output, one row each, are above 0 in all the ball, which is cut so
    /// many times at most. `refutes` is asked whether a change of the image shows that one is not.
    pub(super) fn certain(
        &mut self,
        functions: &[f64],
        mut cuts: usize,
        mut refutes: impl FnMut(&[f64]) -> bool,
        stop: &dyn Fn() -> bool,
    ) -> Outcome {
        let count = functions.len() / self.outputs();
        let part = |function| Part::new(function, self.slopes.clone());
        let mut parts: Vec<Part> = (0..count).map(part).collect();
        let mut open = BinaryHeap::new();
        let numbers = 3 * self.units.len() + self.room.image.len();
        loop {
            for parts in parts.chunks_mut(ROWS) {
                self.raise(functions, parts, stop);
            }
            open.extend(parts.drain(..).filter(|part| part.bound <= 0.0));
            let Some(lowest) = open.peek() else {
                return Outcome::Certain;
            };
            if stop() {
                return Outcome::Open;
            }
            if refutes(&lowest.point) {
                return Outcome::Refuted;
            }
            if cuts == 0 {
                return Outcome::Open;
            }
            if open.len() * numbers > MOST {
                return Outcome::Refuted;
            }
            for _ in 0..(ROWS / 2).min(cuts).min(open.len()) {
                let part = open.pop().expect("there are more");
                let Some(unit) = part.branch else {
                    return Outcome::Refuted;
                };
                parts.push(part.on(unit, Side::Open));
                parts.push(part.on(unit, Side::Closed));
            }
            cuts -= parts.len() / 2;
        }
    }

    /// Numbers of the network's output.
    fn outputs(&self) -> usize {
        self.chain.segments[self.chain.between.len()].outputs
    }

    /// Improves the bounds of functions of the network's output, one row each, over parts of the ball,
    /// until they are above 0.
    fn raise(&mut self, functions: &[f64], parts: &mut [Part], stop: &dyn Fn() -> bool) {
        let (outputs, inputs) = (self.outputs(), self.room.image.len());
        // With each its first bound.
        let mut active: Vec<(&mut Part, f64)> = parts.iter_mut().map(|part| (part, 0.0)).collect();
        for step in 0..=STEPS {
            if active.is_empty() || stop() {
                return;
            }
            let rows = active
                .iter()
                .flat_map(|(part, _)| &functions[part.function * outputs..][..outputs]);
            let rows = rows.copied().collect();
            let mut points = Vec::new();
            let bounds = self.bound(rows, &active, &mut points);
            self.see(&points, &active);
            let mut k = 0;
            active.retain_mut(|(part, first)| {
                let (bound, point) = (bounds[k], &points[k * inputs..][..inputs]);
                if step == 0 {
                    *first = bound;
                }
                if step == 0 || bound > part.bound {
                    // NaN is no bound.
                    part.bound = bound.max(f64::NEG_INFINITY);
                    part.best.copy_from_slice(&part.numbers);
                    part.point = point.to_vec();
                    part.branch = self.farthest(k, part);
                }
                let goes_on = part.bound <= 0.0 && step < STEPS;
                let goes_on = goes_on && self.step(k, part, BEYOND * first.abs() - bound);
                k += 1;
                goes_on
            });
        }
    }

    /// Lower bounds by the parts' numbers; the changes of the image at which they are taken on.
    fn bound(
        &mut self,
        rows: Vec<f64>,
        parts: &[(&mut Part, f64)],
        points: &mut Vec<f64>,
    ) -> Vec<f64> {
        let Splits {
            bounds,
            chain,
            units,
            relaxed,
            coefficients,
            ..
        } = self;
        let through_units = |layer: usize, rows: Vec<f64>, constants: &mut [(f64, f64)]| {
            coefficients[layer].clone_from(&rows);
            let seen = &coefficients[layer];
            let mut rows = through(&relaxed[layer], rows, chain, layer, constants);
            let own = of_layer(units, layer);
            let (below, above) = (chain.segments[layer].outputs, seen.len() / parts.len());
            for (k, (constant, rounding)) in constants.iter_mut().enumerate() {
                let (mut sum, mut size) = (0.0, 0.0);
                for u in own.clone() {
                    let (unit, number) = (&units[u], parts[k].0.numbers[u]);
                    let s = seen[k * above + unit.at];
                    rows[k * below + unit.at] = match parts[k].0.sides[u] {
                        Side::Both if s > 0.0 => s * number,
                        Side::Both => {
                            let part = s * unit.above.intercept;
                            sum += part;
                            size += part.abs();
                            s * unit.above.slope
                        }
                        Side::Open => s - number,
                        Side::Closed => number,
                    };
                }
                *constant += sum;
                *rounding += ball::rounding(own.len(), size + constant.abs());
            }
            rows
        };
        bounds.lower_by(rows, through_units, self.room, self.radius, points)
    }

    /// Finds the units' inputs where the bounds are taken on: the image with these changes goes through
    /// the lines that were chosen.
    fn see(&mut self, points: &[f64], parts: &[(&mut Part, f64)]) {
        let count = parts.len();
        let image = self.room.image.iter().cycle();
        let mut rows: Vec<f64> = points.iter().zip(image).map(|(d, x)| x + d).collect();
        self.inputs = vec![vec![0.0; self.units.len()]; count];
        for layer in 0..self.chain.between.len() {
            let own = of_layer(&self.units, layer);
            if own.end == self.units.len() && own.is_empty() {
                // No units from here on.
                return;
            }
            self.bounds.apply(layer, count, &mut rows);
            let (below, seen) = (
                self.chain.segments[layer].outputs,
                &self.coefficients[layer],
            );
            let above = seen.len() / count;
            let mut next = Vec::with_capacity(seen.len());
            for (k, (part, _)) in parts.iter().enumerate() {
                let (row, seen) = (&rows[k * below..][..below], &seen[k * above..][..above]);
                let start = next.len();
                follow(
                    &self.relaxed[layer],
                    row,
                    seen,
                    self.chain.active[layer],
                    &mut next,
                );
                for u in own.clone() {
                    let unit = &self.units[u];
                    let (z, s) = (row[unit.at], seen[unit.at]);
                    self.inputs[k][u] = z;
                    next[start + unit.at] = match part.sides[u] {
                        Side::Both if s > 0.0 => part.numbers[u] * z,
                        Side::Both => unit.above.slope * z + unit.above.intercept,
                        Side::Open => z,
                        Side::Closed => 0.0,
                    };
                }
            }
            rows = next;
        }
    }

    /// The unit with both sides whose line is the farthest from the ReLU, by what that changes the
    /// `k`-th function.
    fn farthest(&self, k: usize, part: &Part) -> Option<usize> {
        let gap = |u: usize| {
            let (unit, z, s) = (&self.units[u], self.inputs[k][u], self.coefficient(k, u));
            let line = match s > 0.0 {
                true => part.numbers[u] * z,
                false => unit.above.slope * z + unit.above.intercept,
            };
            s * (z.max(0.0) - line)
        };
        let both = (0..self.units.len()).filter(|&u| part.sides[u] == Side::Both);
        let gaps = both.map(|u| (u, gap(u)));
        gaps.filter(|(_, gap)| *gap > 0.0)
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(u, _)| u)
    }

    /// The coefficient of the `k`-th function at a unit's output.
    fn coefficient(&self, k: usize, u: usize) -> f64 {
        let unit = &self.units[u];
        let seen = &self.coefficients[unit.layer];
        seen[k * (seen.len() / self.inputs.len()) + unit.at]
    }

    /// Changes the `k`-th function's numbers, to raise its bound by so much if it were linear (Polyak's
    /// step); false where none of them does.
    fn step(&self, k: usize, part: &mut Part, wanted: f64) -> bool {
        let count = self.units.len();
        // A multiplier is measured in the coefficients that it is added to.
        let squares = (0..count).map(|u| self.coefficient(k, u).powi(2));
        let scale = squares.sum::<f64>() / count as f64;
        let mut ascent = vec![0.0; count];
        let mut square = 0.0;
        for (u, ascent) in ascent.iter_mut().enumerate() {
            let (z, s, number) = (self.inputs[k][u], self.coefficient(k, u), part.numbers[u]);
            let (slope, scale, most) = match part.sides[u] {
                Side::Both => (s.max(0.0) * z, 1.0, 1.0),
                Side::Open => (-z, scale, f64::INFINITY),
                Side::Closed => (z, scale, f64::INFINITY),
            };
            let blocked = number <= 0.0 && slope < 0.0 || number >= most && slope > 0.0;
            if !blocked {
                *ascent = scale * slope;
                square += scale * slope * slope;
            }
        }
        let length = wanted / square;
        if !(square > 0.0 && length.is_finite()) {
            return false;
        }
        for (u, ascent) in ascent.iter().enumerate() {
            let most = if part.sides[u] == Side::Both {
                1.0
            } else {
                f64::MAX
            };
            part.numbers[u] = (part.numbers[u] + length * ascent).clamp(0.0, most);
        }
        true
    }
}

/// The units of a layer.
fn of_layer(units: &[Unit], layer: usize) -> std::ops::Range<usize> {
    let before = |layer: usize| units.partition_point(|unit| unit.layer < layer);
    before(layer)..before(layer + 1)
}

/// What lines make of an activation's inputs, those of each number by the sign of its coefficient.
fn follow(
    relaxed: &Relaxed,
    inputs: &[f64],
    coefficients: &[f64],
    active: usize,
    out: &mut Vec<f64>,
) {
    match relaxed {
        Relaxed::Each(lines) => {
            let numbers = inputs.iter().zip(coefficients).zip(lines);
            out.extend(numbers.map(|((z, s), lines)| {
                let line = if *s > 0.0 { lines.below } else { lines.above };
                line.slope * z + line.intercept
            }));
        }
        Relaxed::Max(windows) => {
            let numbers = windows.iter().zip(coefficients);
            out.extend(numbers.map(|(maximum, s)| match *s > 0.0 {
                true => inputs[maximum.best as usize],
                false => {
                    let parts = maximum.above.iter();
                    let parts = parts.map(|&(at, slope)| slope * inputs[at as usize]);
                    parts.sum::<f64>() + maximum.intercept
                }
            }));
        }
    }
    out.extend_from_slice(&inputs[active..]);
}
