//! A model: a network with all that is known about it, the one thing that every study takes.

mod interface;
mod one_logit;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blindspot_data::files::{self, FileError};
use blindspot_data::{DataError, ErrorKind, Fit, ImageSet};
use blindspot_net::{ExactNetwork, Network, Node, Op, Precision, onnx};

pub use self::interface::Interface;
use crate::InputBox;
use crate::preprocess::{ChannelOrder, Layout, Preprocess, PreprocessError};

/// A classifier that takes images as they are, with values in its input box, and gives logits.
///
/// The preprocessing that the network was trained with is a part of it, so box, perturbations and
/// distances are those of the image; a Softmax or Sigmoid at the end is left out
/// ([`Network::logits`]), so searches see logits.
///
/// ```no_run
/// use blindspot_model::Model;
///
/// let model = Model::open("fc100.onnx")?;
/// let photographs = Model::options()
///     .mean([0.485, 0.456, 0.406])
///     .std([0.229, 0.224, 0.225])
///     .open("resnet.onnx")?;
/// # Ok::<(), blindspot_model::ModelError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    network: Network<f32>,
    /// The network with what it ends in, where that was left out.
    own_end: Option<Network<f32>>,
    precision: Precision,
    input_precision: Precision,
    preprocess: Preprocess,
    input_box: InputBox,
    image_shape: Option<[usize; 3]>,
    classes: Option<Vec<String>>,
    answer: Answer,
    whole: bool,
    notes: Vec<String>,
    source: Source,
    sha256: String,
}

/// Where a model's numbers come from.
#[derive(Debug, Clone)]
enum Source {
    File {
        path: PathBuf,
        options: onnx::ReadOptions,
    },
    Bytes {
        name: String,
        bytes: Arc<[u8]>,
        options: onnx::ReadOptions,
    },
    /// The network before any preprocessing.
    Memory(Box<Network<f32>>),
}

/// A model as exactly as its file has it; see [`Model::exact`].
#[derive(Debug, Clone)]
pub struct ExactModel {
    /// The network, from an image in the input box to numbers of which the largest is the answer,
    /// with the preprocessing inside.
    pub network: ExactNetwork,
    /// Whether a Softmax or LogSoftmax over all of these was left out. What else the file ends in is
    /// there.
    pub softmax_left_out: bool,
}

/// What a network's file ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// One number for each class, the largest for the likeliest.
    Logits,
    /// A Softmax over the classes; the model leaves it out.
    Softmax,
    /// A LogSoftmax over the classes; the model leaves it out.
    LogSoftmax,
    /// Something else that keeps the order of the classes, such as a Sigmoid; the model leaves it
    /// out.
    Increasing,
    /// One number, above 0 for class 1 of two; the model gives 0 for class 0 beside it, so that the
    /// margin is that number.
    OneLogit,
    /// A Sigmoid of one number, the probability of class 1 of two; the model leaves the Sigmoid out
    /// and is [`OneLogit`](Answer::OneLogit) then.
    OneProbability,
}

/// Why a file or network is no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file can't be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The values of its other inputs can't be read.
    #[error("the values of the model's other inputs: {0}")]
    Values(#[from] DataError),
    /// The file holds no network that runs here.
    #[error("{}: {source}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: onnx::OnnxError,
    },
    /// The file is another one than when it was read first.
    #[error("{} has changed since it was read; leave it alone until the work is done", .0.display())]
    Changed(PathBuf),
    /// Network and preprocessing don't fit each other.
    #[error("{name}: {source}")]
    Preprocess {
        /// The file, or "the network" where there is none.
        name: String,
        /// What does not fit.
        source: PreprocessError,
    },
    /// There are not as many class names as classes.
    #[error("{names} class names for a network of {classes} classes; give one for each")]
    Classes {
        /// Names given.
        names: usize,
        /// Outputs of the network.
        classes: usize,
    },
}

