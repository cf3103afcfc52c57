//! Activation functions that are convex or concave piece by piece, which is all that a line below or
//! above them needs to be known ([`envelope`](super::envelope)).
//!
//! Where the pieces end is known in closed form or as the root of a function that is monotone:
//!
//! - x times the normal distribution function (GELU): its second derivative is the density times
//!   2 - x².
//! - Its approximation by tanh(g), g = s (x + c x³): the second derivative has the sign of 1 -
//!   s x tanh(g) (1 + 3 c x²)² / (1 + 6 c x²), where x tanh(g) and the quotient 1 + 9 c² x⁴ / (1 +
//!   6 c x²) both increase with |x|.
//! - x times the logistic function (SiLU): that of 2 - x tanh(x / 2), which decreases with |x|.
//! - x tanh(log(1 + e^x)) (Mish): with y = e^x that of N - x P, N = 2 (y + 1) (y² + 2 y + 2) and P =
//!   2 y³ + 3 y² - 2 y - 2. N / P decreases in y, as N' P - N P' = -6 y⁴ - 40 y³ - 72 y² - 48 y - 8,
//!   so it meets x once where P > 0 and once where P < 0; where P = 0 the sign is that of N.
//!
//! Exponentials, logarithms, roots and reciprocals are bent one way wherever they are defined; over an interval where
//! they aren't there is no line.
//!
//! A piece's end that is rounded by d leaves a function on the piece that is convex or concave but
//! for the third derivative times d³, far below the rounding of its values.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};

use blindspot_net::ops::{Binary, Unary};

use super::arithmetic::Rounding;

/// Where the second derivative of GELU's approximation by tanh is 0.
const GELU_TANH_INFLECTION: f64 = 1.418_504_008_790_828_5;
/// Where that of x times the logistic function is.
const SWISH_INFLECTION: f64 = 2.399_357_280_515_468;
/// Where that of Mish is.
const MISH_INFLECTIONS: [f64; 2] = [-2.256_376_396_360_793_5, 1.490_571_179_485_428_4];
/// Beyond this, tanh and the logistic function in a gate are 0 or 1 to all digits.
const SATURATED: f64 = 40.0;

/// By how much farther a runtime's value can be from a function that is made of up to five operators
/// than from an activation function: a gate is as far as an activation, and four values of up to twice
/// the number are rounded.
const COMPOSED: f64 = 8.0;

/// How a piece of a function is bent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bend {
    /// Its second derivative is not negative.
    Convex,
    /// Its second derivative is not positive.
    Concave,
    /// It is a line.
    Straight,
}

impl Bend {
    /// The bend of `factor` times a convex function.
    fn scaled(factor: f64) -> Bend {
        match factor.partial_cmp(&0.0) {
            Some(std::cmp::Ordering::Greater) => Bend::Convex,
            Some(std::cmp::Ordering::Less) => Bend::Concave,
            _ => Bend::Straight,
        }
    }
}

/// The bends of a number times a gate, whose two inflections are on both sides of 0: the gate opens for
/// a positive steepness and closes for a negative one.
fn gate(steepness: f64) -> [Bend; 3] {
    use Bend::{Concave, Convex};
    if steepness > 0.0 {
        [Concave, Convex, Concave]
    } else {
        [Convex, Concave, Convex]
    }
}

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Function {
    Unary(Unary),
    /// x (1 + erf(`steepness` x)).
    ErfGate {
        steepness: f64,
    },
    /// x times `alpha` x + `beta` cut to [0, 1].
    HardGate {
        alpha: f64,
        beta: f64,
    },
    /// 1 / x, of numbers that are at least this.
    ReciprocalAbove {
        least: f64,
    },
    /// -log x, of numbers that are at least this.
    MinusLogAbove {
        least: f64,
    },
    /// 1 / sqrt(x).
    InverseRoot,
}

/// How far a runtime's value can be from a function's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Noise {
    /// As far as an activation function's.
    Activation,
    /// As far as that of several operators that make one.
    Composed,
    /// By some roundings of the value itself.
    Relative,
    /// Not at all: no runtime has this value.
    None,
    /// As far as a Softmax or LogSoftmax of so many numbers.
    Softmax { count: usize, log: bool },
}

