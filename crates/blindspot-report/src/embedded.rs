//! Pictures and tables inside a page that stays small, as data addresses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blindspot::examples::StoredExample;
use blindspot::picture::Picture;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{DynamicImage, RgbImage};

use crate::picture::{plain, png};
use crate::signal::Signal;

/// Bytes that the pictures of all images may take on a page, before their encoding as text.
const BUDGET: f64 = 18e6;
/// Bytes a pixel of three JPEG pictures: two of a photograph, one of a perturbation, as noisy as those of the sign of a
/// gradient.
const BYTES_A_PIXEL: f64 = 1.8;
/// Bytes a point of a curve.
const BYTES_A_POINT: f64 = 12.0;
/// Points of a curve: two a pixel are all that can be seen.
const MOST_POINTS: usize = 640;
const LEAST_POINTS: usize = 32;
/// Longer sides are brought down to this.
const LARGEST: u32 = 512;
/// Pictures up to this many pixels are shown enlarged, each pixel a square, and kept without loss.
const SMALL: usize = 64 * 64;
const QUALITY: u8 = 82;

/// How pictures become data addresses.
pub(crate) struct Encoder {
    shape: [usize; 3],
    /// What inputs are that are no pictures, and the points of each curve.
    signal: Option<(Signal, usize)>,
    range: [f32; 2],
    /// The longer side at most, in pixels.
    side: u32,
    lossless: bool,
}

/// An example as three data addresses.
pub(crate) struct Pictures {
    pub(crate) original: String,
    pub(crate) perturbation: String,
    pub(crate) adversarial: String,
    /// By how much the perturbation is magnified.
    pub(crate) magnified: String,
    /// Whether they are to be shown larger than their pixels.
    pub(crate) small: bool,
}

impl Encoder {
    /// For a few examples, without loss.
    pub(crate) fn large(shape: [usize; 3], range: [f32; 2]) -> Encoder {
        Encoder {
            shape,
            signal: Signal::of(shape).map(|signal| (signal, MOST_POINTS)),
            range,
            side: LARGEST,
            lossless: true,
        }
    }

    /// For `count` examples on one page.
    pub(crate) fn for_many(shape: [usize; 3], range: [f32; 2], count: usize) -> Encoder {
        let bytes = BUDGET / count.max(1) as f64;
        let pixels = bytes / BYTES_A_PIXEL;
        let curves = |signal: Signal| {
            let points = bytes / (3 * signal.channels()) as f64 / BYTES_A_POINT;
            (signal, (points as usize).clamp(LEAST_POINTS, MOST_POINTS))
        };
        Encoder {
            shape,
            signal: Signal::of(shape).map(curves),
            range,
            side: (pixels.sqrt() as u32).clamp(24, LARGEST),
            lossless: shape[1] * shape[2] <= SMALL,
        }
    }

    /// Whether its pictures are to be shown larger than their pixels.
    pub(crate) fn is_small(&self) -> bool {
        self.signal.is_none() && self.shape[1] * self.shape[2] <= SMALL
    }

    /// What must be known of pictures made by it.
    pub(crate) fn note(&self) -> String {
        let how = "The original beside the adversarial image; under “Numbers” the perturbation, magnified around grey.";
        let longer = self.shape[1].max(self.shape[2]);
        if self.signal.is_some() {
            return format!(
                "{how} Signals: a curve for each channel over time, from the least value to the largest."
            );
        }
        if self.is_small() {
            how.to_owned()
        } else if longer > self.side as usize {
            format!(
                "{how} Copies of at most {} pixels a side, as JPEG: the arrays have the exact values.",
                self.side
            )
        } else {
            format!("{how} Copies as JPEG: the arrays have the exact values.")
        }
    }

    /// An example's pictures.
    pub(crate) fn pictures(&self, row: &StoredExample) -> Pictures {
        let (original, adversarial) = (&row.original, &row.example.adversarial);
        let changes = adversarial.iter().zip(original).map(|(a, o)| a - o);
        let (magnified, perturbation) = self.perturbation(changes);
        Pictures {
            original: self.image(original),
            adversarial: self.image(adversarial),
            perturbation,
            magnified,
            small: self.is_small(),
        }
    }

    /// The picture of an image.
    pub(crate) fn image(&self, values: &[f32]) -> String {
        let [low, high] = self.range;
        self.address(values.iter().map(|v| (v - low) / (high - low)))
    }

