//! The circular reading of a convolution, as in the paper: the Fourier basis makes it block
//! diagonal, and the singular values of the small blocks are those of the whole operator.
//!
//! Along an axis, let the grid have N = stride M positions. The Fourier coefficient xi (of M) of an
//! output channel comes from the coefficients xi + l M, l below the stride, of the input channels,
//! which are aliased onto each other. So the block A(xi) has a row for each output channel and a
//! column for each input channel and each l, with the entries w^(xi + l M) / sqrt(stride), where w^
//! is the filter's Fourier transform; for two axes the factors and the numbers of aliases are
//! multiplied. (The paper's factor, stride^-2 for two axes, would not give the operator's singular
//! values: the explicit matrices of the tests disagree with it.) Padding only turns phases, which
//! changes no singular value.

use blindspot_net::Budget;
use faer::c64;
use rayon::prelude::*;

use super::dense::{complex_singular_values, rounding};
use super::layers::Convolution;

/// The floating-point operations that the blocks of one layer may take.
const MAX_OPERATIONS: f64 = 4e12;

/// The whole spectrum of a circular operator.
#[derive(Debug, Clone)]
pub(crate) struct Circular {
    /// All singular values, the largest first, repeated by multiplicity.
    pub(crate) values: Vec<f64>,
    /// A bound of each singular value's error.
    pub(crate) error: f64,
    /// Numbers of the operator's input, on the grid.
    pub(crate) cols: usize,
    /// Numbers of its output.
    pub(crate) rows: usize,
}

/// The grid for an input of `positions`: each axis rounded up to a multiple of its stride.
pub(super) fn grid(convolution: &Convolution<'_>, positions: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|axis| positions[axis].next_multiple_of(convolution.stride[axis]))
}

