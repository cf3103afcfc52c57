//! What examples do to networks, as a picture.

use std::fmt::Display;

use blindspot::transfer::{Matrix, Rate};

use crate::axes::frame;
use crate::colours::{HEAT, INK, ON_HEAT, RULE, SOFT};
use crate::svg::{Canvas, Style};

/// The least width and the height of a cell: two lines.
const CELL: [f64; 2] = [112.0, 44.0];
/// Of a letter.
const LETTER: f64 = 7.5;
/// Above the cells: what the columns are, and their names.
const TOP: f64 = 52.0;
/// Below the cells: the scale of colours with its numbers.
const BELOW: f64 = 94.0;
/// Around all.
const MARGIN: f64 = 12.0;
/// The width and height of the scale, and the steps that it has.
const SCALE: [f64; 2] = [240.0, 12.0];
const STEPS: u32 = 24;
/// From here on words are light.
const DARK: f64 = 0.6;

/// The matrix as a picture (SVG): in each cell the share of images that the column's network gets wrong, with its 95%
/// interval; the larger, the stronger the colour, of which there is a scale below.
pub fn heat_map(matrix: &Matrix) -> String {
    let longest = |names: &[String]| {
        let letters = names.iter().map(|name| name.chars().count());
        LETTER * letters.max().unwrap_or(0) as f64
    };
    let left = MARGIN + longest(&matrix.rows).max(LETTER * "images".len() as f64) + MARGIN;
    let column = CELL[0].max(longest(&matrix.columns) + MARGIN);
    let cells = column * matrix.columns.len() as f64;
    let bottom = TOP + CELL[1] * matrix.rows.len() as f64;
    let mut canvas = Canvas::new(1);
    words(&mut canvas, [left - 8.0, TOP - 12.0], "end", SOFT, "images");
    let across = [left + cells / 2.0, 18.0];
    words(&mut canvas, across, "middle", SOFT, "network that answers");
    for (j, name) in matrix.columns.iter().enumerate() {
        let at = [left + column * (j as f64 + 0.5), TOP - 12.0];
        words(&mut canvas, at, "middle", INK, name);
    }
    for (i, (name, rates)) in matrix.rows.iter().zip(&matrix.rates).enumerate() {
        let y = TOP + CELL[1] * i as f64;
        words(&mut canvas, [left - 8.0, y + 27.0], "end", INK, name);
        for (j, rate) in rates.iter().enumerate() {
            cell(&mut canvas, [left + column * j as f64, y], column, rate);
        }
    }
    scale(&mut canvas, [left, bottom + 18.0]);
    let width = (left + cells.max(SCALE[0]) + 2.0 * MARGIN).ceil();
    let size = [width, (bottom + BELOW).ceil()];
    canvas.finish(&frame("Images that each network gets wrong", size))
}

/// A network's error on a row's images, in percent.
fn cell(canvas: &mut Canvas, [x, y]: [f64; 2], width: f64, rate: &Rate) {
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let fill = if rate.error > DARK { ON_HEAT } else { INK };
    let middle = x + width / 2.0 - 1.0;
    heat(canvas, [x, y], [width - 2.0, CELL[1] - 2.0], rate.error);
    let shown = format!("{}%", percent(rate.error));
    words(canvas, [middle, y + 19.0], "middle", fill, &shown);
    let interval = format!("{} to {}%", percent(rate.low), percent(rate.high));
    let style = Style {
        anchor: "middle",
        fill,
        size: Some(10),
    };
    canvas.text([middle, y + 34.0], style, &interval);
}

/// The colours from 0 to 100%, with numbers.
fn scale(canvas: &mut Canvas, [x, y]: [f64; 2]) {
    let width = SCALE[0] / f64::from(STEPS);
    for step in 0..STEPS {
        let share = (f64::from(step) + 0.5) / f64::from(STEPS);
        heat(
            canvas,
            [x + width * f64::from(step), y],
            [width, SCALE[1]],
            share,
        );
    }
    for quarter in 0..=4 {
        let at = x + SCALE[0] * f64::from(quarter) / 4.0;
        let below = y + SCALE[1];
        canvas.line([at, below], [at, below + 4.0], RULE, 1.0);
        let number = format!("{}%", 25 * quarter);
        words(canvas, [at, below + 18.0], "middle", SOFT, &number);
    }
    let lines = [
        "images that the network gets wrong,",
        "with the 95% interval (Wilson's)",
    ];
    for (line, below) in lines.into_iter().zip([36.0, 52.0]) {
        words(canvas, [x, y + SCALE[1] + below], "start", SOFT, line);
    }
}

/// A place in the colour of a share.
fn heat(canvas: &mut Canvas, corner: [f64; 2], size: [f64; 2], share: f64) {
    let [x, y] = corner.map(|place| format!("{place:.1}"));
    let [width, height] = size.map(|size| format!("{size:.1}"));
    let opacity = format!("{share:.3}");
    let attributes: [(&str, &dyn Display); 6] = [
        ("x", &x),
        ("y", &y),
        ("width", &width),
        ("height", &height),
        ("fill", &HEAT),
        ("fill-opacity", &opacity),
    ];
    canvas.element("rect", &attributes, None);
}

fn words(canvas: &mut Canvas, at: [f64; 2], anchor: &'static str, fill: &str, words: &str) {
    let style = Style {
        anchor,
        fill,
        size: None,
    };
    canvas.text(at, style, words);
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot::transfer::Distortion;

    #[test]
    fn each_pair_has_its_rate_and_interval_and_the_colours_have_a_scale() {
        let rate = |wrong| Rate::of(wrong, 10).unwrap();
        let matrix = Matrix {
            rows: vec!["a <b>".into(), "noise 0.1".into()],
            columns: vec!["x".into(), "y & z".into(), "w".into()],
            rates: vec![vec![rate(5), rate(0), rate(10)]; 2],
            clean: vec![vec![rate(1), rate(0), rate(10)]; 2],
            fooled: vec![vec![Rate::of(4, 9), Rate::of(0, 10), None]; 2],
            distortion: vec![Distortion::of(&[1.0], 4), None],
            norms: Vec::new(),
        };
        let svg = heat_map(&matrix);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts = document
            .descendants()
            .filter(|node| node.has_tag_name("text"));
        let texts: Vec<&str> = texts.filter_map(|node| node.text()).collect();
        assert!(texts.contains(&"a <b>") && texts.contains(&"y & z"));
        let said = |words: &str| texts.iter().filter(|text| **text == words).count();
        assert_eq!(said("50.0%"), 2);
        assert_eq!(said("23.7 to 76.3%"), 2);
        for number in ["0%", "25%", "50%", "75%", "100%"] {
            assert_eq!(said(number), 1, "{number}: {texts:?}");
        }
    }
}
