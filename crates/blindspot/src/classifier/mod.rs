//! What the search needs of a model, and no more: the shape of its input, the number of its
//! classes, its outputs for a batch of inputs, and the pull-back of a batch of output gradients to
//! the inputs.
//!
//! A [`Network`] is a classifier. So is anything else that implements [`Classifier`], and a pair of
//! functions becomes one by [`FnClassifier`].

mod closure;

use blindspot_data::ErrorKind;
use blindspot_net::{Evaluator, Network, Real};

pub use closure::{FnClassifier, FnResult};

use crate::model::Model;
use crate::search::InputBox;

/// A model that gives each input an output (a logit) for each class, the largest for its answer,
/// and that can be differentiated.
///
/// `T` is the number type of inputs, outputs and gradients. Searches take a `dyn Classifier`: one
/// virtual call for a batch costs nothing, and the search is compiled once.
///
/// The same seed gives the same perturbations to the bit as far as the classifier gives an input
/// the same bits whatever else is in the batch. A [`Network`] does.
pub trait Classifier<T: Real = f32>: Sync {
    /// Axes of one input: `[channels, height, width]` of an image, or `[length]`.
    fn input_shape(&self) -> &[usize];

    /// The number of classes: outputs for one input.
    fn classes(&self) -> usize;

    /// What evaluates batches, one for each thread that works with the classifier.
    fn evaluator(&self) -> Box<dyn Evaluate<T> + '_>;

    /// This classifier in double precision, if it has such a form. The search verifies its
    /// examples with it; without one, with this classifier.
    fn exact(&self) -> Option<Box<dyn Classifier<f64> + '_>> {
        None
    }

    /// How many values one input has.
    fn input_len(&self) -> usize {
        self.input_shape().iter().product()
    }

    /// The valid range of every input value, [0, 1] unless the classifier says otherwise.
    fn input_box(&self) -> InputBox {
        InputBox::default()
    }

    /// Numbers that an evaluation holds for one input: the input, its outputs and all activations
    /// between them. Batches are made small enough for these and their gradients to fit in memory.
    fn values_per_input(&self) -> usize {
        self.input_len() + self.classes()
    }
}

/// Evaluates a classifier on batches.
///
/// Write a batch into [`input`](Evaluate::input), ask for its [`outputs`](Evaluate::outputs), then,
/// as often as wanted, for the [`pull_back`](Evaluate::pull_back) of output gradients at that batch.
pub trait Evaluate<T = f32> {
    /// The place for a batch of `count` inputs, one after the other.
    fn input(&mut self, count: usize) -> &mut [T];

    /// The outputs of the batch in [`input`](Evaluate::input): `count` rows of one number a class.
    ///
    /// # Errors
    /// [`ClassifierError::Failed`] where the model can't be evaluated.
    fn outputs(&mut self) -> Result<&[T], ClassifierError>;

    /// The gradients with respect to the inputs of the batch whose outputs were asked for last,
    /// from gradients with respect to these outputs: for input i, the transposed Jacobian at that
    /// input times row i of `output_gradients`. `count` rows as long as an input.
    ///
    /// # Errors
    /// [`ClassifierError::Failed`] where the model can't be differentiated.
    fn pull_back(&mut self, output_gradients: &[T]) -> Result<&[T], ClassifierError>;
}

/// Why a classifier gives no outputs or gradients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClassifierError {
    /// The model itself failed.
    #[error("the classifier failed: {0}")]
    Failed(String),
    /// The model returned the wrong number of values for a batch.
    #[error("the classifier returned {found} {what} for a batch, not {expected}")]
    Length {
        /// `outputs`, `gradients` or `inputs`.
        what: &'static str,
        /// Numbers returned.
        found: usize,
        /// Numbers that the batch should have.
        expected: usize,
    },
    /// The model returned a value that is not a number.
    #[error("the classifier returned NaN among its {what}; check its weights and its inputs")]
    NotANumber {
        /// `outputs` or `gradients`.
        what: &'static str,
    },
}

impl ClassifierError {
    /// [`ErrorKind::Model`] for every error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Model
    }
}

