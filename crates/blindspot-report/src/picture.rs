//! Pictures for people, as PNG.

use std::io::Cursor;

use blindspot::picture::Picture;
use blindspot_paper::results::Pair;
use image::{ImageFormat, Rgb, RgbImage};

/// Small images are enlarged, each pixel to a square, until they are about as wide as this.
const WIDTH: usize = 84;
/// Between pictures.
const GAP: usize = 6;
/// Between an original and what belongs to it.
const NARROW: usize = 2;
/// A change is shown this many times magnified, around grey.
const MAGNIFIED: f32 = 4.0;
/// The paper's figure 5 has it so many times magnified, around the level 128 of 255.
const MAGNIFIED_5: f32 = 10.0;
/// A difference is seen from this value on; figure 6 is never magnified more than so many times.
const VISIBLE_6: f32 = 0.2;
const MOST_6: f32 = 1e6;
const GREY_5: f32 = 128.0 / 255.0;
/// Images of figure 6 in a row.
const GROUPS_6: usize = 4;
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

/// Figure 7: a panel below the other, each a row of original and changed side by side.
pub(crate) fn figure7(panels: &[Vec<Pair>]) -> RgbImage {
    let rows: Vec<Vec<Vec<Picture>>> = panels
        .iter()
        .map(|panel| {
            let pair = |pair: &Pair| vec![pair.original.clone(), pair.changed.clone()];
            panel.iter().map(pair).collect()
        })
        .collect();
    sheet(&rows)
}

/// Examples: originals above, changes in the middle (magnified, around grey), adversarial images
/// below, a column each.
pub(crate) fn examples(pairs: &[Pair]) -> RgbImage {
    columns(pairs, |pair| change(pair, MAGNIFIED, 0.5))
}

/// Figure 5, laid out in the same way.
pub(crate) fn figure5(pairs: &[Pair]) -> RgbImage {
    columns(pairs, |pair| change(pair, MAGNIFIED_5, GREY_5))
}

/// By which power of ten the differences of figure 6 are magnified: at least 10, so much that the largest
/// of them is seen.
pub(crate) fn magnification6(pairs: &[Pair]) -> f32 {
    let values = pairs.iter().flat_map(|pair| change(pair, 1.0, 0.0).values);
    let largest = values.fold(0.0, |max: f32, value| max.max(value.abs()));
    let mut magnified = MAGNIFIED_5;
    while magnified * largest < VISIBLE_6 && magnified < MOST_6 {
        magnified *= 10.0;
    }
    magnified
}

/// Figure 6, as the paper has it: recognised, not recognised, and the magnitude of the difference,
/// magnified; such a group for each image, so many in a row.
pub(crate) fn figure6(pairs: &[Pair]) -> RgbImage {
    let magnified = magnification6(pairs);
    let difference = |pair: &Pair| {
        let mut change = change(pair, magnified, 0.0);
        change
            .values
            .iter_mut()
            .for_each(|value| *value = value.abs());
        change
    };
    let group = |pair: &Pair| {
        vec![
            pair.original.clone(),
            pair.changed.clone(),
            difference(pair),
        ]
    };
    let rows: Vec<Vec<Vec<Picture>>> = pairs
        .chunks(GROUPS_6)
        .map(|row| row.iter().map(group).collect())
        .collect();
    sheet(&rows)
}

fn columns(pairs: &[Pair], change: impl Fn(&Pair) -> Picture) -> RgbImage {
    let single = |picture: Picture| vec![picture];
    let rows = vec![
        pairs
            .iter()
            .map(|pair| single(pair.original.clone()))
            .collect(),
        pairs.iter().map(|pair| single(change(pair))).collect(),
        pairs
            .iter()
            .map(|pair| single(pair.changed.clone()))
            .collect(),
    ];
    sheet(&rows)
}

/// Filters in rows of 25, each scaled to its own largest weight, grey being 0.
pub(crate) fn filters(filters: &[Picture]) -> RgbImage {
    let rows: Vec<Vec<Vec<Picture>>> = filters
        .chunks(25)
        .map(|row| row.iter().map(|filter| vec![around_grey(filter)]).collect())
        .collect();
    sheet(&rows)
}

fn change(pair: &Pair, magnified: f32, grey: f32) -> Picture {
    let values = pair.original.values.iter().zip(&pair.changed.values);
    let values = values
        .map(|(original, changed)| grey + magnified * (changed - original))
        .collect();
    Picture {
        values,
        ..pair.original.clone()
    }
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
fn sheet(rows: &[Vec<Vec<Picture>>]) -> RgbImage {
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
        let pair = |changed| Pair {
            original: grey(0.2),
            changed: grey(changed),
            label: 1,
            before: 1,
            after: 2,
            distortion: 0.1,
        };
        let image = examples(&[pair(0.3), pair(f32::NAN)]);
        assert_eq!(
            image.dimensions(),
            (GAP as u32 * 3 + 12, GAP as u32 * 4 + 18)
        );
        let at = |x: usize, y: usize| image.get_pixel(x as u32, y as u32).0;
        assert_eq!(at(0, 0), PAPER.0);
        assert_eq!(at(GAP, GAP), [51; 3]);
        assert_eq!(at(GAP + 5, 2 * GAP + 6), [230; 3], "0.5 + 4 * 0.1");
        assert_eq!(at(GAP, 3 * GAP + 12), [77; 3]);
        assert_eq!(at(2 * GAP + 6, 3 * GAP + 12), [0; 3], "NaN");
        let image = figure7(&[vec![pair(1.0)], vec![]]);
        assert_eq!(
            image.get_pixel((GAP + 6 + NARROW) as u32, GAP as u32).0,
            [255; 3]
        );
        assert_eq!(
            filters(&[grey(-3.0)]).get_pixel(GAP as u32, GAP as u32).0,
            [0; 3]
        );
        // As many powers of ten as bring the largest difference into sight.
        assert_eq!(magnification6(&[pair(0.2), pair(0.3)]), 10.0);
        assert_eq!(magnification6(&[pair(0.2003)]), 1000.0);
        assert_eq!(magnification6(&[pair(0.2)]), MOST_6);
        assert_eq!(sheet(&[]).dimensions().0, 1);
        assert_eq!(&png(&image)[1..4], b"PNG");
    }
}
