//! What can be said about a model before any work is done with it: what is in its file, what it
//! answers, whether its gradients are right, how long they take, and what can be done with it.
//!
//! ```no_run
//! use blindspot::inspect::Report;
//! use blindspot::prelude::*;
//!
//! let report = Report::new("model.onnx".as_ref(), &Model::options())?;
//! if let Some(problem) = &report.problem {
//!     println!("can't be read: {problem}");
//! }
//! # Ok::<(), ModelError>(())
//! ```

mod gradients;
mod guesses;
mod profile;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use blindspot_data::files;
use blindspot_model::{Answer, Interface, Model, ModelError, ModelOptions};
use blindspot_net::onnx::{Inspection, Port, inspect};
use blindspot_net::{Evaluator, Network, Op, Operand, onnx};
use blindspot_run::random::Stream;
use schemars::JsonSchema;
use serde::Serialize;

pub use gradients::GradientCheck;
pub use guesses::Guess;
pub use profile::{Cost, KindProfile, NodeProfile, Profile};

use crate::certify::{Certifier, CertifyError};
use crate::search::SearchOptions;
use crate::units::Layer;

/// All that is known about a model. Its names are those of the JSON that it becomes.
#[derive(Debug, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Report {
    /// What is in the file.
    pub file: FileReport,
    /// Why it is no model that runs here; `None` if it is one.
    pub problem: Option<String>,
    /// The same as an error.
    #[serde(skip)]
    pub error: Option<ModelError>,
    /// The network, if it runs.
    pub network: Option<NetworkReport>,
    /// Where its time goes, if that was asked for and it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The model, if it runs.
    #[serde(skip)]
    pub model: Option<Model>,
}

/// What is in a model's file.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct FileReport {
    /// The program that wrote it, and its version; empty where it does not say so.
    pub producer: String,
    /// The versions of its sets of operators, by domain; ONNX's own is `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    /// Bytes of the file and of those beside it.
    pub bytes: u64,
    /// The files beside it that hold its numbers.
    pub files: Vec<String>,
    /// Its inputs.
    pub inputs: Vec<PortReport>,
    /// Its outputs.
    pub outputs: Vec<PortReport>,
    /// How many numbers it stores.
    pub stored_numbers: u64,
    /// How many functions of its own it has.
    pub functions: usize,
    /// How many nodes of each operator the classes need, functions written out.
    pub operators: BTreeMap<String, usize>,
    /// Those of them that are not supported, each with what helps.
    pub missing: BTreeMap<String, String>,
}

/// An input or output of a file.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct PortReport {
    /// Its name.
    pub name: String,
    /// The type of its numbers, as in `float32`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The sizes of its axes: numbers, names, or `?`.
    pub shape: Option<Vec<String>>,
}

/// A network that runs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct NetworkReport {
    /// The shape of an image as the model takes it, without a batch.
    pub input_shape: Vec<usize>,
    /// How many classes there are.
    pub classes: usize,
    /// What the file ends in, in words.
    pub answer: &'static str,
    /// Numbers in weights.
    pub parameters: usize,
    /// Numbers that one image takes while it is evaluated.
    pub values: usize,
    /// What has to be said about how the file was read.
    pub notes: Vec<String>,
    /// What the network seems to want of its input.
    pub preprocessing: Vec<Guess>,
    /// The gradient of the margin beside finite differences, at one random image.
    pub gradient_check: GradientCheck,
    /// Milliseconds that the outputs of one image take, the middle of a few runs.
    pub forward_ms: f64,
    /// Milliseconds that outputs and one gradient take.
    pub gradient_ms: f64,
    /// What can be done with it.
    pub studies: Vec<Study>,
}

/// Something that can be done with a model.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Study {
    /// Its name: `attack`, `transfer`, `certify`, `units` or `spectrum`.
    pub name: &'static str,
    /// Why it can't be done; `None` if it can.
    pub problem: Option<String>,
    /// What is lost, if it can be done in part only.
    pub limit: Option<String>,
}

