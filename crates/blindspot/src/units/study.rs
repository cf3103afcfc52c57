//! Do units mean more than random directions? The two distributions of what their top images have
//! in common, a test, and controls. The paper only looked at pictures.

use serde::{Deserialize, Serialize};

use super::measures::{Measure, Measures, Scene};
use super::{Comparison, Extremes, Found, UnitsError};
use crate::inputs::Inputs;
use crate::run::monitor::Monitor;
use crate::run::random::Stream;

/// A set of directions of one kind, or of sets of images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What they are.
    pub kind: Kind,
    /// How many.
    pub count: usize,
    /// Of these, those whose top images are chosen among equal projections (dead units): they are
    /// left out, but of the selectivity where their projections differ at all.
    pub tied: usize,
    /// The mean of each measure over those that have it.
    pub mean: Measures,
    /// The measures of each.
    pub members: Vec<Measures>,
}

/// A kind of directions, or of sets of images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The layer's units.
    Units,
    /// Random directions.
    Directions,
    /// The units rotated by so many degrees.
    Rotated(f64),
    /// The directions of largest variance.
    Components,
    /// Random directions of the untrained network of the same shape.
    Untrained,
    /// No directions, but as many images at random.
    RandomImages,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Units => f.write_str("units"),
            Kind::Directions => f.write_str("random directions"),
            Kind::Rotated(degrees) => write!(f, "units rotated by {degrees} degrees"),
            Kind::Components => f.write_str("principal components"),
            Kind::Untrained => f.write_str("random directions, untrained network"),
            Kind::RandomImages => f.write_str("random images"),
        }
    }
}

/// A measure compared between two groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// The measure.
    pub measure: Measure,
    /// The first group.
    pub first: Kind,
    /// The second group.
    pub second: Kind,
    /// Whether the first has more of the measure.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// What numbers say of a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// The answer to the paper's claim, in a sentence.
    pub answer: String,
    /// Why it is to be read with care: a set that is too small, units that were left out.
    pub remarks: Vec<String>,
    /// The measure that the answer is by.
    pub by: Option<Measure>,
    /// Every kind of directions, and the controls.
    pub groups: Vec<Group>,
    /// Their comparisons.
    pub contrasts: Vec<Contrast>,
}

/// Members that both groups of a test must have: with fewer the normal approximation is none.
const FEWEST: usize = 8;
/// Top images that a set must have room for, for its top to be a top.
const SHARE: usize = 10;
/// Effects up to this can't be told from none by anyone who looks at pictures.
const NEGLIGIBLE: f64 = 0.6;

/// The measures of groups of directions in this scene: their images are read once for all.
pub(super) fn groups(
    scene: &Scene<'_, impl Inputs + ?Sized>,
    parts: &[(Kind, Vec<Found>)],
    monitor: &dyn Monitor,
) -> Result<Vec<Group>, UnitsError> {
    let all: Vec<&Found> = parts.iter().flat_map(|(_, found)| found).collect();
    let mut measures = scene.of(&all, monitor)?.into_iter();
    let group = |(kind, found): &(Kind, Vec<Found>)| {
        let tied = found.iter().filter(|found| found.top.tied).count();
        of_members(*kind, tied, measures.by_ref().take(found.len()).collect())
    };
    Ok(parts.iter().map(group).collect())
}

/// The control: `count` sets of `size` of `images` images each, at random.
pub(super) fn random_images(count: usize, size: usize, images: usize, seed: u64) -> Vec<Found> {
    let set = |index| {
        let mut stream = Stream::new(seed, "random images", index);
        if 2 * size > images {
            let mut set = stream.order(images);
            set.truncate(size);
            return set;
        }
        let mut set = Vec::with_capacity(size);
        while set.len() < size {
            let image = stream.below(images);
            if !set.contains(&image) {
                set.push(image);
            }
        }
        set
    };
    let found = |index| Found {
        top: Extremes {
            images: set(index),
            ..Extremes::default()
        },
        ..Found::default()
    };
    (0..count).map(found).collect()
}

fn of_members(kind: Kind, tied: usize, members: Vec<Measures>) -> Group {
    let mean = |measure| {
        let values = values(&members, measure);
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    Group {
        kind,
        count: members.len(),
        tied,
        mean: Measures {
            purity: mean(Measure::Purity),
            entropy: mean(Measure::Entropy),
            pixel_distance: mean(Measure::PixelDistance),
            distance_below: mean(Measure::DistanceBelow),
            selectivity: mean(Measure::Selectivity),
        },
        members,
    }
}

/// A measure of those that have it.
fn values(members: &[Measures], measure: Measure) -> Vec<f64> {
    members.iter().filter_map(|m| m.get(measure)).collect()
}

/// What the sizes of a study are.
pub(super) struct Sizes<'a> {
    pub(super) layer: &'a str,
    /// Units of the layer.
    pub(super) units: usize,
    pub(super) images: usize,
    pub(super) top: usize,
    pub(super) labels: Option<&'a [usize]>,
}

