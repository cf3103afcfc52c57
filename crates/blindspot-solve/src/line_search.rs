//! The line search of Moré and Thuente, asked one step at a time.
//!
//! J. J. Moré, D. J. Thuente: Line search algorithms with guaranteed sufficient decrease, ACM
//! TOMS 20 (1994); the subroutines `dcsrch` and `dcstep` of MINPACK-2. Two things are added:
//!
//! - Near a minimum the values differ by rounding alone, and sufficient decrease can't be seen any
//!   more. There a step is accepted on its slope: the approximate Wolfe conditions of W. W. Hager,
//!   H. Zhang, SIAM J. Optim. 16 (2005).
//! - Where the function is not finite, its domain ends: the search turns back and stays inside.

use serde::{Deserialize, Serialize};

/// Sufficient decrease: f(step) <= f(0) + DECREASE * step * slope(0).
const DECREASE: f64 = 1e-3;
/// Curvature: |slope(step)| <= CURVATURE * |slope(0)|.
const CURVATURE: f64 = 0.9;
/// A bracket this narrow, relative to its upper end, is not searched any further.
const BRACKET: f64 = 0.1;
/// The delta of Hager and Zhang's approximate Wolfe conditions.
const APPROXIMATE_DECREASE: f64 = 0.1;
/// From a step with no finite value, this part of the way from the best step remains.
const RETREAT: f64 = 0.25;
/// Evaluations before a search is given up.
const MAX_EVALUATIONS: u32 = 20;

/// A step along the line, with the value and slope there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct At {
    pub(crate) step: f64,
    pub(crate) value: f64,
    pub(crate) slope: f64,
}

impl At {
    /// The same for f(step) - step * tilt.
    fn tilted(self, tilt: f64) -> At {
        At {
            step: self.step,
            value: self.value - self.step * tilt,
            slope: self.slope - tilt,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    /// Evaluate at [`LineSearch::step`].
    Try,
    /// The step told last is a good one.
    Accept,
    /// No step found lowers the value.
    Fail,
}

/// One search along one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LineSearch {
    start: At,
    /// Values this close to the first one may differ by rounding alone.
    noise: f64,
    max_step: f64,
    step: f64,
    /// The best step so far.
    best: At,
    /// The other end of the bracket.
    other: At,
    bracketed: bool,
    /// Still looking for a step with sufficient decrease and a slope that is not steep.
    first_stage: bool,
    width: f64,
    width_before: f64,
    low: f64,
    high: f64,
    evaluations: u32,
}

impl LineSearch {
    /// A search from `value` and `slope` (below 0) at step 0. Values within `noise` count as equal.
    pub(crate) fn new(value: f64, slope: f64, noise: f64, step: f64, max_step: f64) -> Self {
        let start = At {
            step: 0.0,
            value,
            slope,
        };
        LineSearch {
            start,
            noise,
            max_step,
            step: step.min(max_step),
            best: start,
            other: start,
            bracketed: false,
            first_stage: true,
            width: max_step,
            width_before: 2.0 * max_step,
            low: 0.0,
            high: 5.0 * step,
            evaluations: 0,
        }
    }

    /// The step to evaluate.
    pub(crate) fn step(&self) -> f64 {
        self.step
    }

