//! Certified radii: for each image a distance within which no perturbation in the input box changes
//! the model's answer, in L2, Linf, L1 or L0 ([`Certifier::norm`]).
//!
//! A search for adversarial examples bounds an image's distance to the decision boundary from
//! above; a certificate bounds it from below. [`Certifier`] makes certificates.
//!
//! ```
//! use blindspot_bounds::certify::Certifier;
//! use blindspot_data::ImageSet;
//! use blindspot_model::Model;
//! use blindspot_net::{Graph, Network, Op, Operand, ops::Gemm};
//!
//! // The logits of an image (x, y) are (x + y, 1): it is of class 0 if x + y > 1.
//! let mut graph = Graph::new("image", &[2])?;
//! let weights = Operand::Weight(graph.weight("weights", &[2, 2])?);
//! let biases = Operand::Weight(graph.weight("biases", &[2])?);
//! let image = Operand::Value(graph.input());
//! let layer = Op::Gemm(Gemm { trans_b: false });
//! graph.node("layer", layer, &[image, weights, biases], "logits")?;
//! let network = Network::new(graph, vec![vec![1.0, 0.0, 1.0, 0.0], vec![0.0, 1.0]])?;
//!
//! let model = Model::from_network(network)?;
//! // One white pixel beside another, as bytes.
//! let images = ImageSet::new("white", [1, 1, 2], vec![255, 255], Some(vec![0]), Vec::new())?;
//! let radii = Certifier::new(&model)?.certify(&images)?;
//! // The boundary passes (0.5, 0.5).
//! assert!((radii[0].radius - 0.5_f64.sqrt()).abs() < 1e-6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a certificate says
//!
//! Let z be the logits of the network. A certificate of an image x with the label c says that
//!
//! ```text
//! min over k != c of  z_c(x + d) - z_k(x + d)  >  0    if |d| < radius and x + d is in the box,
//! ```
//!
//! in the certifier's norm. The left side is the **margin**. All computation is in f64, every step subtracts a bound of its
//! own rounding error, and overflow certifies nothing. The perturbed images need not be images of 8
//! bits, or even of f32. An image that is misclassified has the radius 0.
//!
//! What z is has two readings ([`Arithmetic`]), and by default a certificate holds in both:
//!
//! - in **exact** arithmetic on the numbers of the model's file
//!   ([`ExactNetwork`](blindspot_net::ExactNetwork)), before any of them is rounded to f32;
//! - in that of **any runtime**, which computes in f32 with its sums in whatever order, and keeps
//!   values in half precision or bfloat16 where the file does. A bound of all its rounding errors
//!   within the ball is taken off the margin. (Not of algorithms that are no sums of products, such
//!   as Winograd's convolutions, nor of formats that the file does not have, such as TF32.)
//!
//! An image to which some runtime may answer otherwise as it is has the radius 0 in both.
//!
//! # The product of the layers' bounds
//!
//! Section 4.3 of the paper: a linear layer amplifies a perturbation by at most its largest
//! singular value ([`spectrum`](crate::spectrum)), an activation by at most its Lipschitz constant
//! (1/4 for the logistic function, 1 for ReLU and tanh), and so the layers below the last one by at
//! most the product L. With the last layer's rows w, no perturbation smaller than
//!
//! ```text
//! min over k of  (z_c(x) - z_k(x)) / (|w_c - w_k| L)
//! ```
//!
//! changes the answer. This radius is [`Certificate::lipschitz`]; it is tiny for deep networks. In
//! other norms it is one whose ball lies in the L2 ball: the same in L1, the root of the number of
//! values smaller in Linf, and in L0 as many whole changes as the L2 ball holds.
//!
//! # Linear relaxation
//!
//! Within a ball of radius r, every unit's input lies in an interval, and on an interval a line
//! below and a line above bound the unit: the chord and 0 or the identity for an unstable ReLU (one
//! whose input can have both signs; an active unit is the identity and an inactive one is 0),
//! tangents and chords for sigmoid, tanh and other functions in convex and concave pieces, from
//! LeakyReLU to GELU and Mish, a chord for each input of a max pooling, parallel lines for a product
//! of two computed numbers. If each unit is replaced by the line that makes the margin smaller, the
//! margin is bounded below by a linear function of d (CROWN, Zhang et al. 2018). Its minimum over the
//! ball *and* the box has a closed form but for one multiplier, and any multiplier gives a bound: in
//! Linf each value moves as far as ball and box let it, in L1 and L0 those that count most are taken
//! first (a fractional knapsack). The intervals come from the same bounds of the layers below. The
//! largest r at which the bound is positive is found by inverse interpolation; every radius returned
//! was verified.
//!
//! Skip connections and parallel branches need nothing special: a value that is needed again passes
//! beside the activation. If the network is affine, the radius is exact.
//!
//! # Curvature
//!
//! Lines let all units be at their worst at once, though no input does that. For one or two fully
//! connected layers of sigmoid or tanh units, each unit also has a parabola below it, and together
//! they give
//!
//! ```text
//! margin(x + d)  >=  margin(x) + a·d - d'Md / 2
//! ```
//!
//! with the gradient a at the image and a positive semidefinite M. What counts is M's largest
//! eigenvalue, where linear bounds pay for its trace. It is of use in L2. Up to 512 units of the first
//! layer, every certificate comes with it.
//!
//! # Refining: branch and bound
//!
//! More time buys larger radii ([`Certifier::time_limit`], [`Certifier::refine`]); small networks with
//! ReLUs get a few branchings in any case. A query asks
//! whether the margin is positive within a given radius, and ends as *verified*, *falsified* or
//! *unknown*, as in the verification literature.
//!
//! - **Slabs.** The ball is cut across the axes of M with the largest eigenvalues. In a slab, the
//!   square of a coordinate is below its chord, which leaves a smaller eigenvalue to pay for.
//! - **Spherical caps.** If slabs fail, a plane cuts off the cap of the ball where the margin's
//!   bound is the lowest. The cap lies in a smaller ball around its own centre, whose curvature
//!   bound is tighter, and so on.
//! - **ReLUs.** The line below an unstable ReLU may have any slope from 0 to 1, and the best one
//!   depends on the function that is bounded. A subproblem fixes some units as active or inactive;
//!   these conditions enter the bound with multipliers (beta-CROWN, Wang et al. 2021). Slopes and
//!   multipliers are improved by gradient steps, and the next subproblems fix the unit whose
//!   relaxation is the loosest.
//!
//! # References
//!
//! - Szegedy et al., *Intriguing properties of neural networks*, 2014, section 4.3.
//! - Zhang, Weng, Chen, Hsieh and Daniel, *Efficient neural network robustness certification with
//!   general activation functions* (CROWN), 2018.
//! - Singla and Feizi, *Second-order provable defenses against adversarial attacks* (bounds by
//!   curvature), 2020.
//! - Wang et al., *Beta-CROWN: efficient bound propagation with per-neuron split constraints*,
//!   2021.
//! - Higham, *Accuracy and stability of numerical algorithms*, 2nd edition, 2002 (the rounding).

