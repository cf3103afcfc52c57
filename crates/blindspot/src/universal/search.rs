//! The search: many starts, a race between them, a long climb, the way back along the ray.

use std::cell::{Cell, RefCell};

use blindspot_model::classifier::ClassifierError;
use blindspot_model::{InputBox, Norm};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ball::norm;
use super::climb::{Climb, lead_of, wanted};
use super::field::Field;
use super::options::{Aim, UniversalOptions};
use super::sure::Census;

/// Evaluations of each image that the way back along the ray takes, about.
const RAY: u64 = 20;

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It was through.
    Whole,
    /// After as many evaluations as it was given.
    MaxEvaluations,
    /// After the time that it was given.
    TimeLimit,
    /// Its monitor cancelled it.
    Interrupted,
}

/// What a search has found.
pub(super) struct Best {
    pub(super) delta: Vec<f32>,
    /// Whether the share asked for is fooled; true where none was.
    pub(super) reached: bool,
    pub(super) ended: Ended,
}

/// Searches on a field of images that are right.
pub(super) fn search(
    field: &Field<'_>,
    options: &UniversalOptions,
) -> Result<Best, ClassifierError> {
    let count = field.len();
    let length = field.images.values().len() / count;
    let positions: Vec<usize> = (0..count).collect();
    let limit = match options.max_evaluations {
        Some(most) => most.saturating_mul(count as u64),
        None => u64::MAX,
    };
    let kept_for_the_ray = match options.aim {
        Aim::Epsilon(_) => 0,
        Aim::Share(_) => (RAY * count as u64).min(limit / 4),
    };
    let none = vec![0.0; length];
    let nothing = |ended| Best {
        delta: none.clone(),
        reached: matches!(options.aim, Aim::Epsilon(_)),
        ended,
    };
    let Some(margins) = field.margins(&positions, &none)? else {
        return Ok(nothing(why(field, limit)));
    };
    let climb = Climb {
        field,
        norm: options.norm,
        aim: options.aim,
        seed: options.seed,
        reach: reach(field, length),
        clean: match options.aim {
            Aim::Epsilon(_) => margins.iter().map(|m| m.lead).sum::<f64>() / count as f64,
            Aim::Share(share) => lead_of(&margins, wanted(share, count)),
        },
        budget: limit - kept_for_the_ray,
        done: Cell::new(0),
        shortest: RefCell::new(None),
    };
    let starts = climb.starts(largest(options, length))?;
    let best = climb.race(&starts)?;
    let Some(best) = best else {
        return Ok(nothing(why(field, climb.budget)));
    };
    let ended = why(field, climb.budget);
    let Aim::Share(share) = options.aim else {
        return Ok(Best {
            delta: best.delta,
            reached: true,
            ended,
        });
    };
    field.classifier.prepare()?;
    let exact = field.classifier.exact();
    let mut census = Census::new(field, exact.as_deref());
    let wanted = wanted(share, count);
    let mut enough = |delta: &[f32]| census.at_least(wanted, delta);
    let mut shortest = climb.shortened(&best.delta, &mut enough)?;
    if let Some((size, seen)) = climb.shortest.take()
        && shortest
            .as_ref()
            .is_none_or(|delta| norm(options.norm, delta) > size)
    {
        // It fools that many already: where the work is cancelled, it stays as it is.
        shortest = Some(climb.shortened(&seen, &mut enough)?.unwrap_or(seen));
    }
    Ok(Best {
        reached: shortest.is_some(),
        delta: shortest.unwrap_or(best.delta),
        ended,
    })
}

/// The largest norm that a perturbation within the box can make use of.
fn largest(options: &UniversalOptions, length: usize) -> f64 {
    let InputBox { lower, upper } = options.input_box;
    let width = f64::from(upper) - f64::from(lower);
    match options.norm {
        Norm::Linf => width,
        _ => width * (length as f64).sqrt(),
    }
}

/// How far each value of the perturbation can move any of the images.
fn reach(field: &Field<'_>, length: usize) -> Vec<[f32; 2]> {
    let InputBox { lower, upper } = field.input_box;
    let mut ends = vec![[upper, lower]; length];
    for image in field.images.values().chunks_exact(length) {
        for ([least, most], &value) in ends.iter_mut().zip(image) {
            *least = least.min(value);
            *most = most.max(value);
        }
    }
    ends.iter()
        .map(|&[least, most]| [lower - most, upper - least])
        .collect()
}

/// Why a search that went on to its end did.
fn why(field: &Field<'_>, budget: u64) -> Ended {
    if field.limits.monitor.cancelled() {
        Ended::Interrupted
    } else if field.limits.timed_out() {
        Ended::TimeLimit
    } else if field.evaluations() >= budget {
        Ended::MaxEvaluations
    } else {
        Ended::Whole
    }
}