impl ModelError {
    /// [`ErrorKind::Usage`] for class names that are not as many as the classes;
    /// [`ErrorKind::Model`] for all else.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ModelError::Classes { .. } => ErrorKind::Usage,
            ModelError::Values(_)
            | ModelError::Changed(_)
            | ModelError::File(_)
            | ModelError::Onnx { .. }
            | ModelError::Preprocess { .. } => ErrorKind::Model,
        }
    }
}

impl Model {
    /// Reads an ONNX file whose network takes images as they are, with values in \[0, 1\].
    ///
    /// # Errors
    /// [`ModelError`] if the file can't be read or run.
    pub fn open(path: impl AsRef<Path>) -> Result<Model, ModelError> {
        Model::options().open(path)
    }

    /// What can be said about a model before it is opened: above all the preprocessing that its
    /// network was trained with.
    pub fn options() -> ModelOptions {
        ModelOptions::default()
    }

    /// Makes a model of a network in memory that takes images as they are.
    ///
    /// # Errors
    /// [`ModelError::Preprocess`] if the input has three axes and channels seem to be the last:
    /// say so by [`ModelOptions::layout`].
    pub fn from_network(network: Network<f32>) -> Result<Model, ModelError> {
        Model::options().from_network(network)
    }

    /// The network, from an image in the input box to logits, with the preprocessing inside.
    pub fn network(&self) -> &Network<f32> {
        &self.network
    }

    /// What happens to an image before the network of the file sees it.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The range of an image's values.
    pub fn input_box(&self) -> InputBox {
        self.input_box
    }

    /// Channels, height and width of an image; `None` if any image with as many values will do.
    pub fn image_shape(&self) -> Option<[usize; 3]> {
        self.image_shape
    }

    /// The names of the classes, in the order of the logits, if they are known.
    pub fn classes(&self) -> Option<&[String]> {
        self.classes.as_deref()
    }

    /// What the network ended in before that was left out.
    pub fn answer(&self) -> Answer {
        self.answer
    }

    /// The network with what it ends in, from an image in the input box to the file's own outputs;
    /// `None` where nothing was left out.
    pub fn own_end(&self) -> Option<&Network<f32>> {
        self.own_end.as_ref()
    }

    /// The coarsest number format of the file's values. The [network](Model::network) itself
    /// computes in single precision.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The number format that an image is rounded to before the network sees it: that of the file's
    /// input where no preprocessing stands before it.
    pub fn input_precision(&self) -> Precision {
        self.input_precision
    }

    /// Whether the network of the file takes whole numbers (bytes), which a step of 1/255 in the
    /// image is one of: only images of 8 bits are inputs of it then.
    pub fn takes_whole_numbers(&self) -> bool {
        self.whole
    }

    /// What has to be said about how the file was read, in sentences without a full stop; nothing
    /// for most files.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The model with the numbers that its file has, none of them rounded to single precision. A
    /// file is read once more for it.
    ///
    /// # Errors
    /// [`ModelError`] if the file can't be read any more, or has changed.
    pub fn exact(&self) -> Result<ExactModel, ModelError> {
        let whole = self.whole()?;
        let (network, softmax_left_out) = match whole.network().output_len() {
            1 => (one_logit::two_classes_exact(whole), false),
            _ => without_softmax(whole),
        };
        Ok(ExactModel {
            network: self.behind_preprocessing(network)?,
            softmax_left_out,
        })
    }

    /// The model's [network](Model::network), from images to logits, with the numbers that its file
    /// has; `None` of a model with one output, which has another end here.
    pub(crate) fn exact_logits(&self) -> Result<Option<ExactNetwork>, ModelError> {
        let whole = self.whole()?;
        if whole.network().output_len() == 1 {
            return Ok(None);
        }
        let logits = up_to_logits(whole);
        let exact = self.behind_preprocessing(logits)?;
        let (own, found) = (self.network(), exact.network());
        let fits = own.output_len() == found.output_len() && own.input_len() == found.input_len();
        Ok(Some(exact).filter(|_| fits))
    }