mod activation;
mod affine;
mod arithmetic;
mod ball;
mod certifier;
mod cost;
mod curvature;
mod curve;
mod decrease;
mod ends;
mod envelope;
mod error;
mod first_layer;
mod gates;
mod interval;
mod layer_relaxation;
mod lipschitz;
mod lowered;
mod magnitude;
mod outcome;
mod part;
mod perturbation_box;
mod products;
mod propagation;
mod radius;
mod refine;
mod regions;
mod relaxation;
mod relu_branching;
mod slabs;
mod smooth;
mod subproblem;
#[cfg(test)]
mod tests;
mod verify;
mod worker;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use arithmetic::Arithmetic;
pub use certifier::{Certifier, MAX_TIME};
pub use ends::Ends;
pub use error::CertifyError;
pub use regions::{Claim, Gap, Proof, ProofLimits, Prover, RegionCertifier};

/// An image's certified radius. It is displayed as the radius, as in `{:.4}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The image's position in the set that was certified.
    pub position: usize,
    /// The image's index in the data set that this set was chosen from
    /// ([`Inputs::index`](blindspot_model::inputs::Inputs::index)).
    pub index: usize,
    /// The image's true class.
    pub label: usize,
    /// The certified radius: the network answers `label` to every image of the box within this
    /// distance, and in L0 to every one that differs in fewer values. 0 if the network misclassifies the image itself, or a runtime's rounding may make
    /// it, or the image is outside of the box.
    pub radius: f64,
    /// The radius that the product of the layers' bounds certifies by itself; None if the network
    /// has no such bound.
    pub lipschitz: Option<f64>,
}

impl Certificate {
    /// The certificate, or one of 0 where the model as it is used does not answer the label to the
    /// image itself, whatever the bounds say.
    #[must_use]
    pub fn of_answer(self, is_right: bool) -> Certificate {
        if is_right {
            self
        } else {
            Certificate {
                radius: 0.0,
                lipschitz: self.lipschitz.map(|_| 0.0),
                ..self
            }
        }
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.radius.fmt(f)
    }
}
