//! Curves as SVG: a spectrum, images between their certificates and the perturbations found, any others.

use blindspot::search::Norm;
use blindspot::spectrum::{LayerKind, LayerSpectrum};

use crate::axes::{Axis, Plot};
use crate::colours::COLOURS;
use crate::table::digits;

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
    let longest = curves.iter().map(|curve| curve.values.len()).max()?;
    let below = format!("rank, from the largest of {longest} singular values");
    Some(curves_plot(&title, &below, &curves, true))
}

/// Each image between its certified distance and the smallest perturbation found (SVG), images ordered by
/// the latter; one for which none was found has its certificate alone. Both slices have one norm an image.
pub fn certificate_plot(certificates: &[f64], found: &[f64], norm: Norm) -> String {
    let mut pairs: Vec<(f64, f64)> = found
        .iter()
        .copied()
        .zip(certificates.iter().copied())
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let all = pairs
        .iter()
        .flat_map(|&(found, certified)| [found, certified]);
    let largest = all.filter(|norm| norm.is_finite()).fold(0.0, f64::max);
    let below = format!("{} images, by the perturbation found", pairs.len());
    let mut plot = Plot::over(
        Axis::bare(&below),
        Axis::up_to(largest, &norm_axis(norm, "")),
    );
    let last = pairs.len().max(2) - 1;
    for (i, &(found, certified)) in pairs.iter().enumerate() {
        let across = i as f64 / last as f64;
        if found.is_finite() {
            plot.upright(across, [certified, found]);
            plot.dot(
                [across, found],
                COLOURS[1],
                &format!("found {}", digits(found)),
            );
        }
        if certified.is_finite() {
            let title = format!("certified {}", digits(certified));
            plot.dot([across, certified], COLOURS[0], &title);
        }
    }
    let names = [
        ("smallest perturbation found", COLOURS[1]),
        ("certified: no smaller one", COLOURS[0]),
    ];
    plot.names(names.into_iter());
    let [_, file] = plot.finish(&format!("{} norms that change the label", norm.title()));
    file
}

/// What an axis of norms shows: in L0 how many values change.
pub(crate) fn norm_axis(norm: Norm, of: &str) -> String {
    let unit = match norm {
        Norm::L0 => "",
        Norm::L2 | Norm::Linf | Norm::L1 => ", in the unit of the input's values",
    };
    format!("{} norm{of}{unit}", norm.title())
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
    let up = if logarithmic {
        Axis::powers(finite().fold(largest, f64::min), largest, "")
    } else {
        Axis::up_to(largest, "")
    };
    let mut plot = Plot::over(Axis::bare(below), up);
    for curve in curves {
        let steps = curve.values.len().max(2) - 1;
        let values = curve.values.iter().enumerate();
        let points: Vec<[f64; 2]> = values
            .filter(|(_, value)| value.is_finite())
            .map(|(k, &value)| {
                let place = curve.places.get(k).copied();
                [place.unwrap_or(k as f64 / steps as f64), value]
            })
            .collect();
        plot.line(&points, curve.colour);
    }
    plot.names(curves.iter().map(|curve| (curve.name, curve.colour)));
    let [_, file] = plot.finish(title);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_are_xml_with_a_mark_for_each_value() {
        let found = [0.5, f64::INFINITY, 1.5, 0.0];
        for svg in [
            certificate_plot(&[0.25, 0.5, 0.75, 0.0], &found, Norm::L2),
            certificate_plot(&[], &[], Norm::L0),
            curves_plot("a <b>", "c", &[], true),
        ] {
            let document = roxmltree::Document::parse(&svg).unwrap();
            assert!(document.root_element().has_tag_name("svg"));
        }
        let svg = certificate_plot(&[0.25, 0.5, 0.75, 0.0], &found, Norm::L2);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let dots = |colour: &str| {
            let nodes = document.descendants();
            let dots = nodes.filter(|node| node.has_tag_name("circle"));
            dots.filter(|dot| dot.attribute("fill") == Some(colour))
                .count()
        };
        let dots = [dots(COLOURS[1]), dots(COLOURS[0])];
        assert_eq!(dots, [3, 4], "what is not finite is left out");
        assert!(!svg.contains("polyline"), "no line joins images");
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
        // From 64 to 622 pixels.
        let at = |place: f64| 64.0 + 558.0 * place;
        assert_eq!(places, [vec![at(0.25), at(0.75)], vec![at(1.0)]]);
    }
}
