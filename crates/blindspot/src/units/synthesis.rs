//! Synthesis of the image that excites a unit or a direction the most (activation maximisation).

use std::ops::ControlFlow;

use blindspot_data::ImageSet;
use blindspot_model::inputs::Inputs;
use blindspot_net::{Evaluator, Network, argmax};
use blindspot_solve::{BoxLbfgs, LbfgsOptions};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::projector::Projector;
use super::{
    Directions, Layer, LayerReport, PictureRow, Reduction, TopImages, UnitsError, picture_rows,
};

/// Largest number of evaluations for one image.
const MAX_EVALUATIONS: usize = 300;
/// Differences of neighbouring values below this are rounded off in the total variation, which would
/// have no gradient at 0 otherwise.
const VARIATION_ROUNDING: f64 = 1e-3;

/// Weights of the regularisation that makes a synthesised image sparse and smooth. They are relative to
/// the projection in units of its spread over the real images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Regularisation {
    /// Weight of the mean square of the image's values; 0.3 by default.
    pub l2: f64,
    /// Weight of the total variation, the mean over the image's values of the absolute differences from
    /// the next value to the right and from the next one below; 1 by default.
    pub total_variation: f64,
}

impl Default for Regularisation {
    fn default() -> Self {
        Regularisation {
            l2: 0.3,
            total_variation: 1.0,
        }
    }
}

/// How images are synthesised.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SynthesisOptions {
    /// How the positions of a convolutional layer become one number.
    pub reduce: Reduction,
    /// Weights of the regularisation.
    pub regularisation: Regularisation,
}

impl Default for SynthesisOptions {
    fn default() -> Self {
        SynthesisOptions {
            reduce: Reduction::Max,
            regularisation: Regularisation::default(),
        }
    }
}

impl Regularisation {
    /// Sets the weight of the mean square of the image's values.
    pub fn l2(self, l2: f64) -> Regularisation {
        Regularisation { l2, ..self }
    }

    /// Sets the weight of the total variation.
    pub fn total_variation(self, total_variation: f64) -> Regularisation {
        Regularisation {
            total_variation,
            ..self
        }
    }
}

impl SynthesisOptions {
    /// Sets how the positions of a convolutional layer become one number.
    pub fn reduce(self, reduce: Reduction) -> SynthesisOptions {
        SynthesisOptions { reduce, ..self }
    }

    /// Sets the weights of the regularisation.
    pub fn regularisation(self, regularisation: Regularisation) -> SynthesisOptions {
        SynthesisOptions {
            regularisation,
            ..self
        }
    }
}

/// Where a synthesis begins.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The first image, values in [0, 1].
    pub image: &'a [f32],
    /// Channels, height and width of the image.
    pub shape: [usize; 3],
    /// Spread of the projection over real images, above 0: the unit in which the projection counts.
    pub spread: f64,
}

/// An image synthesised for a unit or a direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Synthesis {
    /// The image's values, in [0, 1].
    pub image: Vec<f32>,
    /// The image's projection.
    pub activation: f32,
    /// The position of the projection, counted row by row over the layer's positions.
    pub position: usize,
    /// Whether the projection had no gradient at any image on the way: the image is that of the
    /// regularisation alone, and says nothing of the unit or direction.
    pub no_gradient: bool,
}

/// The image in [0, 1] that maximises projection / spread - regularisation: a local maximum, found from
/// `start` by L-BFGS-B.
///
/// # Errors
/// [`UnitsError`] if the direction does not fit the layer, or if the network's values are not finite.
///
/// # Panics
/// If the start does not have the shape of the network's input, or if its spread is not positive.
pub fn synthesise(
    network: &Network<f32>,
    layer: &Layer,
    direction: &[f32],
    start: Start<'_>,
    options: SynthesisOptions,
) -> Result<Synthesis, UnitsError> {
    let Start {
        image: start,
        shape,
        spread,
    } = start;
    assert!(spread > 0.0, "a spread is positive");
    assert_eq!(
        shape.iter().product::<usize>(),
        start.len(),
        "an image of the shape"
    );
    let directions = Directions {
        units: Vec::new(),
        vectors: vec![direction.to_vec()],
    };
    let projector = Projector::new(network, layer, options.reduce, &directions)?;
    let network = projector.network();
    let mut evaluator = Evaluator::new(network);
    let mut one_hot = vec![0.0; network.output_len()];
    let regularisation = options.regularisation;
    let options = LbfgsOptions {
        history: 10,
        max_iterations: MAX_EVALUATIONS,
        max_evaluations: MAX_EVALUATIONS,
        gradient_tolerance: 1e-7,
        relative_decrease: 1e-7,
        patience: 3,
    };
    let (lower, upper) = (vec![0.0; start.len()], vec![1.0; start.len()]);
    let mut solver =
        BoxLbfgs::new(start, &lower, &upper, options).map_err(|_| UnitsError::NotFinite {
            layer: layer.name.clone(),
            image: 0,
        })?;
    let mut no_gradient = true;
    solver.minimise(
        |image, gradient| {
            evaluator.input(1).copy_from_slice(image);
            let map = evaluator.forward();
            let place = argmax(map);
            let projection = f64::from(map[place]);
            one_hot.fill(0.0);
            one_hot[place] = (-1.0 / spread) as f32;
            gradient.copy_from_slice(evaluator.backward(&one_hot));
            no_gradient &= gradient.iter().all(|&slope| slope == 0.0);
            regularisation.add(image, shape, gradient) - projection / spread
        },
        |_| ControlFlow::Continue(()),
    );
    let image = solver.iterate().to_vec();
    evaluator.input(1).copy_from_slice(&image);
    let map = evaluator.forward();
    let position = argmax(map);
    let activation = map[position];
    Ok(Synthesis {
        image,
        activation,
        position,
        no_gradient,
    })
}