/// A continuous function of one number in pieces that are convex, concave or straight.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    function: Function,
    /// Where one piece ends and the next begins, in rising order.
    pub(super) breaks: Vec<f64>,
    /// The bend of each piece, one more than there are breaks.
    pub(super) bends: Vec<Bend>,
    /// At least 1. The function's slopes, and what values between its breaks are computed from, are at
    /// most twice this times 1 + |x|.
    pub(super) size: f64,
    /// Whether its parameters are computed from several numbers of the file, so that a runtime may
    /// have others.
    is_computed: bool,
    noise: Noise,
    /// Whether its slopes are not bounded: rounding is measured by those at the ends of an interval then.
    is_steep: bool,
}

impl Curve {
    /// A function; None for one without pieces like these.
    pub(super) fn of(function: Function) -> Option<Curve> {
        match function {
            Function::Unary(unary) => Curve::of_unary(unary),
            // That of GELU at sqrt(2) times steepness x, over the same.
            Function::ErfGate { steepness } if steepness != 0.0 => {
                let end = 1.0 / steepness.abs();
                let bends = gate(steepness).to_vec();
                Curve::new(function, vec![-end, end], bends, &[2.0, steepness])
            }
            // Between the gate's ends a parabola.
            Function::HardGate { alpha, beta } if alpha != 0.0 => {
                let mut breaks = vec![-beta / alpha, (1.0 - beta) / alpha];
                breaks.sort_by(f64::total_cmp);
                let bends = vec![Bend::Straight, Bend::scaled(alpha), Bend::Straight];
                Curve::new(function, breaks, bends, &[alpha, 1.0 + beta.abs()])
            }
            Function::ReciprocalAbove { least } | Function::MinusLogAbove { least }
                if least > 0.0 =>
            {
                let bends = vec![Bend::Straight, Bend::Convex];
                Some(Curve::new(function, vec![least], bends, &[])?.steep())
            }
            Function::InverseRoot => {
                Some(Curve::new(function, vec![], vec![Bend::Convex], &[])?.steep())
            }
            _ => None,
        }
    }

    /// A function of an operator; None for one without pieces like these.
    pub(super) fn of_unary(unary: Unary) -> Option<Curve> {
        use Bend::{Concave, Convex, Straight};
        let (breaks, bends, parameters): (Vec<f64>, Vec<Bend>, Vec<f64>) = match unary {
            Unary::LeakyRelu { alpha } => (vec![0.0], vec![Straight; 2], vec![alpha]),
            Unary::Abs => (vec![0.0], vec![Straight; 2], vec![]),
            // Ends that nothing reaches, such as the largest number of a format, count for nothing.
            Unary::Clip { min, max } if min <= max => (vec![min, max], vec![Straight; 3], vec![]),
            Unary::HardSigmoid { alpha, beta } => {
                let mut breaks = vec![-beta / alpha, (1.0 - beta) / alpha];
                breaks.sort_by(f64::total_cmp);
                breaks.retain(|_| alpha != 0.0);
                let bends = vec![Straight; breaks.len() + 1];
                (breaks, bends, vec![alpha, 1.0 + beta.abs()])
            }
            Unary::HardSwish => (vec![-3.0, 3.0], vec![Straight, Convex, Straight], vec![]),
            Unary::Elu { alpha } => (vec![0.0], vec![Bend::scaled(alpha), Straight], vec![alpha]),
            Unary::Selu { alpha, gamma } => {
                let depth = alpha * gamma;
                (
                    vec![0.0],
                    vec![Bend::scaled(depth), Straight],
                    vec![gamma, depth],
                )
            }
            Unary::Celu { alpha } if alpha > 0.0 => {
                (vec![0.0], vec![Convex, Straight], vec![alpha])
            }
            Unary::Softplus => (vec![], vec![Convex], vec![]),
            Unary::Softsign | Unary::Erf => (vec![0.0], vec![Convex, Concave], vec![]),
            Unary::Gelu { tanh } => {
                let end = if tanh { GELU_TANH_INFLECTION } else { SQRT_2 };
                (vec![-end, end], gate(1.0).to_vec(), vec![])
            }
            // That of alpha x over alpha.
            Unary::Swish { alpha } if alpha != 0.0 => {
                let end = SWISH_INFLECTION / alpha.abs();
                (vec![-end, end], gate(alpha).to_vec(), vec![])
            }
            Unary::Swish { .. } => (vec![], vec![Straight], vec![]),
            Unary::Mish => (MISH_INFLECTIONS.to_vec(), gate(1.0).to_vec(), vec![]),
            Unary::Exp => (vec![], vec![Convex], vec![]),
            Unary::Log | Unary::Sqrt => (vec![], vec![Concave], vec![]),
            Unary::Reciprocal => (vec![0.0], vec![Concave, Convex], vec![]),
            _ => return None,
        };
        let known = !matches!(unary, Unary::Swish { alpha } if !alpha.is_finite());
        let curve = Curve::new(Function::Unary(unary), breaks, bends, &parameters);
        let is_steep = matches!(
            unary,
            Unary::Exp | Unary::Log | Unary::Sqrt | Unary::Reciprocal
        );
        let curve = curve.map(|curve| if is_steep { curve.steep() } else { curve });
        curve.filter(|_| known)
    }

