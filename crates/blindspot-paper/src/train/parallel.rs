//! Sums over a data set, spread over ranks and threads, whose bits do not depend on how many there
//! are.
//!
//! The set is cut into chunks of [`CHUNK`] inputs and the chunks are dealt out to [`LANES`] partial
//! sums; each partial sum runs in order on whichever rank and thread takes it, and the partial sums
//! are added in order. Both numbers are fixed, so the order of every addition is.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Mutex;

use blindspot_net::{Buffers, Evaluator, Network};
use rayon::prelude::*;

use blindspot::run::communicator::{Communicator, SingleProcess, all_gather, all_to_all};

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

impl Partial {
    /// The gradient's numbers at these places, weight after weight.
    fn within(&self, range: Range<usize>) -> impl Iterator<Item = &[f32]> {
        // Where the weight under way starts.
        let mut start = 0;
        self.gradient.iter().map(move |gradient| {
            let inside = |place: usize| place.clamp(start, start + gradient.len()) - start;
            let values = &gradient[inside(range.start)..inside(range.end)];
            start += gradient.len();
            values
        })
    }
}

/// A message of numbers.
fn numbers(bytes: &[u8]) -> Cow<'_, [f32]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(numbers) => Cow::Borrowed(numbers),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
    }
}

/// The rank that does a partial sum. Neighbours differ, so that the last chunks, which some of the
/// partial sums have one less of, don't all miss on the same rank.
fn rank_of(lane: usize, ranks: &dyn Communicator) -> usize {
    lane % ranks.count()
}

/// Whether an input of the whole set is in one of this rank's partial sums.
pub(crate) fn is_own(input: usize, ranks: &dyn Communicator) -> bool {
    rank_of(input / CHUNK % LANES, ranks) == ranks.rank()
}

/// The partial sums and the threads' memory, kept from one pass to the next.
pub(crate) struct Lanes<'a> {
    ranks: &'a dyn Communicator,
    partials: Vec<Partial>,
    buffers: Mutex<Vec<[Buffers<f32>; 2]>>,
}

impl Default for Lanes<'_> {
    fn default() -> Self {
        Lanes::over(&SingleProcess)
    }
}

impl<'a> Lanes<'a> {
    /// Each of these ranks does some of the partial sums.
    pub(crate) fn over(ranks: &'a dyn Communicator) -> Self {
        Lanes {
            ranks,
            partials: Vec::new(),
            buffers: Mutex::default(),
        }
    }