    /// Takes the value and slope at [`step`](Self::step).
    pub(crate) fn tell(&mut self, value: f64, slope: f64) -> Next {
        self.evaluations += 1;
        let now = At {
            step: self.step,
            value,
            slope,
        };
        if !(value.is_finite() && slope.is_finite()) {
            self.max_step = self.best.step + RETREAT * (self.step - self.best.step);
            self.step = self.max_step;
            self.bracketed = false;
            self.low = self.best.step;
            self.high = self.max_step;
            return if self.evaluations < MAX_EVALUATIONS {
                Next::Try
            } else {
                Next::Fail
            };
        }

        let tilt = DECREASE * self.start.slope;
        let enough = self.start.value + self.step * tilt;
        if self.first_stage && value <= enough && slope >= tilt {
            self.first_stage = false;
        }
        let wolfe = value <= enough && slope.abs() <= -CURVATURE * self.start.slope;
        let flat = (value - self.start.value).abs() <= self.noise
            && slope >= CURVATURE * self.start.slope
            && slope <= (2.0 * APPROXIMATE_DECREASE - 1.0) * self.start.slope;
        let at_the_end = self.step >= self.max_step && value <= enough && slope <= tilt;
        if wolfe || flat || at_the_end {
            return Next::Accept;
        }
        if self.exhausted(self.step) || self.evaluations >= MAX_EVALUATIONS {
            return if value < self.start.value {
                Next::Accept
            } else {
                Next::Fail
            };
        }

        // The first stage works on a tilted function, whose minimum has sufficient decrease.
        if self.first_stage && value <= self.best.value && value > enough {
            self.best = self.best.tilted(tilt);
            self.other = self.other.tilted(tilt);
            self.interpolate(now.tilted(tilt));
            self.best = self.best.tilted(-tilt);
            self.other = self.other.tilted(-tilt);
        } else {
            self.interpolate(now);
        }
        if self.bracketed {
            let width = (self.other.step - self.best.step).abs();
            if width >= 0.66 * self.width_before {
                self.step = self.best.step + 0.5 * (self.other.step - self.best.step);
            }
            self.width_before = self.width;
            self.width = width;
            self.low = self.best.step.min(self.other.step);
            self.high = self.best.step.max(self.other.step);
        } else {
            self.low = self.step + 1.1 * (self.step - self.best.step);
            self.high = self.step + 4.0 * (self.step - self.best.step);
        }
        self.step = self.step.clamp(0.0, self.max_step);
        if self.exhausted(self.step) {
            // Nothing better is to be found: the best step, which may be the one just told.
            self.step = self.best.step;
            if self.best.value >= self.start.value {
                return Next::Fail;
            }
            if self.best.step == now.step {
                return Next::Accept;
            }
        }
        Next::Try
    }

    /// Whether the bracket is too narrow for `step` to tell anything new.
    fn exhausted(&self, step: f64) -> bool {
        self.bracketed
            && (step <= self.low
                || step >= self.high
                || self.high - self.low <= BRACKET * self.high)
    }

