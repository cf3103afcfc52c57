//! Pictures of figure 6, and what is said below them.

use blindspot_report::{Artifact, Section, sheet_png};

use super::super::figure5::{self, MAGNIFIED};
use super::super::pictures::{Pair, perturbation};
use super::{QuocNet, QuocNetDirection};
use crate::page::section::{Figure, of_figures};
use crate::results::{Pictures, Results};

/// A difference is visible from this value on.
const VISIBLE: f32 = 0.2;
/// Differences are never magnified more than this.
const MAX_MAGNIFIED: f32 = 1e6;
/// Images in a row of the figure.
const GROUPS: usize = 4;

/// By which power of ten the differences are magnified: at least 10, and so much that the largest of
/// them is visible.
fn magnification(pairs: &[Pair]) -> f32 {
    let values = pairs
        .iter()
        .flat_map(|pair| perturbation(pair, 1.0, 0.0).values);
    let largest = values.fold(0.0, |max: f32, value| max.max(value.abs()));
    let mut magnified = MAGNIFIED;
    while magnified * largest < VISIBLE && magnified < MAX_MAGNIFIED {
        magnified *= 10.0;
    }
    magnified
}

/// The figure as the paper has it: recognised, not recognised, and the magnitude of the difference, magnified;
/// such a group for each image (PNG).
fn png(pairs: &[Pair]) -> Vec<u8> {
    let magnified = magnification(pairs);
    let difference = |pair: &Pair| {
        let mut difference = perturbation(pair, magnified, 0.0);
        let values = difference.values.iter_mut();
        values.for_each(|value| *value = value.abs());
        difference
    };
    let group = |pair: &Pair| {
        vec![
            pair.original.clone(),
            pair.perturbed.clone(),
            difference(pair),
        ]
    };
    let rows = pairs.chunks(GROUPS);
    let rows = rows.map(|row| row.iter().map(group).collect());
    sheet_png(&rows.collect::<Vec<_>>())
}

pub(super) fn files(pictures: &Pictures) -> Vec<Artifact> {
    let names = ["figure6", "figure6-other"].into_iter();
    let made = names
        .zip(&pictures.figure6)
        .filter(|(_, pairs)| !pairs.is_empty());
    let file = |(name, pairs): (&str, &Vec<Pair>)| Artifact {
        name: format!("{name}.png"),
        bytes: png(pairs),
    };
    made.map(file).collect()
}

pub(super) fn section(results: &Results, pictures: &Pictures) -> Option<Section> {
    let captions = captions(results.quocnet.as_ref()?).into_iter();
    let made = captions
        .zip(&pictures.figure6)
        .filter(|(_, pairs)| !pairs.is_empty());
    let figure = |(caption, pairs): (String, &Vec<Pair>)| {
        let shown = figure5::shown(pairs);
        figure5::drawn(
            shown,
            &png(shown),
            "Groups of three: an image that is answered rightly, the changed one that is not, and the \
             magnitude of the difference, magnified",
            vec![format!(
                "{caption} The difference is magnified {} times.",
                magnification(shown)
            )],
        )
    };
    let figures: Vec<Figure> = made.map(figure).collect();
    let title = "Figure 6: a classifier on features learned without labels, and what fools it";
    (!figures.is_empty()).then(|| of_figures("figure6", title, &figures))
}

/// What is said below figure 6.
pub(super) fn captions(results: &QuocNet) -> Vec<String> {
    let class = &results.class;
    let direction = |what: &str, direction: &QuocNetDirection| {
        let QuocNetDirection {
            samples,
            fooled,
            distortion_mean,
            other_samples,
            other_fooled,
            ..
        } = direction;
        let distortion = match distortion_mean {
            Some(mean) => format!(", average distortion of these {mean:.6}"),
            None => String::new(),
        };
        let other = match other_fooled {
            Some(part) => format!(
                "gets {:.1}% of those wrong that it knows ({other_samples})",
                100.0 * part
            ),
            None => "knows none of them".into(),
        };
        format!(
            "{samples} {what}: {:.0}% of them{distortion}; a network trained from another seed {other}.",
            100.0 * fooled,
        )
    };
    vec![
        direction(
            &format!("recognised images of `{class}`, changed until they are not recognised"),
            &results.away,
        ),
        direction(
            &format!("other images, changed until they are taken for `{class}`"),
            &results.towards,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot::picture::Picture;

    #[test]
    fn differences_are_magnified_by_as_many_powers_of_ten_as_bring_the_largest_into_sight() {
        let grey = |value: f32| Picture {
            width: 2,
            height: 2,
            values: vec![value; 4],
        };
        let pair = |perturbed| Pair {
            original: grey(0.2),
            perturbed: grey(perturbed),
            label: 1,
            prediction_before: 1,
            prediction: 2,
            distortion: 0.1,
        };
        assert_eq!(magnification(&[pair(0.2), pair(0.3)]), 10.0);
        assert_eq!(magnification(&[pair(0.2003)]), 1000.0);
        assert_eq!(magnification(&[pair(0.2)]), MAX_MAGNIFIED);
    }
}