    fn behind_preprocessing(&self, network: ExactNetwork) -> Result<ExactNetwork, ModelError> {
        let network = self.preprocess.before_exact(network);
        network.map_err(|source| ModelError::Preprocess {
            name: self.name(),
            source,
        })
    }

    /// What messages call the model.
    fn name(&self) -> String {
        match &self.source {
            Source::File { path, .. } => path.display().to_string(),
            Source::Bytes { name, .. } => name.clone(),
            Source::Memory(_) => "the network".to_owned(),
        }
    }

    /// All of the file's network, with the numbers that the file has.
    fn whole(&self) -> Result<ExactNetwork, ModelError> {
        match &self.source {
            Source::File { path, options } => {
                let (exact, sha256) = read_by(path, |bytes| {
                    let read = onnx::read_exact(bytes, options)?;
                    Ok((read.network, read.files))
                })?;
                if sha256 != self.sha256 {
                    return Err(ModelError::Changed(path.clone()));
                }
                Ok(exact)
            }
            Source::Bytes {
                name,
                bytes,
                options,
            } => {
                let read = onnx::read_exact(&bytes[..], options);
                Ok(read.map_err(|source| unreadable(name, source))?.network)
            }
            Source::Memory(network) => Ok(network.as_ref().into()),
        }
    }

    /// SHA-256 of the model's file in hexadecimal digits; of a network in memory, of the file that
    /// [`onnx::write()`] makes of it.
    ///
    /// Of a model with numbers in files beside it, it is the SHA-256 of a list: a line with that of
    /// the model's own file, then a line `SHA-256  name` for each file that it reads from, names as
    /// the model has them, in the order of the alphabet.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The images as the model takes them. Images in files are resized as `fit` says, and cropped to
    /// the model's [`image_shape`](Model::image_shape) unless `fit` says otherwise; images in
    /// memory are only changed if `fit` is given.
    ///
    /// # Errors
    /// [`DataError::Unfit`] if they have another shape than the model takes.
    pub fn fit(&self, images: &ImageSet, fit: Option<Fit>) -> Result<ImageSet, DataError> {
        let fitted = match (self.image_shape, fit) {
            (Some([channels, height, width]), _) if images.is_of_files() => {
                let asked = fit.unwrap_or_default();
                images.fitted(&Fit {
                    resize: asked.resize,
                    crop: Some(asked.crop.unwrap_or([height, width])),
                    channels: Some(channels).filter(|channels| matches!(channels, 1 | 3)),
                    upright: asked.upright,
                })?
            }
            (_, Some(fit)) => images.fitted(&fit)?,
            (_, None) => images.clone(),
        };
        if let Some(shape) = self.image_shape {
            check_shape(&fitted, shape)?;
        }
        Ok(fitted)
    }
}

impl Deref for Model {
    type Target = Network<f32>;

    fn deref(&self) -> &Network<f32> {
        &self.network
    }
}

/// Reads the network of an ONNX file as `interface` says, a Softmax at its end included, and the SHA-256 of
/// the file in hexadecimal digits.
///
/// # Errors
/// [`ModelError`] if the file can't be read or run.
pub fn read_network(
    path: &Path,
    interface: &Interface,
) -> Result<(Network<f32>, String), ModelError> {
    let (read, sha256) = read(path, &interface.read_options(Some(path))?)?;
    Ok((read.network, sha256))
}

/// Reads an ONNX file; gives its SHA-256 beside what is in it, as [`Model::sha256`] has it.
fn read(path: &Path, options: &onnx::ReadOptions) -> Result<(onnx::Model, String), ModelError> {
    read_by(path, |bytes| {
        let read = onnx::read_with(bytes, options)?;
        let files = read.files.clone();
        Ok((read, files))
    })
}

