//! The search for some images at a time: prepared, run, and settled into examples.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use blindspot_model::classifier::{Classifier, ClassifierError};
use rayon::prelude::*;

use super::SearchOptions;
use super::bounds::{FeasibleBox, FeasibleBoxes};
use super::columns::Lattice;
use super::example::{Block, Example};
use super::method::Method;
use super::objective::Goal;
use super::pipeline::{self, Job, MakeMethod};
use super::runtime::Runtime;
use super::task::{StopCondition, Task};
use super::verify::{self, Candidate};

/// How often a search is repeated whose example the classifier refutes where it is used, and by how
/// much more each asks a margin to exceed.
const REPEATS: u32 = 6;
const REPEATED_LEAD: f64 = 2.0;
/// How long what was found is still verified once the work is cancelled: whoever cancels waits for it.
const GRACE: Duration = Duration::from_millis(500);

/// What is searched with, and how.
pub(super) struct Searcher<'a> {
    pub(super) classifier: &'a dyn Classifier,
    pub(super) runtime: Runtime<'a>,
    pub(super) options: &'a SearchOptions,
    /// A method of the user's own, in place of that of the options.
    pub(super) own_method: Option<&'a MakeMethod>,
    pub(super) boxes: FeasibleBoxes,
    /// Where the searches begin, if not at the originals: of a searcher of one image.
    pub(super) begin: Option<Vec<f32>>,
    /// The whole numbers and categories that examples consist of, of a searcher of one row of a table.
    pub(super) lattice: Option<&'a Lattice<'a>>,
}

/// The originals of a block.
pub(super) struct Originals<'a> {
    /// The images, one after the other.
    pub(super) values: Vec<f32>,
    /// Position of each in the set that is searched.
    pub(super) positions: &'a [usize],
    /// Index of each in the data set.
    pub(super) indices: Vec<usize>,
    /// True classes of the whole set that is searched.
    pub(super) labels: &'a [usize],
}

impl<'a> Originals<'a> {
    /// Those at some positions.
    fn of<'p>(&self, positions: &'p [usize], length: usize) -> Originals<'p>
    where
        'a: 'p,
    {
        let place = |position: &usize| self.positions.iter().position(|at| at == position);
        let places: Vec<usize> = positions.iter().filter_map(place).collect();
        let values = places.iter().map(|&i| &self.values[i * length..][..length]);
        Originals {
            values: values.collect::<Vec<_>>().concat(),
            positions,
            indices: places.iter().map(|&i| self.indices[i]).collect(),
            labels: self.labels,
        }
    }
}

/// What the classifier answers to an original.
struct At<'a> {
    position: usize,
    index: usize,
    original: &'a [f32],
    outputs: Vec<f32>,
    prediction: usize,
    already_misclassified: bool,
    noise: f64,
    lead: f64,
}

/// The examples of a block, as far as they are settled.
struct Settled {
    block: Block,
    /// Positions of images for which, at first, an example was found that is none where the classifier is used.
    refuted: Vec<usize>,
    /// Positions of images for which that was the last that was found, or was not looked into to the end.
    unsettled: Vec<usize>,
}

/// An image that is searched, or found to need no search.
struct Prepared<'a> {
    example: Example,
    original: &'a [f32],
    feasible_box: Arc<FeasibleBox>,
    /// Its searches among all jobs: one for each objective.
    jobs: Range<usize>,
    /// What it could be instead.
    others: Vec<Example>,
    /// Whether an example was found that is none where the classifier is used.
    refuted: bool,
    /// Whether the work was cancelled before the example was verified.
    left_out: bool,
}

