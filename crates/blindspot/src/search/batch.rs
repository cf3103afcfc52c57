//! Many searches at once: each with its own solver, only the network's evaluations shared.
//!
//! A thread keeps a batch of searches. Those that are done leave it, waiting ones enter. An
//! evaluation gives an image the same bits whatever else is in the batch, so neither the size of
//! the batch nor the number of threads shows in the results.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use blindspot_net::{Evaluator, Network, Real};
use rayon::prelude::*;

use crate::run::monitor::Monitor;

/// Searches that a thread has under way: more share the cost of an evaluation, fewer keep their
/// solvers' memory in the processor's cache.
const MOST: usize = 64;
/// Bytes that the values of a batch may take on each thread.
const MEMORY: usize = 256 << 20;

/// Images that are evaluated at a time: as many as the evaluator's memory lets, which holds each
/// value and its gradient.
pub(super) fn size<T: Real>(network: &Network<T>) -> usize {
    let values = network.graph().values().iter();
    let bytes: usize = values.map(|value| 2 * size_of::<T>() * value.len()).sum();
    (MEMORY / bytes.max(1)).clamp(1, MOST)
}

/// The logits of images that stand one after the other.
pub(super) fn logits(network: &Network<f32>, images: &[f32]) -> Vec<f32> {
    let batch = size(network);
    let mut logits = vec![0.0; images.len() / network.input_len() * network.output_len()];
    images
        .par_chunks(batch * network.input_len())
        .zip(logits.par_chunks_mut(batch * network.output_len()))
        .for_each_init(
            || Evaluator::new(network),
            |evaluator, (images, logits)| {
                let count = images.len() / network.input_len();
                evaluator.input(count).copy_from_slice(images);
                logits.copy_from_slice(evaluator.forward());
            },
        );
    logits
}

/// Who follows searches, and when they must end.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    pub(super) monitor: &'a dyn Monitor,
    /// After this, those under way end with the best they have.
    pub(super) deadline: Option<Instant>,
}

impl Watch<'_> {
    /// True where no more time is left.
    pub(super) fn late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// True where work should end.
    pub(super) fn over(&self) -> bool {
        self.monitor.cancelled() || self.late()
    }
}

/// What a search has asked of the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Effort {
    /// Points whose logits were computed.
    pub(super) forward: u64,
    /// Gradients that were used.
    pub(super) gradient: u64,
}

impl std::ops::AddAssign for Effort {
    fn add_assign(&mut self, other: Effort) {
        self.forward += other.forward;
        self.gradient += other.gradient;
    }
}

/// One search, asked for a point to evaluate at a time.
pub(super) trait Search: Send {
    /// Where to evaluate.
    fn point(&self) -> &[f32];

    /// Takes the logits at the point; writes the gradient of what it minimises with respect to
    /// them.
    fn take_logits(&mut self, logits: &[f32], gradient: &mut [f32]);

    /// Takes the gradient with respect to the point; gives false once the search is over.
    fn take_gradient(&mut self, gradient: &[f32]) -> bool;

    /// The changed image with the smallest change found so far; `None` where none succeeded.
    fn best(&self) -> Option<&[f32]>;

    /// What it has taken so far.
    fn effort(&self) -> Effort;
}

/// What a search has found, if anything, and what it took.
pub(super) type Found = (Option<Vec<f32>>, Effort);

/// Runs `count` searches to their ends; gives what each has found, in order. `start` makes search
/// number i, from the memory of an ended one where there is one.
///
/// Searches that have not ended when the monitor cancels the work are `None`, and so are those
/// that have not begun when there is no more time.
pub(super) fn run<S: Search>(
    network: &Network<f32>,
    count: usize,
    start: impl Fn(usize, Option<S>) -> S + Sync,
    watch: Watch<'_>,
) -> Vec<Option<Found>> {
    let Watch { monitor, .. } = watch;
    let batch = size(network);
    let next = AtomicUsize::new(0);
    let ended = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Found>>> = Mutex::new((0..count).map(|_| None).collect());
    let classes = network.output_len();
    let worker = |_| {
        let mut evaluator = Evaluator::new(network);
        let mut active: Vec<(usize, S)> = Vec::with_capacity(batch);
        let mut spare: Vec<S> = Vec::new();
        let mut by_logits = Vec::new();
        let keep = |index: usize, search: &S| {
            let result = (search.best().map(<[f32]>::to_vec), search.effort());
            results.lock().expect("no thread panics with the lock held")[index] = Some(result);
        };
        while !monitor.cancelled() {
            if watch.late() {
                for (index, search) in &active {
                    keep(*index, search);
                }
                return;
            }
            while active.len() < batch {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                active.push((index, start(index, spare.pop())));
            }
            if active.is_empty() {
                return;
            }
            let length = network.input_len();
            let input = evaluator.input(active.len());
            for ((_, search), place) in active.iter().zip(input.chunks_exact_mut(length)) {
                place.copy_from_slice(search.point());
            }
            let logits = evaluator.forward();
            by_logits.resize(logits.len(), 0.0);
            let rows = logits
                .chunks_exact(classes)
                .zip(by_logits.chunks_exact_mut(classes));
            for ((_, search), (logits, gradient)) in active.iter_mut().zip(rows) {
                search.take_logits(logits, gradient);
            }
            let gradients = evaluator.backward(&by_logits);
            let mut over = Vec::new();
            let rows = gradients.chunks_exact(length);
            for (slot, ((index, search), gradient)) in active.iter_mut().zip(rows).enumerate() {
                if !search.take_gradient(gradient) {
                    keep(*index, search);
                    over.push(slot);
                }
            }
            for &slot in over.iter().rev() {
                spare.push(active.swap_remove(slot).1);
            }
            if !over.is_empty() {
                let ended = ended.fetch_add(over.len(), Ordering::Relaxed) + over.len();
                monitor.progress(ended as u64, "");
            }
        }
    };
    let threads = rayon::current_num_threads();
    (0..threads)
        .into_par_iter()
        .with_max_len(1)
        .for_each(worker);
    results
        .into_inner()
        .expect("no thread panics with the lock held")
}
