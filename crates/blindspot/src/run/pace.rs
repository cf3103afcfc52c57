//! How much work is done before its results are kept.

use std::ops::RangeInclusive;
use std::time::Instant;

/// Seconds that a block should take: what is killed loses that much, at most.
const SECONDS: f64 = 30.0;

/// The sizes of blocks of work, so that each takes about half a minute.
#[derive(Debug)]
pub struct Pace {
    size: usize,
    within: RangeInclusive<usize>,
    begun: Instant,
}

impl Pace {
    /// That of work whose first block has `first` items, as far as sizes `within` let it.
    pub fn new(first: usize, within: RangeInclusive<usize>) -> Pace {
        Pace {
            size: first.clamp(*within.start(), *within.end()),
            within,
            begun: Instant::now(),
        }
    }

    /// Takes the next block off the front.
    pub fn take<'a, T>(&mut self, rest: &mut &'a [T]) -> &'a [T] {
        let (block, after) = rest.split_at(self.size.min(rest.len()));
        *rest = after;
        self.begun = Instant::now();
        block
    }

    /// The block taken last is done.
    pub fn done(&mut self) {
        let wanted = SECONDS / self.begun.elapsed().as_secs_f64().max(1e-3);
        let size = (self.size as f64 * wanted.clamp(0.25, 4.0)) as usize;
        self.size = size.clamp(*self.within.start(), *self.within.end());
    }
}
