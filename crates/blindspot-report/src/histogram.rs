//! A histogram of distortions as a part of a page, with axes.

use crate::axes::{Area, Plot};
use crate::axis::Axis;
use crate::colours::COLOURS;
use crate::svg::Canvas;
use crate::table::digits;

const BINS: usize = 40;
/// Two stand side by side on a page.
const AREA: Area = Area::of_drawing([440.0, 220.0]);

/// The histogram of the distortions `values` of a model's images from 0 to a round number, `largest` or a little beyond
/// it, as a part of a page (SVG); what is no finite number is left out.
pub fn histogram(name: &str, values: &[f64], largest: f64) -> String {
    let across = Axis::up_to(largest, "distortion of an image, pixels in [0, 1]");
    let end = across.ends[1];
    let mut counts = [0usize; BINS];
    let finite = values.iter().filter(|value| value.is_finite());
    for value in finite {
        let bin = (value / end * BINS as f64)
            .floor()
            .clamp(0.0, BINS as f64 - 1.0);
        counts[bin as usize] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    let mut plot = Plot::on(Canvas::new(1), AREA, across, Axis::counts(most, "images"));
    for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let edges = [bin, bin + 1].map(|edge| edge as f64 / BINS as f64 * end);
        let title = format!(
            "{count} images, {} to {}",
            digits(edges[0]),
            digits(edges[1])
        );
        plot.bar(edges, count as f64, COLOURS[0], &title);
    }
    let images: usize = counts.iter().sum();
    let [inline, _] = plot.finish(&format!(
        "Histogram of the distortion of {images} images for {name}"
    ));
    inline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_value_is_counted_once_on_axes_with_names_and_round_ticks() {
        let values = [0.0, 0.05, 0.093, 0.1, f64::NAN, f64::INFINITY, -1.0];
        let svg = histogram("<model>", &values, 0.093);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let titles = document
            .descendants()
            .filter(|node| node.has_tag_name("title"));
        let counts: usize = titles
            .map(|title| {
                let words = title.text().unwrap().split(' ').next().unwrap();
                words.parse::<usize>().unwrap()
            })
            .sum();
        assert_eq!(counts, 5);
        let words = document.descendants().filter(|n| n.has_tag_name("text"));
        let words: Vec<&str> = words.filter_map(|node| node.text()).collect();
        for word in ["images", "0.10", "0.02", "2"] {
            assert!(words.contains(&word), "{word}: {words:?}");
        }
        for largest in [f64::NAN, 0.0, f64::INFINITY] {
            roxmltree::Document::parse(&histogram("m", &values, largest)).unwrap();
        }
    }
}
