//! Models of our own: ONNX files, and bytes of such.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use blindspot::ErrorKind;
use blindspot::certify::MAX_TIME;
use blindspot::classify::{model_predictions, outputs};
use blindspot::inspect::Report;
use blindspot::model::{self, InputBox, Interface, ModelError, ModelOptions, Outputs};
use blindspot::preprocess::{self, Described};
use blindspot_data::Fit;
use blindspot_net::{Budget, Bytes, Network};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{Failure, fail};
use crate::images::Given;
use crate::work::{Watch, read, run_whole};

/// Where a model comes from.
enum Source {
    File(PathBuf),
    Bytes(String, Vec<u8>),
}

/// What is said of a model before it is read.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    /// What is said of the preprocessing value by value, as JSON.
    preprocess: String,
    /// A file of it, or the text of one.
    described: Option<Description>,
    /// Names and shapes of the file's ports, as JSON.
    interface: String,
    /// What the network's numbers are: classes, labels or numbers.
    outputs: String,
    r#box: (f32, f32),
    classes: Option<Vec<String>>,
    /// A number of bytes, with its unit.
    memory: Option<String>,
    /// In seconds.
    reading_time: Option<f64>,
}

/// A file that says what a network wants of its input.
#[derive(FromPyObject)]
enum Description {
    #[pyo3(transparent)]
    Text(Vec<u8>),
    #[pyo3(transparent)]
    File(PathBuf),
}

/// What was said of a model, as it is read.
struct Said {
    options: ModelOptions,
    interface: Interface,
    fit: Option<Fit>,
}

impl Options {
    fn read(self) -> Result<Said, Failure> {
        let told = |error: serde_json::Error| fail(ErrorKind::Usage, error);
        let interface: Interface = serde_json::from_str(&self.interface).map_err(told)?;
        let described = match &self.described {
            None => Described::default(),
            Some(Description::File(path)) => Described::open(path)?,
            Some(Description::Text(text)) => preprocess::read(&String::from_utf8_lossy(text))
                .map_err(|why| fail(ErrorKind::Model, format_args!("preprocess: {why}")))?,
        };
        let said = serde_json::from_str(&self.preprocess).map_err(told)?;
        let Described { preprocess, fit } = described.with(said);
        let (lower, upper) = self.r#box;
        let outputs = match self.outputs.as_str() {
            "classes" => Outputs::Classes,
            "labels" => Outputs::Labels,
            "numbers" => Outputs::Numbers,
            other => {
                let why = format_args!("outputs={other}: use classes, labels or numbers");
                return Err(fail(ErrorKind::Usage, why));
            }
        };
        let mut options = model::Model::options()
            .interface(interface.clone())
            .outputs(outputs)
            .preprocess(preprocess)
            .budget(budget(self.memory.as_deref(), self.reading_time)?)
            .input_box(InputBox { lower, upper });
        if let Some(names) = self.classes {
            options = options.classes(names);
        }
        Ok(Said {
            options,
            interface,
            fit,
        })
    }
}

/// What a model may take.
fn budget(memory: Option<&str>, reading_time: Option<f64>) -> Result<Budget, Failure> {
    let mut budget = Budget::default();
    if let Some(memory) = memory {
        let bytes: Result<Bytes, String> = memory.parse();
        let refused = |why: String| fail(ErrorKind::Usage, format_args!("memory={memory}: {why}"));
        Bytes(budget.memory) = bytes.map_err(refused)?;
    }
    if let Some(seconds) = reading_time {
        if seconds.is_nan() || seconds <= 0.0 {
            return Err(fail(ErrorKind::Usage, "reading_time takes seconds above 0"));
        }
        budget.time = Duration::from_secs_f64(seconds.min(MAX_TIME.as_secs_f64()));
    }
    Ok(budget)
}

impl Source {
    /// A path, or bytes with the name that messages call them.
    fn of(source: &Bound<'_, PyAny>, name: &str) -> PyResult<Source> {
        match source.cast::<PyBytes>() {
            Ok(bytes) => Ok(Source::Bytes(name.to_owned(), bytes.as_bytes().to_vec())),
            Err(_) => source.extract().map(Source::File),
        }
    }

