//! Refining: larger certificates for more time.
//!
//! Networks of smooth units get branch and bound on the quadratic bound of the margin
//! ([`curvature`](super::curvature), [`slabs`](super::slabs), and spherical caps with quadratic bounds
//! of their own); networks with ReLUs get branch and bound on these
//! ([`relu_branching`](super::relu_branching)). Each step queries a radius a little beyond the last
//! one. The rounds have budgets that grow fourfold. A certificate that can't be raised is kept, so
//! certificates only grow.

use std::time::Instant;

use blindspot_model::Norm;
use blindspot_model::inputs::{InputError, Inputs};
use blindspot_run::monitor::Monitor;
use rayon::prelude::*;

use super::Certificate;
use super::certifier::Certifier;
use super::curvature::CurvatureBound;
use super::outcome::Outcome;
use super::radius::RadiusSearch;
use super::relu_branching;
use super::verify::{Neighbourhood, Query};
use super::worker::Worker;

/// Rounds of branch and bound, at most.
const ROUNDS: u32 = 9;
/// The slabs, or cuts of the ball, of one query in the first round; each further round has four
/// times as many.
const FIRST_BUDGET: usize = 32;
/// The relative tolerance of the radius that the quadratic bound alone certifies: the steps of
/// branch and bound that follow are no finer.
const QUADRATIC_TOLERANCE: f64 = 5e-2;
/// A query's radius is this much larger than the certificate at first, as a fraction of it.
const FIRST_STEP: f64 = 0.04;
/// The smallest such step.
const LAST_STEP: f64 = 2e-3;

/// How far an image's certificate has been refined.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Progress {
    /// How far beyond the certificate the next query is, as a fraction of it.
    step: f64,
    /// The smallest radius that was given up.
    falsified: f64,
    /// Whether another round may raise the certificate.
    unfinished: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress {
            step: FIRST_STEP,
            falsified: f64::INFINITY,
            unfinished: true,
        }
    }
}

impl Certifier {
    /// Whether [`refine`](Certifier::refine) can raise certificates: for networks with ReLUs, and in
    /// L2 for networks of one or two fully connected layers of sigmoid or tanh units below the last
    /// layer. Not in L0, whose radii are whole numbers.
    pub fn refines(&self) -> bool {
        let has_relus = || self.layers().is_some_and(relu_branching::has_relus);
        self.curvature().is_some() || self.norm != Norm::L0 && has_relus()
    }

    /// Raises certificates of images of `inputs` by branch and bound until `deadline`, or until
    /// nothing more can be gained. Each round goes over all images. If the deadline does not end
    /// it, the same bits come out for any number of threads; otherwise the machine decides how many
    /// radii were tried, and every certificate is sound all the same.
    ///
    /// # Errors
    /// [`InputError`] if an image can't be read.
    pub fn refine(
        &self,
        certificates: &mut [Certificate],
        inputs: &(impl Inputs + ?Sized),
        deadline: Instant,
        monitor: &dyn Monitor,
    ) -> Result<(), InputError> {
        if !self.refines() {
            return Ok(());
        }
        let stop = || monitor.cancelled() || Instant::now() >= deadline;
        let mut waiting: Vec<(&mut Certificate, Progress)> = certificates
            .iter_mut()
            .filter(|certificate| certificate.radius > 0.0)
            .map(|certificate| (certificate, Progress::new()))
            .collect();
        // Round 0 is the quadratic bound's, where certificates don't come with it.
        let comes_with_it = self.curvature().is_none_or(CurvatureBound::is_quick);
        for round in u32::from(comes_with_it)..=ROUNDS {
            waiting.retain(|(_, progress)| progress.unfinished);
            if waiting.is_empty() || stop() {
                break;
            }
            monitor.begin(&format!("refine, round {round}"), waiting.len() as u64);
            let done = std::sync::atomic::AtomicU64::new(0);
            let each = waiting.par_iter_mut().with_max_len(1);
            let refined: Result<(), InputError> = each.try_for_each_init(
                || {
                    let mut worker = self.worker();
                    worker.set_deadline(Some(deadline));
                    worker
                },
                |worker, (certificate, progress)| {
                    if stop() {
                        return Ok(());
                    }
                    let mut image = vec![0.0; self.input_len()];
                    inputs.read(certificate.position, &mut image)?;
                    let near = worker.neighbourhood(&image, certificate.label);
                    let radius = &mut certificate.radius;
                    if round == 0 {
                        worker.raise_by_quadratic_bound(radius, &near, &stop);
                    } else {
                        let budget = FIRST_BUDGET << (2 * (round - 1));
                        worker.raise_by_branching(radius, progress, &near, budget, &stop);
                    }
                    let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    monitor.progress(done, "");
                    Ok(())
                },
            );
            monitor.end();
            refined?;
        }
        Ok(())
    }
}

impl Worker<'_> {
    /// Raises a certified radius by the quadratic bound alone.
    pub(super) fn raise_by_quadratic_bound(
        &mut self,
        radius: &mut f64,
        near: &Neighbourhood,
        stop: &(dyn Fn() -> bool + Sync),
    ) {
        let Some(nearest) = near.runners_up.first() else {
            return;
        };
        let search = RadiusSearch {
            margin_at_zero: nearest.margin,
            first: (1.2 * *radius).max(0.6 * nearest.distance),
            linear_root: nearest.distance,
            max: near.domain.max_norm(),
            tolerance: QUADRATIC_TOLERANCE,
        };
        let found = search.run(|radius| {
            if stop() {
                f64::NEG_INFINITY
            } else {
                self.quadratic_margin(near, radius)
            }
        });
        *radius = radius.max(found);
    }

    /// Raises a certified radius by branch and bound, until a query takes more than `budget`.
    pub(super) fn raise_by_branching(
        &mut self,
        certified: &mut f64,
        progress: &mut Progress,
        near: &Neighbourhood,
        budget: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) {
        let max_norm = near.domain.max_norm();
        while progress.unfinished && !stop() {
            let reached = *certified;
            if reached >= max_norm {
                progress.unfinished = false;
                return;
            }
            let middle = 0.5 * (reached + progress.falsified);
            let most = middle.min(max_norm * (1.0 + 1e-9));
            let radius = (reached * (1.0 + progress.step)).min(most);
            if radius < reached * (1.0 + 0.999 * LAST_STEP) {
                progress.unfinished = false;
                return;
            }
            let query = Query {
                near,
                radius,
                budget,
                stop,
            };
            match self.verify(&query) {
                Outcome::Verified => {
                    *certified = radius;
                    progress.step *= 1.5;
                }
                Outcome::Falsified => progress.falsified = radius,
                Outcome::Unknown => {
                    progress.step = (0.5 * progress.step).max(LAST_STEP);
                    return;
                }
            }
        }
    }
}
