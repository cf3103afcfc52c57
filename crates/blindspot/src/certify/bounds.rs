//! Linear bounds carried backward through the network (CROWN, Zhang et al. 2018), with the ball and
//! the box together at the input.
//!
//! A linear function of a segment's output is, in the segment's input, a linear function again; an
//! activation is replaced by the line that makes the function smaller, below where the coefficient
//! is positive and above where it is negative. What is left at the input is minimised exactly
//! ([`ball`](super::ball)). So every intermediate value gets bounds, these make the next lines, and
//! in the end the lead of the label over each other class has one.
//!
//! # Rounding
//!
//! All is f64. The coefficients computed differ from those of exact arithmetic; what counts is by how
//! much the function's value can differ. A step of the backward pass through a segment computes, for
//! coefficients s, the product A' s with an error of at most gamma |A|' |s| (Higham 2002, section
//! 3.5; gamma the number of terms of all its sums times the rounding unit, whatever their order), and
//! on values h before it that moves the function by at most gamma |s| (|A| |h| + |b|). The vector in
//! brackets is bounded once for all inputs of the box ([`Segment::size`](super::chain::Segment)), so
//! that each step costs one scalar product more. The lines are outward by themselves
//! ([`relax`](super::relax)); a coefficient times a slope, or less a multiplier
//! ([`splits`](super::splits)), is rounded once, which one more unit in gamma covers. Constants and the
//! final minimum take their own sums' rounding off. Overflow gives infinities or NaN, which certify
//! nothing.

use super::ball::{self, Room, Scratch};
use super::chain::{Adjoint, Between, Chain, ROWS, Segment};
use super::relax::Lines;

/// The linear part of the first segment, row after row: it is the same for all images.
pub(super) struct First {
    /// For each output its coefficients that are not 0, and their places where some are 0.
    rows: Vec<(Vec<f64>, Option<Vec<u32>>)>,
}

impl First {
    pub(super) fn new(segment: &Segment) -> First {
        let mut adjoint = segment.adjoint();
        let mut rows = Vec::with_capacity(segment.outputs);
        for from in (0..segment.outputs).step_by(ROWS) {
            let count = ROWS.min(segment.outputs - from);
            let mut units = vec![0.0; count * segment.outputs];
            for i in 0..count {
                units[i * segment.outputs + from + i] = 1.0;
            }
            adjoint.carry(count, &mut units);
            rows.extend(units.chunks_exact(segment.inputs).map(|row| {
                let used: Vec<u32> = (0..row.len() as u32)
                    .filter(|&i| row[i as usize] != 0.0)
                    .collect();
                match 2 * used.len() > row.len() {
                    true => (row.to_vec(), None),
                    false => {
                        let kept = used.iter().map(|&i| row[i as usize]);
                        (kept.collect(), Some(used))
                    }
                }
            }));
        }
        First { rows }
    }
}

/// Lower and upper bounds of numbers.
pub(super) type Range = [Vec<f64>; 2];

/// How an activation is bounded.
pub(super) enum Relaxed {
    /// Each number by its lines.
    Each(Vec<Lines>),
    /// The maximum of each window.
    Max(Vec<Maximum>),
}

/// The maximum of a window: no less than one of its inputs, no more than a linear function.
pub(super) struct Maximum {
    /// The input whose lower bound is the largest.
    best: u32,
    /// Coefficients of the linear function.
    above: Vec<(u32, f64)>,
    intercept: f64,
}

/// The memory of one thread to bound in.
pub(super) struct Bounds<'c> {
    chain: &'c Chain,
    first: &'c First,
    adjoints: Vec<Adjoint<'c>>,
    scratch: Scratch,
}

