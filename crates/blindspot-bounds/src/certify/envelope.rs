//! Lines below and above a function that is convex or concave piece by piece.
//!
//! For a slope m the highest line below f over an interval has the least value of f(x) - m x for its
//! intercept. On a concave piece that is at one of the ends. On a convex one it is where f' = m, and
//! any tangent gives a lower bound of it: f(x) - m x >= f(t) + f'(t) (x - t) - m x, a linear function
//! of x, so that the root of f' = m need not be exact. So a line of whatever slope is right; the slope
//! only decides how near it is. The one chosen is the highest in the middle of the interval: it is
//! the tangent there, or touches the function on both sides of it. A line above f is one below -f.

use super::curve::{Bend, Curve};
use super::relaxation::{Line, LinearBounds};

/// The most lines that are tried.
const MAX_TRIES: usize = 8;
/// The most steps to the point of a given slope.
const MAX_STEPS: usize = 60;

/// The highest line of a given slope below a function.
#[derive(Clone, Copy)]
struct Support {
    slope: f64,
    intercept: f64,
    /// Where it comes nearest to the function.
    at: f64,
}

impl Support {
    fn value(&self, x: f64) -> f64 {
        self.slope * x + self.intercept
    }
}

/// A curve over an interval, perhaps with the opposite sign.
struct Section<'a> {
    curve: &'a Curve,
    sign: f64,
    low: f64,
    high: f64,
}

impl Curve {
    /// Lines below and above the function over [low, high].
    pub(super) fn linear_bounds(&self, low: f64, high: f64) -> LinearBounds {
        if !self.is_defined(low, high) {
            let line = |intercept: f64| Line {
                slope: 0.0,
                intercept,
            };
            return LinearBounds {
                lower: line(f64::NEG_INFINITY),
                upper: line(f64::INFINITY),
            };
        }
        let [lower, upper] = [1.0, -1.0].map(|sign| self.section(sign, low, high).line_below());
        LinearBounds {
            lower,
            upper: Line {
                slope: -upper.slope,
                intercept: -upper.intercept,
            },
        }
    }

    /// Bounds of the function's values over [low, high].
    pub(super) fn range(&self, low: f64, high: f64) -> [f64; 2] {
        if !self.is_defined(low, high) {
            return [f64::NEG_INFINITY, f64::INFINITY];
        }
        let slack = self.slack(low, high);
        let [least, most] = [1.0, -1.0].map(|sign| self.section(sign, low, high).support(0.0));
        [least.intercept - slack, slack - most.intercept]
    }

    fn section(&self, sign: f64, low: f64, high: f64) -> Section<'_> {
        Section {
            curve: self,
            sign,
            low,
            high,
        }
    }
}

impl Section<'_> {
    fn value(&self, x: f64) -> f64 {
        self.sign * self.curve.value(x)
    }

    /// The line below the section that is the highest in its middle, about.
    fn line_below(&self) -> Line {
        let middle = 0.5 * (self.low + self.high);
        let (_, slope) = self.curve.value_and_slope(self.curve.piece(middle), middle);
        let mut best = self.support(self.sign * slope);
        let slack = self.curve.slack(self.low, self.high);
        let touches = best.value(middle) >= self.value(middle) - slack;
        // Points on both sides of the middle: the line that is sought touches at one of either side.
        let (mut left, mut right) = (self.low, self.high);
        for _ in 0..if touches { 0 } else { MAX_TRIES } {
            let rise = self.value(right) - self.value(left);
            let found = self.support(rise / (right - left));
            if found.value(middle) > best.value(middle) {
                best = found;
            }
            let gap = self.value(left) - found.value(left);
            if gap.is_nan() || gap <= 1e-6 * rise.abs() + slack {
                break;
            }
            if found.at <= middle {
                left = found.at;
            } else {
                right = found.at;
            }
        }
        Line {
            slope: best.slope,
            intercept: best.intercept - slack,
        }
    }

    /// The highest line of this slope below the section, but for rounding.
    fn support(&self, slope: f64) -> Support {
        let Section {
            curve, low, high, ..
        } = *self;
        let mut lowest = Support {
            slope,
            intercept: f64::INFINITY,
            at: low,
        };
        for (piece, bend) in curve.bends.iter().enumerate() {
            let from = match piece {
                0 => low,
                _ => low.max(curve.breaks[piece - 1]),
            };
            let to = curve.breaks.get(piece).map_or(high, |end| high.min(*end));
            if from > to {
                continue;
            }
            let ends = |at: f64| {
                (
                    self.sign * curve.value_and_slope(piece, at).0 - slope * at,
                    at,
                )
            };
            let is_convex = match bend {
                Bend::Convex => self.sign > 0.0,
                Bend::Concave => self.sign < 0.0,
                Bend::Straight => false,
            };
            let found = if is_convex {
                [self.lowest_of_convex(piece, slope, from, to); 2]
            } else {
                [ends(from), ends(to)]
            };
            for (intercept, at) in found {
                if intercept < lowest.intercept {
                    (lowest.intercept, lowest.at) = (intercept, at);
                }
                if intercept.is_nan() {
                    lowest.intercept = f64::NEG_INFINITY;
                }
            }
        }
        lowest
    }

    /// A lower bound of the function less `slope` x over [from, to], a part of a convex piece, and
    /// where it is about attained.
    fn lowest_of_convex(&self, piece: usize, slope: f64, from: f64, to: f64) -> (f64, f64) {
        let excess = |x: f64| self.sign * self.curve.value_and_slope(piece, x).1 - slope;
        let at = root(excess, from, to);
        let (value, _) = self.curve.value_and_slope(piece, at);
        let excess = excess(at);
        // The tangent less the line of this slope is the lowest at one end.
        let end = if excess > 0.0 { from } else { to };
        (self.sign * value - slope * at + excess * (end - at), at)
    }
}

