//! Examples that were found, with all that is done with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use blindspot::classifier::{CheckedEvaluator, Classifier};
use blindspot::examples::{
    Distance, Extra, Layout, Origin, Record, RobustAccuracy, SavedExample, StoredExamples,
    confidences, with_stored, write_found,
};
use blindspot::inputs::InMemory;
use blindspot::run::monitor::{Monitor, Unwatched};
use blindspot::search::{Block, EightBit, Example, SearchError, SearchOptions, eight_bit};
use blindspot_data::files::write_atomically;
use blindspot_report::{AttackPage, Made, SavedImages, TableChanges, attack_page, save_images};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::about::About;
use crate::classifier::AnyModel;
use crate::errors::Failure;
use crate::model::Model;
use crate::work::{Watch, run};

/// Examples with their originals.
#[pyclass(frozen, module = "blindspot._native")]
pub(crate) struct Found {
    examples: Vec<Example>,
    originals: Vec<f32>,
    /// Of an input.
    shape: Vec<usize>,
    certificates: Option<Vec<f64>>,
    /// The model's outputs, as its users see them, for the originals and for the adversarial images, one after the
    /// other; of goals for the outputs.
    outputs: Option<[Vec<f32>; 2]>,
    /// As images of 8 bits, once they were asked for.
    eight_bit: Mutex<Option<Arc<Vec<EightBit>>>>,
    options: SearchOptions,
    /// The norms at which robust accuracy was asked for.
    epsilons: Vec<f64>,
    /// Which images of their set were searched from.
    selection_sha256: String,
    model: Py<PyAny>,
}

impl Found {
    /// What a search with a model has found, and the certified radii, where they were asked for.
    pub(crate) fn new(
        (found, certificates): (Block, Option<Vec<f64>>),
        shape: Vec<usize>,
        options: SearchOptions,
        epsilons: Vec<f64>,
        selection_sha256: String,
        model: &Bound<'_, PyAny>,
    ) -> Found {
        Found {
            examples: found.examples,
            originals: found.originals,
            shape,
            certificates,
            outputs: None,
            eight_bit: Mutex::new(None),
            options,
            epsilons,
            selection_sha256,
            model: model.clone().unbind(),
        }
    }

    pub(crate) fn options(&self) -> &SearchOptions {
        &self.options
    }

    pub(crate) fn examples(&self) -> &[Example] {
        &self.examples
    }

    pub(crate) fn originals(&self) -> InMemory {
        InMemory::new(self.originals.clone(), self.input_len())
    }

    fn input_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where the examples come from, as a record says it.
    fn origin(&self, py: Python<'_>, about: About) -> Result<Origin, Failure> {
        let model = self.model.bind(py).cast::<Model>().ok();
        let model = model.map(|model| model.get().model());
        Ok(Origin {
            options: self.options.clone(),
            answers_as_labels: about.answers_as_labels,
            provenance: about.provenance(model, &self.selection_sha256),
            ranges_sha256: BTreeMap::new(),
            epsilons: self.epsilons.clone(),
        })
    }

    /// Others than these, of the same search.
    fn with(
        &self,
        examples: Vec<Example>,
        originals: Vec<f32>,
        certificates: Option<Vec<f64>>,
        outputs: Option<[Vec<f32>; 2]>,
        eight_bit: Option<Vec<EightBit>>,
    ) -> Found {
        Found {
            examples,
            originals,
            certificates,
            outputs,
            eight_bit: Mutex::new(eight_bit.map(Arc::new)),
            shape: self.shape.clone(),
            options: self.options.clone(),
            epsilons: self.epsilons.clone(),
            selection_sha256: self.selection_sha256.clone(),
            model: Python::attach(|py| self.model.clone_ref(py)),
        }
    }

