//! Figures 1 to 4: what excites units, and random directions; and whether that differs.

use blindspot_data::ImageSet;
use blindspot_net::Network;

use super::{Own, ReproduceError, Run};
use crate::results::{UnitsFigure, UnitsRow};
use blindspot::inputs::Inputs;
use blindspot::run::monitor::Monitor;
use blindspot::units::{
    Context, Layer, PictureRow, Plan, Reduction, Study, TopImages, UnitsError, UnitsOptions,
    picture_rows, random_units, survey,
};

/// The network of figures 1 and 2, the paper's convolutional one.
pub(super) const MODEL: &str = "conv";
/// Its layer: the last hidden one.
const LAYER: &str = "hidden1";
/// Rows of each figure, and images in a row.
const ROWS: usize = 4;
const TOP: usize = 10;

/// A figure of units and one of random directions of a layer, and the study of the whole layer.
pub struct UnitsOutcome {
    /// Units, then directions; each with its pictures.
    pub figures: [(UnitsFigure, Vec<PictureRow>); 2],
    /// Whether they differ.
    pub study: Option<Study>,
}

/// Figures 1 and 2, of the test set.
pub(super) fn figures_1_2(
    run: &Run<'_>,
    monitor: &dyn Monitor,
) -> Result<UnitsOutcome, ReproduceError> {
    let network = &run.model(MODEL).network;
    let layer = Layer::find(network, LAYER)?;
    figures(network, MODEL, &layer, run.test, run.options.seed, monitor)
}

/// Figures 3 and 4: the same of a network that was trained elsewhere, on images that it was not
/// trained on; of the last features where no layer is named.
///
/// # Errors
/// [`ReproduceError`], also where there is no such layer or the network has none before its
/// classifier.
pub fn figures_3_4(
    own: &Own<'_>,
    images: &ImageSet,
    layer: Option<&str>,
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<UnitsOutcome, ReproduceError> {
    let layer = match layer {
        Some(name) => Layer::find(own.network, name)?,
        None => Layer::last_features(own.network).ok_or(ReproduceError::NoFeatures)?,
    };
    let made = figures(own.network, &own.name, &layer, images, seed, monitor);
    made.map_err(|error| match error {
        ReproduceError::Units(UnitsError::Cancelled) => ReproduceError::Stopped,
        error => error,
    })
}

fn figures(
    network: &Network<f32>,
    name: &str,
    layer: &Layer,
    images: &ImageSet,
    seed: u64,
    monitor: &dyn Monitor,
) -> Result<UnitsOutcome, ReproduceError> {
    let options = UnitsOptions::default().top(TOP);
    let plan = Plan::default()
        .units(random_units(ROWS, layer.units, seed))
        .directions(ROWS)
        .options(options)
        .seed(seed);
    let context = Context::new(network, layer, images).with_labels(images.labels());
    let report = survey(&context, &plan, None, monitor)?;
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
        images: images.len() as u64,
        rows,
    };
    let units = report.units.iter();
    let units = units.map(|unit| row(Some(unit.unit as u64), None, &unit.found));
    let directions = report.directions.iter();
    let directions = directions.map(|shown| row(None, Some(shown.direction.clone()), &shown.found));
    Ok(UnitsOutcome {
        figures: [
            (figure(units.collect()), of_units),
            (figure(directions.collect()), of_directions),
        ],
        study: report.study,
    })
}
