//! Axes with round ticks, and what stands over them: for pages and as files of their own.

use std::fmt::Display;

use crate::colours::{COLOURS, RULE, SOFT};
use crate::svg::{Canvas, Frame, Style};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 30.0;
const BELOW: f64 = 50.0;
const RIGHT: f64 = 18.0;

/// An axis: where its values stand, its ticks and what it shows.
pub(crate) struct Axis {
    /// What stands beside it, with its unit; nothing is written where it is empty.
    name: String,
    /// The values at its ends; of a logarithmic one their powers of ten.
    ends: [f64; 2],
    logarithmic: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to a round number, `largest` or a little beyond it.
    pub(crate) fn up_to(largest: f64, name: &str) -> Axis {
        let ticks = ticks(largest);
        let step = ticks[1];
        Axis {
            name: name.to_owned(),
            ends: [0.0, *ticks.last().expect("an axis has ticks")],
            logarithmic: false,
            ticks: ticks
                .into_iter()
                .map(|tick| (tick, shown(tick, step)))
                .collect(),
        }
    }

    /// From 0 to 100%.
    pub(crate) fn shares(name: &str) -> Axis {
        let tick = |i: u32| (f64::from(i) / 5.0, format!("{}%", 20 * i));
        Axis {
            name: name.to_owned(),
            ends: [0.0, 1.0],
            logarithmic: false,
            ticks: (0..=5).map(tick).collect(),
        }
    }

    /// Logarithmic, over positive values; six powers of ten below the largest at most.
    pub(crate) fn powers(smallest: f64, largest: f64, name: &str) -> Axis {
        let high = largest.log10().ceil();
        let low = smallest.log10().floor().max(high - 7.0).min(high - 1.0);
        let tick = |power: i32| (10f64.powi(power), format!("1e{power}"));
        Axis {
            name: name.to_owned(),
            ends: [low, high],
            logarithmic: true,
            ticks: (low as i32..=high as i32).map(tick).collect(),
        }
    }

    /// From 0 to 1 without ticks.
    pub(crate) fn bare(name: &str) -> Axis {
        Axis {
            name: name.to_owned(),
            ends: [0.0, 1.0],
            logarithmic: false,
            ticks: Vec::new(),
        }
    }

    /// Where a value stands, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic {
            value.log10()
        } else {
            value
        };
        let [low, high] = self.ends;
        ((value - low) / (high - low)).clamp(0.0, 1.0)
    }
}

/// A drawing over two axes.
pub(crate) struct Plot {
    canvas: Canvas,
    across: Axis,
    up: Axis,
}

impl Plot {
    /// The axes with their ticks.
    pub(crate) fn over(across: Axis, up: Axis) -> Plot {
        let mut plot = Plot {
            canvas: Canvas::new(1),
            across,
            up,
        };
        let (right, bottom) = (WIDTH - RIGHT, TOP + HEIGHT);
        for (value, words) in std::mem::take(&mut plot.up.ticks) {
            let y = plot.y(value);
            plot.canvas.line([LEFT, y], [right, y], RULE, 1.0);
            plot.canvas
                .text([LEFT - 8.0, y + 4.0], style("end", SOFT), &words);
        }
        for (value, words) in std::mem::take(&mut plot.across.ticks) {
            let x = plot.x(value);
            plot.canvas.line([x, bottom], [x, bottom + 5.0], RULE, 1.0);
            plot.canvas
                .text([x, bottom + 19.0], style("middle", SOFT), &words);
        }
        let middle = [(LEFT + right) / 2.0, bottom + 39.0];
        plot.canvas
            .text(middle, style("middle", SOFT), &plot.across.name);
        if !plot.up.name.is_empty() {
            let (y, at) = ((TOP + bottom) / 2.0, 14.0);
            let turned = format!("rotate(-90 {at} {y})");
            let attributes: [(&str, &dyn Display); 5] = [
                ("x", &at),
                ("y", &y),
                ("text-anchor", &"middle"),
                ("fill", &SOFT),
                ("transform", &turned),
            ];
            plot.canvas.words(&attributes, &plot.up.name);
        }
        plot
    }