    /// The examples as images of 8 bits, if they were asked for before.
    fn known_eight_bit(&self) -> Option<Arc<Vec<EightBit>>> {
        let place = self.eight_bit.lock();
        place.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is stored of each example.
    fn layout(&self) -> Layout {
        Layout {
            shape: self.shape.clone(),
            eight_bit: self.known_eight_bit().is_some(),
            certificate: self.certificates.is_some(),
            outputs: self.outputs_of_each(),
        }
    }

    /// How many outputs are known of each example.
    fn outputs_of_each(&self) -> usize {
        let all = self.outputs.as_ref().map_or(0, |[before, _]| before.len());
        all / self.examples.len().max(1)
    }

    /// Each example as it is stored.
    fn contents<'a>(&'a self, layout: &'a Layout) -> impl ExactSizeIterator<Item = Vec<u8>> + 'a {
        let eight_bit = self.known_eight_bit().filter(|_| layout.eight_bit);
        let originals = self.originals.chunks_exact(self.input_len());
        let rows = self.examples.iter().zip(originals).enumerate();
        rows.map(move |(i, (example, original))| {
            let count = layout.outputs;
            let outputs = match &self.outputs {
                Some(outputs) => [0, 1].map(|at| &outputs[at][i * count..][..count]),
                None => [&[][..]; 2],
            };
            let extra = Extra {
                eight_bit: eight_bit.as_ref().map(|images| &images[i]),
                certificate: self.certificates.as_ref().map(|radii| radii[i]),
                outputs,
            };
            layout.content(example, original, extra)
        })
    }

    /// Evaluates the originals and the adversarial images.
    pub(crate) fn evaluate(&mut self, classifier: &dyn Classifier) -> Result<(), SearchError> {
        let adversarial = self.examples.iter().flat_map(|e| &e.adversarial);
        let adversarial: Vec<f32> = adversarial.copied().collect();
        let answering = classifier.answering();
        let seen = answering.as_deref().unwrap_or(classifier);
        let evaluate = |images: &[f32]| -> Result<Vec<f32>, SearchError> {
            let mut evaluator = CheckedEvaluator::new(seen);
            let mut outputs = Vec::new();
            for image in images.chunks_exact(self.input_len()) {
                evaluator.input(1)?.copy_from_slice(image);
                outputs.extend_from_slice(evaluator.outputs()?);
            }
            Ok(outputs)
        };
        self.outputs = Some([evaluate(&self.originals)?, evaluate(&adversarial)?]);
        Ok(())
    }

    /// The examples as images of 8 bits, searched for at the first time.
    fn as_eight_bit(&self, py: Python<'_>, watch: &Watch) -> Result<Arc<Vec<EightBit>>, Failure> {
        let place = || {
            self.eight_bit
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(found) = &*place() {
            return Ok(Arc::clone(found));
        }
        let any = AnyModel::of(self.model.bind(py))?;
        let classifier = any.classifier();
        let search = |monitor: &dyn Monitor| {
            eight_bit(
                classifier,
                &self.options,
                &self.examples,
                &self.originals,
                monitor,
            )
        };
        let (found, interrupt) = run(py, watch, search)?;
        if let Some(interrupt) = interrupt {
            return Err(interrupt.into());
        }
        let found = Arc::new(found.map_err(|error| any.failure(error))?);
        *place() = Some(Arc::clone(&found));
        Ok(found)
    }
}

/// What answers and goal are called where rows of a table are told of.
struct Told {
    answers: Option<Vec<String>>,
    goal: Option<String>,
}

impl Told {
    fn changes<'a>(&'a self, options: &'a SearchOptions) -> Option<TableChanges<'a>> {
        let columns = options.columns.as_ref()?;
        let (answers, goal) = (self.answers.as_deref(), self.goal.as_deref());
        Some(TableChanges::new(columns, answers, goal, options.norm))
    }
}

impl Found {
    /// With these names of the classes, if they are known.
    fn told(&self, classes: Option<Vec<String>>) -> Told {
        let goal = self.options.goal.as_ref();
        let outputs = self.layout().outputs;
        Told {
            answers: goal.map(|goal| goal.answers(outputs)).or(classes),
            goal: goal.map(ToString::to_string),
        }
    }
}

#[pymethods]
impl Found {
    /// The arrays of one number an example, by their names in files.
    fn numbers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let arrays = PyDict::new(py);
        macro_rules! add {
            ($name:literal, $type:ty, $number:expr) => {
                let number: fn(&Example) -> $type = $number;
                let numbers = self.examples.iter().map(number);
                arrays.set_item($name, PyArray1::from_iter(py, numbers))?;
            };
        }
        add!("index", i64, |e| e.index as i64);
        add!("label", i64, |e| e.label as i64);
        add!("target", i64, |e| e.target as i64);
        add!("prediction_before", i64, |e| e.prediction_before as i64);
        add!("prediction_after", i64, |e| e.prediction as i64);
        add!("evaluations", i64, |e| e.evaluations as i64);
        add!("gradients", i64, |e| e.gradients as i64);
        add!("success", bool, |e| e.success);
        add!("already_wrong", bool, |e| e.already_misclassified);
        add!("fooled", bool, |e| e.success && !e.already_misclassified);
        add!("no_gradient", bool, |e| e.no_gradient);
        add!("refuted", bool, |e| e.refuted);
        add!("l2", f64, |e| e.l2);
        add!("linf", f64, |e| e.linf);
        add!("l1", f64, |e| e.l1);
        add!("l0", f64, |e| e.l0);
        add!("distortion", f64, |e| e.distortion());
        add!("kkt", f64, |e| e.kkt_residual);
        add!("noise", f64, |e| e.noise);
        if let Some(certificates) = &self.certificates {
            arrays.set_item("certificate", PyArray1::from_slice(py, certificates))?;
        }
        Ok(arrays)
    }

    /// Robust accuracy at some norms, those asked for if None, as a record has it (JSON).
    fn robust_accuracy(&self, epsilons: Option<Vec<f64>>) -> String {
        let distance = |(i, example): (usize, &Example)| {
            let wrong = example.already_misclassified || example.prediction_before != example.label;
            let found = example.success.then(|| example.norm(self.options.norm));
            Distance {
                at_most: if wrong {
                    0.0
                } else {
                    found.unwrap_or(f64::INFINITY)
                },
                at_least: self.certificates.as_ref().map(|radii| radii[i]),
            }
        };
        let distances: Vec<Distance> = self.examples.iter().enumerate().map(distance).collect();
        let epsilons = epsilons.as_ref().unwrap_or(&self.epsilons);
        let bounds = RobustAccuracy::of(epsilons, &distances);
        serde_json::to_string(&bounds).expect("numbers are JSON")
    }

    /// The original images, one after the other.
    fn original<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_slice(py, &self.originals)
    }

