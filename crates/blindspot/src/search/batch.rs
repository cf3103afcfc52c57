//! Many searches at once: each with its own solver, only the network's evaluations shared.
//!
//! A thread keeps a batch of searches. Those that are done leave it, waiting ones enter. An
//! evaluation gives an image the same bits whatever else is in the batch, so neither the size of
//! the batch nor the number of threads shows in the results.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use blindspot_net::{Evaluator, Network};
use rayon::prelude::*;

use crate::monitor::Monitor;

/// One search, asked for a point to evaluate at a time.
pub(super) trait Search: Send {
    /// Where to evaluate.
    fn point(&self) -> &[f32];

    /// Takes the logits at the point; writes the gradient of what it minimises with respect to
    /// them.
    fn take_logits(&mut self, logits: &[f32], gradient: &mut [f32]);

    /// Takes the gradient with respect to the point; gives false once the search is over.
    fn take_gradient(&mut self, gradient: &[f32]) -> bool;
}

/// Runs `count` searches to their ends; gives what `finish` makes of each, in order. `start`
/// makes search number i, from the memory of an ended one where there is one.
///
/// Searches that have not ended when the monitor cancels the work are `None`.
pub(super) fn run<S: Search, R: Send>(
    network: &Network<f32>,
    count: usize,
    batch: usize,
    start: impl Fn(usize, Option<S>) -> S + Sync,
    finish: impl Fn(usize, &S) -> R + Sync,
    monitor: &dyn Monitor,
) -> Vec<Option<R>> {
    let next = AtomicUsize::new(0);
    let ended = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<R>>> = Mutex::new((0..count).map(|_| None).collect());
    let classes = network.output_len();
    let worker = |_| {
        let mut evaluator = Evaluator::new(network);
        let mut active: Vec<(usize, S)> = Vec::with_capacity(batch);
        let mut spare: Vec<S> = Vec::new();
        let mut by_logits = Vec::new();
        while !monitor.cancelled() {
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
                    let result = finish(*index, search);
                    results.lock().expect("no thread panics with the lock held")[*index] =
                        Some(result);
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
