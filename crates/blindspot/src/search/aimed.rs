//! Searches for goals of models that are no classifiers: what an image's own outputs are sets its margins, so that each
//! image has a classifier of its own, the model with a head.

use std::sync::atomic::{AtomicU64, Ordering};

use blindspot_model::classifier::{CheckedEvaluator, Classifier, ClassifierError, WithHead};
use blindspot_run::monitor::{Monitor, Silenced};
use blindspot_run::random::Stream;
use rayon::prelude::*;

use super::block::{Originals, Searcher};
use super::bounds::FeasibleBox;
use super::eight_bit::{self, EightBit};
use super::runtime::{Judge, Runtime};
use super::task::StopCondition;
use super::{Block, Example, SearchError, SearchOptions, Target};
use crate::goals::{Original, OutputGoal, answering_threshold};

/// How far from an original the way to a goal is looked for that has no gradient there, as a fraction of the unit of
/// its box.
const NEAR: f64 = 1e-2;
/// Gradients that turn that way, as in the power iteration.
const TURNS: usize = 12;
/// How much farther each point along that way is than the one before.
const GROWTH: f64 = 1.5;
/// Points along it at most.
const POINTS: usize = 24;

/// A goal for one image.
struct Aimed<'c> {
    classifier: WithHead<'c>,
    /// The search for classes of the head that this is.
    options: SearchOptions,
    /// The class of the head that holds before the goal is reached.
    label: usize,
    /// Whether there is no gradient at the original.
    is_flat: bool,
}

/// Aims at a goal from one original.
fn aim<'c>(
    classifier: &'c dyn Classifier,
    judge: &mut Judge<'_>,
    (goal, options): (&OutputGoal, &SearchOptions),
    (original, index): (&[f32], usize),
) -> Result<Aimed<'c>, ClassifierError> {
    judge
        .evaluate(original, 0.0)
        .map_err(|error| error.of_input(|_| index))?;
    let original = Original {
        index,
        exact: judge.exact_outputs(),
        rounded: judge.outputs(),
        threshold: 0.0,
        answering_threshold: answering_threshold(classifier),
    };
    let aim = goal.aim(&original, &[classifier.classes()]);
    let aim = aim.map_err(|error| ClassifierError::Failed(error.to_string()))?;
    Ok(Aimed {
        label: aim.label(judge.exact_outputs()),
        options: options.clone().goal(None).target(if aim.every {
            Target::Class(0)
        } else {
            Target::Untargeted
        }),
        is_flat: aim.is_flat,
        classifier: WithHead::new(classifier, aim.head, aim.answering_head),
    })
}

impl Searcher<'_> {
    /// Searches from the images of a block for a goal of the outputs, each by itself.
    pub(super) fn search_goal(
        &self,
        goal: &OutputGoal,
        originals: &Originals<'_>,
        stop: StopCondition<'_>,
    ) -> Result<Block, ClassifierError> {
        let length = self.classifier.input_len();
        stop.monitor
            .begin("search", originals.positions.len() as u64);
        let done = AtomicU64::new(0);
        let images = originals.values.par_chunks_exact(length).enumerate();
        let found: Vec<Result<Option<Block>, ClassifierError>> = images
            .map_init(
                || self.runtime.judge(),
                |judge, (i, original)| {
                    if stop.monitor.cancelled() || stop.timed_out() {
                        return Ok(None);
                    }
                    let index = originals.indices[i];
                    let block = self.search_one(judge, goal, (original, index), stop)?;
                    stop.monitor
                        .progress(1 + done.fetch_add(1, Ordering::Relaxed), "");
                    Ok(Some(block))
                },
            )
            .collect();
        let mut all = Block {
            examples: Vec::with_capacity(found.len()),
            originals: Vec::with_capacity(originals.values.len()),
        };
        for (block, &position) in found.into_iter().zip(originals.positions) {
            let Some(block) = block? else { continue };
            let placed = block.examples.into_iter();
            all.examples.extend(placed.map(|example| Example {
                position,
                ..example
            }));
            all.originals.extend(block.originals);
        }
        Ok(all)
    }

    /// Searches from one image; gives no example where the work was cancelled.
    fn search_one(
        &self,
        judge: &mut Judge<'_>,
        goal: &OutputGoal,
        (original, index): (&[f32], usize),
        stop: StopCondition<'_>,
    ) -> Result<Block, ClassifierError> {
        let mut aimed = aim(
            self.classifier,
            judge,
            (goal, self.options),
            (original, index),
        )?;
        let mut looked = 0;
        let mut begin = None;
        if aimed.is_flat {
            let feasible_box = self.boxes.around(original);
            let most = aimed.options.max_evaluations.unwrap_or(u64::MAX);
            let stream = Stream::new(aimed.options.seed, "goal", index);
            let way = Way::new(original, &feasible_box, stream);
            let (point, evaluations) = way
                .find(&aimed, most / 2)
                .map_err(|error| error.of_input(|_| index))?;
            (begin, looked) = (Some(point), evaluations);
            aimed.options.max_evaluations = aimed
                .options
                .max_evaluations
                .map(|most| most.saturating_sub(looked).max(1));
        }
        let silenced = Silenced(stop.monitor);
        let searcher = Searcher {
            classifier: &aimed.classifier,
            runtime: Runtime::of(&aimed.classifier)?,
            options: &aimed.options,
            own_method: None,
            boxes: self.boxes.clone(),
            begin,
            lattice: self.lattice,
        };
        let one = Originals {
            values: original.to_vec(),
            positions: &[0],
            indices: vec![index],
            labels: &[aimed.label],
        };
        let mut block = searcher.search(
            &one,
            StopCondition {
                monitor: &silenced,
                ..stop
            },
        )?;
        for example in &mut block.examples {
            example.evaluations += looked;
            example.gradients += looked;
            // That the original has no gradient is known of the goal, and says nothing of the model.
            example.no_gradient &= !aimed.is_flat;
        }
        Ok(block)
    }
}

