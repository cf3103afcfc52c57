//! The front door to universal perturbations.

use std::time::{Duration, Instant};

use blindspot_data::ImageSet;
use blindspot_model::classifier::Classifier;
use blindspot_model::classify::answers;
use blindspot_model::inputs::{InMemory, Inputs, read_batch};
use blindspot_model::{InputBox, Norm};
use blindspot_run::monitor::{Monitor, Unwatched};

use super::field::{Field, Limits};
use super::judge::{FoolingShare, Verdict, check, judge};
use super::options::{Aim, UniversalOptions};
use super::search::{Ended, search};
use super::{UniversalError, ball};
use crate::search::{SearchError, Target};

/// A search for one perturbation of all images, built step by step.
///
/// ```no_run
/// use blindspot::prelude::*;
/// use blindspot::universal::Universal;
///
/// let model = Model::open("fc100.onnx")?;
/// let images = ImageSet::open("mnist:train")?.first(2000);
/// let found = Universal::within(3.0).run(&model, &images)?;
/// let held_out = found.fools(&model, &ImageSet::open("mnist:test")?)?;
/// println!("{:.1}% of images never seen", 100.0 * held_out.unwrap().share);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a search does nothing until it is run"]
pub struct Universal {
    options: UniversalOptions,
    /// The input box asked for, in place of the classifier's.
    input_box: Option<InputBox>,
}

/// A universal perturbation that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct UniversalPerturbation {
    /// What is added to each image, before the sum is clipped to the input box; as long as an image.
    pub delta: Vec<f32>,
    /// Its norm, in the one of the options.
    pub norm: f64,
    /// How it was searched for.
    pub options: UniversalOptions,
    /// Images that it was found on: those right as they are, and not of the target class.
    pub images: usize,
    /// Whether it fools the share asked for of these; true where none was.
    pub reached: bool,
    /// Evaluations of the classifier for each of these images, on average.
    pub evaluations: f64,
    /// Gradients for each of these images, on average.
    pub gradients: f64,
    /// Why the search ended.
    pub ended: Ended,
}

impl Universal {
    /// Looks for the perturbation with a norm of at most `epsilon` that fools most images.
    pub fn within(epsilon: f64) -> Universal {
        Universal::of(UniversalOptions::new(Aim::Epsilon(epsilon)))
    }

    /// Looks for the smallest perturbation that fools at least this share of the images that the classifier gets right,
    /// above 0 and at most 1.
    pub fn fooling(share: f64) -> Universal {
        Universal::of(UniversalOptions::new(Aim::Share(share)))
    }

    /// With all of these options.
    pub fn by(options: UniversalOptions) -> Universal {
        Universal {
            input_box: Some(options.input_box),
            options,
        }
    }

    fn of(options: UniversalOptions) -> Universal {
        Universal {
            options,
            input_box: None,
        }
    }

    /// Sets the norm in which the perturbation is to be small, L2 or Linf; L2 by default.
    pub fn norm(mut self, norm: Norm) -> Universal {
        self.options.norm = norm;
        self
    }

    /// Asks for one class for every image; images of that class don't count. Any wrong class by default.
    pub fn class(mut self, class: usize) -> Universal {
        self.options.target = Target::Class(class);
        self
    }

    /// Sets the seed of all that is random; 0 by default.
    pub fn seed(mut self, seed: u64) -> Universal {
        self.options.seed = seed;
        self
    }

    /// Sets the valid range of every input value, in place of the classifier's own.
    pub fn input_box(mut self, lower: f32, upper: f32) -> Universal {
        self.input_box = Some(InputBox { lower, upper });
        self
    }

    /// Sets the evaluations of the classifier for each image at most.
    pub fn max_evaluations(mut self, max_evaluations: u64) -> Universal {
        self.options.max_evaluations = Some(max_evaluations);
        self
    }

    /// Sets the seconds for the search at most. The result depends on the machine then.
    pub fn time_limit(mut self, seconds: f64) -> Universal {
        self.options.time_limit = Some(seconds);
        self
    }

    /// Runs the search on all images of a labelled set, which are held in memory meanwhile. The same bits come out for
    /// any number of rayon's threads, unless a time limit ends the search.
    ///
    /// # Errors
    /// [`UniversalError`] where options, images, labels and classifier don't fit each other, the classifier gets no
    /// image right, or fails.
    pub fn run(
        &self,
        classifier: &impl Classifier,
        images: &ImageSet,
    ) -> Result<UniversalPerturbation, UniversalError> {
        let labels = images.labels().ok_or(SearchError::NoLabels)?;
        self.run_watched(classifier, images, labels, &Unwatched)
    }

