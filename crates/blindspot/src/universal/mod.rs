//! Universal perturbations: one change for a whole set of images that fools a classifier on most of them.
//!
//! Moosavi-Dezfooli et al. ("Universal adversarial perturbations", CVPR 2017) found that a single small delta, added to
//! nearly any image, changes the answer. [`Universal`] looks for the delta of a given norm that fools the largest share
//! of images, or for the smallest one that fools a given share. It is judged on images that it was not found on, and by
//! other classifiers.
//!
//! ```
//! use blindspot::classifier::FnClassifier;
//! use blindspot::inputs::InMemory;
//! use blindspot::run::monitor::Unwatched;
//! use blindspot::universal::{FoolingShare, Universal};
//!
//! // Two classes of points of the unit square; the boundary between them is x = y.
//! let classifier = FnClassifier::new(
//!     &[2],
//!     2,
//!     |inputs: &[f32]| Ok(inputs.to_vec()),
//!     |_inputs: &[f32], output_gradients: &[f32]| Ok(output_gradients.to_vec()),
//! );
//! let images = InMemory::new(vec![0.6, 0.5, 0.7, 0.3, 0.6, 0.3], 2);
//! let labels = [0; 3];
//!
//! let search = Universal::fooling(1.0);
//! let found = search.run_watched(&classifier, &images, &labels, &Unwatched)?;
//! // The farthest point decides: 0.4 / sqrt(2).
//! assert!((found.norm - 0.4 / 2f64.sqrt()).abs() < 1e-4);
//! let verdicts = found.judge(&classifier, &images, &labels, &Unwatched)?;
//! assert_eq!(FoolingShare::of(&verdicts, None).unwrap().share, 1.0);
//! # Ok::<(), blindspot::universal::UniversalError>(())
//! ```
//!
//! # The method
//!
//! The share of images fooled is a step function of delta, so something smooth is climbed in its place, twice. A step
//! goes along the steepest direction of the norm (the gradient in L2, its signs in Linf), its length falls as the climb
//! goes on, and delta is moved back into the ball after it.
//!
//! First, by steps of 16 images without momentum, the cross entropy of what fools, `-ln(1 - p)`, with `p` what a softmax
//! of the logits gives to it at a temperature of 0.2 times the mean absolute margin: images that are fooled go on
//! counting, until their margin is as large as that mean, and those far from it hardly count. Perturbations found so
//! fool more images that were not seen (noise in the steps helps, momentum does not). Then, by steps of 128 images with
//! momentum, the mean of
//!
//! ```text
//! 1 / (1 + exp(-margin(clip(x + delta)) / temperature))
//! ```
//!
//! with a temperature that falls to 0.05 times the mean absolute margin: images near the boundary count most, and as many
//! as can be of those that were seen are fooled in the end.
//!
//! Climbs begin in the direction in which margins rise at the images as they are, for any wrong class and for each of
//! the likeliest ones (universal perturbations drive most images to few classes), and in a random one. All of these race,
//! as the class that most images can be driven to shows only on the way: each climbs on either half of the images, judged
//! by the other half; the best three race again on other halves, and the winner climbs on, on all images. What counts is
//! the delta with which most images are fooled.
//!
//! Where the norm is to be small, it is adapted while the climb goes on: were margins straight lines from no delta to
//! this one, there is a norm at which the share asked for would just be fooled, and that is the next one, at most a quarter
//! larger or a fifth smaller. At the end
//! delta is shortened along its ray until it fools just that share, by margins that exceed the [rounding
//! noise](crate::rounding).

mod ball;
mod builder;
mod climb;
mod error;
mod field;
mod files;
mod judge;
mod options;
mod race;
mod search;
mod starts;
mod sure;
#[cfg(test)]
mod tests;

pub use builder::{Universal, UniversalPerturbation};
pub use error::UniversalError;
pub use files::{About, HeldOut, Record, Shares, Summary, write_record, write_universal};
pub use judge::{FoolingShare, Verdict, halves, judge};
pub use options::{Aim, UniversalOptions};
pub use search::Ended;
