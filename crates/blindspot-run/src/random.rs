//! Random numbers: a stream of its own for each purpose and each sample.
//!
//! A stream depends on the seed, on what it is for, and on the sample's index, and on nothing that
//! happened before: so results do not depend on threads, batches or the order of work.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal, StandardUniform};
use sha2::{Digest, Sha256};

/// A stream of random numbers.
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of sample `index` for `purpose`.
    pub fn new(seed: u64, purpose: &str, index: usize) -> Self {
        let key = Sha256::new()
            .chain_update(seed.to_le_bytes())
            .chain_update(purpose)
            .finalize();
        let mut generator = ChaCha8Rng::from_seed(key.into());
        generator.set_stream(index as u64);
        Stream(generator)
    }

    /// From the normal distribution with mean 0 and standard deviation 1.
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.0)
    }

    /// From [0, 1), evenly.
    pub fn uniform(&mut self) -> f64 {
        StandardUniform.sample(&mut self.0)
    }

    /// The numbers below `count` in a random order.
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for i in 0..count {
            order.swap(i, i + self.below(count - i));
        }
        order
    }

    /// A whole number below `end`, each with the same probability.
    ///
    /// # Panics
    /// Where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        assert!(end > 0, "a number below 0 was asked for");
        ((self.uniform() * end as f64) as usize).min(end - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_purpose_and_index_and_on_nothing_else() {
        let draw = |seed, purpose, index| {
            let mut stream = Stream::new(seed, purpose, index);
            (stream.normal().to_bits(), stream.below(1 << 30))
        };
        assert_eq!(draw(1, "noise", 7), draw(1, "noise", 7));
        let others = [
            draw(2, "noise", 7),
            draw(1, "target", 7),
            draw(1, "noise", 8),
        ];
        assert!(others.iter().all(|other| *other != draw(1, "noise", 7)));
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let count = 20_000;
        let normals: Vec<f64> = (0..count)
            .map(|i| Stream::new(3, "n", i).normal())
            .collect();
        let mean = normals.iter().sum::<f64>() / count as f64;
        let square = normals.iter().map(|x| x * x).sum::<f64>() / count as f64;
        assert!(
            mean.abs() < 0.03 && (square - 1.0).abs() < 0.05,
            "{mean} {square}"
        );
        let mut counts = [0; 10];
        let mut stream = Stream::new(3, "below", 0);
        (0..count).for_each(|_| counts[stream.below(10)] += 1);
        assert!(
            counts.iter().all(|&n| (1_800..2_200).contains(&n)),
            "{counts:?}"
        );
    }
}
