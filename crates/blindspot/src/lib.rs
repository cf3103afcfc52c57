//! Where a trained neural network breaks: the search for the smallest change that makes it wrong,
//! certificates that there is none below a distance, what its units respond to, what its layers
//! amplify, and what transfers to other networks.

pub mod certify;
pub mod classifier;
pub mod classify;
pub mod examples;
pub mod image_files;
pub mod inputs;
pub mod model;
pub mod picture;
pub mod prelude;
pub mod preprocess;
pub mod range_files;
pub mod run;
pub mod search;
pub mod spectrum;
mod stats;
#[cfg(test)]
mod testing;
pub mod transfer;
pub mod units;

pub use blindspot_data::{self as data, ErrorKind, ImageSet};
pub use blindspot_net::{self as net, Network};
pub use model::{Model, ModelError, ModelOptions};
