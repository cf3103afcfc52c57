//! Many searches at once: each has its own solver, only the classifier's evaluations are shared.
//!
//! A thread keeps a batch of searches, or one thread a batch for all where the classifier wants it
//! so; then all threads share the searches' own work between two evaluations. Those that have ended leave it, waiting ones enter. A
//! network gives an image the same bits whatever else is in the batch, so results depend neither on
//! the size of the batch nor on the number of threads.

use std::ops::Range;
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

/// Images that are evaluated at a time: as many as the classifier wants, or as fit in memory with each
/// value and its gradient.
pub(super) fn size<T: Real>(classifier: &dyn Classifier<T>) -> usize {
    if let Some(batch) = classifier.one_batch() {
        return batch.max(1);
    }
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

    /// Whether it has ended at kinks, which other minima may lie behind.
    fn is_kinked(&self) -> bool {
        false
    }
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
    let workers = match classifier.one_batch() {
        Some(_) => 1,
        None => rayon::current_num_threads(),
    };
    (0..workers)
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
            is_kinked: search.is_kinked(),
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
    classifier: &'w dyn Classifier,
    evaluator: CheckedEvaluator<'w, f32>,
    start: &'w F,
    board: &'w Board,
    active: Vec<(usize, S)>,
    recycled: Vec<S>,
    output_gradients: Vec<f32>,
}

impl<'w, S: Search, F: Fn(usize, Option<S>) -> S> Worker<'w, S, F> {
    fn new(classifier: &'w dyn Classifier, start: &'w F, board: &'w Board) -> Self {
        Worker {
            classifier,
            evaluator: CheckedEvaluator::new(classifier),
            start,
            board,
            active: Vec::new(),
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

    /// How many searches are evaluated at a time: few are shared out among the threads.
    fn batch(&self) -> usize {
        let most = size(self.classifier);
        match self.classifier.one_batch() {
            Some(_) => most,
            None => most.min(self.board.count.div_ceil(rayon::current_num_threads())),
        }
        .max(1)
    }

    /// Begins searches until the batch is full.
    fn fill(&mut self) {
        while self.active.len() < self.batch() {
            let Some(index) = self.board.next() else {
                return;
            };
            let search = (self.start)(index, self.recycled.pop());
            self.active.push((index, search));
        }
    }

    /// Evaluates the points of all active searches; gives the number of those that have ended.
    fn step(&mut self) -> Result<usize, ClassifierError> {
        let mut goes_on = Vec::with_capacity(self.active.len());
        while goes_on.len() < self.active.len() {
            // More than one batch, where the classifier has turned to smaller ones.
            let first = goes_on.len();
            let end = self.active.len().min(first + size(self.classifier));
            self.evaluate(first..end, &mut goes_on)?;
        }
        let mut ended = 0;
        for (slot, goes_on) in goes_on.into_iter().enumerate().rev() {
            if !goes_on {
                let (index, search) = self.active.swap_remove(slot);
                self.board.keep(index, &search);
                self.recycled.push(search);
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Evaluates the points of some active searches, and adds for each whether it goes on.
    fn evaluate(
        &mut self,
        slots: Range<usize>,
        goes_on: &mut Vec<bool>,
    ) -> Result<(), ClassifierError> {
        let (length, classes) = (self.evaluator.input_len(), self.evaluator.classes());
        let active = &mut self.active[slots];
        // The other threads have batches of their own, or nothing else to do.
        let at_once = match self.classifier.one_batch() {
            Some(_) => 1,
            None => active.len(),
        };
        let input = self.evaluator.input(active.len())?;
        for ((_, search), place) in active.iter().zip(input.chunks_exact_mut(length)) {
            place.copy_from_slice(search.point());
        }
        let outputs = self.evaluator.outputs();
        let outputs = outputs.map_err(|error| error.of_input(|row| active[row].0))?;
        self.output_gradients.resize(outputs.len(), 0.0);
        let rows = outputs.par_chunks_exact(classes);
        let rows = rows.zip(self.output_gradients.par_chunks_exact_mut(classes));
        let searches = active.par_iter_mut().with_min_len(at_once);
        searches
            .zip(rows)
            .for_each(|((_, search), (outputs, gradient))| search.take_outputs(outputs, gradient));
        let gradients = self.evaluator.pull_back(&self.output_gradients)?;
        let searches = active.par_iter_mut().with_min_len(at_once);
        goes_on.par_extend(
            searches
                .zip(gradients.par_chunks_exact(length))
                .map(|((_, search), gradient)| search.take_gradient(gradient)),
        );
        Ok(())
    }
}