impl<'c> Bounds<'c> {
    pub(super) fn new(chain: &'c Chain, first: &'c First) -> Bounds<'c> {
        Bounds {
            chain,
            first,
            adjoints: chain.segments.iter().map(Segment::adjoint).collect(),
            scratch: Scratch::default(),
        }
    }

    /// Lower and upper bounds of the inputs of each activation within `radius`; None where one is not
    /// finite.
    pub(super) fn ranges(&mut self, room: &Room, radius: f64) -> Option<Vec<Range>> {
        Some(self.relaxed(room, radius)?.1)
    }

    /// How each activation is bounded within `radius`, and its inputs' bounds; None where one is not
    /// finite.
    pub(super) fn relaxed(
        &mut self,
        room: &Room,
        radius: f64,
    ) -> Option<(Vec<Relaxed>, Vec<Range>)> {
        let mut relaxed: Vec<Relaxed> = Vec::with_capacity(self.chain.between.len());
        let mut ranges: Vec<Range> = Vec::with_capacity(self.chain.between.len());
        for (i, between) in self.chain.between.iter().enumerate() {
            let behind_relu = i > 0 && self.chain.between[i - 1].is_relu();
            let [low, high] = match ranges.last() {
                // What the ReLU makes of its own range: no line is narrower.
                Some(range) if behind_relu && self.chain.segments[i].is_identity() => {
                    let positive = |bounds: &Vec<f64>| bounds.iter().map(|b| b.max(0.0)).collect();
                    [positive(&range[0]), positive(&range[1])]
                }
                _ => self.range(i, &relaxed, room, radius),
            };
            if !low.iter().chain(&high).all(|bound| bound.is_finite()) {
                return None;
            }
            relaxed.push(match between {
                Between::Each(activation) => {
                    let ranges = low.iter().zip(&high);
                    Relaxed::Each(
                        ranges
                            .map(|(&l, &h)| activation.lines(l, h.max(l)))
                            .collect(),
                    )
                }
                Between::Max(windows) => Relaxed::Max(
                    windows
                        .iter()
                        .map(|seen| of_window(seen, &low, &high))
                        .collect(),
                ),
            });
            ranges.push([low, high]);
        }
        Some((relaxed, ranges))
    }

    /// A lower bound of the least lead of class `label` over the others within `radius`.
    pub(super) fn lead(&mut self, room: &Room, label: usize, radius: f64) -> f64 {
        let Some((relaxed, _)) = self.relaxed(room, radius) else {
            return f64::NEG_INFINITY;
        };
        let last = self.chain.segments.len() - 1;
        let classes = self.chain.segments[last].outputs;
        let rivals: Vec<usize> = (0..classes).filter(|&class| class != label).collect();
        let mut least = f64::INFINITY;
        for rivals in rivals.chunks(ROWS) {
            let mut rows = vec![0.0; rivals.len() * classes];
            for (row, &rival) in rows.chunks_exact_mut(classes).zip(rivals) {
                (row[label], row[rival]) = (1.0, -1.0);
            }
            let leads = self.lower(last, rows, &relaxed, room, radius);
            for lead in leads {
                let known = if lead.is_nan() {
                    f64::NEG_INFINITY
                } else {
                    lead
                };
                least = least.min(known);
            }
        }
        least
    }

    /// Lower and upper bounds of what the activation behind segment `i` takes.
    fn range(&mut self, i: usize, relaxed: &[Relaxed], room: &Room, radius: f64) -> [Vec<f64>; 2] {
        let segment = &self.chain.segments[i];
        if i == 0 {
            return self.first_range(room, radius);
        }
        let (mut low, mut high) = (Vec::new(), Vec::new());
        let active = self.chain.active[i];
        for from in (0..active).step_by(ROWS / 2) {
            let count = (ROWS / 2).min(active - from);
            let mut rows = vec![0.0; 2 * count * segment.outputs];
            for k in 0..count {
                rows[k * segment.outputs + from + k] = 1.0;
                rows[(count + k) * segment.outputs + from + k] = -1.0;
            }
            let bounds = self.lower(i, rows, relaxed, room, radius);
            low.extend_from_slice(&bounds[..count]);
            high.extend(bounds[count..].iter().map(|bound| -bound));
        }
        [low, high]
    }

    /// Those of the first segment, which nothing stands before.
    fn first_range(&mut self, room: &Room, radius: f64) -> [Vec<f64>; 2] {
        let segment = &self.chain.segments[0];
        let (mut low, mut high) = (Vec::new(), Vec::new());
        let rows = self.first.rows.iter().take(self.chain.active[0]);
        for (i, (coefficients, support)) in rows.enumerate() {
            let scratch = &mut self.scratch;
            let both = ball::both(coefficients, support.as_deref(), room, radius, scratch);
            let rounding = ball::rounding(segment.terms, segment.size[i]);
            low.push(segment.bias[i] + both[0] - rounding);
            high.push(segment.bias[i] - both[1] + rounding);
        }
        [low, high]
    }

    /// Lower bounds of linear functions of the output of segment `i`, one row each.
    fn lower(
        &mut self,
        i: usize,
        rows: Vec<f64>,
        relaxed: &[Relaxed],
        room: &Room,
        radius: f64,
    ) -> Vec<f64> {
        let chain = self.chain;
        let (rows, constants) = self.carry(i, rows, |at, rows, constants| {
            through(&relaxed[at], rows, chain, at, constants)
        });
        rows.chunks_exact(chain.segments[0].inputs)
            .zip(constants)
            .map(|(row, constant)| {
                let least = ball::lower(row, 1.0, None, room, radius, &mut self.scratch);
                with_constant(least, constant)
            })
            .collect()
    }

    /// The same for the network's outputs, with activations replaced by `through`, which gets an
    /// activation, functions of its output and their constants, and gives functions of its input. Given
    /// too are the changes of the image at which the bounds are taken on.
    pub(super) fn lower_by(
        &mut self,
        rows: Vec<f64>,
        through: impl FnMut(usize, Vec<f64>, &mut [(f64, f64)]) -> Vec<f64>,
        room: &Room,
        radius: f64,
    ) -> (Vec<f64>, Vec<f64>) {
        let (rows, constants) = self.carry(self.chain.segments.len() - 1, rows, through);
        let mut points = vec![0.0; rows.len()];
        let inputs = self.chain.segments[0].inputs;
        let functions = rows.chunks_exact(inputs).zip(constants);
        let bounds = functions
            .zip(points.chunks_exact_mut(inputs))
            .map(|((row, constant), point)| {
                let least = ball::lower_at(row, room, radius, &mut self.scratch, point);
                with_constant(least, constant)
            })
            .collect();
        (bounds, points)
    }

    /// Carries linear functions of the output of segment `i` to the image; gives for each also its
    /// constant, and what its rounding can amount to.
    fn carry(
        &mut self,
        i: usize,
        mut rows: Vec<f64>,
        mut through: impl FnMut(usize, Vec<f64>, &mut [(f64, f64)]) -> Vec<f64>,
    ) -> (Vec<f64>, Vec<(f64, f64)>) {
        let count = rows.len() / self.chain.segments[i].outputs;
        let mut constants = vec![(0.0, 0.0); count];
        for at in (0..=i).rev() {
            let segment = &self.chain.segments[at];
            let functions = rows.chunks_exact(segment.outputs).zip(&mut constants);
            for (row, (constant, rounding)) in functions {
                let (sum, size) = constant_part(row, segment);
                *constant += sum;
                *rounding += ball::rounding(segment.terms + row.len(), size + constant.abs());
            }
            self.adjoints[at].carry(count, &mut rows);
            if at > 0 {
                rows = through(at - 1, rows, &mut constants);
            }
        }
        (rows, constants)
    }

    /// Replaces inputs of segment `at`, one row each, by its outputs.
    pub(super) fn apply(&mut self, at: usize, count: usize, rows: &mut Vec<f64>) {
        self.adjoints[at].apply(count, rows);
    }

    /// The network that is bounded.
    pub(super) fn chain(&self) -> &'c Chain {
        self.chain
    }
}

