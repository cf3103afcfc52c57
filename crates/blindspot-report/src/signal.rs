//! Signals: a curve for each channel over time.

use std::fmt::Write;

use crate::colours::{COLOURS, PAPER, RULE};

/// An axis of time is at least so many times as long as that of the channels.
const LONGER: usize = 4;
/// Moments of a signal at least: what is shorter is a row of a table.
const LEAST_MOMENTS: usize = 16;
/// Channels at most.
const MOST_CHANNELS: usize = 64;
/// Of a drawing, in pixels.
const WIDTH: f32 = 320.0;
const HEIGHT: f32 = 160.0;
/// Between the curves and the upper and lower edge.
const MARGIN: f32 = 8.0;

/// How the values of an input are a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal {
    moments: usize,
    channels: usize,
    /// Whether all moments of a channel follow each other; else all channels of a moment.
    channels_first: bool,
}

impl Signal {
    /// The signal that inputs of a shape are; None of pictures and rows of tables. Of two axes the longer one is time, if
    /// it is much the longer.
    pub(crate) fn of([planes, height, width]: [usize; 3]) -> Option<Signal> {
        let channels_first = width >= height;
        let (moments, channels) = if channels_first {
            (width, height)
        } else {
            (height, width)
        };
        let is_one = planes == 1
            && channels <= MOST_CHANNELS
            && moments >= LEAST_MOMENTS.max(LONGER * channels);
        is_one.then_some(Signal {
            moments,
            channels,
            channels_first,
        })
    }

    /// Curves in the drawing.
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// A file of SVG, with at most some `points` points to a curve: where there are more moments, the least and the
    /// largest of neighbours stand for them. Values of 0 are at the bottom, of 1 at the top.
    pub(crate) fn drawing(&self, values: &[f32], points: usize) -> String {
        let mut svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"><rect width="100%" height="100%" fill="{PAPER}"/><path d="M0 {middle}H{WIDTH}" stroke="{RULE}"/>"#,
            middle = HEIGHT / 2.0
        );
        for channel in 0..self.channels {
            let colour = COLOURS[channel % COLOURS.len()];
            _ = write!(svg, r#"<polyline fill="none" stroke="{colour}" points=""#);
            for (moment, value) in self.points(values, channel, points) {
                let x = WIDTH * (moment as f32 + 0.5) / self.moments as f32;
                let y = HEIGHT - MARGIN - (HEIGHT - 2.0 * MARGIN) * value.clamp(-0.05, 1.05);
                _ = write!(svg, "{x:.1},{y:.1} ");
            }
            svg += r#""/>"#;
        }
        svg + "</svg>"
    }

    /// Moments of a channel with their values, in order: all of them, or the least and the largest of neighbours.
    fn points(&self, values: &[f32], channel: usize, most: usize) -> Vec<(usize, f32)> {
        let at = |moment: usize| {
            let place = if self.channels_first {
                channel * self.moments + moment
            } else {
                moment * self.channels + channel
            };
            let value = values.get(place).copied().unwrap_or(0.0);
            // NaN is drawn at the bottom.
            (moment, if value.is_nan() { 0.0 } else { value })
        };
        let neighbours = self.moments.div_ceil((most / 2).max(1));
        if neighbours <= 2 {
            return (0..self.moments).map(at).collect();
        }
        let moments: Vec<usize> = (0..self.moments).collect();
        let ends = moments.chunks(neighbours).flat_map(|part| {
            let by_value = |a: &(usize, f32), b: &(usize, f32)| a.1.total_cmp(&b.1);
            let all = || part.iter().map(|&moment| at(moment));
            let mut ends = [all().min_by(by_value), all().max_by(by_value)];
            ends.sort_by_key(|end| end.map(|(moment, _)| moment));
            ends.into_iter().flatten()
        });
        ends.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_axis_is_time_and_pictures_are_no_signals() {
        let of = |shape| Signal::of(shape).map(|s| (s.moments, s.channels, s.channels_first));
        assert_eq!(of([1, 3, 100]), Some((100, 3, true)));
        assert_eq!(of([1, 100, 3]), Some((100, 3, false)));
        assert_eq!(of([1, 1, 784]), Some((784, 1, true)));
        for picture in [
            [1, 28, 28],
            [3, 1, 100],
            [1, 1, 8],
            [1, 64, 200],
            [1, 1, 0],
            [3, 224, 224],
        ] {
            assert_eq!(of(picture), None, "{picture:?}");
        }
    }

    /// The points of each curve.
    fn curves(svg: &str) -> Vec<Vec<[f32; 2]>> {
        let document = roxmltree::Document::parse(svg).unwrap();
        let lines = document
            .descendants()
            .filter_map(|node| node.attribute("points"));
        let point = |point: &str| {
            let (x, y) = point.split_once(',').unwrap();
            [x.parse().unwrap(), y.parse().unwrap()]
        };
        lines
            .map(|points| points.split_whitespace().map(point).collect())
            .collect()
    }

    #[test]
    fn each_channel_has_a_curve_whose_peaks_stay() {
        let moments = 1000;
        let mut values = vec![0.5; 2 * moments];
        // The first channel's peak, the second's dip.
        (values[2 * 777], values[2 * 123 + 1]) = (1.0, 0.0);
        let signal = Signal::of([1, moments, 2]).unwrap();
        for points in [64, 4000] {
            let curves = curves(&signal.drawing(&values, points));
            assert_eq!(curves.len(), 2);
            assert!(curves[0].len() <= points.min(moments) + 2 && curves[0].len() >= 32);
            let peak = curves[0]
                .iter()
                .copied()
                .min_by(|a, b| a[1].total_cmp(&b[1]))
                .unwrap();
            assert!(
                (peak[0] - WIDTH * 0.777).abs() < 0.3 && peak[1] == MARGIN,
                "{peak:?}"
            );
            let dip = curves[1]
                .iter()
                .copied()
                .max_by(|a, b| a[1].total_cmp(&b[1]))
                .unwrap();
            assert!(
                (dip[0] - WIDTH * 0.123).abs() < 0.3 && dip[1] == HEIGHT - MARGIN,
                "{dip:?}"
            );
        }
        let svg = signal.drawing(&[f32::NAN; 2000], 64);
        assert!(!svg.contains("NaN"));
    }
}
