//! How much work is done before its results are kept.

use std::ops::RangeInclusive;
use std::time::Instant;

/// Seconds that a block should take: a process that is killed loses that much, at most.
const BLOCK_SECONDS: f64 = 30.0;

/// Cuts work into blocks that take about half a minute each, by the time that the last one took.
#[derive(Debug)]
pub struct BlockSizer {
    size: usize,
    limits: RangeInclusive<usize>,
    begun: Instant,
}

impl BlockSizer {
    /// Blocks of sizes within `limits`, the first of `first` items as far as the limits let it.
    pub fn new(first: usize, limits: RangeInclusive<usize>) -> BlockSizer {
        BlockSizer {
            size: first.clamp(*limits.start(), *limits.end()),
            limits,
            begun: Instant::now(),
        }
    }

    /// Takes the next block off the front of `rest`, and starts its clock.
    pub fn next_block<'a, T>(&mut self, rest: &mut &'a [T]) -> &'a [T] {
        let (block, after) = rest.split_at(self.size.min(rest.len()));
        *rest = after;
        self.begun = Instant::now();
        block
    }

    /// Notes that the block taken last is done: the next one is larger or smaller, by a factor of 4 at
    /// most.
    pub fn block_done(&mut self) {
        let wanted = BLOCK_SECONDS / self.begun.elapsed().as_secs_f64().max(1e-3);
        let size = (self.size as f64 * wanted.clamp(0.25, 4.0)) as usize;
        self.size = size.clamp(*self.limits.start(), *self.limits.end());
    }
}