    /// Runs the search as [`run`](Universal::run) does on inputs with their true classes, with a monitor that is told
    /// how far it is and can cancel it: the best perturbation so far is given then.
    ///
    /// # Errors
    /// [`UniversalError`] where options, inputs, labels and classifier don't fit each other, the classifier gets no
    /// input right, or fails.
    pub fn run_watched(
        &self,
        classifier: &dyn Classifier,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        monitor: &dyn Monitor,
    ) -> Result<UniversalPerturbation, UniversalError> {
        let begun = Instant::now();
        let options = UniversalOptions {
            input_box: self.input_box.unwrap_or_else(|| classifier.input_box()),
            ..self.options.clone()
        };
        options.check(classifier.classes())?;
        check(classifier, inputs, labels)?;
        let (images, labels) = right(classifier, inputs, labels, &options)?;
        let deadline = options.time_limit.map(|seconds| {
            let limit = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
            begun.checked_add(limit)
        });
        let limits = Limits {
            monitor,
            deadline: deadline.flatten(),
        };
        let field = Field::new(classifier, &images, &labels, &options, limits);
        let best = search(&field, &options)?;
        Ok(UniversalPerturbation {
            norm: ball::norm(options.norm, &best.delta),
            delta: best.delta,
            images: labels.len(),
            reached: best.reached,
            evaluations: field.evaluations() as f64 / labels.len() as f64,
            gradients: field.gradients() as f64 / labels.len() as f64,
            ended: best.ended,
            options,
        })
    }
}

impl UniversalPerturbation {
    /// What share of the images of a labelled set it fools, of those that a classifier gets right; None where that are
    /// none. The classifier may be another one than it was found on.
    ///
    /// # Errors
    /// [`UniversalError`] where images and classifier don't fit, or the classifier fails.
    pub fn fools(
        &self,
        classifier: &impl Classifier,
        images: &ImageSet,
    ) -> Result<Option<FoolingShare>, UniversalError> {
        let labels = images.labels().ok_or(SearchError::NoLabels)?;
        let verdicts = self.judge(classifier, images, labels, &Unwatched)?;
        Ok(FoolingShare::of(&verdicts, self.options.class()))
    }

    /// What a classifier answers to inputs without it and with it, as [`judge`] says.
    ///
    /// # Errors
    /// Those of [`judge`].
    pub fn judge(
        &self,
        classifier: &dyn Classifier,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Verdict>, UniversalError> {
        let input_box = self.options.input_box;
        judge(classifier, inputs, labels, &self.delta, input_box, monitor)
    }
}

/// The images that can be fooled, with their classes.
fn right(
    classifier: &dyn Classifier,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
    options: &UniversalOptions,
) -> Result<(InMemory, Vec<usize>), UniversalError> {
    let length = inputs.input_len();
    let mut values = vec![0.0; inputs.len() * length];
    read_batch(inputs, 0..inputs.len(), &mut values)?;
    let bounds = options.input_box;
    let outside = |value: &f32| !(bounds.lower..=bounds.upper).contains(value);
    if let Some(place) = values.iter().position(outside) {
        let index = inputs.index(place / length);
        let value = values[place];
        return Err(SearchError::Outside {
            index,
            value,
            bounds,
        }
        .into());
    }
    let images = InMemory::new(values, length);
    let answers = answers(&classifier, &images);
    let answers = answers.map_err(|error| error.of_input(|at| inputs.index(at)))?;
    let right = (0..inputs.len()).filter(|&at| answers[at] == labels[at]);
    let right: Vec<usize> = right.collect();
    if right.is_empty() {
        return Err(UniversalError::NoneRight(inputs.len()));
    }
    let others = right
        .into_iter()
        .filter(|&at| Some(labels[at]) != options.class());
    let kept: Vec<usize> = others.collect();
    if kept.is_empty() {
        let class = options.class().unwrap_or_default();
        return Err(SearchError::AllOfTarget(class).into());
    }
    let values = kept.iter().flat_map(|&at| images.input(at)).copied();
    let images = InMemory::new(values.collect(), length);
    Ok((images, kept.iter().map(|&at| labels[at]).collect()))
}
