//! Vectors of numbers as wide as the processor's, written out.
//!
//! Loops over arrays mostly become vector instructions by themselves, but whether one whose sums stay in
//! registers does has been seen to change with code elsewhere. Where the time goes, they are asked for.

use pulp::Simd;

/// Number types that have vectors.
pub trait Lanes: Copy {
    /// As many numbers as the processor works at once.
    type Vector<S: Simd>: Copy;

    /// A vector of equal numbers.
    fn splat<S: Simd>(simd: S, value: Self) -> Self::Vector<S>;

    /// `a * b + c`, rounded once.
    fn multiply_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;

    /// The whole vectors from the slice's beginning.
    fn vectors<S: Simd>(numbers: &[Self]) -> &[Self::Vector<S>];

    /// The same to write to.
    fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [Self::Vector<S>];
}

macro_rules! lanes {
    ($number:ty, $vector:ident, $splat:ident, $multiply_add:ident, $of:ident, $of_mut:ident) => {
        impl Lanes for $number {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, value: Self) -> S::$vector {
                simd.$splat(value)
            }

            #[inline(always)]
            fn multiply_add<S: Simd>(
                simd: S,
                a: S::$vector,
                b: S::$vector,
                c: S::$vector,
            ) -> S::$vector {
                simd.$multiply_add(a, b, c)
            }

            #[inline(always)]
            fn vectors<S: Simd>(numbers: &[Self]) -> &[S::$vector] {
                S::$of(numbers).0
            }

            #[inline(always)]
            fn vectors_mut<S: Simd>(numbers: &mut [Self]) -> &mut [S::$vector] {
                S::$of_mut(numbers).0
            }
        }
    };
}

lanes!(
    f32,
    f32s,
    splat_f32s,
    mul_add_f32s,
    as_simd_f32s,
    as_mut_simd_f32s
);
lanes!(
    f64,
    f64s,
    splat_f64s,
    mul_add_f64s,
    as_simd_f64s,
    as_mut_simd_f64s
);
