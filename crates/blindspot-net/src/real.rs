//! The number types that networks run in.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign, SubAssign};

use num_traits::Float;

/// `f32` or `f64`: what weights, activations and gradients are made of.
///
/// Everything in this crate is generic over it: `f32` is what networks run in, `f64` is for the
/// checks that need it (finite differences, margins near zero).
pub trait Real:
    Float + AddAssign + SubAssign + MulAssign + Sum + Debug + Display + Default + Send + Sync + 'static
{
    /// From `f64`, rounded to nearest.
    fn of(value: f64) -> Self;
    /// To `f64`, exactly.
    fn f64(self) -> f64;
    /// e^x by a polynomial after range reduction: 1.2e-7 relative in `f32`, 2.2e-16 in `f64`;
    /// arguments beyond the exponent's range are clamped to it, NaN stays NaN. Free of branches
    /// and calls, so that a loop over it becomes vector instructions.
    fn exp_poly(self) -> Self;
}

impl Real for f32 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn exp_poly(self) -> Self {
        // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
        const ROUND: f32 = 12_582_912.0;
        // Not `clamp`: these comparisons compile to vector instructions and let NaN through.
        #[allow(clippy::manual_clamp)]
        let x = if self > 88.0 {
            88.0
        } else if self < -87.0 {
            -87.0
        } else {
            self
        };
        let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
        let n = shifted - ROUND;
        // ln 2 in two parts (Cody and Waite), so that the remainder keeps all its bits.
        let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
        // Coefficients: Cephes, expf.
        let p = 1.987_569_1e-4_f32
            .mul_add(r, 1.398_199_9e-3)
            .mul_add(r, 8.333_452e-3)
            .mul_add(r, 4.166_579_6e-2)
            .mul_add(r, 1.666_666_5e-1)
            .mul_add(r, 0.5);
        let y = p.mul_add(r * r, r) + 1.0;
        y * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
    }
}

impl Real for f64 {
    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn exp_poly(self) -> Self {
        const ROUND: f64 = 6_755_399_441_055_744.0;
        #[allow(clippy::manual_clamp)]
        let x = if self > 709.0 {
            709.0
        } else if self < -708.0 {
            -708.0
        } else {
            self
        };
        let shifted = x.mul_add(std::f64::consts::LOG2_E, ROUND);
        let n = shifted - ROUND;
        let r = n.mul_add(
            -1.908_214_929_270_587_7e-10,
            n.mul_add(-0.693_147_180_369_123_8, x),
        );
        // Taylor's series to degree 13: its remainder on |r| <= ln(2)/2 is below 1e-17.
        let mut p = 1.0 / 6_227_020_800.0;
        for c in [
            1.0 / 479_001_600.0,
            1.0 / 39_916_800.0,
            1.0 / 3_628_800.0,
            1.0 / 362_880.0,
            1.0 / 40_320.0,
            1.0 / 5_040.0,
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
            1.0,
            1.0,
        ] {
            p = r.mul_add(p, c);
        }
        p * f64::from_bits((shifted.to_bits() << 52).wrapping_add(0x3ff0_0000_0000_0000))
    }
}

/// Runs `body` compiled for the widest vector instructions that this processor has.
///
/// `body` must be marked `#[inline(always)]` all the way down for that to reach its loops.
#[inline(always)]
pub fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    struct Body<F>(F);
    impl<R, F: FnOnce() -> R> pulp::NullaryFnOnce for Body<F> {
        type Output = R;
        #[inline(always)]
        fn call(self) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Body(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_poly_agrees_with_the_standard_library() {
        for i in -8700..=8800 {
            let x = f64::from(i) * 0.01;
            let narrow = x as f32;
            let error = (narrow.exp_poly() / narrow.exp() - 1.0).abs();
            assert!(error < 3e-7, "f32 at {x}: {error:e}");
            let error = (x.exp_poly() / x.exp() - 1.0).abs();
            assert!(error < 1e-15, "f64 at {x}: {error:e}");
        }
        assert!(f32::NAN.exp_poly().is_nan() && f64::NAN.exp_poly().is_nan());
        assert!(f32::INFINITY.exp_poly() > 1e38 && f32::NEG_INFINITY.exp_poly() < 1e-37);
    }
}