/// Compares the groups and puts it in words.
pub(super) fn conclude(sizes: &Sizes<'_>, groups: Vec<Group>) -> Study {
    let mut pairs = vec![
        (Kind::Units, Kind::Directions),
        (Kind::Units, Kind::Untrained),
        (Kind::Directions, Kind::Untrained),
        (Kind::Units, Kind::RandomImages),
        (Kind::Directions, Kind::RandomImages),
        (Kind::Components, Kind::Directions),
    ];
    let turned = groups.iter().map(|group| group.kind);
    let turned = turned.filter(|kind| matches!(kind, Kind::Rotated(_)));
    pairs.extend(turned.map(|kind| (kind, Kind::Directions)));
    let of = |kind| groups.iter().find(|group| group.kind == kind);
    let mut contrasts = Vec::new();
    for (first, second) in pairs {
        let (Some(a), Some(b)) = (of(first), of(second)) else {
            continue;
        };
        for measure in Measure::ALL {
            let samples = [a, b].map(|group| values(&group.members, measure));
            contrasts.extend(
                Comparison::of(&samples[0], &samples[1]).map(|comparison| Contrast {
                    measure,
                    first,
                    second,
                    comparison,
                }),
            );
        }
    }
    let by = the_measure(sizes, &groups);
    let mut remarks = remarks(sizes, &groups);
    let answer = match &by {
        Err(why) => {
            remarks.insert(0, why.clone());
            format!("{}: this set can't tell. {why}.", sizes.layer)
        }
        Ok(measure) => answer(sizes, *measure, &groups, &contrasts),
    };
    Study {
        answer,
        remarks,
        by: by.ok(),
        groups,
        contrasts,
    }
}

/// The measure that answers, the purity wherever it can; or why none does.
fn the_measure(sizes: &Sizes<'_>, groups: &[Group]) -> Result<Measure, String> {
    let Sizes { images, top, .. } = *sizes;
    if images < SHARE * top {
        return Err(format!(
            "The set is too small: the top {top} of {images} images are more than a tenth of it; take \
             at least {} images or a smaller top",
            SHARE * top
        ));
    }
    let enough = |measure| {
        [Kind::Units, Kind::Directions].iter().all(|kind| {
            let group = groups.iter().find(|group| group.kind == *kind);
            group.is_some_and(|group| values(&group.members, measure).len() >= FEWEST)
        })
    };
    let order = match labels_tell(sizes) {
        true => &[
            Measure::Purity,
            Measure::DistanceBelow,
            Measure::PixelDistance,
        ][..],
        false => &[Measure::DistanceBelow, Measure::PixelDistance][..],
    };
    let first = order.iter().copied().find(|&measure| enough(measure));
    first.ok_or_else(|| {
        format!(
            "Too few units or directions have top images of their own: a test takes at least {FEWEST} \
             of each"
        )
    })
}

/// Whether top images could share a label at all.
fn labels_tell(sizes: &Sizes<'_>) -> bool {
    let counts = sizes.labels.map(super::class_counts).unwrap_or_default();
    let present = counts.iter().filter(|&&count| count > 0).count();
    present > 1 && counts.iter().any(|&count| count >= sizes.top)
}

fn remarks(sizes: &Sizes<'_>, groups: &[Group]) -> Vec<String> {
    let mut remarks = Vec::new();
    if sizes.top == 1 {
        remarks.push("A top of 1 image is pure by itself; take a larger one".to_owned());
    }
    match sizes.labels {
        None => remarks.push("The images have no labels: purity, entropy and selectivity are undefined".into()),
        Some(_) if !labels_tell(sizes) => remarks.push(format!(
            "No class has {} images, or there is one class only: label purity can't tell units from \
             directions, distances can",
            sizes.top
        )),
        Some(_) => {}
    }
    for group in groups.iter().filter(|group| group.tied > 0) {
        remarks.push(format!(
            "{} of {} {} have top images that are chosen among equal projections (dead or saturated \
             units) and are left out",
            group.tied, group.count, group.kind
        ));
    }
    if let Some(units) = groups.iter().find(|group| group.kind == Kind::Units)
        && units.count < sizes.units
    {
        remarks.push(format!(
            "{} of the layer's {} units were looked at, a random choice",
            units.count, sizes.units
        ));
    }
    remarks.push(
        "The p-values and intervals take units and directions as independent of each other"
            .to_owned(),
    );
    remarks
}

