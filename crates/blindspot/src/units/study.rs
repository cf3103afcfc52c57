//! Do units mean more than random directions? How alike the top images of units, of random directions
//! and of controls are, and tests of the differences. The paper compared pictures by eye.

use blindspot_run::monitor::Monitor;
use blindspot_run::random::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::measures::{Measure, Measures, measures};
use super::top_images::class_counts;
use super::{Context, RankedImages, TopImages, UnitsError};
use crate::stats::MannWhitney;

/// Directions of one kind, or random sets of images, with their measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// The kind of the directions.
    pub kind: DirectionKind,
    /// Number of members.
    pub count: usize,
    /// Number of members whose last top image was chosen by its index among equal projections (dead
    /// units). Such a member has no measure but, unless its projections are all equal, the selectivity.
    pub tied: usize,
    /// The mean of each measure over the members that have it.
    pub mean: Measures,
    /// The measures of each member.
    pub members: Vec<Measures>,
}

/// A kind of directions, or random sets of images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DirectionKind {
    /// The layer's units.
    Units,
    /// Random directions.
    Directions,
    /// The units rotated by this angle in degrees, each in a random plane of its own.
    Rotated(f64),
    /// Principal components: the directions of largest variance.
    Components,
    /// Random directions of an untrained network of the same architecture.
    Untrained,
    /// Random sets of images in place of top images.
    RandomImages,
}

impl std::fmt::Display for DirectionKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DirectionKind::Units => f.write_str("units"),
            DirectionKind::Directions => f.write_str("random directions"),
            DirectionKind::Rotated(degrees) => write!(f, "units rotated by {degrees} degrees"),
            DirectionKind::Components => f.write_str("principal components"),
            DirectionKind::Untrained => f.write_str("random directions, untrained network"),
            DirectionKind::RandomImages => f.write_str("random images"),
        }
    }
}

/// A measure compared between two groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contrast {
    /// The measure.
    pub measure: Measure,
    /// The first group.
    pub first: DirectionKind,
    /// The second group.
    pub second: DirectionKind,
    /// Test of whether the first group has larger values than the second.
    #[serde(flatten)]
    pub comparison: MannWhitney,
}

/// The study of a layer: whether the top images of its units are more alike than the top images of
/// random directions, with controls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Study {
    /// One sentence on the paper's claim that units mean no more than random directions.
    pub answer: String,
    /// Caveats, such as an image set that is too small or units that were left out.
    pub remarks: Vec<String>,
    /// The measure behind the answer; None if the image set allows no answer.
    pub by: Option<Measure>,
    /// All kinds of directions, and the controls.
    pub groups: Vec<Group>,
    /// Comparisons of two groups each.
    pub contrasts: Vec<Contrast>,
}

/// Smallest size of a group in a test: the normal approximation fails below it.
const MIN_GROUP_MEMBERS: usize = 8;
/// Smallest number of images in a set, as a multiple of the number of top images.
const MIN_IMAGES_PER_TOP: usize = 10;
/// Common-language effect sizes up to this count as negligible.
const MAX_NEGLIGIBLE_EFFECT: f64 = 0.6;

/// The measures of all groups, in one pass over the images of all of them.
pub(super) fn groups(
    context: &Context<'_>,
    found: &[(DirectionKind, Vec<&TopImages>)],
    monitor: &dyn Monitor,
) -> Result<Vec<Group>, UnitsError> {
    let all: Vec<&TopImages> = found.iter().flat_map(|(_, found)| found).copied().collect();
    let mut measures = measures(context, &all, monitor)?.into_iter();
    let group = |(kind, found): &(DirectionKind, Vec<&TopImages>)| {
        let tied = found.iter().filter(|found| found.top.tied).count();
        of_members(*kind, tied, measures.by_ref().take(found.len()).collect())
    };
    Ok(found.iter().map(group).collect())
}

/// `count` random sets of `size` images out of `images`: the control for top images.
pub(super) fn random_images(count: usize, size: usize, images: usize, seed: u64) -> Vec<TopImages> {
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
    let found = |index| TopImages {
        top: RankedImages {
            images: set(index),
            ..RankedImages::default()
        },
        ..TopImages::default()
    };
    (0..count).map(found).collect()
}

fn of_members(kind: DirectionKind, tied: usize, members: Vec<Measures>) -> Group {
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

/// The values of a measure, over the members that have it.
fn values(members: &[Measures], measure: Measure) -> Vec<f64> {
    members.iter().filter_map(|m| m.get(measure)).collect()
}

/// What a study's sentences say of the layer and the images.
pub(super) struct Sizes<'a> {
    pub(super) layer: &'a str,
    /// Number of units of the layer.
    pub(super) units: usize,
    pub(super) images: usize,
    pub(super) top: usize,
    pub(super) labels: Option<&'a [usize]>,
}