    /// Runs `work` on every chunk of `count` inputs: it gets the chunk's range, an evaluator for
    /// each of two networks, and the partial sum to add to, whose gradient has the shapes `lengths`.
    /// Of other ranks' partial sums all but the gradient is known afterwards.
    ///
    /// # Errors
    /// What `work` fails with. Other ranks then wait for this one in vain: the job has to end.
    pub(crate) fn run<E: Send>(
        &mut self,
        networks: [&Network<f32>; 2],
        count: usize,
        lengths: &[usize],
        sums: usize,
        work: impl Fn(Range<usize>, &mut [Evaluator<'_, f32>; 2], &mut Partial) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        self.partials.resize_with(LANES, Partial::default);
        let (buffers, ranks) = (&self.buffers, self.ranks);
        self.partials
            .par_iter_mut()
            .enumerate()
            .filter(|(lane, _)| rank_of(*lane, ranks) == ranks.rank())
            .try_for_each(|(lane, partial)| {
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
                    work(start..count.min(start + CHUNK), &mut evaluators, partial)?;
                    start += LANES * CHUNK;
                }
                let left = evaluators.map(Evaluator::into_buffers);
                buffers
                    .lock()
                    .expect("no thread panics with the lock held")
                    .push(left);
                Ok(())
            })?;
        self.tell(sums);
        Ok(())
    }

    /// Tells the other ranks all but the gradients; `sums` numbers are counted besides.
    fn tell(&mut self, sums: usize) {
        if self.ranks.count() == 1 {
            return;
        }
        let mut own = Vec::new();
        for lane in self.own() {
            let partial = &self.partials[lane];
            own.extend(partial.loss.to_le_bytes());
            own.extend((partial.wrong as u64).to_le_bytes());
            own.extend(partial.sums.iter().flat_map(|sum| sum.to_le_bytes()));
        }
        let all = all_gather(self.ranks, own);
        let mut told: Vec<_> = all.iter().map(|one| one.as_chunks().0.iter()).collect();
        for (lane, partial) in self.partials.iter_mut().enumerate() {
            let numbers = &mut told[rank_of(lane, self.ranks)];
            let mut next = || *numbers.next().expect("all ranks have the same sums");
            partial.loss = f64::from_le_bytes(next());
            partial.wrong = u64::from_le_bytes(next()) as usize;
            partial.sums = (0..sums).map(|_| f64::from_le_bytes(next())).collect();
        }
    }

    /// This rank's partial sums.
    fn own(&self) -> impl Iterator<Item = usize> + use<> {
        let (rank, count) = (self.ranks.rank(), self.ranks.count());
        (rank..LANES).step_by(count)
    }

    /// The partial sums of the last run, in order.
    pub(crate) fn partials(&self) -> &[Partial] {
        &self.partials
    }

    /// Adds the gradients up, in order, times `scale`, into one vector, weight after weight.
    pub(crate) fn gradient(&self, scale: f64, out: &mut [f64]) {
        if self.ranks.count() > 1 {
            return self.gradient_of_all(scale, out);
        }
        let mut rest = out;
        for weight in 0..self.partials[0].gradient.len() {
            let length = self.partials[0].gradient[weight].len();
            let (place, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            let lanes = self.partials.iter();
            let lanes: Vec<&[f32]> = lanes.map(|lane| &*lane.gradient[weight]).collect();
            add(&lanes, scale, place);
        }
    }

    /// Adds the gradients up over several ranks: each adds up its part of the weights, for which all send it
    /// their partial sums, and tells the others.
    fn gradient_of_all(&self, scale: f64, out: &mut [f64]) {
        let (rank, count) = (self.ranks.rank(), self.ranks.count());
        let part = |of: usize| out.len() * of / count..out.len() * (of + 1) / count;
        // These are megabytes: nothing is copied that can be read where it is.
        let lanes: Vec<usize> = self.own().collect();
        let message = |of: usize| {
            let mut message = Vec::new();
            if of != rank {
                message.reserve_exact(lanes.len() * part(of).len() * size_of::<f32>());
                let values = lanes
                    .iter()
                    .flat_map(|&lane| self.partials[lane].within(part(of)));
                values.for_each(|values| message.extend_from_slice(bytemuck::cast_slice(values)));
            }
            message
        };
        let sent = all_to_all(self.ranks, (0..count).map(message).collect());
        let sent: Vec<Cow<'_, [f32]>> = sent.iter().map(|bytes| numbers(bytes)).collect();
        let own = part(rank);
        let mine = self
            .own()
            .map(|lane| self.partials[lane].within(own.clone()));
        let mine: Vec<Vec<&[f32]>> = mine.map(Iterator::collect).collect();
        let lengths = match mine.first() {
            Some(values) => values.iter().map(|values| values.len()).collect(),
            None => vec![own.len()],
        };
        let mut sums = vec![0.0; own.len()];
        let mut start = 0;
        for (weight, length) in lengths.into_iter().enumerate() {
            let lanes = (0..LANES).map(|lane| match rank_of(lane, self.ranks) {
                of if of == rank => mine[lane / count][weight],
                of => &sent[of][lane / count * own.len() + start..][..length],
            });
            let lanes: Vec<&[f32]> = lanes.collect();
            add(&lanes, scale, &mut sums[start..start + length]);
            start += length;
        }
        let all = all_gather(self.ranks, bytemuck::cast_slice(&sums).to_vec());
        let mut rest = out;
        for sums in all {
            let sums: Vec<f64> = bytemuck::pod_collect_to_vec(&sums);
            let (place, after) = std::mem::take(&mut rest).split_at_mut(sums.len());
            place.copy_from_slice(&sums);
            rest = after;
        }
    }
}

/// Adds vectors up, in order, times `scale`.
fn add(vectors: &[&[f32]], scale: f64, out: &mut [f64]) {
    const BLOCK: usize = 4096;
    out.par_chunks_mut(BLOCK)
        .enumerate()
        .for_each(|(block, place)| {
            place.fill(0.0);
            for vector in vectors {
                let values = &vector[block * BLOCK..];
                for (sum, &value) in place.iter_mut().zip(values) {
                    *sum += f64::from(value);
                }
            }
            place.iter_mut().for_each(|sum| *sum *= scale);
        });
}