impl Searcher<'_> {
    /// Searches from the images of a block.
    ///
    /// # Errors
    /// [`ClassifierError`] where the classifier fails.
    pub(super) fn search(
        &self,
        originals: &Originals<'_>,
        stop: StopCondition<'_>,
    ) -> Result<Block, ClassifierError> {
        if let Some(columns) = &self.options.columns {
            return self.search_columns(columns, originals, stop);
        }
        if let Some(goal) = &self.options.goal {
            return self.search_goal(goal, originals, stop);
        }
        let Settled {
            mut block,
            refuted,
            unsettled,
        } = self.search_repeatedly(originals, self.own_method, stop)?;
        let is_limited = self.options.max_evaluations.is_some();
        if self.own_method.is_none() && self.options.method == Method::Sqp && !is_limited {
            self.by_published((originals, &refuted), &mut block, stop)?;
        }
        if stop.monitor.cancelled() {
            // They might have been found yet.
            block.leave_out(&unsettled);
        }
        if let Some(lattice) = self.lattice {
            lattice.settle(self, &mut block, stop)?;
        }
        Ok(block)
    }

    /// Searches from the images of a block, and again, for larger margins, where examples are none where the classifier
    /// is used.
    fn search_repeatedly(
        &self,
        originals: &Originals<'_>,
        method: Option<&MakeMethod>,
        stop: StopCondition<'_>,
    ) -> Result<Settled, ClassifierError> {
        let (mut block, refuted) = self.search_leading(originals, (1.0, method), stop)?;
        let mut unsettled = refuted.clone();
        for repeat in 1..=REPEATS {
            if unsettled.is_empty() || stop.monitor.cancelled() {
                break;
            }
            let searched = unsettled.clone();
            let again = originals.of(&searched, self.classifier.input_len());
            let factor = REPEATED_LEAD.powi(repeat as i32);
            let (found, still) = self.search_leading(&again, (factor, method), stop)?;
            for example in found.examples {
                unsettled.retain(|&position| position != example.position);
                // What another method ended at may have succeeded before.
                block.take_nearer(example, self.options.norm);
            }
            unsettled.extend(still);
        }
        Ok(Settled {
            block,
            refuted,
            unsettled,
        })
    }

    /// Of images for which something was found that is none where the classifier is used: the published attacks, each by
    /// itself. What the search found nearer may have kept their ends from being asked about.
    fn by_published(
        &self,
        (originals, refuted): (&Originals<'_>, &[usize]),
        block: &mut Block,
        stop: StopCondition<'_>,
    ) -> Result<(), ClassifierError> {
        for method in pipeline::published() {
            let failed = block.examples.iter();
            let failed =
                failed.filter(|example| !example.success && refuted.contains(&example.position));
            let failed: Vec<usize> = failed.map(|example| example.position).collect();
            if failed.is_empty() || stop.monitor.cancelled() || stop.timed_out() {
                break;
            }
            let again = originals.of(&failed, self.classifier.input_len());
            let found = self.search_repeatedly(&again, Some(method), stop)?;
            for example in found.block.examples {
                block.take_nearer(example, self.options.norm);
            }
        }
        Ok(())
    }

    /// Searches from the images of a block, by a method if there is one, for margins that exceed `factor` times what they
    /// should; gives also the positions of images whose examples are none where the classifier is used.
    fn search_leading<'o>(
        &'o self,
        originals: &'o Originals<'_>,
        (factor, method): (f64, Option<&MakeMethod>),
        stop: StopCondition<'_>,
    ) -> Result<(Block, Vec<usize>), ClassifierError> {
        let (prepared, mut jobs) = self.prepare(originals, factor, stop)?;
        stop.monitor.begin("search", jobs.len() as u64);
        pipeline::run(self.classifier, &mut jobs, self.options, method, stop)?;
        self.settle(prepared, jobs, stop)
    }

    /// Evaluates the originals; gives the images with an example each, as far as is known, and the
    /// jobs to be run.
    fn prepare<'o>(
        &'o self,
        originals: &'o Originals<'_>,
        factor: f64,
        stop: StopCondition<'_>,
    ) -> Result<(Vec<Prepared<'o>>, Vec<Job<'o>>), ClassifierError> {
        let (mut prepared, mut jobs) = (Vec::new(), Vec::new());
        for found in self.look_at(originals, stop)? {
            let At {
                position,
                index,
                original,
                outputs,
                prediction,
                already_misclassified,
                noise,
                lead,
            } = found;
            let label = originals.labels[position];
            let feasible_box = self.boxes.around(original);
            let first = jobs.len();
            if !already_misclassified {
                let objectives = self.options.objectives(label, position, &outputs);
                jobs.extend(objectives.into_iter().map(|objective| {
                    Job::new(Task {
                        original,
                        begin: self.begin.as_deref(),
                        index,
                        objective,
                        measure: self.options.measure(self.classifier.input_shape()),
                        lead: factor * lead,
                        feasible_box: Arc::clone(&feasible_box),
                        max_evaluations: self.options.max_evaluations.unwrap_or(u64::MAX),
                    })
                }));
            }
            prepared.push(Prepared {
                example: Example {
                    position,
                    index,
                    label,
                    target: prediction,
                    prediction_before: prediction,
                    prediction,
                    already_misclassified,
                    success: already_misclassified,
                    adversarial: original.to_vec(),
                    l2: 0.0,
                    linf: 0.0,
                    l1: 0.0,
                    l0: 0.0,
                    evaluations: 0,
                    gradients: 0,
                    no_gradient: false,
                    refuted: false,
                    kkt_residual: 0.0,
                    noise,
                },
                original,
                feasible_box,
                jobs: first..jobs.len(),
                others: Vec::new(),
                refuted: false,
                left_out: false,
            });
        }
        Ok((prepared, jobs))
    }

    /// What the classifier answers to the originals, and how clearly; to those that were looked at, where
    /// the work is cancelled.
    fn look_at<'o>(
        &self,
        originals: &'o Originals<'_>,
        stop: StopCondition<'_>,
    ) -> Result<Vec<At<'o>>, ClassifierError> {
        let images = originals
            .values
            .par_chunks_exact(self.classifier.input_len());
        let looked = images.enumerate().map_init(
            || self.runtime.judge(),
            |judge, (i, original)| {
                if stop.monitor.cancelled() {
                    return Ok(None);
                }
                let (position, index) = (originals.positions[i], originals.indices[i]);
                judge
                    .evaluate(original, 0.0)
                    .map_err(|error| error.of_input(|_| index))?;
                let objective = self.options.misclassified(originals.labels[position]);
                Ok(Some(At {
                    position,
                    index,
                    original,
                    outputs: judge.outputs().to_vec(),
                    prediction: judge.prediction(),
                    already_misclassified: judge.reached(objective),
                    noise: judge.noise(),
                    lead: judge.lead(),
                }))
            },
        );
        // All of them first: of several errors that of the first image counts.
        let looked: Vec<Result<Option<At<'_>>, ClassifierError>> = looked.collect();
        looked.into_iter().filter_map(Result::transpose).collect()
    }

    /// Verified examples of what the jobs have found.
    fn settle(
        &self,
        mut prepared: Vec<Prepared<'_>>,
        mut jobs: Vec<Job<'_>>,
        stop: StopCondition<'_>,
    ) -> Result<(Block, Vec<usize>), ClassifierError> {
        let cancelled = stop.monitor.cancelled();
        prepared.retain(|image| {
            let jobs = &jobs[image.jobs.clone()];
            let mut begun = jobs.iter().map(|job| job.found.is_some());
            // An image that was not searched through is no example, unless time was limited.
            jobs.is_empty()
                || if cancelled {
                    begun.all(|b| b)
                } else {
                    begun.any(|b| b)
                }
        });
        for image in &mut prepared {
            for job in &mut jobs[image.jobs.clone()] {
                image.others.extend(ends(&image.example, job));
                take_smallest(&mut image.example, job);
            }
        }
        drop(jobs);
        let candidates = prepared.iter_mut().map(|image| Candidate {
            example: &mut image.example,
            original: image.original,
            feasible_box: &image.feasible_box,
            refuted: &mut image.refuted,
            left_out: &mut image.left_out,
        });
        let until = cancelled.then(|| Instant::now() + GRACE);
        verify::verify(&self.runtime, self.options, candidates.collect(), until)?;
        prepared.retain(|image| !image.left_out);
        if !cancelled {
            self.take_nearer(&mut prepared)?;
        }
        let mut block = Block {
            examples: Vec::with_capacity(prepared.len()),
            originals: Vec::with_capacity(prepared.len() * self.classifier.input_len()),
        };
        let mut refuted = Vec::new();
        for image in prepared {
            if image.refuted {
                refuted.push(image.example.position);
            }
            block.examples.push(image.example);
            block.originals.extend_from_slice(image.original);
        }
        Ok((block, refuted))
    }

    /// Where rounding has made examples longer, or has undone them: in their place what other methods
    /// ended at, if that is nearer and succeeds.
    fn take_nearer(&self, prepared: &mut [Prepared<'_>]) -> Result<(), ClassifierError> {
        let norm = self.options.norm;
        let mut candidates = Vec::new();
        for image in prepared.iter_mut() {
            let (succeeds, size) = (image.example.success, image.example.norm(norm));
            let nearer = |other: &Example| !succeeds || other.norm(norm) < size;
            image.others.retain(nearer);
            candidates.extend(image.others.iter_mut().map(|example| {
                let (refuted, left_out) = (false, false);
                (
                    image.original,
                    &*image.feasible_box,
                    example,
                    refuted,
                    left_out,
                )
            }));
        }
        let all = candidates.iter_mut();
        let all = all.map(
            |(original, feasible_box, example, refuted, left_out)| Candidate {
                example,
                original,
                feasible_box,
                refuted,
                left_out,
            },
        );
        verify::verify(&self.runtime, self.options, all.collect(), None)?;
        for image in prepared {
            for other in image.others.drain(..).filter(|other| other.success) {
                let own = &mut image.example;
                if !own.success || other.norm(norm) < own.norm(norm) {
                    let (evaluations, gradients) = (own.evaluations, own.gradients);
                    *own = Example {
                        evaluations,
                        gradients,
                        ..other
                    };
                }
            }
        }
        Ok(())
    }
}

