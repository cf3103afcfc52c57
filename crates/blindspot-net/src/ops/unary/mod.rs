//! Functions of one number, applied to each.

mod by_input;

use super::{Gradient, InPlace, Input, Kernel, only_value};
use crate::ops::OperandShape;
use crate::real::{Real, vectorised};

/// A function of one number; ONNX's operator of the same name, with its attributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unary {
    /// max(0, x); its gradient at 0 is 0.
    Relu,
    /// x where it is at least 0, `alpha` x elsewhere.
    LeakyRelu {
        /// The slope below 0.
        alpha: f64,
    },
    /// x where it is above 0, `alpha` (e^x - 1) elsewhere.
    Elu {
        /// The depth reached below 0.
        alpha: f64,
    },
    /// x cut to [`min`, `max`]; its gradient is 0 outside and at the ends.
    Clip {
        /// The lower end, perhaps -infinity.
        min: f64,
        /// The upper end, perhaps infinity.
        max: f64,
    },
    /// The logistic function, 1 / (1 + e^-x).
    Sigmoid,
    /// `alpha` x + `beta` cut to [0, 1].
    HardSigmoid {
        /// The slope.
        alpha: f64,
        /// The value at 0.
        beta: f64,
    },
    /// The hyperbolic tangent.
    Tanh,
    /// log(1 + e^x).
    Softplus,
    /// The error function.
    Erf,
    /// x times the normal distribution function of x.
    Gelu {
        /// Its approximation by tanh.
        tanh: bool,
    },
    /// e^x.
    Exp,
    /// The natural logarithm.
    Log,
    /// The square root.
    Sqrt,
    /// -x.
    Neg,
    /// |x|; its gradient at 0 is 0.
    Abs,
    /// x times x / 6 + 1/2 cut to [0, 1].
    HardSwish,
    /// x times the logistic function of `alpha` x; SiLU where `alpha` is 1.
    Swish {
        /// The steepness.
        alpha: f64,
    },
    /// x tanh(log(1 + e^x)).
    Mish,
    /// `gamma` times [`Elu`](Unary::Elu).
    Selu {
        /// The depth reached below 0, before it is scaled.
        alpha: f64,
        /// The scale.
        gamma: f64,
    },
    /// x where it is above 0, `alpha` (e^(x / `alpha`) - 1) elsewhere.
    Celu {
        /// The depth reached below 0, not 0 itself.
        alpha: f64,
    },
    /// x / (1 + |x|).
    Softsign,
    /// x where it is above `alpha`, 0 elsewhere.
    ThresholdedRelu {
        /// The threshold.
        alpha: f64,
    },
    /// x nearer to 0 by `bias` where |x| is above `lambda`, 0 elsewhere.
    Shrink {
        /// The threshold.
        lambda: f64,
        /// By how much.
        bias: f64,
    },
    /// 1 / x.
    Reciprocal,
    /// -1, 0 or 1; without a gradient, as all that follow but the trigonometric ones.
    Sign,
    /// The largest integer that is not above x.
    Floor,
    /// The smallest integer that is not below x.
    Ceil,
    /// The nearest integer, of two the even one.
    Round {
        /// Whether the gradient is that of x itself: the straight-through estimate of quantised
        /// networks (Bengio et al. 2013).
        straight_through: bool,
    },
    /// 1 where x is 0, 0 elsewhere: the opposite of a truth value.
    Not,
    /// 1 where x is no number, 0 elsewhere.
    IsNan,
    /// 1 where x is infinite, with one of the signs asked for, 0 elsewhere.
    IsInf {
        /// Whether -infinity counts.
        negative: bool,
        /// Whether infinity counts.
        positive: bool,
    },
    /// The sine.
    Sin,
    /// The cosine.
    Cos,
    /// The tangent.
    Tan,
    /// The arc sine.
    Asin,
    /// The arc cosine.
    Acos,
    /// The arc tangent.
    Atan,
    /// The hyperbolic sine.
    Sinh,
    /// The hyperbolic cosine.
    Cosh,
    /// The inverse hyperbolic sine.
    Asinh,
    /// The inverse hyperbolic cosine.
    Acosh,
    /// The inverse hyperbolic tangent.
    Atanh,
}

