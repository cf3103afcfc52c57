//! A survey of a layer: its units beside random directions and principal components, and the study.

use std::collections::BTreeMap;

use blindspot_run::monitor::Monitor;

use super::activations::ActivationReader;
use super::components::{Component, MAX_COVARIANCE_UNITS, principal};
use super::plan::{MAX_STUDY_COMPONENTS, ROTATION_DEGREES};
use super::rotation::Rotation;
use super::study::{self, DirectionKind, Sizes, Study};
use super::{
    Context, Directions, Plan, TopImages, UnitsError, random_directions, random_units, top_images,
    untrained,
};

/// A unit and what was found for it.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitImages {
    /// The unit, from 0.
    pub unit: usize,
    /// The images that excite the unit the most and the least.
    pub found: TopImages,
}

/// A direction and what was found for it.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectionImages {
    /// The direction: a vector of length 1 over the layer's units.
    pub direction: Vec<f32>,
    /// For a principal component the fraction of the units' variance along it, in [0, 1].
    pub variance: Option<f64>,
    /// The images with the largest and the smallest projections on the direction.
    pub found: TopImages,
}

/// What a survey found out about a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerReport {
    /// The units of the plan, in its order.
    pub units: Vec<UnitImages>,
    /// The random directions.
    pub directions: Vec<DirectionImages>,
    /// The principal components, in descending order of variance; fewer than planned if the rest has no
    /// variance.
    pub components: Vec<DirectionImages>,
    /// The study, if planned.
    pub study: Option<Study>,
}

/// What a projection stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// A unit of the layer.
    Unit(usize),
    /// A random direction, by its number.
    Random(usize),
    /// A principal component, by its number.
    Component(usize),
    /// A rotated unit, by the number of the angle and the unit's number in the study.
    Rotated { angle: usize, number: usize },
}

/// Directions, each with its role.
struct Roles {
    directions: Directions,
    /// Roles in the order of the directions, units first.
    roles: Vec<Role>,
}

impl Roles {
    fn of_units(mut units: Vec<usize>) -> Roles {
        units.sort_unstable();
        units.dedup();
        Roles {
            roles: units.iter().map(|&unit| Role::Unit(unit)).collect(),
            directions: Directions {
                units,
                vectors: Vec::new(),
            },
        }
    }

    /// Adds `vectors`; `role` gives the role of each by its number.
    fn add(&mut self, vectors: impl IntoIterator<Item = Vec<f32>>, role: impl Fn(usize) -> Role) {
        for (number, vector) in vectors.into_iter().enumerate() {
            self.directions.vectors.push(vector);
            self.roles.push(role(number));
        }
    }
}

