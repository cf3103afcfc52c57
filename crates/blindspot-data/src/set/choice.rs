//! Choosing some images of a set: the first, a seeded choice, two halves.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::ImageSet;

impl ImageSet {
    /// Images `positions` of this set, in that order.
    ///
    /// # Panics
    /// Where there is no such image.
    pub fn select(&self, positions: &[usize]) -> ImageSet {
        let labels = self.labels.as_ref();
        ImageSet {
            indices: positions
                .iter()
                .map(|&position| self.indices[position])
                .collect(),
            labels: labels.map(|labels| positions.iter().map(|&i| labels[i]).collect()),
            ..self.clone()
        }
    }

    /// The first `count` images, or all where there are fewer.
    pub fn first(&self, count: usize) -> ImageSet {
        let positions: Vec<usize> = (0..count.min(self.len())).collect();
        self.select(&positions)
    }

    /// `count` images in an order that the seed gives, or all where there are fewer: a longer
    /// choice begins with the shorter one.
    pub fn shuffled(&self, count: usize, seed: u64) -> ImageSet {
        self.select(&self.random_positions(count, seed))
    }

    /// The positions in this set of `count` different images in an order that the seed gives, or of
    /// all where there are fewer: a longer choice begins with the shorter one.
    pub fn random_positions(&self, count: usize, seed: u64) -> Vec<usize> {
        random_positions(self.len(), count, seed)
    }

    /// Two disjoint halves, each in the order of the set: P1 and P2 of the paper's section 4.2.
    /// P1 has one image less where the number is odd.
    pub fn halves(&self, seed: u64) -> [ImageSet; 2] {
        let shuffled = self.random_positions(self.len(), seed);
        let (one, two) = shuffled.split_at(self.len() / 2);
        [one, two].map(|half| {
            let mut half = half.to_vec();
            half.sort_unstable();
            self.select(&half)
        })
    }
}

/// `count` different positions of `total` in an order that the seed gives, or all where there are fewer: a longer choice
/// begins with the shorter one.
pub fn random_positions(total: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..total).collect();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let count = count.min(total);
    for i in 0..count {
        // The remainder of 64 random bits is even to 1 in 10^14 for any set that fits memory.
        let rest = (total - i) as u64;
        positions.swap(i, i + (random.next_u64() % rest) as usize);
    }
    positions.truncate(count);
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(count: usize) -> ImageSet {
        let pixels = (0..count * 6).map(|i| i as u8).collect();
        let labels = (0..count).map(|i| i % 3).collect();
        ImageSet::new("test", [1, 2, 3], pixels, Some(labels), Vec::new()).unwrap()
    }

    #[test]
    fn a_choice_keeps_images_labels_and_positions_together() {
        let set = set(20);
        let chosen = set.select(&[7, 3]).select(&[1]);
        assert_eq!(chosen.indices(), [3]);
        assert_eq!(chosen.labels(), Some(&[0][..]));
        let (mut image, mut same) = ([0.0; 6], [0.0; 6]);
        chosen.read_image(0, &mut image).unwrap();
        set.read_image(3, &mut same).unwrap();
        assert_eq!(image, same);
        assert_eq!(image[5], 23.0 / 255.0);
    }

    #[test]
    fn halves_are_disjoint_and_seeded() {
        let set = set(21);
        let [one, two] = set.halves(4);
        let mut all: Vec<usize> = one.indices().iter().chain(two.indices()).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..21).collect::<Vec<_>>());
        assert_eq!(one.len(), 10);
        assert_eq!(set.halves(4)[0].indices(), one.indices());
        assert_ne!(set.halves(5)[0].indices(), one.indices());
    }

    #[test]
    fn a_shuffle_is_a_choice_without_repetition_that_begins_with_the_shorter_one() {
        let set = set(30);
        let (short, long) = (set.shuffled(5, 1), set.shuffled(100, 1));
        assert_eq!(long.indices()[..5], *short.indices());
        let mut all = long.indices().to_vec();
        all.sort_unstable();
        assert_eq!(all, (0..30).collect::<Vec<_>>());
    }
}
