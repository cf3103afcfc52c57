//! How long work runs: what watches and stops it, what keeps its results as they come, how several
//! processes share it, and where its random numbers come from.

pub mod journal;
pub mod monitor;
mod pace;
pub mod random;
pub mod ranks;

pub use pace::Pace;
