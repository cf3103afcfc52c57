//! Whitening of the input by one filter for all positions.
//!
//! Neighbouring pixels of photographs say nearly the same. The filter is the middle of the matrix
//! C^-1/2 that makes patches uncorrelated (ZCA), C the covariance of patches from all over the images,
//! raised so that directions of hardly any variance are not blown up.

use blindspot_data::ImageSet;

use blindspot::inputs::{InputError, Inputs};
use blindspot::run::random::Stream;

/// Side of the filter where images are large enough.
const SIDE: usize = 9;
/// Patches that the covariance is taken from.
const PATCHES: usize = 20_000;
/// What the variances are raised by, as a part of their mean.
const RAISED: f64 = 1.0;

/// The filter and what it is applied to.
pub(crate) struct Whitening {
    /// Mean of each channel.
    pub(crate) mean: Vec<f32>,
    /// [channels, channels, side, side].
    pub(crate) kernel: Vec<f32>,
    pub(crate) side: usize,
}

impl Whitening {
    /// The whitening of some images; the same seed gives the same.
    ///
    /// # Errors
    /// [`InputError`] where an image can't be read.
    pub(crate) fn of(images: &ImageSet, seed: u64) -> Result<Whitening, InputError> {
        let [channels, height, width] = images.shape();
        let least = SIDE.min(height).min(width);
        // A filter has a middle.
        let side = least - (1 - least % 2);
        let length = channels * side * side;
        let mut stream = Stream::new(seed, "patches of the whitening", 0);
        let mut image = vec![0.0f32; images.image_len()];
        let mut patches = vec![0.0f64; PATCHES * length];
        // A few from each image, which is read once.
        let each = PATCHES.div_ceil(images.len()).max(4);
        for (i, patch) in patches.chunks_exact_mut(length).enumerate() {
            if i % each == 0 {
                images.read(stream.below(images.len()), &mut image)?;
            }
            let (top, left) = (
                stream.below(height - side + 1),
                stream.below(width - side + 1),
            );
            for (j, value) in patch.iter_mut().enumerate() {
                let (channel, y, x) = (j / (side * side), j / side % side, j % side);
                *value = f64::from(image[(channel * height + top + y) * width + left + x]);
            }
        }
        let mut mean = vec![0.0; channels];
        for patch in patches.chunks_exact(length) {
            for (j, value) in patch.iter().enumerate() {
                mean[j / (side * side)] += value / (PATCHES * side * side) as f64;
            }
        }
        for patch in patches.chunks_exact_mut(length) {
            for (j, value) in patch.iter_mut().enumerate() {
                *value -= mean[j / (side * side)];
            }
        }
        let patches = faer::MatRef::from_column_major_slice(&patches, length, PATCHES);
        let covariance = patches * patches.transpose();
        let kernel = inverse_root(&covariance, PATCHES as f64, channels, side);
        Ok(Whitening {
            mean: mean.iter().map(|&mean| mean as f32).collect(),
            kernel,
            side,
        })
    }
}

/// The rows of (sum / count)^-1/2 that belong to the middle of each channel.
fn inverse_root(sum: &faer::Mat<f64>, count: f64, channels: usize, side: usize) -> Vec<f32> {
    let length = sum.nrows();
    let middle = |channel: usize| (channel * side + side / 2) * side + side / 2;
    let Ok(eigen) = sum.self_adjoint_eigen(faer::Side::Lower) else {
        // Not finite: the filter that changes nothing.
        let one = |(channel, j)| f32::from(u8::from(j == middle(channel)));
        let places = (0..channels).flat_map(|channel| (0..length).map(move |j| (channel, j)));
        return places.map(one).collect();
    };
    let values = eigen.S().column_vector();
    let variance = |i: usize| (values[i] / count).max(0.0);
    let mean = (0..length).map(variance).sum::<f64>() / length as f64;
    // Images of one colour have no variance at all.
    let raised = (RAISED * mean).max(1e-12);
    let vectors = eigen.U();
    let entry = |row: usize, column: usize| {
        let part =
            |i: usize| vectors[(row, i)] * vectors[(column, i)] / (variance(i) + raised).sqrt();
        (0..length).map(part).sum::<f64>() as f32
    };
    let rows = (0..channels).map(middle);
    rows.flat_map(|row| {
        (0..length)
            .map(move |column| entry(row, column))
            .collect::<Vec<f32>>()
    })
    .collect()
}