impl Unary {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unary::Relu => "Relu",
            Unary::LeakyRelu { .. } => "LeakyRelu",
            Unary::Elu { .. } => "Elu",
            Unary::Clip { .. } => "Clip",
            Unary::Sigmoid => "Sigmoid",
            Unary::HardSigmoid { .. } => "HardSigmoid",
            Unary::Tanh => "Tanh",
            Unary::Softplus => "Softplus",
            Unary::Erf => "Erf",
            Unary::Gelu { .. } => "Gelu",
            Unary::Exp => "Exp",
            Unary::Log => "Log",
            Unary::Sqrt => "Sqrt",
            Unary::Neg => "Neg",
            Unary::Abs => "Abs",
            Unary::HardSwish => "HardSwish",
            Unary::Swish { .. } => "Swish",
            Unary::Mish => "Mish",
            Unary::Selu { .. } => "Selu",
            Unary::Celu { .. } => "Celu",
            Unary::Softsign => "Softsign",
            Unary::ThresholdedRelu { .. } => "ThresholdedRelu",
            Unary::Shrink { .. } => "Shrink",
            Unary::Reciprocal => "Reciprocal",
            Unary::Sign => "Sign",
            Unary::Floor => "Floor",
            Unary::Ceil => "Ceil",
            Unary::Round { .. } => "Round",
            Unary::Not => "Not",
            Unary::IsNan => "IsNaN",
            Unary::IsInf { .. } => "IsInf",
            Unary::Sin => "Sin",
            Unary::Cos => "Cos",
            Unary::Tan => "Tan",
            Unary::Asin => "Asin",
            Unary::Acos => "Acos",
            Unary::Atan => "Atan",
            Unary::Sinh => "Sinh",
            Unary::Cosh => "Cosh",
            Unary::Asinh => "Asinh",
            Unary::Acosh => "Acosh",
            Unary::Atanh => "Atanh",
        }
    }

    pub(super) fn infer(self, inputs: &[OperandShape<'_>]) -> Result<Vec<usize>, String> {
        only_value(inputs).map(<[usize]>::to_vec)
    }

    /// Whether the gradient is taken from the output's numbers, or else from the input's. From the
    /// output wherever that says as much as the input, because the input may then be written over.
    fn by_output(self) -> bool {
        match self {
            // Only where its sign is that of the input.
            Unary::LeakyRelu { alpha } => alpha > 0.0,
            Unary::Elu { alpha } => alpha >= 0.0,
            Unary::Relu
            | Unary::Clip { .. }
            | Unary::Sigmoid
            | Unary::HardSigmoid { .. }
            | Unary::Tanh
            | Unary::Softplus
            | Unary::Exp
            | Unary::Sqrt
            | Unary::Neg => true,
            _ => false,
        }
    }
}

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    T::one() / (T::one() + (-x).exp_poly())
}

#[inline(always)]
fn tanh<T: Real>(x: T) -> T {
    let e = (x + x).exp_m1_poly();
    e / (e + T::of(2.0))
}

/// log(1 + e^x), without overflow.
#[inline(always)]
fn softplus<T: Real>(x: T) -> T {
    let positive = if x < T::zero() { T::zero() } else { x };
    positive + (-x.abs()).exp_poly().ln_1p()
}

/// The distribution function of the normal distribution.
#[inline(always)]
fn normal<T: Real>(x: T) -> T {
    T::of(0.5) * (T::one() + (x * T::of(std::f64::consts::FRAC_1_SQRT_2)).error_function())
}

/// Its density.
#[inline(always)]
fn density<T: Real>(x: T) -> T {
    let scale = std::f64::consts::FRAC_1_SQRT_2 * std::f64::consts::FRAC_2_SQRT_PI / 2.0;
    (T::of(-0.5) * x * x).exp_poly() * T::of(scale)
}

/// The argument of tanh in the approximation of Gelu (Hendrycks and Gimpel 2016, section 2), and
/// its derivative.
#[inline(always)]
fn gelu_argument<T: Real>(x: T) -> (T, T) {
    let scale = T::of(std::f64::consts::FRAC_1_SQRT_2 * std::f64::consts::FRAC_2_SQRT_PI);
    let cubic = T::of(0.044_715) * x * x;
    (
        scale * x * (T::one() + cubic),
        scale * (T::one() + T::of(3.0) * cubic),
    )
}

