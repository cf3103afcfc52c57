//! The number formats that a model's values are rounded to where it runs.

/// A format of 32 bits or fewer for the values of a network, the coarser one the larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Precision {
    /// IEEE single precision, which everything here is computed in: nothing is rounded further.
    #[default]
    Single,
    /// IEEE half precision, ONNX's float16: 11 significant bits, up to 65,504.
    Half,
    /// ONNX's bfloat16: 8 significant bits, the range of single precision.
    Brain,
}

impl Precision {
    /// The largest relative error of rounding a number to the format, within its range: half the distance from 1 to the
    /// next number.
    pub fn unit_roundoff(self) -> f64 {
        match self {
            Precision::Single => 1.0 / f64::from(1u32 << 24),
            Precision::Half => 1.0 / f64::from(1u32 << 11),
            Precision::Brain => 1.0 / f64::from(1u32 << 8),
        }
    }

    /// The format's number nearest to `value`, of two the even one; infinite beyond its range.
    #[inline]
    pub fn round(self, value: f32) -> f32 {
        /// 2^24: the smallest half-precision number is 1 over that.
        const SUBNORMAL: f32 = 16_777_216.0;
        let size = value.abs();
        match self {
            Precision::Single => value,
            _ if !value.is_finite() => value,
            // 65,504 and half a step.
            Precision::Half if size >= 65_520.0 => f32::INFINITY.copysign(value),
            // 2^-14: below it all steps are equal.
            Precision::Half if size < 6.103_515_6e-5 => {
                (value * SUBNORMAL).round_ties_even() / SUBNORMAL
            }
            Precision::Half => nearest(value, 13),
            Precision::Brain => nearest(value, 16),
        }
    }
}

/// The number nearest to a finite one of those whose last `bits` bits are 0, of two the even one.
fn nearest(value: f32, bits: u32) -> f32 {
    let word = value.to_bits();
    let half_less_one = (1 << (bits - 1)) - 1;
    let odd = (word >> bits) & 1;
    f32::from_bits((word + half_less_one + odd) >> bits << bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_the_nearest_of_the_format() {
        let half = [
            (1.0, 1.0),
            (1.0 + 2f32.powi(-11), 1.0), // A tie goes to the even one,
            (1.0 + 3.0 * 2f32.powi(-11), 1.0 + 2.0 * 2f32.powi(-10)), // here the upper.
            (0.1, 0.099_975_586),
            (-2.719_1, -2.718_75),
            (65_519.0, 65_504.0),
            (65_520.0, f32::INFINITY),
            (-1e9, f32::NEG_INFINITY),
            (6.0e-5, 6.002_187_7e-5),
            (2.9e-8, 0.0),
            (3.0e-8, 5.960_464_5e-8),
        ];
        for (value, rounded) in half {
            assert_eq!(Precision::Half.round(value), rounded, "{value}");
        }
        let brain = [
            (1.0, 1.0),
            (1.0 + 2f32.powi(-8), 1.0),
            (0.1, 0.100_097_656),
            (-3e38, -3.004_055_3e38),
        ];
        for (value, rounded) in brain {
            assert_eq!(Precision::Brain.round(value), rounded, "{value}");
        }
        for format in [Precision::Single, Precision::Half, Precision::Brain] {
            assert!(format.round(f32::NAN).is_nan());
            assert_eq!(format.round(-0.0).to_bits(), (-0.0f32).to_bits());
        }
        assert_eq!(Precision::Single.round(0.1), 0.1);
    }
}