/// An image for each unit, random direction and principal component of a report, in this order, starting
/// at the mean of the top images. None if the projection is the same for all images.
///
/// # Errors
/// [`UnitsError`] if the report is of another layer, or if the network's values are not finite.
pub fn synthesise_all(
    network: &Network<f32>,
    images: &ImageSet,
    layer: &Layer,
    report: &LayerReport,
    options: SynthesisOptions,
) -> Result<Vec<Option<Synthesis>>, UnitsError> {
    let one_hot = |unit: usize| {
        let mut direction = vec![0.0; layer.units];
        direction[unit] = 1.0;
        direction
    };
    let units = report.units.iter();
    let units = units.map(|unit| (one_hot(unit.unit), &unit.found));
    let others = report.directions.iter().chain(&report.components);
    let others = others.map(|other| (other.direction.clone(), &other.found));
    let all: Vec<(Vec<f32>, &TopImages)> = units.chain(others).collect();
    let one = |(direction, found): &(Vec<f32>, &TopImages)| {
        if found.is_constant() {
            return Ok(None);
        }
        let spread = f64::from(found.top.activations[0]) - f64::from(found.lowest.activations[0]);
        let mut start = vec![0.0; images.image_len()];
        let mut image = start.clone();
        for &top in &found.top.images {
            images.read(top, &mut image)?;
            let weight = 1.0 / found.top.images.len() as f32;
            start
                .iter_mut()
                .zip(&image)
                .for_each(|(mean, x)| *mean += weight * x);
        }
        let start = Start {
            image: &start,
            shape: images.shape(),
            spread,
        };
        synthesise(network, layer, direction, start, options).map(Some)
    };
    all.par_iter().map(one).collect()
}

/// The rows of a report as [`picture_rows`] makes them, with a synthesised image in each where a
/// regularisation is given.
///
/// # Errors
/// [`UnitsError`] as of [`synthesise_all`], or if an image can't be read.
pub fn illustrate(
    network: &Network<f32>,
    images: &ImageSet,
    layer: &Layer,
    report: &LayerReport,
    reduce: Reduction,
    regularisation: Option<Regularisation>,
) -> Result<Vec<PictureRow>, UnitsError> {
    let synthesised = match regularisation {
        Some(regularisation) => {
            let options = SynthesisOptions::default()
                .reduce(reduce)
                .regularisation(regularisation);
            synthesise_all(network, images, layer, report, options)?
        }
        None => Vec::new(),
    };
    Ok(picture_rows(
        network,
        images,
        layer,
        report,
        reduce,
        &synthesised,
    )?)
}

