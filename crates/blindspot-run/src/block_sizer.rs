//! How much work is done before its results are kept.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Seconds that a block should take.
const BLOCK_SECONDS: f64 = 8.0;
/// A block that takes longer, since its items are slower than those before them, is cut short: a
/// process that is killed loses this much at most.
const LONGEST_BLOCK: Duration = Duration::from_secs(20);
/// The largest factor from the size of one block to the next.
const GROWTH: f64 = 4.0;

/// Cuts work into blocks that take some seconds each, by the time that the last one took; the first
/// is as small as it can be.
#[derive(Debug)]
pub struct BlockSizer {
    size: usize,
    limits: RangeInclusive<usize>,
    begun: Instant,
}

impl BlockSizer {
    /// Blocks of sizes within `limits`.
    pub fn new(limits: RangeInclusive<usize>) -> BlockSizer {
        BlockSizer {
            size: *limits.start(),
            limits,
            begun: Instant::now(),
        }
    }

    /// Takes the next block off the front of what is left, and starts its clock.
    pub fn next_block<T>(&mut self, left: &mut Vec<T>) -> Vec<T> {
        let after = left.split_off(self.size.min(left.len()));
        self.begun = Instant::now();
        std::mem::replace(left, after)
    }

    /// When the block taken last, of `size` items, is to be cut short; never where it is as small as
    /// blocks can be, so that the work gets on whatever an item takes.
    pub fn cut(&self, size: usize) -> Option<Instant> {
        (size > *self.limits.start()).then(|| self.begun + LONGEST_BLOCK)
    }

    /// Notes that the block taken last has ended, with `done` of its items: the next one is larger or
    /// smaller, by a factor of 4 at most.
    pub fn block_done(&mut self, done: usize) {
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-3);
        let wanted = done as f64 * BLOCK_SECONDS / seconds;
        let size = self.size as f64;
        let size = wanted.clamp(size / GROWTH, size * GROWTH) as usize;
        self.size = size.clamp(*self.limits.start(), *self.limits.end());
    }
}
