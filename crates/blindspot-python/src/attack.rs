//! Searches for smallest perturbations.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use blindspot::ErrorKind;
use blindspot::certify::Certifier;
use blindspot::classifier::Classifier;
use blindspot::examples::{
    Layout, Origin, Record, SavedExample, StoredExamples, confidences, with_stored, write_found,
};
use blindspot::inputs::{InMemory, Inputs};
use blindspot::model::InputBox;
use blindspot::preprocess::Preprocess;
use blindspot::provenance::Provenance;
use blindspot::run::monitor::{Monitor, Unwatched};
use blindspot::search::{
    Block, Bounds, Criterion, EightBit, Example, SearchError, SearchOptions, eight_bit,
    search_in_blocks,
};
use blindspot_data::files::write_atomically;
use blindspot_report::{AttackPage, Made, SavedImages, attack_page, save_images};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::classifier::AnyModel;
use crate::errors::{Failure, fail};
use crate::images::Given;
use crate::work::{Watch, run, run_whole};

/// What is searched for.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options<'py> {
    target: String,
    method: String,
    norm: String,
    group: String,
    seed: u64,
    top_k: usize,
    confidence: f64,
    max_evaluations: Option<u64>,
    time_limit: Option<f64>,
    /// In place of the model's own.
    r#box: Option<(f32, f32)>,
    /// Limits of each value.
    lower: Option<PyReadonlyArray1<'py, f32>>,
    upper: Option<PyReadonlyArray1<'py, f32>>,
    change: Option<PyReadonlyArray1<'py, f32>>,
    certify: bool,
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
            .input_box(input_box);
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

/// What a record says of the origin of examples besides.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct About {
    data: String,
    answers_as_labels: bool,
    hashes: BTreeMap<String, String>,
    model_sha256: String,
    versions: BTreeMap<String, String>,
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
    let certify = options.certify;
    let options = options.read(&any)?;
    let certifier = match (&any, certify) {
        (AnyModel::Own(model), true) => Some(Certifier::in_box(model.model(), options.input_box)?),
        (AnyModel::Python(_), true) => {
            let why = "certificates look inside of a network: give an ONNX file, or a model loaded from \
                       one";
            return Err(fail(ErrorKind::Usage, why));
        }
        (_, false) => None,
    };
    let classifier = any.classifier();
    let (searched, interrupt) = Given::with(images, |images| {
        let search = |monitor: &dyn Monitor| search(classifier, images, &labels, &options, monitor);
        let ((searched, failed), interrupt) = run(py, &watch, search)?;
        // What was found before a model failed is worth as much as what was before Ctrl-C.
        let failed = failed.map(|error| PyErr::from(any.failure(error)));
        Ok((searched, interrupt.or(failed)))
    })?;
    let mut found = Found {
        examples: searched.examples,
        originals: searched.originals,
        shape: classifier.input_shape().to_vec(),
        certificates: None,
        eight_bit: Mutex::new(None),
        options,
        model: model.clone().unbind(),
    };
    if let (Some(certifier), None) = (certifier, &interrupt) {
        found.certificates = Some(run_whole(py, &watch, |monitor| {
            found.certify(&certifier, monitor)
        })?);
    }
    Ok((found, interrupt))
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

/// Examples with their originals.
#[pyclass(frozen, module = "blindspot._native")]
pub(crate) struct Found {
    examples: Vec<Example>,
    originals: Vec<f32>,
    /// Of an input.
    shape: Vec<usize>,
    certificates: Option<Vec<f64>>,
    /// As images of 8 bits, once they were asked for.
    eight_bit: Mutex<Option<Arc<Vec<EightBit>>>>,
    options: SearchOptions,
    model: Py<PyAny>,
}

