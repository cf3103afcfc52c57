//! What a stage sees of an image.

use blindspot_data::ImageSet;
use blindspot_net::{Evaluator, Network};
use rayon::prelude::*;

use super::super::division::Rows;
use blindspot::inputs::write_batch;
use blindspot::run::random::Stream;
use blindspot::run::ranks::{Ranks, exchange};

/// Images that a thread computes a stage's inputs of at a time.
const PART: usize = 16;
/// Images that the mean is taken over.
const OF_MEAN: usize = 256;

/// The stages below, trained already, and the images.
pub(super) struct Below<'a> {
    pub(super) network: Network<f32>,
    pub(super) images: &'a ImageSet,
}

impl Below<'_> {
    /// The stage's inputs of some images, one after the other.
    pub(super) fn of(&self, indices: &[usize]) -> Vec<f32> {
        let length = self.network.output_len();
        let mut values = vec![0.0; indices.len() * length];
        values
            .par_chunks_mut(PART * length)
            .zip(indices.par_chunks(PART))
            .for_each_init(
                || Evaluator::new(&self.network),
                |evaluator, (values, indices)| {
                    let places = evaluator.input(indices.len());
                    write_batch(self.images, indices.iter().copied(), places);
                    values.copy_from_slice(evaluator.forward());
                },
            );
        values
    }

    /// The rows of the same that a rank needs, where `seen` says which each of them does. The images are
    /// dealt out to the ranks, which compute all rows of theirs.
    pub(super) fn rows_of(
        &self,
        indices: &[usize],
        ranks: &dyn Ranks,
        seen: impl Fn(usize) -> Rows,
    ) -> Vec<f32> {
        let (rank, count) = (ranks.rank(), ranks.count());
        if count == 1 {
            return self.of(indices);
        }
        let first = |rank: usize| rank * indices.len() / count;
        let values = self.of(&indices[first(rank)..first(rank + 1)]);
        let height = self.network.output_len() / (seen(rank).planes * seen(rank).width);
        let whole = Rows {
            rows: 0..height,
            ..seen(rank)
        };
        let parts = (0..count).map(|to| whole.read(&values, &seen(to).rows));
        let parts = exchange(ranks, parts.collect());
        let parts = parts.iter().flat_map(|part| {
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(part);
            values
        });
        parts.collect()
    }

    /// The mean of each of `maps` maps, over some of the images.
    pub(super) fn mean(&self, maps: usize, seed: u64) -> Vec<f32> {
        let mut order = Stream::new(seed, "images of the mean", 0).order(self.images.len());
        order.truncate(OF_MEAN);
        let values = self.of(&order);
        let area = self.network.output_len() / maps;
        let mut sums = vec![0.0f64; maps];
        for (i, of_map) in values.chunks_exact(area).enumerate() {
            sums[i % maps] += of_map.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
        let count = (order.len() * area) as f64;
        let mean = sums.into_iter().map(|sum| (sum / count) as f32);
        // Those of a file that broke meanwhile are NaN; the training says so.
        mean.map(|mean| if mean.is_finite() { mean } else { 0.0 })
            .collect()
    }
}
