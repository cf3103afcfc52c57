//! Curves as SVG: a spectrum, images between their certificates and the perturbations found, any others.

use std::fmt::Display;

use blindspot::spectrum::{LayerKind, LayerSpectrum};

use crate::svg::{Canvas, Frame, Style};

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 34.0;
const BELOW: f64 = 44.0;
const RIGHT: f64 = 16.0;

/// Of numbers and what is said below.
const SOFT: &str = "#62666e";

/// Colours that curves can be told apart by.
pub const COLOURS: [&str; 3] = ["#2b5fa8", "#c8641e", "#3f7d3a"];

/// A curve of [`curves_plot`].
#[derive(Debug, Clone, Copy)]
pub struct Curve<'a> {
    /// Stands above the curves, in their colour.
    pub name: &'a str,
    /// The colour, one of [`COLOURS`].
    pub colour: &'static str,
    /// The values from left to right; what is not finite is left out.
    pub values: &'a [f64],
    /// Where each value stands, from 0 (left) to 1; evenly spaced if empty.
    pub places: &'a [f64],
}

/// The spectrum of a layer (SVG), the largest singular value first, on a logarithmic axis: as the
/// layer runs, and in the circular reading of a convolution. None where neither is known.
pub fn spectrum_plot(layer: &LayerSpectrum) -> Option<String> {
    let mut curves = vec![Curve {
        name: "as it runs",
        colour: COLOURS[0],
        values: &layer.as_run.spectrum,
        places: &[],
    }];
    if layer.kind == LayerKind::Conv {
        curves.push(Curve {
            name: "circular",
            colour: COLOURS[1],
            values: &layer.circular.spectrum,
            places: &[],
        });
    }
    curves.retain(|curve| !curve.values.is_empty());
    let title = format!("Singular values of {}", layer.layer);
    (!curves.is_empty()).then(|| curves_plot(&title, "rank, from the largest", &curves, true))
}

/// Each image between its certified distance and the smallest perturbation found (SVG), images ordered by
/// the latter. Both slices have one L2 norm an image.
pub fn certificate_plot(certificates: &[f64], found: &[f64]) -> String {
    let mut pairs: Vec<(f64, f64)> = found
        .iter()
        .copied()
        .zip(certificates.iter().copied())
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let (found, certified): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    let curves = [
        Curve {
            name: "smallest change found",
            colour: COLOURS[1],
            values: &found,
            places: &[],
        },
        Curve {
            name: "certified: no smaller change",
            colour: COLOURS[0],
            values: &certified,
            places: &[],
        },
    ];
    let title = "L2 norms that change the label";
    curves_plot(title, "images, by the change found", &curves, false)
}

/// The range of a logarithmic axis, in powers of ten: six of them below the largest value at most.
fn powers(largest: f64, smallest: f64) -> (f64, f64) {
    let high = largest.log10().ceil();
    (
        smallest.log10().floor().max(high - 7.0).min(high - 1.0),
        high,
    )
}

