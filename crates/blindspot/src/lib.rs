//! The studies of the paper: training, the blind-spot search, transfer, and the replication.

pub mod results;
