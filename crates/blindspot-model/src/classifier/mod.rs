//! What the search needs of a model, and no more: the shape of its input, the number of its
//! classes, its outputs for a batch of inputs, and the pull-back of a batch of output gradients to
//! the inputs.
//!
//! A [`Network`] is a classifier. So is anything else that implements [`Classifier`], and a pair of
//! functions becomes one by [`FnClassifier`].

mod checked;
mod closure;
mod head;
mod rounded;
mod widened;

use blindspot_data::ErrorKind;
use blindspot_net::{Evaluator, Network, Precision, Real};

pub use checked::CheckedEvaluator;
pub use closure::{FnClassifier, FnResult};
pub use head::WithHead;
pub use rounded::RoundedNetwork;
pub use widened::widened;

use crate::{Answer, InputBox, Model};

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

    /// Reads what the forms below are made of, once. Whoever asks for them calls this first: a form that can't be read
    /// would be taken for one that there isn't.
    ///
    /// # Errors
    /// [`ClassifierError::Unreadable`], of a model whose file is gone, has changed, or takes too much memory in double
    /// precision.
    fn prepare(&self) -> Result<(), ClassifierError> {
        Ok(())
    }

    /// This classifier in double precision, if it has such a form. The search verifies its
    /// examples with it, and learns from it how much lead rounding can undo
    /// ([`rounding`](crate::rounding)); without one, it verifies with this classifier and takes
    /// 2e-6 of the largest output for that.
    fn exact(&self) -> Option<Box<dyn Classifier<f64> + '_>> {
        None
    }

    /// This classifier with its weights as another runtime may have computed them from the numbers of
    /// a file, if they are computed: how far its outputs are from the exact ones is rounding noise,
    /// too.
    fn refolded(&self) -> Option<Box<dyn Classifier + '_>> {
        None
    }

    /// This classifier with its values rounded as where it is used, if that is to fewer bits than
    /// here: an example then has to succeed in spite of that rounding.
    fn rounded(&self) -> Option<Box<dyn Classifier + '_>> {
        None
    }

    /// This classifier with the outputs that its users see, if these are others than here
    /// (probabilities, not logits): an example then has to succeed there, too, where outputs may
    /// be rounded to the same number.
    fn answering(&self) -> Option<Box<dyn Classifier + '_>> {
        None
    }

    /// What [`answering`](Classifier::answering) gives with weights as another runtime may have
    /// computed them, as in [`refolded`](Classifier::refolded). An example has to succeed there, too.
    fn answering_refolded(&self) -> Option<Box<dyn Classifier + '_>> {
        None
    }

    /// What the rounding of the outputs that users see is relative to, if these are smaller: 1 of a
    /// Sigmoid, which runtimes compute to so many bits of 1, and not of the probability.
    fn answering_unit(&self) -> f64 {
        0.0
    }

    /// The format that the outputs that users see are rounded to.
    fn answering_precision(&self) -> Precision {
        Precision::Single
    }

    /// The format that each input value is rounded to before this classifier sees it. Examples
    /// consist of such values.
    fn input_precision(&self) -> Precision {
        Precision::Single
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

    /// How many inputs at a time, if this classifier wants one large batch for all threads: a model
    /// on an accelerator, or one that lets only one thread in. `None` for a batch on each thread, as
    /// large as its memory allows.
    ///
    /// It is asked before every evaluation, so that a model may turn to smaller batches where memory
    /// runs out.
    fn one_batch(&self) -> Option<usize> {
        None
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
    /// What a form of the classifier is made of can't be read.
    #[error("{0}")]
    Unreadable(String),
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
    /// The model returned a gradient that is not a number.
    #[error("the classifier returned NaN among its gradients; check its weights and its inputs")]
    NotANumber,
    /// The model returned outputs that are NaN or infinite: no answer.
    #[error(
        "the network gives {value} for image {input}, and so no answer; check its weights, and what \
         it wants of its input"
    )]
    NotFinite {
        /// `NaN`, `inf` or `-inf`.
        value: String,
        /// Place of the input in the batch, or, where it is known, its index in the data set.
        input: usize,
    },
}

impl ClassifierError {
    /// [`ErrorKind::Model`] for every error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Model
    }

    /// The error with the index of the input in place of its place in a batch.
    #[must_use]
    pub fn of_input(mut self, index: impl Fn(usize) -> usize) -> Self {
        if let ClassifierError::NotFinite { input, .. } = &mut self {
            *input = index(*input);
        }
        self
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

    fn prepare(&self) -> Result<(), ClassifierError> {
        self.exact_logits()
            .map(|_| ())
            .map_err(|error| ClassifierError::Unreadable(error.to_string()))
    }

    fn rounded(&self) -> Option<Box<dyn Classifier + '_>> {
        (self.precision() != Precision::Single)
            .then(|| Box::new(RoundedNetwork::new(self.network())) as _)
    }

    fn answering(&self) -> Option<Box<dyn Classifier + '_>> {
        let own_end = self.own_end()?;
        Some(Box::new(RoundedNetwork::new(own_end)))
    }

    fn answering_refolded(&self) -> Option<Box<dyn Classifier + '_>> {
        let exact = self.exact_own_end().ok().flatten()?;
        Some(Box::new(exact.refolded()?))
    }

    fn answering_unit(&self) -> f64 {
        match self.answer() {
            Answer::Increasing | Answer::OneProbability | Answer::LabelProbabilities => 1.0,
            Answer::Logits
            | Answer::Softmax
            | Answer::LogSoftmax
            | Answer::OneLogit
            | Answer::LabelLogits
            | Answer::Numbers => 0.0,
        }
    }

    fn answering_precision(&self) -> Precision {
        let answering = self.own_end().unwrap_or(self.network());
        answering.graph().output_precision()
    }

    fn input_precision(&self) -> Precision {
        Model::input_precision(self)
    }

    fn classes(&self) -> usize {
        self.network().output_len()
    }

    fn evaluator(&self) -> Box<dyn Evaluate + '_> {
        self.network().evaluator()
    }

    fn exact(&self) -> Option<Box<dyn Classifier<f64> + '_>> {
        // What folding and rounding to single precision have changed is noise, too.
        match self.exact_logits().ok().flatten() {
            Some(exact) => Some(Box::new(exact.network())),
            None => self.network().exact(),
        }
    }

    fn refolded(&self) -> Option<Box<dyn Classifier + '_>> {
        let exact = self.exact_logits().ok().flatten()?;
        Some(Box::new(exact.refolded()?))
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

    fn prepare(&self) -> Result<(), ClassifierError> {
        (**self).prepare()
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

    fn refolded(&self) -> Option<Box<dyn Classifier + '_>> {
        (**self).refolded()
    }

    fn rounded(&self) -> Option<Box<dyn Classifier + '_>> {
        (**self).rounded()
    }

    fn answering(&self) -> Option<Box<dyn Classifier + '_>> {
        (**self).answering()
    }

    fn answering_refolded(&self) -> Option<Box<dyn Classifier + '_>> {
        (**self).answering_refolded()
    }

    fn answering_unit(&self) -> f64 {
        (**self).answering_unit()
    }

    fn answering_precision(&self) -> Precision {
        (**self).answering_precision()
    }

    fn input_precision(&self) -> Precision {
        (**self).input_precision()
    }

    fn input_box(&self) -> InputBox {
        (**self).input_box()
    }

    fn values_per_input(&self) -> usize {
        (**self).values_per_input()
    }

    fn one_batch(&self) -> Option<usize> {
        (**self).one_batch()
    }
}
