//! L2 pooling of a stage's responses: the sum of the pooled responses, and its gradient.

use std::ops::Range;

use blindspot_net::ops::tiles::{LANES, Lane};
use blindspot_net::{Real, vectorised};

/// Added under the root of L2 pooling.
pub(crate) const EPSILON: f64 = 1e-4;

/// Pooling over square neighbourhoods of some rows of positions, [rows, across, maps].
#[derive(Debug, Clone)]
pub(super) struct Pooling {
    /// Positions across.
    pub(super) width: usize,
    pub(super) maps: usize,
    /// Side of a neighbourhood.
    pub(super) pool: usize,
    /// Weight of the sum in the loss.
    pub(super) lambda: f64,
    /// The rows of positions whose responses are given.
    pub(super) rows: Range<usize>,
    /// The rows of positions whose gradient is asked for.
    pub(super) own: Range<usize>,
    /// The rows of neighbourhoods that are summed up: those that begin in these.
    pub(super) summed: Range<usize>,
    /// How many rows of neighbourhoods there are in all.
    pub(super) all: usize,
}

impl Pooling {
    /// The sums of one tile's pooled responses, one for each row of neighbourhoods; from the gradient
    /// `dh` of half the error with respect to the own rows of the responses `h` to that of the loss.
    pub(super) fn add<T: Real>(&self, h: &[Lane<T>], dh: &mut [Lane<T>]) -> Vec<f64> {
        vectorised(
            #[inline(always)]
            move || self.sums(h, dh),
        )
    }

    #[inline(always)]
    fn sums<T: Real>(&self, h: &[Lane<T>], dh: &mut [Lane<T>]) -> Vec<f64> {
        let (height, width, maps) = (self.rows.len(), self.width, self.maps);
        let across = width + 1 - self.pool;
        let row = |y: usize, x: usize| (y * width + x) * maps;
        let (epsilon, lambda) = (T::of(EPSILON), T::of(self.lambda));
        // Sums along the rows, then along the columns.
        let mut along = vec![[T::zero(); LANES]; height * across * maps];
        for y in 0..height {
            for x in 0..across {
                let out = &mut along[(y * across + x) * maps..][..maps];
                for i in 0..self.pool {
                    for (sum, h) in out.iter_mut().zip(&h[row(y, x + i)..][..maps]) {
                        for lane in 0..LANES {
                            sum[lane] = h[lane].mul_add(h[lane], sum[lane]);
                        }
                    }
                }
            }
        }
        let mut totals = vec![0.0; self.summed.len()];
        let mut inverse = vec![[T::zero(); LANES]; height * across * maps];
        let stride = across * maps;
        let whole = self.rows.start..self.all.min((self.rows.end + 1).saturating_sub(self.pool));
        for neighbourhoods in whole {
            let y = neighbourhoods - self.rows.start;
            let mut total = 0.0;
            for i in 0..stride {
                let mut sum = [epsilon; LANES];
                for j in 0..self.pool {
                    let part = &along[(y + j) * stride + i];
                    for lane in 0..LANES {
                        sum[lane] += part[lane];
                    }
                }
                let mut roots = T::zero();
                for value in &mut sum {
                    let root = value.sqrt();
                    roots += root;
                    *value = lambda / root;
                }
                total += roots.f64();
                for j in 0..self.pool {
                    let place = &mut inverse[(y + j) * stride + i];
                    for lane in 0..LANES {
                        place[lane] += sum[lane];
                    }
                }
            }
            if self.summed.contains(&neighbourhoods) {
                totals[neighbourhoods - self.summed.start] = total;
            }
        }
        let before = self.own.start - self.rows.start;
        for y in 0..self.own.len() {
            for x in 0..width {
                let windows = x.saturating_sub(self.pool - 1)..across.min(x + 1);
                for m in 0..maps {
                    let mut sum = [T::zero(); LANES];
                    for x in windows.clone() {
                        let part = &inverse[((before + y) * across + x) * maps + m];
                        for lane in 0..LANES {
                            sum[lane] += part[lane];
                        }
                    }
                    let (dh, h) = (&mut dh[row(y, x) + m], &h[row(before + y, x) + m]);
                    for lane in 0..LANES {
                        dh[lane] = h[lane].mul_add(sum[lane], dh[lane] + dh[lane]);
                    }
                }
            }
        }
        totals
    }
}
