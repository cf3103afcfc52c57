//! What a stage sees of an image.

use blindspot_data::ImageSet;
use blindspot_net::{Evaluator, Network};
use rayon::prelude::*;

use super::super::row_partition::Rows;
use blindspot::inputs::{InputError, read_batch};
use blindspot::run::communicator::{Communicator, all_to_all};
use blindspot::run::random::Stream;

/// Images that a thread computes a stage's inputs of at a time.
const PART: usize = 16;
/// Images that the mean is taken over.
const OF_MEAN: usize = 256;

/// The stages below, trained already, and the images.
pub(super) struct FrozenStages<'a> {
    pub(super) network: Network<f32>,
    pub(super) images: &'a ImageSet,
}

impl FrozenStages<'_> {
    /// The stage's inputs of some images, one after the other.
    ///
    /// # Errors
    /// [`InputError`] where an image can't be read.
    pub(super) fn of(&self, indices: &[usize]) -> Result<Vec<f32>, InputError> {
        let length = self.network.output_len();
        let mut values = vec![0.0; indices.len() * length];
        values
            .par_chunks_mut(PART * length)
            .zip(indices.par_chunks(PART))
            .try_for_each_init(
                || Evaluator::new(&self.network),
                |evaluator, (values, indices)| {
                    let places = evaluator.input(indices.len());
                    read_batch(self.images, indices.iter().copied(), places)?;
                    values.copy_from_slice(evaluator.forward());
                    Ok::<(), InputError>(())
                },
            )?;
        Ok(values)
    }

    /// The rows of the same that a rank needs, where `needed` says which each of them does. The images are
    /// dealt out to the ranks, which compute all rows of theirs.
    ///
    /// # Errors
    /// [`InputError`] where an image can't be read. Other ranks then wait for this one in vain: the job
    /// has to end.
    pub(super) fn rows_of(
        &self,
        indices: &[usize],
        ranks: &dyn Communicator,
        needed: impl Fn(usize) -> Rows,
    ) -> Result<Vec<f32>, InputError> {
        let (rank, count) = (ranks.rank(), ranks.count());
        if count == 1 {
            return self.of(indices);
        }
        let first = |rank: usize| rank * indices.len() / count;
        let values = self.of(&indices[first(rank)..first(rank + 1)])?;
        let height = self.network.output_len() / (needed(rank).planes * needed(rank).width);
        let whole = Rows {
            rows: 0..height,
            ..needed(rank)
        };
        let parts = (0..count).map(|to| whole.read(&values, &needed(to).rows));
        let parts = all_to_all(ranks, parts.collect());
        let parts = parts.iter().flat_map(|part| {
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(part);
            values
        });
        Ok(parts.collect())
    }

    /// The mean of each of `maps` maps, over some of the images.
    ///
    /// # Errors
    /// [`InputError`] where an image can't be read.
    pub(super) fn mean(&self, maps: usize, seed: u64) -> Result<Vec<f32>, InputError> {
        let mut order = Stream::new(seed, "images of the mean", 0).order(self.images.len());
        order.truncate(OF_MEAN);
        let values = self.of(&order)?;
        let area = self.network.output_len() / maps;
        let mut sums = vec![0.0f64; maps];
        for (i, of_map) in values.chunks_exact(area).enumerate() {
            sums[i % maps] += of_map.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
        let count = (order.len() * area) as f64;
        Ok(sums.into_iter().map(|sum| (sum / count) as f32).collect())
    }
}
