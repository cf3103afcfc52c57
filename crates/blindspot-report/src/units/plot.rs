//! The distributions of a study, and how they change as the basis is rotated.

use blindspot::units::{DirectionKind, Group, Measure, Study};

use crate::axes::{Area, Plot, frame};
use crate::axis::Axis;
use crate::colours::{COLOURS, INK, OTHER, SOFT};
use crate::svg::{Canvas, Style};
use crate::table::digits;

const WIDTH: f64 = 640.0;
const BINS: usize = 32;
/// The height of a panel's title.
const TITLE: f64 = 34.0;
/// The height of a histogram's name.
const NAME: f64 = 26.0;
/// The height of its bars, and of the ticks below them.
const BARS: f64 = 48.0;
const TICKS: f64 = 10.0;
/// Standard deviations of a mean on either side that make a 95% interval.
const Z: f64 = 1.96;

/// The colour of units, and of all else.
const OF_KINDS: [&str; 2] = [COLOURS[0], OTHER];

/// The histograms of every measure that is defined: units, random directions and the controls, one
/// below the other over the same axis (SVG). A line marks the mean.
pub fn distributions(study: &Study) -> String {
    let kinds = [
        DirectionKind::Units,
        DirectionKind::Directions,
        DirectionKind::Untrained,
        DirectionKind::RandomImages,
    ];
    let (mut canvas, mut top) = (Canvas::new(1), 0.0);
    for measure in Measure::ALL {
        let groups: Vec<(&Group, Vec<f64>)> = kinds
            .iter()
            .filter_map(|kind| study.groups.iter().find(|group| group.kind == *kind))
            .map(|group| (group, values(group, measure)))
            .filter(|(_, values)| !values.is_empty())
            .collect();
        if groups.len() > 1 {
            (canvas, top) = panel(canvas, measure, &groups, top);
        }
    }
    let title = "How alike the top images are, by kind of direction";
    canvas.finish(&frame(title, [WIDTH, top]))
}

fn values(group: &Group, measure: Measure) -> Vec<f64> {
    let values = group.members.iter().filter_map(|m| m.get(measure));
    values.filter(|value| value.is_finite()).collect()
}

/// One measure; gives where the next panel begins.
fn panel(
    mut canvas: Canvas,
    measure: Measure,
    groups: &[(&Group, Vec<f64>)],
    mut top: f64,
) -> (Canvas, f64) {
    let across = measured(
        groups.iter().flat_map(|(_, values)| values).copied(),
        measure.name(),
    );
    let shares: Vec<[f64; BINS]> = groups
        .iter()
        .map(|(_, values)| histogram(values, &across))
        .collect();
    let largest = shares.iter().flatten().copied().fold(0.0, f64::max);
    let up = Axis::percent_up_to(largest, "").sparse();
    let title = format!("{}: share of each kind's members", measure.name());
    canvas.text([Area::LEFT, top + 24.0], style(INK, 15), &title);
    top += TITLE;
    for (i, ((group, values), shares)) in groups.iter().zip(&shares).enumerate() {
        let name = format!(
            "{}: {} of {}, mean {}",
            group.kind,
            values.len(),
            group.count,
            digits(mean(values))
        );
        canvas.text([Area::LEFT, top + 18.0], style(SOFT, 12), &name);
        let area = Area {
            top: top + NAME,
            height: BARS,
            ..Area::of_drawing([WIDTH, 0.0])
        };
        let last = i + 1 == groups.len();
        let axis = across.clone();
        let axis = if last { axis } else { axis.wordless() };
        let mut plot = Plot::on(canvas, area, axis, up.clone());
        let colour = OF_KINDS[usize::from(group.kind != DirectionKind::Units)];
        for (bin, &share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            let edges = edges(bin, &across);
            let title = format!(
                "{:.1}% of them, {} to {}",
                100.0 * share,
                digits(edges[0]),
                digits(edges[1])
            );
            plot.bar(edges, share, colour, &title);
        }
        plot.mark(mean(values));
        canvas = plot.canvas;
        top = area.bottom() + TICKS;
    }
    (canvas, top - TICKS + Area::BELOW)
}

/// The axis of values of a measure.
fn measured(values: impl Iterator<Item = f64>, name: &str) -> Axis {
    let ends = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
        [low.min(value), high.max(value)]
    });
    let [low, high] = ends;
    // Of one value alone an axis would have no width.
    let room = if high > low { 0.0 } else { 0.5 };
    Axis::between([low - room, high + room], name)
}

/// The share of the values in each of the parts of an axis.
fn histogram(values: &[f64], axis: &Axis) -> [f64; BINS] {
    let mut counts = [0usize; BINS];
    for &value in values {
        let bin = (axis.place(value) * BINS as f64) as usize;
        counts[bin.min(BINS - 1)] += 1;
    }
    counts.map(|count| count as f64 / values.len() as f64)
}

