//! The numbers that vectors are stored in, and the kernels over them.
//!
//! Vectors that are kept (points, gradients, history) are stored as the caller's type; every sum
//! is made in `f64`. So an `f32` solver loses to rounding only what its points and gradients lose.
//!
//! A sum runs over [`LANES`] partial sums, which are added in a fixed order: the bits are the same
//! on every processor, and the compiler can use whatever vector instructions there are.
//! `pulp` picks those at run time.

use std::fmt::Debug;

use num_traits::Float;

/// The storage of a solver's vectors: `f32` or `f64`.
pub trait Real: Float + Into<f64> + Default + Debug + Send + Sync + 'static {
    /// The distance from 1 to the next larger number of this type.
    const EPSILON: f64;

    /// The nearest number of this type.
    fn rounded(x: f64) -> Self;
}

impl Real for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;

    #[inline(always)]
    fn rounded(x: f64) -> Self {
        x as f32
    }
}

impl Real for f64 {
    const EPSILON: f64 = f64::EPSILON;

    #[inline(always)]
    fn rounded(x: f64) -> Self {
        x
    }
}

/// Runs `body` compiled for the widest vector instructions that this processor has.
///
/// `body` must be marked `#[inline(always)]` all the way down for that to reach its loops.
#[inline(always)]
pub(crate) fn vectorised<R>(body: impl FnOnce() -> R) -> R {
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

/// Numbers in the widest vector.
const WIDTH: usize = 8;
/// Four vectors: enough additions under way to hide the latency of one.
const LANES: usize = 4 * WIDTH;

/// The sum of the lanes, by halves.
#[inline(always)]
fn total(mut lanes: [f64; LANES]) -> f64 {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    lanes[0]
}

#[inline(always)]
fn dot_here<A: Real, B: Real>(a: &[A], b: &[B]) -> f64 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    // Loops of the vectors' width: the compiler makes scalar code of longer ones.
    let mut sums = [[0.0; WIDTH]; LANES / WIDTH];
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a.as_chunks::<WIDTH>().0, b.as_chunks::<WIDTH>().0);
        for (sums, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            let mut products = [0.0; WIDTH];
            for lane in 0..WIDTH {
                products[lane] = a[lane].into() * b[lane].into();
            }
            for lane in 0..WIDTH {
                sums[lane] += products[lane];
            }
        }
    }
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(sums.as_flattened());
    for (lane, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[lane] += a.into() * b.into();
    }
    total(lanes)
}

/// The inner product of two vectors of one length.
pub(crate) fn dot<A: Real, B: Real>(a: &[A], b: &[B]) -> f64 {
    vectorised(
        #[inline(always)]
        move || dot_here(a, b),
    )
}

/// The largest of `f` over the components of four vectors of one length, and 0.
pub(crate) fn largest<T: Real>(vectors: [&[T]; 4], f: impl Fn([T; 4]) -> f64) -> f64 {
    vectorised(
        #[inline(always)]
        move || {
            let [a, b, c, d] = vectors.map(<[T]>::as_chunks::<WIDTH>);
            let mut lanes = [0.0f64; WIDTH];
            for (((a, b), c), d) in a.0.iter().zip(b.0).zip(c.0).zip(d.0) {
                for lane in 0..WIDTH {
                    let x = f([a[lane], b[lane], c[lane], d[lane]]);
                    lanes[lane] = if x > lanes[lane] { x } else { lanes[lane] };
                }
            }
            for i in 0..a.1.len() {
                lanes[i] = lanes[i].max(f([a.1[i], b.1[i], c.1[i], d.1[i]]));
            }
            lanes.into_iter().fold(0.0, f64::max)
        },
    )
}

/// The least component; infinity of none. NaN is passed over.
pub(crate) fn least(v: &[f64]) -> f64 {
    vectorised(
        #[inline(always)]
        move || {
            let (blocks, rest) = v.as_chunks::<WIDTH>();
            let mut lanes = [f64::INFINITY; WIDTH];
            for block in blocks {
                for lane in 0..WIDTH {
                    let x = block[lane];
                    lanes[lane] = if x < lanes[lane] { x } else { lanes[lane] };
                }
            }
            lanes
                .iter()
                .chain(rest)
                .fold(f64::INFINITY, |least, &x| least.min(x))
        },
    )
}

