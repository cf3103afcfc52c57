//! Numbers that look random and are the same on every machine.

/// Numbers that look random: a linear congruential generator's (Knuth; Numerical Recipes).
///
/// They are for the inputs of tests and measurements, not for statistics.
///
/// ```
/// let mut noise = blindspot_testing::Noise::new(1);
/// let x = noise.unit();
/// assert!((0.0..1.0).contains(&x));
/// assert_eq!(blindspot_testing::Noise::new(1).units(3)[0], x);
/// ```
#[derive(Debug, Clone)]
pub struct Noise {
    state: u32,
}

impl Noise {
    /// Numbers that depend on the seed alone.
    pub fn new(seed: u32) -> Noise {
        Noise { state: seed }
    }

    fn next(&mut self) -> u32 {
        self.state = self
            .state
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        self.state
    }

    /// The next number, in [0, 1); it has 24 bits.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 8) as f32 / (1 << 24) as f32
    }

    /// The next number as a byte.
    pub fn byte(&mut self) -> u8 {
        (self.next() >> 24) as u8
    }

    /// The next `count` numbers, in [0, 1).
    pub fn units(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.unit()).collect()
    }
}