/// Reads an ONNX file by a function that gives, beside what is in it, the names of the files beside
/// it; gives the SHA-256 of all.
fn read_by<R>(
    path: &Path,
    read: impl FnOnce(Vec<u8>) -> Result<(R, Vec<String>), onnx::OnnxError>,
) -> Result<(R, String), ModelError> {
    let bytes = files::read_limited(path, onnx::MAX_BYTES)?;
    let own = files::sha256_hex(&bytes);
    let (read, beside) = read(bytes).map_err(|source| unreadable(path, source))?;
    if beside.is_empty() {
        return Ok((read, own));
    }
    let mut list = format!("{own}\n");
    for name in &beside {
        let hash = files::sha256_of(&path.with_file_name("").join(name))?;
        list += &format!("{hash}  {name}\n");
    }
    Ok((read, files::sha256_hex(list.as_bytes())))
}

fn unreadable(path: impl Into<PathBuf>, source: onnx::OnnxError) -> ModelError {
    ModelError::Onnx {
        path: path.into(),
        source,
    }
}

/// Whether images have the shape that a network takes.
fn check_shape(images: &ImageSet, wanted: [usize; 3]) -> Result<(), DataError> {
    let found = images.shape();
    // Images that are mere lists of values have no shape to compare.
    if found == wanted
        || found[..2] == [1, 1] && images.image_len() == wanted.iter().product::<usize>()
    {
        return Ok(());
    }
    let text = |[channels, height, width]: [usize; 3]| {
        format!("{channels} channels of {height}x{width} values (height x width)")
    };
    let advice = if found[0] == wanted[0] {
        format!("resize them to {},{}", wanted[1], wanted[2])
    } else {
        "choose other images".to_owned()
    };
    let why = format!(
        "its images have {}, and the network takes {}; {advice}",
        text(found),
        text(wanted)
    );
    let set = images.name().to_owned();
    Err(DataError::Unfit { set, why })
}

/// How a model is made of a file or a network: its preprocessing, input box and class names.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ModelOptions {
    preprocess: Preprocess,
    input_box: InputBox,
    classes: Option<Vec<String>>,
    interface: Interface,
}

impl ModelOptions {
    /// Which of the file's inputs is the image, and what else was said about it.
    pub fn interface_of(&self) -> &Interface {
        &self.interface
    }

    /// Says which of the file's inputs is the image, which of its outputs has the classes, and what
    /// the file leaves open.
    pub fn interface(self, interface: Interface) -> Self {
        ModelOptions { interface, ..self }
    }

    /// Replaces the preprocessing as a whole.
    pub fn preprocess(self, preprocess: Preprocess) -> Self {
        ModelOptions { preprocess, ..self }
    }

    /// What an image's 0 and 1 become for the network, as in `[0.0, 255.0]`.
    pub fn range(mut self, range: [f64; 2]) -> Self {
        self.preprocess.range = range;
        self
    }

    /// Subtracted from each channel after scaling to the range: one number for all channels, or one
    /// for each in the network's order.
    pub fn mean(mut self, mean: impl Into<Vec<f64>>) -> Self {
        self.preprocess.mean = mean.into();
        self
    }

    /// What each channel is divided by after the mean was subtracted: one positive number for all
    /// channels, or one for each in the network's order.
    pub fn std(mut self, std: impl Into<Vec<f64>>) -> Self {
        self.preprocess.std = std.into();
        self
    }

    /// The order of the network's colour channels.
    pub fn channel_order(mut self, order: ChannelOrder) -> Self {
        self.preprocess.channel_order = order;
        self
    }

