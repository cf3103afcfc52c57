//! Rows of pictures of units and directions: as parts of a page, and as one drawing.

use std::fmt::Display;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blindspot::picture::Picture;
use blindspot::units::{PictureRow, RowPicture};
use image::{Rgb, RgbImage};

use crate::gallery::{Cell, gallery};
use crate::picture::png;
use crate::svg::{Canvas, Frame};

/// The longer side of a picture is brought to at least this many pixels, and to less than twice as
/// many, by a whole factor.
const SIDE: usize = 84;
/// Around what the position sees.
const FRAME: Rgb<u8> = Rgb([232, 93, 4]);

/// A row as a page shows it.
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) top: Vec<Cell>,
    pub(crate) made: Vec<Cell>,
    pub(crate) lowest: Vec<Cell>,
}

/// The top images of a row, as a page shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowHtml {
    /// The unit or direction.
    pub title: String,
    /// What must be known of the row; empty for nothing.
    pub note: String,
    /// The pictures, an element of HTML that is XML, too.
    pub pictures: String,
}

/// The top images of rows, for a page.
///
/// # Panics
/// Never: memory takes pages of any size.
pub fn picture_rows_html(rows: &[PictureRow]) -> Vec<RowHtml> {
    let row = |row: &PictureRow| {
        let cells = row.top.iter().map(|shown| cell(shown, &row.title));
        let cells: Vec<Cell> = cells.collect();
        RowHtml {
            title: row.title.clone(),
            note: note(row),
            pictures: gallery(&cells),
        }
    };
    rows.iter().map(row).collect()
}

/// The rows of a page.
pub(crate) fn rows(rows: &[PictureRow]) -> Vec<Row> {
    let row = |row: &PictureRow| Row {
        title: row.title.clone(),
        note: note(row),
        top: row
            .top
            .iter()
            .map(|shown| cell(shown, &row.title))
            .collect(),
        made: row
            .synthesised
            .iter()
            .map(|shown| cell(shown, &row.title))
            .collect(),
        lowest: row
            .lowest
            .iter()
            .map(|shown| cell(shown, &row.title))
            .collect(),
    };
    rows.iter().map(row).collect()
}

/// What must be known of a row.
fn note(row: &PictureRow) -> String {
    let images = match (row.constant, row.tied) {
        (Some(0.0), _) => "Dead: 0 for every image, so that none leads.".to_owned(),
        (Some(value), _) => format!("Constant: {value} for every image, so that none leads."),
        (None, true) => format!(
            "Only the first {} lead: those after them have the same value as images that are not shown.",
            row.leading
        ),
        (None, false) => String::new(),
    };
    let made = if row.no_gradient {
        "No image was made for it: it has no gradient."
    } else {
        ""
    };
    [images.as_str(), made].join(" ").trim().to_owned()
}

fn cell(shown: &RowPicture, title: &str) -> Cell {
    let of = |what: String| match &shown.class {
        Some(class) => format!("{what}, class {class}"),
        None => what,
    };
    let what = match shown.image {
        Some(image) => of(format!("image {image}")),
        None => "an image made for it".to_owned(),
    };
    let field = match &shown.field {
        Some([rows, columns]) => format!(
            "; the position sees rows {} to {} and columns {} to {}",
            rows.start,
            rows.end - 1,
            columns.start,
            columns.end - 1
        ),
        None => String::new(),
    };
    Cell {
        image: address(&thumbnail(shown)),
        small: shown.picture.width.max(shown.picture.height) < SIDE,
        caption: match &shown.class {
            Some(class) => format!("{:.3} · {class}", shown.activation),
            None => format!("{:.3}", shown.activation),
        },
        alt: format!("{title}: {what}, activation {:.3}{field}", shown.activation),
    }
}

fn address(image: &RgbImage) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png(image)))
}

/// A picture at the size that it is shown, with a frame around what its position sees.
fn thumbnail(shown: &RowPicture) -> RgbImage {
    let Picture {
        width,
        height,
        values,
    } = &shown.picture;
    let (width, height) = (*width, *height);
    let longest = width.max(height).max(1);
    // A whole number of pixels becomes one, or one a whole number.
    let (shrink, zoom) = match longest {
        small if small < SIDE => (1, SIDE.div_ceil(small)),
        large => ((large / SIDE).max(1), 1),
    };
    let plane = width * height;
    let mean = |channel: usize, rows: Range<usize>, columns: Range<usize>| {
        // One channel is shown grey.
        let from = if values.len() >= 3 * plane {
            channel * plane
        } else {
            0
        };
        let (mut sum, mut count) = (0.0, 0.0f32);
        for row in rows {
            for column in columns.clone() {
                let value = values.get(from + row * width + column).copied();
                // NaN is shown black.
                sum += value.unwrap_or(0.0).clamp(0.0, 1.0).max(0.0);
                count += 1.0;
            }
        }
        (sum / count.max(1.0) * 255.0).round() as u8
    };
    let size = |pixels: usize| pixels.div_ceil(shrink) * zoom;
    let part = |at: u32, limit: usize| {
        let first = at as usize / zoom * shrink;
        first..(first + shrink).min(limit)
    };
    let mut image = RgbImage::from_fn(size(width) as u32, size(height) as u32, |x, y| {
        let (rows, columns) = (part(y, height), part(x, width));
        Rgb([0, 1, 2].map(|channel| mean(channel, rows.clone(), columns.clone())))
    });
    if let Some([rows, columns]) = &shown.field {
        let scaled = |range: &Range<usize>, limit: u32| {
            let end = (range.end.div_ceil(shrink) * zoom) as u32;
            (range.start / shrink * zoom) as u32..end.min(limit)
        };
        let (rows, columns) = (scaled(rows, image.height()), scaled(columns, image.width()));
        for y in rows.clone() {
            for x in columns.clone() {
                let edge =
                    |at: u32, range: &Range<u32>| at < range.start + 2 || at + 2 >= range.end;
                if edge(x, &columns) || edge(y, &rows) {
                    image.put_pixel(x, y, FRAME);
                }
            }
        }
    }
    image
}

