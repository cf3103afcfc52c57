//! Certified radii, and both bounds of an image's distance to the decision boundary: from below by
//! its certificate, from above by the smallest perturbation found. [`Certifier`] makes
//! certificates, [`ExampleCertifier`] those beside what a search has found, of goals and rows of tables, too;
//! [`Bracketing`] puts images between both bounds, and a [`Bracket`] is what files hold.
//!
//! How a radius is certified is described in [`blindspot_bounds::certify`].

mod bracketing;
mod examples;
mod files;

pub use blindspot_bounds::certify::{Arithmetic, Certificate, Certifier, CertifyError, MAX_TIME};
pub use bracketing::Bracketing;
pub use examples::ExampleCertifier;
pub use files::{About, Bracket, Record, Summary, write_certificates};
