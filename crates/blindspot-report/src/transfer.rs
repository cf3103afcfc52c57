//! What examples do to networks: a table and a picture.

use std::fmt::Write;

use blindspot::transfer::Matrix;

use crate::table::{Cell, Table};

/// The matrix as a table: the error of each column's network on each row's images, with its 95%
/// interval.
pub fn transfer_matrix(matrix: &Matrix) -> Table {
    let mut heads = vec!["images".to_owned()];
    for column in &matrix.columns {
        heads.extend([column.clone(), "95% interval".to_owned()]);
    }
    heads.extend(["distortion".to_owned(), "samples".to_owned()]);
    let row = |i: usize| {
        let rates = matrix.rates[i].iter().flat_map(|rate| {
            let interval = format!("{:.1}% to {:.1}%", 100.0 * rate.low, 100.0 * rate.high);
            [Cell::Rate(rate.error, None), Cell::Text(interval)]
        });
        let samples = matrix.rates[i].first().map_or(0, |rate| rate.images);
        std::iter::once(Cell::Text(matrix.rows[i].clone()))
            .chain(rates)
            .chain([
                Cell::Size(matrix.distortion[i].pooled, None),
                Cell::Count(samples),
            ])
            .collect()
    };
    Table {
        title: "Errors of the columns' networks on the rows' images".into(),
        note: "Intervals: Wilson's, 95%. Distortion: pooled over all values of all images.".into(),
        heads,
        rows: (0..matrix.rows.len()).map(row).collect(),
    }
}

/// The matrix as a picture (SVG): the darker, the more images a network gets wrong.
pub fn heat_map(matrix: &Matrix) -> String {
    const CELL: (usize, usize) = (96, 36);
    let letters = |names: &[String]| {
        names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0)
    };
    let (left, top) = (8 * letters(&matrix.rows) + 24, 40);
    let column_width = CELL.0.max(8 * letters(&matrix.columns) + 16);
    let (width, height) = (
        left + column_width * matrix.columns.len() + 8,
        top + CELL.1 * matrix.rows.len() + 8,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>Errors of the columns' networks on the rows' images</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fdfdfb\"/>\n"
    );
    let mut text = |x: usize, y: usize, anchor: &str, fill: &str, words: &str| {
        let words = words.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{words}</text>"
        );
    };
    for (j, column) in matrix.columns.iter().enumerate() {
        text(
            left + column_width * j + column_width / 2,
            top - 12,
            "middle",
            "#1c1d20",
            column,
        );
    }
    for (i, row) in matrix.rows.iter().enumerate() {
        text(left - 8, top + CELL.1 * i + 23, "end", "#1c1d20", row);
    }
    for (i, rates) in matrix.rates.iter().enumerate() {
        for (j, rate) in rates.iter().enumerate() {
            let (x, y) = (left + column_width * j, top + CELL.1 * i);
            // From the page's white to a dark blue.
            let mix = |light: f64, dark: f64| (light + rate.error * (dark - light)).round() as u8;
            let (red, green, blue) = (mix(244.0, 23.0), mix(244.0, 55.0), mix(239.0, 118.0));
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"rgb({red},{green},{blue})\"/>",
                column_width - 2,
                CELL.1 - 2
            );
            let fill = if rate.error > 0.45 {
                "#ffffff"
            } else {
                "#1c1d20"
            };
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"{fill}\">{:.1}%</text>",
                x + column_width / 2,
                y + 23,
                100.0 * rate.error
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use blindspot::transfer::{Distortion, Rate};

    use super::*;

    #[test]
    fn the_picture_is_xml_with_a_rate_for_each_pair() {
        let matrix = Matrix {
            rows: vec!["a <b>".into(), "noise 0.1".into()],
            columns: vec!["x".into(), "y & z".into(), "w".into()],
            rates: vec![vec![Rate::of(5, 10), Rate::of(0, 10), Rate::of(10, 10)]; 2],
            distortion: vec![Distortion::of(&[1.0], 4); 2],
        };
        let svg = heat_map(&matrix);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts = document
            .descendants()
            .filter(|node| node.has_tag_name("text"));
        let texts: Vec<&str> = texts.filter_map(|node| node.text()).collect();
        assert_eq!(texts.iter().filter(|text| text.ends_with('%')).count(), 6);
        assert!(texts.contains(&"a <b>") && texts.contains(&"y & z"));
        let table = transfer_matrix(&matrix);
        assert!(
            table.markdown().contains("23.7% to 76.3%"),
            "{}",
            table.markdown()
        );
    }
}
