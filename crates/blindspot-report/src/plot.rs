//! Curves as SVG: a spectrum, images between their certificates and the perturbations found, any others.

use blindspot::search::Norm;
use blindspot::spectrum::{LayerKind, LayerSpectrum, Spectra};

use crate::axes::Plot;
use crate::axis::Axis;
use crate::colours::COLOURS;
use crate::table::digits;

/// A curve of [`curves_plot`].
#[derive(Debug, Clone, Copy)]
pub struct Curve<'a> {
    /// Stands above the curves, in their colour.
    pub name: &'a str,
    /// The colour, one of [`COLOURS`].
    pub colour: &'static str,
    /// Its points from left to right, where each stands and its value; what is not finite is left out.
    pub points: &'a [[f64; 2]],
}

/// The spectrum of a layer (SVG), the largest singular value first, on a logarithmic axis: as the
/// layer runs, and in the circular reading of a convolution. None where neither is known.
pub fn spectrum_plot(layer: &LayerSpectrum) -> Option<String> {
    let by_rank = |spectrum: &[f64]| -> Vec<[f64; 2]> {
        let last = spectrum.len().max(2) - 1;
        let percent = |i: usize| 100.0 * i as f64 / last as f64;
        let values = spectrum.iter().enumerate();
        values.map(|(i, &value)| [percent(i), value]).collect()
    };
    let as_run = by_rank(&layer.as_run.spectrum);
    let circular = by_rank(&layer.circular.spectrum);
    let mut curves = vec![Curve {
        name: "as it runs",
        colour: COLOURS[0],
        points: &as_run,
    }];
    if layer.kind == LayerKind::Conv {
        curves.push(Curve {
            name: "circular",
            colour: COLOURS[1],
            points: &circular,
        });
    }
    curves.retain(|curve| !curve.points.is_empty());
    if curves.is_empty() {
        return None;
    }
    let title = format!("Singular values of {}", layer.layer);
    let across = format!(
        "rank in percent of the {} singular values of {}, the largest first",
        layer.count, layer.layer
    );
    Some(curves_plot(
        &title,
        [&across, "singular value"],
        &curves,
        true,
    ))
}

/// The smallest singular value that is not 0 and the largest one of each layer as it runs (SVG), in the order of the
/// layers, on a logarithmic axis. None where none is known.
pub(crate) fn bounds_plot(spectra: &Spectra) -> Option<String> {
    let bounds = |layer: &LayerSpectrum| [layer.as_run.lower_nonzero, layer.as_run.upper];
    let known = spectra.layers.iter().flat_map(bounds).flatten();
    let known: Vec<f64> = known.filter(|value| *value > 0.0).collect();
    let largest = known.iter().copied().reduce(f64::max)?;
    let smallest = known.iter().copied().fold(largest, f64::min);
    let last = spectra.layers.len().max(2) - 1;
    let across = format!(
        "{} layers in the order in which they run",
        spectra.layers.len()
    );
    let up = Axis::powers(smallest, largest, "singular value");
    let mut plot = Plot::over(Axis::bare(&across), up);
    for (i, layer) in spectra.layers.iter().enumerate() {
        let across = i as f64 / last as f64;
        if let [Some(lower), Some(upper)] = bounds(layer) {
            plot.upright(across, [lower, upper]);
        }
        for (value, colour) in bounds(layer).into_iter().zip([COLOURS[0], COLOURS[1]]) {
            let Some(value) = value.filter(|value| *value > 0.0) else {
                continue;
            };
            let title = format!("{}: {}", layer.layer, digits(value));
            plot.dot([across, value], colour, &title);
        }
    }
    let names = [
        ("largest", COLOURS[1]),
        ("smallest that is not 0", COLOURS[0]),
    ];
    plot.names(names.into_iter());
    let [inline, _] = plot.finish("The largest and the smallest singular value of each layer");
    Some(inline)
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

/// Curves over common axes (SVG), which are named `across` and `up`; the curves' names stand above. The axis across
/// begins at 0. On a logarithmic axis up only values above 0 count.
pub fn curves_plot(
    title: &str,
    [across, up]: [&str; 2],
    curves: &[Curve<'_>],
    logarithmic: bool,
) -> String {
    let finite = |axis: usize| {
        let all = curves.iter().flat_map(|curve| curve.points);
        all.map(move |point| point[axis])
            .filter(|value| value.is_finite() && *value > 0.0)
    };
    let largest = finite(1).fold(0.0, f64::max);
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let up = if logarithmic {
        Axis::powers(finite(1).fold(largest, f64::min), largest, up)
    } else {
        Axis::up_to(largest, up)
    };
    let across = Axis::up_to(finite(0).fold(0.0, f64::max), across);
    let mut plot = Plot::over(across, up);
    for curve in curves {
        let points = curve.points.iter().copied();
        let points: Vec<[f64; 2]> = points
            .filter(|point| point.iter().all(|value| value.is_finite()))
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
            curves_plot("a <b>", ["c", "d"], &[], true),
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
    fn points_stand_at_their_places_on_axes_with_names_and_round_ticks() {
        let curve = |points| Curve {
            name: "one",
            colour: COLOURS[0],
            points,
        };
        let curves = [
            curve(&[[25.0, 0.9], [75.0, 0.5]]),
            curve(&[[100.0, 0.7], [f64::NAN, 0.7]]),
        ];
        let svg = curves_plot("a", ["seconds", "loss"], &curves, true);
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
        for words in [">seconds<", ">loss<", ">20<", ">100<", ">1e-1<"] {
            assert!(svg.contains(words), "{words}: {svg}");
        }
    }
}
