//! Section 2: training the paper's networks.

mod objective;
mod parallel;

pub use objective::{LossValue, TrainingLoss};
