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

/// What the outputs that users see must differ by, as a fraction of the largest or of their unit, where the model has
/// an end of its own. Runtimes approximate exponential functions to a few units of rounding; numbers
/// of fewer bits may be rounded to the same one if they are less than two steps apart.
fn end_resolution(precision: Precision) -> f64 {
    let roundings = if precision == Precision::Single {
        4.0
    } else {
        3.0
    };
    roundings * precision.unit_roundoff()
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
    answering_refolded: Option<Box<dyn Classifier + 'c>>,
}

impl<'c> Runtime<'c> {
    /// # Errors
    /// [`ClassifierError`] where one of the forms can't be read.
    pub(super) fn of(classifier: &'c dyn Classifier) -> Result<Self, ClassifierError> {
        classifier.prepare()?;
        let exact = classifier.exact();
        Ok(Runtime {
            classifier,
            is_exact: exact.is_some(),
            exact: exact.unwrap_or_else(|| widened(classifier)),
            rounded: classifier.rounded(),
            refolded: classifier.refolded(),
            answering: classifier.answering(),
            answering_refolded: classifier.answering_refolded(),
        })
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
        let forms = [&self.answering, &self.answering_refolded].into_iter();
        let answering = forms.flatten().map(|form| End {
            evaluator: CheckedEvaluator::new(&**form).letting_infinities(),
            answers: Vec::new(),
        });
        Judge {
            noise: MarginNoise::new(rounded, self.is_exact.then_some(&*self.exact))
                .and_of(self.refolded.as_deref()),
            ends: answering.collect(),
            unit: self.classifier.answering_unit(),
            input: self.classifier.input_precision(),
            end: self.classifier.answering_precision(),
            at: 0.0,
        }
    }
}

/// Judges images, one after the other.
pub(super) struct Judge<'r> {
    noise: MarginNoise<'r>,
    /// The forms of the classifier with the outputs that users see, if these are others: first the
    /// one that is reported.
    ends: Vec<End<'r>>,
    /// What their rounding is relative to, if they are smaller.
    unit: f64,
    input: Precision,
    /// The format of the outputs that users see.
    end: Precision,
    /// The noise at the image judged last.
    at: f64,
}

/// A form of the classifier with the outputs that users see.
struct End<'r> {
    evaluator: CheckedEvaluator<'r, f32>,
    /// At the image judged last.
    answers: Vec<f32>,
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
        for End { evaluator, answers } in &mut self.ends {
            evaluator.input(1)?.copy_from_slice(image);
            answers.clear();
            answers.extend_from_slice(evaluator.outputs()?);
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
        argmax(self.answers())
    }

    /// The outputs that users see.
    fn answers(&self) -> &[f32] {
        match self.ends.first() {
            Some(end) => &end.answers,
            None => self.outputs(),
        }
    }

    /// Whether the objective is reached at that image, in any runtime.
    pub(super) fn reached(&self, objective: Objective) -> bool {
        // The outputs that users see have another unit than the confidence.
        let answer = Objective {
            confidence: 0.0,
            ..objective
        };
        let mut ends = self.ends.iter().map(|end| &end.answers[..]);
        self.leads(objective)
            && answer.margin(self.answers()) > 0.0
            && ends.all(|seen| answer.margin(seen) > self.resolution(seen))
    }

    /// What outputs that users see must differ by to be told apart in any runtime.
    fn resolution(&self, answers: &[f32]) -> f64 {
        let finite = answers.iter().filter(|answer| answer.is_finite());
        let sizes = finite.map(|&answer| f64::from(answer).abs());
        end_resolution(self.end) * sizes.fold(self.unit, f64::max)
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
        let Some(End { answers, .. }) = self.ends.first() else {
            return noise;
        };
        // The end's slope, on the average over the outputs.
        let logits = spread(self.outputs());
        let wanted = LEAD * self.resolution(answers) * logits / spread(answers);
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
