//! How alike the images are that excite a unit the most.

use serde::{Deserialize, Serialize};

use super::distances::mean_distances;
use super::{Found, UnitsError};
use crate::inputs::Inputs;
use crate::run::monitor::Monitor;
use blindspot_net::Network;

/// A measure of how alike the top images of a unit or a direction are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The fraction of the top images that have the most frequent label among them.
    Purity,
    /// The entropy of their labels, in bits.
    Entropy,
    /// The mean over their pairs of the root mean square of the difference of a pixel.
    PixelDistance,
    /// Likewise of a value of the layer below.
    DistanceBelow,
    /// The largest correlation of the projections of all images with belonging to one class.
    Selectivity,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 5] = [
        Measure::Purity,
        Measure::Entropy,
        Measure::PixelDistance,
        Measure::DistanceBelow,
        Measure::Selectivity,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Purity => "label purity",
            Measure::Entropy => "label entropy (bits)",
            Measure::PixelDistance => "distance in pixels",
            Measure::DistanceBelow => "distance in the layer below",
            Measure::Selectivity => "selectivity",
        }
    }

    /// Whether more of it means that the images are more alike.
    pub fn grows_with_likeness(self) -> bool {
        matches!(self, Measure::Purity | Measure::Selectivity)
    }
}

/// The measures of one set of top images; None where one is undefined: distances of fewer than two
/// images, what takes labels without them, the selectivity of a constant projection.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Measures {
    /// [`Measure::Purity`].
    pub purity: Option<f64>,
    /// [`Measure::Entropy`].
    pub entropy: Option<f64>,
    /// [`Measure::PixelDistance`].
    pub pixel_distance: Option<f64>,
    /// [`Measure::DistanceBelow`].
    pub distance_below: Option<f64>,
    /// [`Measure::Selectivity`].
    pub selectivity: Option<f64>,
}

impl Measures {
    /// One of them.
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

/// Where images and their likeness come from.
pub(super) struct Scene<'a, I: ?Sized> {
    pub(super) inputs: &'a I,
    pub(super) labels: Option<&'a [usize]>,
    /// The network up to the layer below, where that is not the image itself.
    pub(super) below: Option<Network<f32>>,
}

impl<I: Inputs + ?Sized> Scene<'_, I> {
    /// The measures of what was found. Top images that were chosen among equal projections by their
    /// order alone (dead units) tell nothing: they have none but the selectivity.
    pub(super) fn of(
        &self,
        found: &[&Found],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Measures>, UnitsError> {
        let set = |found: &&'_ Found| match found.top.tied {
            true => Vec::new(),
            false => found.top.images.clone(),
        };
        let sets: Vec<Vec<usize>> = found.iter().map(set).collect();
        let pixels = mean_distances(self.inputs, None, &sets, "distances in pixels", monitor)?;
        let below = match &self.below {
            Some(network) => {
                let work = "distances below";
                mean_distances(self.inputs, Some(network), &sets, work, monitor)?
            }
            None => vec![None; sets.len()],
        };
        let distances = pixels.into_iter().zip(below);
        let all = found.iter().zip(&sets).zip(distances);
        Ok(all
            .map(|((found, set), (pixel_distance, distance_below))| {
                let counts = self.labels.map(|labels| label_counts(set, labels));
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
}

/// How often each label occurs among some images, for those that occur.
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
        let part = count as f64 / total;
        part * -part.log2()
    };
    // A sum of nothing but 0 is -0.
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
