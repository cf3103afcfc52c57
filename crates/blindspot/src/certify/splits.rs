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
use super::bounds::{Bounds, Relaxed, follow, through};
use super::chain::{Between, Chain, ROWS};
use super::parts::{Next, Part, Seen, Side, Trial, Unit};
use super::refine::Outcome;

/// Steps of improvement at most of a part's bound, which begins where that of the part that it was cut from
/// has come to: cutting again helps more than further steps.
const STEPS: usize = 2;
/// How far above 0 a bound is aimed at, as a part of how far below it begins.
const BEYOND: f64 = 0.2;
/// Numbers that open parts hold at most: 128 MB for each thread.
const MOST: usize = 1 << 24;

/// Linear bounds within one radius.
pub(super) struct Splits<'b, 'c> {
    bounds: &'b mut Bounds<'c>,
    chain: &'c Chain,
    room: &'b Room,
    radius: f64,
    /// Layer after layer.
    pub(super) units: Vec<Unit>,
    /// The slopes below the units that their ranges alone suggest.
    slopes: Vec<f64>,
    /// Lines of everything but the units, which have none here.
    relaxed: Vec<Relaxed>,
    /// Of the functions bounded last, their coefficients at each activation's output.
    coefficients: Vec<Vec<f64>>,
}

/// Whether a network has units to choose lines for.
pub(super) fn has_units(chain: &Chain) -> bool {
    chain.between.iter().any(Between::is_relu)
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
        for (layer, (relaxed, between)) in relaxed.iter_mut().zip(&chain.between).enumerate() {
            let Relaxed::Each(lines) = relaxed else {
                continue;
            };
            for (at, lines) in lines.iter_mut().enumerate() {
                // Where the input has one sign both lines are the function.
                if between.is_relu() && lines.below != lines.above {
                    let lines = std::mem::take(lines);
                    slopes.push(lines.below.slope);
                    let above = lines.above;
                    units.push(Unit { layer, at, above });
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
            coefficients: vec![Vec::new(); chain.between.len()],
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
        let mut open = BinaryHeap::new();
        let count = functions.len() / self.outputs();
        let slopes = self.slopes.clone();
        let mut whole = (0..count).map(|function| Part::new(function, slopes.clone()));
        let mut parts: Vec<Part> = whole.by_ref().take(ROWS).collect();
        let numbers = 2 * self.units.len() + self.room.image.len();
        loop {
            self.raise(functions, &mut parts, stop);
            open.extend(parts.drain(..).filter(|part| part.bound <= 0.0));
            parts.extend(whole.by_ref().take(ROWS));
            if !parts.is_empty() {
                continue;
            }
            let Some(lowest) = open.peek() else {
                return Outcome::Certain;
            };
            if stop() {
                return Outcome::Open;
            }
            if open.len() * numbers > MOST || refutes(&lowest.point) {
                return Outcome::Refuted;
            }
            if cuts == 0 {
                return Outcome::Open;
            }
            for _ in 0..(ROWS / 2).min(cuts).min(open.len()) {
                let mut part = open.pop().expect("there are more");
                match part.next {
                    Next::Cut(unit, s) => {
                        let mut other = part.clone();
                        other.put(unit, s, Side::Open);
                        part.put(unit, s, Side::Closed);
                        parts.push(other);
                    }
                    Next::Steps => part.wait(),
                    Next::Nothing => return Outcome::Refuted,
                }
                parts.push(part);
                cuts -= 1;
            }
        }
    }

    /// Numbers of the network's output.
    fn outputs(&self) -> usize {
        self.chain.segments[self.chain.between.len()].outputs
    }

    /// Improves the bounds of functions of the network's output, one row each, over at most [`ROWS`] parts
    /// of the ball, until they are above 0.
    fn raise(&mut self, functions: &[f64], parts: &mut [Part], stop: &dyn Fn() -> bool) {
        let (outputs, inputs) = (self.outputs(), self.room.image.len());
        let mut trials: Vec<Trial> = parts.iter_mut().map(Trial::new).collect();
        for step in 0..=STEPS {
            if trials.is_empty() || stop() {
                return;
            }
            let function = |trial: &Trial| &functions[trial.part.function * outputs..][..outputs];
            let rows = trials.iter().flat_map(function).copied().collect();
            let (bounds, points) = self.bound(rows, &trials);
            let seen = self.see(&points, &trials);
            let mut rows = bounds.iter().zip(points.chunks_exact(inputs)).zip(&seen);
            trials.retain_mut(|trial| {
                let Some(((&bound, point), seen)) = rows.next() else {
                    return false;
                };
                if step == 0 {
                    trial.first = bound;
                }
                if step == 0 || bound > trial.part.bound {
                    trial.keep(bound, point, seen);
                }
                let wanted = BEYOND * trial.first.abs() - bound;
                trial.part.bound <= 0.0 && step < STEPS && trial.step(seen, wanted)
            });
        }
    }

    /// Lower bounds by the numbers under trial, and the changes of the image where they are taken on.
    pub(super) fn bound(&mut self, rows: Vec<f64>, trials: &[Trial<'_>]) -> (Vec<f64>, Vec<f64>) {
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
            let mut out = through(&relaxed[layer], rows, chain, layer, constants);
            let own = of_layer(units, layer);
            if own.is_empty() {
                return out;
            }
            let width = out.len() / trials.len();
            for (k, (constant, rounding)) in constants.iter_mut().enumerate() {
                // A ReLU has as many outputs as inputs.
                let (row, coefficients) =
                    (&mut out[k * width..], &coefficients[layer][k * width..]);
                let (mut sum, mut size) = (0.0, 0.0);
                for u in own.clone() {
                    let at = units[u].at;
                    let (coefficient, part) = trials[k].unit(u, units).carry(coefficients[at]);
                    row[at] = coefficient;
                    sum += part;
                    size += part.abs();
                }
                *constant += sum;
                *rounding += ball::rounding(own.len(), size + constant.abs());
            }
            out
        };
        bounds.lower_by(rows, through_units, self.room, self.radius)
    }

    /// What each unit takes and gives where the bounds are taken on: the image with these changes goes
    /// through the lines that were chosen.
    fn see(&mut self, points: &[f64], trials: &[Trial<'_>]) -> Vec<Vec<Seen>> {
        let count = trials.len();
        let image = self.room.image.iter().cycle();
        let mut rows: Vec<f64> = points.iter().zip(image).map(|(d, x)| x + d).collect();
        let mut seen = vec![Vec::with_capacity(self.units.len()); count];
        for layer in 0..self.chain.between.len() {
            let own = of_layer(&self.units, layer);
            if own.start == self.units.len() {
                break;
            }
            self.bounds.apply(layer, count, &mut rows);
            let coefficients = &self.coefficients[layer];
            let (below, above) = (rows.len() / count, coefficients.len() / count);
            let (relaxed, active) = (&self.relaxed[layer], self.chain.active[layer]);
            let mut next = Vec::with_capacity(coefficients.len());
            for (k, trial) in trials.iter().enumerate() {
                let inputs = &rows[k * below..][..below];
                let coefficients = &coefficients[k * above..][..above];
                let start = next.len();
                follow(relaxed, inputs, coefficients, active, &mut next);
                for u in own.clone() {
                    let at = self.units[u].at;
                    let (s, z) = (coefficients[at], inputs[at]);
                    let output = trial.unit(u, &self.units).output(s, z);
                    next[start + at] = output;
                    seen[k].push(Seen { s, z, output });
                }
            }
            rows = next;
        }
        seen
    }
}

/// The units of a layer.
fn of_layer(units: &[Unit], layer: usize) -> std::ops::Range<usize> {
    let before = |layer: usize| units.partition_point(|unit| unit.layer < layer);
    before(layer)..before(layer + 1)
}
