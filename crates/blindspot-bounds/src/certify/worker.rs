//! Certifies one image after the other, with the memory of one thread.

use std::time::Instant;

use blindspot_model::{InputBox, Norm};
use blindspot_net::{Evaluator, ValueId, argmax};

use super::arithmetic::{Arithmetic, Rounding};
use super::certifier::Certifier;
use super::curvature::CurvatureBound;
use super::decrease::dual_norm;
use super::perturbation_box::PerturbationBox;
use super::propagation::{BoundPropagation, EndRounding};
use super::radius::RadiusSearch;
use super::refine::Progress;
use super::verify::{Neighbourhood, RunnerUp};

/// The relative tolerance of the radius that linear bounds certify.
const TOLERANCE: f64 = 5e-3;
/// The relative tolerance if the network is affine: then the bounds are exact.
const AFFINE_TOLERANCE: f64 = 1e-10;
/// The relative tolerance of the radius that intervals certify, which is small in any case.
const INTERVAL_TOLERANCE: f64 = 2e-2;
/// The radius that is tried first with intervals, as a part of that at which a linear network would
/// answer otherwise.
const FIRST_BY_INTERVALS: f64 = 0.02;
/// The subproblems of one query of branch and bound on ReLUs where no time is given.
const BRANCHES_AT_ONCE: usize = 8;
/// The steps of propagating all margins up to which a network is branched on where no time is given.
const MAX_STEPS_AT_ONCE: f64 = (1 << 21) as f64;

/// What is certified of one image, as in a [`Certificate`](super::Certificate).
pub(super) struct Radii {
    pub(super) radius: f64,
    pub(super) lipschitz: Option<f64>,
}

/// The memory of one thread.
pub(super) struct Worker<'c> {
    pub(super) certifier: &'c Certifier,
    pub(super) evaluator: Evaluator<'c, f64>,
    pub(super) propagation: Option<BoundPropagation<'c>>,
}