/// Written so that NaN stays NaN.
#[inline(always)]
fn cut<T: Real>(x: T, min: T, max: T) -> T {
    let x = if x < min { min } else { x };
    if x > max { max } else { x }
}

/// Replaces each number by what the function makes of it.
///
/// The function must own what it captures: a loop that reads it from elsewhere, where it might change with
/// every number that is written, does not become vector instructions.
fn each<T: Real>(data: &mut [T], function: impl Fn(T) -> T) {
    vectorised(
        #[inline(always)]
        move || {
            for x in data {
                *x = function(*x);
            }
        },
    );
}

/// Makes of each gradient dy of an output `slope(at, dy)`; the slope must own what it captures, as in
/// [`each`].
fn chain<T: Real>(at: &[T], dy: &mut [T], slope: impl Fn(T, T) -> T) {
    vectorised(
        #[inline(always)]
        move || {
            for (dy, &at) in dy.iter_mut().zip(at) {
                *dy = slope(at, *dy);
            }
        },
    );
}

impl Unary {
    /// From inputs to outputs.
    fn function<T: Real>(self, data: &mut [T]) {
        let (zero, one) = (T::zero(), T::one());
        match self {
            // Written so that NaN stays NaN.
            Unary::Relu => each(data, move |x| if x < zero { zero } else { x }),
            Unary::LeakyRelu { alpha } => {
                let alpha = T::of(alpha);
                each(data, move |x| if x < zero { alpha * x } else { x });
            }
            Unary::Elu { alpha } => {
                let alpha = T::of(alpha);
                each(
                    data,
                    move |x| if x > zero { x } else { alpha * x.exp_m1_poly() },
                );
            }
            Unary::Clip { min, max } => {
                let (min, max) = (T::of(min), T::of(max));
                each(data, move |x| cut(x, min, max));
            }
            Unary::Sigmoid => each(data, sigmoid),
            Unary::HardSigmoid { alpha, beta } => {
                let (alpha, beta) = (T::of(alpha), T::of(beta));
                each(data, move |x| cut(alpha * x + beta, zero, one));
            }
            Unary::Tanh => each(data, tanh),
            Unary::Softplus => each(data, softplus),
            Unary::Erf => each(data, T::error_function),
            Unary::Gelu { tanh: false } => each(data, move |x| x * normal(x)),
            Unary::Gelu { tanh: true } => {
                let half = T::of(0.5);
                each(data, move |x| half * x * (one + tanh(gelu_argument(x).0)));
            }
            Unary::Exp => each(data, T::exp),
            Unary::Log => each(data, T::ln),
            Unary::Sqrt => each(data, T::sqrt),
            Unary::Neg => each(data, move |x| -x),
            Unary::Abs => each(data, T::abs),
            _ => self.function_by_input(data),
        }
    }

