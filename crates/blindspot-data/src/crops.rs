//! Small pieces of photographs, as sets of images without labels.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

use crate::decode::Fit;
use crate::error::DataError;
use crate::files::sha256_hex;
use crate::set::ImageSet;

/// Bytes that all crops may take together: 4 GiB.
const MAX_BYTES: usize = 1 << 32;

impl ImageSet {
    /// `each` squares of `side` x `side` pixels from every image, at its own size and at places that the
    /// seed gives: a set of `each` times as many images, held in memory, without labels. An image that
    /// is smaller is enlarged until it just covers the square. `done` is told how many have been read.
    ///
    /// # Errors
    /// [`DataError`] where an image can't be read, the values are floats, or the crops would take more
    /// than 4 GiB.
    pub fn crops(
        &self,
        side: usize,
        each: usize,
        seed: u64,
        done: &(dyn Fn(usize) + Sync),
    ) -> Result<ImageSet, DataError> {
        let name = format!("{each} crops of {side}x{side} from each of {}", self.name());
        let unfit = |why: String| DataError::Unfit {
            set: name.clone(),
            why,
        };
        let channels = self.shape()[0];
        let length = channels.saturating_mul(side.saturating_mul(side));
        let bytes = length.saturating_mul(each).saturating_mul(self.len());
        if !(1..=MAX_BYTES).contains(&bytes) {
            return Err(unfit(format!(
                "they have {bytes} bytes, and 1 to {MAX_BYTES} can be held; ask for fewer or smaller ones"
            )));
        }
        let (mut pixels, count) = (vec![0u8; bytes], AtomicUsize::new(0));
        pixels
            .par_chunks_mut(each * length)
            .enumerate()
            .try_for_each(|(index, crops)| {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                random.set_stream(index as u64);
                self.cut(index, side, crops, &mut random)?;
                done(count.fetch_add(1, Ordering::Relaxed) + 1);
                Ok::<(), DataError>(())
            })?;
        let hash = sha256_hex(&pixels);
        let hashes = vec![(name.clone(), hash)];
        ImageSet::new(&name, [channels, side, side], pixels, None, hashes).map_err(unfit)
    }

    /// Fills `crops` with squares from one image.
    fn cut(
        &self,
        index: usize,
        side: usize,
        crops: &mut [u8],
        random: &mut ChaCha8Rng,
    ) -> Result<(), DataError> {
        let channels = self.shape()[0];
        let whole = Fit {
            channels: Some(channels),
            ..Fit::default()
        };
        let mut planes = self.planes_or_damaged(index, &whole)?;
        let [_, height, width] = planes.shape;
        if height.min(width) < side {
            let covering = Fit {
                crop: Some([side, side]),
                ..whole
            };
            planes = self.planes_or_damaged(index, &covering)?;
        }
        let [_, height, width] = planes.shape;
        for crop in crops.chunks_exact_mut(channels * side * side) {
            // The remainder of 64 random bits is even to 1 in 10^14.
            let mut below = |end: usize| (random.next_u64() % end as u64) as usize;
            let (top, left) = (below(height - side + 1), below(width - side + 1));
            for (i, row) in crop.chunks_exact_mut(side).enumerate() {
                let (channel, y) = (i / side, top + i % side);
                let start = (channel * height + y) * width + left;
                row.copy_from_slice(&planes.bytes[start..start + side]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_pieces_of_their_images_and_depend_on_the_seed_alone() {
        // Each pixel says where it is.
        let pixels = (0..60).collect();
        let set = ImageSet::new("photographs", [1, 6, 5], pixels, None, Vec::new()).unwrap();
        let cut = |side, each, seed| set.crops(side, each, seed, &|_| {});
        let crops = cut(3, 40, 0).unwrap();
        assert_eq!((crops.len(), crops.shape()), (80, [1, 3, 3]));
        let mut places = std::collections::BTreeSet::new();
        for index in 0..crops.len() {
            let mut values = [0.0; 9];
            crops.read_image(index, &mut values).unwrap();
            let bytes = values.map(|x| (x * 255.0).round() as usize);
            assert_eq!(bytes[0] / 30, index / 40);
            for (i, byte) in bytes.into_iter().enumerate() {
                assert_eq!(byte, bytes[0] + i / 3 * 5 + i % 3);
            }
            places.insert(bytes[0] % 30);
        }
        assert_eq!(places.len(), 4 * 3, "every place comes");
        let hashes = |seed| cut(3, 40, seed).unwrap().hashes().to_vec();
        assert_eq!(hashes(0), hashes(0));
        assert_ne!(hashes(0), hashes(1));
        // Enlarged where they are too small.
        assert_eq!(cut(8, 1, 0).unwrap().shape(), [1, 8, 8]);
        for (side, each) in [(0, 1), (1, 0), (1 << 20, 1 << 20)] {
            assert!(cut(side, each, 0).is_err());
        }
    }
}