/// Curves over a common axis (SVG), their names above and `below` under it. On a logarithmic axis only
/// values above 0 count.
pub fn curves_plot(title: &str, below: &str, curves: &[Curve<'_>], logarithmic: bool) -> String {
    let finite = || {
        let all = curves.iter().flat_map(|curve| curve.values);
        all.copied()
            .filter(|value| value.is_finite() && *value > 0.0)
    };
    let largest = finite().fold(0.0, f64::max);
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let (low, high) = if logarithmic {
        powers(largest, finite().fold(largest, f64::min))
    } else {
        (0.0, 1.05 * largest)
    };
    let (right, bottom) = (WIDTH - RIGHT, TOP + HEIGHT);
    let height = |value: f64| {
        let value = if logarithmic { value.log10() } else { value };
        let fraction = ((value - low) / (high - low)).clamp(0.0, 1.0);
        bottom - fraction * HEIGHT
    };
    let mut canvas = Canvas::new(1);
    let style = |anchor, fill| Style {
        anchor,
        fill,
        size: None,
    };
    let ticks: Vec<(f64, String)> = if logarithmic {
        (low as i32..=high as i32)
            .map(|power| (10f64.powi(power), format!("1e{power}")))
            .collect()
    } else {
        (0..=4)
            .map(|i| high * f64::from(i) / 4.0)
            .map(|value| (value, format!("{value:.2}")))
            .collect()
    };
    for (value, words) in ticks {
        let y = height(value);
        let line = format!("{y:.1}");
        let attributes: [(&str, &dyn Display); 5] = [
            ("x1", &LEFT),
            ("x2", &right),
            ("y1", &line),
            ("y2", &line),
            ("stroke", &"#dcdcd6"),
        ];
        canvas.element("line", &attributes, None);
        canvas.text([LEFT - 8.0, y + 4.0], style("end", SOFT), &words);
    }
    let longest = curves.iter().map(|curve| curve.values.len()).max();
    let longest = longest.unwrap_or(0);
    for (i, curve) in curves.iter().enumerate() {
        let steps = curve.values.len().max(2) - 1;
        let finite = curve.values.iter().enumerate();
        let points: Vec<[f64; 2]> = finite
            .filter(|(_, value)| value.is_finite())
            .map(|(k, &value)| {
                let place = curve.places.get(k).copied();
                let place = place.unwrap_or(k as f64 / steps as f64);
                [LEFT + (right - LEFT) * place, height(value)]
            })
            .collect();
        canvas.polyline(&points, curve.colour, 1.6);
        let x = LEFT + (right - LEFT) / curves.len().max(2) as f64 * i as f64;
        canvas.text([x, TOP - 12.0], style("start", curve.colour), curve.name);
    }
    let words = format!("{below} ({longest} points)");
    let middle = [(LEFT + right) / 2.0, bottom + 28.0];
    canvas.text(middle, style("middle", SOFT), &words);
    canvas.finish(&Frame {
        title,
        width: WIDTH,
        height: bottom + BELOW,
        fixed: true,
        font_size: Some(12),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_are_xml_with_a_curve_for_each_series() {
        let found = [0.5, f64::INFINITY, 1.5, 0.0];
        for svg in [
            certificate_plot(&[0.25, 0.5, 0.75, 0.0], &found),
            certificate_plot(&[], &[]),
            curves_plot("a <b>", "c", &[], true),
        ] {
            let document = roxmltree::Document::parse(&svg).unwrap();
            assert!(document.root_element().has_tag_name("svg"));
        }
        let svg = certificate_plot(&[0.25, 0.5, 0.75, 0.0], &found);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let curves = document
            .descendants()
            .filter(|node| node.has_tag_name("polyline"));
        let points: Vec<usize> = curves
            .map(|curve| curve.attribute("points").unwrap().split(' ').count())
            .collect();
        assert_eq!(points, [3, 4], "what is not finite is left out");
    }

    #[test]
    fn values_stand_at_their_places() {
        let curve = |values, places| Curve {
            name: "one",
            colour: COLOURS[0],
            values,
            places,
        };
        let curves = [curve(&[0.9, 0.5], &[0.25, 0.75]), curve(&[0.7], &[1.0])];
        let svg = curves_plot("a", "b", &curves, true);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let points = document
            .descendants()
            .filter_map(|node| node.attribute("points"));
        let places: Vec<Vec<f64>> = points
            .map(|points| {
                let places = points
                    .split(' ')
                    .map(|point| point.split(',').next().unwrap());
                places.map(|x| x.parse().unwrap()).collect()
            })
            .collect();
        let at = |place: f64| LEFT + (WIDTH - RIGHT - LEFT) * place;
        assert_eq!(places, [vec![at(0.25), at(0.75)], vec![at(1.0)]]);
    }
}
