//! Certified radii.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use blindspot::ErrorKind;
use blindspot::certify::{
    About, Arithmetic, Bracket, Bracketing, Certifier, Record, Summary, write_certificates,
};
use blindspot::inputs::Inputs;
use blindspot::model::InputBox;
use blindspot::provenance::Provenance;
use blindspot::run::monitor::Monitor;
use blindspot::search::{SearchOptions, Target};
use blindspot_data::files;
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{Failure, fail};
use crate::images::Given;
use crate::model::Model;
use crate::work::{Watch, run};

/// How radii are certified.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    r#box: Option<(f32, f32)>,
    time_limit: Option<f64>,
    arithmetic: String,
    seed: u64,
}

/// Certifies images with their true classes, and searches from them. Gives what was found, and the
/// exception that ended the work early, if one did.
#[pyfunction]
pub(crate) fn certify(
    py: Python<'_>,
    model: PyRef<'_, Model>,
    images: &Bound<'_, PyAny>,
    labels: Vec<usize>,
    options: Options,
    watch: Watch,
) -> Result<(Certified, Option<PyErr>), Failure> {
    let arithmetic = match options.arithmetic.as_str() {
        "runtime" => Arithmetic::Runtime,
        "exact" => Arithmetic::Exact,
        other => {
            let why = format!("unknown arithmetic `{other}`; use runtime or exact");
            return Err(fail(ErrorKind::Usage, why));
        }
    };
    let time = options
        .time_limit
        .map(Duration::try_from_secs_f64)
        .transpose();
    let time = time.map_err(|_| fail(ErrorKind::Usage, "time_limit takes seconds above 0"))?;
    let model = model.model();
    let (lower, upper) = options
        .r#box
        .unwrap_or((model.input_box().lower, model.input_box().upper));
    let input_box = InputBox { lower, upper };
    let certifier = Certifier::in_box(model, input_box)?.arithmetic(arithmetic);
    let search = SearchOptions::default()
        .target(Target::Untargeted)
        .seed(options.seed)
        .input_box(input_box);
    let bracketing = Bracketing {
        certifier: &certifier,
        classifier: model,
        options: &search,
        time,
    };
    let mut brackets = Vec::new();
    let interrupt = Given::with(images, |images| {
        let all: Vec<usize> = (0..images.len()).collect();
        let work = |monitor: &dyn Monitor| {
            bracketing.run(images, &labels, &all, monitor, |found| {
                brackets.extend(found);
                Ok::<(), CertifyFailure>(())
            })
        };
        let (worked, interrupt) = run(py, &watch, work)?;
        worked.map_err(|error| match error {
            CertifyFailure::Certify(error) => Failure::from(error),
            CertifyFailure::Search(error) => Failure::from(error),
        })?;
        Ok(interrupt)
    })?;
    // Images that take long come later than those after them.
    brackets.sort_by_key(|bracket: &Bracket| bracket.certificate.position);
    let mut limits = Vec::new();
    if let Some(why) = certifier.without_linear() {
        limits.push(format!("by the product of the layers' bounds alone: {why}"));
    }
    if let Some(why) = certifier.without_lipschitz() {
        limits.push(format!(
            "the product of the layers' bounds is not known: {why}"
        ));
    }
    if time.is_some() && !certifier.refines() {
        let why = "on the first bounds, with a time limit or without: it takes ReLUs, or one or two fully \
                   connected layers of sigmoid or tanh units below the last";
        limits.push(why.into());
    }
    let certified = Certified {
        brackets,
        about: About {
            options: search.clone(),
            provenance: Provenance {
                preprocess: model.preprocess().clone(),
                data: String::new(),
                data_sha256: BTreeMap::new(),
                selection_sha256: String::new(),
                right_of: None,
                model_sha256: model.sha256().to_owned(),
                versions: BTreeMap::new(),
            },
            time_limit: options.time_limit,
            arithmetic,
            limits,
        },
    };
    Ok((certified, interrupt))
}

/// Why images can't be certified.
enum CertifyFailure {
    Certify(blindspot::certify::CertifyError),
    Search(blindspot::search::SearchError),
}

impl From<blindspot::certify::CertifyError> for CertifyFailure {
    fn from(error: blindspot::certify::CertifyError) -> Self {
        CertifyFailure::Certify(error)
    }
}

impl From<blindspot::search::SearchError> for CertifyFailure {
    fn from(error: blindspot::search::SearchError) -> Self {
        CertifyFailure::Search(error)
    }
}

/// Certified radii, each beside the smallest perturbation found.
#[pyclass(frozen, module = "blindspot._native")]
pub(crate) struct Certified {
    brackets: Vec<Bracket>,
    about: About,
}

impl Certified {
    fn plot(&self) -> String {
        let radii: Vec<f64> = self.brackets.iter().map(|b| b.certificate.radius).collect();
        let l2: Vec<f64> = self.brackets.iter().map(|b| b.l2).collect();
        blindspot_report::certificate_plot(&radii, &l2)
    }
}

#[pymethods]
impl Certified {
    /// The arrays of one number an image, by their names in files.
    fn numbers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let arrays = PyDict::new(py);
        let brackets = || self.brackets.iter();
        let indices = brackets().map(|b| b.certificate.index as i64);
        arrays.set_item("index", PyArray1::from_iter(py, indices))?;
        let labels = brackets().map(|b| b.certificate.label as i64);
        arrays.set_item("label", PyArray1::from_iter(py, labels))?;
        let radii = brackets().map(|b| b.certificate.radius);
        arrays.set_item("certificate", PyArray1::from_iter(py, radii))?;
        let products = brackets().map(|b| b.certificate.lipschitz.unwrap_or(f64::NAN));
        arrays.set_item("lipschitz", PyArray1::from_iter(py, products))?;
        arrays.set_item("l2", PyArray1::from_iter(py, brackets().map(|b| b.l2)))?;
        Ok(arrays)
    }

    /// What the certificates rest on less than they could.
    #[getter]
    fn limits(&self) -> Vec<String> {
        self.about.limits.clone()
    }

    /// Each certificate beside the perturbation found, as SVG.
    fn svg(&self) -> String {
        self.plot()
    }

    /// Writes what the command writes: the arrays, the record and the plot.
    fn save(
        &self,
        path: PathBuf,
        data: String,
        hashes: BTreeMap<String, String>,
        versions: BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        write_certificates(&path, &self.brackets)?;
        let record = Record {
            about: About {
                provenance: Provenance {
                    data,
                    data_sha256: hashes,
                    versions,
                    ..self.about.provenance.clone()
                },
                ..self.about.clone()
            },
            summary: Summary::of(&self.brackets),
        };
        files::write_atomically(&path.with_extension("json"), |writer| {
            serde_json::to_writer_pretty(&mut *writer, &record)?;
            writeln!(writer)
        })?;
        let plot = self.plot();
        files::write_atomically(&path.with_extension("svg"), |writer| {
            writer.write_all(plot.as_bytes())
        })?;
        Ok(())
    }
}
