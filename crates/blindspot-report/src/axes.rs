//! Drawings over two axes: for pages and as files of their own.

use std::fmt::Display;

use crate::axis::Axis;
use crate::colours::{INK, RULE, SOFT};
use crate::svg::{Canvas, Frame, Style};

/// Where values are drawn: axes, ticks and words stand around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Area {
    /// Left of it: the ticks' words and the axis' name.
    pub(crate) const LEFT: f64 = 64.0;
    /// Above it: the names of what is drawn.
    const TOP: f64 = 30.0;
    /// Below it: the ticks' words and the axis' name.
    pub(crate) const BELOW: f64 = 50.0;
    /// Right of it.
    const RIGHT: f64 = 18.0;

    /// The frame of a drawing of its own, as wide as a page's column.
    const WHOLE: Area = Area::of_drawing([640.0, 340.0]);

    /// The frame of a drawing of its own, of this width and height.
    pub(crate) const fn of_drawing([width, height]: [f64; 2]) -> Area {
        Area {
            left: Area::LEFT,
            top: Area::TOP,
            width: width - Area::LEFT - Area::RIGHT,
            height: height - Area::TOP - Area::BELOW,
        }
    }

    fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// A drawing over two axes.
pub(crate) struct Plot {
    pub(crate) canvas: Canvas,
    area: Area,
    across: Axis,
    up: Axis,
}

impl Plot {
    /// A drawing of its own: the axes with their ticks.
    pub(crate) fn over(across: Axis, up: Axis) -> Plot {
        Plot::on(Canvas::new(1), Area::WHOLE, across, up)
    }

    /// The axes with their ticks, on a canvas that may have others.
    pub(crate) fn on(canvas: Canvas, area: Area, across: Axis, up: Axis) -> Plot {
        let mut plot = Plot {
            canvas,
            area,
            across,
            up,
        };
        let (right, bottom) = (area.right(), area.bottom());
        for (value, words) in std::mem::take(&mut plot.up.ticks) {
            let y = plot.y(value);
            plot.canvas.line([area.left, y], [right, y], RULE, 1.0);
            let at = [area.left - 8.0, y + 4.0];
            plot.canvas.text(at, style("end", SOFT), &words);
        }
        for (value, words) in std::mem::take(&mut plot.across.ticks) {
            let x = plot.x(value);
            plot.canvas.line([x, bottom], [x, bottom + 5.0], RULE, 1.0);
            if !words.is_empty() {
                let at = [x, bottom + 19.0];
                plot.canvas.text(at, style("middle", SOFT), &words);
            }
        }
        if !plot.across.name.is_empty() {
            let middle = [area.left + area.width / 2.0, bottom + 39.0];
            let name = &plot.across.name;
            plot.canvas.text(middle, style("middle", SOFT), name);
        }
        if !plot.up.name.is_empty() {
            let (y, at) = (area.top + area.height / 2.0, 14.0);
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
    fn x(&self, value: f64) -> f64 {
        self.area.left + self.area.width * self.across.place(value)
    }

    /// Where a value of the axis up stands.
    fn y(&self, value: f64) -> f64 {
        self.area.top + self.area.height * (1.0 - self.up.place(value))
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

    /// A line with a stroke at each end, between the two ends of an interval.
    pub(crate) fn error_bar(&mut self, across: f64, [low, high]: [f64; 2], colour: &str) {
        const STROKE: f64 = 4.0;
        let (x, low, high) = (self.x(across), self.y(low), self.y(high));
        self.canvas.line([x, low], [x, high], colour, 1.5);
        for y in [low, high] {
            let (from, to) = ([x - STROKE, y], [x + STROKE, y]);
            self.canvas.line(from, to, colour, 1.5);
        }
    }

    /// A pale band over the whole width, between two values of the axis up.
    pub(crate) fn band(&mut self, [low, high]: [f64; 2], colour: &str) {
        let (low, high) = (self.y(low), self.y(high));
        let places = [self.area.left, high, self.area.width, low - high];
        self.filled(places, colour, Some("0.2"), None);
    }

    /// A bar from 0 to a value of the axis up, between two values of the axis across.
    pub(crate) fn bar(&mut self, [from, to]: [f64; 2], value: f64, colour: &str, title: &str) {
        let (from, to, top) = (self.x(from), self.x(to), self.y(value));
        // Bars side by side are told apart by a gap.
        let places = [from, top, to - from - 1.0, self.area.bottom() - top];
        self.filled(places, colour, None, Some(title));
    }

    fn filled(
        &mut self,
        places: [f64; 4],
        colour: &str,
        opacity: Option<&str>,
        title: Option<&str>,
    ) {
        let [x, y, width, height] = places.map(|place| format!("{place:.1}"));
        let mut attributes: Vec<(&str, &dyn Display)> = vec![
            ("x", &x),
            ("y", &y),
            ("width", &width),
            ("height", &height),
            ("fill", &colour),
        ];
        if let Some(opacity) = &opacity {
            attributes.push(("fill-opacity", opacity));
        }
        self.canvas.element("rect", &attributes, title);
    }

    /// A strong line over the whole height, at a value of the axis across.
    pub(crate) fn mark(&mut self, across: f64) {
        let x = self.x(across);
        let (from, to) = ([x, self.area.top], [x, self.area.bottom() + 3.0]);
        self.canvas.line(from, to, INK, 2.0);
    }

    /// Names above the drawing, from left to right, each in its colour.
    pub(crate) fn names<'a>(&mut self, names: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
        let apart = self.area.width / names.len().max(2) as f64;
        for (i, (name, colour)) in names.enumerate() {
            let at = [self.area.left + apart * i as f64, self.area.top - 12.0];
            self.canvas.text(at, style("start", colour), name);
        }
    }

    /// The drawing as an element of a page, and as a file.
    pub(crate) fn finish(self, title: &str) -> [String; 2] {
        let width = self.area.right() + Area::RIGHT;
        let height = self.area.bottom() + Area::BELOW;
        self.canvas.finish_both(&frame(title, [width, height]))
    }
}

/// What a drawing of this size shows.
pub(crate) fn frame(title: &str, [width, height]: [f64; 2]) -> Frame<'_> {
    Frame {
        title,
        width,
        height,
        fixed: true,
        font_size: Some(12),
    }
}

fn style<'a>(anchor: &'static str, fill: &'a str) -> Style<'a> {
    Style {
        anchor,
        fill,
        size: None,
    }
}
