//! A check of what comes from outside.

use blindspot_net::Real;

use super::{Classifier, ClassifierError, Evaluate};

/// An evaluator whose answers are checked: what comes from outside may have any length, and NaN
/// would be taken for an answer.
pub struct CheckedEvaluator<'c, T> {
    evaluator: Box<dyn Evaluate<T> + 'c>,
    input_len: usize,
    classes: usize,
    count: usize,
}

impl<'c, T: Real> CheckedEvaluator<'c, T> {
    /// A new evaluator of a classifier.
    pub fn new(classifier: &'c (impl Classifier<T> + ?Sized)) -> Self {
        CheckedEvaluator {
            evaluator: classifier.evaluator(),
            input_len: classifier.input_len(),
            classes: classifier.classes(),
            count: 0,
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

    /// As [`Evaluate::outputs`]; neither of another length nor NaN.
    ///
    /// # Errors
    /// Those of the classifier, [`ClassifierError::Length`] and [`ClassifierError::NotANumber`].
    pub fn outputs(&mut self) -> Result<&[T], ClassifierError> {
        let outputs = self.evaluator.outputs()?;
        check_length("outputs", outputs.len(), self.count * self.classes)?;
        if outputs.iter().any(|output| output.is_nan()) {
            return Err(ClassifierError::NotANumber { what: "outputs" });
        }
        Ok(outputs)
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
