//! Claims about boxes of inputs: that of some numbers of a network's output one is above 0, whatever the
//! input in the box.
//!
//! Linear bounds of these numbers are made over the whole box. Where they don't prove the claim, the box
//! is cut in two across one of its sides, and so on, depth first, so that few parts wait at a time. The
//! side is the one along which the linear functions that bound the numbers fall the most. That proves any
//! true claim in the end where few inputs vary, as cut boxes become small; where many do, and the network
//! has ReLUs, these are branched on instead ([`relu_branching`](super::relu_branching)).
//!
//! What a runtime rounds is taken off as for certificates. So a claim that holds by less than that, at any
//! input, can be neither proved nor refuted: the search meets such an input and ends there.

mod parts;

use std::time::Instant;

use blindspot_model::{ExactModel, Model, Norm};
use blindspot_net::{Evaluator, ExactNetwork, Network};
use rayon::prelude::*;

use self::parts::{Branched, Examined, Part, Worker};
use super::CertifyError;
use super::affine::AffineLayers;
use super::arithmetic::{Arithmetic, Rounding};
use super::certifier::{Preparation, check_weights, exact, layers, left};
use super::first_layer::FirstLayer;
use super::propagation::{BoundPropagation, EndRounding};
use super::relu_branching;

/// Parts of a box that are bounded at a time, whatever the number of threads.
const BATCH: usize = 64;
/// Up to so many inputs that vary, boxes are cut although there are ReLUs to branch on.
const MAX_CUT_INPUTS: usize = 16;
/// The numbers that waiting parts hold at most: 128 MB.
const MAX_NUMBERS: usize = 1 << 24;

/// A box of inputs, and what is claimed of it: at each of its inputs every clause has a number above 0.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The smallest value of each input.
    pub lower: &'a [f64],
    /// The largest value of each input, no smaller than that of `lower`.
    pub upper: &'a [f64],
    /// The positions, among the network's outputs, of each clause's numbers.
    pub clauses: &'a [Vec<usize>],
}

/// What a proof may take.
pub struct ProofLimits<'a> {
    /// When it ends; never, if None.
    pub deadline: Option<Instant>,
    /// How many parts of boxes may still be bounded; what was used is taken off. Branching on ReLUs may take as many
    /// subproblems, which are not.
    pub parts: u64,
    /// Whether the work is to stop.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl ProofLimits<'_> {
    fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Why the work ends now, if it does.
    fn ended(&self) -> Option<Gap> {
        if (self.cancelled)() {
            Some(Gap::Cancelled)
        } else if self.is_late() {
            Some(Gap::Time)
        } else {
            (self.parts == 0).then_some(Gap::Parts)
        }
    }
}

/// How a claim ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Proof {
    /// It holds.
    Holds,
    /// No number of one of its clauses is above 0 at this input.
    Refuted(Vec<f64>),
    /// It is neither proved nor refuted. At the input, if there is one, some clause has no number that is
    /// above 0 by more than rounding.
    Undecided(Gap, Option<Vec<f64>>),
}

/// Why a claim is undecided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// The time ran out.
    Time,
    /// The parts ran out, or their memory.
    Parts,
    /// It holds or fails by less than rounding.
    Rounding,
    /// The bounds can't become better.
    Bounds,
    /// The work was cancelled.
    Cancelled,
}

/// Proves claims about one network.
pub struct RegionCertifier {
    network: Network<f64>,
    layers: AffineLayers,
    first: FirstLayer,
    runtime: EndRounding,
    arithmetic: Arithmetic,
}

/// Proves one claim after the other, with the memory of all threads.
pub struct Prover<'c> {
    certifier: &'c RegionCertifier,
    workers: Vec<Worker<'c>>,
}

