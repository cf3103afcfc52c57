//! Verification queries: does a label keep a positive margin everywhere within a radius? By
//! quadratic bounds and slabs if the network has a curvature bound, by branching on ReLUs
//! otherwise.

use blindspot_net::argmax;

use super::outcome::Outcome;
use super::perturbation_box::PerturbationBox;
use super::propagation::BoundPropagation;
use super::relu_branching::ReluBranching;
use super::slabs::{HalfSpace, SlabBranching};
use super::worker::Worker;

/// The largest number of spherical caps that are cut off one ball, one after another.
const MAX_CAPS: usize = 24;
/// How far from the last cap's plane the next plane is tried, as fractions of what is left of the
/// radius: the first one before which the margin is verified counts.
const CAP_FRACTIONS: [f64; 4] = [0.6, 0.4, 0.25, 0.1];

/// Another class that could win over the label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RunnerUp {
    pub(super) class: usize,
    /// The margin of the label over this class at the image.
    pub(super) margin: f64,
    /// The distance at which the margin would be 0 if the network were linear around the image.
    pub(super) distance: f64,
}

/// An image with what its certificate is about.
pub(super) struct Neighbourhood {
    pub(super) domain: PerturbationBox,
    pub(super) label: usize,
    /// All other classes, the nearest one first.
    pub(super) runners_up: Vec<RunnerUp>,
}

/// The question whether the label keeps a positive margin over all other classes everywhere within
/// `radius` of the image.
pub(super) struct Query<'a> {
    pub(super) near: &'a Neighbourhood,
    pub(super) radius: f64,
    /// How many slabs, or how many cuts of the ball, it may take.
    pub(super) budget: usize,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
}

