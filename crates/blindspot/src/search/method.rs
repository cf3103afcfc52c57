//! The ways to search, and running one for many images.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use blindspot_net::Network;
use serde::{Deserialize, Serialize};

use super::SearchOptions;
use super::baselines::{self, Baseline};
use super::batch::{self, Found, Watch};
use super::change::norm;
use super::goal::Goal;
use super::penalty::Penalty;
use super::ranges::Room;
use super::sqp::Sqp;
use crate::run::monitor::Monitor;

/// How the smallest change is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Method {
    /// Sequential quadratic programming on the decision boundary. Where it finds nothing, the
    /// paper's search takes its place.
    Sqp,
    /// The paper's (section 4.1): box-constrained L-BFGS on a penalised loss.
    Lbfgs,
    /// Baseline: the fast gradient sign method (Goodfellow et al. 2015), the smallest step.
    Fgsm,
    /// Baseline: projected gradient descent (Madry et al. 2018), the smallest L2 ball.
    Pgd,
    /// Baseline: DeepFool (Moosavi-Dezfooli et al. 2016).
    DeepFool,
    /// Baseline: Carlini and Wagner's L2 attack (2017), 9 values of c, 1,000 steps.
    CarliniWagner,
    /// Baseline: decoupled direction and norm (Rony et al. 2019), 100 steps.
    Ddn,
}

impl Method {
    /// All of them, our own first, and what they are called.
    pub const NAMES: [(Method, &'static str); 7] = [
        (Method::Sqp, "sqp"),
        (Method::Lbfgs, "lbfgs"),
        (Method::Fgsm, "fgsm"),
        (Method::Pgd, "pgd"),
        (Method::DeepFool, "deepfool"),
        (Method::CarliniWagner, "cw"),
        (Method::Ddn, "ddn"),
    ];
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().find(|(method, _)| method == self);
        f.write_str(named.expect("every method has a name").1)
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(_, name)| *name == text);
        known.map(|(method, _)| *method).ok_or_else(|| {
            let names = Self::NAMES.map(|(_, name)| name).join(", ");
            format!("`{text}` is no method: use one of {names}")
        })
    }
}

impl From<Method> for String {
    fn from(method: Method) -> String {
        method.to_string()
    }
}

impl TryFrom<String> for Method {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Lets work be stopped, but hears nothing of it: it is a part of work that has been told.
struct Quiet<'a>(&'a dyn Monitor);

impl Monitor for Quiet<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
}

/// Where a search begins, what for, and where it may go.
#[derive(Debug, Clone)]
pub(super) struct Start<'a> {
    pub(super) original: &'a [f32],
    pub(super) goal: Goal,
    pub(super) room: Arc<Room>,
    /// Evaluations at most; at least one is taken.
    pub(super) limit: u64,
}

/// Searches from each start; `None` where the monitor cancelled the search.
pub(super) fn run(
    network: &Network<f32>,
    starts: &[Start<'_>],
    options: &SearchOptions,
    watch: Watch<'_>,
) -> Vec<Option<Found>> {
    let penalty = |starts: &[Start<'_>], watch: Watch<'_>| {
        batch::run(
            network,
            starts.len(),
            |task, spare: Option<Penalty>| Penalty::new(&starts[task], options, spare),
            watch,
        )
    };
    if options.method == Method::Lbfgs {
        return penalty(starts, watch);
    }
    if let Some(rule) = baselines::rule(options.method) {
        let start = |task: usize, _| Baseline::new(&starts[task], rule());
        return batch::run(network, starts.len(), start, watch);
    }
    let mut found: Vec<Option<Found>> = batch::run(
        network,
        starts.len(),
        |task, spare: Option<Sqp>| Sqp::new(&starts[task], options, spare),
        watch,
    );
    let failed: Vec<usize> = (0..starts.len())
        .filter(|&i| matches!(found[i], Some((None, effort)) if effort.forward < starts[i].limit))
        .collect();
    if failed.is_empty() || watch.over() {
        return found;
    }
    let quiet = Quiet(watch.monitor);
    let watch = Watch {
        monitor: &quiet,
        ..watch
    };
    let left = |i: usize, found: &Option<Found>| Start {
        limit: starts[i].limit - found.as_ref().map_or(0, |found| found.1.forward),
        ..starts[i].clone()
    };
    let again: Vec<Start<'_>> = failed.iter().map(|&i| left(i, &found[i])).collect();
    let others = penalty(&again, watch);
    // From what the paper's search found to the nearest point of the boundary.
    let ends = again.iter().zip(&failed).zip(&others);
    let ends: Vec<(usize, Start<'_>, &[f32])> = ends
        .filter_map(|((start, &i), other)| {
            let (image, effort) = other.as_ref()?;
            let limit = start
                .limit
                .checked_sub(effort.forward)
                .filter(|&left| left > 0)?;
            Some((
                i,
                Start {
                    limit,
                    ..start.clone()
                },
                image.as_deref()?,
            ))
        })
        .collect();
    let polished = batch::run(
        network,
        ends.len(),
        |task, spare: Option<Sqp>| {
            let (_, start, end) = &ends[task];
            Sqp::from(end, start, options, spare)
        },
        watch,
    );
    let better: Vec<(usize, Found)> = ends
        .iter()
        .map(|&(i, ..)| i)
        .zip(polished.into_iter().flatten())
        .collect();
    for (&i, other) in failed.iter().zip(others) {
        match other {
            Some((image, effort)) => {
                if let Some(found) = &mut found[i] {
                    found.0 = image;
                    found.1 += effort;
                }
            }
            // Not searched through.
            None if watch.monitor.cancelled() => found[i] = None,
            None => {}
        }
    }
    for (i, (image, effort)) in better {
        if let Some(found) = &mut found[i] {
            found.1 += effort;
            let size = |image: &[f32]| norm(starts[i].original, image);
            let Some(image) = image else { continue };
            if found
                .0
                .as_deref()
                .is_none_or(|old| size(&image) < size(old))
            {
                found.0 = Some(image);
            }
        }
    }
    found
}
