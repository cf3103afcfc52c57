//! A check of what comes from outside.

use blindspot_net::Real;

use super::{Classifier, ClassifierError, Evaluate};

/// An evaluator whose answers are checked: what comes from outside may have any length, and NaN or
/// infinities would be taken for an answer.
pub struct CheckedEvaluator<'c, T> {
    evaluator: Box<dyn Evaluate<T> + 'c>,
    input_len: usize,
    classes: usize,
    count: usize,
    /// Whether outputs may be infinite.
    infinities: bool,
}

impl<'c, T: Real> CheckedEvaluator<'c, T> {
    /// A new evaluator of a classifier.
    pub fn new(classifier: &'c (impl Classifier<T> + ?Sized)) -> Self {
        CheckedEvaluator {
            evaluator: classifier.evaluator(),
            input_len: classifier.input_len(),
            classes: classifier.classes(),
            count: 0,
            infinities: false,
        }
    }

    /// Lets outputs be infinite: of a model whose end makes such of finite logits.
    #[must_use]
    pub fn letting_infinities(self) -> Self {
        CheckedEvaluator {
            infinities: true,
            ..self
        }
    }

    /// How many classes the classifier has.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many values one input has.
    pub fn input_len(&self) -> usize {
        self.input_len
    }

    /// As [`Evaluate::input`].
    ///
    /// # Errors
    /// [`ClassifierError::Length`] if the classifier gives room for another number of values.
    pub fn input(&mut self, count: usize) -> Result<&mut [T], ClassifierError> {
        self.count = count;
        let input = self.evaluator.input(count);
        check_length("inputs", input.len(), count * self.input_len)?;
        Ok(input)
    }

    /// As [`Evaluate::outputs`]; not of another length, and finite.
    ///
    /// # Errors
    /// Those of the classifier, [`ClassifierError::Length`] and [`ClassifierError::NotFinite`].
    pub fn outputs(&mut self) -> Result<&[T], ClassifierError> {
        let outputs = self.evaluator.outputs()?;
        check_length("outputs", outputs.len(), self.count * self.classes)?;
        let infinities = self.infinities;
        let fails = |output: &T| output.is_nan() || output.is_infinite() && !infinities;
        match outputs.iter().position(fails) {
            Some(place) => Err(ClassifierError::NotFinite {
                value: outputs[place].to_string(),
                input: place / self.classes,
            }),
            None => Ok(outputs),
        }
    }

    /// As [`Evaluate::pull_back`]; not of another length.
    ///
    /// NaN is let through: a network has it where it can't be differentiated (a square root at
    /// 0), and a step along it leads nowhere.
    ///
    /// # Errors
    /// Those of the classifier, and [`ClassifierError::Length`].
    pub fn pull_back(&mut self, output_gradients: &[T]) -> Result<&[T], ClassifierError> {
        let gradients = self.evaluator.pull_back(output_gradients)?;
        check_length("gradients", gradients.len(), self.count * self.input_len)?;
        Ok(gradients)
    }
}

fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), ClassifierError> {
    if found == expected {
        Ok(())
    } else {
        Err(ClassifierError::Length {
            what,
            found,
            expected,
        })
    }
}