/// The largest absolute value; NaN if there is one.
pub(crate) fn max_norm<T: Real>(v: &[T]) -> f64 {
    let larger = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
    v.iter().fold(0.0, |norm, &x| {
        if f64::is_nan(norm) {
            norm
        } else {
            larger(norm, x.into().abs())
        }
    })
}

/// The inner product of each row (`v.len()` values each) with `v`.
pub(crate) fn dots<T: Real>(rows: &[T], v: &[f64], out: &mut [f64]) {
    vectorised(
        #[inline(always)]
        move || {
            for (row, out) in rows.chunks_exact(v.len().max(1)).zip(out) {
                *out = dot_here(row, v);
            }
        },
    );
}

/// `out += a * row`.
pub(crate) fn axpy<T: Real>(a: f64, row: &[T], out: &mut [f64]) {
    vectorised(
        #[inline(always)]
        move || {
            for (out, &x) in out.iter_mut().zip(row) {
                *out += a * x.into();
            }
        },
    );
}

/// `out = sum_j coefficients[j] * rows[j]`, for rows of `out.len()` values each.
pub(crate) fn combine<T: Real>(coefficients: &[f64], rows: &[T], out: &mut [f64]) {
    /// Sums that fit the registers, so that a sum is written once and not once a row.
    const BLOCK: usize = 4 * WIDTH;
    let n = out.len();
    if n == 0 {
        return;
    }
    vectorised(
        #[inline(always)]
        move || {
            let rows = || coefficients.iter().zip(rows.chunks_exact(n));
            let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
            let done = blocks.len() * BLOCK;
            for (block, out) in blocks.iter_mut().enumerate() {
                let mut sums = [0.0; BLOCK];
                for (&a, row) in rows() {
                    let Some(row) = row[block * BLOCK..].first_chunk::<BLOCK>() else {
                        break;
                    };
                    for lane in 0..BLOCK {
                        sums[lane] += a * row[lane].into();
                    }
                }
                *out = sums;
            }
            rest.fill(0.0);
            for (&a, row) in rows() {
                for (out, &x) in rest.iter_mut().zip(&row[done..]) {
                    *out += a * x.into();
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector(n: usize) -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(-1.0..1.0, n)
    }

    proptest! {
        #[test]
        fn kernels_agree_with_plain_loops(
            (rows, v, n) in (1usize..200).prop_flat_map(|n| (vector(3 * n), vector(n), Just(n))),
        ) {
            let mut products = [0.0; 3];
            dots(&rows, &v, &mut products);
            let mut combined = vec![f64::NAN; n];
            combine(&products, &rows, &mut combined);
            let mut added = vec![0.0; n];
            let mut plain = vec![0.0; n];
            for (j, row) in rows.chunks(n).enumerate() {
                let sum: f64 = row.iter().zip(&v).map(|(a, b)| a * b).sum();
                prop_assert!((products[j] - sum).abs() < 1e-13);
                axpy(products[j], row, &mut added);
                for i in 0..n {
                    plain[i] += products[j] * row[i];
                }
            }
            let by = |better: fn(f64, f64) -> f64, start| v.iter().copied().fold(start, better);
            prop_assert_eq!(least(&v), by(f64::min, f64::INFINITY));
            let zeros = vec![0.0; n];
            let sum = |[a, b, c, d]: [f64; 4]| a + b + c + d;
            prop_assert_eq!(largest([&v, &zeros, &zeros, &zeros], sum), by(f64::max, 0.0));
            prop_assert_eq!(max_norm(&v), by(|a, b| a.max(b.abs()), 0.0));
            for i in 0..n {
                prop_assert!((combined[i] - plain[i]).abs() < 1e-12);
                prop_assert!((added[i] - plain[i]).abs() < 1e-12);
            }
        }
    }
}
