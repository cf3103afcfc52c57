//! QuocNet (section 2): features learned without labels, and a linear classifier on top of them.
//!
//! Le et al., "Building high-level features using large scale unsupervised learning", 2012: stages of
//! local filtering whose weights are not shared between positions, L2 pooling and local contrast
//! normalisation, trained stage by stage to put their inputs together again from pooled responses that
//! are sparse. Here the size is a parameter ([`Plan`]), and the input is whitened first, which
//! reconstruction TICA assumes.

mod architecture;
mod classifier;
mod files;
mod filters;
mod measures;
mod pca;
mod plan;
mod pooling;
mod row_partition;
mod speed;
mod tica;
mod tica_loss;
mod tile_memory;
mod train;
mod trial;
mod whitening;

#[cfg(test)]
mod tests;

pub use classifier::Evaluation;
pub(crate) use classifier::{BinaryLabels, evaluate};
pub(crate) use files::kept_or_learned;
pub use files::learn_and_save;
pub use filters::filters;
pub use plan::{Cost, Plan, Size, Stage, costs, ladder};
pub use speed::seconds_an_image;
pub use train::{Learned, Point, StageRecord, Untrained, history_plot, learn, untrained};
pub use trial::{Trial, trial};
