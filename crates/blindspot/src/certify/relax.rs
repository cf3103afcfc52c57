//! Lines below and above an activation over an interval of its input.
//!
//! A line's slope and intercept are the numbers stored, and over real numbers it stays on its side
//! of the function: the intercept is moved outward by more than the rounding of what it was
//! computed from.

/// A function slope x + intercept.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Line {
    pub(super) slope: f64,
    pub(super) intercept: f64,
}

/// The lines of one unit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Lines {
    pub(super) below: Line,
    pub(super) above: Line,
}

impl Lines {
    /// The line by which a function with this coefficient is never larger.
    pub(super) fn by_sign(&self, coefficient: f64) -> Line {
        match coefficient > 0.0 {
            true => self.below,
            false => self.above,
        }
    }
}

/// An activation that has lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    Relu,
    Sigmoid,
    Tanh,
}

impl Activation {
    /// Lines over [low, high].
    pub(super) fn lines(self, low: f64, high: f64) -> Lines {
        match self {
            Activation::Relu => relu(low, high),
            Activation::Sigmoid => sigmoid_lines(low, high),
            Activation::Tanh => {
                // tanh(x) = 2 sigmoid(2 x) - 1; the factors are exact.
                let Lines { below, above } = sigmoid_lines(2.0 * low, 2.0 * high);
                let line = |line: Line, outward: f64| Line {
                    slope: 4.0 * line.slope,
                    intercept: 2.0 * line.intercept - 1.0 + outward * 4.0 * f64::EPSILON,
                };
                Lines {
                    below: line(below, -1.0),
                    above: line(above, 1.0),
                }
            }
        }
    }
}

/// The rounding of numbers made of a few of this size.
fn slack(low: f64, high: f64) -> f64 {
    16.0 * f64::EPSILON * (1.0 + low.abs() + high.abs())
}

fn relu(low: f64, high: f64) -> Lines {
    let identity = Line {
        slope: 1.0,
        intercept: 0.0,
    };
    if low >= 0.0 {
        return Lines {
            below: identity,
            above: identity,
        };
    }
    if high <= 0.0 {
        return Lines::default();
    }
    let slope = high / (high - low);
    // The chord, moved so that neither end is below the function.
    let intercept = (-slope * low).max(high - slope * high) + slack(low, high);
    Lines {
        below: if high > -low {
            identity
        } else {
            Line::default()
        },
        above: Line { slope, intercept },
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The value and the slope.
fn sigmoid_and_slope(x: f64) -> (f64, f64) {
    let y = sigmoid(x);
    (y, y * (1.0 - y))
}

fn sigmoid_lines(low: f64, high: f64) -> Lines {
    let below = below_sigmoid(low, high);
    // sigmoid(x) = 1 - sigmoid(-x).
    let mirrored = below_sigmoid(-high, -low);
    Lines {
        below,
        above: Line {
            slope: mirrored.slope,
            intercept: 1.0 - mirrored.intercept + 4.0 * f64::EPSILON,
        },
    }
}

/// A line below the logistic function, which is convex up to 0 and concave from there.
fn below_sigmoid(low: f64, high: f64) -> Line {
    let slack = slack(low, high);
    let (y_low, slope_low) = sigmoid_and_slope(low);
    if high - low < 1e-9 {
        return Line {
            slope: 0.0,
            intercept: y_low - slack,
        };
    }
    let y_high = sigmoid(high);
    let chord = (y_high - y_low) / (high - low);
    if high > 0.0 && (low >= 0.0 || slope_low >= chord) {
        // The difference to the chord is convex, rising from 0, up to 0, and concave from there
        // until it is 0 again: never negative.
        let at_low = y_low - chord * low;
        let at_high = y_high - chord * high;
        return Line {
            slope: chord,
            intercept: at_low.min(at_high) - slack,
        };
    }
    let middle = 0.5 * (low + high);
    let touch = match high > 0.0 {
        false => middle,
        true => touching(low, high, y_high).min(middle),
    };
    let (y, slope) = sigmoid_and_slope(touch);
    // A tangent of the convex part is below all of it. From 0 on the difference to it is concave:
    // not negative between 0, where it is not, and the end, if it is not there.
    let excess = match high > 0.0 {
        true => (y + slope * (high - touch) - y_high).max(0.0),
        false => 0.0,
    };
    Line {
        slope,
        intercept: y - slope * touch - excess - slack,
    }
}

/// The point between low and 0 whose tangent meets the function at `high`.
fn touching(low: f64, high: f64, y_high: f64) -> f64 {
    // The tangent's value at `high` rises with the point.
    let (mut from, mut to) = (low, 0.0f64.min(high));
    let mut at = 0.5 * (from + to);
    for _ in 0..12 {
        let (y, slope) = sigmoid_and_slope(at);
        let excess = y + slope * (high - at) - y_high;
        match excess > 0.0 {
            true => to = at,
            false => from = at,
        }
        let rise = slope * (1.0 - 2.0 * y) * (high - at);
        let newton = at - excess / rise;
        let inside = newton > from && newton < to;
        let next = if inside { newton } else { 0.5 * (from + to) };
        let step = (next - at).abs();
        at = next;
        if step < 1e-12 * (1.0 + at.abs()) {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::random::Stream;

    #[test]
    fn lines_stay_on_their_side_and_touch() {
        for seed in 0..3_000 {
            let mut stream = Stream::new(4, "intervals of a test", seed);
            let scale = [1e-3, 1.0, 10.0, 200.0][seed % 4];
            let (a, b) = (stream.normal() * scale, stream.normal() * scale);
            let (low, high) = (a.min(b), a.max(b));
            type Function = fn(f64) -> f64;
            let functions: [(Activation, Function); 3] = [
                (Activation::Relu, |x| x.max(0.0)),
                (Activation::Sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
                (Activation::Tanh, f64::tanh),
            ];
            for (activation, function) in functions {
                let Lines { below, above } = activation.lines(low, high);
                let (mut nearest_below, mut nearest_above) = (f64::INFINITY, f64::INFINITY);
                for i in 0..=400 {
                    let x = low + (high - low) * f64::from(i) / 400.0;
                    let y = function(x);
                    let under = y - (below.slope * x + below.intercept);
                    let over = above.slope * x + above.intercept - y;
                    // What evaluating the line here rounds.
                    let rounding = 4.0 * f64::EPSILON * (1.0 + x.abs());
                    assert!(
                        under >= -rounding,
                        "{activation:?} [{low}, {high}] {x}: {under:e}"
                    );
                    assert!(
                        over >= -rounding,
                        "{activation:?} [{low}, {high}] {x}: {over:e}"
                    );
                    nearest_below = nearest_below.min(under);
                    nearest_above = nearest_above.min(over);
                }
                // Between two of the points tried a tangent comes nearer still.
                let near = 1e-12 * (1.0 + scale) + (high - low).powi(2).min(1.0) * 0.01;
                assert!(
                    nearest_below < near && nearest_above < near,
                    "{activation:?} [{low}, {high}]: {nearest_below:e} {nearest_above:e}"
                );
            }
        }
    }
}