    /// None if a parameter or a break is no number.
    fn new(
        function: Function,
        breaks: Vec<f64>,
        bends: Vec<Bend>,
        parameters: &[f64],
    ) -> Option<Curve> {
        let known = parameters.iter().all(|p| p.is_finite()) && !breaks.iter().any(|b| b.is_nan());
        known.then(|| Curve {
            function,
            breaks,
            bends,
            size: parameters
                .iter()
                .fold(1.0, |size: f64, p| size.max(p.abs())),
            is_computed: false,
            noise: Noise::Activation,
            is_steep: false,
        })
    }

    /// This curve, of a function with unbounded slopes, whose rounding is relative to its values.
    fn steep(self) -> Curve {
        Curve {
            noise: Noise::Relative,
            is_steep: true,
            ..self
        }
    }

    /// This curve with other rounding errors of a runtime.
    pub(super) fn with_noise(self, noise: Noise) -> Curve {
        Curve { noise, ..self }
    }

    /// Whether values and slopes grow without bound over the numbers that there are.
    pub(super) fn is_steep(&self) -> bool {
        self.is_steep
    }

    /// Whether the function is defined on all of [low, high].
    pub(super) fn is_defined(&self, low: f64, high: f64) -> bool {
        match self.function {
            Function::Unary(Unary::Log) | Function::InverseRoot => low > 0.0,
            Function::Unary(Unary::Sqrt) => low >= 0.0,
            Function::Unary(Unary::Reciprocal) => low > 0.0 || high < 0.0,
            _ => true,
        }
    }

    /// This curve, but with the larger rounding errors of a runtime that computes the function by
    /// several operators, each of which rounds.
    pub(super) fn of_operators(self) -> Curve {
        self.with_noise(Noise::Composed)
    }

    /// The function that an operator with a weight is of each of its values, for the weight's number
    /// there and its magnitude; None for one that has no such pieces. The value is the first operand.
    pub(super) fn of_binary(op: Binary, number: f64, magnitude: f64) -> Option<Curve> {
        let infinity = f64::INFINITY;
        let function = match op {
            Binary::PRelu => Unary::LeakyRelu { alpha: number },
            Binary::Min => Unary::Clip {
                min: -infinity,
                max: number,
            },
            Binary::Max => Unary::Clip {
                min: number,
                max: infinity,
            },
            _ => return None,
        };
        let curve = Curve::of_unary(function)?;
        let is_computed = magnitude > number.abs();
        let size = match op {
            Binary::Min | Binary::Max if !is_computed => curve.size,
            _ => curve.size.max(magnitude),
        };
        let is_known = number.is_finite() && size.is_finite();
        is_known.then_some(Curve {
            size,
            is_computed,
            ..curve
        })
    }

