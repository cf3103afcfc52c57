//! A classifier made of two functions.

use std::error::Error;

use blindspot_net::Real;

use crate::InputBox;

use super::{Classifier, ClassifierError, Evaluate};

/// What a function of a [`FnClassifier`] returns: the numbers of a batch, or why there are none.
pub type FnResult<T> = Result<Vec<T>, Box<dyn Error + Send + Sync>>;

/// The outputs of a batch of inputs.
type Outputs<'f, T> = dyn Fn(&[T]) -> FnResult<T> + Sync + 'f;
/// Gradients by the inputs of a batch, from those inputs and gradients by their outputs.
type PullBack<'f, T> = dyn Fn(&[T], &[T]) -> FnResult<T> + Sync + 'f;

/// A [`Classifier`] made of two functions, one for the outputs of a batch and one for its
/// gradients.
///
/// ```
/// use blindspot_model::classifier::{Classifier, FnClassifier};
///
/// // Two classes of two values x, y: the outputs are x and y.
/// let identity = FnClassifier::new(
///     &[2],
///     2,
///     |inputs: &[f32]| Ok(inputs.to_vec()),
///     |_inputs: &[f32], output_gradients: &[f32]| Ok(output_gradients.to_vec()),
/// );
/// assert_eq!(identity.input_len(), 2);
/// ```
pub struct FnClassifier<'f, T: Real = f32> {
    input_shape: Vec<usize>,
    classes: usize,
    input_box: InputBox,
    outputs: Box<Outputs<'f, T>>,
    pull_back: Box<PullBack<'f, T>>,
    exact: Option<Box<dyn Classifier<f64> + 'f>>,
}

impl<'f, T: Real> FnClassifier<'f, T> {
    /// A classifier of inputs with the axes `input_shape`.
    ///
    /// `outputs` maps a batch of inputs, one after the other, to `classes` outputs for each.
    /// `pull_back` is given a batch of inputs and a gradient with respect to each output, and
    /// returns the gradient with respect to each input value: the transposed Jacobian times the
    /// output gradients, input by input. NaN or a wrong number of values is an error of the search.
    pub fn new(
        input_shape: &[usize],
        classes: usize,
        outputs: impl Fn(&[T]) -> FnResult<T> + Sync + 'f,
        pull_back: impl Fn(&[T], &[T]) -> FnResult<T> + Sync + 'f,
    ) -> Self {
        FnClassifier {
            input_shape: input_shape.to_vec(),
            classes,
            input_box: InputBox::default(),
            outputs: Box::new(outputs),
            pull_back: Box::new(pull_back),
            exact: None,
        }
    }

    /// Sets the valid range of every input value; [0, 1] without it.
    #[must_use]
    pub fn with_input_box(mut self, lower: f32, upper: f32) -> Self {
        self.input_box = InputBox { lower, upper };
        self
    }

    /// Gives the classifier its double-precision version, by which examples are verified.
    #[must_use]
    pub fn with_exact(mut self, exact: impl Classifier<f64> + 'f) -> Self {
        self.exact = Some(Box::new(exact));
        self
    }
}

impl<T: Real> Classifier<T> for FnClassifier<'_, T> {
    fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn evaluator(&self) -> Box<dyn Evaluate<T> + '_> {
        Box::new(FnEvaluator {
            classifier: self,
            input: Vec::new(),
            answer: Vec::new(),
        })
    }

    fn exact(&self) -> Option<Box<dyn Classifier<f64> + '_>> {
        let exact = self.exact.as_deref()?;
        Some(Box::new(exact))
    }

    fn input_box(&self) -> InputBox {
        self.input_box
    }
}

/// The functions with the batch that they are asked about.
struct FnEvaluator<'c, T: Real> {
    classifier: &'c FnClassifier<'c, T>,
    input: Vec<T>,
    answer: Vec<T>,
}

impl<T: Real> Evaluate<T> for FnEvaluator<'_, T> {
    fn input(&mut self, count: usize) -> &mut [T] {
        let length = count * self.classifier.input_len();
        self.input.resize(length, T::zero());
        &mut self.input
    }

    fn outputs(&mut self) -> Result<&[T], ClassifierError> {
        self.answer = (self.classifier.outputs)(&self.input).map_err(failed)?;
        Ok(&self.answer)
    }

    fn pull_back(&mut self, output_gradients: &[T]) -> Result<&[T], ClassifierError> {
        let gradients = (self.classifier.pull_back)(&self.input, output_gradients);
        self.answer = gradients.map_err(failed)?;
        if self.answer.iter().any(|gradient| gradient.is_nan()) {
            return Err(ClassifierError::NotANumber);
        }
        Ok(&self.answer)
    }
}

fn failed(error: Box<dyn Error + Send + Sync>) -> ClassifierError {
    ClassifierError::Failed(error.to_string())
}