impl Found {
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
        let preprocess = match &AnyModel::of(self.model.bind(py))? {
            AnyModel::Own(model) => model.model().preprocess().clone(),
            AnyModel::Python(_) => Preprocess::default(),
        };
        Ok(Origin {
            options: self.options.clone(),
            provenance: Provenance {
                preprocess,
                data: about.data,
                data_sha256: about.hashes,
                selection_sha256: String::new(),
                right_of: None,
                model_sha256: about.model_sha256,
                versions: about.versions,
            },
            answers_as_labels: about.answers_as_labels,
            ranges_sha256: BTreeMap::new(),
        })
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
        }
    }

    /// Each example as it is stored.
    fn contents<'a>(&'a self, layout: &'a Layout) -> impl ExactSizeIterator<Item = Vec<u8>> + 'a {
        let eight_bit = self.known_eight_bit().filter(|_| layout.eight_bit);
        let originals = self.originals.chunks_exact(self.input_len());
        let rows = self.examples.iter().zip(originals).enumerate();
        rows.map(move |(i, (example, original))| {
            let eight_bit = eight_bit.as_ref().map(|images| &images[i]);
            let certificate = self.certificates.as_ref().map(|radii| radii[i]);
            layout.content(example, original, eight_bit, certificate)
        })
    }

    fn certify(
        &self,
        certifier: &Certifier,
        monitor: &dyn Monitor,
    ) -> Result<Vec<f64>, blindspot::certify::CertifyError> {
        let labels: Vec<usize> = self.examples.iter().map(|example| example.label).collect();
        let all: Vec<usize> = (0..labels.len()).collect();
        let certificates = certifier.certify_inputs(&self.originals(), &labels, &all, monitor)?;
        let with = certificates.into_iter().zip(&self.examples);
        let radius =
            with.map(|(found, example)| found.of_answer(!example.already_misclassified).radius);
        Ok(radius.collect())
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

    /// Writes what the command writes: the arrays, and the record beside them.
    fn save(&self, py: Python<'_>, path: PathBuf, about: About) -> Result<(), Failure> {
        let (origin, layout) = (self.origin(py, about)?, self.layout());
        py.detach(|| write_found(&path, &layout, self.contents(&layout), Some(origin)))?;
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
        let any = AnyModel::of(self.model.bind(py))?;
        let own = match &any {
            AnyModel::Own(model) => Some(model.model().clone()),
            AnyModel::Python(_) => None,
        };
        drop(any);
        let write = |stored: &StoredExamples<'_>| -> Result<(), Failure> {
            let record = Record::of(origin, stored)?;
            let confidences = match &own {
                Some(model) => confidences::<Failure>(model, stored, &Unwatched)?,
                None => Vec::new(),
            };
            let facts = record.origin.provenance.versions.clone();
            let page = attack_page(
                stored,
                &record,
                &AttackPage {
                    subject: &subject,
                    image_shape: shape,
                    classes: classes.as_deref(),
                    files: &BTreeMap::new(),
                    confidences: &confidences,
                    links: &[],
                    made: &Made {
                        command: String::new(),
                        facts: facts.into_iter().collect(),
                    },
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

    /// The examples with those as no successes that another runtime, whose outputs these are, does
    /// not take for such.
    fn refuted_by(&self, outputs: PyReadonlyArray1<'_, f64>) -> Result<Found, Failure> {
        let outputs = outputs.as_slice().map_err(PyErr::from)?;
        let classes = outputs.len() / self.examples.len().max(1);
        let mut examples = self.examples.clone();
        for (example, outputs) in examples.iter_mut().zip(outputs.chunks(classes.max(1))) {
            if example.success && !example.already_misclassified {
                let reached = self.options.reached(example.label, example.target, outputs);
                (example.success, example.refuted) = (reached, !reached);
            }
        }
        Ok(Found {
            examples,
            originals: self.originals.clone(),
            shape: self.shape.clone(),
            certificates: self.certificates.clone(),
            eight_bit: Mutex::new(None),
            options: self.options.clone(),
            model: Python::attach(|py| self.model.clone_ref(py)),
        })
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
        let eight_bit = self.known_eight_bit();
        let eight_bit = eight_bit.map(|all| positions.iter().map(|&at| all[at].clone()).collect());
        Ok(Found {
            examples: positions
                .iter()
                .map(|&at| self.examples[at].clone())
                .collect(),
            originals: originals.copied().collect(),
            shape: self.shape.clone(),
            certificates: certificates.map(|all| positions.iter().map(|&at| all[at]).collect()),
            eight_bit: Mutex::new(eight_bit.map(Arc::new)),
            options: self.options.clone(),
            model: Python::attach(|py| self.model.clone_ref(py)),
        })
    }

    fn __len__(&self) -> usize {
        self.examples.len()
    }
}
