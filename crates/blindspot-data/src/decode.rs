//! One image file as bytes of a wanted shape.

use std::io::Cursor;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits};
use serde::{Deserialize, Serialize};

/// No image file is read further: 256 MiB.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 28;
/// Images of more pixels are refused: a small file can unpack to any size.
const MAX_PIXELS: u64 = 1 << 25;
/// What a decoder may allocate: 8 bytes a pixel, 16-bit RGBA.
const MAX_ALLOCATION: u64 = 8 * MAX_PIXELS;

/// How images of any size become images of one shape: they are resized, then the middle is cut
/// out, then the channels are made what is wanted.
///
/// Resizing is bilinear unless another interpolation is asked for, over as many pixels as one result
/// stands for (antialiased): what Pillow and torchvision call so. The middle of `h` rows begins at row `(h - height) / 2`, rounded
/// down, and so for columns. Of colours, transparency is dropped; grey is their luma as in ITU-R
/// 601 (Pillow's `L`); 16-bit values are rounded to 8. Of an animation the first picture counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fit {
    /// The size before the crop. None: the file's own; but an image smaller than the crop is
    /// enlarged until it just covers it.
    pub resize: Option<Resize>,
    /// Height and width of the middle that is kept. None: all of it.
    pub crop: Option<[usize; 2]>,
    /// 1 (grey) or 3 (red, green, blue). None: the file's own.
    pub channels: Option<usize>,
    /// Whether an image is turned as its EXIF orientation mark says, before all else. Viewers do
    /// so; most programs that train networks (Pillow, torchvision) don't.
    #[serde(default)]
    pub upright: bool,
    /// How pixels are mixed where an image is resized.
    #[serde(default, skip_serializing_if = "Interpolation::is_default")]
    pub interpolation: Interpolation,
}

/// How pixels are mixed where an image is resized: by the filters that Pillow has under these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// In proportion to the distance.
    #[default]
    Bilinear,
    /// By a cubic polynomial of the distance, with a = -1/2.
    Bicubic,
    /// By a sinc with three lobes.
    Lanczos,
    /// Not at all: the nearest pixel.
    Nearest,
}

impl Interpolation {
    fn is_default(&self) -> bool {
        *self == Interpolation::default()
    }

    fn filter(self) -> FilterType {
        match self {
            Interpolation::Bilinear => FilterType::Triangle,
            Interpolation::Bicubic => FilterType::CatmullRom,
            Interpolation::Lanczos => FilterType::Lanczos3,
            Interpolation::Nearest => FilterType::Nearest,
        }
    }
}

/// A size to resize to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resize {
    /// The shorter side gets this many pixels, the longer one in proportion, rounded down.
    Shorter(usize),
    /// This height and width, whatever the proportion was.
    Exactly([usize; 2]),
}

/// Bytes of an image, channel after channel, and channels, height, width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) shape: [usize; 3],
}

/// Decodes the content of a file and fits it.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn decode(content: &[u8], fit: &Fit) -> Result<Planes, String> {
    if content.is_empty() {
        return Err("it is empty".into());
    }
    let text = |error: image::ImageError| error.to_string();
    let mut reader = ImageReader::new(Cursor::new(content))
        .with_guessed_format()
        .map_err(|error| error.to_string())?;
    match reader.format() {
        None => {
            return Err("it is no image; give PNG, JPEG, BMP, GIF, WebP, TIFF or PNM files".into());
        }
        Some(image::ImageFormat::Jpeg) if !jpeg_is_whole(content) => {
            return Err("it is cut off before its end".into());
        }
        Some(_) => {}
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(text)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err("it has no pixels".into());
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS {
        return Err(format!(
            "it has {width}x{height} pixels, and more than {MAX_PIXELS} are refused; shrink it first"
        ));
    }
    // A mark that can't be read turns nothing, as in viewers.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(text)?;
    if fit.upright {
        image.apply_orientation(orientation);
    }
    fitted(image, fit)
}

/// Fits an image that is in memory: bytes, channel after channel.
pub(crate) fn fit_planes(bytes: &[u8], shape: [usize; 3], fit: &Fit) -> Result<Planes, String> {
    let [channels, height, width] = shape;
    let plane = height * width;
    let pixels: Vec<u8> = (0..plane)
        .flat_map(|i| (0..channels).map(move |channel| bytes[channel * plane + i]))
        .collect();
    let size = |side: usize| u32::try_from(side).map_err(|_| "it is too large".to_owned());
    let (width, height) = (size(width)?, size(height)?);
    let image = match channels {
        1 => image::GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        3 => image::RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => None,
    };
    let image =
        image.ok_or("only images of 1 or 3 channels can be resized or cropped".to_owned())?;
    fitted(image, fit)
}

