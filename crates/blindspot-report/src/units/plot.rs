//! The distributions of a study, and how they change as the basis is rotated.

use std::fmt::Display;

use blindspot::units::{DirectionKind, Group, Measure, Study};

use crate::colours::{COLOURS, INK, OTHER, SOFT};
use crate::svg::{Canvas, Frame, Style};

const WIDTH: f64 = 640.0;
/// Left empty on both sides.
const MARGIN: f64 = 16.0;
const BINS: usize = 32;
/// The height of a histogram's name.
const NAME: f64 = 26.0;
/// The height of its bars.
const BARS: f64 = 44.0;
/// The height of a panel's title.
const TITLE: f64 = 34.0;
/// The height of the numbers below a panel.
const BELOW: f64 = 30.0;

/// The colour of units, and of all else.
const OF_KINDS: [&str; 2] = [COLOURS[0], OTHER];

/// The histograms of every measure that is defined: units, random directions and the controls, one
/// below the other on one scale (SVG). A line marks the mean.
pub fn distributions(study: &Study) -> String {
    let kinds = [
        DirectionKind::Units,
        DirectionKind::Directions,
        DirectionKind::Untrained,
        DirectionKind::RandomImages,
    ];
    let mut canvas = Canvas::new(2);
    let mut top = 0.0;
    for measure in Measure::ALL {
        let groups: Vec<(&Group, Vec<f64>)> = kinds
            .iter()
            .filter_map(|kind| study.groups.iter().find(|group| group.kind == *kind))
            .map(|group| (group, values(group, measure)))
            .filter(|(_, values)| !values.is_empty())
            .collect();
        if groups.len() > 1 {
            top = panel(&mut canvas, measure, &groups, top);
        }
    }
    let title = "How alike the top images are, by kind of direction";
    canvas.finish(&frame(title, top))
}

fn values(group: &Group, measure: Measure) -> Vec<f64> {
    let values = group.members.iter().filter_map(|m| m.get(measure));
    values.filter(|value| value.is_finite()).collect()
}

/// One measure; gives where the next panel begins.
fn panel(
    canvas: &mut Canvas,
    measure: Measure,
    groups: &[(&Group, Vec<f64>)],
    mut top: f64,
) -> f64 {
    let all = || groups.iter().flat_map(|(_, values)| values).copied();
    let (low, high) = (
        all().fold(f64::INFINITY, f64::min),
        all().fold(f64::NEG_INFINITY, f64::max),
    );
    let (low, high) = if high > low {
        (low, high)
    } else {
        (low - 0.5, high + 0.5)
    };
    let x = |value: f64| MARGIN + (value - low) / (high - low) * (WIDTH - 2.0 * MARGIN);
    canvas.text(
        [MARGIN, top + 24.0],
        style("start", INK, 18),
        measure.name(),
    );
    top += TITLE;
    for (group, values) in groups {
        let mut counts = [0usize; BINS];
        for value in values {
            let bin = (value - low) / (high - low) * BINS as f64;
            counts[(bin as usize).min(BINS - 1)] += 1;
        }
        let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let name = format!(
            "{}: {} of {}, mean {mean:.3}",
            group.kind,
            values.len(),
            group.count
        );
        canvas.text([MARGIN, top + 20.0], style("start", SOFT, 14), &name);
        let base = top + NAME + BARS;
        let colour = OF_KINDS[usize::from(group.kind != DirectionKind::Units)];
        let width = (WIDTH - 2.0 * MARGIN) / BINS as f64;
        for (bin, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let height = BARS * count as f64 / most;
            let corner = [MARGIN + bin as f64 * width, base - height];
            canvas.rect(corner, [width - 1.0, height], colour);
        }
        canvas.line([MARGIN, base], [WIDTH - MARGIN, base], SOFT, 1.0);
        canvas.line([x(mean), base - BARS], [x(mean), base + 3.0], INK, 2.0);
        top = base;
    }
    for (part, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
        let value = low + part * (high - low);
        let at = [x(value), top + 18.0];
        canvas.text(at, style(anchor, SOFT, 13), &format!("{value:.3}"));
    }
    top + BELOW
}