/// Compares the groups and puts the result in words.
pub(super) fn conclude(sizes: &Sizes<'_>, groups: Vec<Group>) -> Study {
    let mut pairs = vec![
        (DirectionKind::Units, DirectionKind::Directions),
        (DirectionKind::Units, DirectionKind::Untrained),
        (DirectionKind::Directions, DirectionKind::Untrained),
        (DirectionKind::Units, DirectionKind::RandomImages),
        (DirectionKind::Directions, DirectionKind::RandomImages),
        (DirectionKind::Components, DirectionKind::Directions),
    ];
    let turned = groups.iter().map(|group| group.kind);
    let turned = turned.filter(|kind| matches!(kind, DirectionKind::Rotated(_)));
    pairs.extend(turned.map(|kind| (kind, DirectionKind::Directions)));
    let of = |kind| groups.iter().find(|group| group.kind == kind);
    let mut contrasts = Vec::new();
    for (first, second) in pairs {
        let (Some(a), Some(b)) = (of(first), of(second)) else {
            continue;
        };
        for measure in Measure::ALL {
            let samples = [a, b].map(|group| values(&group.members, measure));
            let test = MannWhitney::test(&samples[0], &samples[1]);
            contrasts.extend(test.map(|comparison| Contrast {
                measure,
                first,
                second,
                comparison,
            }));
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

/// The measure that answers, preferably the purity, or why none can.
fn the_measure(sizes: &Sizes<'_>, groups: &[Group]) -> Result<Measure, String> {
    let Sizes { images, top, .. } = *sizes;
    if images < MIN_IMAGES_PER_TOP * top {
        return Err(format!(
            "The set is too small: the top {top} of {images} images are more than a tenth of it; take \
             at least {} images or a smaller top",
            MIN_IMAGES_PER_TOP * top
        ));
    }
    let enough = |measure| {
        [DirectionKind::Units, DirectionKind::Directions]
            .iter()
            .all(|kind| {
                let group = groups.iter().find(|group| group.kind == *kind);
                group
                    .is_some_and(|group| values(&group.members, measure).len() >= MIN_GROUP_MEMBERS)
            })
    };
    let order = [
        Measure::Purity,
        Measure::DistanceBelow,
        Measure::PixelDistance,
    ];
    let skipped = usize::from(!labels_tell(sizes));
    let mut order = order.into_iter().skip(skipped);
    order.find(|&measure| enough(measure)).ok_or_else(|| {
        format!(
            "Too few units or directions have top images of their own: a test takes at least \
             {MIN_GROUP_MEMBERS} of each"
        )
    })
}

/// Whether top images could share a label at all.
fn labels_tell(sizes: &Sizes<'_>) -> bool {
    let counts = sizes.labels.map(class_counts).unwrap_or_default();
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
    if let Some(units) = groups
        .iter()
        .find(|group| group.kind == DirectionKind::Units)
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
            == (measure, DirectionKind::Units, DirectionKind::Directions)
    });
    let Some(Contrast { comparison, .. }) = contrast else {
        return format!("{}: there is nothing to compare", sizes.layer);
    };
    // From here on a larger value means more alike.
    let [low, high] = comparison.interval;
    let (probability, [low, high]) = if measure.grows_with_likeness() {
        (comparison.probability, [low, high])
    } else {
        (1.0 - comparison.probability, [1.0 - high, 1.0 - low])
    };
    let verdict = if low > 0.5 {
        "units mean more than random directions here, against the paper's claim"
    } else if high < 0.5 {
        "random directions mean more than units here"
    } else if high <= MAX_NEGLIGIBLE_EFFECT {
        "units don't mean more than random directions here, as the paper claims"
    } else {
        "there are too few of them to tell whether units mean more"
    };
    let p = match comparison.p {
        None => "undefined".to_owned(),
        Some(p) if p < 1e-4 => format!("{p:.0e}"),
        Some(p) => format!("{p:.4}"),
    };
    format!(
        "{}: {verdict}. The top {} images of a unit are more alike than those of a random direction with \
         probability {probability:.2} (95% interval {low:.2} to {high:.2}, Mann-Whitney p {p}) by {}: mean \
         {} for units, {} for random directions, {} in an untrained network, {} for random images.",
        sizes.layer,
        sizes.top,
        measure.name(),
        mean(DirectionKind::Units),
        mean(DirectionKind::Directions),
        mean(DirectionKind::Untrained),
        mean(DirectionKind::RandomImages),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group_of(kind: DirectionKind, purity: impl Iterator<Item = Option<f64>>) -> Group {
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
                group_of(DirectionKind::Units, units.chain([None])),
                group_of(DirectionKind::Directions, (0..count).map(spread)),
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
