//! Figures 1 to 4 (section 3): the images that excite units, or random directions, the most; and
//! whether that differs.

use blindspot::inputs::Inputs;
use blindspot::run::monitor::Monitor;
use blindspot::units::{
    Context, Layer, LayerReport, PictureRow, Plan, Reduction, Study, TopImages, UnitsError,
    UnitsOptions, picture_rows, random_units, survey,
};
use blindspot_data::ImageSet;
use blindspot_net::Network;
use blindspot_report::{Artifact, Section, picture_rows_html, rows_drawing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::page::section::of_rows;
use crate::reproduce::{OwnNetwork, Replication, ReproduceError};
use crate::results::Pictures;

/// The network of figures 1 and 2, the paper's convolutional one.
pub(super) const MODEL: &str = "conv";
/// Its layer: the last hidden one.
const LAYER: &str = "hidden1";
/// Rows of each figure.
const ROWS: usize = 4;
/// Images in a row.
const TOP: usize = 10;

/// Figures 1 to 4: the images that excite units or random directions the most.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct UnitsFigure {
    /// The model's name.
    pub model: String,
    /// The layer, by the name of its ONNX value.
    pub layer: String,
    /// The image set, as it is called.
    #[serde(default)]
    pub data: String,
    /// How many images were looked at.
    pub images: u64,
    /// How many units the layer has.
    #[serde(default)]
    pub units: u64,
    /// Of these, units that are 0 for all images.
    #[serde(default)]
    pub dead: u64,
    /// The rows from top to bottom.
    pub rows: Vec<UnitsRow>,
}

/// The images of one unit or direction.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct UnitsRow {
    /// The unit, in figures 1 and 3.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unit: Option<u64>,
    /// The direction, of length 1 over the layer's units, in figures 2 and 4.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub direction: Option<Vec<f32>>,
    /// Places of the images in the set, that with the largest projection first.
    pub top: Vec<u64>,
    /// Their projections.
    pub activation: Vec<f32>,
}

/// A figure of units and one of random directions of a layer, and the study of the whole layer.
#[derive(Debug, Clone)]
pub struct Excitation {
    /// The units, with their pictures.
    pub units: (UnitsFigure, Vec<PictureRow>),
    /// The random directions, with their pictures.
    pub directions: (UnitsFigure, Vec<PictureRow>),
    /// Whether they differ.
    pub study: Option<Study>,
}

/// Figures 1 and 2, of the test set.
pub(crate) fn of_conv(run: &Replication<'_>) -> Result<Excitation, ReproduceError> {
    let network = &run.model(MODEL).network;
    let layer = Layer::find(network, LAYER)?;
    let (seed, monitor) = (run.options.seed, run.monitor);
    excitation(network, MODEL, &layer, run.test(), seed, monitor)
}

/// Figures 3 and 4: a network that was trained elsewhere, on images that it was not trained on; the
/// last features if no layer is named.
///
/// # Errors
/// [`ReproduceError`], also where there is no such layer or the network has none before its
/// classifier.
pub(crate) fn of_own(
    own: &OwnNetwork<'_>,
    images: &ImageSet,
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<Excitation, ReproduceError> {
    let layer = match own.layer {
        Some(name) => Layer::find(own.network, name)?,
        None => Layer::last_features(own.network).ok_or(ReproduceError::NoFeatures)?,
    };
    let made = excitation(own.network, &own.name, &layer, images, seed, monitor);
    made.map_err(|error| match error {
        ReproduceError::Units(UnitsError::Cancelled) => ReproduceError::Stopped,
        error => error,
    })
}

fn excitation(
    network: &Network<f32>,
    name: &str,
    layer: &Layer,
    images: &ImageSet,
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<Excitation, ReproduceError> {
    let options = UnitsOptions::default().top(TOP);
    let plan = Plan::default()
        .units(0..layer.units)
        .directions(ROWS)
        .options(options)
        .seed(seed);
    let context = Context::new(network, layer, images).with_labels(images.labels());
    let mut report = survey(&context, &plan, None, monitor)?;
    let dead = report.units.iter();
    let dead = dead
        .filter(|unit| unit.found.constant() == Some(0.0))
        .count();
    let shown = units_shown(&report, layer.units, seed);
    report.units.retain(|unit| shown.contains(&unit.unit));
    let mut of_units = picture_rows(network, images, layer, &report, Reduction::Max, &[])?;
    let of_directions = of_units.split_off(report.units.len());
    let row = |unit, direction, found: &TopImages| UnitsRow {
        unit,
        direction,
        top: found
            .top
            .images
            .iter()
            .map(|&image| images.index(image) as u64)
            .collect(),
        activation: found.top.activations.clone(),
    };
    let figure = |rows| UnitsFigure {
        model: name.to_owned(),
        layer: layer.name.clone(),
        data: images.name().to_owned(),
        images: images.len() as u64,
        units: layer.units as u64,
        dead: dead as u64,
        rows,
    };
    let units = report.units.iter();
    let units = units.map(|unit| row(Some(unit.unit as u64), None, &unit.found));
    let directions = report.directions.iter();
    let directions = directions.map(|shown| row(None, Some(shown.direction.clone()), &shown.found));
    Ok(Excitation {
        units: (figure(units.collect()), of_units),
        directions: (figure(directions.collect()), of_directions),
        study: report.study,
    })
}

/// The units of a figure: a random choice of those that tell images apart.
fn units_shown(report: &LayerReport, units: usize, seed: u64) -> Vec<usize> {
    let constant = |unit: &usize| report.units[*unit].found.is_constant();
    let telling = |count: usize| -> Vec<usize> {
        let chosen = random_units(count, units, seed).into_iter();
        chosen.filter(|unit| !constant(unit)).collect()
    };
    // A larger choice has the units of a smaller one.
    let mut choices = (ROWS.min(units)..units).map(telling);
    let enough = choices.find(|shown| shown.len() >= ROWS);
    enough.unwrap_or_else(|| telling(units))
}

/// Says what the study of a layer answers, for a terminal.
pub(super) fn lines(figures: &str, study: Option<&Study>) -> Option<String> {
    study.map(|study| format!("Figures {figures}\n{}\n", study.answer))
}

fn rows<'a>(pictures: &'a Pictures, name: &str) -> Option<&'a [PictureRow]> {
    let mut units = pictures.units.iter();
    units
        .find(|(known, _)| known == name)
        .map(|(_, rows)| &rows[..])
}