fn fitted(image: DynamicImage, fit: &Fit) -> Result<Planes, String> {
    let coloured = image.color().has_color();
    let channels = fit.channels.unwrap_or(if coloured { 3 } else { 1 });
    // Transparency goes first: resizing would mix the colours of transparent pixels in.
    let image = match (coloured, image.color()) {
        (_, ColorType::L8 | ColorType::Rgb8) => image,
        (true, _) => image.into_rgb8().into(),
        (false, _) => image.into_luma8().into(),
    };
    let image = cropped(resized(image, fit)?, fit)?;
    let shape = |channels| [channels, image.height() as usize, image.width() as usize];
    match channels {
        1 => Ok(Planes {
            shape: shape(1),
            bytes: if coloured {
                image
                    .into_rgb8()
                    .pixels()
                    .map(|pixel| luma(pixel.0))
                    .collect()
            } else {
                image.into_luma8().into_raw()
            },
        }),
        3 => {
            let shape = shape(3);
            let pixels = image.into_rgb8().into_raw();
            let channel = |c: usize| pixels.iter().skip(c).step_by(3).copied();
            let bytes = (0..3).flat_map(channel).collect();
            Ok(Planes { bytes, shape })
        }
        _ => Err(format!("images have 1 or 3 channels, not {channels}")),
    }
}

fn resized(image: DynamicImage, fit: &Fit) -> Result<DynamicImage, String> {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let wanted = match (fit.resize, fit.crop) {
        (Some(Resize::Exactly(size)), _) => size,
        (Some(Resize::Shorter(side)), _) => {
            if height <= width {
                [side, side * width / height]
            } else {
                [side * height / width, side]
            }
        }
        (None, Some([h, w])) if height < h || width < w => {
            // The scale is the larger of h / height and w / width: that side fits exactly.
            if h * width >= w * height {
                [h, (h * width).div_ceil(height)]
            } else {
                [(w * height).div_ceil(width), w]
            }
        }
        _ => [height, width],
    };
    if wanted == [height, width] {
        return Ok(image);
    }
    let [h, w] = wanted;
    if h == 0 || w == 0 || (h as u64).saturating_mul(w as u64) > MAX_PIXELS {
        return Err(format!(
            "it has {width}x{height} pixels and would be resized to {w}x{h}"
        ));
    }
    let (w, h, filter) = (w as u32, h as u32, fit.interpolation.filter());
    Ok(match image {
        DynamicImage::ImageLuma8(image) => imageops::resize(&image, w, h, filter).into(),
        image => imageops::resize(&image.into_rgb8(), w, h, filter).into(),
    })
}

fn cropped(image: DynamicImage, fit: &Fit) -> Result<DynamicImage, String> {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let Some([h, w]) = fit.crop else {
        return Ok(image);
    };
    if h > height || w > width {
        return Err(format!(
            "resized it has {width}x{height} pixels (width x height), less than the crop of {w}x{h}; \
             resize it to more, or crop it to less"
        ));
    }
    let (left, top) = ((width - w) / 2, (height - h) / 2);
    Ok(image.crop_imm(left as u32, top as u32, w as u32, h as u32))
}

/// ITU-R 601-2 luma, rounded to nearest: 0.299 R + 0.587 G + 0.114 B in 16-bit fractions, as
/// Pillow computes it.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    let sum = 19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + 0x8000;
    (sum >> 16) as u8
}

/// Whether a JPEG has the mark of its end. Decoders fill up what is cut off without a word.
fn jpeg_is_whole(content: &[u8]) -> bool {
    // From segment to segment until the scan: a segment may hold a thumbnail with an end of its own.
    let mut at = 2;
    while let Some(&[mark, kind, high, low]) = content.get(at..at + 4) {
        match (mark, kind) {
            (0xff, 0xda) => break,
            // Filling before a mark, and marks without a segment.
            (0xff, 0xff) => at += 1,
            (0xff, 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, _) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
            // Stray bytes, which decoders skip.
            _ => at += 1,
        }
    }
    let scan = content.get(at..).unwrap_or_default();
    scan.windows(2).any(|pair| pair == [0xff, 0xd9])
}
