//! How long work runs: what watches and stops it, what keeps its results as they come, how several
//! processes share it, and where its random numbers come from.

mod block_sizer;
pub mod communicator;
pub mod journal;
pub mod monitor;
pub mod random;

pub use block_sizer::BlockSizer;
