//! A histogram of distortions as SVG, in the colours of the page around it.

use std::fmt::Display;

use crate::svg::Canvas;

const BINS: usize = 40;
/// Of the drawing.
const WIDTH: f64 = 400.0;
/// Of the bars.
const HEIGHT: f64 = 90.0;
/// The height of the numbers below.
const BELOW: f64 = 18.0;

/// The histogram of the distortions `values` of a model's images from 0 to `largest`, as a part of a page
/// (SVG); what is no finite number is left out.
pub fn histogram(name: &str, values: &[f64], largest: f64) -> String {
    let largest = if largest.is_finite() && largest > 0.0 {
        largest
    } else {
        1.0
    };
    let finite: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .collect();
    let mut counts = [0usize; BINS];
    for value in &finite {
        let bin = (value / largest * BINS as f64)
            .floor()
            .clamp(0.0, BINS as f64 - 1.0);
        counts[bin as usize] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let mut canvas = Canvas::inline(2);
    let width = WIDTH / BINS as f64;
    canvas.group("bars", |canvas| {
        for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let height = HEIGHT * count as f64 / most;
            let (x, y) = (bin as f64 * width, HEIGHT - height);
            let title = format!(
                "{count} images, {:.3} to {:.3}",
                bin as f64 / BINS as f64 * largest,
                (bin + 1) as f64 / BINS as f64 * largest,
            );
            let [x, y, width, height] =
                [x, y, width - 1.0, height].map(|value| format!("{value:.2}"));
            let attributes: [(&str, &dyn Display); 4] =
                [("x", &x), ("y", &y), ("width", &width), ("height", &height)];
            canvas.element("rect", &attributes, Some(&title));
        }
    });
    let axis: [(&str, &dyn Display); 5] = [
        ("class", &"axis"),
        ("x1", &0),
        ("x2", &WIDTH),
        ("y1", &HEIGHT),
        ("y2", &HEIGHT),
    ];
    canvas.element("line", &axis, None);
    for (fraction, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
        let attributes: [(&str, &dyn Display); 3] = [
            ("x", &(WIDTH * fraction)),
            ("y", &(HEIGHT + BELOW - 4.0)),
            ("text-anchor", &anchor),
        ];
        canvas.words(&attributes, &format!("{:.3}", largest * fraction));
    }
    let images = finite.len();
    let label = format!("Histogram of the distortion of {images} images for {name}");
    canvas.finish_inline([WIDTH, HEIGHT + BELOW], &label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_counted_once() {
        let values = [0.0, 0.05, 0.1, 0.1, f64::NAN, f64::INFINITY, -1.0];
        let svg = histogram("<model>", &values, 0.1);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let titles = document
            .descendants()
            .filter(|node| node.has_tag_name("title"));
        let counts: usize = titles
            .map(|title| {
                title
                    .text()
                    .unwrap()
                    .split(' ')
                    .next()
                    .unwrap()
                    .parse::<usize>()
                    .unwrap()
            })
            .sum();
        assert_eq!(counts, 5);
        for largest in [f64::NAN, 0.0, f64::INFINITY] {
            roxmltree::Document::parse(&histogram("m", &values, largest)).unwrap();
        }
    }
}
