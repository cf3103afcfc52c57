//! Section 3: which images excite a unit, or a random direction, the most.
//!
//! The paper looks at x' = argmax <phi(x), e_i> for units, and at x' = argmax <phi(x), v> for
//! random directions v, over a held-out set of images. [`explore`] finds both in one pass.

mod bases;
mod components;
mod directions;
mod distances;
mod error;
mod gallery;
mod layer;
mod mann_whitney;
mod measures;
mod projector;
mod ranking;
mod receptive;
mod spare;
mod stored;
mod study;
mod survey;
mod synthesis;

use blindspot_net::Network;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use bases::untrained;
pub use directions::{random_directions, random_units};
pub use error::UnitsError;
pub use gallery::{PictureRow, Shown, picture_rows};
pub use layer::Layer;
pub use mann_whitney::Comparison;
pub use measures::{Measure, Measures};
pub use projector::{Probes, Reduction};
pub use receptive::receptive_field;
pub use stored::{LayerValues, StoredLayer};
pub use study::{Contrast, Group, Kind, Study};
pub use survey::{Plan, Seen, Survey, survey};
pub use synthesis::{Synthesis, Terms, synthesise, synthesise_all};

use crate::inputs::Inputs;
use crate::run::monitor::Monitor;
use projector::Projector;
use ranking::{Entry, Ranking};

/// How to look at a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitsOptions {
    /// How many images to find for each unit and direction; a smaller set gives all it has.
    pub top: usize,
    /// How the positions of a convolutional layer become one number.
    pub reduce: Reduction,
}

/// The images at one end of a unit's or direction's projections, the outermost first; of equal
/// projections the lower image leads.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Extremes {
    /// Places in the image set.
    pub images: Vec<usize>,
    /// The projection of each.
    pub activations: Vec<f32>,
    /// The position of each image's largest projection, among the layer's positions row after row;
    /// 0 where there is one number for a unit.
    pub positions: Vec<usize>,
    /// True where an image that was left out has the same projection as the last one: which images
    /// these are is then a matter of their order.
    pub tied: bool,
}

/// What was found for a unit or a direction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Found {
    /// The images with the largest projections.
    pub top: Extremes,
    /// The images with the smallest ones.
    pub lowest: Extremes,
    /// The largest correlation of the projection with belonging to one class, over all classes, in
    /// [0, 1]. None without labels, or where the projection or the label is the same for all images.
    pub selectivity: Option<f64>,
}

impl Found {
    /// Whether all images have the same projection.
    pub fn is_constant(&self) -> bool {
        self.top.activations.first() == self.lowest.activations.first()
    }
}

/// Finds the images with the largest and the smallest projections on each of `probes`, units before
/// directions, in one pass over `inputs`; none but a block of them is in memory. With the class of
/// each image, the selectivity, too. The bits don't depend on the number of threads.
///
/// # Errors
/// [`UnitsError`].
///
/// # Panics
/// Where there are labels, but not one for each image.
pub fn explore(
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    labels: Option<&[usize]>,
    layer: &Layer,
    probes: &Probes,
    options: UnitsOptions,
    monitor: &dyn Monitor,
) -> Result<Vec<Found>, UnitsError> {
    if options.top == 0 {
        return Err(UnitsError::Top);
    }
    if let Some(labels) = labels {
        assert_eq!(labels.len(), inputs.len(), "a label for each image");
    }
    let projector = Projector::new(network, layer, options.reduce, probes)?;
    let counts = labels.map(class_counts).unwrap_or_default();
    let top = options.top.min(inputs.len());
    let mut states = vec![State::new(top, counts.len()); probes.len()];
    let count = probes.len();
    monitor.begin(&format!("images on {}", layer.name), inputs.len() as u64);
    let done = projector.run(inputs, monitor, |first, scores, positions| {
        states
            .par_iter_mut()
            .enumerate()
            .for_each(|(probe, state)| {
                let column = scores.iter().zip(positions).skip(probe).step_by(count);
                for (row, (&activation, &position)) in column.enumerate() {
                    let image = first + row;
                    let entry = Entry {
                        image,
                        activation,
                        position,
                    };
                    state.add(entry, labels.map(|labels| labels[image]));
                }
            });
    });
    monitor.end();
    done?;
    Ok(states
        .iter()
        .map(|state| state.found(top, &counts))
        .collect())
}

/// How many images each class has.
fn class_counts(labels: &[usize]) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |most| most + 1);
    let mut counts = vec![0; classes];
    labels.iter().for_each(|&label| counts[label] += 1);
    counts
}

/// What is known of one unit or direction while images stream by.
#[derive(Clone)]
struct State {
    /// One more than asked for, to know of ties.
    largest: Ranking,
    smallest: Ranking,
    /// The sum of the projections of each class, and of all squares.
    sums: Vec<f64>,
    squares: f64,
}

impl State {
    fn new(top: usize, classes: usize) -> State {
        State {
            largest: Ranking::new(top + 1, true),
            smallest: Ranking::new(top + 1, false),
            sums: vec![0.0; classes],
            squares: 0.0,
        }
    }

    fn add(&mut self, entry: Entry, label: Option<usize>) {
        self.largest.add(entry);
        self.smallest.add(entry);
        if let Some(label) = label {
            let activation = f64::from(entry.activation);
            self.sums[label] += activation;
            self.squares += activation * activation;
        }
    }

    fn found(&self, top: usize, counts: &[usize]) -> Found {
        let found = Found {
            top: extremes(self.largest.entries(), top),
            lowest: extremes(self.smallest.entries(), top),
            selectivity: None,
        };
        Found {
            selectivity: self.selectivity(counts).filter(|_| !found.is_constant()),
            ..found
        }
    }

    /// The largest point-biserial correlation, over the classes.
    fn selectivity(&self, counts: &[usize]) -> Option<f64> {
        let images = counts.iter().sum::<usize>() as f64;
        let sum: f64 = self.sums.iter().sum();
        let deviation = (self.squares / images - (sum / images).powi(2))
            .max(0.0)
            .sqrt();
        let correlation = |(&count, &own): (&usize, &f64)| {
            let (own_count, others) = (count as f64, images - count as f64);
            if count == 0 || others == 0.0 {
                return None;
            }
            let difference = own / own_count - (sum - own) / others;
            Some(difference * (own_count * others).sqrt() / images / deviation)
        };
        let correlations = counts.iter().zip(&self.sums).filter_map(correlation);
        // Rounding alone leads out of [0, 1].
        let largest = correlations.max_by(f64::total_cmp)?;
        largest.is_finite().then(|| largest.clamp(0.0, 1.0))
    }
}

fn extremes(entries: &[Entry], top: usize) -> Extremes {
    let shown = &entries[..top];
    let tied = entries
        .get(top)
        .is_some_and(|next| next.activation == shown[top - 1].activation);
    Extremes {
        images: shown.iter().map(|entry| entry.image).collect(),
        activations: shown.iter().map(|entry| entry.activation).collect(),
        positions: shown.iter().map(|entry| entry.position as usize).collect(),
        tied,
    }
}
