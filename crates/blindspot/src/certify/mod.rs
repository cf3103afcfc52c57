//! Certified radii: for each image an L2 distance within which no perturbation in the input box
//! changes the network's answer.
//!
//! Two bounds give a radius, and the larger one counts: the product of the layers' bounds (section 4.3
//! of the paper, `lipschitz`), and linear bounds propagated through the network (`propagation`). The
//! certificate is about the network in exact arithmetic with the weights that are stored.

mod affine;
mod ball;
mod bracketing;
mod certifier;
mod curvature;
mod error;
mod files;
mod lipschitz;
mod outcome;
mod propagation;
mod radius;
mod refine;
mod relaxation;
mod relu_branching;
mod slabs;
mod smooth;
mod subproblem;
#[cfg(test)]
mod tests;
mod verify;

use serde::{Deserialize, Serialize};

pub use bracketing::Bracketing;
pub use certifier::Certifier;
pub use error::CertifyError;
pub use files::{Bracket, Header, Provenance, Record, Summary, write_certificates};

/// An image's certified radius.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The image's position in the set that was certified.
    pub position: usize,
    /// The image's index in the data set that this set was chosen from
    /// ([`Inputs::index`](crate::inputs::Inputs::index)).
    pub index: usize,
    /// The image's true class.
    pub label: usize,
    /// The certified radius: the network answers `label` to every image of the box within this L2
    /// distance. 0 if the network misclassifies the image itself.
    pub radius: f64,
    /// The radius that the product of the layers' bounds certifies by itself; None if the network has
    /// no such bound.
    pub lipschitz: Option<f64>,
}