    /// Where a value of the axis across stands.
    pub(crate) fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - RIGHT - LEFT) * self.across.place(value)
    }

    /// Where a value of the axis up stands.
    pub(crate) fn y(&self, value: f64) -> f64 {
        TOP + HEIGHT * (1.0 - self.up.place(value))
    }

    /// A line through points of the axes' values.
    pub(crate) fn line(&mut self, points: &[[f64; 2]], colour: &str) {
        let points: Vec<[f64; 2]> = points
            .iter()
            .map(|&[x, y]| [self.x(x), self.y(y)])
            .collect();
        self.canvas.polyline(&points, colour, 1.8);
    }

    /// A dot at a point of the axes' values; `title` is shown where the pointer rests.
    pub(crate) fn dot(&mut self, [x, y]: [f64; 2], colour: &str, title: &str) {
        let [x, y] = [self.x(x), self.y(y)].map(|place| format!("{place:.1}"));
        let attributes: [(&str, &dyn Display); 4] =
            [("cx", &x), ("cy", &y), ("r", &2.4), ("fill", &colour)];
        self.canvas.element("circle", &attributes, Some(title));
    }

    /// A thin line between two values of the axis up.
    pub(crate) fn upright(&mut self, across: f64, [from, to]: [f64; 2]) {
        let x = self.x(across);
        let (from, to) = ([x, self.y(from)], [x, self.y(to)]);
        self.canvas.line(from, to, RULE, 1.0);
    }

    /// Names above the drawing, from left to right, each in its colour.
    pub(crate) fn names<'a>(&mut self, names: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
        let apart = (WIDTH - RIGHT - LEFT) / names.len().max(2) as f64;
        for (i, (name, colour)) in names.enumerate() {
            let at = [LEFT + apart * i as f64, TOP - 12.0];
            self.canvas.text(at, style("start", colour), name);
        }
    }

    /// The drawing as an element of a page, and as a file.
    pub(crate) fn finish(self, title: &str) -> [String; 2] {
        self.canvas.finish_both(&Frame {
            title,
            width: WIDTH,
            height: TOP + HEIGHT + BELOW,
            fixed: true,
            font_size: Some(12),
        })
    }
}

fn style<'a>(anchor: &'static str, fill: &'a str) -> Style<'a> {
    Style {
        anchor,
        fill,
        size: None,
    }
}

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

/// A drawing of curves from 0 to 100% over distances in `unit`: as an element of a page, and as a file.
pub(crate) fn steps_plot(title: &str, unit: &str, curves: &[Steps]) -> [String; 2] {
    let places = curves
        .iter()
        .flat_map(|curve| curve.falls.iter().map(|fall| fall[0]));
    let across = Axis::up_to(places.fold(0.0, f64::max), unit);
    let end = across.ends[1];
    let mut plot = Plot::over(across, Axis::shares(""));
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

/// Round numbers from 0 to `largest` or a little beyond it, four to eight of them.
fn ticks(largest: f64) -> Vec<f64> {
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
    fn a_logarithmic_axis_has_whole_powers() {
        let axis = Axis::powers(0.02, 30.0, "");
        let words: Vec<&str> = axis.ticks.iter().map(|(_, words)| &**words).collect();
        assert_eq!(words, ["1e-2", "1e-1", "1e0", "1e1", "1e2"]);
        assert!((axis.place(1.0) - 0.5).abs() < 1e-12);
        assert_eq!(Axis::powers(1e-30, 1.0, "").ends, [-7.0, 0.0]);
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
            let curves = document
                .descendants()
                .filter(|n| n.has_tag_name("polyline"));
            let points: Vec<&str> = curves.filter_map(|n| n.attribute("points")).collect();
            assert_eq!(points.len(), 1);
            // The start, two for each fall, the end.
            assert_eq!(points[0].split(' ').count(), 8);
        }
    }
}
