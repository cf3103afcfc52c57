//! How alike the top images of a unit or direction are.

use blindspot_run::monitor::Monitor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::distances::mean_distances;
use super::{Context, TopImages, UnitsError};

/// A measure of how alike the top images of a unit or a direction are.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The fraction of the top images that have the most frequent label among them, in (0, 1].
    Purity,
    /// The entropy of the top images' labels, in bits.
    Entropy,
    /// The root mean square difference of two top images' pixels, averaged over all pairs.
    PixelDistance,
    /// The root mean square difference of two top images' activations in the layer below, averaged over
    /// all pairs.
    DistanceBelow,
    /// The largest correlation, over the classes, of the projections of all images with belonging to
    /// the class, in [0, 1].
    Selectivity,
}

impl Measure {
    /// All measures.
    pub const ALL: [Measure; 5] = [
        Measure::Purity,
        Measure::Entropy,
        Measure::PixelDistance,
        Measure::DistanceBelow,
        Measure::Selectivity,
    ];

    /// The measure's name in tables and sentences.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Purity => "label purity",
            Measure::Entropy => "label entropy (bits)",
            Measure::PixelDistance => "distance in pixels",
            Measure::DistanceBelow => "distance in the layer below",
            Measure::Selectivity => "selectivity",
        }
    }

    /// Whether a larger value means that the images are more alike.
    pub fn grows_with_likeness(self) -> bool {
        matches!(self, Measure::Purity | Measure::Selectivity)
    }
}

/// The measures of one set of top images. A measure is None if it is undefined: a distance of fewer than
/// two images, purity, entropy and selectivity without labels, the selectivity of a constant projection.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Measures {
    /// The fraction of the top images that have the most frequent label among them, in (0, 1].
    pub purity: Option<f64>,
    /// The entropy of the top images' labels, in bits.
    pub entropy: Option<f64>,
    /// The root mean square difference of two top images' pixels, averaged over all pairs.
    pub pixel_distance: Option<f64>,
    /// The root mean square difference of two top images' activations in the layer below, averaged over all pairs.
    pub distance_below: Option<f64>,
    /// The largest correlation, over the classes, of the projections of all images with belonging to the class, in
    /// [0, 1].
    pub selectivity: Option<f64>,
}

impl Measures {
    /// The value of one measure.
    pub fn get(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Purity => self.purity,
            Measure::Entropy => self.entropy,
            Measure::PixelDistance => self.pixel_distance,
            Measure::DistanceBelow => self.distance_below,
            Measure::Selectivity => self.selectivity,
        }
    }
}

/// The measures of each result. Top images that only their indices singled out among equal projections
/// (dead units) say nothing: their only measure is the selectivity, and a constant has none.
pub(super) fn measures(
    context: &Context<'_>,
    found: &[&TopImages],
    monitor: &dyn Monitor,
) -> Result<Vec<Measures>, UnitsError> {
    let set = |found: &&TopImages| {
        if found.top.tied || found.is_constant() {
            Vec::new()
        } else {
            found.top.images.clone()
        }
    };
    let sets: Vec<Vec<usize>> = found.iter().map(set).collect();
    let distances =
        |network: Option<&_>, work| mean_distances(context.inputs, network, &sets, work, monitor);
    let pixels = distances(None, "distances in pixels")?;
    let below = match context.network_below() {
        Some(network) => distances(Some(&network), "distances below")?,
        None => vec![None; sets.len()],
    };
    let distances = pixels.into_iter().zip(below);
    let all = found.iter().zip(&sets).zip(distances);
    Ok(all
        .map(|((found, set), (pixel_distance, distance_below))| {
            let counts = context.labels.map(|labels| label_counts(set, labels));
            Measures {
                purity: counts.as_deref().and_then(purity),
                entropy: counts.as_deref().and_then(entropy),
                pixel_distance,
                distance_below,
                selectivity: found.selectivity,
            }
        })
        .collect())
}

/// The number of images of each label that occurs in a set.
fn label_counts(set: &[usize], labels: &[usize]) -> Vec<usize> {
    let mut own: Vec<usize> = set.iter().map(|&image| labels[image]).collect();
    own.sort_unstable();
    own.chunk_by(|a, b| a == b).map(<[usize]>::len).collect()
}

fn purity(counts: &[usize]) -> Option<f64> {
    let total: usize = counts.iter().sum();
    counts.iter().max().map(|&most| most as f64 / total as f64)
}

fn entropy(counts: &[usize]) -> Option<f64> {
    let total = counts.iter().sum::<usize>() as f64;
    let bits = |&count: &usize| {
        let fraction = count as f64 / total;
        fraction * -fraction.log2()
    };
    // An empty sum, or a sum of zeros, is -0.
    (!counts.is_empty()).then(|| counts.iter().map(bits).sum::<f64>().max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purity_and_entropy_in_closed_form() {
        let labels = [7, 7, 7, 7, 2, 2, 5, 5, 0, 1];
        let of = |set: &[usize]| {
            let counts = label_counts(set, &labels);
            (purity(&counts), entropy(&counts))
        };
        assert_eq!(of(&[0, 1, 2]), (Some(1.0), Some(0.0)));
        assert_eq!(of(&[0, 4, 6, 8]), (Some(0.25), Some(2.0)));
        // 1/2, 1/4, 1/4.
        assert_eq!(of(&[0, 1, 2, 3, 4, 5, 6, 7]), (Some(0.5), Some(1.5)));
        assert_eq!(of(&[]), (None, None));
        let (purity, entropy) = of(&[1, 4, 5]);
        assert_eq!(purity, Some(2.0 / 3.0));
        // log2 3 - 2/3
        assert!((entropy.unwrap() - (3f64.log2() - 2.0 / 3.0)).abs() < 1e-15);
    }
}