impl Report {
    /// Looks at a model's file, opens it as `options` say, and tries it on one random image.
    ///
    /// # Errors
    /// [`ModelError`] where the file can't be read or is no ONNX file. One that is, but does not run
    /// here, is a report that says so.
    pub fn new(path: &Path, options: &ModelOptions) -> Result<Report, ModelError> {
        let bytes = files::read_limited(path, onnx::MAX_BYTES)?;
        let own = bytes.len() as u64;
        let inspection = look(bytes, path, Some(path), options)?;
        let beside = inspection.files.iter().map(|name| {
            let file = std::fs::metadata(path.with_file_name("").join(name));
            file.map_or(0, |file| file.len())
        });
        let file = FileReport::of(&inspection, own + beside.sum::<u64>());
        Ok(Report::of(file, options.clone().open(path)))
    }

    /// Looks at the bytes of an ONNX file that keeps all its numbers in itself, as [`Report::new`] does;
    /// messages call it `name`.
    ///
    /// # Errors
    /// [`ModelError`] where they are no ONNX file.
    pub fn of_bytes(
        name: &str,
        bytes: &[u8],
        options: &ModelOptions,
    ) -> Result<Report, ModelError> {
        let inspection = look(bytes.to_vec(), Path::new(name), None, options)?;
        let file = FileReport::of(&inspection, bytes.len() as u64);
        Ok(Report::of(file, options.clone().read(name, bytes)))
    }

    /// The report with its profile, on the same random image.
    #[must_use]
    pub fn profiled(mut self) -> Report {
        self.profile = self.model.as_ref().map(|model| {
            let image = random_image(model, &mut Stream::new(0, "inspect", 0));
            Profile::of(model.network(), &image)
        });
        self
    }

    fn of(file: FileReport, model: Result<Model, ModelError>) -> Report {
        match model {
            Ok(model) => Report {
                file,
                problem: None,
                error: None,
                network: Some(NetworkReport::of(&model)),
                profile: None,
                model: Some(model),
            },
            Err(error) => Report {
                file,
                problem: Some(without_path(&error)),
                error: Some(error),
                network: None,
                profile: None,
                model: None,
            },
        }
    }
}

/// What is in the bytes of a file that messages call `name`, and that is at `path` if it is in a folder.
fn look(
    bytes: Vec<u8>,
    name: &Path,
    path: Option<&Path>,
    options: &ModelOptions,
) -> Result<Inspection, ModelError> {
    let interface: &Interface = options.interface_of();
    let mut read = interface.read_options(path)?;
    read.budget = *options.budget_of();
    inspect(bytes, &read).map_err(|source| ModelError::Onnx {
        path: name.to_owned(),
        source,
    })
}

