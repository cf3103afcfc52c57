//! L-BFGS and box-constrained L-BFGS: functions, not networks.
//!
//! A solver doesn't call the function: it is asked for the next point and told the value and
//! gradient there. So many solvers can share one batched evaluation, and a solver can be stored
//! between any two evaluations.

mod box_lbfgs;
mod cauchy;
mod compact;
mod lbfgs;
mod line_search;
mod long;
mod quasi_definite;
mod real;
mod status;
mod subspace;

pub use box_lbfgs::{BoxError, BoxLbfgs};
pub use lbfgs::Lbfgs;
pub use real::Real;
pub use status::{LbfgsOptions, Reason, Status};