impl<T: Real> Classifier<T> for Network<T> {
    fn input_shape(&self) -> &[usize] {
        Network::input_shape(self)
    }

    fn classes(&self) -> usize {
        self.output_len()
    }

    fn evaluator(&self) -> Box<dyn Evaluate<T> + '_> {
        Box::new(Evaluator::new(self))
    }

    fn exact(&self) -> Option<Box<dyn Classifier<f64> + '_>> {
        Some(Box::new(self.cast::<f64>()))
    }

    fn values_per_input(&self) -> usize {
        let values = self.graph().values().iter();
        values.map(|value| value.len()).sum()
    }
}

impl<T: Real> Evaluate<T> for Evaluator<'_, T> {
    fn input(&mut self, count: usize) -> &mut [T] {
        Evaluator::input(self, count)
    }

    fn outputs(&mut self) -> Result<&[T], ClassifierError> {
        Ok(self.forward())
    }

    fn pull_back(&mut self, output_gradients: &[T]) -> Result<&[T], ClassifierError> {
        Ok(self.backward(output_gradients))
    }
}

impl Classifier for Model {
    fn input_shape(&self) -> &[usize] {
        self.network().input_shape()
    }

    fn classes(&self) -> usize {
        self.network().output_len()
    }

    fn evaluator(&self) -> Box<dyn Evaluate + '_> {
        self.network().evaluator()
    }

    fn exact(&self) -> Option<Box<dyn Classifier<f64> + '_>> {
        self.network().exact()
    }

    fn input_box(&self) -> InputBox {
        Model::input_box(self)
    }

    fn values_per_input(&self) -> usize {
        self.network().values_per_input()
    }
}

impl<T: Real, C: Classifier<T> + ?Sized> Classifier<T> for &C {
    fn input_shape(&self) -> &[usize] {
        (**self).input_shape()
    }

    fn classes(&self) -> usize {
        (**self).classes()
    }

    fn evaluator(&self) -> Box<dyn Evaluate<T> + '_> {
        (**self).evaluator()
    }

    fn exact(&self) -> Option<Box<dyn Classifier<f64> + '_>> {
        (**self).exact()
    }

    fn input_box(&self) -> InputBox {
        (**self).input_box()
    }

    fn values_per_input(&self) -> usize {
        (**self).values_per_input()
    }
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

/// The classifier in double precision, or as near to it as it comes.
pub(crate) fn exact<'a>(classifier: &'a dyn Classifier) -> Box<dyn Classifier<f64> + 'a> {
    let exact = classifier.exact();
    exact.unwrap_or_else(|| Box::new(Widened(classifier)))
}

/// An evaluator whose answers are checked: what comes from outside may have any length, and NaN
/// would be taken for an answer.
pub(crate) struct CheckedEvaluator<'c, T> {
    evaluator: Box<dyn Evaluate<T> + 'c>,
    input_len: usize,
    classes: usize,
    count: usize,
}

impl<'c, T: Real> CheckedEvaluator<'c, T> {
    pub(crate) fn new(classifier: &'c (impl Classifier<T> + ?Sized)) -> Self {
        CheckedEvaluator {
            evaluator: classifier.evaluator(),
            input_len: classifier.input_len(),
            classes: classifier.classes(),
            count: 0,
        }
    }

    /// How many classes the classifier has.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// How many values one input has.
    pub(crate) fn input_len(&self) -> usize {
        self.input_len
    }

    /// As [`Evaluate::input`].
    pub(crate) fn input(&mut self, count: usize) -> Result<&mut [T], ClassifierError> {
        self.count = count;
        let input = self.evaluator.input(count);
        check_length("inputs", input.len(), count * self.input_len)?;
        Ok(input)
    }

    /// As [`Evaluate::outputs`]; neither of another length nor NaN.
    pub(crate) fn outputs(&mut self) -> Result<&[T], ClassifierError> {
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
    pub(crate) fn pull_back(&mut self, output_gradients: &[T]) -> Result<&[T], ClassifierError> {
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
