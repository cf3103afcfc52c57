//! What a classifier answers where it is used: whether an image succeeds there, and not just in the
//! arithmetic that the search runs in.

use blindspot_model::classifier::{CheckedEvaluator, Classifier, ClassifierError, widened};
use blindspot_model::rounding::MarginNoise;
use blindspot_net::{Precision, argmax};

use super::objective::Objective;

/// What a search asks a margin to exceed, as a multiple of the rounding noise at the original: that
/// at the final image may be larger.
const LEAD: f64 = 1.5;
/// The most that an end may ask for, as a fraction of the outputs' spread at the original.
const MOST_FOR_END: f64 = 0.25;

/// What the outputs that users see must differ by, as a fraction of the largest, where the model has
/// an end of its own. Runtimes approximate exponential functions to a few units of rounding; numbers
/// of fewer bits may be rounded to the same one if they are less than two steps apart.
fn end_resolution(precision: Precision) -> f64 {
    match precision {
        Precision::Single => 4.0 / f64::from(1u32 << 24),
        Precision::Half => 1.5 / f64::from(1u32 << 10),
        Precision::Brain => 1.5 / f64::from(1u32 << 7),
    }
}

/// A classifier in all the forms that it is judged by.
pub(super) struct Runtime<'c> {
    classifier: &'c dyn Classifier,
    exact: Box<dyn Classifier<f64> + 'c>,
    /// Whether `exact` is more than the classifier itself.
    is_exact: bool,
    rounded: Option<Box<dyn Classifier + 'c>>,
    refolded: Option<Box<dyn Classifier + 'c>>,
    answering: Option<Box<dyn Classifier + 'c>>,
}

impl<'c> Runtime<'c> {
    pub(super) fn of(classifier: &'c dyn Classifier) -> Self {
        let exact = classifier.exact();
        Runtime {
            classifier,
            is_exact: exact.is_some(),
            exact: exact.unwrap_or_else(|| widened(classifier)),
            rounded: classifier.rounded(),
            refolded: classifier.refolded(),
            answering: classifier.answering(),
        }
    }

    pub(super) fn classifier(&self) -> &'c dyn Classifier {
        self.classifier
    }

    /// The classifier in double precision, as far as it has that.
    pub(super) fn exact(&self) -> &dyn Classifier<f64> {
        &*self.exact
    }

    /// What judges images, one for each thread.
    pub(super) fn judge(&self) -> Judge<'_> {
        let rounded = self.rounded.as_deref().unwrap_or(self.classifier);
        let answering = self.answering.as_deref().map(CheckedEvaluator::new);
        Judge {
            noise: MarginNoise::new(rounded, self.is_exact.then_some(&*self.exact))
                .and_of(self.refolded.as_deref()),
            answering: answering.map(CheckedEvaluator::letting_infinities),
            input: self.classifier.input_precision(),
            end: match &self.rounded {
                Some(rounded) => rounded.input_precision(),
                None => Precision::Single,
            },
            answers: Vec::new(),
            at: 0.0,
        }
    }
}

/// Judges images, one after the other.
pub(super) struct Judge<'r> {
    noise: MarginNoise<'r>,
    answering: Option<CheckedEvaluator<'r, f32>>,
    input: Precision,
    /// The format of the outputs that users see.
    end: Precision,
    /// The outputs that users see, at the image judged last.
    answers: Vec<f32>,
    /// The noise there.
    at: f64,
}

impl Judge<'_> {
    /// Rounds an image's values as where the classifier is used.
    pub(super) fn round(&self, image: &mut [f32]) {
        for value in image {
            *value = self.input.round(*value);
        }
    }

    /// Evaluates an image in all forms. `noise` is that of an image close by, 0 where none is known:
    /// more errors say more, and the larger one counts.
    ///
    /// # Errors
    /// [`ClassifierError`] where the classifier fails.
    pub(super) fn evaluate(&mut self, image: &[f32], noise: f64) -> Result<(), ClassifierError> {
        self.at = self.noise.at(image)?.max(noise);
        self.answers.clear();
        match &mut self.answering {
            Some(answering) => {
                answering.input(1)?.copy_from_slice(image);
                self.answers.extend_from_slice(answering.outputs()?);
            }
            None => self.answers.extend(&self.noise.outputs().rounded),
        }
        Ok(())
    }

    /// The outputs at that image as the search sees them, but for rounding to fewer bits.
    pub(super) fn outputs(&self) -> &[f32] {
        &self.noise.outputs().rounded
    }

    /// The outputs in double precision.
    pub(super) fn exact_outputs(&self) -> &[f64] {
        &self.noise.outputs().exact
    }

    /// The rounding noise of a margin.
    pub(super) fn noise(&self) -> f64 {
        self.at
    }

    /// The class that users are answered.
    pub(super) fn prediction(&self) -> usize {
        argmax(&self.answers)
    }

    /// Whether the objective is reached at that image, in any runtime.
    pub(super) fn reached(&self, objective: Objective) -> bool {
        self.leads(objective) && {
            // The outputs that users see have another unit than the confidence.
            let answer = Objective {
                confidence: 0.0,
                ..objective
            };
            answer.margin(&self.answers) > self.resolution()
        }
    }

    /// What the outputs that users see must differ by to be told apart in any runtime.
    fn resolution(&self) -> f64 {
        if self.answering.is_none() {
            return 0.0;
        }
        let finite = self.answers.iter().filter(|answer| answer.is_finite());
        let sizes = finite.map(|&answer| f64::from(answer).abs());
        end_resolution(self.end) * sizes.fold(0.0, f64::max)
    }

    /// What a search from that image should ask a margin to exceed, so that both the noise and the
    /// end of the model leave its answer as it is.
    pub(super) fn lead(&self) -> f64 {
        let spread = |values: &[f32]| {
            let finite = || {
                values
                    .iter()
                    .map(|&x| f64::from(x))
                    .filter(|x| x.is_finite())
            };
            finite().fold(f64::NEG_INFINITY, f64::max) - finite().fold(f64::INFINITY, f64::min)
        };
        let noise = LEAD * self.at;
        if self.answering.is_none() {
            return noise;
        }
        // The end's slope, on the average over the outputs.
        let (logits, answers) = (spread(self.outputs()), spread(&self.answers));
        let wanted = LEAD * self.resolution() * logits / answers;
        noise.max(if wanted.is_finite() {
            wanted.min(MOST_FOR_END * logits)
        } else {
            0.0
        })
    }

    /// Whether the outputs lead by more than the noise, however the end of the model rounds them.
    pub(super) fn leads(&self, objective: Objective) -> bool {
        objective.margin(self.exact_outputs()) > self.at
    }
}
