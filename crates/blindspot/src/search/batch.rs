//! Many searches at once: each has its own solver, only the classifier's evaluations are shared.
//!
//! A thread keeps a batch of searches. Those that have ended leave it, waiting ones enter. A
//! network gives an image the same bits whatever else is in the batch, so results depend neither on
//! the size of the batch nor on the number of threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use blindspot_model::classifier::{CheckedEvaluator, Classifier, ClassifierError};
use blindspot_net::Real;
use rayon::prelude::*;

use super::task::{Effort, Found, StopCondition};

/// Searches that a thread has under way at most: more share the cost of an evaluation, fewer keep
/// their solvers' memory in the processor's cache.
const MAX_BATCH: usize = 64;
/// Bytes that the values of a batch may take on each thread.
const THREAD_MEMORY: usize = 256 << 20;

/// Images that are evaluated at a time: as many as fit in memory with each value and its gradient.
pub(super) fn size<T: Real>(classifier: &dyn Classifier<T>) -> usize {
    let bytes = 2 * size_of::<T>() * classifier.values_per_input();
    (THREAD_MEMORY / bytes.max(1)).clamp(1, MAX_BATCH)
}

/// One search, asked for one point to evaluate at a time.
pub(super) trait Search: Send {
    /// The point to evaluate.
    fn point(&self) -> &[f32];

    /// Takes the classifier's outputs at the point; writes the gradient, with respect to them, of
    /// what the search minimises.
    fn take_outputs(&mut self, outputs: &[f32], gradient: &mut [f32]);

    /// Takes the gradient with respect to the point; false once the search has ended.
    fn take_gradient(&mut self, gradient: &[f32]) -> bool;

    /// The successful image with the smallest perturbation so far.
    fn best(&self) -> Option<&[f32]>;

    /// What the search has taken so far.
    fn effort(&self) -> Effort;
}

/// Runs `count` searches to their ends; gives what each has found, in order. `start` makes search
/// number i, from the memory of one that has ended where there is one.
///
/// Searches that have not ended when the work is cancelled are `None`, and so are those that have
/// not begun when the time is over.
///
/// # Errors
/// [`ClassifierError`] where the classifier fails, with the number of the search for the input; all
/// searches end then.
pub(super) fn run<S: Search>(
    classifier: &dyn Classifier,
    count: usize,
    start: impl Fn(usize, Option<S>) -> S + Sync,
    stop: StopCondition<'_>,
) -> Result<Vec<Option<Found>>, ClassifierError> {
    let board = Board {
        count,
        next: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        results: Mutex::new((0..count).map(|_| None).collect()),
    };
    let threads = rayon::current_num_threads();
    (0..threads)
        .into_par_iter()
        .with_max_len(1)
        .try_for_each(|_| {
            let worked = Worker::new(classifier, &start, &board).run(stop);
            if worked.is_err() {
                board.failed.store(true, Ordering::Relaxed);
            }
            worked
        })?;
    Ok(board
        .results
        .into_inner()
        .expect("no thread panics with the lock held"))
}

/// What the threads share: which search is next, and what has been found.
struct Board {
    count: usize,
    next: AtomicUsize,
    ended: AtomicUsize,
    /// Whether the classifier has failed on one of the threads.
    failed: AtomicBool,
    results: Mutex<Vec<Option<Found>>>,
}

impl Board {
    /// The number of the next search to begin.
    fn next(&self) -> Option<usize> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.count).then_some(index)
    }

    fn keep(&self, index: usize, search: &impl Search) {
        let found = Found {
            adversarial: search.best().map(<[f32]>::to_vec),
            effort: search.effort(),
        };
        self.results()[index] = Some(found);
    }

    fn results(&self) -> MutexGuard<'_, Vec<Option<Found>>> {
        self.results
            .lock()
            .expect("no thread panics with the lock held")
    }
}

/// One thread's searches.
struct Worker<'w, S, F> {
    evaluator: CheckedEvaluator<'w, f32>,
    batch: usize,
    start: &'w F,
    board: &'w Board,
    active: Vec<(usize, S)>,
    recycled: Vec<S>,
    output_gradients: Vec<f32>,
}

impl<'w, S: Search, F: Fn(usize, Option<S>) -> S> Worker<'w, S, F> {
    fn new(classifier: &'w dyn Classifier, start: &'w F, board: &'w Board) -> Self {
        let batch = size(classifier);
        Worker {
            evaluator: CheckedEvaluator::new(classifier),
            batch,
            start,
            board,
            active: Vec::with_capacity(batch),
            recycled: Vec::new(),
            output_gradients: Vec::new(),
        }
    }

    fn run(mut self, stop: StopCondition<'_>) -> Result<(), ClassifierError> {
        while !stop.monitor.cancelled() && !self.board.failed.load(Ordering::Relaxed) {
            if stop.timed_out() {
                for (index, search) in &self.active {
                    self.board.keep(*index, search);
                }
                return Ok(());
            }
            self.fill();
            if self.active.is_empty() {
                return Ok(());
            }
            let ended = self.step()?;
            if ended > 0 {
                let before = self.board.ended.fetch_add(ended, Ordering::Relaxed);
                stop.monitor.progress((before + ended) as u64, "");
            }
        }
        Ok(())
    }

    /// Begins searches until the batch is full.
    fn fill(&mut self) {
        while self.active.len() < self.batch {
            let Some(index) = self.board.next() else {
                return;
            };
            let search = (self.start)(index, self.recycled.pop());
            self.active.push((index, search));
        }
    }

    /// Evaluates the points of all active searches; gives the number of those that have ended.
    fn step(&mut self) -> Result<usize, ClassifierError> {
        let (length, classes) = (self.evaluator.input_len(), self.evaluator.classes());
        let input = self.evaluator.input(self.active.len())?;
        for ((_, search), place) in self.active.iter().zip(input.chunks_exact_mut(length)) {
            place.copy_from_slice(search.point());
        }
        let active = &self.active;
        let outputs = self.evaluator.outputs();
        let outputs = outputs.map_err(|error| error.of_input(|row| active[row].0))?;
        self.output_gradients.resize(outputs.len(), 0.0);
        let rows = outputs
            .chunks_exact(classes)
            .zip(self.output_gradients.chunks_exact_mut(classes));
        for ((_, search), (outputs, gradient)) in self.active.iter_mut().zip(rows) {
            search.take_outputs(outputs, gradient);
        }
        let gradients = self.evaluator.pull_back(&self.output_gradients)?;
        let mut ended = Vec::new();
        let rows = gradients.chunks_exact(length);
        for (slot, ((index, search), gradient)) in self.active.iter_mut().zip(rows).enumerate() {
            if !search.take_gradient(gradient) {
                self.board.keep(*index, search);
                ended.push(slot);
            }
        }
        for &slot in ended.iter().rev() {
            self.recycled.push(self.active.swap_remove(slot).1);
        }
        Ok(ended.len())
    }
}
