//! The ways to search, and running one for many images.

use std::fmt;
use std::str::FromStr;

use blindspot_net::Network;
use serde::{Deserialize, Serialize};

use super::SearchOptions;
use super::Target;
use super::batch;
use super::change::norm;
use super::goal::Goal;
use super::penalty::Penalty;
use super::sqp::Sqp;
use crate::monitor::{Monitor, Unwatched};

/// Searches that a thread has under way: more share the cost of an evaluation, fewer keep their
/// solvers' memory in the processor's cache.
const BATCH: usize = 64;

/// How the smallest change is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Sequential quadratic programming on the decision boundary. Where it finds nothing, the
    /// paper's search takes its place.
    Sqp,
    /// The paper's (section 4.1): box-constrained L-BFGS on a penalised loss.
    Lbfgs,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Sqp => "sqp",
            Method::Lbfgs => "lbfgs",
        })
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "sqp" => Ok(Method::Sqp),
            "lbfgs" => Ok(Method::Lbfgs),
            _ => Err(format!("`{text}` is no method: use sqp or lbfgs")),
        }
    }
}

/// What a search has found, if anything, and its evaluations.
type Found = (Option<Vec<f32>>, u64);

/// Searches from each image for its goal; `None` where the monitor cancelled the search.
pub(super) fn run(
    network: &Network<f32>,
    starts: &[(&[f32], Goal)],
    options: &SearchOptions,
    monitor: &dyn Monitor,
) -> Vec<Option<Found>> {
    let penalty = |starts: &[(&[f32], Goal)], monitor: &dyn Monitor| {
        batch::run(
            network,
            starts.len(),
            BATCH,
            |task, spare| Penalty::new(starts[task].0, starts[task].1, options, spare),
            |_, search: &Penalty| (search.best().map(<[f32]>::to_vec), search.evaluations),
            monitor,
        )
    };
    if options.method == Method::Lbfgs {
        return penalty(starts, monitor);
    }
    let every_rival = options.target == Target::All;
    let mut found: Vec<Option<Found>> = batch::run(
        network,
        starts.len(),
        BATCH,
        |task, spare| Sqp::new(starts[task].0, starts[task].1, every_rival, options, spare),
        |_, search: &Sqp| (search.best().map(<[f32]>::to_vec), search.evaluations),
        monitor,
    );
    let within = |evaluations| {
        options
            .max_evaluations
            .is_none_or(|most| evaluations < most)
    };
    let failed: Vec<usize> = (0..starts.len())
        .filter(|&i| matches!(found[i], Some((None, evaluations)) if within(evaluations)))
        .collect();
    if failed.is_empty() || monitor.cancelled() {
        return found;
    }
    let again: Vec<(&[f32], Goal)> = failed.iter().map(|&i| starts[i]).collect();
    let others = penalty(&again, &Unwatched);
    // From what the paper's search found to the nearest point of the boundary.
    let ends: Vec<(usize, &[f32])> = failed
        .iter()
        .zip(&others)
        .filter_map(|(&i, other)| Some((i, other.as_ref()?.0.as_deref()?)))
        .collect();
    let polished = batch::run(
        network,
        ends.len(),
        BATCH,
        |task, spare| {
            let (i, end) = ends[task];
            Sqp::from(starts[i].0, end, starts[i].1, every_rival, options, spare)
        },
        |_, search: &Sqp| (search.best().map(<[f32]>::to_vec), search.evaluations),
        &Unwatched,
    );
    let mut better: Vec<(usize, Found)> = ends
        .iter()
        .map(|&(i, _)| i)
        .zip(polished.into_iter().flatten())
        .collect();
    for (&i, other) in failed.iter().zip(&others) {
        if let (Some(found), Some((image, evaluations))) = (&mut found[i], other) {
            *found = (image.clone(), found.1 + evaluations);
        }
    }
    for (i, (image, evaluations)) in better.drain(..) {
        if let Some(found) = &mut found[i] {
            found.1 += evaluations;
            let size = |image: &[f32]| norm(starts[i].0, image);
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
