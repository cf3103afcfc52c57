//! Functions whose derivative is taken at the input: one row each.

use super::{Unary, chain, cut, each, sigmoid, softplus, tanh};
use crate::real::Real;

/// What is done with the function of an operator and its derivative.
trait Apply<T> {
    fn with(self, function: impl Fn(T) -> T, slope: impl Fn(T) -> T);
}

/// From inputs to outputs, in place.
struct Function<'a, T>(&'a mut [T]);

impl<T: Real> Apply<T> for Function<'_, T> {
    fn with(self, function: impl Fn(T) -> T, _slope: impl Fn(T) -> T) {
        each(self.0, function);
    }
}

/// From the gradients with respect to outputs to those with respect to the inputs, which come first.
struct Slopes<'a, T>(&'a [T], &'a mut [T]);

impl<T: Real> Apply<T> for Slopes<'_, T> {
    fn with(self, _function: impl Fn(T) -> T, slope: impl Fn(T) -> T) {
        chain(self.0, self.1, move |x, dy| dy * slope(x));
    }
}

impl Unary {
    /// From inputs to outputs.
    pub(super) fn function_by_input<T: Real>(self, data: &mut [T]) {
        self.by_input(Function(data));
    }

    /// From the gradients with respect to outputs to those with respect to inputs `at`.
    pub(super) fn slopes_by_input<T: Real>(self, at: &[T], dy: &mut [T]) {
        self.by_input(Slopes(at, dy));
    }

    /// Function and derivative. One that has a kink takes there the derivative of its flat side.
    fn by_input<T: Real>(self, apply: impl Apply<T>) {
        let (zero, one, half) = (T::zero(), T::one(), T::of(0.5));
        match self {
            Unary::HardSwish => {
                let (third, sixth, three) = (T::of(1.0 / 3.0), T::of(1.0 / 6.0), T::of(3.0));
                apply.with(
                    move |x| x * cut(x * sixth + half, zero, one),
                    move |x| {
                        if x <= -three {
                            zero
                        } else if x >= three {
                            one
                        } else {
                            x * third + half
                        }
                    },
                )
            }
            Unary::Swish { alpha } => {
                let alpha = T::of(alpha);
                apply.with(
                    move |x| x * sigmoid(alpha * x),
                    move |x| {
                        let gate = sigmoid(alpha * x);
                        gate + alpha * x * gate * (one - gate)
                    },
                )
            }
            Unary::Mish => apply.with(
                move |x| x * tanh(softplus(x)),
                move |x| {
                    let gate = tanh(softplus(x));
                    gate + x * (one - gate * gate) * sigmoid(x)
                },
            ),
            Unary::Selu { alpha, gamma } => {
                let (depth, gamma) = (T::of(alpha * gamma), T::of(gamma));
                apply.with(
                    move |x| {
                        if x > zero {
                            gamma * x
                        } else {
                            depth * x.exp_m1_poly()
                        }
                    },
                    move |x| {
                        if x > zero {
                            gamma
                        } else {
                            depth * x.exp_poly()
                        }
                    },
                )
            }
            Unary::Celu { alpha } => {
                let alpha = T::of(alpha);
                apply.with(
                    move |x| {
                        if x > zero {
                            x
                        } else {
                            alpha * (x / alpha).exp_m1_poly()
                        }
                    },
                    move |x| {
                        if x > zero {
                            one
                        } else {
                            (x / alpha).exp_poly()
                        }
                    },
                )
            }
            Unary::Softsign => apply.with(
                move |x| x / (one + x.abs()),
                move |x| {
                    let scale = one + x.abs();
                    one / (scale * scale)
                },
            ),
            Unary::ThresholdedRelu { alpha } => {
                let alpha = T::of(alpha);
                apply.with(
                    move |x| if x <= alpha { zero } else { x },
                    move |x| if x <= alpha { zero } else { one },
                )
            }
            Unary::Shrink { lambda, bias } => {
                let (lambda, bias) = (T::of(lambda), T::of(bias));
                apply.with(
                    move |x| {
                        let below = if x < -lambda { x + bias } else { x * zero };
                        if x > lambda { x - bias } else { below }
                    },
                    move |x| {
                        if (x < -lambda) | (x > lambda) {
                            one
                        } else {
                            zero
                        }
                    },
                )
            }
            Unary::Reciprocal => apply.with(move |x| one / x, move |x| -one / (x * x)),
            Unary::Sign => apply.with(
                move |x| {
                    let below = if x < zero { -one } else { x * zero };
                    if x > zero { one } else { below }
                },
                move |_| zero,
            ),
            Unary::Floor => apply.with(T::floor, move |_| zero),
            Unary::Ceil => apply.with(T::ceil, move |_| zero),
            Unary::Round { straight_through } => {
                let slope = if straight_through { one } else { zero };
                apply.with(round_ties_even, move |_| slope)
            }
            Unary::Not => apply.with(move |x| if x == zero { one } else { zero }, move |_| zero),
            Unary::IsNan => apply.with(
                move |x: T| if x.is_nan() { one } else { zero },
                move |_| zero,
            ),
            Unary::IsInf { negative, positive } => {
                let infinity = T::infinity();
                apply.with(
                    move |x| {
                        if positive && x == infinity || negative && x == -infinity {
                            one
                        } else {
                            zero
                        }
                    },
                    move |_| zero,
                )
            }
            Unary::Sin => apply.with(T::sin, T::cos),
            Unary::Cos => apply.with(T::cos, move |x| -x.sin()),
            Unary::Tan => apply.with(T::tan, move |x| one + x.tan().powi(2)),
            Unary::Asin => apply.with(T::asin, move |x| one / (one - x * x).sqrt()),
            Unary::Acos => apply.with(T::acos, move |x| -one / (one - x * x).sqrt()),
            Unary::Atan => apply.with(T::atan, move |x| one / (one + x * x)),
            Unary::Sinh => apply.with(T::sinh, T::cosh),
            Unary::Cosh => apply.with(T::cosh, T::sinh),
            Unary::Asinh => apply.with(T::asinh, move |x| one / (x * x + one).sqrt()),
            Unary::Acosh => apply.with(T::acosh, move |x| one / (x * x - one).sqrt()),
            Unary::Atanh => apply.with(T::atanh, move |x| one / (one - x * x)),
            other => unreachable!("{other:?} has its own kernel"),
        }
    }
}

/// The nearest integer, of two the even one.
#[inline(always)]
fn round_ties_even<T: Real>(x: T) -> T {
    let (half, two) = (T::of(0.5), T::of(2.0));
    if (x - x.trunc()).abs() == half {
        (x * half).round() * two
    } else {
        x.round()
    }
}