/// The least value of a function with its constant, rounding taken off.
fn with_constant(least: f64, (constant, rounding): (f64, f64)) -> f64 {
    least + constant - rounding - 4.0 * f64::EPSILON * (least.abs() + constant.abs())
}

/// A function's value at the segment's bias, and the size of everything that it sums.
fn constant_part(row: &[f64], segment: &Segment) -> (f64, f64) {
    let (mut sum, mut size) = (0.0, 0.0);
    for ((&s, &bias), &of_output) in row.iter().zip(&segment.bias).zip(&segment.size) {
        sum += s * bias;
        size += s.abs() * of_output;
    }
    (sum, size)
}

/// Bounds of the maximum of a window.
///
/// With L the largest lower bound, that of the input `best`, the maximum is at most
/// x_best + sum over the others of max(0, x_i - L), and that is at most the chord
/// (u_i - L) / (u_i - l_i) (x_i - l_i). Where the largest upper bound is lower in the middle of all
/// ranges, it stands in for that.
fn of_window(seen: &[u32], low: &[f64], high: &[f64]) -> Maximum {
    let by = |a: &&u32, b: &&u32| low[**a as usize].total_cmp(&low[**b as usize]);
    let best = seen.iter().max_by(by).copied().unwrap_or(0);
    let floor = low[best as usize];
    let mut above = vec![(best, 1.0)];
    let (mut intercept, mut size) = (0.0, 0.0);
    let mut middle = 0.5 * (floor + high[best as usize]);
    let mut top = high[best as usize];
    for &i in seen
        .iter()
        .filter(|&&i| i != best && high[i as usize] > floor)
    {
        let (l, u) = (low[i as usize], high[i as usize]);
        // Rounded up: what it is multiplied by is never negative.
        let slope = (u - floor) / (u - l) * (1.0 + 4.0 * f64::EPSILON);
        above.push((i, slope));
        intercept -= slope * l;
        size += (slope * l).abs();
        middle += 0.5 * slope * (u - l);
        top = top.max(u);
    }
    intercept += ball::rounding(above.len(), size);
    if above.len() > 1 && top < middle {
        (above, intercept) = (Vec::new(), top);
    }
    Maximum {
        best,
        above,
        intercept,
    }
}

