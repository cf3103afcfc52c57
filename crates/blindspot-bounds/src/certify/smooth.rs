//! A smooth activation around a point: parabolas below and above it over an interval, and bounds of
//! the slopes of its secants from that point.

use super::relaxation::Activation;

/// Bounds of an activation f around a point z that hold for all z + t in an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LocalBounds {
    /// f(z).
    pub(super) value: f64,
    /// f'(z).
    pub(super) slope: f64,
    /// f(z + t) >= value + slope t - curvature_down t^2 / 2; at least 0.
    pub(super) curvature_down: f64,
    /// f(z + t) <= value + slope t + curvature_up t^2 / 2; at least 0.
    pub(super) curvature_up: f64,
    /// A lower bound of the secants' slopes (f(z + t) - f(z)) / t; at least 0.
    pub(super) min_secant: f64,
    /// An upper bound of the secants' slopes.
    pub(super) max_secant: f64,
}

/// An activation with bounded derivatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Smooth {
    Sigmoid,
    Tanh,
}

/// Subintervals at whose ends the quotients are computed.
const SUBINTERVALS: usize = 48;
/// Below this |t| the derivatives at the point say more than differences, which lose digits.
const MIN_STEP: f64 = 1e-3;

impl Smooth {
    pub(super) fn from_activation(activation: Activation) -> Option<Smooth> {
        match activation {
            Activation::Relu => None,
            Activation::Sigmoid => Some(Smooth::Sigmoid),
            Activation::Tanh => Some(Smooth::Tanh),
        }
    }

    fn value(self, x: f64) -> f64 {
        match self {
            Smooth::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Smooth::Tanh => x.tanh(),
        }
    }

    /// The first and the second derivative at a point with value `y`.
    fn derivatives(self, y: f64) -> (f64, f64) {
        match self {
            Smooth::Sigmoid => (y * (1.0 - y), y * (1.0 - y) * (1.0 - 2.0 * y)),
            Smooth::Tanh => (1.0 - y * y, -2.0 * y * (1.0 - y * y)),
        }
    }

    /// The largest slope over [low, high].
    pub(super) fn max_slope(self, low: f64, high: f64) -> f64 {
        // Both functions are the steepest at 0.
        let nearest = 0.0f64.clamp(low.min(high), high.max(low));
        // More than the rounding of the value.
        self.derivatives(self.value(nearest)).0 + 4.0 * f64::EPSILON
    }

    /// Upper bounds of the absolute second and third derivatives: 1 / (6 sqrt 3) and 1 / 8 for the
    /// logistic function; eight and sixteen times these for tanh(x) = 2 sigmoid(2 x) - 1.
    fn max_derivatives(self) -> (f64, f64) {
        match self {
            Smooth::Sigmoid => (0.09623, 0.125),
            Smooth::Tanh => (0.76984, 2.0),
        }
    }

    /// Bounds around `at` that hold over [low, high], an interval that contains it.
    ///
    /// Both quotients are averages of derivatives between z and z + t: the parabolas' 2 (f(z) +
    /// f'(z) t - f(z + t)) / t^2 is one of -f'' with linearly decreasing weights, the secants'
    /// slope one of f'. So between two t they change by at most a third of the largest |f'''|, or
    /// half of the largest |f''|, times the distance. They are computed on a grid; what they can
    /// change by between its points, and the rounding at the smallest t, are added.
    pub(super) fn local_bounds(self, at: f64, low: f64, high: f64) -> LocalBounds {
        let value = self.value(at);
        let (slope, bend) = self.derivatives(value);
        let (second, third) = self.max_derivatives();
        let (from, to) = ((low - at).min(0.0), (high - at).max(0.0));
        let (mut down, mut up) = (-bend, bend);
        let (mut min_secant, mut max_secant) = (slope, slope);
        for i in 0..=SUBINTERVALS {
            let t = from + (to - from) * i as f64 / SUBINTERVALS as f64;
            if t.abs() < MIN_STEP {
                continue;
            }
            let difference = self.value(at + t) - value;
            let missing = 2.0 * (slope * t - difference) / (t * t);
            down = down.max(missing);
            up = up.max(-missing);
            let secant = difference / t;
            min_secant = min_secant.min(secant);
            max_secant = max_secant.max(secant);
        }
        // The largest distance of a t from the grid.
        let gap = 0.5 * (to - from) / SUBINTERVALS as f64 + MIN_STEP;
        let (curvature_gap, secant_gap) = (third / 3.0 * gap + 1e-8, 0.5 * second * gap + 1e-12);
        LocalBounds {
            value,
            slope,
            curvature_down: (down + curvature_gap).max(0.0),
            curvature_up: (up + curvature_gap).max(0.0),
            min_secant: (min_secant - secant_gap).max(0.0),
            max_secant: max_secant + secant_gap,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot_run::random::Stream;

    #[test]
    fn parabolas_and_secants_hold_between_the_grid_points_and_are_tight() {
        for seed in 0..2_000 {
            let mut stream = Stream::new(6, "points of a test", seed);
            let scale = [1e-4, 1.0, 5.0, 40.0][seed % 4];
            let at = 2.0 * stream.normal();
            let (low, high) = (at - scale * stream.uniform(), at + scale * stream.uniform());
            for smooth in [Smooth::Sigmoid, Smooth::Tanh] {
                let around = smooth.local_bounds(at, low, high);
                let LocalBounds { value, slope, .. } = around;
                let (mut under, mut over) = (f64::INFINITY, f64::INFINITY);
                for i in 0..=999 {
                    let t = low - at + (high - low) * f64::from(i) / 999.0;
                    if t.abs() < 1e-5 {
                        continue;
                    }
                    let difference = smooth.value(at + t) - value;
                    let parabola = |bend: f64| slope * t + 0.5 * bend * t * t;
                    let rounding = 1e-15;
                    assert!(
                        difference >= parabola(-around.curvature_down) - rounding,
                        "{around:?}"
                    );
                    assert!(
                        difference <= parabola(around.curvature_up) + rounding,
                        "{around:?}"
                    );
                    let secant = difference / t;
                    assert!(secant >= around.min_secant - 1e-10, "{around:?} {secant}");
                    assert!(secant <= around.max_secant + 1e-10, "{around:?} {secant}");
                    under = under.min((secant - around.min_secant).abs());
                    over = over.min((secant - around.max_secant).abs());
                }
                if scale == 1.0 {
                    assert!(under < 0.02 && over < 0.02, "{around:?}: {under} {over}");
                }
            }
        }
    }
}
