//! The real numbers of a constant, in the form in which the file has them until they are used.

use prost::bytes::Bytes;

use crate::onnx::proto::*;
use crate::real::Real;

/// Real numbers. Those of a file stay as they are stored, so that a large weight is in memory once
/// beside the network that it becomes a part of.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reals {
    /// Little-endian bytes of one of ONNX's float types, or of 8-bit integers.
    Stored { data_type: i32, bytes: Bytes },
    /// Of a file's field for floats.
    Single(Vec<f32>),
    /// Computed, or of a file's field for doubles.
    Double(Vec<f64>),
    /// One number, so many times.
    Same(f64, usize),
}

impl Reals {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Reals::Stored { data_type, bytes } => bytes.len() / stored_width(*data_type),
            Reals::Single(values) => values.len(),
            Reals::Double(values) => values.len(),
            Reals::Same(_, count) => *count,
        }
    }

    /// How many bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Reals::Stored { bytes, .. } => bytes.len(),
            Reals::Single(values) => size_of_val(&values[..]),
            Reals::Double(values) => size_of_val(&values[..]),
            Reals::Same(..) => 0,
        }
    }

    /// The number at a place.
    fn at(&self, i: usize) -> f64 {
        fn word<const N: usize>(bytes: &[u8], i: usize) -> [u8; N] {
            let word = bytes[i * N..][..N].try_into();
            word.expect("as many bytes as asked for")
        }
        match self {
            Reals::Single(values) => f64::from(values[i]),
            Reals::Double(values) => values[i],
            Reals::Same(value, _) => *value,
            Reals::Stored { data_type, bytes } => match *data_type {
                DOUBLE => f64::from_le_bytes(word(bytes, i)),
                FLOAT16 => f64::from(half(u16::from_le_bytes(word(bytes, i)))),
                BFLOAT16 => f64::from(brain(u16::from_le_bytes(word(bytes, i)))),
                INT8 => f64::from(bytes[i] as i8),
                UINT8 => f64::from(bytes[i]),
                _ => f64::from(f32::from_le_bytes(word(bytes, i))),
            },
        }
    }

    /// All of them, one after the other.
    pub(super) fn iter(&self) -> impl Iterator<Item = f64> + Clone + '_ {
        (0..self.len()).map(|i| self.at(i))
    }

    /// All of them in another type, rounded to nearest.
    pub(super) fn cast<T: Real>(&self) -> Vec<T> {
        match self {
            // The usual case, without asking for the type at each number.
            Reals::Stored { data_type, bytes } if *data_type == FLOAT => {
                let words = bytes.chunks_exact(4);
                let floats = words
                    .map(|word| f32::from_le_bytes(word.try_into().expect("chunks are exact")));
                floats.map(|x| T::of(x.into())).collect()
            }
            _ => self.iter().map(T::of).collect(),
        }
    }
}

/// How many bytes a stored real number takes.
fn stored_width(data_type: i32) -> usize {
    match data_type {
        INT8 | UINT8 => 1,
        FLOAT16 | BFLOAT16 => 2,
        DOUBLE => 8,
        _ => 4,
    }
}

/// An IEEE half-precision number of these bits.
pub(super) fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    let size = match exponent {
        0 => fraction as f32 * 2f32.powi(-24),
        31 => f32::from_bits(0xff << 23 | fraction << 13),
        _ => f32::from_bits((exponent + 112) << 23 | fraction << 13),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// A bfloat16 number of these bits: the upper half of an `f32`.
pub(super) fn brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_has_its_known_numbers() {
        for (bits, number) in [
            (0x0000, 0.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3c00, 1.0),
            (0x3555, 0.333_251_95),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), number, "{bits:#06x}");
        }
        assert!(half(0x7e00).is_nan());
        assert_eq!(brain(0xbf80), -1.0);
    }

    #[test]
    fn stored_numbers_are_those_that_were_stored() {
        let numbers = [0.5f32, -2.25, 1e-40, 3e38];
        let stored = |data_type: i32, bytes: Vec<u8>| Reals::Stored {
            data_type,
            bytes: bytes.into(),
        };
        let single = stored(FLOAT, numbers.map(f32::to_le_bytes).concat());
        assert_eq!((single.len(), single.bytes()), (4, 16));
        assert_eq!(single.cast::<f32>(), numbers);
        assert_eq!(single.cast::<f64>(), numbers.map(f64::from));
        assert!(single.iter().eq(numbers.map(f64::from)));
        let double = stored(DOUBLE, [0.1f64, -7.0].map(f64::to_le_bytes).concat());
        assert_eq!(double.cast::<f64>(), [0.1, -7.0]);
        let small = stored(INT8, vec![255, 1]);
        assert_eq!(small.cast::<f64>(), [-1.0, 1.0]);
        assert_eq!(stored(UINT8, vec![255, 1]).cast::<f64>(), [255.0, 1.0]);
        assert_eq!(stored(FLOAT16, vec![0, 0x3c]).cast::<f64>(), [1.0]);
    }
}
