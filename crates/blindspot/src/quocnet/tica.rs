//! Reconstruction TICA: the loss that one stage's filters are trained with, and its gradient.
//!
//! The sum over images x of |W2 W1' x - x|^2 + lambda sum_j sqrt(epsilon + H_j (W1' x)^2): W1
//! filters, W2 puts an image together again from what the filters gave, all fields at once, and H_j
//! adds up a pooling neighbourhood of one map (Le et al. 2012, section 3). Filtering by W1 or W2,
//! the way back, and the gradient with respect to either are the three products of [`Local`].
//!
//! [`Local`]: blindspot_net::ops::Local

use blindspot_net::Real;
use blindspot_net::ops::Fields;
use blindspot_net::ops::tiles::{LANES, Lane, correlate, filter, scatter, tile};
use rayon::prelude::*;

/// Added under the root of L2 pooling.
pub(crate) const EPSILON: f64 = 1e-4;

/// One stage's loss as a function of its weights.
#[derive(Debug, Clone)]
pub(crate) struct Tica {
    pub(crate) fields: Fields,
    /// Positions down and across.
    pub(crate) grid: [usize; 2],
    pub(crate) maps: usize,
    /// Side of a pooling neighbourhood.
    pub(crate) pool: usize,
    /// How many numbers an image has.
    pub(crate) input_len: usize,
    pub(crate) lambda: f64,
}

/// The two parts of the loss, summed over images.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct TicaLoss {
    /// Squared error of the reconstructions.
    pub(crate) error: f64,
    /// Sum of the pooled responses, without lambda.
    pub(crate) sparsity: f64,
    /// Sum of squares of the images themselves, to compare the error with.
    pub(crate) energy: f64,
}

impl TicaLoss {
    /// Adds that of other images.
    pub(crate) fn add(&mut self, other: TicaLoss) {
        self.error += other.error;
        self.sparsity += other.sparsity;
        self.energy += other.energy;
    }
}

/// The memory of a batch: kept from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory<T> {
    x: Vec<Lane<T>>,
    /// What the filters gave.
    h: Vec<Lane<T>>,
    /// The reconstruction's error.
    e: Vec<Lane<T>>,
    /// The gradient with respect to `h`.
    dh: Vec<Lane<T>>,
}

impl Tica {
    /// Numbers in each of the two weights, [positions, field, maps].
    pub(crate) fn weight_len(&self) -> usize {
        self.fields.places().len() * self.maps
    }

    /// The loss of a batch of images, one after the other; where `gradients` are given, the
    /// gradient of the sum with respect to W1 and W2 is written to them. The same bits for any
    /// number of threads.
    pub(crate) fn evaluate<T: Real>(
        &self,
        images: &[T],
        [encode, decode]: [&[T]; 2],
        gradients: Option<[&mut [T]; 2]>,
        memory: &mut Memory<T>,
    ) -> TicaLoss {
        let (from, to) = (self.input_len, self.fields.count() * self.maps);
        let count = (images.len() / from).div_ceil(LANES);
        let zero = [T::zero(); LANES];
        let Memory { x, h, e, dh } = memory;
        for (place, length) in [
            (&mut *x, from),
            (&mut *e, from),
            (&mut *h, to),
            (&mut *dh, to),
        ] {
            place.resize(count * length, zero);
        }
        tile(images, from, x);
        let field = self.fields.field_len() * self.maps;
        // Positions outermost: their weights are read once for the tiles of a thread.
        let parts: Vec<TicaLoss> = x
            .par_chunks(from)
            .zip(e.par_chunks_mut(from))
            .zip(h.par_chunks_mut(to).zip(dh.par_chunks_mut(to)))
            .map(|((x, e), (h, dh))| {
                let each = || self.fields.each().zip(rows(self.maps));
                for ((places, rows), w) in each().zip(encode.chunks_exact(field)) {
                    filter(places, w, x, &mut h[rows]);
                }
                e.fill(zero);
                for ((places, rows), w) in each().zip(decode.chunks_exact(field)) {
                    scatter(places, w, &h[rows], e);
                }
                let mut loss = TicaLoss::default();
                for (e, x) in e.iter_mut().zip(x) {
                    let mut sums = [0.0; 2];
                    for lane in 0..LANES {
                        e[lane] -= x[lane];
                        sums[0] += (e[lane] * e[lane]).f64();
                        sums[1] += (x[lane] * x[lane]).f64();
                    }
                    loss.error += sums[0];
                    loss.energy += sums[1];
                }
                for ((places, rows), w) in each().zip(decode.chunks_exact(field)) {
                    filter(places, w, e, &mut dh[rows]);
                }
                loss.sparsity = self.pooled(h, dh);
                loss
            })
            .collect();
        let mut total = TicaLoss::default();
        parts.into_iter().for_each(|part| total.add(part));
        // The places that fill up the last tile are images of zeros.
        let filled = (count * LANES - images.len() / from) as f64;
        total.sparsity -= filled * EPSILON.sqrt() * self.pooled_len() as f64;
        if let Some([by_encode, by_decode]) = gradients {
            by_encode
                .par_chunks_mut(field)
                .zip(by_decode.par_chunks_mut(field))
                .zip(self.fields.places().par_chunks(self.fields.field_len()))
                .enumerate()
                .for_each(|(p, ((by_encode, by_decode), places))| {
                    by_encode.fill(T::zero());
                    by_decode.fill(T::zero());
                    let rows = p * self.maps..(p + 1) * self.maps;
                    for t in 0..count {
                        let [x, e] = [&x, &e].map(|values| &values[t * from..(t + 1) * from]);
                        let [h, dh] = [&h, &dh].map(|values| &values[t * to..][rows.clone()]);
                        correlate(places, e, h, by_decode);
                        correlate(places, x, dh, by_encode);
                    }
                    by_decode.iter_mut().for_each(|g| *g += *g);
                });
        }
        total
    }

    /// Pooling neighbourhoods of all maps.
    fn pooled_len(&self) -> usize {
        let [down, across] = self.grid.map(|size| size + 1 - self.pool);
        down * across * self.maps
    }

    /// The sum of one tile's pooled responses; from the gradient of half the error with respect to
    /// the filters' responses to that of the loss.
    fn pooled<T: Real>(&self, h: &[Lane<T>], dh: &mut [Lane<T>]) -> f64 {
        let ([height, width], maps) = (self.grid, self.maps);
        let [down, across] = self.grid.map(|size| size + 1 - self.pool);
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
        let mut total = 0.0;
        let mut inverse = vec![[T::zero(); LANES]; height * across * maps];
        let stride = across * maps;
        for y in 0..down {
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
        }
        for y in 0..height {
            for x in 0..width {
                let windows = x.saturating_sub(self.pool - 1)..across.min(x + 1);
                for m in 0..maps {
                    let mut sum = [T::zero(); LANES];
                    for x in windows.clone() {
                        let part = &inverse[(y * across + x) * maps + m];
                        for lane in 0..LANES {
                            sum[lane] += part[lane];
                        }
                    }
                    let (dh, h) = (&mut dh[row(y, x) + m], &h[row(y, x) + m]);
                    for lane in 0..LANES {
                        dh[lane] = h[lane].mul_add(sum[lane], dh[lane] + dh[lane]);
                    }
                }
            }
        }
        total
    }
}

/// The rows of each position's maps, one position after the other.
fn rows(maps: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..).map(move |p| p * maps..(p + 1) * maps)
}
