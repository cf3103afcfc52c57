//! The studies of the paper: training, the blind-spot search, transfer, and the replication.

pub mod architectures;
pub mod certify;
pub mod examples;
pub mod harden;
pub mod image_files;
pub mod inputs;
pub mod journal;
pub mod models;
pub mod monitor;
mod npz;
mod pace;
pub mod paper;
pub mod preprocess;
pub mod quocnet;
mod random;
pub mod range_files;
pub mod ranks;
pub mod reproduce;
pub mod results;
pub mod search;
pub mod spectrum;
pub mod train;
pub mod transfer;
pub mod units;
