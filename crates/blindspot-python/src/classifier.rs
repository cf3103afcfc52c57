//! Models of Python's as classifiers: objects with the methods of `blindspot.Classifier`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use blindspot::classifier::{Classifier, ClassifierError, Evaluate};
use blindspot::model::InputBox;
use blindspot_net::Real;
use numpy::{Element, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::errors::Failure;
use crate::model::Model;

/// A model from Python, ours or any other.
pub(crate) enum AnyModel<'py> {
    Own(PyRef<'py, Model>),
    Python(PythonClassifier),
}

impl<'py> AnyModel<'py> {
    pub(crate) fn of(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        match object.cast::<Model>() {
            Ok(model) => Ok(AnyModel::Own(model.borrow())),
            Err(_) => PythonClassifier::of(object).map(AnyModel::Python),
        }
    }

    /// The model as it is searched.
    pub(crate) fn classifier(&self) -> &dyn Classifier {
        match self {
            AnyModel::Own(model) => model.model(),
            AnyModel::Python(classifier) => classifier,
        }
    }

    /// What the model has raised, if it has: it tells more than that the work failed.
    pub(crate) fn raised(&self) -> Option<PyErr> {
        match self {
            AnyModel::Own(_) => None,
            AnyModel::Python(classifier) => classifier.raised(),
        }
    }

    /// The failure of work with the model.
    pub(crate) fn failure(&self, error: impl Into<Failure>) -> Failure {
        self.raised().map_or_else(|| error.into(), Failure::from)
    }
}

/// An object with the methods `_values(inputs) -> (outputs, pull_back)`, `_batch() -> int` and
/// `_exact() -> object | None`, and the attributes `shape`, `classes` and `box`.
pub(crate) struct PythonClassifier {
    object: Py<PyAny>,
    shape: Vec<usize>,
    classes: usize,
    input_box: InputBox,
    batch: AtomicUsize,
    /// The classifier in double precision, if it has that.
    exact: Option<Box<PythonClassifier>>,
    /// The first exception that it raised.
    raised: Mutex<Option<PyErr>>,
}

impl PythonClassifier {
    fn of(object: &Bound<'_, PyAny>) -> PyResult<PythonClassifier> {
        let (lower, upper) = object.getattr("box")?.extract()?;
        let exact = object.call_method0("_exact")?;
        let exact = (!exact.is_none()).then(|| PythonClassifier::of(&exact));
        Ok(PythonClassifier {
            shape: object.getattr("shape")?.extract()?,
            classes: object.getattr("classes")?.extract()?,
            input_box: InputBox { lower, upper },
            batch: AtomicUsize::new(object.call_method0("_batch")?.extract()?),
            exact: exact.transpose()?.map(Box::new),
            object: object.clone().unbind(),
            raised: Mutex::new(None),
        })
    }

    fn raised(&self) -> Option<PyErr> {
        let own = self.raised.lock();
        let own = own.unwrap_or_else(PoisonError::into_inner).take();
        own.or_else(|| self.exact.as_ref()?.raised())
    }

    /// Keeps what was raised; gives what the search is told.
    fn failed(&self, py: Python<'_>, error: PyErr) -> ClassifierError {
        let told = ClassifierError::Failed(error.value(py).to_string());
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        raised.get_or_insert(error);
        told
    }
}

impl<T: Real + Element> Classifier<T> for PythonClassifier {
    fn input_shape(&self) -> &[usize] {
        &self.shape
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn evaluator(&self) -> Box<dyn Evaluate<T> + '_> {
        Box::new(PythonEvaluator {
            classifier: self,
            input: Vec::new(),
            answer: Vec::new(),
            pull_back: None,
        })
    }

    fn exact(&self) -> Option<Box<dyn Classifier<f64> + '_>> {
        let exact: &PythonClassifier = self.exact.as_deref()?;
        Some(Box::new(exact))
    }

    fn input_box(&self) -> InputBox {
        self.input_box
    }

    fn one_batch(&self) -> Option<usize> {
        Some(self.batch.load(Ordering::Relaxed))
    }
}

struct PythonEvaluator<'c, T> {
    classifier: &'c PythonClassifier,
    input: Vec<T>,
    answer: Vec<T>,
    /// What pulls gradients back at the batch that was evaluated last.
    pull_back: Option<Py<PyAny>>,
}

impl<T: Real + Element> PythonEvaluator<'_, T> {
    /// Asks Python; what it raises is kept.
    fn ask<R>(
        &mut self,
        question: impl FnOnce(&mut Self, Python<'_>) -> PyResult<R>,
    ) -> Result<R, ClassifierError> {
        Python::attach(|py| {
            let classifier = self.classifier;
            question(self, py).map_err(|error| classifier.failed(py, error))
        })
    }

    fn take(&mut self, values: &Bound<'_, PyAny>) -> PyResult<()> {
        let values: PyReadonlyArray1<'_, T> = values.extract()?;
        self.answer.clear();
        self.answer.extend_from_slice(values.as_slice()?);
        Ok(())
    }
}

impl<T: Real + Element> Evaluate<T> for PythonEvaluator<'_, T> {
    fn input(&mut self, count: usize) -> &mut [T] {
        let length: usize = self.classifier.shape.iter().product();
        self.input.resize(count * length, T::zero());
        &mut self.input
    }

    fn outputs(&mut self) -> Result<&[T], ClassifierError> {
        self.ask(|this, py| {
            let object = this.classifier.object.bind(py);
            let inputs = PyArray1::from_slice(py, &this.input);
            // What the last batch left is given free before the next one takes memory.
            this.pull_back = None;
            let (outputs, pull_back): (Bound<'_, PyAny>, Py<PyAny>) =
                object.call_method1("_values", (inputs,))?.extract()?;
            this.pull_back = Some(pull_back);
            let batch = object.call_method0("_batch")?.extract()?;
            this.classifier.batch.store(batch, Ordering::Relaxed);
            this.take(&outputs)
        })?;
        Ok(&self.answer)
    }

    fn pull_back(&mut self, output_gradients: &[T]) -> Result<&[T], ClassifierError> {
        self.ask(|this, py| {
            let gradients = PyArray1::from_slice(py, output_gradients);
            let gradients = match &this.pull_back {
                Some(pull_back) => pull_back.bind(py).call1((gradients,))?,
                // Nothing was evaluated, and nothing is wrong with an empty batch.
                None => gradients.into_any(),
            };
            this.take(&gradients)
        })?;
        Ok(&self.answer)
    }
}