/// About the root of an increasing function in [from, to]; the nearest end if it has none.
fn root(function: impl Fn(f64) -> f64, from: f64, to: f64) -> f64 {
    let (mut a, mut b) = (from, to);
    let (mut at_a, mut at_b) = (function(a), function(b));
    if at_a >= 0.0 {
        return a;
    }
    if at_b <= 0.0 {
        return b;
    }
    let enough = 1e-10 * (at_b - at_a);
    // False position with halved ends (the Illinois method), and a bisection every third step.
    for step in 0..MAX_STEPS {
        let x = if step % 3 == 2 {
            0.5 * (a + b)
        } else {
            b - at_b * (b - a) / (at_b - at_a)
        };
        if !(a < x && x < b) {
            break;
        }
        let value = function(x);
        if value.abs() <= enough {
            return x;
        }
        if value < 0.0 {
            (a, at_a) = (x, value);
            at_b *= 0.5;
        } else {
            (b, at_b) = (x, value);
            at_a *= 0.5;
        }
    }
    0.5 * (a + b)
}

#[cfg(test)]
mod tests {
    use blindspot_run::random::Stream;

    use super::super::curve::tests::curves;
    use super::*;

    /// Intervals of all sizes: beside the breaks and across them, far away, of one number.
    fn interval(curve: &Curve, seed: usize) -> (f64, f64) {
        let mut stream = Stream::new(32, "intervals of a test", seed);
        let ends: Vec<f64> = curve
            .breaks
            .iter()
            .copied()
            .filter(|end| end.is_finite())
            .collect();
        let near = match ends.get(seed % (ends.len() + 1)) {
            Some(end) => *end,
            None => 3.0 * stream.normal(),
        };
        let scale = [0.0, 1e-9, 1e-3, 0.3, 3.0, 30.0, 1e4][seed % 7];
        let [a, b] = [0; 2].map(|_| near + scale * stream.normal());
        (a.min(b), a.max(b))
    }

    #[test]
    fn lines_stay_on_their_side_and_ranges_hold() {
        for curve in curves() {
            for seed in 0..1_500 {
                let (low, high) = interval(&curve, seed);
                let LinearBounds { lower, upper } = curve.linear_bounds(low, high);
                let [least, most] = curve.range(low, high);
                for i in 0..=600 {
                    let x = match i {
                        // Exactly at the ends, and where pieces meet.
                        0 => low,
                        600 => high,
                        _ if i <= curve.breaks.len() => curve.breaks[i - 1].clamp(low, high),
                        _ => low + (high - low) * i as f64 / 600.0,
                    };
                    let y = curve.value(x);
                    let under = y - (lower.slope * x + lower.intercept);
                    let over = upper.slope * x + upper.intercept - y;
                    // The rounding of the test's own evaluation is less than what lines are moved by.
                    assert!(under >= 0.0, "{curve:?} [{low}, {high}] {x}: {under:e}");
                    assert!(over >= 0.0, "{curve:?} [{low}, {high}] {x}: {over:e}");
                    assert!(least <= y && y <= most, "{curve:?} [{low}, {high}] {x}");
                }
            }
        }
    }

    /// The highest value in the middle of any line below the function is the lowest of any chord
    /// across the middle.
    #[test]
    fn in_the_middle_no_line_is_nearer() {
        for curve in curves() {
            for seed in 0..120 {
                let (low, high) = interval(&curve, seed);
                let bounds = curve.linear_bounds(low, high);
                let middle = 0.5 * (low + high);
                let count = 400;
                let grid = |i: usize| low + (high - low) * i as f64 / count as f64;
                let values: Vec<f64> = (0..=count).map(|i| curve.value(grid(i))).collect();
                let [mut least, mut most] = [values[count / 2]; 2];
                for i in 0..count / 2 {
                    for j in count / 2 + 1..=count {
                        let part = (count / 2 - i) as f64 / (j - i) as f64;
                        let chord = values[i] + (values[j] - values[i]) * part;
                        (least, most) = (least.min(chord), most.max(chord));
                    }
                }
                let at = |line: Line| line.slope * middle + line.intercept;
                let step = (high - low) / count as f64;
                // Between points of the grid chords may touch lower, at a kink by more.
                let has_kink = curve.breaks.iter().any(|&end| low < end && end < high);
                let between = if has_kink { step } else { 9.0 * step * step };
                let near = 2.0 * curve.slack(low, high)
                    + curve.size * between.min(step)
                    + 2e-3 * (most - least);
                let (below, above) = (least - at(bounds.lower), at(bounds.upper) - most);
                assert!(
                    below <= near,
                    "{curve:?} [{low}, {high}]: {below:e} below, {near:e}"
                );
                assert!(
                    above <= near,
                    "{curve:?} [{low}, {high}]: {above:e} above, {near:e}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_finite_gives_no_finite_line() {
        let infinity = f64::INFINITY;
        for curve in curves() {
            for (low, high) in [(-infinity, 1.0), (0.0, infinity), (f64::NAN, f64::NAN)] {
                let LinearBounds { lower, upper } = curve.linear_bounds(low, high);
                for line in [lower, upper] {
                    let value = line.slope + line.intercept;
                    assert!(!value.is_finite(), "{curve:?} [{low}, {high}]: {line:?}");
                }
                let [least, most] = curve.range(low, high);
                assert!(
                    !least.is_finite() && !most.is_finite(),
                    "{curve:?} [{low}, {high}]"
                );
            }
        }
    }
}
