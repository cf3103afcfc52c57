//! A histogram of distortions as SVG, in the colours of the page around it.

use std::fmt::Write;

const BINS: usize = 40;
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 90.0;
/// Room for the numbers below.
const BELOW: f64 = 18.0;

/// The histogram of `values` from 0 to `largest`; what is no finite number is left out.
pub(crate) fn histogram(name: &str, values: &[f64], largest: f64) -> String {
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
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"Histogram of the distortion of \
         {} images for {}\"><g class=\"bars\">",
        HEIGHT + BELOW,
        finite.len(),
        escape(name)
    );
    let width = WIDTH / BINS as f64;
    for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = HEIGHT * count as f64 / most;
        let (x, y) = (bin as f64 * width, HEIGHT - height);
        let _ = write!(
            svg,
            "<rect x=\"{x:.2}\" y=\"{y:.2}\" width=\"{:.2}\" height=\"{height:.2}\"><title>{count} \
             images, {:.3} to {:.3}</title></rect>",
            width - 1.0,
            bin as f64 / BINS as f64 * largest,
            (bin + 1) as f64 / BINS as f64 * largest,
        );
    }
    let _ = write!(
        svg,
        "</g><line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{HEIGHT}\" y2=\"{HEIGHT}\"/>"
    );
    for (part, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{:.3}</text>",
            WIDTH * part,
            HEIGHT + BELOW - 4.0,
            largest * part
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Text as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
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