/// An error's text, which names the file before it.
fn without_path(error: &ModelError) -> String {
    match error {
        ModelError::Onnx { source, .. } => source.to_string(),
        ModelError::Budget { source, .. } => source.to_string(),
        ModelError::Preprocess { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

impl FileReport {
    fn of(inspection: &Inspection, bytes: u64) -> FileReport {
        let ports = |ports: &[Port]| {
            let ports = ports.iter().map(|port| PortReport {
                name: port.name.clone(),
                kind: port.kind.clone(),
                shape: port.shape.clone(),
            });
            ports.collect()
        };
        let missing = inspection.missing.iter();
        FileReport {
            producer: inspection.producer.clone(),
            opsets: inspection.opsets.clone(),
            bytes,
            files: inspection.files.clone(),
            inputs: ports(&inspection.inputs),
            outputs: ports(&inspection.outputs),
            stored_numbers: inspection.stored_numbers,
            functions: inspection.functions,
            operators: inspection.operators.clone(),
            missing: missing
                .map(|(name, &help)| (name.clone(), help.to_owned()))
                .collect(),
        }
    }
}

impl NetworkReport {
    fn of(model: &Model) -> NetworkReport {
        let network = model.network();
        let mut random = Stream::new(0, "inspect", 0);
        let image = random_image(model, &mut random);
        let mut evaluator = Evaluator::new(network);
        evaluator.input(1).copy_from_slice(&image);
        let one: Vec<f32> = (0..network.output_len()).map(|_| 1.0).collect();
        let forward_ms = milliseconds(|| {
            evaluator.forward();
        });
        let gradient_ms = milliseconds(|| {
            evaluator.forward();
            evaluator.backward(&one);
        });
        NetworkReport {
            input_shape: network.input_shape().to_vec(),
            classes: network.output_len(),
            answer: words(model.answer()),
            parameters: network.parameters(),
            values: network
                .graph()
                .values()
                .iter()
                .map(|value| value.len())
                .sum(),
            notes: model.notes().to_vec(),
            preprocessing: guesses::of(model),
            gradient_check: GradientCheck::at(network, &image, &mut random),
            forward_ms,
            gradient_ms,
            studies: studies(model),
        }
    }
}

/// An image of the model's input box.
fn random_image(model: &Model, random: &mut Stream) -> Vec<f32> {
    let (lower, upper) = (model.input_box().lower, model.input_box().upper);
    (0..model.network().input_len())
        .map(|_| lower + (upper - lower) * random.uniform() as f32)
        .collect()
}

/// What a model's file ends in, in words.
fn words(answer: Answer) -> &'static str {
    match answer {
        Answer::Logits => "logits, or other numbers of which the largest is the answer",
        Answer::Softmax => "a Softmax, looked through",
        Answer::LogSoftmax => "a LogSoftmax, looked through",
        Answer::Increasing => "what keeps the order of the classes, looked through",
        Answer::OneLogit => "one logit: class 1 where it is above 0, else class 0",
        Answer::OneProbability => "one probability: class 1 where it is above 1/2, else class 0",
        Answer::LabelLogits => "a logit for each label",
        Answer::LabelProbabilities => "a probability for each label, the Sigmoid looked through",
        Answer::Numbers => "numbers as they are",
    }
}

/// The middle of the times that some runs take.
fn milliseconds(mut run: impl FnMut()) -> f64 {
    /// Enough for a middle, and no longer than one waits for a report.
    const RUNS: usize = 15;
    const LONG_ENOUGH: Duration = Duration::from_millis(700);
    let begun = Instant::now();
    let mut times = Vec::with_capacity(RUNS);
    while times.len() < RUNS && (times.len() < 2 || begun.elapsed() < LONG_ENOUGH) {
        let start = Instant::now();
        run();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// How long the bounds that certificates need may be prepared, to see whether there are any.
const CERTIFY_TIME: Duration = Duration::from_secs(5);

/// What can be done with a model.
fn studies(model: &Model) -> Vec<Study> {
    let network = model.network();
    let classes = network.output_len();
    let few = (classes < 2).then(|| "it has fewer than two classes".to_owned());
    let unsearchable = SearchOptions::default().check_classes(classes).err();
    let unsearchable = few.clone().or(unsearchable.map(|why| why.to_string()));
    let study = |name, problem, limit| Study {
        name,
        problem,
        limit,
    };
    let late = || format!("preparing its bounds takes more than {CERTIFY_TIME:?}");
    let deadline = Instant::now() + CERTIFY_TIME;
    let (certify, limit) = match Certifier::in_box_until(model, model.input_box(), deadline) {
        Ok(certifier) => {
            let why = certifier.without_linear().map(|why| match why {
                CertifyError::Late => late(),
                why => format!(
                    "radii rest on products of the layers' bounds alone, and are small: {why}"
                ),
            });
            (None, why)
        }
        Err(CertifyError::Late) => (None, Some(late())),
        Err(why) => (Some(why.to_string()), None),
    };
    let no_layer = Layer::all(network).is_empty();
    let no_layer = no_layer.then(|| "no layer has units on at most two axes".to_owned());
    let not_linear = !has_linear_layer(network);
    let not_linear = not_linear.then(|| "it has no linear layer".to_owned());
    vec![
        study("attack", unsearchable, None),
        study("transfer", few, None),
        study("certify", certify, limit),
        study("units", no_layer, None),
        study("spectrum", not_linear, None),
    ]
}

/// Whether an operator multiplies by a weight.
fn has_linear_layer(network: &Network<f32>) -> bool {
    let mut nodes = network.graph().nodes().iter();
    nodes.any(|node| {
        let weighted = matches!(node.inputs.get(1), Some(Operand::Weight(_)));
        weighted && matches!(node.op, Op::Gemm(_) | Op::Conv(_) | Op::Local(_))
    })
}