/// Functions of the output of activation `at` as functions of its input that are never larger; beyond the
/// numbers that it takes all pass as they are.
pub(super) fn through(
    relaxed: &Relaxed,
    mut rows: Vec<f64>,
    chain: &Chain,
    at: usize,
    constants: &mut [(f64, f64)],
) -> Vec<f64> {
    let (before, active) = (&chain.segments[at], chain.active[at]);
    match relaxed {
        Relaxed::Each(lines) => {
            for (row, (constant, rounding)) in rows.chunks_exact_mut(before.outputs).zip(constants)
            {
                let (mut sum, mut size) = (0.0, 0.0);
                for (s, lines) in row.iter_mut().zip(lines) {
                    let line = lines.by_sign(*s);
                    let part = *s * line.intercept;
                    sum += part;
                    size += part.abs();
                    *s *= line.slope;
                }
                *constant += sum;
                *rounding += ball::rounding(before.outputs, size + constant.abs());
            }
            rows
        }
        Relaxed::Max(windows) => {
            let mut wide = vec![0.0; before.outputs * constants.len()];
            let places = wide.chunks_exact_mut(before.outputs);
            let passing = before.outputs - active;
            let functions = rows.chunks_exact(windows.len() + passing).zip(places);
            for ((row, out), (constant, rounding)) in functions.zip(constants) {
                out[active..].copy_from_slice(&row[windows.len()..]);
                let (mut sum, mut size) = (0.0, 0.0);
                for (&s, maximum) in row.iter().zip(windows) {
                    let mut add = |at: u32, slope: f64| {
                        out[at as usize] += s * slope;
                        // Windows that overlap add to one place: that sum is rounded, too.
                        size += s.abs() * slope * before.size[at as usize];
                    };
                    if s > 0.0 {
                        add(maximum.best, 1.0);
                    } else {
                        maximum.above.iter().for_each(|&(at, slope)| add(at, slope));
                        sum += s * maximum.intercept;
                        size += (s * maximum.intercept).abs();
                    }
                }
                *constant += sum;
                *rounding += ball::rounding(windows.len(), size + constant.abs());
            }
            wide
        }
    }
}

/// What an activation's lines make of its inputs, those of each number by the sign of its
/// coefficient in a function of its output; beyond the numbers that it takes all pass as they are.
pub(super) fn follow(
    relaxed: &Relaxed,
    inputs: &[f64],
    coefficients: &[f64],
    active: usize,
    out: &mut Vec<f64>,
) {
    match relaxed {
        Relaxed::Each(lines) => {
            let numbers = inputs.iter().zip(coefficients).zip(lines);
            out.extend(numbers.map(|((x, s), lines)| {
                let line = lines.by_sign(*s);
                line.slope * x + line.intercept
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
