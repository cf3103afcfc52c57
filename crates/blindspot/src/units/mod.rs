//! Units and directions: which images excite them, and whether units mean more (section 3 of the paper).
//!
//! Let phi(x) be the activations of one layer for an image x. Earlier work looked at a unit's top images,
//!
//! ```text
//! x' = argmax over the image set of <phi(x), e_i>       e_i: the i-th unit, the natural basis
//! ```
//!
//! and found a common meaning in them. The paper's claim is that the top images of a *random direction* v, those
//! that maximise <phi(x), v>, look just as related, so that the meaning lies in the space of activations and
//! not in its basis. The paper shows rows of pictures (figures 1 to 4). This module makes such rows
//! ([`survey`], [`picture_rows`]) and puts numbers to the claim ([`Study`]).
//!
//! # What is measured
//!
//! The *projection* of an image on a unit or direction is <phi(x), e_i> or <phi(x), v>. In a convolutional layer a
//! channel is a unit, and a [`Reduction`] over its positions, the maximum or the mean, gives one number. The top
//! images are those with the largest projections ([`TopImages`]). How alike they are is measured
//! by their labels' purity and entropy, by their mean distance in pixels and in the layer below ([`Measure`]).
//! The *selectivity* is the largest point-biserial correlation of the projections of all images with belonging
//! to a class.
//!
//! The study measures all units of a layer and as many random directions, uniform on the sphere. Its controls
//! are the units rotated step by step into random directions, the principal components, random
//! directions of an untrained network of the same architecture, and random sets of images ([`DirectionKind`]).
//!
//! # How groups are compared
//!
//! Two groups are compared by the Mann-Whitney test (Mann and Whitney 1947), two-sided, by the normal
//! approximation with corrections for ties and continuity. The effect size is the probability that a member of
//! the first group exceeds a member of the second (McGraw and Wong 1992), with its 95% interval after
//! Newcombe (Statistics in Medicine 25, 2006, method 5), whose variance is that of Hanley and McNeil (Radiology
//! 143, 1982). The test takes members as independent of each other, which units of one layer are not strictly.
//! [`Study::answer`] says in a sentence what follows for the claim.
//!
//! ```
//! use blindspot::inputs::InMemory;
//! use blindspot::net::{Graph, Network, Op, Operand, ops::Reshape};
//! use blindspot::units::Units;
//!
//! // A layer whose units are the two values of the input.
//! let mut graph = Graph::new("x", &[2])?;
//! let input = Operand::Value(graph.input());
//! graph.node("copy", Op::Reshape(Reshape { shape: vec![2] }), &[input], "features")?;
//! let network = Network::new(graph, Vec::new())?;
//!
//! let images = InMemory::new(vec![0.1, 0.9, 0.8, 0.3, 0.5, 0.5], 2);
//! let report = Units::of(&network)
//!     .layer("features")
//!     .units([0, 1])
//!     .top(2)
//!     .study(false)
//!     .run_on(&images, None)?;
//! assert_eq!(report.units[0].found.top.images, [1, 2]);
//! assert_eq!(report.units[1].found.top.activations, [0.9, 0.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activations;
mod builder;
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
mod record;
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
pub use builder::Units;
pub use directions::{Directions, random_directions, random_units};
pub use error::UnitsError;
pub use gallery::{PictureRow, RowPicture, picture_rows};
pub use layer::Layer;
pub use measures::{Measure, Measures};
pub use plan::{Context, Plan, UnitsOptions};
pub use projector::Reduction;
pub use receptive::receptive_field;
pub use record::{
    DirectionRecord, ImagesRecord, SurveyIdentity, SurveyRecord, SynthesisRecord, UnitRecord,
};
pub use request::SurveyRequest;
pub use study::{Contrast, DirectionKind, Group, Study};
pub use survey::{DirectionImages, LayerReport, UnitImages, survey};
pub use synthesis::{
    Regularisation, Start, Synthesis, SynthesisOptions, illustrate, synthesise, synthesise_all,
};
pub use top_images::{RankedImages, TopImages, top_images};
pub use untrained::untrained;
