//! Searches for smallest perturbations.

use std::sync::Arc;

use blindspot::ErrorKind;
use blindspot::certify::ExampleCertifier;
use blindspot::classifier::{CheckedEvaluator, Classifier};
use blindspot::goals::{GoalError, OutputGoal};
use blindspot::inputs::Inputs;
use blindspot::model::{InputBox, Model, Outputs};
use blindspot::run::monitor::Monitor;
use blindspot::search::{Block, Bounds, Criterion, SearchError, SearchOptions, search_in_blocks};
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

use crate::about::selection;
use crate::classifier::AnyModel;
use crate::errors::{Failure, fail};
use crate::found::Found;
use crate::images::Given;
use crate::work::{Watch, run, run_whole};

/// What is searched for.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options<'py> {
    target: String,
    /// In place of a target.
    goal: Option<String>,
    method: String,
    norm: String,
    group: String,
    seed: u64,
    top_k: usize,
    confidence: f64,
    max_evaluations: Option<u64>,
    time_limit: Option<f64>,
    enough: Option<f64>,
    /// In place of the model's own.
    r#box: Option<(f32, f32)>,
    /// Limits of each value.
    lower: Option<PyReadonlyArray1<'py, f32>>,
    upper: Option<PyReadonlyArray1<'py, f32>>,
    change: Option<PyReadonlyArray1<'py, f32>>,
    certify: bool,
    epsilons: Vec<f64>,
}

impl Options<'_> {
    fn read(&self, model: &AnyModel<'_>) -> Result<SearchOptions, Failure> {
        let told = |why: String| fail(ErrorKind::Usage, why);
        let classifier = model.classifier();
        let input_box = match self.r#box {
            Some((lower, upper)) => InputBox { lower, upper },
            None => classifier.input_box(),
        };
        let mut options = SearchOptions::default()
            .target(self.target.parse().map_err(told)?)
            .method(self.method.parse().map_err(told)?)
            .norm(self.norm.parse().map_err(told)?)
            .grouping(self.group.parse().map_err(told)?)
            .seed(self.seed)
            .criterion(Criterion {
                top_k: self.top_k,
                confidence: self.confidence,
            })
            .max_evaluations(self.max_evaluations)
            .time_limit(self.time_limit)
            .enough(self.enough)
            .input_box(input_box);
        if let Some(goal) = &self.goal {
            let goal: OutputGoal = goal.parse().map_err(told)?;
            options.goal = Some(with_formula(goal)?);
        }
        if self.lower.is_some() || self.upper.is_some() || self.change.is_some() {
            let mut bounds = Bounds::within(input_box, classifier.input_len());
            let limits = [
                (&mut bounds.lower, &self.lower),
                (&mut bounds.upper, &self.upper),
                (&mut bounds.max_perturbation, &self.change),
            ];
            for (place, limits) in limits {
                if let Some(limits) = limits {
                    *place = limits.as_slice().map_err(PyErr::from)?.to_vec();
                }
            }
            options = options.bounds(Arc::new(bounds));
        }
        Ok(options)
    }
}

