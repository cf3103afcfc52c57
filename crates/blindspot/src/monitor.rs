//! Watching long work, and stopping it.

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