impl RegionCertifier {
    /// Prepares proofs about the outputs of a small network, the head, behind a model's own outputs, for inputs of
    /// absolute values up to `largest`; by a deadline, if there is one.
    ///
    /// # Errors
    /// [`CertifyError::Late`] if the time runs out, [`CertifyError::Model`] if the model's file can't be read again or the
    /// head doesn't take its outputs, [`CertifyError`] if an operator has no linear bounds, or they take more memory than allowed.
    pub fn new(
        model: &Model,
        head: Network<f64>,
        largest: f64,
        arithmetic: Arithmetic,
        deadline: Option<Instant>,
    ) -> Result<RegionCertifier, CertifyError> {
        let ExactModel { network, .. } = exact(model)?;
        let budget = left(model, &network);
        let whole = ExactNetwork::from(head).after((*network).clone());
        let whole = whole.map_err(|error| CertifyError::Model(error.to_string()))?;
        check_weights(&whole)?;
        let rounding = Rounding::of(model.precision());
        let preparation = Preparation {
            budget: &budget,
            deadline,
        };
        let (layers, mut first) = layers(&whole, largest, &rounding, &preparation)?;
        first.set_norm(&layers.affine[0], Norm::Linf);
        Ok(RegionCertifier {
            network: whole.network().clone(),
            layers,
            first,
            runtime: EndRounding { rounding, end: 0.0 },
            arithmetic,
        })
    }

    /// What proves claims, until a deadline for all of them, if there is one.
    pub fn prover(&self, deadline: Option<Instant>) -> Prover<'_> {
        let count = rayon::current_num_threads();
        let workers = (0..count).map(|_| self.worker(self.arithmetic, deadline));
        Prover {
            certifier: self,
            workers: workers.collect(),
        }
    }

    /// Whether all these outputs, given by their positions, are at most 0 at an input in the arithmetic of any runtime.
    pub fn are_never_positive(&self, point: &[f64], numbers: &[usize]) -> bool {
        self.worker(Arithmetic::Runtime, None)
            .are_never_positive(point, numbers)
    }

    fn worker(&self, arithmetic: Arithmetic, deadline: Option<Instant>) -> Worker<'_> {
        let mut propagation = BoundPropagation::new(&self.layers, &self.first);
        propagation.set_rounding((arithmetic == Arithmetic::Runtime).then_some(self.runtime));
        propagation.set_deadline(deadline);
        Worker {
            evaluator: Evaluator::new(&self.network),
            propagation,
        }
    }
}

