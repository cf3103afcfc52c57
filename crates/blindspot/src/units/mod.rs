//! Section 3: which images excite a unit, or a random direction, the most.
//!
//! The paper looks at x' = argmax <phi(x), e_i> for units, and at x' = argmax <phi(x), v> for
//! random directions v, over a held-out set of images.

mod activations;
mod components;
mod directions;
mod distances;
mod error;
mod evaluator_pool;
mod gallery;
mod layer;
mod measures;
mod plan;
mod projector;
mod ranking;
mod receptive;
mod request;
mod rotation;
mod study;
mod survey;
mod synthesis;
mod top_images;
mod untrained;
mod vectors;

pub use crate::stats::MannWhitney;
pub use activations::{ActivationReader, LayerEvaluator};
pub use directions::{Directions, random_directions, random_units};
pub use error::UnitsError;
pub use gallery::{PictureRow, RowPicture, picture_rows};
pub use layer::Layer;
pub use measures::{Measure, Measures};
pub use plan::{Context, Plan, UnitsOptions};
pub use projector::Reduction;
pub use receptive::receptive_field;
pub use request::SurveyRequest;
pub use study::{Contrast, DirectionKind, Group, Study};
pub use survey::{DirectionImages, LayerReport, UnitImages, survey};
pub use synthesis::{
    Regularisation, Start, Synthesis, SynthesisOptions, synthesise, synthesise_all,
};
pub use top_images::{RankedImages, TopImages, top_images};
pub use untrained::untrained;
