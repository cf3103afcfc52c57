//! The replication of "Intriguing properties of neural networks" (Szegedy et al., 2013,
//! arXiv:1312.6199): its networks and their training, hardening, the features learned without
//! labels, every table and figure, and the paper's own numbers.

pub mod architectures;
pub mod experiments;
pub mod harden;
pub mod models;
mod page;
pub mod quocnet;
pub mod reproduce;
pub mod results;
mod session;
mod suggest;
pub mod train;

pub use page::{terminal, write_report};
pub use session::{LabelledData, Session};