    /// The order of the network's axes.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.preprocess.layout = layout;
        self
    }

    /// The range of an image's values, \[0, 1\] by default.
    pub fn input_box(self, input_box: InputBox) -> Self {
        ModelOptions { input_box, ..self }
    }

    /// The names of the classes, in the order of the logits.
    pub fn classes(mut self, names: impl Into<Vec<String>>) -> Self {
        self.classes = Some(names.into());
        self
    }

    /// Reads an ONNX file.
    ///
    /// # Errors
    /// [`ModelError`] if the file can't be read or run, or does not fit what was said about it.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Model, ModelError> {
        let path = path.as_ref();
        let options = self.interface.read_options(Some(path))?;
        let (read, sha256) = read(path, &options)?;
        let source = Source::File {
            path: path.to_owned(),
            options,
        };
        self.build(read, source, sha256, &path.display().to_string())
    }

    /// Reads the bytes of an ONNX file that keeps all its numbers in itself; messages call it `name`.
    ///
    /// # Errors
    /// [`ModelError`] if they are no model that runs, or do not fit what was said about it.
    pub fn read(self, name: &str, bytes: impl Into<Arc<[u8]>>) -> Result<Model, ModelError> {
        let bytes = bytes.into();
        let options = self.interface.read_options(None)?;
        let read = onnx::read_with(&bytes[..], &options);
        let read = read.map_err(|source| unreadable(name, source))?;
        let sha256 = files::sha256_hex(&bytes);
        let source = Source::Bytes {
            name: name.to_owned(),
            bytes,
            options,
        };
        self.build(read, source, sha256, name)
    }

    /// Makes a model of a network in memory.
    ///
    /// # Errors
    /// [`ModelError`] if the network does not fit what was said about it.
    pub fn from_network(self, network: Network<f32>) -> Result<Model, ModelError> {
        let bytes = onnx::write(&network, &Default::default());
        let source = Source::Memory(Box::new(network.clone()));
        let read = onnx::Model {
            network,
            precision: Precision::Single,
            input_precision: Precision::Single,
            metadata: Default::default(),
            files: Vec::new(),
            whole: None,
            notes: Vec::new(),
        };
        self.build(read, source, files::sha256_hex(&bytes), "the network")
    }

    fn build(
        self,
        read: onnx::Model,
        source: Source,
        sha256: String,
        name: &str,
    ) -> Result<Model, ModelError> {
        let unfit = |source| ModelError::Preprocess {
            name: name.to_owned(),
            source,
        };
        let onnx::Model {
            network,
            precision,
            input_precision,
            whole,
            notes,
            ..
        } = read;
        let mut preprocess = self.preprocess;
        if let Some(range) = whole
            && preprocess.keeps_values()
        {
            preprocess.range = range;
        }
        let (answer, logits, own_end) = match network.output_len() {
            1 => one_logit::two_classes(network),
            _ => {
                let logits = network.logits();
                let answer = answer(&network, &logits);
                (
                    answer,
                    logits,
                    (answer != Answer::Logits).then_some(network),
                )
            }
        };
        let image_shape = preprocess.image_shape(logits.input_shape());
        let classes = logits.output_len();
        if let Some(names) = &self.classes
            && names.len() != classes
        {
            let names = names.len();
            return Err(ModelError::Classes { names, classes });
        }
        let image_shape = image_shape.map_err(unfit)?;
        let before = |network| preprocess.before(network).map_err(unfit);
        Ok(Model {
            image_shape,
            network: before(logits)?,
            own_end: own_end.map(before).transpose()?,
            answer,
            precision,
            input_precision: if preprocess.is_identity() {
                input_precision
            } else {
                Precision::Single
            },
            preprocess,
            input_box: self.input_box,
            classes: self.classes,
            whole: whole.is_some(),
            notes,
            source,
            sha256,
        })
    }
}

/// A network without a Softmax or LogSoftmax at its end, and whether it had one. What else it ends in
/// stays.
/// What is below the end that searches look through.
fn up_to_logits(whole: ExactNetwork) -> ExactNetwork {
    let logits = whole.network().logits();
    let graph = logits.graph();
    match whole
        .network()
        .graph()
        .find(&graph.value(graph.output()).name)
    {
        Ok(value) => whole.up_to(value),
        Err(_) => whole,
    }
}

