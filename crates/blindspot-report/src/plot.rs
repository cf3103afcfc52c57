//! Curves as SVG: a spectrum, images between their certificates and the changes found, a training's loss.

use std::fmt::Write;

use blindspot::spectrum::{LayerKind, LayerSpectrum};
use blindspot_paper::quocnet::Point;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 34.0;
const BELOW: f64 = 44.0;
const RIGHT: f64 = 16.0;

const COLOURS: [&str; 3] = ["#2b5fa8", "#c8641e", "#3f7d3a"];

/// A curve: its name, its colour, and its values from left to right.
struct Curve<'a> {
    name: &'a str,
    colour: &'a str,
    values: &'a [f64],
    /// Where each value stands, from 0 to 1; where there are none, evenly spaced.
    places: &'a [f64],
}

/// The spectrum of a layer (SVG), the largest singular value first, on a logarithmic axis: as the
/// layer runs, and in the circular reading of a convolution. None where neither is known.
pub fn spectrum_plot(layer: &LayerSpectrum) -> Option<String> {
    let mut curves = vec![Curve {
        name: "as it runs",
        colour: "#2b5fa8",
        values: &layer.as_run.spectrum,
        places: &[],
    }];
    if layer.kind == LayerKind::Conv {
        curves.push(Curve {
            name: "circular",
            colour: "#c8641e",
            values: &layer.circular.spectrum,
            places: &[],
        });
    }
    curves.retain(|curve| !curve.values.is_empty());
    let title = format!("Singular values of {}", layer.layer);
    (!curves.is_empty()).then(|| plot(&title, "rank, from the largest", &curves, true))
}

/// Each image between its certified distance and the smallest change found (SVG), images ordered by
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
            colour: "#c8641e",
            values: &found,
            places: &[],
        },
        Curve {
            name: "certified: no smaller change",
            colour: "#2b5fa8",
            values: &certified,
            places: &[],
        },
    ];
    let title = "L2 norms that change the label";
    plot(title, "images, by the change found", &curves, false)
}

/// How the reconstruction error of each stage of a QuocNet fell over time (SVG).
pub fn history_plot(points: &[Point]) -> String {
    let end = points.last().map_or(0.0, |point| point.seconds);
    let stages: Vec<(String, Vec<f64>, Vec<f64>)> = points
        .chunk_by(|one, next| one.stage == next.stage)
        .map(|points| {
            let errors = points.iter().map(|point| point.error).collect();
            let place = |point: &Point| (point.seconds / end.max(1e-9)).clamp(0.0, 1.0);
            let name = format!("stage {}", points[0].stage);
            (name, errors, points.iter().map(place).collect())
        })
        .collect();
    let curves: Vec<Curve<'_>> = stages
        .iter()
        .enumerate()
        .map(|(i, (name, values, places))| Curve {
            name,
            colour: COLOURS[i % COLOURS.len()],
            values,
            places,
        })
        .collect();
    let below = format!("0 to {end:.0} seconds of training");
    plot("Reconstruction error over time", &below, &curves, true)
}

/// The range of a logarithmic axis, in powers of ten: six of them below the largest value at most.
fn powers(largest: f64, smallest: f64) -> (f64, f64) {
    let high = largest.log10().ceil();
    (
        smallest.log10().floor().max(high - 7.0).min(high - 1.0),
        high,
    )
}

fn plot(title: &str, below: &str, curves: &[Curve<'_>], logarithmic: bool) -> String {
    let finite = || {
        let all = curves.iter().flat_map(|curve| curve.values);
        all.copied()
            .filter(|value| value.is_finite() && *value > 0.0)
    };
    let largest = finite().fold(0.0, f64::max);
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let (low, high) = match logarithmic {
        true => powers(largest, finite().fold(largest, f64::min)),
        false => (0.0, 1.05 * largest),
    };
    let (right, bottom) = (WIDTH - RIGHT, TOP + HEIGHT);
    let height = |value: f64| {
        let value = if logarithmic { value.log10() } else { value };
        let part = ((value - low) / (high - low)).clamp(0.0, 1.0);
        bottom - part * HEIGHT
    };
    let total = bottom + BELOW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {total}\" \
         width=\"{WIDTH}\" height=\"{total}\" role=\"img\" font-family=\"system-ui, sans-serif\" \
         font-size=\"12\">\n<title>{}</title>\n\
         <rect width=\"{WIDTH}\" height=\"{total}\" fill=\"#fdfdfb\"/>\n",
        escape(title)
    );
    let text = |svg: &mut String, x: f64, y: f64, anchor: &str, fill: &str, words: &str| {
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{}</text>",
            escape(words)
        );
    };
    let ticks: Vec<(f64, String)> = match logarithmic {
        true => (low as i32..=high as i32)
            .map(|power| (10f64.powi(power), format!("1e{power}")))
            .collect(),
        false => (0..=4)
            .map(|i| high * f64::from(i) / 4.0)
            .map(|value| (value, format!("{value:.2}")))
            .collect(),
    };
    for (value, words) in ticks {
        let y = height(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dcdcd6\"/>"
        );
        text(&mut svg, LEFT - 8.0, y + 4.0, "end", "#62666e", &words);
    }
    let longest = curves.iter().map(|curve| curve.values.len()).max();
    let longest = longest.unwrap_or(0);
    for (i, curve) in curves.iter().enumerate() {
        let steps = curve.values.len().max(2) - 1;
        let mut points = String::new();
        for (k, &value) in curve
            .values
            .iter()
            .enumerate()
            .filter(|(_, v)| v.is_finite())
        {
            let part = curve.places.get(k).copied();
            let x = LEFT + (right - LEFT) * part.unwrap_or(k as f64 / steps as f64);
            let _ = write!(points, "{x:.1},{:.1} ", height(value));
        }
        let colour = curve.colour;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>",
            points.trim_end()
        );
        let y = TOP - 12.0;
        let x = LEFT + (right - LEFT) / curves.len().max(2) as f64 * i as f64;
        text(&mut svg, x, y, "start", colour, curve.name);
    }
    let words = format!("{below} ({longest} points)");
    text(
        &mut svg,
        (LEFT + right) / 2.0,
        bottom + 28.0,
        "middle",
        "#62666e",
        &words,
    );
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
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
            plot("a <b>", "c", &[], true),
            history_plot(&[]),
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
    fn losses_stand_where_their_time_is() {
        let point = |stage, seconds, error| Point {
            stage,
            seconds,
            images: 0,
            error,
            sparsity: 0.0,
        };
        let svg = history_plot(&[point(1, 1.0, 0.9), point(1, 3.0, 0.5), point(2, 4.0, 0.7)]);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let places = document
            .descendants()
            .filter_map(|node| node.attribute("points"));
        let places: Vec<Vec<f64>> = places
            .map(|points| {
                let places = points
                    .split(' ')
                    .map(|point| point.split(',').next().unwrap());
                places.map(|x| x.parse().unwrap()).collect()
            })
            .collect();
        let at = |part: f64| LEFT + (WIDTH - RIGHT - LEFT) * part;
        assert_eq!(places, [vec![at(0.25), at(0.75)], vec![at(1.0)]]);
    }
}