/// Surveys a layer over a set of images: one pass for all units and directions, one pass before it if
/// there are principal components, and for the study one pass with an untrained network and passes over
/// the top images. With the layer's values in `stored`, only the top images are evaluated; the bits are
/// the same.
///
/// # Errors
/// [`UnitsError`] if the plan does not fit the layer or the images don't fit the network, if a value is
/// not finite, or if the monitor cancels the work.
pub fn survey(
    context: &Context<'_>,
    plan: &Plan,
    stored: Option<&ActivationReader<'_>>,
    monitor: &dyn Monitor,
) -> Result<LayerReport, UnitsError> {
    let layer = context.layer;
    plan.check(layer)?;
    let (units, seed) = (layer.units, plan.seed);
    let studied = random_units(plan.studied(layer), units, seed);
    let trained = match stored {
        Some(stored) => stored.trained(context.labels),
        None => *context,
    };
    let components = components(&trained, plan, studied.len(), monitor)?;
    let random = random_directions(plan.directions.max(studied.len()), units, seed);

    let mut all = Roles::of_units(studied.iter().chain(&plan.units).copied().collect());
    all.add(random.iter().cloned(), Role::Random);
    let of_components = components.iter();
    all.add(
        of_components.map(|component| component.direction.clone()),
        Role::Component,
    );
    if plan.study {
        let rotation = Rotation::new(&studied, units, seed);
        for (angle, &degrees) in ROTATION_DEGREES.iter().enumerate() {
            all.add(rotation.by(degrees), |number| Role::Rotated {
                angle,
                number,
            });
        }
    }
    let found = top_images(&trained, &all.directions, plan.options, monitor)?;
    let found: BTreeMap<Role, TopImages> = all.roles.into_iter().zip(found).collect();

    let mut report = LayerReport {
        units: plan
            .units
            .iter()
            .map(|&unit| UnitImages {
                unit,
                found: found[&Role::Unit(unit)].clone(),
            })
            .collect(),
        directions: random[..plan.directions]
            .iter()
            .enumerate()
            .map(|(number, direction)| DirectionImages {
                direction: direction.clone(),
                variance: None,
                found: found[&Role::Random(number)].clone(),
            })
            .collect(),
        components: components
            .iter()
            .take(plan.components)
            .enumerate()
            .map(|(number, component)| DirectionImages {
                direction: component.direction.clone(),
                variance: Some(component.variance),
                found: found[&Role::Component(number)].clone(),
            })
            .collect(),
        study: None,
    };
    if plan.study {
        let network;
        let control = match stored {
            Some(stored) => stored.untrained(context.labels),
            None => {
                network = untrained(context.network, seed);
                Context {
                    network: &network,
                    ..*context
                }
            }
        };
        let directions = Directions {
            units: Vec::new(),
            vectors: random[..studied.len()].to_vec(),
        };
        let control = top_images(&control, &directions, plan.options, monitor)?;
        report.study = Some(study(context, plan, &studied, &found, &control, monitor)?);
    }
    Ok(report)
}

/// The principal components that the plan shows and the study of `studied` units needs.
fn components(
    context: &Context<'_>,
    plan: &Plan,
    studied: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<Component>, UnitsError> {
    let units = context.layer.units;
    let for_study = if plan.study && units <= MAX_COVARIANCE_UNITS {
        MAX_STUDY_COMPONENTS.min(studied)
    } else {
        0
    };
    let count = plan.components.max(for_study).min(units);
    if count == 0 {
        return Ok(Vec::new());
    }
    principal(context, plan.options.reduce, count, plan.seed, monitor)
}

/// The study: the units `studied` beside as many random directions, the other directions `found`, and the
/// random directions of the untrained network in `control`.
fn study(
    context: &Context<'_>,
    plan: &Plan,
    studied: &[usize],
    found: &BTreeMap<Role, TopImages>,
    control: &[TopImages],
    monitor: &dyn Monitor,
) -> Result<Study, UnitsError> {
    let count = studied.len();
    let all = |role: &dyn Fn(usize) -> Role| -> Vec<&TopImages> {
        (0..count).map(|number| &found[&role(number)]).collect()
    };
    let mut groups = vec![
        (
            DirectionKind::Units,
            all(&|number| Role::Unit(studied[number])),
        ),
        (DirectionKind::Directions, all(&Role::Random)),
    ];
    for (angle, &degrees) in ROTATION_DEGREES.iter().enumerate() {
        let rotated = all(&|number| Role::Rotated { angle, number });
        groups.push((DirectionKind::Rotated(degrees), rotated));
    }
    let components = (0..MAX_STUDY_COMPONENTS).map(Role::Component);
    let components = components.map_while(|role| found.get(&role)).collect();
    groups.push((DirectionKind::Components, components));
    groups.push((DirectionKind::Untrained, control.iter().collect()));
    let images = context.inputs.len();
    let top = plan.options.top.min(images);
    let random_sets = study::random_images(count, top, images, plan.seed);
    groups.push((DirectionKind::RandomImages, random_sets.iter().collect()));
    groups.retain(|(_, found)| !found.is_empty());
    let groups = study::groups(context, &groups, monitor)?;
    let sizes = Sizes {
        layer: &context.layer.name,
        units: context.layer.units,
        images,
        top: plan.options.top,
        labels: context.labels,
    };
    Ok(study::conclude(&sizes, groups))
}
