//! What is told of a survey: the content of units.json.

use blindspot_model::inputs::Inputs;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    DirectionImages, Layer, LayerReport, PictureRow, Plan, RankedImages, Reduction, Regularisation,
    Study, TopImages,
};
use crate::provenance::Provenance;

/// What tells a survey from others.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SurveyIdentity {
    /// The layer, by the name of its ONNX value.
    pub layer: String,
    /// How images were synthesised, where they were asked for.
    pub synthesis: Option<Regularisation>,
    /// What was looked at.
    pub options: Plan,
    /// The model and the images.
    #[serde(flatten)]
    pub provenance: Provenance,
}

/// A survey as files and Python tell it. Images are named by their places in the data set.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SurveyRecord {
    /// What tells it from others.
    #[serde(flatten)]
    pub identity: SurveyIdentity,
    /// Units, and positions of each.
    pub shape: Vec<usize>,
    /// How many images were looked at.
    pub images: usize,
    /// The units of the plan, in its order.
    pub units: Vec<UnitRecord>,
    /// The random directions.
    pub directions: Vec<DirectionRecord>,
    /// The principal components.
    pub components: Vec<DirectionRecord>,
    /// Images that were synthesised, in the order of units, directions, components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub synthesised: Vec<SynthesisRecord>,
    /// Units and directions for which no image was synthesised, as they have no gradient.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_gradient: Vec<String>,
    /// The study, if planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Study>,
}

/// A unit with its images.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct UnitRecord {
    /// The unit, from 0.
    pub unit: usize,
    /// Its images.
    #[serde(flatten)]
    pub images: ImagesRecord,
}

/// A direction with its images.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DirectionRecord {
    /// A vector of length 1 over the layer's units.
    pub direction: Vec<f32>,
    /// Of a principal component: its part of the units' variance, in [0, 1].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variance: Option<f64>,
    /// Its images.
    #[serde(flatten)]
    pub images: ImagesRecord,
}

/// An image that was synthesised.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SynthesisRecord {
    /// The unit or direction: `unit 3`.
    pub of: String,
    /// Its file beside the record.
    pub file: String,
    /// Its projection.
    pub activation: f32,
}

/// The images at both ends of a unit or direction.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ImagesRecord {
    /// Images with the largest projections, by their places in the data set; none of a constant.
    pub top: Vec<usize>,
    /// Their projections.
    pub activation: Vec<f32>,
    /// Where in the layer, along each axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Vec<Vec<usize>>>,
    /// How many of the top images lead; only their places chose the others among equal ones.
    pub leading: usize,
    /// Whether an image that is not listed has the last one's projection.
    pub tied: bool,
    /// Images with the smallest projections, by their places in the data set; none of a constant.
    pub lowest: Vec<usize>,
    /// Their projections.
    pub lowest_activation: Vec<f32>,
    /// Whether the projection is the same for all images.
    pub constant: bool,
    /// Of a constant, its projection for all images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constant_activation: Option<f32>,
    /// The largest correlation with belonging to a class, in [0, 1]; `None` without labels.
    pub selectivity: Option<f64>,
}

impl SurveyRecord {
    /// The record of a survey of a layer over `inputs`. `rows` are its pictures, of which the synthesised
    /// ones are told, or none.
    pub fn new(
        identity: SurveyIdentity,
        layer: &Layer,
        inputs: &dyn Inputs,
        report: &LayerReport,
        rows: &[PictureRow],
    ) -> SurveyRecord {
        let by_mean = identity.options.options.reduce == Reduction::Mean;
        let record_of = |found: &TopImages| ImagesRecord::of(found, inputs, layer, by_mean);
        let directions = |all: &[DirectionImages]| {
            let all = all.iter().map(|shown| DirectionRecord {
                direction: shown.direction.clone(),
                variance: shown.variance,
                images: record_of(&shown.found),
            });
            all.collect()
        };
        let units = report.units.iter().map(|shown| UnitRecord {
            unit: shown.unit,
            images: record_of(&shown.found),
        });
        let synthesised = rows.iter().filter_map(|row| {
            Some(SynthesisRecord {
                of: row.name().to_owned(),
                file: row.file(),
                activation: row.synthesised.as_ref()?.activation,
            })
        });
        let without = rows.iter().filter(|row| row.no_gradient);
        SurveyRecord {
            shape: layer.shape(),
            images: inputs.len(),
            units: units.collect(),
            directions: directions(&report.directions),
            components: directions(&report.components),
            synthesised: synthesised.collect(),
            no_gradient: without.map(|row| row.name().to_owned()).collect(),
            statistics: report.study.clone(),
            identity,
        }
    }
}

impl ImagesRecord {
    fn of(found: &TopImages, inputs: &dyn Inputs, layer: &Layer, by_mean: bool) -> ImagesRecord {
        let places = |ranked: &RankedImages| {
            let images = ranked.images.iter().map(|&image| inputs.index(image));
            images.collect()
        };
        let constant = found.is_constant();
        let nothing = TopImages::default();
        // Where no image leads, only its index would tell one from the others.
        let TopImages { top, lowest, .. } = if constant { &nothing } else { found };
        let positions = || top.positions.iter().map(|&position| layer.along(position));
        ImagesRecord {
            top: places(top),
            activation: top.activations.clone(),
            position: (!by_mean && !layer.positions.is_empty()).then(|| positions().collect()),
            leading: found.leading(),
            tied: found.top.tied,
            lowest: places(lowest),
            lowest_activation: lowest.activations.clone(),
            constant,
            constant_activation: found.constant(),
            selectivity: found.selectivity,
        }
    }
}
