//! Watching long work, and stopping it.

use std::sync::atomic::{AtomicU64, Ordering};

/// What long work tells, and asks, while it runs.
pub trait Monitor: Sync {
    /// A piece of work begins; it has `total` steps, at most.
    fn begin(&self, _work: &str, _total: u64) {}

    /// So many steps of it are done; `detail` says in a few words how it stands.
    fn progress(&self, _done: u64, _detail: &str) {}

    /// The piece of work has ended.
    fn end(&self) {}

    /// True once the work should stop: it then returns as soon as it can, with what it has kept.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Tells nobody, never stops.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Monitor for Unwatched {}

/// Stops work after a number of progress reports: how tests interrupt it at a known place.
#[derive(Debug)]
pub struct CancelAfter {
    limit: u64,
    reports: AtomicU64,
}

impl CancelAfter {
    /// Stops work at its `limit`-th report of progress.
    pub fn new(limit: u64) -> CancelAfter {
        CancelAfter {
            limit,
            reports: AtomicU64::new(0),
        }
    }
}

impl Monitor for CancelAfter {
    fn progress(&self, _: u64, _: &str) {
        self.reports.fetch_add(1, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.reports.load(Ordering::Relaxed) >= self.limit
    }
}

/// Counts the steps of a block's work as images of the whole.
pub struct Part<'a> {
    whole: &'a dyn Monitor,
    before: u64,
    images: u64,
    steps: AtomicU64,
}

impl<'a> Part<'a> {
    /// The work on `images` images after `before` others.
    pub fn new(whole: &'a dyn Monitor, before: usize, images: usize) -> Part<'a> {
        Part {
            whole,
            before: before as u64,
            images: images as u64,
            steps: AtomicU64::new(0),
        }
    }
}

impl Monitor for Part<'_> {
    fn begin(&self, _: &str, total: u64) {
        self.steps.store(total, Ordering::Relaxed);
    }

    fn progress(&self, done: u64, detail: &str) {
        let steps = self.steps.load(Ordering::Relaxed).max(1);
        let images = self.images * done / steps;
        self.whole.progress(self.before + images, detail);
    }

    fn cancelled(&self) -> bool {
        self.whole.cancelled()
    }
}