    /// By how much a perturbation is magnified, and its picture then.
    pub(crate) fn perturbation(&self, changes: impl Iterator<Item = f32>) -> (String, String) {
        let [low, high] = self.range;
        let changes: Vec<f32> = changes.map(|change| change / (high - low)).collect();
        let (factor, shown) = magnified(&changes);
        (factor.to_string(), self.address(shown))
    }

    /// Values from 0 to 1 as the data address of a picture.
    fn address(&self, values: impl Iterator<Item = f32>) -> String {
        if let Some((signal, points)) = &self.signal {
            let values: Vec<f32> = values.collect();
            return svg_link(&signal.drawing(&values, *points));
        }
        let [_, height, width] = self.shape;
        let picture = plain(&Picture {
            width,
            height,
            values: values.collect(),
        });
        let picture = fitted(picture, self.side);
        if self.lossless && (self.is_small() || self.side == LARGEST) {
            return format!("data:image/png;base64,{}", STANDARD.encode(png(&picture)));
        }
        let mut bytes = Vec::new();
        DynamicImage::from(picture)
            .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
            .expect("memory takes an image of any size");
        format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes))
    }
}

/// A picture whose longer side is at most `side`.
fn fitted(picture: RgbImage, side: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let longer = width.max(height);
    if longer <= side {
        return picture;
    }
    let scaled = |length: u32| {
        let length = f64::from(length) * f64::from(side) / f64::from(longer);
        (length.round() as u32).max(1)
    };
    resize(
        &picture,
        scaled(width),
        scaled(height),
        FilterType::Triangle,
    )
}

/// A perturbation, as a part of the range, magnified around grey: by which round factor, and its values then.
pub(crate) fn magnified(changes: &[f32]) -> (f32, impl Iterator<Item = f32> + '_) {
    let factor = magnification(ordinary(
        changes.iter().map(|change| change.abs()).collect(),
    ));
    let values = changes.iter().map(move |change| 0.5 + change * factor);
    (factor, values)
}

/// The size that only one change in 200 exceeds: single values that stand out would leave all others grey.
fn ordinary(mut sizes: Vec<f32>) -> f32 {
    let Some(last) = sizes.len().checked_sub(1) else {
        return 0.0;
    };
    let rank = last - last / 200;
    *sizes.select_nth_unstable_by(rank, f32::total_cmp).1
}

/// The round factor (1, 2 or 5 times a power of ten) that brings a change of this size close to half the range, and not
/// beyond it.
fn magnification(size: f32) -> f32 {
    if !(size.is_finite() && size > 0.0) {
        return 1.0;
    }
    let most = 0.5 / size;
    let power = 10f32.powf(most.log10().floor());
    let factor = [5.0, 2.0, 1.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|&factor| factor <= most * (1.0 + 1e-6));
    factor.unwrap_or(power).max(1.0)
}

/// A table's text as a data address.
pub(crate) fn csv_link(text: &str) -> String {
    format!("data:text/csv;base64,{}", STANDARD.encode(text))
}

/// A drawing as a data address.
pub(crate) fn svg_link(svg: &str) -> String {
    format!("data:image/svg+xml;base64,{}", STANDARD.encode(svg))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perturbation_is_magnified_by_a_round_factor_as_far_as_it_can_be_seen() {
        for (largest, factor) in [
            (0.5, 1.0),
            (0.9, 1.0),
            (0.25, 2.0),
            (0.1, 5.0),
            (0.004, 100.0),
        ] {
            assert!(
                (magnification(largest) - factor).abs() < 1e-3 * factor,
                "{largest}"
            );
        }
        for nothing in [0.0, f32::NAN, f32::INFINITY] {
            assert_eq!(magnification(nothing), 1.0);
        }
    }

    #[test]
    fn pages_of_many_images_stay_within_their_budget() {
        let photograph: Vec<f32> = (0..3 * 224 * 224u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as f32 / 255.0)
            .collect();
        // Noise is the worst that JPEG can be asked for.
        let smooth: Vec<f32> = (0..3 * 224 * 224)
            .map(|i| (i % 224) as f32 / 224.0)
            .collect();
        let encoder = Encoder::for_many([3, 224, 224], [0.0, 1.0], 1000);
        let addresses =
            [&smooth, &photograph].map(|values| encoder.address(values.iter().copied()));
        let length: usize = addresses.iter().map(String::len).sum();
        assert!(length < 32_000, "{length}");
        assert!(encoder.note().contains("100 pixels"), "{}", encoder.note());
        let few = Encoder::for_many([3, 224, 224], [0.0, 1.0], 100);
        assert!(few.note().contains("Copies as JPEG"));
    }
}
