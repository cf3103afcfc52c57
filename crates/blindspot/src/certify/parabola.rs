//! A smooth activation around a point: parabolas below and above it over an interval, and how steep
//! the lines from that point to others are.

use super::relax::Activation;

/// An activation f around a point z, for all z + t in an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Around {
    /// f(z).
    pub(super) value: f64,
    /// f'(z).
    pub(super) slope: f64,
    /// f(z + t) is at least value + slope t - fall t^2 / 2.
    pub(super) fall: f64,
    /// f(z + t) is at most value + slope t + rise t^2 / 2.
    pub(super) rise: f64,
    /// (f(z + t) - f(z)) / t is at least this.
    pub(super) least: f64,
    /// And at most this.
    pub(super) most: f64,
}

/// An activation whose derivatives are bounded everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Smooth {
    Sigmoid,
    Tanh,
}

/// Parts that an interval is cut into.
const PARTS: usize = 48;
/// Nearer to the point than this differences say less than derivatives there.
const NEAR: f64 = 1e-3;

impl Smooth {
    pub(super) fn of(activation: Activation) -> Option<Smooth> {
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

    /// The first and the second derivative where the value is `y`.
    fn derivatives(self, y: f64) -> (f64, f64) {
        match self {
            Smooth::Sigmoid => (y * (1.0 - y), y * (1.0 - y) * (1.0 - 2.0 * y)),
            Smooth::Tanh => (1.0 - y * y, -2.0 * y * (1.0 - y * y)),
        }
    }

    /// The largest absolute values of the second and of the third derivative: at most
    /// 1 / (6 sqrt 3) and 1 / 8, of tanh(x) = 2 sigmoid(2 x) - 1 eight and sixteen times these.
    fn largest(self) -> (f64, f64) {
        match self {
            Smooth::Sigmoid => (0.09623, 0.125),
            Smooth::Tanh => (0.76984, 2.0),
        }
    }

    /// What holds around `at` over [low, high], which it is in.
    ///
    /// Both quotients are averages of derivatives between z and z + t: that of the parabolas,
    /// 2 (f(z) + f'(z) t - f(z + t)) / t^2, of -f'' with weights that fall evenly, that of the secants
    /// of f'. So from one t to another they change by at most a third of the largest |f'''|, and half
    /// of the largest |f''|, times the distance. They are computed at points no farther apart than
    /// that allows for, with what rounding can do at the smallest t added.
    pub(super) fn around(self, at: f64, low: f64, high: f64) -> Around {
        let value = self.value(at);
        let (slope, bend) = self.derivatives(value);
        let (second, third) = self.largest();
        let (from, to) = ((low - at).min(0.0), (high - at).max(0.0));
        let (mut fall, mut rise) = (-bend, bend);
        let (mut least, mut most) = (slope, slope);
        for i in 0..=PARTS {
            let t = from + (to - from) * i as f64 / PARTS as f64;
            if t.abs() < NEAR {
                continue;
            }
            let difference = self.value(at + t) - value;
            let missing = 2.0 * (slope * t - difference) / (t * t);
            fall = fall.max(missing);
            rise = rise.max(-missing);
            let secant = difference / t;
            least = least.min(secant);
            most = most.max(secant);
        }
        // How far a t can be from one that was tried.
        let gap = 0.5 * (to - from) / PARTS as f64 + NEAR;
        let (bent, turned) = (third / 3.0 * gap + 1e-8, 0.5 * second * gap + 1e-12);
        Around {
            value,
            slope,
            fall: (fall + bent).max(0.0),
            rise: (rise + bent).max(0.0),
            least: (least - turned).max(0.0),
            most: most + turned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::random::Stream;

    #[test]
    fn parabolas_and_secants_hold_between_the_points_tried_and_are_near() {
        for seed in 0..2_000 {
            let mut stream = Stream::new(6, "points of a test", seed);
            let scale = [1e-4, 1.0, 5.0, 40.0][seed % 4];
            let at = 2.0 * stream.normal();
            let (low, high) = (at - scale * stream.uniform(), at + scale * stream.uniform());
            for smooth in [Smooth::Sigmoid, Smooth::Tanh] {
                let around = smooth.around(at, low, high);
                let Around { value, slope, .. } = around;
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
                        difference >= parabola(-around.fall) - rounding,
                        "{around:?}"
                    );
                    assert!(difference <= parabola(around.rise) + rounding, "{around:?}");
                    let secant = difference / t;
                    assert!(secant >= around.least - 1e-10, "{around:?} {secant}");
                    assert!(secant <= around.most + 1e-10, "{around:?} {secant}");
                    under = under.min((secant - around.least).abs());
                    over = over.min((secant - around.most).abs());
                }
                if scale == 1.0 {
                    assert!(under < 0.02 && over < 0.02, "{around:?}: {under} {over}");
                }
            }
        }
    }
}
