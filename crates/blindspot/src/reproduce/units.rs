//! Figures 1 and 2: what excites units, and random directions; and whether that differs.

use super::{ReproduceError, Run};
use crate::monitor::Monitor;
use crate::results::{UnitsFigure, UnitsRow};
use crate::units::{
    Found, Layer, PictureRow, Plan, Reduction, Study, UnitsOptions, picture_rows, random_units,
    survey,
};

/// The network that is looked at; the paper's is its convolutional one.
pub(super) const MODEL: &str = "FC100-100-10";
/// Its layer: the last hidden one.
const LAYER: &str = "hidden2";
/// Rows of each figure, and images in a row.
const ROWS: usize = 4;
const TOP: usize = 10;

/// Both figures, each with its pictures, and the study of the whole layer.
pub(super) struct Units {
    pub(super) figures: [(UnitsFigure, Vec<PictureRow>); 2],
    pub(super) study: Option<Study>,
}

pub(super) fn units(run: &Run<'_>, monitor: &dyn Monitor) -> Result<Units, ReproduceError> {
    let network = &run.model(MODEL).network;
    let layer = Layer::find(network, LAYER)?;
    let seed = run.options.seed;
    let plan = Plan {
        units: random_units(ROWS, layer.units, seed),
        directions: ROWS,
        components: 0,
        study: true,
        options: UnitsOptions {
            top: TOP,
            reduce: Reduction::Max,
        },
        seed,
    };
    let (_, labels) = run.labels();
    let survey = survey(network, run.test, Some(labels), &layer, &plan, monitor)?;
    let mut of_units = picture_rows(network, run.test, &layer, &survey, Reduction::Max, &[]);
    let of_directions = of_units.split_off(survey.units.len());
    let row = |unit, direction, found: &Found| UnitsRow {
        unit,
        direction,
        top: found.top.images.iter().map(|&image| image as u64).collect(),
        activation: found.top.activations.clone(),
    };
    let figure = |rows| UnitsFigure {
        model: MODEL.to_owned(),
        layer: LAYER.to_owned(),
        images: run.test.len() as u64,
        rows,
    };
    let units = survey.units.iter();
    let units = units.map(|(unit, found)| row(Some(*unit as u64), None, found));
    let directions = survey.directions.iter();
    let directions = directions.map(|seen| row(None, Some(seen.direction.clone()), &seen.found));
    Ok(Units {
        figures: [
            (figure(units.collect()), of_units),
            (figure(directions.collect()), of_directions),
        ],
        study: survey.study,
    })
}