    /// The adversarial images, one after the other.
    fn adversarial<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        let mut values = Vec::with_capacity(self.originals.len());
        for example in &self.examples {
            values.extend_from_slice(&example.adversarial);
        }
        PyArray1::from_vec(py, values)
    }

    /// The model's outputs for the originals and for the adversarial images, one after the other; of goals.
    fn outputs<'py>(&self, py: Python<'py>) -> Option<[Bound<'py, PyArray1<f32>>; 2]> {
        let outputs = self.outputs.as_ref()?;
        Some([0, 1].map(|at| PyArray1::from_slice(py, &outputs[at])))
    }

    /// The shape of one input.
    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    /// Arrays of the examples as images of 8 bits, by their names in files.
    fn eight_bit<'py>(&self, py: Python<'py>, watch: Watch) -> Result<Bound<'py, PyDict>, Failure> {
        let found = self.as_eight_bit(py, &watch)?;
        let arrays = PyDict::new(py);
        let predictions = found.iter().map(|e| e.prediction as i64);
        arrays.set_item("prediction_8bit", PyArray1::from_iter(py, predictions))?;
        let successes = found.iter().map(|e| e.success);
        arrays.set_item("success_8bit", PyArray1::from_iter(py, successes))?;
        let norms = found.iter().map(|e| e.l2);
        arrays.set_item("l2_8bit", PyArray1::from_iter(py, norms))?;
        let levels: Vec<u8> = found.iter().flat_map(|e| &e.levels).copied().collect();
        arrays.set_item("adversarial_8bit", PyArray1::from_vec(py, levels))?;
        Ok(arrays)
    }

    /// What changes in each row of a table, in a sentence; None of inputs that are no rows of a known table.
    fn sentences(&self, classes: Option<Vec<String>>) -> Option<Vec<String>> {
        let told = self.told(classes);
        let changes = told.changes(&self.options)?;
        let rows = self.originals.chunks_exact(self.input_len());
        let rows = self.examples.iter().zip(rows);
        Some(
            rows.map(|(example, row)| changes.sentence(example, row))
                .collect(),
        )
    }

    /// Writes what the command writes: the arrays, the record beside them, with certificates their plot, and of a
    /// table its rows before and after.
    fn save(
        &self,
        py: Python<'_>,
        path: PathBuf,
        about: About,
        classes: Option<Vec<String>>,
    ) -> Result<(), Failure> {
        let (origin, layout) = (self.origin(py, about)?, self.layout());
        py.detach(|| write_found(&path, &layout, self.contents(&layout), Some(origin)))?;
        let told = self.told(classes);
        if let Some(changes) = told.changes(&self.options) {
            let file = path.with_extension("changes.csv");
            let write = |stored: &StoredExamples<'_>| -> Result<(), Failure> {
                let csv = changes.csv(stored)?;
                Ok(write_atomically(&file, |sink| {
                    sink.write_all(csv.as_bytes())
                })?)
            };
            py.detach(|| with_stored(&path, &layout, self.contents(&layout), write))?;
        }
        if let Some(certificates) = &self.certificates {
            let norm = self.options.norm;
            let norms: Vec<f64> = self.examples.iter().map(|e| e.norm(norm)).collect();
            let plot = blindspot_report::certificate_plot(certificates, &norms, norm);
            write_atomically(&path.with_extension("svg"), |sink| {
                sink.write_all(plot.as_bytes())
            })?;
        }
        Ok(())
    }

    /// Writes the page that the command's `--report` asks for.
    fn report(
        &self,
        py: Python<'_>,
        path: PathBuf,
        about: About,
        shape: [usize; 3],
        classes: Option<Vec<String>>,
    ) -> Result<(), Failure> {
        let subject = about.data.clone();
        let (origin, layout) = (self.origin(py, about)?, self.layout());
        let own = self.model.bind(py).cast::<Model>().ok();
        let own = own.map(|model| model.get().model().clone());
        let write = |stored: &StoredExamples<'_>| -> Result<(), Failure> {
            let record = Record::of(origin, stored)?;
            let goal = record.origin.options.goal.as_ref();
            let answers = goal.map(|goal| goal.answers(stored.layout().outputs));
            let confidences = match &own {
                Some(model) if goal.is_none() => confidences::<Failure>(model, stored, &Unwatched)?,
                _ => Vec::new(),
            };
            let provenance = &record.origin.provenance;
            let made = Made::of(provenance, &record.origin.options, Vec::new())?;
            let page = attack_page(
                stored,
                &record,
                &AttackPage {
                    subject: &subject,
                    image_shape: shape,
                    classes: answers.as_deref().or(classes.as_deref()),
                    files: &BTreeMap::new(),
                    confidences: &confidences,
                    links: &[],
                    made: &made,
                },
            )?;
            write_atomically(&path, |sink| sink.write_all(page.as_bytes()))?;
            Ok(())
        };
        py.detach(|| with_stored(&path, &layout, self.contents(&layout), write))
    }

    /// Writes the examples that succeed in 8 bits as PNG files beside their originals, with tables and a page; the
    /// images are called `subject`, and `classes` are the names of the classes, that of class 0 first.
    fn save_images(
        &self,
        py: Python<'_>,
        dir: PathBuf,
        shape: [usize; 3],
        subject: String,
        classes: Option<Vec<String>>,
        watch: Watch,
    ) -> Result<(), Failure> {
        let found = self.as_eight_bit(py, &watch)?;
        let originals = self.originals.chunks_exact(self.input_len());
        let images = found.iter().zip(&self.examples).zip(originals);
        let saved = images.filter(|((image, _), _)| image.success);
        let saved = saved.map(|((image, example), original)| {
            Ok(SavedExample {
                index: example.index,
                label: example.label,
                wrong_before: example.already_misclassified,
                before: example.prediction_before,
                answer: image.prediction,
                original: original.to_vec(),
                levels: image.levels.clone(),
            })
        });
        let shown = SavedImages {
            subject: &subject,
            image_shape: shape,
            classes: classes.as_deref(),
            made: &Made::default(),
        };
        Ok(save_images(&dir, &shown, |_| None, saved).map(drop)?)
    }

    /// The examples with those as no successes that another runtime, whose outputs these are for the originals and for
    /// the adversarial images, does not take for such.
    fn refuted_by(
        &self,
        py: Python<'_>,
        before: PyReadonlyArray1<'_, f64>,
        after: PyReadonlyArray1<'_, f64>,
    ) -> Result<Found, Failure> {
        let (before, after) = (
            before.as_slice().map_err(PyErr::from)?,
            after.as_slice().map_err(PyErr::from)?,
        );
        let own = self.model.bind(py).cast::<Model>().ok();
        let classes = (after.len() / self.examples.len().max(1)).max(1);
        let mut examples = self.examples.clone();
        let pairs = before.chunks(classes).zip(after.chunks(classes));
        for (example, (before, after)) in examples.iter_mut().zip(pairs) {
            if example.success && !example.already_misclassified {
                let reached = match (&self.options.goal, &own) {
                    (Some(goal), Some(model)) => {
                        goal.is_reached(before, after, goal.threshold(model.get().model()))
                    }
                    _ => self.options.reached(example.label, example.target, after),
                };
                (example.success, example.refuted) = (reached, !reached);
            }
        }
        Ok(self.with(
            examples,
            self.originals.clone(),
            self.certificates.clone(),
            self.outputs.clone(),
            None,
        ))
    }

    /// The examples at some positions, in that order.
    fn only(&self, positions: Vec<usize>) -> PyResult<Found> {
        if positions
            .iter()
            .any(|&position| position >= self.examples.len())
        {
            return Err(pyo3::exceptions::PyIndexError::new_err("no such example"));
        }
        let length = self.input_len();
        let originals = positions
            .iter()
            .flat_map(|&at| &self.originals[at * length..][..length]);
        let certificates = self.certificates.as_ref();
        let count = self.outputs_of_each();
        let outputs = self.outputs.as_ref().map(|outputs| {
            [0, 1].map(|form| {
                let rows = positions
                    .iter()
                    .map(|&at| &outputs[form][at * count..][..count]);
                rows.flatten().copied().collect()
            })
        });
        let eight_bit = self.known_eight_bit();
        let examples = positions.iter().map(|&at| self.examples[at].clone());
        Ok(self.with(
            examples.collect(),
            originals.copied().collect(),
            certificates.map(|all| positions.iter().map(|&at| all[at]).collect()),
            outputs,
            eight_bit.map(|all| positions.iter().map(|&at| all[at].clone()).collect()),
        ))
    }

    fn __len__(&self) -> usize {
        self.examples.len()
    }
}