/// The ends of a part of an axis.
fn edges(bin: usize, axis: &Axis) -> [f64; 2] {
    let [low, high] = axis.ends;
    [bin, bin + 1].map(|edge| low + edge as f64 / BINS as f64 * (high - low))
}

/// The mean of some values.
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A mean with its 95% interval, which is that mean alone where there is one value.
struct Mean {
    mean: f64,
    interval: [f64; 2],
}

impl Mean {
    /// Of the measure of a group's members; None where no member has it.
    fn of(group: &Group, measure: Measure) -> Option<Mean> {
        let values = values(group, measure);
        if values.is_empty() {
            return None;
        }
        let (count, mean) = (values.len() as f64, mean(&values));
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let error = Z * (squares / (count - 1.0).max(1.0) / count).sqrt();
        Some(Mean {
            mean,
            interval: [mean - error, mean + error],
        })
    }
}

/// The mean of the measure that answers as the units are rotated from 0 to 90 degrees, beside that of
/// random directions (SVG), each with its 95% interval by the normal approximation. None where the study has no answer
/// or no rotation.
pub fn rotation(study: &Study) -> Option<String> {
    let measure = study.by?;
    let mut points: Vec<(f64, Mean)> = study
        .groups
        .iter()
        .filter_map(|group| match group.kind {
            DirectionKind::Units => Some((0.0, Mean::of(group, measure)?)),
            DirectionKind::Rotated(degrees) => Some((degrees, Mean::of(group, measure)?)),
            _ => None,
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut groups = study.groups.iter();
    let random = groups.find(|group| group.kind == DirectionKind::Directions);
    let random = random.and_then(|group| Mean::of(group, measure))?;
    if points.len() < 2 {
        return None;
    }
    let intervals = points.iter().map(|(_, mean)| mean.interval);
    let intervals = intervals.chain([random.interval]);
    let up = measured(intervals.flatten(), &format!("mean {}", measure.name()));
    let mut plot = Plot::over(Axis::degrees("rotation of the units"), up);
    plot.band(random.interval, COLOURS[1]);
    plot.line(&[[0.0, random.mean], [90.0, random.mean]], COLOURS[1]);
    let path: Vec<[f64; 2]> = points
        .iter()
        .map(|(degrees, mean)| [*degrees, mean.mean])
        .collect();
    plot.line(&path, COLOURS[0]);
    for (degrees, mean) in &points {
        let [low, high] = mean.interval.map(digits);
        let title = format!("{degrees}°: {} ({low} to {high})", digits(mean.mean));
        plot.error_bar(*degrees, mean.interval, COLOURS[0]);
        plot.dot([*degrees, mean.mean], COLOURS[0], &title);
    }
    let names = [
        ("units, rotated", COLOURS[0]),
        ("random directions", COLOURS[1]),
        ("bars, band: 95% intervals of means", SOFT),
    ];
    plot.names(names.into_iter());
    let [_, file] = plot.finish(&format!("Mean {} by rotation of the units", measure.name()));
    Some(file)
}

fn style(fill: &'static str, size: u32) -> Style<'static> {
    Style {
        anchor: "start",
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
    fn plots_are_xml_with_every_value_drawn_on_axes() {
        let study = Study {
            answer: String::new(),
            remarks: vec![],
            by: Some(Measure::Purity),
            groups: vec![
                group(DirectionKind::Units, &[0.1, 0.5, 1.0]),
                group(DirectionKind::Directions, &[0.3; 4]),
                group(DirectionKind::Rotated(90.0), &[0.2, 0.4]),
            ],
            contrasts: vec![],
        };
        let plot = distributions(&study);
        let document = roxmltree::Document::parse(&plot).unwrap();
        let count = |document: &roxmltree::Document<'_>, name: &str| {
            let nodes = document.descendants();
            nodes.filter(|node| node.has_tag_name(name)).count()
        };
        // The paper, three values of the units, one of the directions; the measure that nobody has is
        // not drawn.
        assert_eq!(count(&document, "rect"), 5);
        for words in [
            "units: 3 of 4, mean 0.533",
            ">label purity<",
            ">0.2<",
            ">100%<",
        ] {
            assert!(plot.contains(words), "{words}: {plot}");
        }
        let plot = rotation(&study).unwrap();
        let document = roxmltree::Document::parse(&plot).unwrap();
        assert_eq!(count(&document, "circle"), 2);
        // The mean of 0.2 and 0.4 with 1.96 times its standard error, 0.1.
        for words in [
            "90°: 0.300 (0.104 to 0.496)",
            ">mean label purity<",
            ">45°<",
            ">0.6<",
        ] {
            assert!(plot.contains(words), "{words}: {plot}");
        }
        let alone = Study {
            groups: vec![group(DirectionKind::Units, &[1.0])],
            ..study
        };
        assert_eq!(rotation(&alone), None);
        roxmltree::Document::parse(&distributions(&alone)).unwrap();
    }
}