/// The way from an original on which a margin rises that has no gradient there.
struct Way<'a> {
    original: &'a [f32],
    feasible_box: &'a FeasibleBox,
    /// The direction, of length 1.
    direction: Vec<f64>,
}

impl<'a> Way<'a> {
    /// A way in a random direction.
    fn new(original: &'a [f32], feasible_box: &'a FeasibleBox, mut stream: Stream) -> Way<'a> {
        let mut direction: Vec<f64> = original.iter().map(|_| stream.normal()).collect();
        normalise(&mut direction);
        Way {
            original,
            feasible_box,
            direction,
        }
    }

    /// Turns the way to where the margin rises the most, then goes along it until the goal is reached; gives that point,
    /// and the evaluations made.
    fn find(mut self, aimed: &Aimed<'_>, most: u64) -> Result<(Vec<f32>, u64), ClassifierError> {
        let mut evaluator = CheckedEvaluator::new(&aimed.classifier);
        let near = NEAR * self.feasible_box.unit();
        let objective = aimed.options.objective(aimed.label, 0);
        let mut evaluations = 0;
        let mut output_gradient = vec![0.0; evaluator.classes()];
        while evaluations < most.min(TURNS as u64) {
            evaluator.input(1)?.copy_from_slice(&self.point(near));
            let (up, down) = objective.binding_pair(evaluator.outputs()?);
            output_gradient.fill(0.0);
            (output_gradient[up], output_gradient[down]) = (1.0, -1.0);
            let gradient = evaluator.pull_back(&output_gradient)?;
            let mut turned: Vec<f64> = gradient.iter().map(|&g| f64::from(g)).collect();
            evaluations += 1;
            if !normalise(&mut turned) {
                break;
            }
            self.direction = turned;
        }
        let mut length = near;
        for _ in 0..POINTS {
            let point = self.point(length);
            if evaluations >= most {
                return Ok((point, evaluations));
            }
            evaluator.input(1)?.copy_from_slice(&point);
            evaluations += 1;
            if objective.margin(evaluator.outputs()?) > 0.0 {
                return Ok((point, evaluations));
            }
            length *= GROWTH;
        }
        Ok((self.point(length), evaluations))
    }

    /// The point at a distance along the way, within the box.
    fn point(&self, length: f64) -> Vec<f32> {
        let values = self.original.iter().zip(&self.direction).enumerate();
        let values = values.map(|(i, (&x, d))| {
            let moved = f64::from(x) + length * d;
            self.feasible_box.clip_value(i, moved as f32)
        });
        values.collect()
    }
}

/// Brings a vector to length 1; false where it has no direction.
fn normalise(vector: &mut [f64]) -> bool {
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    let has_direction = length.is_finite() && length > 0.0;
    if has_direction {
        for x in vector {
            *x /= length;
        }
    }
    has_direction
}

/// [`eight_bit`](super::eight_bit()) of examples that reach a goal.
pub(super) fn eight_bit(
    classifier: &dyn Classifier,
    goal: &OutputGoal,
    options: &SearchOptions,
    (examples, originals): (&[Example], &[f32]),
    monitor: &dyn Monitor,
) -> Result<Vec<EightBit>, SearchError> {
    let runtime = Runtime::of(classifier)?;
    let each = originals.par_chunks_exact(classifier.input_len());
    let found: Result<Vec<Vec<EightBit>>, SearchError> = examples
        .par_iter()
        .zip(each)
        .map_init(
            || runtime.judge(),
            |judge, (example, original)| {
                let source = (original, example.index);
                let aimed = aim(classifier, judge, (goal, options), source)?;
                let one = std::slice::from_ref(example);
                let silenced = Silenced(monitor);
                eight_bit::eight_bit(&aimed.classifier, &aimed.options, one, original, &silenced)
            },
        )
        .collect();
    Ok(found?.into_iter().flatten().collect())
}
