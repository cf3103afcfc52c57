//! Choices at random, the same for the same seed.

/// A stream of choices (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// A stream that depends on a seed and on the number of a thread.
    pub(crate) fn new(seed: u64, thread: u64) -> Random {
        Random(
            seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ thread.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        )
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below another one; 0 where that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of several.
    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A number as files that break readers have it: small, at the ends of a type, or any.
    pub(crate) fn number(&mut self) -> u64 {
        const ODD: [u64; 24] = [
            0,
            1,
            2,
            3,
            7,
            8,
            63,
            64,
            127,
            128,
            255,
            256,
            1000,
            65_535,
            65_536,
            1 << 20,
            1 << 28,
            (1 << 31) - 1,
            1 << 31,
            (1 << 32) - 1,
            1 << 62,
            (1 << 63) - 1,
            1 << 63,
            u64::MAX,
        ];
        match self.below(4) {
            0 => self.next(),
            1 => self.next() % 16,
            _ => *self.of(&ODD),
        }
    }
}