/// The singular values on a grid whose axes are multiples of the strides; None if that would take
/// too long, or more memory than allowed.
pub(crate) fn circular(
    convolution: &Convolution<'_>,
    grid: [usize; 2],
    budget: &Budget,
) -> Option<Circular> {
    let Convolution {
        groups,
        features,
        channels,
        ..
    } = *convolution;
    let coarse = [0, 1].map(|axis| grid[axis] / convolution.stride[axis]);
    // Positions that no window sees are columns of zeros, which change no singular value: where windows
    // lie apart the grid may be as narrow as they are.
    let stride = [0, 1].map(|axis| convolution.stride[axis].min(convolution.reach(axis)));
    let narrow = [0, 1].map(|axis| coarse[axis] * stride[axis]);
    let aliases = stride[0].checked_mul(stride[1])?;
    let (rows, cols) = (features, channels.checked_mul(aliases)?);
    let (short, long) = (rows.min(cols) as f64, rows.max(cols) as f64);
    let frequencies = coarse[0].checked_mul(coarse[1])?;
    let taps = convolution.kernel[0] * convolution.kernel[1];
    let distinct = if convolution.is_pointwise() {
        1
    } else {
        frequencies
    };
    let entries = rows as f64 * cols as f64 * taps as f64;
    let operations = (distinct * groups) as f64 * 8.0 * (short * short * long + entries);
    if operations > MAX_OPERATIONS {
        return None;
    }
    // Of each thread the factors of all taps, and a block that is decomposed; of all the values.
    let block = (aliases * taps + 4 * rows * cols) * size_of::<c64>();
    let all = frequencies.checked_mul(rows.min(cols) * groups + 4)? * 2 * size_of::<f64>();
    let threads = rayon::current_num_threads().min(distinct);
    if (block as u64)
        .checked_mul(threads as u64)?
        .checked_add(all as u64)?
        > budget.memory
    {
        return None;
    }
    // Frequencies with the multiplicity of their blocks.
    let blocks: Vec<([usize; 2], usize)> = if convolution.is_pointwise() {
        // All blocks are equal.
        vec![([0, 0], frequencies)]
    } else {
        // Weights are real: the block at -xi is the conjugate of the block at xi.
        (0..frequencies)
            .filter_map(|at| {
                let xi = [at / coarse[1], at % coarse[1]];
                let opposite = [0, 1].map(|axis| (coarse[axis] - xi[axis]) % coarse[axis]);
                match opposite.cmp(&xi) {
                    std::cmp::Ordering::Less => None,
                    std::cmp::Ordering::Equal => Some((xi, 1)),
                    std::cmp::Ordering::Greater => Some((xi, 2)),
                }
            })
            .collect()
    };
    let roots = [0, 1].map(|axis| roots(narrow[axis]));
    let found: Option<Vec<Vec<f64>>> = blocks
        .par_iter()
        .map(|&(xi, times)| {
            let phases: Vec<Vec<c64>> = (0..aliases)
                .map(|alias| {
                    let l = [alias / stride[1], alias % stride[1]];
                    let frequency = [0, 1].map(|axis| xi[axis] + l[axis] * coarse[axis]);
                    convolution.phases(frequency, &roots)
                })
                .collect();
            let mut values = Vec::new();
            for group in 0..groups {
                let element = |f: usize, column: usize| {
                    let (c, alias) = (column / aliases, column % aliases);
                    let taps = convolution.taps(group * features + f, c);
                    let sum = taps
                        .iter()
                        .zip(&phases[alias])
                        .fold(c64::new(0.0, 0.0), |sum, (&w, phase)| {
                            c64::new(sum.re + w * phase.re, sum.im + w * phase.im)
                        });
                    let scale = (aliases as f64).sqrt();
                    c64::new(sum.re / scale, sum.im / scale)
                };
                let of_block = complex_singular_values(rows, cols, element)?;
                values.extend(
                    of_block
                        .iter()
                        .flat_map(|&value| std::iter::repeat_n(value, times)),
                );
            }
            Some(values)
        })
        .collect();
    let mut values: Vec<f64> = found?.into_iter().flatten().collect();
    // Those of the columns of zeros, where they count.
    let true_cols = channels.checked_mul(grid[0])?.checked_mul(grid[1])?;
    let count = (features * frequencies).min(true_cols) * groups;
    values.resize(values.len().max(count), 0.0);
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    let largest = values.first().copied().unwrap_or(0.0);
    // The rounding of the entries: each is a sum of one product for each tap, and the root of the
    // number of taps times the Frobenius norm bounds the norm of the block of absolute values.
    let entries = (taps + 8) as f64 * f64::EPSILON * (taps as f64).sqrt() * convolution.frobenius();
    Some(Circular {
        error: rounding(rows, cols, largest) + entries,
        rows: features * groups * frequencies,
        cols: true_cols.checked_mul(groups)?,
        values,
    })
}

/// All roots of unity of an order.
fn roots(order: usize) -> Vec<c64> {
    let root = |i: usize| {
        let (sin, cos) = (std::f64::consts::TAU * i as f64 / order as f64).sin_cos();
        c64::new(cos, sin)
    };
    (0..order).map(root).collect()
}

impl Convolution<'_> {
    /// Whether each output position depends on the same input position alone.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1]
    }

    /// How many positions a window covers along an axis, those between its taps included.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// The factor of each tap of a filter in its Fourier coefficient at a frequency.
    fn phases(&self, frequency: [usize; 2], roots: &[Vec<c64>; 2]) -> Vec<c64> {
        let along = |axis: usize, tap: usize| {
            let order = roots[axis].len();
            // In integers, so that the angle is exact.
            let turns = frequency[axis] as u128 * (self.dilation[axis] * tap) as u128;
            roots[axis][(turns % order as u128) as usize]
        };
        let rows = (0..self.kernel[0])
            .flat_map(|ky| (0..self.kernel[1]).map(move |kx| along(0, ky) * along(1, kx)));
        rows.collect()
    }
}
