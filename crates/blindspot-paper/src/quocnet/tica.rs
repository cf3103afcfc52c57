//! Reconstruction TICA: the loss that one stage's filters are trained with, and its gradient.
//!
//! The sum over images x of |W2 W1' x - x|^2 + lambda sum_j sqrt(epsilon + H_j (W1' x)^2): W1
//! filters, W2 puts an image together again from what the filters gave, all fields at once, and H_j
//! adds up a pooling neighbourhood of one map (Le et al. 2012, section 3). Filtering by W1 or W2,
//! the way back, and the gradient with respect to either are the three products of [`Local`].
//!
//! A rank has some rows of positions ([`RowPartition`]). Every sum over positions is one over rows of
//! them, in order, whose terms are the sums of one row each: so its bits are the same for any number of
//! ranks.
//!
//! [`Local`]: blindspot_net::ops::Local

use std::ops::Range;

use blindspot_net::Real;
use blindspot_net::ops::Fields;
use blindspot_net::ops::tiles::{LANES, Lane, correlate, filter, scatter, tile};
use bytemuck::Pod;
use rayon::prelude::*;

use super::plan::{Plan, Size};
use super::pooling::{EPSILON, Pooling};
use super::row_partition::{RowPartition, Rows, halo, pipelined_sum};
use super::tica_loss::TicaLoss;
use super::tile_memory::{Layout, Memory};
use blindspot::run::communicator::{Communicator, all_gather};

/// One stage's loss as a function of its weights: a rank's part of it.
pub(crate) struct Tica<'a> {
    /// The ranks that the stage is divided among.
    ranks: &'a dyn Communicator,
    partition: RowPartition,
    /// The rows of the input that this part needs.
    needed: Rows,
    /// The fields of this part's positions, by places of the rows that it needs.
    fields: Fields,
    /// The fields of one row of positions, by places of the rows of the input that they cover.
    of_row: Fields,
    stride: usize,
    /// Positions across.
    across: usize,
    /// Rows of positions of the whole stage.
    down: usize,
    maps: usize,
    pool: usize,
    lambda: f64,
}

