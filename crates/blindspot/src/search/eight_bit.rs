//! Examples as images of 8-bit values.
//!
//! Rounding a perturbation that ends on the decision boundary often undoes it, because most of its
//! values are smaller than half a level. Minimising |delta|^2 under a linear constraint over whole
//! levels has the Lagrangian solution delta = round(a g), g the gradient of the constraint; and the
//! example found in floats is, as far as it is a local minimum, a multiple of that gradient (cut to
//! the box). So the perturbation is stretched, then rounded, and the smallest stretch with which
//! the rounded image succeeds is searched for. Where none does, 8-bit images are searched step by
//! step ([`integer`](super::integer)).

use std::sync::atomic::{AtomicU64, Ordering};

use blindspot_model::InputBox;
use blindspot_model::classifier::{Classifier, ClassifierError};
use blindspot_run::monitor::Monitor;
use rayon::prelude::*;

use super::bounds::FeasibleBoxes;
use super::integer::IntegerSearch;
use super::levels::{level, value};
use super::perturbation::norm;
use super::runtime::{Judge, Runtime};
use super::task::{StopCondition, Task};
use super::{Example, SearchError, SearchOptions, aimed, batch};

/// The last stretch that is tried.
const LAST_STRETCH: f64 = 64.0;
/// Factor from one stretch that fails to the next.
const GROWTH: f64 = 1.4;
/// Halvings between a stretch that fails and one that succeeds.
const HALVINGS: usize = 8;

/// An example as an image of 8-bit values.
#[derive(Debug, Clone, PartialEq)]
pub struct EightBit {
    /// The adversarial image in the order of the input's values: level / 255 is the value.
    pub levels: Vec<u8>,
    /// The class that the classifier gives this image.
    pub prediction: usize,
    /// Whether the image reaches the objective, by more than rounding noise.
    pub success: bool,
    /// Whether rounding the example was enough.
    pub rounded: bool,
    /// L2 norm of the perturbation, in the unit of the input's values.
    pub l2: f64,
}

impl EightBit {
    /// Root mean square of the perturbation.
    pub fn distortion(&self) -> f64 {
        self.l2 / (self.levels.len() as f64).sqrt()
    }

    /// The values of the adversarial image, level / 255, in [0, 1].
    pub fn values(&self) -> impl Iterator<Item = f32> + '_ {
        self.levels.iter().copied().map(value)
    }
}

/// Finds for each example an image of 8-bit values that succeeds, with a small perturbation.
///
/// `originals` holds the original image of each example, one after the other. Examples that were
/// already misclassified, or for which nothing was found, are only rounded. Perturbations are
/// measured from the original even if its own values are no levels.
///
/// # Errors
/// [`SearchError::Levels`] where values outside [0, 1] are allowed, [`SearchError::Classifier`]
/// where the classifier fails.
pub fn eight_bit(
    classifier: &dyn Classifier,
    options: &SearchOptions,
    examples: &[Example],
    originals: &[f32],
    monitor: &dyn Monitor,
) -> Result<Vec<EightBit>, SearchError> {
    if let Some(goal) = &options.goal {
        return aimed::eight_bit(classifier, goal, options, (examples, originals), monitor);
    }
    let length = classifier.input_len();
    let bounds = options.bounds_for(length);
    let ends = bounds.lower.iter().zip(&bounds.upper);
    if let Some((&lower, &upper)) = ends.into_iter().find(|&(&l, &u)| l < 0.0 || u > 1.0) {
        return Err(SearchError::Levels(InputBox { lower, upper }));
    }
    let boxes = FeasibleBoxes::new(bounds);
    let sources: Vec<Source<'_>> = examples
        .iter()
        .zip(originals.chunks_exact(length))
        .map(|(example, original)| Source {
            example,
            task: Task {
                original,
                begin: None,
                index: example.index,
                objective: options.objective(example.label, example.target),
                measure: options.measure(classifier.input_shape()),
                lead: example.noise,
                feasible_box: boxes.around(original),
                max_evaluations: u64::MAX,
            },
        })
        .collect();
    let rounding = Rounding {
        runtime: Runtime::of(classifier)?,
        monitor,
    };
    let mut found = rounding.stretch(&sources)?;
    rounding.search_failed(&sources, &mut found)?;
    Ok(found)
}

/// An example with what a search for its 8-bit image needs.
struct Source<'a> {
    example: &'a Example,
    task: Task<'a>,
}

impl Source<'_> {
    /// Whether there is a successful perturbation to be rounded.
    fn is_searched(&self) -> bool {
        self.example.success && !self.example.already_misclassified
    }
}

/// The classifier as it is used, and who follows.
struct Rounding<'c> {
    runtime: Runtime<'c>,
    monitor: &'c dyn Monitor,
}