impl Regularisation {
    /// The penalty of an image. Its gradient is added to `gradient`.
    fn add(self, image: &[f32], [_, height, width]: [usize; 3], gradient: &mut [f32]) -> f64 {
        let count = image.len() as f64;
        let mut value = 0.0;
        for (&x, g) in image.iter().zip(&mut *gradient) {
            let x = f64::from(x);
            value += self.l2 * x * x / count;
            *g += (2.0 * self.l2 * x / count) as f32;
        }
        let weight = self.total_variation / count;
        for i in 0..image.len() {
            let (row, column) = (i / width % height, i % width);
            for (inside, next) in [(column + 1 < width, i + 1), (row + 1 < height, i + width)] {
                if !inside {
                    continue;
                }
                let difference = f64::from(image[next]) - f64::from(image[i]);
                let length =
                    (difference * difference + VARIATION_ROUNDING * VARIATION_ROUNDING).sqrt();
                value += weight * (length - VARIATION_ROUNDING);
                let slope = (weight * difference / length) as f32;
                gradient[next] += slope;
                gradient[i] -= slope;
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot_net::ops::Unary;
    use blindspot_net::{Graph, Op, Operand};
    use blindspot_paper::train::Recipe;

    #[test]
    fn a_linear_unit_has_its_maximum_in_closed_form() {
        let length = 784;
        let network = Recipe::named("FC100-100-10").unwrap().start(length, 10, 4);
        let layer = Layer::find(&network, "dense1.sum").unwrap();
        let mut direction = vec![0.0; 100];
        (direction[3], direction[8]) = (0.6, -0.8);
        let weight = |i: usize| {
            let row = &network.weights()[0][i * 100..][..100];
            f64::from(0.6 * row[3] - 0.8 * row[8])
        };
        let (start, spread) = (vec![0.5; length], 2.0);
        for l2 in [0.0, 20.0] {
            let terms = Regularisation {
                l2,
                total_variation: 0.0,
            };
            let options = SynthesisOptions::default().regularisation(terms);
            let start = Start {
                image: &start,
                shape: [1, 28, 28],
                spread,
            };
            let made = synthesise(&network, &layer, &direction, start, options).unwrap();
            let mut expected = 0.0;
            for (i, &x) in made.image.iter().enumerate() {
                let best = if l2 == 0.0 {
                    f64::from(u8::from(weight(i) > 0.0))
                } else {
                    (weight(i) * length as f64 / (2.0 * spread * l2)).clamp(0.0, 1.0)
                };
                // Where next to nothing is to be gained, f32's rounding stops the solver before the bound.
                let gain = weight(i).abs() > 5e-3 || l2 > 0.0;
                let off = (f64::from(x) - best).abs();
                assert!(off < 1e-2 || !gain, "{l2} {i}: {x} {best}");
                expected += weight(i) * best;
            }
            // The bias is 0 at the start.
            assert!((f64::from(made.activation) - expected).abs() < 2e-3 * expected);
        }
    }

    #[test]
    fn a_projection_without_gradient_is_told() {
        let mut graph = Graph::new("x", &[4]).unwrap();
        let relu = Op::Unary(Unary::Relu);
        let input = Operand::Value(graph.input());
        graph.node("relu", relu, &[input], "hidden").unwrap();
        let network = Network::new(graph, Vec::new()).unwrap();
        let layer = Layer::find(&network, "hidden").unwrap();
        // Dead at the image 0, where ReLU has no slope; alive at 0.5.
        for (value, dead) in [(0.0, true), (0.5, false)] {
            let start = Start {
                image: &[value; 4],
                shape: [1, 2, 2],
                spread: 1.0,
            };
            let direction = [1.0, 0.0, 0.0, 0.0];
            let options = SynthesisOptions::default();
            let made = synthesise(&network, &layer, &direction, start, options).unwrap();
            assert_eq!(made.no_gradient, dead, "{value}");
        }
    }

    #[test]
    fn the_terms_gradient_is_that_of_finite_differences() {
        let shape = [2, 3, 4];
        let image: Vec<f32> = (0..24).map(|i| (i * 7 % 11) as f32 / 11.0).collect();
        let terms = Regularisation {
            l2: 0.7,
            total_variation: 1.3,
        };
        let value = |image: &[f32]| terms.add(image, shape, &mut [0.0; 24]);
        let mut gradient = [0.0; 24];
        terms.add(&image, shape, &mut gradient);
        for i in 0..24 {
            let moved = |by: f32| {
                let mut moved = image.clone();
                moved[i] += by;
                (value(&moved), f64::from(moved[i]))
            };
            let ((above, high), (below, low)) = (moved(1e-3), moved(-1e-3));
            let slope = (above - below) / (high - low);
            assert!(
                (slope - f64::from(gradient[i])).abs() < 1e-3 * (1.0 + slope.abs()),
                "{i}"
            );
        }
        // A flat image has no variation; one step of 1 over a column of 3 is 3 of 24.
        let flat = Regularisation {
            l2: 0.0,
            total_variation: 1.0,
        };
        assert_eq!(flat.add(&[0.4; 24], shape, &mut [0.0; 24]), 0.0);
        let step: Vec<f32> = (0..24)
            .map(|i| if i < 12 && i % 4 > 1 { 1.0 } else { 0.0 })
            .collect();
        let variation = flat.add(&step, shape, &mut [0.0; 24]);
        assert!((variation - 3.0 / 24.0).abs() < 1e-3, "{variation}");
    }
}