/// The top images of all rows as one drawing (SVG), each row below its name.
pub fn rows_drawing(title: &str, rows: &[PictureRow]) -> String {
    const GAP: u32 = 6;
    const NAME: u32 = 40;
    let rows: Vec<(&str, Vec<(RgbImage, Cell)>)> = rows
        .iter()
        .map(|row| {
            let cells = row.top.iter();
            let cells = cells.map(|shown| (thumbnail(shown), cell(shown, &row.title)));
            (row.title.as_str(), cells.collect())
        })
        .collect();
    let row_width = |row: &(&str, Vec<(RgbImage, Cell)>)| {
        row.1
            .iter()
            .map(|(image, _)| image.width() + GAP)
            .sum::<u32>()
    };
    let row_height = |row: &(&str, Vec<(RgbImage, Cell)>)| {
        row.1
            .iter()
            .map(|(image, _)| image.height())
            .max()
            .unwrap_or(0)
    };
    let width = rows.iter().map(row_width).max().unwrap_or(0).max(600) + GAP;
    let height: u32 = rows.iter().map(|row| NAME + row_height(row) + GAP).sum();
    let mut canvas = Canvas::new(0);
    let mut top = 0;
    for row in &rows {
        let attributes: [(&str, &dyn Display); 3] =
            [("x", &GAP), ("y", &(top + NAME - 11)), ("fill", &"#1c1d20")];
        canvas.words(&attributes, row.0);
        let mut left = GAP;
        for (image, cell) in &row.1 {
            let attributes: [(&str, &dyn Display); 5] = [
                ("x", &left),
                ("y", &(top + NAME)),
                ("width", &image.width()),
                ("height", &image.height()),
                ("href", &cell.image),
            ];
            canvas.element("image", &attributes, Some(&cell.alt));
            left += image.width() + GAP;
        }
        top += NAME + row_height(row) + GAP;
    }
    canvas.finish(&Frame {
        title,
        width: f64::from(width),
        height: f64::from(height),
        fixed: false,
        font_size: Some(26),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: usize, height: usize, channels: usize) -> RowPicture {
        RowPicture {
            picture: Picture {
                width,
                height,
                values: (0..channels * width * height)
                    .map(|i| if i / (width * height) == 1 { 1.0 } else { 0.5 })
                    .collect(),
            },
            image: Some(3),
            class: Some("a <b>".into()),
            activation: 1.5,
            field: Some([0..height / 2, width / 2..width]),
        }
    }

    #[test]
    fn pictures_keep_their_proportion_and_show_the_field() {
        for (width, height, shown_as) in [
            (28, 28, (84, 84)),
            (84, 42, (84, 42)),
            (224, 112, (112, 56)),
            (1, 2, (42, 84)),
        ] {
            let image = thumbnail(&shown(width, height, 3));
            assert_eq!(image.dimensions(), shown_as, "{width} {height}");
            let (w, h) = image.dimensions();
            // The frame's corner, and a point outside of it.
            assert_eq!(*image.get_pixel(w - 1, 0), FRAME);
            assert_eq!(image.get_pixel(0, h - 1).0, [128, 255, 128]);
        }
        let grey = thumbnail(&RowPicture {
            field: None,
            ..shown(30, 30, 1)
        });
        assert_eq!(grey.get_pixel(5, 5).0, [128; 3]);
    }

    #[test]
    fn a_drawing_is_xml_with_a_name_for_each_row() {
        let row = PictureRow {
            title: "unit <3>".into(),
            top: vec![shown(28, 28, 1), shown(28, 28, 1)],
            synthesised: None,
            no_gradient: false,
            lowest: vec![],
            constant: None,
            leading: 0,
            tied: true,
        };
        let svg = rows_drawing("a & b", &[row.clone(), row.clone()]);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let tags = |name| document.descendants().filter(move |n| n.has_tag_name(name));
        assert_eq!(tags("image").count(), 4);
        assert!(tags("text").all(|text| text.text() == Some("unit <3>")));
        let dead = PictureRow {
            top: vec![],
            constant: Some(0.0),
            no_gradient: true,
            ..row.clone()
        };
        let said = note(&dead);
        assert!(
            said.contains("Dead: 0 for every image") && said.contains("no gradient"),
            "{said}"
        );
        let rows = rows(&[row]);
        assert!(
            rows[0].top[0]
                .alt
                .contains("rows 0 to 13 and columns 14 to 27")
        );
        assert!(
            rows[0].note.contains("the first 0 lead"),
            "{}",
            rows[0].note
        );
    }
}
