//! Watching long work, and stopping it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What long work tells, and asks, while it runs.
pub trait Monitor: Sync {
    /// A piece of work, called `work`, begins; it has at most `total` steps.
    fn begin(&self, _work: &str, _total: u64) {}

    /// `done` steps of it are done; `detail` says in a few words how it stands.
    fn progress(&self, _done: u64, _detail: &str) {}

    /// The piece of work has ended.
    fn end(&self) {}

    /// Something happened that people should know, a sentence.
    fn notice(&self, _text: &str) {}

    /// True once the work should stop: it then returns as soon as it can, with what it has kept.
    fn cancelled(&self) -> bool {
        false
    }
}

/// A monitor that shows nothing and never stops the work.
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

/// Passes on that the work is to stop, and shows nothing: for a part of work that is shown already.
pub struct Silenced<'a>(pub &'a dyn Monitor);

impl Monitor for Silenced<'_> {
    fn notice(&self, text: &str) {
        self.0.notice(text);
    }

    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// Shows the steps of a block of images as progress among all images, and may cut the block short.
pub struct BlockProgress<'a> {
    whole: &'a dyn Monitor,
    before: u64,
    images: u64,
    steps: AtomicU64,
    cut: Option<Instant>,
}

impl<'a> BlockProgress<'a> {
    /// The progress of a block of `images` images after `before` others, shown on `whole`.
    pub fn new(whole: &'a dyn Monitor, before: usize, images: usize) -> BlockProgress<'a> {
        BlockProgress {
            whole,
            before: before as u64,
            images: images as u64,
            steps: AtomicU64::new(0),
            cut: None,
        }
    }

    /// Stops the block at this time, if one is given.
    #[must_use]
    pub fn cut_at(self, cut: Option<Instant>) -> BlockProgress<'a> {
        BlockProgress { cut, ..self }
    }
}

impl Monitor for BlockProgress<'_> {
    fn notice(&self, text: &str) {
        self.whole.notice(text);
    }

    fn begin(&self, _: &str, total: u64) {
        self.steps.store(total, Ordering::Relaxed);
    }

    fn progress(&self, done: u64, detail: &str) {
        let steps = self.steps.load(Ordering::Relaxed).max(1);
        let images = self.images * done / steps;
        self.whole.progress(self.before + images, detail);
    }

    fn cancelled(&self) -> bool {
        self.whole.cancelled() || self.cut.is_some_and(|cut| Instant::now() >= cut)
    }
}
