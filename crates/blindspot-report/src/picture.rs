//! Pictures for people, as PNG.

use std::io::Cursor;

use blindspot::picture::Picture;
use image::{ImageFormat, Rgb, RgbImage};

/// Small images are enlarged, each pixel to a square, until they are about as wide as this.
const WIDTH: usize = 84;
/// Between pictures.
const GAP: usize = 6;
/// Between an original and what belongs to it.
const NARROW: usize = 2;
/// White paper, which both colour schemes of the page leave.
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);

/// The bytes of a PNG file.
pub(crate) fn png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("memory takes an image of any size");
    bytes.into_inner()
}

/// A picture pixel by pixel.
pub(crate) fn plain(picture: &Picture) -> RgbImage {
    let plane = picture.width * picture.height;
    RgbImage::from_fn(picture.width as u32, picture.height as u32, |x, y| {
        let at = y as usize * picture.width + x as usize;
        Rgb([0, 1, 2].map(|channel| {
            // One channel is shown grey, NaN black.
            let values = &picture.values;
            let value = values.get(channel * plane + at).or(values.get(at));
            (value.copied().unwrap_or(0.0).clamp(0.0, 1.0) * 255.0).round() as u8
        }))
    })
}

/// Filters in rows of 25, each scaled to its own largest weight, grey being 0.
pub(crate) fn filters(filters: &[Picture]) -> RgbImage {
    let rows: Vec<Vec<Vec<Picture>>> = filters
        .chunks(25)
        .map(|row| row.iter().map(|filter| vec![around_grey(filter)]).collect())
        .collect();
    sheet(&rows)
}

fn around_grey(filter: &Picture) -> Picture {
    let largest = filter
        .values
        .iter()
        .fold(f32::MIN_POSITIVE, |max, value| max.max(value.abs()));
    let values = filter
        .values
        .iter()
        .map(|value| 0.5 + 0.5 * value / largest)
        .collect();
    Picture {
        values,
        ..filter.clone()
    }
}

/// Rows of groups of pictures; those of a group stand close.
pub(crate) fn sheet(rows: &[Vec<Vec<Picture>>]) -> RgbImage {
    let width_of_group = |group: &Vec<Picture>| {
        let widths: usize = group
            .iter()
            .map(|picture| picture.width * zoom(picture))
            .sum();
        widths + NARROW * group.len().saturating_sub(1)
    };
    let width_of_row = |row: &Vec<Vec<Picture>>| {
        GAP + row
            .iter()
            .map(|group| width_of_group(group) + GAP)
            .sum::<usize>()
    };
    let height_of_row = |row: &Vec<Vec<Picture>>| {
        row.iter()
            .flatten()
            .map(|picture| picture.height * zoom(picture))
            .max()
            .unwrap_or(0)
    };
    let width = rows.iter().map(width_of_row).max().unwrap_or(0).max(1);
    let height = (GAP
        + rows
            .iter()
            .map(|row| height_of_row(row) + GAP)
            .sum::<usize>())
    .max(1);
    let mut sheet = RgbImage::from_pixel(width as u32, height as u32, PAPER);
    let mut top = GAP;
    for row in rows {
        let mut left = GAP;
        for group in row {
            for picture in group {
                draw(&mut sheet, picture, left, top);
                left += picture.width * zoom(picture) + NARROW;
            }
            left += GAP - NARROW;
        }
        top += height_of_row(row) + GAP;
    }
    sheet
}

fn zoom(picture: &Picture) -> usize {
    (WIDTH / picture.width.max(1)).clamp(1, 3)
}

fn draw(sheet: &mut RgbImage, picture: &Picture, left: usize, top: usize) {
    let plane = picture.width * picture.height;
    let channel = |c: usize, at: usize| {
        // One channel is shown grey.
        let value = picture
            .values
            .get(c * plane + at)
            .or(picture.values.get(at));
        // NaN is shown black.
        (value.copied().unwrap_or(0.0).clamp(0.0, 1.0) * 255.0).round() as u8
    };
    let zoom = zoom(picture);
    for y in 0..picture.height * zoom {
        for x in 0..picture.width * zoom {
            let at = y / zoom * picture.width + x / zoom;
            let pixel = Rgb([channel(0, at), channel(1, at), channel(2, at)]);
            sheet.put_pixel((left + x) as u32, (top + y) as u32, pixel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(value: f32) -> Picture {
        Picture {
            width: 2,
            height: 2,
            values: vec![value; 4],
        }
    }

    #[test]
    fn pixels_are_where_they_belong() {
        let row = |values: [f32; 2]| values.map(|value| vec![grey(value)]).to_vec();
        let image = sheet(&[row([0.2, 0.2]), row([0.9, f32::NAN])]);
        assert_eq!(
            image.dimensions(),
            (GAP as u32 * 3 + 12, GAP as u32 * 3 + 12)
        );
        let at = |x: usize, y: usize| image.get_pixel(x as u32, y as u32).0;
        assert_eq!(at(0, 0), PAPER.0);
        assert_eq!(at(GAP, GAP), [51; 3]);
        assert_eq!(at(GAP + 5, 2 * GAP + 6), [230; 3]);
        assert_eq!(at(2 * GAP + 6, 2 * GAP + 6), [0; 3], "NaN");
        let pair = vec![grey(0.2), grey(1.0)];
        let image = sheet(&[vec![pair], vec![]]);
        assert_eq!(
            image.get_pixel((GAP + 6 + NARROW) as u32, GAP as u32).0,
            [255; 3]
        );
        assert_eq!(
            filters(&[grey(-3.0)]).get_pixel(GAP as u32, GAP as u32).0,
            [0; 3]
        );
        assert_eq!(sheet(&[]).dimensions().0, 1);
        assert_eq!(&png(&image)[1..4], b"PNG");
    }
}
