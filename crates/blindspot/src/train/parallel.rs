//! Sums over a data set, spread over threads, whose bits do not depend on how many there are.
//!
//! The set is cut into chunks of [`CHUNK`] inputs and the chunks are dealt out to [`LANES`] partial
//! sums; each partial sum runs in order on whichever thread takes it, and the partial sums are
//! added in order. Both numbers are fixed, so the order of every addition is.

use std::ops::Range;
use std::sync::Mutex;

use blindspot_net::{Buffers, Evaluator, Network};
use rayon::prelude::*;

/// Inputs worked on at once: some 500 keeps a chunk's activations in the cache of one core, and
/// is a multiple of the blocks that matrix products are made of.
pub(crate) const CHUNK: usize = 512;
/// Partial sums: enough to keep many cores busy, few enough to hold a gradient each.
const LANES: usize = 32;

/// A partial sum: of the loss, of the gradient by weight, and of whatever else is counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partial {
    pub(crate) loss: f64,
    pub(crate) wrong: usize,
    pub(crate) gradient: Vec<Vec<f32>>,
    pub(crate) sums: Vec<f64>,
}

/// The partial sums and the threads' memory, kept from one pass to the next.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    partials: Vec<Partial>,
    buffers: Mutex<Vec<[Buffers<f32>; 2]>>,
}

impl Lanes {
    /// Runs `work` on every chunk of `count` inputs: it gets the chunk's range, an evaluator for
    /// each of two networks, and the partial sum to add to, whose gradient has the shapes `lengths`.
    pub(crate) fn run(
        &mut self,
        networks: [&Network<f32>; 2],
        count: usize,
        lengths: &[usize],
        sums: usize,
        work: impl Fn(Range<usize>, &mut [Evaluator<'_, f32>; 2], &mut Partial) + Sync,
    ) {
        self.partials.resize_with(LANES, Partial::default);
        let buffers = &self.buffers;
        self.partials
            .par_iter_mut()
            .enumerate()
            .for_each(|(lane, partial)| {
                partial.loss = 0.0;
                partial.wrong = 0;
                partial.sums.clear();
                partial.sums.resize(sums, 0.0);
                partial.gradient.resize_with(lengths.len(), Vec::new);
                for (gradient, &length) in partial.gradient.iter_mut().zip(lengths) {
                    gradient.clear();
                    gradient.resize(length, 0.0);
                }
                let taken = buffers
                    .lock()
                    .expect("no thread panics with the lock held")
                    .pop();
                let [first, second] = taken.unwrap_or_default();
                let mut evaluators = [
                    Evaluator::with_buffers(networks[0], first),
                    Evaluator::with_buffers(networks[1], second),
                ];
                let mut start = lane * CHUNK;
                while start < count {
                    work(start..count.min(start + CHUNK), &mut evaluators, partial);
                    start += LANES * CHUNK;
                }
                let left = evaluators.map(Evaluator::into_buffers);
                buffers
                    .lock()
                    .expect("no thread panics with the lock held")
                    .push(left);
            });
    }

    /// The partial sums of the last run, in order.
    pub(crate) fn partials(&self) -> &[Partial] {
        &self.partials
    }

    /// Adds the gradients up, in order, times `scale`, into one vector, weight after weight.
    pub(crate) fn gradient(&self, scale: f64, out: &mut [f64]) {
        const BLOCK: usize = 4096;
        let mut rest = out;
        for weight in 0..self
            .partials
            .first()
            .map_or(0, |partial| partial.gradient.len())
        {
            let length = self.partials[0].gradient[weight].len();
            let (place, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            place
                .par_chunks_mut(BLOCK)
                .enumerate()
                .for_each(|(block, place)| {
                    place.fill(0.0);
                    for partial in &self.partials {
                        let values = &partial.gradient[weight][block * BLOCK..];
                        for (sum, &value) in place.iter_mut().zip(values) {
                            *sum += f64::from(value);
                        }
                    }
                    place.iter_mut().for_each(|sum| *sum *= scale);
                });
        }
    }
}
