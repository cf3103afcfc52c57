//! Steps over axes with round ticks, for pages and as files of their own.

use std::fmt::Display;

use crate::svg::{Canvas, Frame, Style};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 30.0;
const BELOW: f64 = 50.0;
const RIGHT: f64 = 18.0;

const SOFT: &str = "#5c6068";
const RULE: &str = "#dcdcd6";

/// Colours of the curves in a file of their own; a page has its own for the classes beside them.
const COLOURS: [(&str, &str); 2] = [("first", "#2b5fa8"), ("second", "#b4540f")];

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

/// Round numbers from 0 to `largest` or a little beyond it, four to eight of them.
pub(crate) fn ticks(largest: f64) -> Vec<f64> {
    if !(largest.is_finite() && largest > 0.0) {
        return vec![0.0, 1.0];
    }
    let rough = largest / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|&step| step >= rough * (1.0 - 1e-9))
        .unwrap_or(10.0 * power);
    let count = (largest / step - 1e-9).ceil() as usize;
    (0..=count).map(|i| i as f64 * step).collect()
}

/// A tick's number with as many digits as the step asks for.
fn shown(tick: f64, step: f64) -> String {
    if (1e-4..1e5).contains(&step) {
        let digits = (-step.log10()).ceil().max(0.0) as usize;
        format!("{tick:.digits$}")
    } else {
        format!("{tick:.0e}")
    }
}

/// A drawing of curves from 0 to 100% over distances in `unit`: as an element of a page, and as a file.
pub(crate) fn steps_plot(title: &str, unit: &str, curves: &[Steps]) -> [String; 2] {
    let places = curves
        .iter()
        .flat_map(|curve| curve.falls.iter().map(|fall| fall[0]));
    let across = ticks(places.fold(0.0, f64::max));
    let largest = *across.last().expect("an axis has ticks");
    let step = across[1];
    let (right, bottom) = (WIDTH - RIGHT, TOP + HEIGHT);
    let x = |place: f64| LEFT + (right - LEFT) * (place / largest).clamp(0.0, 1.0);
    let y = |share: f64| bottom - HEIGHT * share.clamp(0.0, 1.0);
    let mut canvas = Canvas::new(1);
    let style = |anchor| Style {
        anchor,
        fill: SOFT,
        size: None,
    };
    let rule = |canvas: &mut Canvas, from: [f64; 2], to: [f64; 2]| {
        let [x1, y1, x2, y2] = [from[0], from[1], to[0], to[1]].map(|v| format!("{v:.1}"));
        let attributes: [(&str, &dyn Display); 6] = [
            ("class", &"rule"),
            ("x1", &x1),
            ("y1", &y1),
            ("x2", &x2),
            ("y2", &y2),
            ("stroke", &RULE),
        ];
        canvas.element("line", &attributes, None);
    };
    for i in 0..=5 {
        let share = f64::from(i) / 5.0;
        rule(&mut canvas, [LEFT, y(share)], [right, y(share)]);
        let words = format!("{:.0}%", 100.0 * share);
        canvas.text([LEFT - 8.0, y(share) + 4.0], style("end"), &words);
    }
    for &tick in &across {
        rule(&mut canvas, [x(tick), bottom], [x(tick), bottom + 5.0]);
        let words = shown(tick, step);
        canvas.text([x(tick), bottom + 19.0], style("middle"), &words);
    }
    let middle = [(LEFT + right) / 2.0, bottom + 39.0];
    canvas.text(middle, style("middle"), unit);
    let mut left = LEFT;
    for (curve, (class, colour)) in curves.iter().zip(COLOURS) {
        let mut path = format!("M{:.1} {:.1}", x(0.0), y(curve.start));
        for &[place, share] in &curve.falls {
            path += &format!("H{:.1}V{:.1}", x(place), y(share));
        }
        path += &format!("H{right:.1}");
        let attributes: [(&str, &dyn Display); 5] = [
            ("class", &class),
            ("d", &path),
            ("fill", &"none"),
            ("stroke", &colour),
            ("stroke-width", &1.8),
        ];
        canvas.element("path", &attributes, None);
        let (at, height) = (format!("{left:.1}"), format!("{:.1}", TOP - 12.0));
        let attributes: [(&str, &dyn Display); 4] = [
            ("class", &class),
            ("x", &at),
            ("y", &height),
            ("fill", &colour),
        ];
        canvas.words(&attributes, &curve.name);
        left += (right - LEFT) / 2.0;
    }
    let frame = Frame {
        title,
        width: WIDTH,
        height: bottom + BELOW,
        fixed: true,
        font_size: Some(12),
    };
    canvas.finish_both(&frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_largest_value() {
        for largest in [1e-7, 0.03, 0.9999, 1.0, 1.3, 2.0, 6.1, 47.0, 1e9] {
            let ticks = ticks(largest);
            let step = ticks[1];
            assert!((4..=8).contains(&ticks.len()), "{largest}: {ticks:?}");
            assert!(
                *ticks.last().unwrap() >= largest * (1.0 - 1e-9),
                "{largest}"
            );
            let digit = step / 10f64.powf(step.log10().floor());
            assert!(
                [1.0, 2.0, 5.0, 10.0]
                    .iter()
                    .any(|d| (d - digit).abs() < 1e-6),
                "{step}"
            );
        }
        for nothing in [0.0, f64::NAN, f64::INFINITY] {
            assert_eq!(ticks(nothing), [0.0, 1.0]);
        }
    }

    #[test]
    fn a_curve_falls_where_an_image_does() {
        let steps = Steps::of("found", 5, &[0.5, f64::INFINITY, 0.25, 0.5]);
        assert_eq!(steps.start, 0.8);
        let shares = [0.0, 0.25, 0.3, 0.5, 9.0].map(|distance| steps.above(distance));
        assert_eq!(shares, [0.8, 0.6, 0.6, 0.2, 0.2]);
        let [inline, file] = steps_plot("Robust <accuracy>", "L2 norm", &[steps]);
        for svg in [inline, file] {
            let document = roxmltree::Document::parse(&svg).unwrap();
            let curves = document.descendants().filter(|n| n.has_tag_name("path"));
            assert_eq!(curves.count(), 1);
        }
    }
}