impl Prover<'_> {
    /// Proves a claim within limits, or refutes it. `refutes` is asked about inputs at which no number of a clause, given
    /// by its position, is above 0 in exact arithmetic: whether that refutes the claim. The same bits come out for
    /// any number of threads, unless the time runs out.
    pub fn prove(
        &mut self,
        claim: &Claim<'_>,
        limits: &mut ProofLimits<'_>,
        refutes: &mut dyn FnMut(&[f64], usize) -> bool,
    ) -> Proof {
        if let Some(gap) = limits.ended() {
            return Proof::Undecided(gap, None);
        }
        let sides = claim.lower.iter().zip(claim.upper);
        let varying = sides.filter(|(lower, upper)| lower < upper).count();
        if varying > MAX_CUT_INPUTS && relu_branching::has_relus(&self.certifier.layers) {
            self.by_relus(claim, limits, refutes)
        } else {
            self.by_cuts(claim, limits, refutes)
        }
    }

    /// Proves a claim by cutting its box.
    fn by_cuts(
        &mut self,
        claim: &Claim<'_>,
        limits: &mut ProofLimits<'_>,
        refutes: &mut dyn FnMut(&[f64], usize) -> bool,
    ) -> Proof {
        let workers = &mut self.workers;
        let mut waiting = vec![Part::whole(claim)];
        // The smallest number above 0 that was the largest of its clause somewhere: where it is within rounding, no
        // cut helps.
        let mut lowest = f64::INFINITY;
        while !waiting.is_empty() {
            if let Some(gap) = limits.ended() {
                return Proof::Undecided(gap, None);
            }
            let batch = BATCH
                .min(waiting.len())
                .min(limits.parts.try_into().unwrap_or(BATCH));
            let batch = waiting.split_off(waiting.len() - batch);
            limits.parts -= batch.len() as u64;
            let share = batch.len().div_ceil(workers.len());
            let examined: Vec<Vec<Examined>> = workers
                .par_iter_mut()
                .zip(batch.par_chunks(share))
                .map(|(worker, parts)| {
                    parts
                        .iter()
                        .map(|part| worker.examine(part, claim))
                        .collect()
                })
                .collect();
            if limits.is_late() {
                // Bounds that came too late say nothing.
                return Proof::Undecided(Gap::Time, None);
            }
            for (part, found) in batch.into_iter().zip(examined.into_iter().flatten()) {
                for (&clause, &largest) in found.clauses.iter().zip(&found.largest) {
                    let is_refuted = largest <= 0.0;
                    if is_refuted && refutes(&found.point, clause as usize) {
                        return Proof::Refuted(found.point);
                    }
                    if is_refuted || largest < 0.5 * lowest {
                        let numbers = &claim.clauses[clause as usize];
                        if is_refuted || !workers[0].is_provable_at(&found.point, numbers) {
                            let gap = if limits.is_late() {
                                Gap::Time
                            } else {
                                Gap::Rounding
                            };
                            return Proof::Undecided(gap, Some(found.point));
                        }
                        lowest = largest;
                    }
                }
                if found.clauses.is_empty() {
                    continue;
                }
                match part.cut(&found, claim) {
                    Some(halves) => waiting.extend(halves),
                    None => return Proof::Undecided(Gap::Rounding, Some(found.point)),
                }
            }
            if waiting.len() * 2 * claim.lower.len() > MAX_NUMBERS {
                return Proof::Undecided(Gap::Parts, None);
            }
        }
        Proof::Holds
    }

    /// Proves a claim by branching on ReLUs: of each clause the number that the bounds of the whole box
    /// favour.
    fn by_relus(
        &mut self,
        claim: &Claim<'_>,
        limits: &mut ProofLimits<'_>,
        refutes: &mut dyn FnMut(&[f64], usize) -> bool,
    ) -> Proof {
        let workers = &mut self.workers;
        let whole = workers[0].examine(&Part::whole(claim), claim);
        limits.parts -= 1;
        for (&clause, &largest) in whole.clauses.iter().zip(&whole.largest) {
            if largest <= 0.0 && refutes(&whole.point, clause as usize) {
                return Proof::Refuted(whole.point);
            }
        }
        if whole.clauses.is_empty() {
            return Proof::Holds;
        }
        if whole.best.is_empty() {
            return Proof::Undecided(Gap::Bounds, Some(whole.point));
        }
        let budget = limits.parts / whole.best.len() as u64;
        let budget = usize::try_from(budget).unwrap_or(usize::MAX);
        let share = whole.best.len().div_ceil(workers.len());
        let stop = || (limits.cancelled)() || limits.is_late();
        let ends: Vec<Branched> = workers
            .par_iter_mut()
            .zip(whole.best.par_chunks(share))
            .map(|(worker, numbers)| worker.branch(claim, numbers, budget, &stop))
            .collect();
        let any = |of: fn(&Branched) -> bool| ends.iter().any(of);
        if any(|end| end.met.is_some()) {
            let point = ends.into_iter().find_map(|end| end.met).unwrap_or_default();
            let largest = workers[0].largest_at(&point, claim.clauses);
            let mut clauses = largest.iter().enumerate();
            let is_refuted =
                clauses.any(|(clause, &largest)| largest <= 0.0 && refutes(&point, clause));
            return if is_refuted {
                Proof::Refuted(point)
            } else {
                Proof::Undecided(Gap::Rounding, Some(point))
            };
        }
        if !any(|end| end.is_cut_short || end.is_given_up) {
            return Proof::Holds;
        }
        let gap = match limits.ended() {
            Some(gap) => gap,
            None if any(|end| end.is_cut_short) => Gap::Parts,
            None => Gap::Bounds,
        };
        if gap == Gap::Parts {
            limits.parts = 0;
        }
        Proof::Undecided(gap, None)
    }
}
