//! Whether a property holds: bounds of whole boxes first, then a search, then branch and bound.

use std::fmt;
use std::time::{Duration, Instant};

use blindspot_bounds::certify::{
    Arithmetic, CertifyError, Claim, Gap, MAX_TIME, Proof, ProofLimits, Prover, RegionCertifier,
};
use blindspot_model::{Model, Outputs};
use blindspot_run::monitor::Monitor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::counterexample::{Counterexample, Judge};
use super::numbers::Numbers;
use super::{Property, PropertyError, Region};

/// Parts of boxes that are bounded without a time limit, at most.
const MAX_PARTS: u64 = 1 << 17;

/// How a property is verified.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct VerifyOptions {
    /// Seconds at most; None for a fixed amount of work, so that the same verdict comes out on any machine.
    pub time_limit: Option<f64>,
    /// The arithmetic in which a property that holds does so; that of any runtime by default.
    #[schemars(with = "crate::schema::Arithmetic")]
    pub arithmetic: Arithmetic,
    /// Where the inputs come from that the search begins at.
    pub seed: u64,
}

/// What is known of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No input of its boxes has unsafe outputs.
    Holds,
    /// An input has.
    Violated,
    /// Neither is known.
    Unknown,
}

/// Why a verdict is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Undecided {
    /// The time ran out.
    Time,
    /// The work that is done without a time limit, or the memory for it, ran out.
    Parts,
    /// At some input it holds or fails by less than rounding.
    Rounding,
    /// Bounds that can't become better don't prove it.
    Bounds,
    /// No bounds are known for one of the model's operators.
    Operators,
    /// The work was cancelled.
    Cancelled,
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Undecided::Time => "the time ran out",
            Undecided::Parts => "it takes more work than is done without a time limit",
            Undecided::Rounding => "at some input it holds or fails by less than rounding",
            Undecided::Bounds => {
                "the best bounds of this kind don't prove it, and no counterexample was found"
            }
            Undecided::Operators => {
                "no bounds are known for an operator, and no counterexample was found"
            }
            Undecided::Cancelled => "the work was interrupted",
        })
    }
}

impl From<Gap> for Undecided {
    fn from(gap: Gap) -> Undecided {
        match gap {
            Gap::Time => Undecided::Time,
            Gap::Parts => Undecided::Parts,
            Gap::Rounding => Undecided::Rounding,
            Gap::Bounds => Undecided::Bounds,
            Gap::Cancelled => Undecided::Cancelled,
        }
    }
}

/// A verdict, and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is unknown, if it is.
    pub undecided: Option<Undecided>,
    /// What violates the property, if something does.
    pub counterexample: Option<Counterexample>,
    /// Boxes and parts of them that were bounded; what branching on ReLUs bounds within one does not count.
    pub parts: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Why there are no bounds, a phrase; empty if there are.
    pub limits: Vec<String>,
}

impl Verification {
    /// The verdict in the words of the VNN-COMP competition: `unsat` where the property holds (no input has unsafe
    /// outputs), `sat` where it is violated, `timeout` where the time ran out, else `unknown`.
    pub fn result(&self) -> &'static str {
        match (self.verdict, self.undecided) {
            (Verdict::Holds, _) => "unsat",
            (Verdict::Violated, _) => "sat",
            (Verdict::Unknown, Some(Undecided::Time)) => "timeout",
            (Verdict::Unknown, _) => "unknown",
        }
    }
}

/// Finds out whether a property holds of a model that was opened for its numbers as they are ([`Outputs::Numbers`]).
///
/// A property that holds does so for all real inputs of its boxes, rounded to single precision, in the arithmetic of any
/// runtime and in exact arithmetic. A counterexample is one in the model's own answer, in single precision and on its
/// file's own numbers in double. Without a time limit the same bits come out for any number of threads.
///
/// # Errors
/// [`PropertyError`] where property and model don't fit each other, or the model's file can't be read again.
pub fn verify(
    model: &Model,
    property: &Property,
    options: &VerifyOptions,
    monitor: &dyn Monitor,
) -> Result<Verification, PropertyError> {
    let began = Instant::now();
    if model.outputs() != Outputs::Numbers {
        return Err(PropertyError::Outputs);
    }
    let network = model.network();
    for (what, declared, model) in [
        ("inputs", property.inputs(), network.input_len()),
        ("outputs", property.outputs(), network.output_len()),
    ] {
        if declared != model {
            let name = property.name().to_owned();
            return Err(PropertyError::Size {
                name,
                what,
                declared,
                model,
            });
        }
    }
    let exact = model.exact();
    let exact = exact.map_err(|error| CertifyError::Model(error.to_string()))?;
    let limit = options.time_limit.map(Duration::try_from_secs_f64);
    let limit = limit.map(|limit| limit.unwrap_or(MAX_TIME).min(MAX_TIME));
    let numbers = Numbers::new(property)?;
    let mut work = Work {
        property,
        model,
        options,
        monitor,
        deadline: limit.map(|limit| began + limit),
        judge: Judge::new(model, exact.network.network(), property),
        numbers: &numbers,
        parts: if limit.is_some() { u64::MAX } else { MAX_PARTS },
    };
    let all = work.parts;
    let head = numbers.head(&network.graph().value(network.graph().output()).shape);
    let certifier = match property.regions() {
        [] => None,
        regions => {
            let largest = largest(regions);
            Some(RegionCertifier::new(
                model,
                head,
                largest,
                options.arithmetic,
                work.deadline,
            ))
        }
    };
    let mut limits = Vec::new();
    let end = match &certifier {
        None => End::Holds,
        Some(Ok(certifier)) => work.decide(Some(certifier.prover(work.deadline)))?,
        Some(Err(why @ CertifyError::Model(_))) => return Err(why.clone().into()),
        Some(Err(CertifyError::Late)) => End::Undecided(Undecided::Time),
        Some(Err(why)) => {
            limits.push(why.to_string());
            work.decide(None)?
        }
    };
    let (verdict, undecided, mut counterexample) = match end {
        End::Holds => (Verdict::Holds, None, None),
        End::Violated(found) => (Verdict::Violated, None, Some(found)),
        End::Undecided(why) => (Verdict::Unknown, Some(why), None),
    };
    if let (Some(found), Some(Ok(certifier))) = (&mut counterexample, &certifier) {
        let point: Vec<f64> = found.inputs.iter().map(|&x| x.into()).collect();
        let members = &numbers.clauses[found.region][found.case];
        found.in_any_runtime = certifier.are_never_positive(&point, members);
    }
    Ok(Verification {
        verdict,
        undecided,
        counterexample,
        parts: all - work.parts,
        seconds: began.elapsed().as_secs_f64(),
        limits,
    })
}