    /// The piece that contains a number.
    pub(super) fn piece(&self, x: f64) -> usize {
        self.breaks.partition_point(|end| *end < x)
    }

    /// The function.
    pub(super) fn value(&self, x: f64) -> f64 {
        self.value_and_slope(self.piece(x), x).0
    }

    /// The function and its derivative at a number of a piece; at its ends those that it has inside.
    pub(super) fn value_and_slope(&self, piece: usize, x: f64) -> (f64, f64) {
        let inner = if piece == 1 { 1.0 } else { 0.0 };
        let unary = match self.function {
            Function::Unary(unary) => unary,
            Function::ErfGate { steepness } => {
                let gate = libm::erfc(-steepness * x);
                let density = FRAC_2_SQRT_PI * (-(steepness * x).powi(2)).exp();
                return (x * gate, gate + times(steepness * x, density));
            }
            Function::HardGate { alpha, beta } => {
                let gate = (alpha * x + beta).clamp(0.0, 1.0);
                let inside = 2.0 * alpha * x + beta;
                return (x * gate, if piece == 1 { inside } else { gate.round() });
            }
            Function::ReciprocalAbove { least } if piece == 0 => return (1.0 / least, 0.0),
            Function::ReciprocalAbove { .. } => Unary::Reciprocal,
            Function::MinusLogAbove { least } if piece == 0 => return (-least.ln(), 0.0),
            Function::MinusLogAbove { .. } => return (-x.ln(), -1.0 / x),
            Function::InverseRoot => {
                let value = 1.0 / x.sqrt();
                return (value, -0.5 * value / x);
            }
        };
        match unary {
            Unary::LeakyRelu { alpha } if piece == 0 => (alpha * x, alpha),
            Unary::Abs if piece == 0 => (-x, -1.0),
            Unary::LeakyRelu { .. } | Unary::Abs => (x, 1.0),
            Unary::Clip { min, max } => (x.max(min).min(max), inner),
            Unary::HardSigmoid { alpha, beta } => {
                ((alpha * x + beta).clamp(0.0, 1.0), alpha * inner)
            }
            Unary::HardSwish => match piece {
                0 => (0.0, 0.0),
                1 => (x * (x + 3.0) / 6.0, x / 3.0 + 0.5),
                _ => (x, 1.0),
            },
            Unary::Elu { .. } | Unary::Celu { .. } if piece == 1 => (x, 1.0),
            Unary::Selu { gamma, .. } if piece == 1 => (gamma * x, gamma),
            Unary::Elu { alpha } => (alpha * x.exp_m1(), alpha * x.exp()),
            Unary::Celu { alpha } => (alpha * (x / alpha).exp_m1(), (x / alpha).exp()),
            Unary::Selu { alpha, gamma } => (alpha * gamma * x.exp_m1(), alpha * gamma * x.exp()),
            Unary::Softplus => (x.max(0.0) + (-x.abs()).exp().ln_1p(), logistic(x)),
            Unary::Softsign => (x / (1.0 + x.abs()), (1.0 + x.abs()).powi(-2)),
            Unary::Erf => (libm::erf(x), FRAC_2_SQRT_PI * (-x * x).exp()),
            Unary::Gelu { tanh: false } => {
                let below = 0.5 * libm::erfc(-x * FRAC_1_SQRT_2);
                let density = 0.5 * FRAC_1_SQRT_2 * FRAC_2_SQRT_PI * (-0.5 * x * x).exp();
                (x * below, below + x * density)
            }
            Unary::Gelu { tanh: true } => gelu_by_tanh(x),
            Unary::Swish { alpha } => {
                let gate = logistic(alpha * x);
                let rise = gate * logistic(-alpha * x) * (alpha * x).clamp(-1e3, 1e3);
                (x * gate, gate + rise)
            }
            Unary::Mish => mish(x),
            Unary::Exp => (x.exp(), x.exp()),
            Unary::Log => (x.ln(), 1.0 / x),
            Unary::Sqrt => (x.sqrt(), 0.5 / x.sqrt()),
            Unary::Reciprocal => (1.0 / x, -1.0 / (x * x)),
            _ => (f64::NAN, f64::NAN),
        }
    }