fn without_softmax(whole: ExactNetwork) -> (ExactNetwork, bool) {
    let logits = whole.network().logits();
    let graph = logits.graph();
    let end = &whole.network().graph().nodes()[graph.nodes().len()..];
    let is_softmax = |node: &Node| matches!(node.op, Op::Softmax(_));
    let moves = |node: &Node| matches!(node.op, Op::Reshape(_) | Op::Dropout(_));
    let softmaxes = end.iter().filter(|node| is_softmax(node)).count();
    let all = end.iter().all(|node| is_softmax(node) || moves(node));
    let value = &graph.value(graph.output()).name;
    match whole.network().graph().find(value) {
        Ok(value) if all && softmaxes == 1 => (whole.up_to(value), true),
        _ => (whole, false),
    }
}

/// What a network ends in, beside what is left of it without that.
fn answer(network: &Network<f32>, logits: &Network<f32>) -> Answer {
    let nodes = network.graph().nodes();
    match &nodes[logits.graph().nodes().len()..] {
        [] => Answer::Logits,
        [node] => match &node.op {
            Op::Softmax(softmax) if softmax.log => Answer::LogSoftmax,
            Op::Softmax(_) => Answer::Softmax,
            _ => Answer::Increasing,
        },
        _ => Answer::Increasing,
    }
}

#[cfg(test)]
mod tests {
    use blindspot_net::{Evaluator, Graph, Operand, ops};

    use super::*;

    /// The input, flattened, as logits, and a Softmax over them if `softmax` is true.
    fn network(shape: &[usize], softmax: bool) -> Network<f32> {
        let mut graph = Graph::new("x", shape).unwrap();
        let flat = Op::Reshape(ops::Reshape {
            shape: vec![shape.iter().product()],
        });
        let operand = Operand::Value(graph.input());
        let logits = graph.node("flat", flat, &[operand], "logits").unwrap();
        if softmax {
            let softmax = Op::Softmax(ops::Softmax {
                axis: 0,
                log: false,
            });
            let operand = Operand::Value(logits);
            graph.node("softmax", softmax, &[operand], "p").unwrap();
        }
        Network::new(graph, Vec::new()).unwrap()
    }

    #[test]
    fn a_model_looks_through_softmax_and_has_its_preprocessing_inside() {
        let options = Model::options().mean([0.5]).std([0.25]);
        let model = options.from_network(network(&[1, 2, 2], true)).unwrap();
        assert_eq!(model.answer(), Answer::Softmax);
        assert_eq!(model.image_shape(), Some([1, 2, 2]));
        let mut evaluator = Evaluator::new(&model);
        evaluator.input(1).copy_from_slice(&[0.0, 0.25, 0.5, 1.0]);
        assert_eq!(evaluator.forward(), [-2.0, -1.0, 0.0, 2.0]);
        let plain = Model::from_network(network(&[4], false)).unwrap();
        assert_eq!(
            (plain.answer(), plain.image_shape()),
            (Answer::Logits, None)
        );
    }

    #[test]
    fn a_file_and_the_network_in_it_are_the_same_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let network = network(&[1, 2, 2], true);
        std::fs::write(&path, onnx::write(&network, &Default::default())).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = Model::open(&path).unwrap();
        let read = Model::options().read("bytes", bytes).unwrap();
        let memory = Model::from_network(network).unwrap();
        for other in [read, memory] {
            assert_eq!(file.sha256(), other.sha256());
            assert_eq!(file.network(), other.network());
            let exact = [&file, &other].map(|model| model.exact().unwrap().network);
            assert_eq!(exact[0].network(), exact[1].network());
        }
    }

    #[test]
    fn what_is_no_model_is_an_error_that_names_the_file() {
        let missing = Model::open("no/such/file.onnx").unwrap_err();
        assert!(missing.to_string().contains("no/such/file.onnx"));
        let nonsense = Model::options().read("an export", *b"nonsense");
        assert!(nonsense.unwrap_err().to_string().contains("an export"));
        assert_eq!(missing.kind(), ErrorKind::Model);
        let network = network(&[4], false);
        let names = Model::options()
            .classes(["a".to_owned()])
            .from_network(network);
        assert_eq!(names.unwrap_err().kind(), ErrorKind::Usage);
    }
}
