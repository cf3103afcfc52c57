//! The images that excite a unit or a direction the most, found in one pass over a set.

use blindspot_run::monitor::Monitor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::projector::Projector;
use super::ranking::{Entry, Ranking};
use super::{Context, Directions, UnitsError, UnitsOptions};

/// The images at one end of the projections on a unit or direction, the outermost first. Of equal
/// projections the image with the lower index leads.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RankedImages {
    /// Indices in the image set.
    pub images: Vec<usize>,
    /// The projection of each image.
    pub activations: Vec<f32>,
    /// For each image the position of its largest projection, counted row by row over the layer's
    /// positions; 0 where a unit is one number.
    pub positions: Vec<usize>,
    /// Whether an image that was left out has the same projection as the last one, so that only its
    /// index decided.
    pub tied: bool,
}

/// What was found for a unit or a direction.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TopImages {
    /// The images with the largest projections: the paper's x'.
    pub top: RankedImages,
    /// The images with the smallest projections.
    pub lowest: RankedImages,
    /// Selectivity: the largest correlation, over the classes, of the projection with belonging to
    /// the class, in [0, 1]. None without labels, or if the projection or the label is the same for
    /// all images.
    pub selectivity: Option<f64>,
}

impl TopImages {
    /// Whether all images have the same projection: a dead unit, if that is 0. Not so of random
    /// images, which have no projections.
    pub fn is_constant(&self) -> bool {
        let highest = self.top.activations.first();
        highest.is_some() && highest == self.lowest.activations.first()
    }

    /// The projection of all images, if they have the same.
    pub fn constant(&self) -> Option<f32> {
        let first = self.top.activations.first().copied();
        first.filter(|_| self.is_constant())
    }

    /// Number of top images that lead; the others have the same projection as images that were left out,
    /// and only their indices decided. 0 if all images have the same projection.
    pub fn leading(&self) -> usize {
        let activations = &self.top.activations;
        match activations.last() {
            _ if self.is_constant() => 0,
            Some(last) if self.top.tied => activations.iter().filter(|&a| a != last).count(),
            _ => activations.len(),
        }
    }
}

/// Finds the images with the largest and the smallest projections on each unit and direction, units
/// first, in one pass over the images. Only one block of images is in memory at a time. With labels
/// each result has its selectivity. The bits don't depend on the number of threads.
///
/// # Errors
/// [`UnitsError`] if the directions don't fit the layer or the images don't fit the network, if a
/// value is not finite, or if the monitor cancels the work.
pub fn top_images(
    context: &Context<'_>,
    directions: &Directions,
    options: UnitsOptions,
    monitor: &dyn Monitor,
) -> Result<Vec<TopImages>, UnitsError> {
    if options.top == 0 {
        return Err(UnitsError::Top);
    }
    let Context {
        layer,
        inputs,
        labels,
        ..
    } = *context;
    let projector = Projector::new(context.network, layer, options.reduce, directions)?;
    let counts = labels.map(class_counts).unwrap_or_default();
    let top = options.top.min(inputs.len());
    let count = directions.len();
    let mut states = vec![Accumulator::new(top, counts.len()); count];
    monitor.begin(&format!("images on {}", layer.name), inputs.len() as u64);
    let done = projector.run(inputs, monitor, |first, scores, positions| {
        states
            .par_iter_mut()
            .enumerate()
            .for_each(|(direction, state)| {
                let column = scores.iter().zip(positions);
                let column = column.skip(direction).step_by(count);
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

/// Number of images of each class.
pub(super) fn class_counts(labels: &[usize]) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |most| most + 1);
    let mut counts = vec![0; classes];
    labels.iter().for_each(|&label| counts[label] += 1);
    counts
}

/// What is known of one unit or direction while images stream by.
#[derive(Clone)]
struct Accumulator {
    /// One image more than wanted, to detect ties.
    largest: Ranking,
    /// One image more than wanted, to detect ties.
    smallest: Ranking,
    /// The sum of the projections of each class.
    sums: Vec<f64>,
    /// The sum of the squares of all projections.
    squares: f64,
}

impl Accumulator {
    fn new(top: usize, classes: usize) -> Accumulator {
        Accumulator {
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

    fn found(&self, top: usize, counts: &[usize]) -> TopImages {
        let found = TopImages {
            top: ranked(self.largest.entries(), top),
            lowest: ranked(self.smallest.entries(), top),
            selectivity: None,
        };
        TopImages {
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

fn ranked(entries: &[Entry], top: usize) -> RankedImages {
    let shown = &entries[..top];
    let tied = entries
        .get(top)
        .is_some_and(|next| next.activation == shown[top - 1].activation);
    RankedImages {
        images: shown.iter().map(|entry| entry.image).collect(),
        activations: shown.iter().map(|entry| entry.activation).collect(),
        positions: shown.iter().map(|entry| entry.position as usize).collect(),
        tied,
    }
}