impl<'a> Tica<'a> {
    /// This rank's part of a stage; the ranks must be no more than its rows of positions.
    pub(crate) fn new(
        plan: &Plan,
        stage: usize,
        size: &Size,
        ranks: &'a dyn Communicator,
    ) -> Tica<'a> {
        let of = plan.stages[stage];
        let partition = RowPartition::new(size, of, ranks.count());
        let [planes, _, width] = size.input;
        let rows = partition.needed(ranks.rank());
        let windows = |height: usize| {
            let (fields, _) = Fields::windows([planes, height, width], of.field, of.stride)
                .expect("checked when the sizes were computed");
            fields
        };
        Tica {
            ranks,
            partition,
            fields: windows(rows.len()),
            of_row: windows(of.field),
            needed: Rows {
                planes,
                width,
                rows,
            },
            stride: of.stride,
            across: size.grid[1],
            down: size.grid[0],
            maps: size.maps,
            pool: of.pool,
            lambda: plan.lambda,
        }
    }

    /// Numbers in each of the two weights of this part, [positions, field, maps].
    pub(crate) fn weight_len(&self) -> usize {
        self.fields.places().len() * self.maps
    }

    /// Where this part's weights lie in those of the whole stage.
    pub(super) fn weights(&self) -> Range<usize> {
        let a_row = self.across * self.field_len();
        let rows = self.partition.positions(self.ranks.rank());
        rows.start * a_row..rows.end * a_row
    }

    /// The rows of the stage's input that a part needs.
    pub(super) fn needed(&self, part: usize) -> Rows {
        Rows {
            rows: self.partition.needed(part),
            ..self.needed.clone()
        }
    }

    /// Numbers in the weights of one position.
    fn field_len(&self) -> usize {
        self.fields.field_len() * self.maps
    }

    /// The loss of a batch of images on all ranks, of which each has the rows that it needs, one image
    /// after the other. If `gradients` are given, the gradient of the sum with respect to this part's W1
    /// and W2 is written to them. The same bits for any number of ranks and threads.
    pub(crate) fn evaluate<T: Real + Pod>(
        &self,
        images: &[T],
        [encode, decode]: [&[T]; 2],
        gradients: Option<[&mut [T]; 2]>,
        memory: &mut Memory<T>,
    ) -> TicaLoss {
        let layout = self.layout(images.len());
        memory.fit(&layout);
        tile(images, layout.input, &mut memory.x);
        let tiles = memory.tiles(&layout).into_par_iter();
        tiles.for_each(|tile| {
            let h = &mut tile.h[layout.own.clone()];
            // Positions outermost: their weights are read once for the tiles of a thread.
            self.filter(encode, tile.x, h);
            self.reconstruct(decode, h, tile.e, tile.waiting);
        });
        self.complete_shared_rows(&layout, memory);
        let errors = self.errors(&memory.x, &mut memory.e);
        self.exchange_halo(&layout, memory);
        let pooling = self.pooling();
        let tiles = memory.tiles(&layout).into_par_iter();
        let pooled: Vec<Vec<f64>> = tiles
            .map(|tile| {
                self.filter(decode, tile.e, tile.dh);
                pooling.add(tile.h, tile.dh)
            })
            .collect();
        if let Some(gradients) = gradients {
            self.gradients(&layout, memory, gradients);
        }
        let mut total = self.sum(&errors, &pooled);
        // The places that fill up the last tile are images of zeros.
        let filled = (layout.tiles * LANES - images.len() / layout.input) as f64;
        total.sparsity -= filled * EPSILON.sqrt() * self.pooled_len() as f64;
        total
    }

    /// How a batch of images with `numbers` numbers in this part's rows lies in memory.
    fn layout(&self, numbers: usize) -> Layout {
        let part = self.ranks.rank();
        let pooled = Rows {
            planes: 1,
            width: self.across * self.maps,
            rows: self.partition.pooled(part),
        };
        let own = pooled.places(&self.partition.positions(part)).next();
        let input = self.needed.len();
        Layout {
            tiles: (numbers / input).div_ceil(LANES),
            input,
            own: own.expect("one plane"),
            pooled,
            waiting: self.waiting() * self.row_len(),
        }
    }

    /// The responses of this part's positions to a tile of inputs.
    fn filter<T: Real>(&self, weights: &[T], inputs: &[Lane<T>], responses: &mut [Lane<T>]) {
        let positions = self.fields.each().zip(rows(self.maps));
        for ((places, rows), w) in positions.zip(weights.chunks_exact(self.field_len())) {
            filter(places, w, inputs, &mut responses[rows]);
        }
    }

    /// Ends the reconstruction of the rows that several parts need: each adds what has waited for those
    /// before it.
    fn complete_shared_rows<T: Real + Pod>(&self, layout: &Layout, memory: &mut Memory<T>) {
        let Memory { e, waiting, .. } = memory;
        pipelined_sum(self.ranks, &self.partition, &self.needed, e, |e| {
            let tiles = e.chunks_exact_mut(layout.input);
            for (e, waiting) in tiles.zip(waiting.chunks_exact(layout.waiting)) {
                for (row, term) in waiting.chunks_exact(self.row_len()).enumerate() {
                    self.add(row, term, 0..self.shared(), e);
                }
            }
        });
    }

    /// Brings this part the errors and the responses that it needs of other parts' rows.
    fn exchange_halo<T: Pod>(&self, layout: &Layout, memory: &mut Memory<T>) {
        let partition = &self.partition;
        halo(
            self.ranks,
            &self.needed,
            &mut memory.e,
            |part| partition.owned(part),
            |part| partition.needed(part),
        );
        halo(
            self.ranks,
            &layout.pooled,
            &mut memory.h,
            |part| partition.positions(part),
            |part| partition.pooled(part),
        );
    }

    /// L2 pooling of this part's rows.
    fn pooling(&self) -> Pooling {
        let part = self.ranks.rank();
        Pooling {
            width: self.across,
            maps: self.maps,
            pool: self.pool,
            lambda: self.lambda,
            rows: self.partition.pooled(part),
            own: self.partition.positions(part),
            summed: self.partition.neighbourhoods(part),
            all: self.down + 1 - self.pool,
        }
    }

    /// The gradients with respect to this part's weights, position by position: sums over the tiles, in
    /// order.
    fn gradients<T: Real>(
        &self,
        layout: &Layout,
        memory: &Memory<T>,
        [by_encode, by_decode]: [&mut [T]; 2],
    ) {
        let field = self.field_len();
        let Memory { x, h, e, dh, .. } = memory;
        by_encode
            .par_chunks_mut(field)
            .zip(by_decode.par_chunks_mut(field))
            .zip(self.fields.places().par_chunks(self.fields.field_len()))
            .enumerate()
            .for_each(|(p, ((by_encode, by_decode), places))| {
                by_encode.fill(T::zero());
                by_decode.fill(T::zero());
                let maps = p * self.maps..(p + 1) * self.maps;
                for t in 0..layout.tiles {
                    let inputs = t * layout.input..(t + 1) * layout.input;
                    let h = &h[t * layout.pooled.len()..][layout.own.clone()][maps.clone()];
                    let dh = &dh[t * layout.own.len()..][maps.clone()];
                    correlate(places, &e[inputs.clone()], h, by_decode);
                    correlate(places, &x[inputs], dh, by_encode);
                }
                by_decode.iter_mut().for_each(|g| *g += *g);
            });
    }

    /// Ties the weights of all positions: makes the gradient of each position the sum over all of them,
    /// scaled so that chance has the size that it has in the gradient of one.
    pub(super) fn tie_weights(&self, gradient: &mut [f32]) {
        let length = self.field_len();
        let add = |sum: &mut [f32], terms: &mut dyn Iterator<Item = &[f32]>| {
            for term in terms {
                sum.iter_mut()
                    .zip(term)
                    .for_each(|(sum, term)| *sum += term);
            }
        };
        let mut of_rows = vec![0.0f32; gradient.len() / self.across];
        of_rows
            .par_chunks_exact_mut(length)
            .zip(gradient.par_chunks_exact(length * self.across))
            .for_each(|(sum, row)| add(sum, &mut row.chunks_exact(length)));
        let mut common = vec![0.0f32; length];
        for of_rows in all_gather(self.ranks, bytemuck::cast_slice(&of_rows).to_vec()) {
            let of_rows: Vec<f32> = bytemuck::pod_collect_to_vec(&of_rows);
            add(&mut common, &mut of_rows.chunks_exact(length));
        }
        let scale = ((self.down * self.across) as f32).sqrt().recip();
        common.iter_mut().for_each(|sum| *sum *= scale);
        let each = gradient.par_chunks_exact_mut(length);
        each.for_each(|of_one| of_one.copy_from_slice(&common));
    }

    /// Numbers in the rows of the input that one row of positions sees.
    fn row_len(&self) -> usize {
        let field = self.of_row.field_len() / self.needed.planes;
        self.needed.planes * field.isqrt() * self.needed.width
    }

    /// Rows of what this part sees that parts before it see, too.
    fn shared(&self) -> usize {
        self.partition.shared_above(self.ranks.rank()).len()
    }

    /// Rows of positions that see some of those.
    fn waiting(&self) -> usize {
        let rows = self.partition.positions(self.ranks.rank()).len();
        self.shared().div_ceil(self.stride).min(rows)
    }

    /// One tile's reconstruction from the responses of this part, without what its first rows of positions
    /// add to rows that parts before it see: that is left in `waiting`.
    fn reconstruct<T: Real>(
        &self,
        decode: &[T],
        h: &[Lane<T>],
        e: &mut [Lane<T>],
        waiting: &mut [Lane<T>],
    ) {
        let zero = [T::zero(); LANES];
        e.fill(zero);
        let mut waiting = waiting.chunks_exact_mut(self.row_len());
        let mut memory = vec![zero; self.row_len()];
        let weights = decode.chunks_exact(self.across * self.field_len());
        let responses = h.chunks_exact(self.across * self.maps);
        for (row, (weights, h)) in weights.zip(responses).enumerate() {
            let term = waiting.next().unwrap_or(&mut memory);
            term.fill(zero);
            let positions = self.of_row.each().zip(h.chunks_exact(self.maps));
            for ((places, h), w) in positions.zip(weights.chunks_exact(self.field_len())) {
                scatter(places, w, h, term);
            }
            self.add(row, term, self.shared()..self.needed.rows.len(), e);
        }
    }

    /// Adds what a row of positions gives to the reconstruction, in some of the rows that this part sees,
    /// counted from its first.
    fn add<T: Real>(&self, row: usize, term: &[Lane<T>], some: Range<usize>, e: &mut [Lane<T>]) {
        let (width, first) = (self.needed.width, row * self.stride);
        let planes = e.chunks_exact_mut(self.needed.rows.len() * width);
        for (e, term) in planes.zip(term.chunks_exact(self.row_len() / self.needed.planes)) {
            let end = (first + term.len() / width).min(some.end);
            let begin = first.max(some.start);
            if begin < end {
                let term = &term[(begin - first) * width..(end - first) * width];
                for (sum, x) in e[begin * width..end * width].iter_mut().zip(term) {
                    for lane in 0..LANES {
                        sum[lane] += x[lane];
                    }
                }
            }
        }
    }

    /// Makes errors of the reconstructions in this part's own rows. Gives for each of them the sum of
    /// squares of the errors, and of the images.
    fn errors<T: Real>(&self, x: &[Lane<T>], e: &mut [Lane<T>]) -> Vec<[f64; 2]> {
        let own = self.partition.owned(self.ranks.rank());
        let (from, width) = (self.needed.len(), self.needed.width);
        let of_tiles: Vec<Vec<[f64; 2]>> = x
            .par_chunks(from)
            .zip(e.par_chunks_mut(from))
            .map(|(x, e)| {
                let mut of_rows = vec![[0.0; 2]; own.len()];
                for place in self.needed.places(&own) {
                    let rows = e[place.clone()]
                        .chunks_mut(width)
                        .zip(x[place].chunks(width));
                    for (sums, (e, x)) in of_rows.iter_mut().zip(rows) {
                        for (e, x) in e.iter_mut().zip(x) {
                            for lane in 0..LANES {
                                e[lane] -= x[lane];
                                sums[0] += (e[lane] * e[lane]).f64();
                                sums[1] += (x[lane] * x[lane]).f64();
                            }
                        }
                    }
                }
                of_rows
            })
            .collect();
        let of_row = |row: usize| {
            let tiles = of_tiles.iter().map(|rows| rows[row]);
            tiles.fold([0.0; 2], |sum, part| [sum[0] + part[0], sum[1] + part[1]])
        };
        (0..own.len()).map(of_row).collect()
    }

    /// The loss of all parts: of their rows, in order.
    fn sum(&self, errors: &[[f64; 2]], sparsities: &[Vec<f64>]) -> TicaLoss {
        let rows = self.partition.neighbourhoods(self.ranks.rank()).len();
        let of_row = |row: usize| sparsities.iter().map(|tile| tile[row]).sum::<f64>();
        let sparsities = (0..rows).map(of_row);
        let numbers: Vec<f64> = errors
            .as_flattened()
            .iter()
            .copied()
            .chain(sparsities)
            .collect();
        let mut total = TicaLoss::default();
        let all = all_gather(self.ranks, bytemuck::cast_slice(&numbers).to_vec());
        for (part, numbers) in all.iter().enumerate() {
            let numbers: Vec<f64> = bytemuck::pod_collect_to_vec(numbers);
            let (errors, sparsities) = numbers.split_at(2 * self.partition.owned(part).len());
            for error in errors.as_chunks().0 {
                let [error, energy]: &[f64; 2] = error;
                total.error += error;
                total.energy += energy;
            }
            sparsities.iter().for_each(|sum| total.sparsity += sum);
        }
        total
    }

    /// Pooling neighbourhoods of all maps, of the whole stage.
    fn pooled_len(&self) -> usize {
        let [down, across] = [self.down, self.across].map(|size| size + 1 - self.pool);
        down * across * self.maps
    }
}

/// The rows of each position's maps, one position after the other.
fn rows(maps: usize) -> impl Iterator<Item = Range<usize>> {
    (0..).map(move |p| p * maps..(p + 1) * maps)
}