/// The answer in a sentence.
fn answer(sizes: &Sizes<'_>, measure: Measure, groups: &[Group], contrasts: &[Contrast]) -> String {
    let mean = |kind| {
        let group = groups.iter().find(|group| group.kind == kind);
        let mean = group.and_then(|group| group.mean.get(measure));
        mean.map_or("undefined".to_owned(), |mean| format!("{mean:.3}"))
    };
    let contrast = contrasts.iter().find(|contrast| {
        (contrast.measure, contrast.first, contrast.second)
            == (measure, Kind::Units, Kind::Directions)
    });
    let Some(Contrast { comparison, .. }) = contrast else {
        return format!("{}: there is nothing to compare", sizes.layer);
    };
    // From here on more is more alike.
    let (probability, [low, high]) = match measure.grows_with_likeness() {
        true => (comparison.probability, comparison.interval),
        false => {
            let [low, high] = comparison.interval;
            (1.0 - comparison.probability, [1.0 - high, 1.0 - low])
        }
    };
    let verdict = if low > 0.5 {
        "units mean more than random directions here, against the paper's claim"
    } else if high < 0.5 {
        "random directions mean more than units here"
    } else if high <= NEGLIGIBLE {
        "units don't mean more than random directions here, as the paper claims"
    } else {
        "there are too few of them to tell whether units mean more"
    };
    let p = comparison.p.map_or("undefined".to_owned(), |p| match p {
        p if p < 1e-4 => format!("{p:.0e}"),
        p => format!("{p:.4}"),
    });
    format!(
        "{}: {verdict}. The top {} images of a unit are more alike than those of a random direction with \
         probability {probability:.2} (95% interval {low:.2} to {high:.2}, Mann-Whitney p {p}) by {}: mean \
         {} for units, {} for random directions, {} in an untrained network, {} for random images.",
        sizes.layer,
        sizes.top,
        measure.name(),
        mean(Kind::Units),
        mean(Kind::Directions),
        mean(Kind::Untrained),
        mean(Kind::RandomImages),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group_of(kind: Kind, purity: impl Iterator<Item = Option<f64>>) -> Group {
        let members: Vec<Measures> = purity
            .map(|purity| Measures {
                purity,
                pixel_distance: purity.map(|purity| 1.0 - purity),
                ..Measures::default()
            })
            .collect();
        let tied = members.iter().filter(|m| m.purity.is_none()).count();
        of_members(kind, tied, members)
    }

    fn study(labels: Option<&[usize]>, images: usize, shift: f64, count: usize) -> Study {
        let sizes = Sizes {
            layer: "hidden",
            units: 500,
            images,
            top: 10,
            labels,
        };
        let spread = |i: usize| Some((i * 7 % count) as f64 / count as f64);
        let units = (0..count).map(|i| Some(spread(i).unwrap() + shift));
        conclude(
            &sizes,
            vec![
                group_of(Kind::Units, units.chain([None])),
                group_of(Kind::Directions, (0..count).map(spread)),
            ],
        )
    }

    #[test]
    fn the_answer_follows_the_interval() {
        let labels: Vec<usize> = (0..1000).map(|i| i % 10).collect();
        let says = |study: &Study, words: &str| {
            assert!(study.answer.contains(words), "{}", study.answer);
            assert!(!study.answer.contains("NaN"), "{}", study.answer);
        };
        let more = study(Some(&labels), 1000, 0.5, 100);
        says(&more, "units mean more");
        assert_eq!(more.by, Some(Measure::Purity));
        says(
            &study(Some(&labels), 1000, -0.5, 100),
            "random directions mean more",
        );
        says(&study(Some(&labels), 1000, 0.0, 400), "don't mean more");
        says(
            &study(Some(&labels), 1000, 0.0, 20),
            "too few of them to tell",
        );
        assert!(
            more.remarks
                .iter()
                .any(|r| r.contains("1 of 101 units have top images"))
        );
        assert!(
            more.remarks
                .iter()
                .any(|r| r.contains("101 of the layer's 500"))
        );

        // Less distance is more alike.
        let distances = study(None, 1000, 0.5, 100);
        assert_eq!(distances.by, Some(Measure::PixelDistance));
        says(&distances, "units mean more");
        assert!(distances.remarks[0].contains("no labels"));
        let distinct: Vec<usize> = (0..1000).collect();
        let alone = study(Some(&distinct), 1000, 0.5, 100);
        assert_eq!(alone.by, Some(Measure::PixelDistance));
        assert!(alone.remarks[0].contains("No class has 10 images"));

        says(&study(Some(&labels[..99]), 99, 0.5, 100), "too small");
        says(&study(Some(&labels), 1000, 0.5, 5), "Too few units");
        let json = serde_json::to_string(&more).unwrap();
        assert!(!json.contains("NaN"));
        let read: Study = serde_json::from_str(&json).unwrap();
        assert_eq!((read.answer, read.groups.len()), (more.answer, 2));
    }
}
