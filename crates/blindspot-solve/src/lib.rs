//! L-BFGS and box-constrained L-BFGS: functions, not networks.
//!
//! [`Lbfgs`] minimises one function of many variables (training a network), [`BoxLbfgs`] functions
//! of some hundred variables over a box, thousands at a time (changing images). Neither calls the
//! function: a solver is asked for the next point, and told the value and gradient there. So many
//! solvers share one batched evaluation, and a solver can wait between any two.
//!
//! Values are `f64`; points and gradients are stored as `f32` or `f64` ([`Real`]), and every sum
//! is made in `f64`, in an order that depends on nothing but the length: the same evaluations give
//! the same bits on any processor and any number of threads.
//!
//! ```
//! use blindspot_solve::{BoxLbfgs, LbfgsOptions, Status};
//!
//! // The points of the square [0, 1]^2 that are nearest to the point (i, 1/2), for five i at once.
//! let options = LbfgsOptions { history: 5, ..LbfgsOptions::default() };
//! let new = |_| BoxLbfgs::new(&[0.2f32, 0.9], &[0.0; 2], &[1.0; 2], options.clone());
//! let mut solvers = (0..5).map(new).collect::<Result<Vec<_>, _>>()?;
//! let mut waiting: Vec<usize> = (0..5).collect();
//! while !waiting.is_empty() {
//!     // Here a network would evaluate all the points in one batch.
//!     let evaluated: Vec<(f32, [f32; 2])> = waiting
//!         .iter()
//!         .map(|&i| {
//!             let x = solvers[i].point();
//!             let (a, b) = (x[0] - i as f32, x[1] - 0.5);
//!             (a * a + b * b, [2.0 * a, 2.0 * b])
//!         })
//!         .collect();
//!     let mut told = evaluated.iter();
//!     waiting.retain(|&i| match told.next() {
//!         Some((value, gradient)) => {
//!             !matches!(solvers[i].tell(f64::from(*value), gradient), Status::Done(_))
//!         }
//!         None => true,
//!     });
//! }
//! for (i, solver) in solvers.iter().enumerate() {
//!     let nearest = [(i as f32).min(1.0), 0.5];
//!     assert!(solver.iterate().iter().zip(nearest).all(|(x, y)| (x - y).abs() < 1e-4));
//! }
//! # Ok::<(), blindspot_solve::BoxError>(())
//! ```

mod box_lbfgs;
mod cauchy;
mod compact;
mod driver;
mod lbfgs;
mod line_search;
mod parallel;
mod quasi_definite;
mod real;
mod status;
mod subspace;

pub use box_lbfgs::{BoxError, BoxLbfgs};
pub use lbfgs::Lbfgs;
pub use real::Real;
pub use status::{LbfgsOptions, Reason, Status};
