//! Curves that fall in steps: the share of images that are left above each distance.

use crate::axes::Plot;
use crate::axis::Axis;
use crate::colours::COLOURS;

/// A falling curve: at each of its places, in ascending order, the share goes down to the value beside it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Steps {
    pub(crate) name: String,
    /// The share at 0.
    pub(crate) start: f64,
    pub(crate) falls: Vec<[f64; 2]>,
}

impl Steps {
    /// The share of `total` items that are left above each distance: one falls at each of `distances`, which need not be
    /// in order; those infinite never fall.
    pub(crate) fn of(name: &str, total: usize, distances: &[f64]) -> Steps {
        let mut places: Vec<f64> = distances
            .iter()
            .copied()
            .filter(|d| d.is_finite())
            .collect();
        places.sort_by(f64::total_cmp);
        let share = |left: usize| left as f64 / total.max(1) as f64;
        let fall = |(i, place): (usize, f64)| [place, share(distances.len() - i - 1)];
        Steps {
            name: name.to_owned(),
            start: share(distances.len()),
            falls: places.into_iter().enumerate().map(fall).collect(),
        }
    }

    /// The share just above a distance.
    pub(crate) fn above(&self, distance: f64) -> f64 {
        let fallen = self.falls.partition_point(|[place, _]| *place <= distance);
        match fallen {
            0 => self.start,
            fallen => self.falls[fallen - 1][1],
        }
    }
}

/// A drawing of curves from 0 to 100% of `images` images over distances in `unit`: as an element of a page, and as a
/// file.
pub(crate) fn steps_plot(title: &str, unit: &str, images: usize, curves: &[Steps]) -> [String; 2] {
    let places = curves
        .iter()
        .flat_map(|curve| curve.falls.iter().map(|fall| fall[0]));
    let across = Axis::up_to(places.fold(0.0, f64::max), unit);
    let end = across.ends[1];
    let up = Axis::shares(&format!("share of all {images} images"));
    let mut plot = Plot::over(across, up);
    let coloured = || curves.iter().zip(COLOURS);
    for (curve, colour) in coloured() {
        let mut points = vec![[0.0, curve.start]];
        let mut share = curve.start;
        for &[place, next] in &curve.falls {
            points.extend([[place, share], [place, next]]);
            share = next;
        }
        points.push([end, share]);
        plot.line(&points, colour);
    }
    plot.names(coloured().map(|(curve, colour)| (&*curve.name, colour)));
    plot.finish(title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_falls_where_an_image_does() {
        let steps = Steps::of("found", 5, &[0.5, f64::INFINITY, 0.25, 0.5]);
        assert_eq!(steps.start, 0.8);
        let shares = [0.0, 0.25, 0.3, 0.5, 9.0].map(|distance| steps.above(distance));
        assert_eq!(shares, [0.8, 0.6, 0.6, 0.2, 0.2]);
        let [inline, file] = steps_plot("Robust <accuracy>", "L2 norm", 5, &[steps]);
        for svg in [inline, file] {
            let document = roxmltree::Document::parse(&svg).unwrap();
            let curves = document
                .descendants()
                .filter(|n| n.has_tag_name("polyline"));
            let points: Vec<&str> = curves.filter_map(|n| n.attribute("points")).collect();
            assert_eq!(points.len(), 1);
            // The start, two for each fall, the end.
            assert_eq!(points[0].split(' ').count(), 8);
            assert!(svg.contains("share of all 5 images") && svg.contains(">100%<"));
        }
    }
}
