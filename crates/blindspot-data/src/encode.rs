//! Images as PNG files.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

/// The bytes of a PNG file of `levels`, channel after channel; `shape` is channels (1: grey, 3:
/// red, green, blue), height, width. Read back, the same levels come out.
///
/// # Errors
/// In words, where no PNG has such a shape.
pub fn png(levels: &[u8], shape: [usize; 3]) -> Result<Vec<u8>, String> {
    let [channels, height, width] = shape;
    let refused = || {
        format!(
            "a PNG can't hold {channels} channels of {height}x{width} values (height x width); images \
             of 1 or 3 channels can be saved"
        )
    };
    let plane = height * width;
    if levels.len() != channels * plane {
        return Err(refused());
    }
    let size = |side: usize| u32::try_from(side).map_err(|_| refused());
    let (w, h) = (size(width)?, size(height)?);
    let pixels: Vec<u8> = (0..plane)
        .flat_map(|i| (0..channels).map(move |channel| levels[channel * plane + i]))
        .collect();
    let image = match channels {
        1 => GrayImage::from_raw(w, h, pixels).map(DynamicImage::from),
        3 => RgbImage::from_raw(w, h, pixels).map(DynamicImage::from),
        _ => None,
    };
    let mut bytes = Cursor::new(Vec::new());
    let image = image.ok_or_else(refused)?;
    let written = image.write_to(&mut bytes, ImageFormat::Png);
    written.map_err(|error| error.to_string())?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Fit, decode};

    #[test]
    fn what_is_read_back_is_what_was_written() {
        for shape in [[1, 4, 3], [3, 2, 5]] {
            let count = shape.iter().product::<usize>();
            let levels: Vec<u8> = (0..count).map(|i| (i * 37 % 256) as u8).collect();
            let read = decode(&png(&levels, shape).unwrap(), &Fit::default()).unwrap();
            assert_eq!((read.bytes, read.shape), (levels, shape));
        }
    }

    #[test]
    fn what_no_png_holds_is_refused() {
        assert!(png(&[0; 8], [2, 2, 2]).unwrap_err().contains("2 channels"));
        assert!(png(&[0; 3], [1, 2, 2]).is_err());
        assert!(png(&[], [3, 0, 2]).is_err());
    }
}
