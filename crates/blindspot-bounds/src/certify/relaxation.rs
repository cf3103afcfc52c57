//! The linear relaxation of an activation: a line below and a line above it over an interval of its
//! input.
//!
//! A line's slope and intercept are the numbers stored, and over the real numbers the line stays on
//! its side of the function: the intercept is moved outward by more than the rounding of what it
//! was computed from.

/// A line: slope x + intercept.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Line {
    pub(super) slope: f64,
    pub(super) intercept: f64,
}

/// The relaxation of one unit: `lower` is never above the unit on its interval, `upper` never
/// below.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct LinearBounds {
    pub(super) lower: Line,
    pub(super) upper: Line,
}

impl LinearBounds {
    /// The line that makes coefficient times unit no larger.
    pub(super) fn for_coefficient(&self, coefficient: f64) -> Line {
        if coefficient > 0.0 {
            self.lower
        } else {
            self.upper
        }
    }
}

/// An activation that has a linear relaxation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activation {
    Relu,
    Sigmoid,
    Tanh,
}

impl Activation {
    /// The largest absolute value over [low, high], rounded up.
    pub(super) fn largest(self, low: f64, high: f64) -> f64 {
        let outward = 4.0 * f64::EPSILON;
        match self {
            Activation::Relu => high.max(0.0),
            Activation::Sigmoid => sigmoid(high) + outward,
            Activation::Tanh => low.abs().max(high.abs()).tanh() + outward,
        }
    }

    /// Bounds of the values over [low, high], rounded outward.
    pub(super) fn range(self, low: f64, high: f64) -> [f64; 2] {
        let outward = 4.0 * f64::EPSILON;
        match self {
            Activation::Relu => [low.max(0.0), high.max(0.0)],
            Activation::Sigmoid => [sigmoid(low) - outward, sigmoid(high) + outward],
            Activation::Tanh => [low.tanh() - outward, high.tanh() + outward],
        }
    }

    /// The relaxation over [low, high].
    pub(super) fn linear_bounds(self, low: f64, high: f64) -> LinearBounds {
        match self {
            Activation::Relu => relu_bounds(low, high),
            Activation::Sigmoid => sigmoid_bounds(low, high),
            Activation::Tanh => {
                // tanh(x) = 2 sigmoid(2 x) - 1; the factors are exact.
                let LinearBounds { lower, upper } = sigmoid_bounds(2.0 * low, 2.0 * high);
                let line = |line: Line, outward: f64| Line {
                    slope: 4.0 * line.slope,
                    intercept: 2.0 * line.intercept - 1.0 + outward * 4.0 * f64::EPSILON,
                };
                LinearBounds {
                    lower: line(lower, -1.0),
                    upper: line(upper, 1.0),
                }
            }
        }
    }
}

/// An upper bound of the rounding of a few operations on numbers of this size.
fn slack(low: f64, high: f64) -> f64 {
    16.0 * f64::EPSILON * (1.0 + low.abs() + high.abs())
}

fn relu_bounds(low: f64, high: f64) -> LinearBounds {
    let identity = Line {
        slope: 1.0,
        intercept: 0.0,
    };
    if low >= 0.0 {
        return LinearBounds {
            lower: identity,
            upper: identity,
        };
    }
    if high <= 0.0 {
        return LinearBounds::default();
    }
    let slope = high / (high - low);
    // The chord, moved up so that neither of its ends lies below the function.
    let intercept = (-slope * low).max(high - slope * high) + slack(low, high);
    LinearBounds {
        lower: if high > -low {
            identity
        } else {
            Line::default()
        },
        upper: Line { slope, intercept },
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The logistic function and its derivative at x.
fn sigmoid_and_slope(x: f64) -> (f64, f64) {
    let y = sigmoid(x);
    (y, y * (1.0 - y))
}

fn sigmoid_bounds(low: f64, high: f64) -> LinearBounds {
    let lower = line_below_sigmoid(low, high);
    // sigmoid(x) = 1 - sigmoid(-x).
    let mirrored = line_below_sigmoid(-high, -low);
    LinearBounds {
        lower,
        upper: Line {
            slope: mirrored.slope,
            intercept: 1.0 - mirrored.intercept + 4.0 * f64::EPSILON,
        },
    }
}

/// A line below the logistic function, which is convex below 0 and concave above.
fn line_below_sigmoid(low: f64, high: f64) -> Line {
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
        // The function minus the chord increases from 0 and is convex for x below 0, and from there
        // it is concave until it is 0 again: it is never negative.
        let at_low = y_low - chord * low;
        let at_high = y_high - chord * high;
        return Line {
            slope: chord,
            intercept: at_low.min(at_high) - slack,
        };
    }
    let middle = 0.5 * (low + high);
    let touch = if high > 0.0 {
        tangent_point(low, high, y_high).min(middle)
    } else {
        middle
    };
    let (y, slope) = sigmoid_and_slope(touch);
    // A tangent of the convex part is below all of that part. Above 0 the function minus the
    // tangent is concave and not negative at 0, so it is nowhere negative if it is not at the right
    // end.
    let excess = if high > 0.0 {
        (y + slope * (high - touch) - y_high).max(0.0)
    } else {
        0.0
    };
    Line {
        slope,
        intercept: y - slope * touch - excess - slack,
    }
}

/// The point between `low` and 0 whose tangent meets the function at `high`.
fn tangent_point(low: f64, high: f64, y_high: f64) -> f64 {
    // The tangent's value at `high` increases with the point.
    let (mut from, mut to) = (low, 0.0f64.min(high));
    let mut at = 0.5 * (from + to);
    for _ in 0..12 {
        let (y, slope) = sigmoid_and_slope(at);
        let excess = y + slope * (high - at) - y_high;
        if excess > 0.0 {
            to = at;
        } else {
            from = at;
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
    use blindspot_run::random::Stream;

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
                let LinearBounds { lower, upper } = activation.linear_bounds(low, high);
                let (mut nearest_below, mut nearest_above) = (f64::INFINITY, f64::INFINITY);
                for i in 0..=400 {
                    let x = low + (high - low) * f64::from(i) / 400.0;
                    let y = function(x);
                    let under = y - (lower.slope * x + lower.intercept);
                    let over = upper.slope * x + upper.intercept - y;
                    // The rounding of the test's own evaluation of the line.
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
                // Between two of these points a tangent comes nearer still.
                let near = 1e-12 * (1.0 + scale) + (high - low).powi(2).min(1.0) * 0.01;
                assert!(
                    nearest_below < near && nearest_above < near,
                    "{activation:?} [{low}, {high}]: {nearest_below:e} {nearest_above:e}"
                );
            }
        }
    }
}
