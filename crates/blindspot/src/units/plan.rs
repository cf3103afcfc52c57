//! What a survey looks at, and what it finds out.

use blindspot_model::inputs::Inputs;
use blindspot_net::Network;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::components::MAX_COVARIANCE_UNITS;
use super::projector::max_directions;
use super::{Layer, Reduction, UnitsError};

/// The angles, in degrees, by which a study rotates the units. At 0 they are the units themselves.
pub(super) const ROTATION_DEGREES: [f64; 6] = [15.0, 30.0, 45.0, 60.0, 75.0, 90.0];
/// Largest number of principal components in a study.
pub(super) const MAX_STUDY_COMPONENTS: usize = 64;

/// A layer of a network, and the images that it is studied over.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The network.
    pub network: &'a Network<f32>,
    /// The layer of the network.
    pub layer: &'a Layer,
    /// The images, or whatever else the network takes.
    pub inputs: &'a dyn Inputs,
    /// The true class of each image. Without labels there is no purity, entropy and selectivity.
    pub labels: Option<&'a [usize]>,
}

impl<'a> Context<'a> {
    /// A layer and images without labels.
    pub fn new(network: &'a Network<f32>, layer: &'a Layer, inputs: &'a dyn Inputs) -> Context<'a> {
        Context {
            network,
            layer,
            inputs,
            labels: None,
        }
    }

    /// Adds the true class of each image.
    ///
    /// # Panics
    /// If there is not one label for each image.
    pub fn with_labels(self, labels: Option<&'a [usize]>) -> Context<'a> {
        let fits = labels.is_none_or(|labels| labels.len() == self.inputs.len());
        assert!(fits, "a label for each image");
        Context { labels, ..self }
    }

    /// The network up to the layer below, or None if that is the image itself.
    pub(super) fn network_below(&self) -> Option<Network<f32>> {
        let below = self.layer.below(self.network)?;
        Some(self.network.up_to(below.id))
    }
}

/// How images are ranked by their projection on a unit or direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct UnitsOptions {
    /// Number of images to find for each unit and direction, at least 1; a smaller set gives all it
    /// has. 10 by default.
    pub top: usize,
    /// How the positions of a convolutional layer become one number.
    pub reduce: Reduction,
}

impl Default for UnitsOptions {
    fn default() -> Self {
        UnitsOptions {
            top: 10,
            reduce: Reduction::Max,
        }
    }
}

impl UnitsOptions {
    /// Sets the number of images to find for each unit and direction, at least 1.
    pub fn top(self, top: usize) -> UnitsOptions {
        UnitsOptions { top, ..self }
    }

    /// Sets how the positions of a convolutional layer become one number.
    pub fn reduce(self, reduce: Reduction) -> UnitsOptions {
        UnitsOptions { reduce, ..self }
    }
}

/// What to find out about a layer. By default nothing is shown, and the layer is studied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Plan {
    /// The units to show, from 0.
    pub units: Vec<usize>,
    /// Number of random directions to show.
    pub directions: usize,
    /// Number of principal components to show.
    pub components: usize,
    /// Whether to compare all units with as many random directions.
    pub study: bool,
    /// How images are ranked.
    #[serde(flatten)]
    pub options: UnitsOptions,
    /// Seed of all random choices.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            units: Vec::new(),
            directions: 0,
            components: 0,
            study: true,
            options: UnitsOptions::default(),
            seed: 0,
        }
    }
}

impl Plan {
    /// Sets the units to show, from 0.
    pub fn units(self, units: impl IntoIterator<Item = usize>) -> Plan {
        let units = units.into_iter().collect();
        Plan { units, ..self }
    }

    /// Sets the number of random directions to show.
    pub fn directions(self, directions: usize) -> Plan {
        Plan { directions, ..self }
    }

    /// Sets the number of principal components to show.
    pub fn components(self, components: usize) -> Plan {
        Plan { components, ..self }
    }

    /// Sets whether to compare all units with as many random directions.
    pub fn study(self, study: bool) -> Plan {
        Plan { study, ..self }
    }

    /// Sets how images are ranked.
    pub fn options(self, options: UnitsOptions) -> Plan {
        Plan { options, ..self }
    }

    /// Sets the seed of all random choices.
    pub fn seed(self, seed: u64) -> Plan {
        Plan { seed, ..self }
    }

    /// Whether the plan fits a layer.
    ///
    /// # Errors
    /// [`UnitsError`].
    pub(super) fn check(&self, layer: &Layer) -> Result<(), UnitsError> {
        let (units, name) = (layer.units, || layer.name.clone());
        if self.options.top == 0 {
            return Err(UnitsError::Top);
        }
        if let Some(&unit) = self.units.iter().find(|&&unit| unit >= units) {
            let layer = name();
            return Err(UnitsError::Unit { unit, units, layer });
        }
        let shown = self.units.len().saturating_add(self.directions);
        if shown.saturating_add(self.components) == 0 && !self.study {
            return Err(UnitsError::Nothing);
        }
        // Random directions, rotated units and components have to fit in memory together.
        let rotated = ROTATION_DEGREES.len() * self.studied(layer);
        let besides = rotated.saturating_add(self.components.max(MAX_STUDY_COMPONENTS));
        let most = max_directions(layer).saturating_sub(besides);
        if self.directions > most {
            return Err(UnitsError::Directions {
                directions: self.directions,
                units,
                most,
            });
        }
        if self.components > 0 && units > MAX_COVARIANCE_UNITS {
            return Err(UnitsError::Wide {
                layer: name(),
                units,
                most: MAX_COVARIANCE_UNITS,
            });
        }
        Ok(())
    }

    /// Number of units, and of random directions, in the study.
    pub(super) fn studied(&self, layer: &Layer) -> usize {
        let most = max_directions(layer) / (ROTATION_DEGREES.len() + 3);
        if self.study { most.min(layer.units) } else { 0 }
    }
}