    /// More than the rounding of values, tangents and chords over [low, high] by a few dozen
    /// operations.
    pub(super) fn slack(&self, low: f64, high: f64) -> f64 {
        let values = self.value(low).abs() + self.value(high).abs();
        let mut size = self.size * (1.0 + low.abs() + high.abs()) + values;
        if self.is_steep {
            // Of these functions the slope is the largest at one of the ends.
            let slope = |x: f64| self.value_and_slope(self.piece(x), x).1.abs();
            size += (slope(low) + slope(high)) * (low.abs() + high.abs());
        }
        128.0 * f64::EPSILON * size
    }

    /// How far a runtime's value can be from the function of its input, which lies in [low, high].
    pub(super) fn error(&self, rounding: &Rounding, low: f64, high: f64) -> f64 {
        let farthest = low.abs().max(high.abs());
        let largest = || {
            let [least, most] = self.range(low, high);
            least.abs().max(most.abs())
        };
        match self.noise {
            Noise::None => return 0.0,
            Noise::Relative => return rounding.of_value(largest()),
            Noise::Softmax { count, log } => {
                let size = if log { largest() } else { 0.0 };
                return rounding.of_softmax_inside(count, size);
            }
            Noise::Activation | Noise::Composed => {}
        }
        match self.function {
            Function::Unary(Unary::Abs) => 0.0,
            // Its ends may be rounded, which changes nothing unless numbers reach them.
            Function::Unary(Unary::Clip { min, max }) => {
                let size = |end: f64| {
                    if self.is_computed {
                        self.size
                    } else {
                        end.abs()
                    }
                };
                let of = |end: f64| rounding.of_constant(end, size(end), self.is_computed);
                let below = if low < min + of(min) { of(min) } else { 0.0 };
                let above = if high > max - of(max) { of(max) } else { 0.0 };
                below.max(above)
            }
            // Beyond its ends it does not round; between them its terms are at most twice its size.
            Function::Unary(Unary::HardSigmoid { .. }) => {
                2.0 * self.size * rounding.of_activation(0.0)
            }
            // Below 0 it is less than 1.
            Function::Unary(Unary::Softplus) => rounding.of_activation(high.max(0.0)),
            _ if self.noise == Noise::Composed => {
                COMPOSED * self.size * rounding.of_activation(farthest)
            }
            _ => self.size * rounding.of_activation(farthest),
        }
    }
}

/// A product that is 0 where the second factor is.
fn times(x: f64, factor: f64) -> f64 {
    if factor == 0.0 { 0.0 } else { x * factor }
}

/// The logistic function, small values to all digits.
fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// x / 2 (1 + tanh(g)) with g = s (x + c x³) (Hendrycks and Gimpel 2016, section 2), and its slope.
fn gelu_by_tanh(x: f64) -> (f64, f64) {
    let (scale, cubic) = (FRAC_1_SQRT_2 * FRAC_2_SQRT_PI, 0.044_715 * x * x);
    let argument = scale * x * (1.0 + cubic);
    // 1 + tanh(g) is twice the logistic function of 2 g.
    let gate = logistic(2.0 * argument);
    if argument.abs() > SATURATED {
        return (x * gate, gate);
    }
    let rise = 2.0 * gate * logistic(-2.0 * argument) * scale * (1.0 + 3.0 * cubic);
    (x * gate, gate + x * rise)
}

/// x tanh(log(1 + e^x)) and its slope.
fn mish(x: f64) -> (f64, f64) {
    if x > SATURATED {
        return (x, 1.0);
    }
    let y = x.exp();
    let n = y * (y + 2.0);
    let gate = n / (n + 2.0);
    let rise = 4.0 * y * (y + 1.0) / (n + 2.0).powi(2);
    (x * gate, gate + x * rise)
}

#[cfg(test)]
pub(super) mod tests;