/// The examples that other methods ended at in a job.
fn ends(example: &Example, job: &mut Job<'_>) -> Vec<Example> {
    let (task, ends) = (&job.task, std::mem::take(&mut job.ends));
    let of = |adversarial| {
        let mut end = Example {
            adversarial,
            ..example.clone()
        };
        if let Goal::Targeted(target) = task.objective.goal {
            end.target = target;
        }
        end.measure(task.original, task.measure);
        end
    };
    ends.into_iter().map(of).collect()
}

/// Adds what a job has found to the example of its image: of several objectives, the smallest
/// perturbation counts.
fn take_smallest(example: &mut Example, job: &mut Job<'_>) {
    let Some(found) = job.found.take() else {
        return;
    };
    example.evaluations += found.effort.evaluations;
    example.gradients += found.effort.gradients;
    let (original, measure) = (job.task.original, job.task.measure);
    let size = found.adversarial.as_ref();
    let size = size.map(|image| measure.of(original, image));
    let kept = example.norm(measure.norm);
    if example.l2 == 0.0 || size.is_some_and(|size| size < kept) {
        if let Goal::Targeted(target) = job.task.objective.goal {
            example.target = target;
        }
        if let Some(image) = found.adversarial {
            example.adversarial = image;
            example.measure(original, measure);
        }
    }
}