impl Worker<'_> {
    /// Certifies an image. With a deadline the cheap bounds come first and are kept where it ends what
    /// is better: the product of the layers' bounds, which the deadline does not end, then intervals.
    pub(super) fn certify(
        &mut self,
        image: &[f32],
        label: usize,
        deadline: Option<Instant>,
    ) -> Radii {
        self.set_deadline(deadline);
        let certifier = self.certifier;
        let logits = self.logits(image);
        // Nothing is certified around an image that is misclassified, maybe so in a runtime, or
        // outside of the box.
        let inside = certifier.has_inside(image);
        if argmax(&logits) != label || !inside || !self.is_certain(image, &logits, label) {
            return Radii {
                radius: 0.0,
                lipschitz: certifier.lipschitz.as_ref().ok().map(|_| 0.0),
            };
        }
        let lipschitz = self.lipschitz_radius(&logits, label, certifier.arithmetic);
        let cheap = match deadline {
            Some(_) => self.interval_radius(image, &logits, label),
            None => 0.0,
        };
        let near = self.neighbourhood_of(image, &logits, label);
        let linear = self.linear_radius(&near);
        let radius = linear.max(cheap).max(lipschitz.unwrap_or(0.0));
        let radius = self.raised_at_once(&near, radius, deadline);
        Radii {
            radius: certifier.as_radius(radius),
            lipschitz: lipschitz.map(|radius| certifier.as_radius(radius)),
        }
    }

    /// Whether any runtime answers `label` to the image itself, whose logits were computed last.
    fn is_certain(&mut self, image: &[f32], logits: &[f64], label: usize) -> bool {
        let runtime = Arithmetic::Runtime;
        if self
            .lipschitz_radius(logits, label, runtime)
            .is_some_and(|radius| radius > 0.0)
        {
            return true;
        }
        let domain = self.certifier.domain(image);
        self.set_arithmetic(runtime);
        let propagation = self.propagation.as_mut();
        let is_certain = propagation.is_some_and(|propagation| {
            propagation.interval_margin(&domain, label, 0.0) > 0.0
                || propagation.margin(&domain, label, 0.0) > 0.0
        });
        self.set_arithmetic(self.certifier.arithmetic);
        is_certain
    }

    /// Ends all linear bounds and intervals at this time.
    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        if let Some(propagation) = &mut self.propagation {
            propagation.set_deadline(deadline);
        }
    }

    pub(super) fn set_arithmetic(&mut self, arithmetic: Arithmetic) {
        if let Some(propagation) = &mut self.propagation {
            propagation.set_rounding(match arithmetic {
                Arithmetic::Runtime => Some(self.certifier.runtime),
                Arithmetic::Exact => None,
            });
        }
    }

    /// The radius by the Lipschitz constants alone around the image whose logits were computed last;
    /// None if the network has none. The constants are of L2 norms: in another norm it is a radius
    /// whose ball lies in the L2 ball.
    fn lipschitz_radius(
        &self,
        logits: &[f64],
        label: usize,
        arithmetic: Arithmetic,
    ) -> Option<f64> {
        let certifier = self.certifier;
        let lipschitz = certifier.lipschitz.as_ref().ok()?;
        let norm = |id: &ValueId| {
            let squares = self.evaluator.value(*id).iter().map(|x| x * x);
            squares.sum::<f64>().sqrt()
        };
        let norms: Vec<f64> = certifier.values.iter().map(norm).collect();
        let EndRounding { rounding, end } = certifier.runtime;
        let (rounding, end) = match arithmetic {
            Arithmetic::Runtime => (rounding, end),
            Arithmetic::Exact => (Rounding::DOUBLE, 0.0),
        };
        let radius = lipschitz.radius(&norms, logits, label, &rounding, end);
        Some(certifier.within_l2(radius))
    }

    /// The radius by intervals around an image that is classified right; 0 without any.
    fn interval_radius(&mut self, image: &[f32], logits: &[f64], label: usize) -> f64 {
        let others = (0..logits.len()).filter(|&class| class != label);
        let nearest = others.max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
        let nearest = nearest.map(|class| self.runner_up(logits, label, class));
        let (Some(propagation), Some(nearest)) = (&mut self.propagation, nearest) else {
            return 0.0;
        };
        let domain = self.certifier.domain(image);
        let search = RadiusSearch {
            margin_at_zero: nearest.margin,
            first: FIRST_BY_INTERVALS * nearest.distance,
            linear_root: nearest.distance,
            max: domain.max_norm(),
            tolerance: INTERVAL_TOLERANCE,
        };
        search.run(|radius| propagation.interval_margin(&domain, label, radius))
    }

    /// The radius by linear bounds around an image that is classified right; 0 without any.
    pub(super) fn linear_radius(&mut self, near: &Neighbourhood) -> f64 {
        let Neighbourhood {
            domain,
            label,
            runners_up,
        } = near;
        let label = *label;
        let propagation = self.propagation.as_mut();
        let Some(propagation) = propagation.filter(|propagation| !propagation.is_late()) else {
            return 0.0;
        };
        let least = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(f64::INFINITY, f64::min);
        let nearest = least(&mut runners_up.iter().map(|other| other.distance));
        let is_affine = propagation.layers().activations.is_empty();
        let search = RadiusSearch {
            margin_at_zero: least(&mut runners_up.iter().map(|other| other.margin)),
            first: 0.45 * nearest,
            linear_root: nearest,
            max: domain.max_norm(),
            tolerance: if is_affine {
                AFFINE_TOLERANCE
            } else {
                TOLERANCE
            },
        };
        let found = search.run(|radius| propagation.margin(domain, label, radius));
        let next = found.floor() + 1.0;
        if domain.norm == Norm::L0 && propagation.margin(domain, label, next) > 0.0 {
            return next;
        }
        found
    }

    /// What better bounds make of a radius by the deadline, or in some milliseconds if there is none: the quadratic
    /// bound, or on a small network with ReLUs a few branchings. The same bits come out if no deadline ends it.
    fn raised_at_once(
        &mut self,
        near: &Neighbourhood,
        mut radius: f64,
        deadline: Option<Instant>,
    ) -> f64 {
        let certifier = self.certifier;
        let stop = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if radius <= 0.0 || stop() {
            return radius;
        }
        let margins = certifier.network.graph().steps() * certifier.classes() as f64;
        let curvature = certifier.curvature();
        if curvature.is_some_and(CurvatureBound::is_quick) {
            self.raise_by_quadratic_bound(&mut radius, near, &stop);
        } else if curvature.is_none() && certifier.refines() && margins <= MAX_STEPS_AT_ONCE {
            let budget = BRANCHES_AT_ONCE;
            self.raise_by_branching(&mut radius, &mut Progress::new(), near, budget, &stop);
        }
        radius
    }

    /// What a query about an image needs.
    pub(super) fn neighbourhood(&mut self, image: &[f32], label: usize) -> Neighbourhood {
        let logits = self.logits(image);
        self.neighbourhood_of(image, &logits, label)
    }

    /// What a query about an image needs, with its logits, which were computed last.
    fn neighbourhood_of(&mut self, image: &[f32], logits: &[f64], label: usize) -> Neighbourhood {
        let mut runners_up = self.runners_up(logits, label);
        runners_up.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        Neighbourhood {
            domain: self.certifier.domain(image),
            label,
            runners_up,
        }
    }

    fn logits(&mut self, image: &[f32]) -> Vec<f64> {
        let input = self.evaluator.input(1).iter_mut();
        input
            .zip(image)
            .for_each(|(x, &value)| *x = f64::from(value));
        self.evaluator.forward().to_vec()
    }

    /// All other classes at the image whose logits were computed last, in their order.
    fn runners_up(&mut self, logits: &[f64], label: usize) -> Vec<RunnerUp> {
        let others = (0..logits.len()).filter(|&class| class != label);
        others
            .map(|class| self.runner_up(logits, label, class))
            .collect()
    }

    /// Another class at the image whose logits were computed last.
    fn runner_up(&mut self, logits: &[f64], label: usize, class: usize) -> RunnerUp {
        let mut direction = vec![0.0; logits.len()];
        (direction[label], direction[class]) = (1.0, -1.0);
        let gradient = self.evaluator.backward(&direction);
        let slope = dual_norm(self.certifier.norm, gradient) * self.certifier.unit();
        let margin = logits[label] - logits[class];
        RunnerUp {
            class,
            margin,
            distance: margin / slope,
        }
    }
}