impl Rounding<'_> {
    /// The smallest stretch of each example that succeeds when rounded.
    fn stretch(&self, sources: &[Source<'_>]) -> Result<Vec<EightBit>, ClassifierError> {
        let monitor = self.monitor;
        monitor.begin("8-bit images", sources.len() as u64);
        let done = AtomicU64::new(0);
        let found: Result<Vec<EightBit>, ClassifierError> = sources
            .par_iter()
            .map_init(
                || self.runtime.judge(),
                |judge, source| {
                    let mut search = Stretch::new(source);
                    while !monitor.cancelled() && !search.over {
                        search.step(judge)?;
                    }
                    let before = done.fetch_add(1, Ordering::Relaxed);
                    monitor.progress(before + 1, "");
                    Ok(search.end())
                },
            )
            .collect();
        monitor.end();
        found
    }

    /// Searches among 8-bit images where an example was found in floats and no stretch of it
    /// succeeds.
    fn search_failed(
        &self,
        sources: &[Source<'_>],
        found: &mut [EightBit],
    ) -> Result<(), ClassifierError> {
        let failed = |&i: &usize| sources[i].is_searched() && !found[i].success;
        let failed: Vec<usize> = (0..found.len()).filter(failed).collect();
        if failed.is_empty() || self.monitor.cancelled() {
            return Ok(());
        }
        let start = |number: usize, _| {
            let source = &sources[failed[number]];
            IntegerSearch::new(&source.task, source.example.l2)
        };
        let stop = StopCondition {
            monitor: self.monitor,
            deadline: None,
        };
        self.monitor
            .begin("8-bit images that need more", failed.len() as u64);
        let index = |number: usize| sources[failed[number]].task.index;
        let images = batch::run(self.runtime.classifier(), failed.len(), start, stop)
            .map_err(|error| error.of_input(index))?;
        self.monitor.end();
        let mut judge = self.runtime.judge();
        for (&i, image) in failed.iter().zip(images) {
            let Some(image) = image.and_then(|found| found.adversarial) else {
                continue;
            };
            let Task {
                objective,
                original,
                index,
                lead,
                ..
            } = sources[i].task;
            judge
                .evaluate(&image, lead)
                .map_err(|error| error.of_input(|_| index))?;
            if judge.reached(objective) {
                let levels = image.iter().map(|value| (value * 255.0).round() as u8);
                found[i] = EightBit {
                    levels: levels.collect(),
                    prediction: judge.prediction(),
                    success: true,
                    rounded: false,
                    l2: norm(original, &image),
                };
            }
        }
        Ok(())
    }
}

/// The search for the smallest stretch that succeeds.
struct Stretch<'a> {
    source: &'a Source<'a>,
    /// The stretch that was rounded to `levels`.
    stretch: f64,
    levels: Vec<u8>,
    fails: f64,
    succeeds: Option<f64>,
    halvings: usize,
    /// The smallest that succeeds, with its norm.
    best: Option<(f64, EightBit)>,
    /// The example rounded without a stretch.
    plain: Option<EightBit>,
    over: bool,
}

impl<'a> Stretch<'a> {
    fn new(source: &'a Source<'a>) -> Self {
        let mut search = Stretch {
            source,
            stretch: 1.0,
            levels: vec![0; source.task.original.len()],
            fails: 0.0,
            succeeds: None,
            halvings: 0,
            best: None,
            plain: None,
            over: false,
        };
        search.round();
        search
    }

    /// Rounds the stretched perturbation.
    fn round(&mut self) {
        let stretch = self.stretch as f32;
        let values = self.source.task.original.iter();
        let values = values.zip(&self.source.example.adversarial);
        for (i, (place, (&from, &to))) in self.levels.iter_mut().zip(values).enumerate() {
            let wanted = from + stretch * (to - from);
            *place = level(&self.source.task.feasible_box, i, wanted);
        }
    }

    /// Judges the rounded image; goes on to the next stretch.
    fn step(&mut self, judge: &mut Judge<'_>) -> Result<(), ClassifierError> {
        let (example, task) = (self.source.example, &self.source.task);
        let rounded: Vec<f32> = self.levels.iter().copied().map(value).collect();
        judge
            .evaluate(&rounded, task.lead)
            .map_err(|error| error.of_input(|_| task.index))?;
        let clear = judge.reached(task.objective);
        let prediction = judge.prediction();
        let misclassified = example.already_misclassified && prediction != example.label;
        let found = EightBit {
            levels: self.levels.clone(),
            prediction,
            success: clear || misclassified,
            rounded: self.stretch == 1.0,
            l2: norm(task.original, &rounded),
        };
        let size = task.measure.of(task.original, &rounded);
        if self.plain.is_none() {
            self.plain = Some(found.clone());
        }
        if clear {
            self.succeeds = Some(self.stretch);
            if self.best.as_ref().is_none_or(|(best, _)| size < *best) {
                self.best = Some((size, found));
            }
        } else {
            self.fails = self.stretch;
        }
        match self.succeeds {
            _ if !self.source.is_searched() => self.over = true,
            None => {
                self.stretch *= GROWTH;
                self.over = self.stretch > LAST_STRETCH;
            }
            Some(succeeds) => {
                self.stretch = 0.5 * (self.fails + succeeds);
                self.halvings += 1;
                self.over = self.halvings > HALVINGS;
            }
        }
        if !self.over {
            self.round();
        }
        Ok(())
    }

    fn end(self) -> EightBit {
        let rounded = self.plain.as_ref().is_some_and(|plain| plain.success);
        let cancelled = EightBit {
            levels: self.levels,
            prediction: self.source.example.prediction,
            success: false,
            rounded: false,
            l2: 0.0,
        };
        let best = self.best.map(|(_, image)| image);
        let mut kept = best.or(self.plain).unwrap_or(cancelled);
        kept.rounded = rounded;
        kept
    }
}
