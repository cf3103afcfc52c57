//! Certified radii.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use blindspot::ErrorKind;
use blindspot::certify::{
    About, Arithmetic, Bracket, Bracketing, Certifier, MAX_TIME, Record, Summary,
};
use blindspot::inputs::Inputs;
use blindspot::model::InputBox;
use blindspot::run::monitor::Monitor;
use blindspot::search::{Grouping, Norm, SearchOptions, Target};
use blindspot_data::files::write_atomically;
use blindspot_report::{Made, ReportError, brackets_plot, certify_page, write_certified};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::about::selection;
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
    norm: String,
    group: String,
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
    about: crate::about::About,
    watch: Watch,
) -> Result<(Certified, Option<PyErr>), Failure> {
    let told = |why: String| fail(ErrorKind::Usage, format_args!("arithmetic: {why}"));
    let arithmetic: Arithmetic = options.arithmetic.parse().map_err(told)?;
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
    let told = |why: String| fail(ErrorKind::Usage, why);
    let norm: Norm = options.norm.parse().map_err(told)?;
    let grouping: Grouping = options.group.parse().map_err(told)?;
    // What bounds need is made within the time, too.
    let began = Instant::now();
    let certifier = match time {
        Some(time) => Certifier::in_box_until(model, input_box, began + time.min(MAX_TIME))?,
        None => Certifier::in_box(model, input_box)?,
    };
    let time = time.map(|time| time.saturating_sub(began.elapsed()));
    let certifier = certifier
        .norm(norm)
        .grouping(grouping)
        .arithmetic(arithmetic);
    let search = SearchOptions::default()
        .target(Target::Untargeted)
        .norm(norm)
        .grouping(grouping)
        .seed(options.seed)
        .input_box(input_box);
    let bracketing = Bracketing {
        certifier: &certifier,
        classifier: model,
        options: &search,
        time,
    };
    let mut brackets = Vec::new();
    let (selection, interrupt) = Given::with(images, |images| {
        let all: Vec<usize> = (0..images.len()).collect();
        let work = |monitor: &dyn Monitor| {
            bracketing.run(images, &labels, &all, monitor, |found| {
                brackets.extend(found);
                Ok::<(), Failure>(())
            })
        };
        let (worked, interrupt) = run(py, &watch, work)?;
        worked?;
        Ok((selection(images), interrupt))
    })?;
    // Images that take long come later than those after them.
    brackets.sort_by_key(|bracket: &Bracket| bracket.certificate.position);
    let limits = certifier.limits(time.is_some());
    let certified = Certified {
        brackets,
        about: About {
            options: search.clone(),
            provenance: about.provenance(Some(model), &selection),
            time_limit: options.time_limit,
            arithmetic,
            limits,
        },
    };
    Ok((certified, interrupt))
}

/// Certified radii, each beside the smallest perturbation found.
#[pyclass(frozen, module = "blindspot._native")]
pub(crate) struct Certified {
    brackets: Vec<Bracket>,
    about: About,
}

impl Certified {
    fn record(&self) -> Record {
        Record {
            about: self.about.clone(),
            summary: Summary::of(&self.brackets),
        }
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
        let norm = self.about.options.norm.to_string();
        let found = brackets().map(|b| b.found);
        arrays.set_item(norm, PyArray1::from_iter(py, found))?;
        Ok(arrays)
    }

    /// What the certificates rest on less than they could.
    #[getter]
    fn limits(&self) -> Vec<String> {
        self.about.limits.clone()
    }

    /// Each certificate beside the perturbation found, as SVG.
    fn svg(&self) -> String {
        brackets_plot(&self.brackets, self.about.options.norm)
    }

    /// Writes what the command writes: the arrays, the record and the plot.
    fn save(&self, path: PathBuf) -> Result<(), Failure> {
        let written = [
            path.with_extension("json"),
            path.clone(),
            path.with_extension("svg"),
        ];
        write_certified(&written, &self.brackets, &self.record())?;
        Ok(())
    }

    /// Writes the page that the command's `--report` asks for; `subject` is what the model is called.
    fn report(&self, path: PathBuf, subject: &str) -> Result<(), Failure> {
        let record = self.record();
        let provenance = &record.about.provenance;
        let made = Made::of(provenance, &record.about.options, Vec::new())?;
        let subject = format!("{subject} on {}", provenance.data);
        let page = certify_page(&subject, &self.brackets, &record, &made);
        let page = page.map_err(ReportError::from)?;
        write_atomically(&path, |sink| sink.write_all(page.as_bytes()))?;
        Ok(())
    }
}
