//! L-BFGS and box-constrained L-BFGS: functions, not networks.
//!
//! A solver doesn't call the function: it is asked for the next point and told the value and
//! gradient there. So many solvers can share one batched evaluation, and a solver can be stored
//! between any two evaluations.

mod lbfgs;
mod line_search;
mod long;
mod real;
mod status;

pub use lbfgs::{Lbfgs, LbfgsOptions};
pub use real::Real;
pub use status::{Reason, Status};