impl Certifier {
    fn domain(&self, image: &[f32]) -> PerturbationBox {
        let domain = match &self.ranges {
            Some([lower, upper]) => PerturbationBox::within(image, lower, upper),
            None => {
                let InputBox { lower, upper } = self.input_box;
                PerturbationBox::new(image, lower, upper)
            }
        };
        domain.in_norm(self.norm)
    }

    /// Whether an image lies in the box and the ranges.
    fn has_inside(&self, image: &[f32]) -> bool {
        let InputBox { lower, upper } = self.input_box;
        let in_range = |[lower, upper]: &[Vec<f64>; 2]| {
            let mut ends = image.iter().zip(lower.iter().zip(upper));
            ends.all(|(&x, (lower, upper))| (*lower..=*upper).contains(&f64::from(x)))
        };
        image.iter().all(|x| (lower..=upper).contains(x))
            && self.ranges.as_ref().is_none_or(in_range)
    }

    /// How far a value may move for a unit of the norm.
    fn unit(&self) -> f64 {
        match self.norm {
            Norm::L2 | Norm::Linf | Norm::L1 => 1.0,
            Norm::L0 => f64::from(self.input_box.upper) - f64::from(self.input_box.lower),
        }
    }

    /// A radius in the certifier's norm whose ball lies in the L2 ball of this radius.
    fn within_l2(&self, radius: f64) -> f64 {
        // More than the rounding of root, quotient and square.
        let inward = 1.0 - 1e-15;
        match self.norm {
            Norm::L2 | Norm::L1 => radius,
            Norm::Linf => inward * radius / (self.input_len() as f64).sqrt(),
            Norm::L0 => inward * (radius / self.unit()).powi(2),
        }
    }

    /// What a certificate says where the answer is the label's within `radius`: in L0 how many changes
    /// it takes at least.
    fn as_radius(&self, radius: f64) -> f64 {
        match self.norm {
            Norm::L2 | Norm::Linf | Norm::L1 => radius,
            Norm::L0 => (radius / self.channels as f64).floor() + 1.0,
        }
    }
}
