//! Everything about a layer: some of its units beside random directions, and the study of all.

use std::borrow::Cow;

use blindspot_net::Network;
use serde::{Deserialize, Serialize};

use super::bases::{Rotation, untrained};
use super::components::{WIDEST, principal};
use super::measures::Scene;
use super::projector::most_directions;
use super::stored::StoredLayer;
use super::study::{self, Kind, Sizes, Study};
use super::{
    Found, Layer, Probes, UnitsError, UnitsOptions, explore, random_directions, random_units,
};
use crate::inputs::Inputs;
use crate::run::monitor::Monitor;

/// By how many degrees the study rotates the units. At 0 they are themselves.
const DEGREES: [f64; 6] = [15.0, 30.0, 45.0, 60.0, 75.0, 90.0];
/// Principal components in the study, at most.
const COMPONENTS: usize = 64;

/// What to find out about a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The units to show.
    pub units: Vec<usize>,
    /// How many random directions to show.
    pub directions: usize,
    /// How many principal components to show.
    pub components: usize,
    /// Whether to study all units and as many random directions.
    pub study: bool,
    /// How to look.
    #[serde(flatten)]
    pub options: UnitsOptions,
    /// Where every random choice comes from.
    pub seed: u64,
}

impl Plan {
    /// Checks that it fits a layer: a number from a command line can be any.
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
        // Random directions, the rotations and the components have to fit in memory together.
        let rotated = DEGREES.len() * self.studied(layer);
        let besides = rotated.saturating_add(self.components.max(COMPONENTS));
        let most = most_directions(layer).saturating_sub(besides);
        if self.directions > most {
            return Err(UnitsError::Directions {
                directions: self.directions,
                units,
                most,
            });
        }
        match self.components > 0 && units > WIDEST {
            true => Err(UnitsError::Wide {
                layer: name(),
                units,
                most: WIDEST,
            }),
            false => Ok(()),
        }
    }

    /// How many units, and as many random directions, are studied.
    fn studied(&self, layer: &Layer) -> usize {
        let most = most_directions(layer) / (DEGREES.len() + 3);
        if self.study { most.min(layer.units) } else { 0 }
    }
}

/// A pass over images: a network, one of its layers, and what the network is given.
pub(super) struct Pass<'a> {
    pub(super) network: Cow<'a, Network<f32>>,
    pub(super) layer: &'a Layer,
    pub(super) inputs: &'a dyn Inputs,
}

/// A direction and what was found for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The direction, over the layer's units.
    pub direction: Vec<f32>,
    /// The part of the units' variance along it, where it is a principal component.
    pub variance: Option<f64>,
    /// Its images.
    pub found: Found,
}

/// What there is to see, and to say, of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// The units asked for, each with what was found.
    pub units: Vec<(usize, Found)>,
    /// The random directions.
    pub directions: Vec<Seen>,
    /// The principal components; fewer than asked for where the rest has no variance.
    pub components: Vec<Seen>,
    /// The study, if it was asked for.
    pub study: Option<Study>,
}

/// Surveys a layer over a set of images, all units and directions in one pass. A principal component
/// takes a pass before that, the study one more over an untrained network and passes over the top
/// images. With the layer's values in `stored`, the networks are evaluated for the top images alone; the
/// bits are the same.
///
/// # Errors
/// [`UnitsError`].
///
/// # Panics
/// Where there are labels, but not one for each image.
pub fn survey(
    network: &Network<f32>,
    inputs: &impl Inputs,
    labels: Option<&[usize]>,
    layer: &Layer,
    plan: &Plan,
    stored: Option<&StoredLayer<'_>>,
    monitor: &dyn Monitor,
) -> Result<Survey, UnitsError> {
    plan.check(layer)?;
    let (units, seed) = (layer.units, plan.seed);
    let studied = random_units(plan.studied(layer), units, seed);
    let pass = match stored {
        Some(stored) => stored.pass(true),
        None => Pass {
            network: Cow::Borrowed(network),
            layer,
            inputs,
        },
    };
    let components = match plan.study && units <= WIDEST {
        true => plan.components.max(COMPONENTS.min(studied.len())),
        false => plan.components,
    };
    let components = match components {
        0 => Vec::new(),
        count => principal(
            &pass.network,
            pass.inputs,
            pass.layer,
            plan.options.reduce,
            count.min(units),
            seed,
            monitor,
        )?,
    };
    let mut probes = Probes {
        units: studied.iter().chain(&plan.units).copied().collect(),
        directions: random_directions(plan.directions.max(studied.len()), units, seed),
    };
    probes.units.sort_unstable();
    probes.units.dedup();
    let random = probes.directions.len();
    let of_components = components
        .iter()
        .map(|component| component.direction.clone());
    probes.directions.extend(of_components);
    if plan.study {
        let rotation = Rotation::new(&studied, units, seed);
        let rotated = DEGREES.iter().flat_map(|&degrees| rotation.by(degrees));
        probes.directions.extend(rotated);
    }
    let found = explore(
        &pass.network,
        pass.inputs,
        labels,
        pass.layer,
        &probes,
        plan.options,
        monitor,
    )?;
    let (of_units, of_directions) = found.split_at(probes.units.len());
    let unit = |unit: &usize| {
        let place = probes.units.binary_search(unit).expect("it was asked for");
        of_units[place].clone()
    };
    let seen = |place: usize| Seen {
        direction: probes.directions[place].clone(),
        variance: place
            .checked_sub(random)
            .map(|place| components[place].variance),
        found: of_directions[place].clone(),
    };
    let shown = random..random + plan.components.min(components.len());
    let mut survey = Survey {
        units: plan
            .units
            .iter()
            .map(|number| (*number, unit(number)))
            .collect(),
        directions: (0..plan.directions).map(seen).collect(),
        components: shown.map(seen).collect(),
        study: None,
    };
    if !plan.study {
        return Ok(survey);
    }
    let below = layer.below(network).map(|below| network.up_to(below.id));
    let scene = Scene {
        inputs,
        labels,
        below,
    };
    let (count, options) = (studied.len(), plan.options);
    let mut parts = vec![
        (Kind::Units, studied.iter().map(unit).collect()),
        (Kind::Directions, of_directions[..count].to_vec()),
    ];
    let (of_components, rotated) = of_directions[random..].split_at(components.len());
    for (&degrees, found) in DEGREES.iter().zip(rotated.chunks_exact(count)) {
        parts.push((Kind::Rotated(degrees), found.to_vec()));
    }
    let limit = COMPONENTS.min(of_components.len());
    parts.push((Kind::Components, of_components[..limit].to_vec()));
    let control = Probes {
        units: Vec::new(),
        directions: probes.directions[..count].to_vec(),
    };
    let fresh = match stored {
        Some(stored) => stored.pass(false),
        None => Pass {
            network: Cow::Owned(untrained(network, seed)),
            layer,
            inputs,
        },
    };
    let found = explore(
        &fresh.network,
        fresh.inputs,
        labels,
        fresh.layer,
        &control,
        options,
        monitor,
    )?;
    parts.push((Kind::Untrained, found));
    let (images, top) = (inputs.len(), options.top.min(inputs.len()));
    let sets = study::random_images(count, top, images, seed);
    parts.push((Kind::RandomImages, sets));
    parts.retain(|(_, found)| !found.is_empty());
    let groups = study::groups(&scene, &parts, monitor)?;
    let sizes = Sizes {
        layer: &layer.name,
        units,
        images,
        top: options.top,
        labels,
    };
    survey.study = Some(study::conclude(&sizes, groups));
    Ok(survey)
}