/// The drawing of a figure, in a file of its name.
pub(super) fn files(pictures: &Pictures, name: &str, title: &str) -> Vec<Artifact> {
    let drawing = |rows: &[PictureRow]| Artifact {
        name: format!("{name}.svg"),
        bytes: rows_drawing(title, rows).into_bytes(),
    };
    rows(pictures, name).map(drawing).into_iter().collect()
}

/// A figure on the page, with what the study of its layer answers, if given. `title` is that of the drawing.
pub(super) fn section(
    pictures: &Pictures,
    name: &str,
    title: &str,
    figure: Option<&UnitsFigure>,
    study: Option<&Study>,
) -> Option<Section> {
    let (rows, figure) = (rows(pictures, name)?, figure?);
    let UnitsFigure {
        model,
        layer,
        data,
        images,
        units,
        dead,
        ..
    } = figure;
    let title = format!("{title}, in {model}");
    let mut notes = vec![format!(
        "{layer} of {model}, over {images} images of {data}. Below each image its activation and its class."
    )];
    if *dead > 0 {
        notes.push(format!(
            "{dead} of the layer's {units} units are dead: they are 0 for every image, so that no image excites them; \
             none of them is shown."
        ));
    }
    notes.extend(study.map(|study| study.answer.clone()));
    let rows = picture_rows_html(rows);
    Some(of_rows(name, &title, notes, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use blindspot::units::{RankedImages, UnitImages};

    #[test]
    fn units_that_are_the_same_for_all_images_are_passed_over() {
        let ranked = |activation| RankedImages {
            activations: vec![activation],
            ..RankedImages::default()
        };
        let report = |telling: &[usize]| LayerReport {
            units: (0..9)
                .map(|unit| UnitImages {
                    unit,
                    found: TopImages {
                        top: ranked(f32::from(u8::from(telling.contains(&unit)))),
                        lowest: ranked(0.0),
                        selectivity: None,
                    },
                })
                .collect(),
            directions: Vec::new(),
            components: Vec::new(),
            study: None,
        };
        let all: Vec<usize> = (0..9).collect();
        let choice = random_units(ROWS, 9, 3);
        assert_eq!(units_shown(&report(&all), 9, 3), choice, "as ever");
        let alive: Vec<usize> = all
            .iter()
            .copied()
            .filter(|unit| *unit != choice[0])
            .collect();
        let shown = units_shown(&report(&alive), 9, 3);
        assert_eq!(shown.len(), ROWS);
        assert!(!shown.contains(&choice[0]), "{shown:?}");
        assert!(
            choice[1..].iter().all(|unit| shown.contains(unit)),
            "{shown:?}"
        );
        assert_eq!(units_shown(&report(&[2, 5]), 9, 3), [2, 5]);
        assert!(units_shown(&report(&[]), 9, 3).is_empty());
    }
}
