//! The number types that networks run in.

mod lanes;
mod peak;

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign, SubAssign};

use num_traits::Float;

use lanes::Lanes;

pub use peak::peak_gflops;

use crate::ops::{Kernel, Op};

/// `f32` or `f64`: what weights, activations and gradients are made of.
///
/// Everything in this crate is generic over it: `f32` is what networks run in, `f64` is for the
/// checks that need it (finite differences, margins near zero).
pub trait Real:
    Float
    + Lanes
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + Debug
    + Display
    + Default
    + Send
    + Sync
    + 'static
{
    /// From `f64`, rounded to nearest.
    fn of(value: f64) -> Self;
    /// To `f64`, exactly.
    fn f64(self) -> f64;
    /// e^x by a polynomial after range reduction: 1.2e-7 relative in `f32`, 2.2e-16 in `f64`;
    /// arguments beyond the exponent's range are clamped to it, NaN stays NaN. Free of branches
    /// and calls, so that a loop over it becomes vector instructions.
    fn exp_poly(self) -> Self;
    /// e^x - 1, as exact near 0 as elsewhere; otherwise like [`exp_poly`](Real::exp_poly).
    fn exp_m1_poly(self) -> Self;
    /// The error function: 1.2e-7 relative in `f32`, free of branches and calls; 2.2e-16 in `f64`.
    fn error_function(self) -> Self;
    /// What runs an operator in this number type. Here, and not generic, so that the kernels are
    /// compiled with this crate and not with each one that uses it.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn kernel(op: &Op) -> &dyn Kernel<Self>;
}

/// e^r - 1 and 2^n, where x = r + n ln 2 and |r| is at most ln(2) / 2.
#[inline(always)]
fn exp_parts_f32(x: f32) -> (f32, f32) {
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // Not `clamp`: these comparisons compile to vector instructions and let NaN through.
    #[allow(clippy::manual_clamp)]
    let x = if x > 88.0 {
        88.0
    } else if x < -87.0 {
        -87.0
    } else {
        x
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
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    (p.mul_add(r * r, r), scale)
}

/// The same in `f64`.
#[inline(always)]
fn exp_parts_f64(x: f64) -> (f64, f64) {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    #[allow(clippy::manual_clamp)]
    let x = if x > 709.0 {
        709.0
    } else if x < -708.0 {
        -708.0
    } else {
        x
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
    ] {
        p = r.mul_add(p, c);
    }
    let scale = f64::from_bits((shifted.to_bits() << 52).wrapping_add(0x3ff0_0000_0000_0000));
    (r * p, scale)
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
        let (less_one, scale) = exp_parts_f32(self);
        (less_one + 1.0) * scale
    }

    #[inline(always)]
    fn exp_m1_poly(self) -> Self {
        let (less_one, scale) = exp_parts_f32(self);
        less_one.mul_add(scale, scale - 1.0)
    }

    #[inline(always)]
    fn error_function(self) -> Self {
        // Near 0 a polynomial, further out 1 less an exponential of one; both are computed, so
        // that a loop has no branch. Coefficients: N. Juffa, "Error function in single precision".
        let (t, s) = (self.abs(), self * self);
        let low = (-1.728_534_7e-5_f32).mul_add(t, 3.831_971_3e-4);
        let high = (-3.883_964_4e-3_f32).mul_add(t, 2.425_462_2e-2);
        let exponent = low
            .mul_add(s, high)
            .mul_add(t, -1.067_778_8e-1)
            .mul_add(t, -6.348_467e-1)
            .mul_add(t, -1.287_175_1e-1)
            .mul_add(t, -t);
        let far = (1.0 - exponent.exp_poly()).copysign(self);
        let near = (-5.967_617e-4_f32)
            .mul_add(s, 4.991_194_2e-3)
            .mul_add(s, -2.676_813_5e-2)
            .mul_add(s, 1.128_199_3e-1)
            .mul_add(s, -3.761_253_4e-1)
            .mul_add(s, 1.283_791_7e-1)
            .mul_add(self, self);
        if t > 0.927_734_4 { far } else { near }
    }

    #[allow(private_interfaces)]
    fn kernel(op: &Op) -> &dyn Kernel<Self> {
        op.compiled()
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
        let (less_one, scale) = exp_parts_f64(self);
        (less_one + 1.0) * scale
    }

    #[inline(always)]
    fn exp_m1_poly(self) -> Self {
        let (less_one, scale) = exp_parts_f64(self);
        less_one.mul_add(scale, scale - 1.0)
    }

    #[inline(always)]
    fn error_function(self) -> Self {
        libm::erf(self)
    }

    #[allow(private_interfaces)]
    fn kernel(op: &Op) -> &dyn Kernel<Self> {
        op.compiled()
    }
}

/// Runs `body` compiled for the widest vector instructions that this processor has.
///
/// `body` must be marked `#[inline(always)]` all the way down for that to reach its loops, and own what it
/// captures (`move`): a loop that reads a number or the place of a slice through a reference, where what it
/// writes might have changed it, does not become vector instructions.
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
        for i in -3000..=3000i32 {
            // Down to 1e-7 and up to 87, most of them near 0.
            let x = (f64::from(i) * 1e-3).powi(3) * 3.2 + f64::from(i.signum()) * 1e-7;
            let narrow = x as f32;
            let error = (narrow.exp_m1_poly() - narrow.exp_m1()) / narrow.exp_m1();
            assert!(i == 0 || error.abs() < 3e-7, "f32 at {x}: {error:e}");
            let error = (x.exp_m1_poly() - x.exp_m1()) / x.exp_m1();
            assert!(i == 0 || error.abs() < 1e-15, "f64 at {x}: {error:e}");
        }
        assert!(f32::NAN.exp_m1_poly().is_nan() && f64::NAN.exp_m1_poly().is_nan());
        assert!(f32::NAN.exp_poly().is_nan() && f64::NAN.exp_poly().is_nan());
        assert!(f32::INFINITY.exp_poly() > 1e38 && f32::NEG_INFINITY.exp_poly() < 1e-37);
    }
    /// Against the function's series, sum of (-1)^k x^(2k+1) / (k! (2k+1)) times 2 / sqrt(pi),
    /// which loses no more than four digits to cancellation below 2.
    #[test]
    fn error_function_agrees_with_its_series() {
        for i in -2000..=2000 {
            let x = f64::from(i) * 1e-3;
            let (mut term, mut sum) = (x, x);
            for k in 1..60 {
                term *= -x * x / f64::from(k);
                sum += term / f64::from(2 * k + 1);
            }
            let exact = sum * std::f64::consts::FRAC_2_SQRT_PI;
            assert!((x.error_function() - exact).abs() < 2e-15, "f64 at {x}");
            let narrow = x as f32;
            let shift = f64::from(narrow) - x;
            let exact = exact + shift * (-x * x).exp() * std::f64::consts::FRAC_2_SQRT_PI;
            assert!(
                (narrow.error_function().f64() - exact).abs() < 1e-7,
                "f32 at {x}"
            );
        }
        // Known to all digits of a double; then beyond all digits.
        assert!((3.0.error_function() - 0.999_977_909_503_001_4).abs() < 2e-16);
        assert!((3.0f32.error_function() - 0.999_977_9).abs() < 1e-7);
        for x in [6.0f32, 1e4, 1e30, f32::INFINITY] {
            assert_eq!(
                (
                    x.error_function(),
                    (-x).error_function(),
                    x.f64().error_function()
                ),
                (1.0, -1.0, 1.0)
            );
        }
        assert!(f32::NAN.error_function().is_nan() && f64::NAN.error_function().is_nan());
    }
}
