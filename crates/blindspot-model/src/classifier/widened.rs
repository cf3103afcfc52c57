//! A classifier in single precision, asked in double.

use super::{Classifier, ClassifierError, Evaluate};

/// A classifier that has only `f32`, as one that is asked in `f64`: inputs are rounded, outputs and
/// gradients widened. What stands in for [`Classifier::exact`] where there is none.
pub fn widened<'a>(classifier: &'a dyn Classifier) -> Box<dyn Classifier<f64> + 'a> {
    Box::new(Widened(classifier))
}

/// The number type that examples are verified in, from a classifier that has only `f32`: inputs are
/// rounded, outputs and gradients widened.
struct Widened<'a>(&'a dyn Classifier);

struct WidenedEvaluator<'a> {
    narrow: Box<dyn Evaluate + 'a>,
    count: usize,
    input: Vec<f64>,
    wide: Vec<f64>,
}

impl Classifier<f64> for Widened<'_> {
    fn input_shape(&self) -> &[usize] {
        self.0.input_shape()
    }

    fn classes(&self) -> usize {
        self.0.classes()
    }

    fn evaluator(&self) -> Box<dyn Evaluate<f64> + '_> {
        Box::new(WidenedEvaluator {
            narrow: self.0.evaluator(),
            count: 0,
            input: Vec::new(),
            wide: Vec::new(),
        })
    }

    fn values_per_input(&self) -> usize {
        self.0.values_per_input()
    }
}

impl Evaluate<f64> for WidenedEvaluator<'_> {
    fn input(&mut self, count: usize) -> &mut [f64] {
        let length = self.narrow.input(count).len();
        self.count = count;
        self.input.resize(length, 0.0);
        &mut self.input
    }

    fn outputs(&mut self) -> Result<&[f64], ClassifierError> {
        let narrow = self.narrow.input(self.count);
        for (narrow, &wide) in narrow.iter_mut().zip(&self.input) {
            *narrow = wide as f32;
        }
        self.wide.clear();
        let outputs = self.narrow.outputs()?;
        self.wide
            .extend(outputs.iter().map(|&value| f64::from(value)));
        Ok(&self.wide)
    }

    fn pull_back(&mut self, output_gradients: &[f64]) -> Result<&[f64], ClassifierError> {
        let narrow: Vec<f32> = output_gradients.iter().map(|&g| g as f32).collect();
        let gradients = self.narrow.pull_back(&narrow)?;
        self.wide.clear();
        self.wide.extend(gradients.iter().map(|&g| f64::from(g)));
        Ok(&self.wide)
    }
}