/// The largest absolute value of any input.
fn largest(regions: &[Region]) -> f64 {
    let ends = regions
        .iter()
        .flat_map(|region| region.lower.iter().chain(&region.upper));
    ends.fold(0.0, |most, end| f64::max(most, end.abs()))
        .next_up()
}

/// How the work ends.
enum End {
    Holds,
    Violated(Counterexample),
    Undecided(Undecided),
}

/// The verification of one property.
pub(super) struct Work<'a> {
    pub(super) property: &'a Property,
    pub(super) model: &'a Model,
    pub(super) options: &'a VerifyOptions,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) deadline: Option<Instant>,
    pub(super) judge: Judge<'a>,
    numbers: &'a Numbers,
    /// Parts that may still be bounded.
    parts: u64,
}

impl Work<'_> {
    fn decide(&mut self, mut prover: Option<Prover<'_>>) -> Result<End, PropertyError> {
        let mut left: Vec<usize> = (0..self.property.regions().len()).collect();
        self.monitor.begin("verify", left.len() as u64);
        let end = self.decide_all(&mut left, prover.as_mut());
        self.monitor.end();
        end
    }

    fn decide_all(
        &mut self,
        left: &mut Vec<usize>,
        mut prover: Option<&mut Prover<'_>>,
    ) -> Result<End, PropertyError> {
        let all = left.len();
        if let Some(prover) = &mut prover {
            let mut undecided = Vec::new();
            for region in std::mem::take(left) {
                match self.prove(prover, region, self.deadline, self.parts.min(1)) {
                    Step::Holds => {}
                    Step::Violated(found) => return Ok(End::Violated(found)),
                    Step::Undecided(..) => undecided.push(region),
                }
                self.monitor.progress((all - undecided.len()) as u64, "");
            }
            *left = undecided;
        }
        for (place, &region) in left.iter().enumerate() {
            if let Some(found) = self.search_region(region, left.len() - place)? {
                return Ok(End::Violated(found));
            }
        }
        let Some(prover) = prover else {
            return Ok(End::Undecided(self.ended().unwrap_or(Undecided::Operators)));
        };
        let mut why = None;
        for (place, &region) in left.iter().enumerate() {
            let share = (left.len() - place) as u32;
            let deadline = self.deadline.map(|deadline| {
                let now = Instant::now();
                now + deadline.saturating_duration_since(now) / share
            });
            let parts = self.parts / u64::from(share);
            match self.prove(prover, region, deadline, parts) {
                Step::Holds => {}
                Step::Violated(found) => return Ok(End::Violated(found)),
                Step::Undecided(gap, point) => {
                    // Beside an input that is within rounding there may be one that is not.
                    if let Some(point) = point
                        && let Some(found) =
                            self.search_from(region, &[point], self.time_left(1))?
                    {
                        return Ok(End::Violated(found));
                    }
                    why = why.or(Some(gap.into()));
                }
            }
            self.monitor
                .progress((all - left.len() + place + 1) as u64, "");
        }
        Ok(why.map_or(End::Holds, End::Undecided))
    }

    /// Why the work ends now, if it does.
    pub(super) fn ended(&self) -> Option<Undecided> {
        if self.monitor.cancelled() {
            return Some(Undecided::Cancelled);
        }
        let is_late = self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        is_late.then_some(Undecided::Time)
    }

    /// Bounds a box, or its parts.
    fn prove(
        &mut self,
        prover: &mut Prover<'_>,
        region: usize,
        deadline: Option<Instant>,
        parts: u64,
    ) -> Step {
        let Region { lower, upper, .. } = &self.property.regions()[region];
        let claim = Claim {
            lower,
            upper,
            clauses: &self.numbers.clauses[region],
        };
        let monitor = self.monitor;
        let mut limits = ProofLimits {
            deadline,
            parts,
            cancelled: &|| monitor.cancelled(),
        };
        let mut found = None;
        let proof = prover.prove(&claim, &mut limits, &mut |point, _| {
            found = self.judge.judge(region, point);
            found.is_some()
        });
        self.parts -= parts - limits.parts;
        match (proof, found) {
            (Proof::Holds, _) => Step::Holds,
            (Proof::Refuted(_), Some(found)) => Step::Violated(found),
            (Proof::Refuted(point), None) => Step::Undecided(Gap::Rounding, Some(point)),
            (Proof::Undecided(gap, point), _) => Step::Undecided(gap, point),
        }
    }
}

/// How a step ends.
enum Step {
    Holds,
    Violated(Counterexample),
    Undecided(Gap, Option<Vec<f64>>),
}