/// Searches from images with their true classes. Gives what was found, and the exception that ended
/// the search early, if one did: of a signal, of the function that shows progress, or of the model.
#[pyfunction]
pub(crate) fn attack<'py>(
    py: Python<'py>,
    model: &Bound<'py, PyAny>,
    images: &Bound<'py, PyAny>,
    labels: Vec<usize>,
    options: Options<'py>,
    watch: Watch,
) -> Result<(Found, Option<PyErr>), Failure> {
    let any = AnyModel::of(model)?;
    let (certify, epsilons) = (options.certify, options.epsilons.clone());
    if epsilons
        .iter()
        .any(|&norm| !(norm.is_finite() && norm >= 0.0))
    {
        return Err(fail(ErrorKind::Usage, "epsilon takes norms from 0"));
    }
    let mut options = options.read(&any)?;
    check_outputs(&any, options.goal.as_ref())?;
    let certified = match (&any, certify) {
        (AnyModel::Own(model), true) => Some(model.model()),
        (AnyModel::Python(_), true) => {
            let why = "certificates look inside of a network: give an ONNX file, or a model loaded from \
                       one";
            return Err(fail(ErrorKind::Usage, why));
        }
        _ => None,
    };
    let classifier = any.classifier();
    let (searched, radii, selection, interrupt) = Given::with(images, |images| {
        if let Some(columns) = images.columns() {
            options = std::mem::take(&mut options).columns(columns.clone());
        }
        if let Some(goal) = options.goal.take() {
            options.goal =
                Some(with_template(goal, classifier, images).map_err(|e| any.failure(e))?);
        }
        let certifier = certified.map(|model| ExampleCertifier::new(model, &options));
        let certifier = certifier.transpose()?;
        let search = |monitor: &dyn Monitor| search(classifier, images, &labels, &options, monitor);
        let ((searched, failed), interrupt) = run(py, &watch, search)?;
        // What was found before a model failed is worth as much as what was before Ctrl-C.
        let failed = failed.map(|error| PyErr::from(any.failure(error)));
        let interrupt = interrupt.or(failed);
        let certifier = certifier.filter(|_| interrupt.is_none());
        let radii = certifier.map(|certifier| {
            let Block {
                examples,
                originals,
            } = &searched;
            run_whole(py, &watch, |monitor| {
                certifier.certify(examples, originals, monitor)
            })
        });
        Ok((searched, radii.transpose()?, selection(images), interrupt))
    })?;
    let shape = classifier.input_shape().to_vec();
    let mut found = Found::new(
        (searched, radii),
        shape,
        options,
        epsilons,
        selection,
        model,
    );
    if found.options().goal.is_some() && interrupt.is_none() {
        run_whole(py, &watch, |_| found.evaluate(classifier))
            .map_err(|error| any.failure(error))?;
    }
    Ok((found, interrupt))
}

/// A goal with the network of one's own that it names, if it does.
fn with_formula(goal: OutputGoal) -> Result<OutputGoal, Failure> {
    let Some(file) = goal.formula().map(str::to_owned) else {
        return Ok(goal);
    };
    let formula = Model::options().outputs(Outputs::Numbers).open(file)?;
    Ok(goal.with_formula(formula.network().clone()))
}

/// A goal with the model's outputs for the image that it names, if it does.
fn with_template(
    goal: OutputGoal,
    classifier: &dyn Classifier,
    images: &Given<'_>,
) -> Result<OutputGoal, SearchError> {
    let Some(index) = goal.template() else {
        return Ok(goal);
    };
    let Some(position) = (0..images.len()).find(|&position| images.index(position) == index) else {
        return Err(GoalError::Template(index).into());
    };
    let mut evaluator = CheckedEvaluator::new(classifier);
    images.read(position, evaluator.input(1)?)?;
    let outputs = evaluator.outputs()?;
    let outputs: Vec<f64> = outputs.iter().map(|&output| output.into()).collect();
    Ok(goal.with_template(&outputs))
}

/// Whether a model was opened for what its outputs are asked to do: to reach a goal, or to be those of classes.
pub(crate) fn check_outputs(any: &AnyModel<'_>, goal: Option<&OutputGoal>) -> Result<(), Failure> {
    let wanted = goal.map_or(Outputs::Classes, OutputGoal::outputs);
    let AnyModel::Own(model) = any else {
        return Ok(());
    };
    let word = match wanted {
        outputs if outputs == model.model().outputs() => return Ok(()),
        Outputs::Classes => "classes",
        Outputs::Labels => "labels",
        Outputs::Numbers => "numbers",
    };
    let why = format_args!(
        "the model was loaded for other outputs: load it with outputs=\"{word}\" for this"
    );
    Err(fail(ErrorKind::Usage, why))
}

/// What was found, and why not all was.
fn search(
    classifier: &dyn Classifier,
    images: &Given<'_>,
    labels: &[usize],
    options: &SearchOptions,
    monitor: &dyn Monitor,
) -> (Block, Option<SearchError>) {
    let all: Vec<usize> = (0..images.len()).collect();
    let mut searched = Block {
        examples: Vec::new(),
        originals: Vec::new(),
    };
    let keep = |block: Block| {
        searched.examples.extend(block.examples);
        searched.originals.extend(block.originals);
        Ok::<(), SearchError>(())
    };
    let ended = search_in_blocks(classifier, images, labels, &all, options, monitor, keep);
    searched.sort();
    (searched, ended.err())
}