    /// `dcstep`: takes `now` into the bracket, and sets the next step by cubic and quadratic
    /// interpolation.
    fn interpolate(&mut self, now: At) {
        let (best, other) = (self.best, self.other);
        let turned = now.slope * best.slope.signum();
        let apart = now.step - best.step;
        // The minimiser of the cubic through two points with their slopes, as a fraction of the way.
        let cubic = |from: At, to: At, nonnegative: bool| {
            let theta =
                3.0 * (from.value - to.value) / (to.step - from.step) + from.slope + to.slope;
            let scale = theta.abs().max(from.slope.abs()).max(to.slope.abs());
            let square = (theta / scale).powi(2) - (from.slope / scale) * (to.slope / scale);
            let gamma = scale * if nonnegative { square.max(0.0) } else { square }.sqrt();
            (theta, gamma)
        };
        let next;
        if now.value > best.value {
            // Higher: the minimum lies between.
            let (theta, mut gamma) = cubic(best, now, false);
            if now.step < best.step {
                gamma = -gamma;
            }
            let ratio =
                ((gamma - best.slope) + theta) / (((gamma - best.slope) + gamma) + now.slope);
            let by_cubic = best.step + ratio * apart;
            let secant = (best.value - now.value) / apart + best.slope;
            let by_quadratic = best.step + best.slope / secant / 2.0 * apart;
            next = if (by_cubic - best.step).abs() < (by_quadratic - best.step).abs() {
                by_cubic
            } else {
                by_cubic + (by_quadratic - by_cubic) / 2.0
            };
            self.bracketed = true;
        } else if turned < 0.0 {
            // Lower, and the slope has turned: the minimum lies between.
            let (theta, mut gamma) = cubic(best, now, false);
            if now.step > best.step {
                gamma = -gamma;
            }
            let ratio =
                ((gamma - now.slope) + theta) / (((gamma - now.slope) + gamma) + best.slope);
            let by_cubic = now.step - ratio * apart;
            let by_secant = now.step - now.slope / (now.slope - best.slope) * apart;
            next = if (by_cubic - now.step).abs() > (by_secant - now.step).abs() {
                by_cubic
            } else {
                by_secant
            };
            self.bracketed = true;
        } else if now.slope.abs() < best.slope.abs() {
            // Lower and less steep: the cubic may have its minimum further on, or none.
            let (theta, mut gamma) = cubic(best, now, true);
            if now.step > best.step {
                gamma = -gamma;
            }
            let ratio =
                ((gamma - now.slope) + theta) / ((gamma + (best.slope - now.slope)) + gamma);
            let by_cubic = if ratio < 0.0 && gamma != 0.0 {
                now.step - ratio * apart
            } else if now.step > best.step {
                self.high
            } else {
                self.low
            };
            let by_secant = now.step - now.slope / (now.slope - best.slope) * apart;
            let cubic_is_closer = (now.step - by_cubic).abs() < (now.step - by_secant).abs();
            if self.bracketed {
                let closer = if cubic_is_closer { by_cubic } else { by_secant };
                let limit = now.step + 0.66 * (other.step - now.step);
                next = if now.step > best.step {
                    closer.min(limit)
                } else {
                    closer.max(limit)
                };
            } else {
                let further = if cubic_is_closer { by_secant } else { by_cubic };
                next = further.clamp(self.low.min(self.high), self.high.max(self.low));
            }
        } else if self.bracketed {
            // Lower and no less steep: towards the other end.
            let (theta, mut gamma) = cubic(now, other, false);
            if now.step > other.step {
                gamma = -gamma;
            }
            let ratio =
                ((gamma - now.slope) + theta) / (((gamma - now.slope) + gamma) + other.slope);
            next = now.step + ratio * (other.step - now.step);
        } else {
            next = if now.step > best.step {
                self.high
            } else {
                self.low
            };
        }

        if now.value > best.value {
            self.other = now;
        } else {
            if turned < 0.0 {
                self.other = best;
            }
            self.best = now;
        }
        // Interpolation of equal or huge values can yield no number at all.
        self.step = if next.is_finite() {
            next
        } else {
            0.5 * (self.best.step + self.other.step.max(self.low))
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches f and returns the step, its slope and the evaluations.
    fn search(f: impl Fn(f64) -> (f64, f64), step: f64, max_step: f64) -> (Next, f64, u32) {
        let (value, slope) = f(0.0);
        let mut line = LineSearch::new(value, slope, 0.0, step, max_step);
        loop {
            let (value, slope) = f(line.step());
            match line.tell(value, slope) {
                Next::Try => assert!(line.evaluations < 20),
                end => return (end, line.step(), line.evaluations),
            }
        }
    }

    /// Function 1 of Moré and Thuente's paper: -x / (x^2 + b).
    fn rational(x: f64) -> (f64, f64) {
        let b = x * x + 2.0;
        (-x / b, (x * x - 2.0) / (b * b))
    }

    #[test]
    fn wolfe_conditions_hold_from_any_first_step() {
        for first in [1e-3, 1e-1, 1e1, 1e3] {
            let (end, step, evaluations) = search(rational, first, 1e10);
            assert_eq!(end, Next::Accept);
            let (value, slope) = rational(step);
            assert!(value <= -DECREASE * step * 0.5, "{first}: {step}");
            assert!(slope.abs() <= CURVATURE * 0.5, "{first}: {step}");
            assert!(evaluations <= 12, "{first}: {evaluations}");
        }
    }

    #[test]
    fn the_largest_step_is_taken_where_the_function_still_falls() {
        let (end, step, _) = search(|x| (-x, -1.0), 0.5, 3.0);
        assert_eq!((end, step), (Next::Accept, 3.0));
    }

    #[test]
    fn a_step_outside_of_the_domain_turns_back() {
        let f = |x: f64| {
            if x > 0.01 {
                (f64::NAN, f64::NAN)
            } else {
                (-x, -1.0)
            }
        };
        let (end, step, _) = search(f, 1.0, 10.0);
        assert_eq!(end, Next::Accept);
        assert!(step > 0.0 && step <= 0.01);
    }

    #[test]
    fn a_function_that_rises_at_once_fails() {
        let (end, _, _) = search(|x| (x, -1.0), 1.0, 10.0);
        assert_eq!(end, Next::Fail);
    }

    #[test]
    fn a_function_without_finite_values_fails() {
        let f = |x: f64| {
            if x > 0.0 {
                (f64::INFINITY, f64::NAN)
            } else {
                (0.0, -1.0)
            }
        };
        assert_eq!(search(f, 1.0, 10.0).0, Next::Fail);
    }

    #[test]
    fn where_values_are_flat_the_slope_decides() {
        // (x - 1)^2 on top of 1e20: every value is the same number.
        let (end, step, _) = search(|x| (1e20 + (x - 1.0).powi(2), 2.0 * (x - 1.0)), 0.9, 10.0);
        assert_eq!((end, step), (Next::Accept, 0.9));
    }
}
