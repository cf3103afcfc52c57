//! Blindspot finds where trained neural networks break: the smallest adversarial perturbations of
//! inputs, certificates that there are none within a radius, which inputs excite single units, what
//! each layer can amplify, how far adversarial examples transfer to other networks, and which one change
//! fools them on most inputs.
//!
//! The network comes from an ONNX file, or is any function with a gradient. All of a program:
//!
//! ```no_run
//! use blindspot::prelude::*;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let model = Model::open("fc100.onnx")?; // softmax looked through, preprocessing inside
//!     let images = ImageSet::open("mnist:test")?.first(100);
//!     for adv in Attack::sqp().untargeted().run(&model, &images)? {
//!         println!("{} -> {}: {:.4}", adv.label, adv.prediction, adv.l2);
//!     }
//!     let radii = Certifier::new(&model)?.certify(&images)?; // one an image
//!     println!("{} certificates", radii.len());
//!     Ok(())
//! }
//! ```
//!
//! # A model of your own
//!
//! A search needs of a model its outputs for a batch of inputs, and the gradients of these outputs
//! pulled back to the inputs: that is a [`Classifier`](classifier::Classifier), and two closures
//! make one. Here the outputs are the two input values themselves, so the nearest input with another
//! answer has both values equal:
//!
//! ```
//! use blindspot::prelude::*;
//!
//! let model = FnClassifier::new(
//!     &[2],
//!     2,
//!     |inputs: &[f32]| Ok(inputs.to_vec()),
//!     |_inputs: &[f32], output_gradients: &[f32]| Ok(output_gradients.to_vec()),
//! );
//! let images = ImageSet::of_floats("two", [1, 1, 2], vec![0.9, 0.1], Some(vec![0]), Vec::new())?;
//! let found = Attack::sqp().untargeted().run(&model, &images)?;
//! assert_eq!(found[0].prediction, 1);
//! assert!((found[0].l2 - 0.8 / 2f64.sqrt()).abs() < 1e-3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Overview
//!
//! | type | what it does | in the paper |
//! |---|---|---|
//! | [`Model`] | a network with its preprocessing, input box, class names and hash | |
//! | [`ImageSet`] | images of one shape with their labels, in memory or in files | |
//! | [`Attack`](search::Attack) | searches for the smallest perturbation that reaches a goal | section 4.1 |
//! | [`OutputGoal`](goals::OutputGoal) | what else than a wrong class is searched for: labels, quantities, embeddings | |
//! | [`Certifier`](certify::Certifier) | radii within which no perturbation changes the answer | section 4.3 |
//! | [`Property`](property::Property) | what a network's outputs must not be over boxes of inputs (VNN-LIB) | |
//! | [`Spectrum`](spectrum::Spectrum) | largest and smallest singular values of each layer | section 4.3 |
//! | [`Units`](units::Units) | images that excite units and random directions the most | section 3 |
//! | [`Universal`](universal::Universal) | one perturbation that fools a model on most images of a set | |
//! | [`Transfer`](transfer::Transfer) | error of networks on each other's adversarial examples | section 4.2 |
//!
//! The paper is "Intriguing properties of neural networks" (Szegedy et al., 2013, arXiv:1312.6199); the
//! crate `blindspot-paper` replicates it.
//!
//! * Classifiers: [`classifier`] says what a search needs of a model, [`classify`] gives outputs,
//!   answers and errors over image sets, [`preprocess`] is what a network wants of its input,
//!   [`rounding`] how much of a lead is rounding noise, [`usual`] whether another preprocessing does better.
//! * Files: [`examples`] keeps adversarial examples as arrays and JSON, [`image_files`] as PNG,
//!   [`range_files`] reads masks and bounds.
//! * Long work: [`run`] has journals that survive a kill, shards, ranks under MPI and monitors.
//! * [`data`] and [`net`] are the crates below: image sets, and networks with their ONNX reader.
//!
//! Each study returns an error type of its own; `kind()` of any of them is an [`ErrorKind`].
//! The same seed gives the same bits, for any number of threads.
//!
//! # The mathematics
//!
//! An attack looks for the smallest r, in the L2 norm, such that x + r lies in the input box and the
//! margin of the wanted class, its logit less the largest other, is positive. The module [`search`]
//! describes how the tool's own search linearises the margins and projects onto them; [`certify`]
//! which bounds on the network's change give a radius. The book in the repository's `docs` folder
//! has the derivations (`docs/design/search.md`, `docs/design/certificates.md`).
//!
//! # Features
//!
//! There are none: everything is always there. Programs to copy are in the `examples` folder of the
//! crate.

pub mod certify;
pub mod examples;
pub mod goals;
pub mod image_files;
pub mod inspect;
pub mod picture;
pub mod prelude;
pub mod property;
pub mod provenance;
pub mod range_files;
mod schema;
pub mod search;
mod stats;
#[cfg(test)]
mod testing;
pub mod transfer;
pub mod units;
pub mod universal;

pub use blindspot_bounds::spectrum;
pub use blindspot_data::{self as data, ErrorKind, ImageSet};
pub use blindspot_model::{
    self as model, Model, ModelError, ModelOptions, classifier, classify, inputs, preprocess,
    rounding, usual,
};
pub use blindspot_net::{self as net, Network};
pub use blindspot_run as run;