    /// From the gradients with respect to outputs to those with respect to inputs; `at` are the
    /// outputs or the inputs, as [`by_output`](Unary::by_output) says.
    fn slopes<T: Real>(self, at: &[T], dy: &mut [T]) {
        let (zero, one) = (T::zero(), T::one());
        match self {
            Unary::Relu => chain(at, dy, move |y, dy| if y > zero { dy } else { zero }),
            Unary::LeakyRelu { alpha } => {
                let alpha = T::of(alpha);
                chain(
                    at,
                    dy,
                    move |at, dy| if at < zero { dy * alpha } else { dy },
                );
            }
            Unary::Elu { alpha } if self.by_output() => {
                let alpha = T::of(alpha);
                chain(
                    at,
                    dy,
                    move |y, dy| if y > zero { dy } else { dy * (y + alpha) },
                );
            }
            Unary::Elu { alpha } => {
                let alpha = T::of(alpha);
                let below = move |x: T, dy| dy * alpha * x.exp_poly();
                chain(
                    at,
                    dy,
                    move |x, dy| if x > zero { dy } else { below(x, dy) },
                );
            }
            Unary::Clip { min, max } => {
                let (min, max) = (T::of(min), T::of(max));
                chain(
                    at,
                    dy,
                    move |y, dy| if (min < y) & (y < max) { dy } else { zero },
                );
            }
            Unary::Sigmoid => chain(at, dy, move |y, dy| dy * y * (one - y)),
            Unary::HardSigmoid { alpha, .. } => {
                let alpha = T::of(alpha);
                let inside = move |y| (zero < y) & (y < one);
                chain(
                    at,
                    dy,
                    move |y, dy| if inside(y) { dy * alpha } else { zero },
                );
            }
            Unary::Tanh => chain(at, dy, move |y, dy| dy * (one - y * y)),
            // The logistic function of x is 1 - e^-y.
            Unary::Softplus => chain(at, dy, move |y, dy| -dy * (-y).exp_m1_poly()),
            Unary::Erf => {
                let scale = T::of(std::f64::consts::FRAC_2_SQRT_PI);
                chain(at, dy, move |x, dy| dy * scale * (-x * x).exp_poly());
            }
            Unary::Gelu { tanh: false } => {
                chain(at, dy, move |x, dy| dy * (normal(x) + x * density(x)));
            }
            Unary::Gelu { tanh: true } => {
                let half = T::of(0.5);
                chain(at, dy, move |x, dy| {
                    let (argument, slope) = gelu_argument(x);
                    let tanh = tanh(argument);
                    dy * half * (one + tanh + x * (one - tanh * tanh) * slope)
                });
            }
            Unary::Exp => chain(at, dy, move |y, dy| dy * y),
            // What a Where does not take may have no slope: 0 comes back through it.
            Unary::Log => chain(at, dy, move |x, dy| if dy == zero { zero } else { dy / x }),
            Unary::Sqrt => chain(
                at,
                dy,
                move |y, dy| if dy == zero { zero } else { dy / (y + y) },
            ),
            Unary::Neg => each(dy, move |dy| -dy),
            Unary::Abs => chain(at, dy, move |x, dy| {
                let below = if x < zero { -dy } else { zero };
                if x > zero { dy } else { below }
            }),
            _ => self.slopes_by_input(at, dy),
        }
    }
}

/// Numbers are copied so many at a time and then worked on in place: they are still in the cache.
const PART: usize = 1024;

impl<T: Real> Kernel<T> for Unary {
    fn forward(&self, _n: usize, inputs: &[Input<'_, T>], output: &mut [T], _scratch: &mut Vec<T>) {
        for (x, y) in inputs[0].data.chunks(PART).zip(output.chunks_mut(PART)) {
            y.copy_from_slice(x);
            self.function(y);
        }
    }

    fn backward(
        &self,
        _n: usize,
        inputs: &[Input<'_, T>],
        output: &[T],
        output_gradient: &[T],
        gradients: &mut [Option<Gradient<'_, T>>],
        _scratch: &mut Vec<T>,
    ) {
        let Some(gradient) = &mut gradients[0] else {
            return;
        };
        let at = if self.by_output() {
            output
        } else {
            inputs[0].data
        };
        let mut part = [T::zero(); PART];
        let parts = at.chunks(PART).zip(output_gradient.chunks(PART));
        for ((at, dy), to) in parts.zip(gradient.data.chunks_mut(PART)) {
            if gradient.accumulate {
                let part = &mut part[..dy.len()];
                part.copy_from_slice(dy);
                self.slopes(at, part);
                to.iter_mut().zip(&*part).for_each(|(sum, &dx)| *sum += dx);
            } else {
                to.copy_from_slice(dy);
                self.slopes(at, to);
            }
        }
    }

    fn in_place(&self) -> Option<&dyn InPlace<T>> {
        self.by_output().then_some(self)
    }

    fn needs_no_output(&self) -> bool {
        !self.by_output() || *self == Unary::Neg
    }
}

impl<T: Real> InPlace<T> for Unary {
    fn forward(&self, data: &mut [T]) {
        self.function(data);
    }

    fn backward(&self, output: &[T], gradient: &mut [T]) {
        self.slopes(output, gradient);
    }
}
