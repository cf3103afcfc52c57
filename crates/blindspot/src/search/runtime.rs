//! What a classifier answers where it is used: whether an image succeeds there, and not just in the
//! arithmetic that the search runs in.

use blindspot_model::classifier::{CheckedEvaluator, Classifier, ClassifierError, widened};
use blindspot_model::rounding::MarginNoise;
use blindspot_net::{Precision, argmax};

use super::objective::Objective;

/// A classifier in all the forms that it is judged by.
pub(super) struct Runtime<'c> {
    classifier: &'c dyn Classifier,
    exact: Box<dyn Classifier<f64> + 'c>,
    /// Whether `exact` is more than the classifier itself.
    is_exact: bool,
    rounded: Option<Box<dyn Classifier + 'c>>,
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
            noise: MarginNoise::new(rounded, self.is_exact.then_some(&*self.exact)),
            answering: answering.map(CheckedEvaluator::letting_infinities),
            input: self.classifier.input_precision(),
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
            answer.margin(&self.answers) > 0.0
        }
    }

    /// Whether the outputs lead by more than the noise, however the end of the model rounds them.
    pub(super) fn leads(&self, objective: Objective) -> bool {
        objective.margin(self.exact_outputs()) > self.at
    }
}