/// The mean of the measure that answers as the units are rotated from 0 to 90 degrees, beside that of
/// random directions (SVG). None where the study has no answer or no rotation.
pub fn rotation(study: &Study) -> Option<String> {
    const HEIGHT: f64 = 200.0;
    let measure = study.by?;
    let mut points: Vec<(f64, f64)> = study
        .groups
        .iter()
        .filter_map(|group| match group.kind {
            DirectionKind::Units => Some((0.0, group.mean.get(measure)?)),
            DirectionKind::Rotated(degrees) => Some((degrees, group.mean.get(measure)?)),
            _ => None,
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let random = study
        .groups
        .iter()
        .find(|group| group.kind == DirectionKind::Directions);
    let random = random.and_then(|group| group.mean.get(measure))?;
    if points.len() < 2 {
        return None;
    }
    let all = || points.iter().map(|point| point.1).chain([random]);
    let (low, high) = (
        all().fold(f64::INFINITY, f64::min),
        all().fold(f64::NEG_INFINITY, f64::max),
    );
    let room = ((high - low) * 0.15).max(1e-3);
    let (low, high) = (low - room, high + room);
    let left = MARGIN + 48.0;
    let x = |degrees: f64| left + degrees / 90.0 * (WIDTH - MARGIN - left);
    let y = |value: f64| TITLE + HEIGHT - (value - low) / (high - low) * HEIGHT;
    let mut canvas = Canvas::new(2);
    let title = format!("mean {} by degrees of rotation", measure.name());
    canvas.text([MARGIN, 24.0], style("start", INK, 18), &title);
    let right = WIDTH - MARGIN;
    canvas.line([left, y(low)], [right, y(low)], SOFT, 1.0);
    for value in [low + room, high - room] {
        let at = [left - 6.0, y(value) + 4.0];
        canvas.text(at, style("end", SOFT, 13), &format!("{value:.3}"));
    }
    canvas.line([left, y(random)], [right, y(random)], OTHER, 2.0);
    let at = [right, y(random) - 6.0];
    canvas.text(at, style("end", SOFT, 13), "random directions");
    let path: Vec<[f64; 2]> = points
        .iter()
        .map(|&(degrees, value)| [x(degrees), y(value)])
        .collect();
    canvas.polyline(&path, COLOURS[0], 2.0);
    for &(degrees, value) in &points {
        let [cx, cy] = [x(degrees), y(value)].map(|place| format!("{place:.2}"));
        let attributes: [(&str, &dyn Display); 4] =
            [("cx", &cx), ("cy", &cy), ("r", &4), ("fill", &COLOURS[0])];
        let label = format!("{degrees}: {value:.4}");
        canvas.element("circle", &attributes, Some(&label));
        let at = [x(degrees), y(low) + 18.0];
        canvas.text(at, style("middle", SOFT, 13), &format!("{degrees}°"));
    }
    Some(canvas.finish(&frame(&title, TITLE + HEIGHT + BELOW)))
}

fn frame(title: &str, height: f64) -> Frame<'_> {
    Frame {
        title,
        width: WIDTH,
        height,
        fixed: false,
        font_size: None,
    }
}

fn style(anchor: &'static str, fill: &'static str, size: u32) -> Style<'static> {
    Style {
        anchor,
        fill,
        size: Some(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot::units::Measures;

    fn group(kind: DirectionKind, values: &[f64]) -> Group {
        let measures = |&purity: &f64| Measures {
            purity: Some(purity),
            ..Measures::default()
        };
        Group {
            kind,
            count: values.len() + 1,
            tied: 1,
            mean: measures(&(values.iter().sum::<f64>() / values.len() as f64)),
            members: values
                .iter()
                .map(measures)
                .chain([Measures::default()])
                .collect(),
        }
    }

    #[test]
    fn plots_are_xml_with_every_value_drawn() {
        let study = Study {
            answer: String::new(),
            remarks: vec![],
            by: Some(Measure::Purity),
            groups: vec![
                group(DirectionKind::Units, &[0.1, 0.5, 1.0]),
                group(DirectionKind::Directions, &[0.3; 4]),
                group(DirectionKind::Rotated(90.0), &[0.3; 4]),
            ],
            contrasts: vec![],
        };
        let plot = distributions(&study);
        let document = roxmltree::Document::parse(&plot).unwrap();
        let bars = document
            .descendants()
            .filter(|node| node.has_tag_name("rect"))
            .count();
        // The paper, three values of the units, one of the directions; the measure that nobody has is
        // not drawn.
        assert_eq!(bars, 5);
        assert!(plot.contains("units: 3 of 4, mean 0.533"));
        let plot = rotation(&study).unwrap();
        let document = roxmltree::Document::parse(&plot).unwrap();
        let circles = document
            .descendants()
            .filter(|node| node.has_tag_name("circle"));
        assert_eq!(circles.count(), 2);
        let alone = Study {
            groups: vec![group(DirectionKind::Units, &[1.0])],
            ..study
        };
        assert_eq!(rotation(&alone), None);
        roxmltree::Document::parse(&distributions(&alone)).unwrap();
    }
}
