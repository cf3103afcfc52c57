//! Image sets in memory.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Images of one shape as bytes, perhaps with their classes; or a choice of some of them.
///
/// A choice shares the images with the set that it was made from.
#[derive(Debug, Clone)]
pub struct ImageSet {
    name: String,
    shape: [usize; 3],
    pixels: Arc<Vec<u8>>,
    /// Positions in `pixels`.
    indices: Vec<usize>,
    /// Of the images chosen.
    labels: Option<Vec<usize>>,
    hashes: Vec<(String, String)>,
}

impl ImageSet {
    /// A set of images of shape [channels, height, width], one after the other in `pixels`, with
    /// a class for each if there are labels, and name and SHA-256 of each file they came from.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub fn new(
        name: &str,
        shape: [usize; 3],
        pixels: Vec<u8>,
        labels: Option<Vec<usize>>,
        hashes: Vec<(String, String)>,
    ) -> Result<ImageSet, String> {
        let length: usize = shape.iter().product();
        if length == 0 || pixels.is_empty() || !pixels.len().is_multiple_of(length) {
            return Err(format!(
                "{} bytes are no images of shape {shape:?}",
                pixels.len()
            ));
        }
        let count = pixels.len() / length;
        if let Some(labels) = &labels
            && labels.len() != count
        {
            return Err(format!("{count} images have {} labels", labels.len()));
        }
        let (name, indices) = (name.to_owned(), (0..count).collect());
        Ok(ImageSet {
            name,
            shape,
            pixels: Arc::new(pixels),
            indices,
            labels,
            hashes,
        })
    }

    /// What the set is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many images.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Channels, height, width of an image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// How many values an image has.
    pub fn image_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The class of each image.
    pub fn labels(&self) -> Option<&[usize]> {
        self.labels.as_deref()
    }

    /// The position of each image in the set as it was loaded.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// Name and SHA-256 (unpacked) of each file that the set came from.
    pub fn hashes(&self) -> &[(String, String)] {
        &self.hashes
    }

    /// The bytes of image `index`.
    ///
    /// # Panics
    /// Where there is no such image.
    pub fn pixels(&self, index: usize) -> &[u8] {
        let length = self.image_len();
        &self.pixels[self.indices[index] * length..][..length]
    }

    /// Writes image `index` as numbers in [0, 1]: byte / 255.
    ///
    /// # Panics
    /// Where there is no such image.
    pub fn write_image(&self, index: usize, out: &mut [f32]) {
        for (out, &byte) in out.iter_mut().zip(self.pixels(index)) {
            *out = f32::from(byte) / 255.0;
        }
    }

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
        let mut positions: Vec<usize> = (0..self.len()).collect();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let count = count.min(self.len());
        for i in 0..count {
            // The remainder of 64 random bits is even to 1 in 10^14 for any set that fits memory.
            let rest = (self.len() - i) as u64;
            positions.swap(i, i + (random.next_u64() % rest) as usize);
        }
        positions.truncate(count);
        self.select(&positions)
    }

    /// Two disjoint halves, each in the order of the set: P1 and P2 of the paper's section 4.2.
    /// P1 has one image less where the number is odd.
    pub fn halves(&self, seed: u64) -> [ImageSet; 2] {
        let all: Vec<usize> = (0..self.len()).collect();
        let whole = ImageSet {
            indices: all,
            ..self.clone()
        };
        let shuffled = whole.shuffled(self.len(), seed);
        let (one, two) = shuffled.indices.split_at(self.len() / 2);
        [one, two].map(|half| {
            let mut half = half.to_vec();
            half.sort_unstable();
            self.select(&half)
        })
    }
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
        assert_eq!(chosen.pixels(0), set.pixels(3));
        let mut image = [0.0; 6];
        set.write_image(0, &mut image);
        assert_eq!(image[5], 5.0 / 255.0);
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

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        assert!(ImageSet::new("x", [1, 2, 2], vec![0; 7], None, Vec::new()).is_err());
        let error = ImageSet::new("x", [1, 2, 2], vec![0; 8], Some(vec![1]), Vec::new());
        assert_eq!(error.unwrap_err(), "2 images have 1 labels");
    }
}