    fn open(&self, options: ModelOptions) -> Result<model::Model, ModelError> {
        match self {
            Source::File(path) => options.open(path),
            Source::Bytes(name, bytes) => options.read(name, &bytes[..]),
        }
    }
}

/// A classifier from an ONNX file.
#[pyclass(frozen, module = "blindspot._native")]
pub(crate) struct Model {
    model: model::Model,
    source: Arc<Source>,
    interface: Interface,
    /// How pictures become inputs, where a file says so.
    fit: Option<Fit>,
}

impl Model {
    pub(crate) fn model(&self) -> &model::Model {
        &self.model
    }

    pub(crate) fn fit(&self) -> Option<Fit> {
        self.fit
    }

    /// The file's own network, without the preprocessing.
    pub(crate) fn file_network(&self) -> Result<Network<f32>, ModelError> {
        let budget = *self.model.budget();
        match &*self.source {
            Source::File(path) => Ok(model::read_network(path, &self.interface, &budget)?.0),
            Source::Bytes(..) => {
                let options = model::Model::options().interface(self.interface.clone());
                Ok(self.source.open(options.budget(budget))?.network().clone())
            }
        }
    }
}

#[pymethods]
impl Model {
    #[new]
    fn new(
        py: Python<'_>,
        source: &Bound<'_, PyAny>,
        name: &str,
        options: Options,
    ) -> Result<Model, Failure> {
        let source = Arc::new(Source::of(source, name)?);
        let said = options.read()?;
        let opened = Arc::clone(&source);
        Ok(Model {
            model: read(py, move || opened.open(said.options))?,
            source,
            interface: said.interface,
            fit: said.fit,
        })
    }

    /// Logits of inputs, one row after the other.
    fn logits<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, PyAny>,
        watch: Watch,
    ) -> Result<Bound<'py, PyArray1<f32>>, Failure> {
        Given::with(images, |images| {
            let given = run_whole(py, &watch, |_| outputs(self.model.network(), images))?;
            Ok(PyArray1::from_slice(py, given.values()))
        })
    }

    /// The class that the file's own outputs give each input.
    fn answers(
        &self,
        py: Python<'_>,
        images: &Bound<'_, PyAny>,
        watch: Watch,
    ) -> Result<Vec<usize>, Failure> {
        Given::with(images, |images| {
            run_whole(py, &watch, |_| model_predictions(&self.model, images))
        })
    }

    /// The shape of one input.
    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.model.network().input_shape().to_vec()
    }

    /// Channels, height and width, where the input is an image.
    #[getter]
    fn image_shape(&self) -> Option<[usize; 3]> {
        self.model.image_shape()
    }

    #[getter]
    fn classes(&self) -> usize {
        self.model.network().output_len()
    }

    #[getter]
    fn class_names(&self) -> Option<Vec<String>> {
        self.model.classes().map(<[String]>::to_vec)
    }

    #[getter]
    fn r#box(&self) -> (f32, f32) {
        let InputBox { lower, upper } = self.model.input_box();
        (lower, upper)
    }

    /// What happens to an image before the file's network sees it, as JSON.
    #[getter]
    fn preprocess(&self) -> Result<String, Failure> {
        json(self.model.preprocess())
    }

    #[getter]
    fn answer(&self) -> String {
        format!("{:?}", self.model.answer())
    }

    #[getter]
    fn notes(&self) -> Vec<String> {
        self.model.notes().to_vec()
    }

    #[getter]
    fn sha256(&self) -> &str {
        self.model.sha256()
    }
}

/// What is in a model's file, whether it runs, and what can be done with it, as JSON.
#[pyfunction]
pub(crate) fn inspect(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    name: &str,
    options: Options,
    profile: bool,
    watch: Watch,
) -> Result<String, Failure> {
    let source = Source::of(source, name)?;
    let options = options.read()?.options;
    let report = run_whole(py, &watch, |_| {
        let report = match &source {
            Source::File(path) => Report::new(Path::new(path), &options)?,
            Source::Bytes(name, bytes) => Report::of_bytes(name, bytes, &options)?,
        };
        Ok::<_, ModelError>(if profile { report.profiled() } else { report })
    })?;
    json(&report)
}

/// A value as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| fail(ErrorKind::Other, error))
}