impl Worker<'_> {
    /// A lower bound of the smallest margin within a radius, by the quadratic bounds alone.
    pub(super) fn quadratic_margin(&mut self, near: &Neighbourhood, radius: f64) -> f64 {
        let (Some(curvature), Some(propagation)) =
            (self.certifier.curvature(), &mut self.propagation)
        else {
            return f64::NEG_INFINITY;
        };
        let domain = &near.domain;
        let Some(relaxed) = propagation.relax(domain, radius) else {
            return f64::NEG_INFINITY;
        };
        let expansion = curvature.expand(domain, radius, &relaxed);
        let mut least = f64::INFINITY;
        for other in &near.runners_up {
            let quadratic = curvature.margin(&expansion, near.label, other.class);
            if curvature.quick_margin(&quadratic, domain, radius) > least {
                continue;
            }
            let margin = match curvature.axes(&quadratic) {
                Some(axes) => SlabBranching::new(&quadratic, &axes, domain, radius).margin(),
                None => f64::NEG_INFINITY,
            };
            least = least.min(if margin.is_nan() {
                f64::NEG_INFINITY
            } else {
                margin
            });
        }
        least
    }

    /// Answers a query by branch and bound.
    pub(super) fn verify(&mut self, query: &Query<'_>) -> Outcome {
        let Some(curvature) = self.certifier.curvature() else {
            return self.verify_by_relus(query);
        };
        let Query { near, radius, .. } = *query;
        let domain = &near.domain;
        let Some(propagation) = &mut self.propagation else {
            return Outcome::Falsified;
        };
        let Some(relaxed) = propagation.relax(domain, radius) else {
            return Outcome::Falsified;
        };
        let expansion = curvature.expand(domain, radius, &relaxed);
        let mut budget = query.budget;
        for other in &near.runners_up {
            let quadratic = curvature.margin(&expansion, near.label, other.class);
            if curvature.quick_margin(&quadratic, domain, radius) > 0.0 {
                continue;
            }
            let Some(axes) = curvature.axes(&quadratic) else {
                return Outcome::Unknown;
            };
            let mut slabs = SlabBranching::new(&quadratic, &axes, domain, radius);
            let outcome = slabs.verify(&mut budget, query.stop);
            if outcome == Outcome::Verified {
                continue;
            }
            if self.verify_by_caps(query, other.class) != Some(true) {
                return outcome;
            }
        }
        Outcome::Verified
    }

    /// Answers a query about a network with ReLUs.
    fn verify_by_relus(&mut self, query: &Query<'_>) -> Outcome {
        let near = query.near;
        let (Some(propagation), evaluator) = (&mut self.propagation, &mut self.evaluator) else {
            return Outcome::Falsified;
        };
        let Some(mut branching) = ReluBranching::new(propagation, &near.domain, query.radius)
        else {
            return Outcome::Falsified;
        };
        let classes = self.certifier.classes();
        let mut margins = vec![0.0; near.runners_up.len() * classes];
        for (margin, other) in margins.chunks_exact_mut(classes).zip(&near.runners_up) {
            (margin[near.label], margin[other.class]) = (1.0, -1.0);
        }
        let falsifies = |perturbation: &[f64]| {
            let values = near.domain.image.iter().zip(perturbation);
            let values = values.map(|(x, d)| x + d);
            let input = evaluator.input(1).iter_mut();
            input.zip(values).for_each(|(place, x)| *place = x);
            argmax(evaluator.forward()) != near.label
        };
        branching.verify(&margins, query.budget, falsifies, query.stop)
    }

    /// Whether the label keeps a positive margin over one class, by quadratic bounds of ever
    /// smaller spherical caps of the ball; None if no plane is found, or no bound.
    ///
    /// For a perturbation c with the direction p, no point of the ball beyond the plane p d = |c|
    /// is farther than sqrt(r^2 - |c|^2) from c. So the ball is cut by that plane, across the
    /// direction in which the margin's bound is the lowest. The bound so far has to verify what is
    /// before the plane; for the cap beyond it, a bound expanded around c is tighter. The cap is
    /// cut again in the same way.
    fn verify_by_caps(&mut self, query: &Query<'_>, other: usize) -> Option<bool> {
        let Query {
            near, radius, stop, ..
        } = *query;
        let curvature = self.certifier.curvature()?;
        let propagation: &mut BoundPropagation<'_> = self.propagation.as_mut()?;
        let mut centre = vec![0.0; near.domain.image.len()];
        let mut from = 0.0;
        for _ in 0..MAX_CAPS {
            // Slightly more than the exact value.
            let left = radius * radius * (1.0 + 1e-12) - from * from;
            let reach = left.max(0.0).sqrt() * (1.0 + 1e-9);
            let there = near.domain.moved(&centre);
            let relaxed = propagation.relax(&there, reach)?;
            let expansion = curvature.expand(&there, reach, &relaxed);
            let quadratic = curvature.margin(&expansion, near.label, other);
            let axes = curvature.axes(&quadratic)?;
            let cap = |before: Option<&[f64]>| {
                let beyond = (from > 0.0).then(|| HalfSpace::at(&centre, true));
                let before = before.map(|perturbation| HalfSpace::at(perturbation, false));
                let half_spaces = beyond.into_iter().chain(before).collect();
                SlabBranching::new(&quadratic, &axes, &near.domain, radius).around(
                    &centre,
                    reach,
                    half_spaces,
                )
            };
            let mut whole = cap(None);
            if whole.margin() > 0.0 {
                return Some(true);
            }
            let lowest = whole.point();
            let far = lowest.iter().map(|d| d * d).sum::<f64>().sqrt();
            let next = CAP_FRACTIONS.iter().find_map(|fraction| {
                let to = from + fraction * (radius - from);
                if stop() || to >= far {
                    return None;
                }
                let perturbation: Vec<f64> = lowest.iter().map(|d| d * to / far).collect();
                (cap(Some(&perturbation)).margin() > 0.0).then_some((perturbation, to))
            });
            (centre, from) = next?;
        }
        Some(false)
    }
}
