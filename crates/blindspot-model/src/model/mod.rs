//! A model: a network with all that is known about it, the one thing that every study takes.

mod answer;
mod error;
mod exact;
mod file;
mod interface;
mod one_logit;
mod options;
#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use blindspot_data::{DataError, Fit, ImageSet};
use blindspot_net::{Budget, Network, Precision, onnx};

pub use self::answer::{Answer, Outputs};
pub use self::error::ModelError;
use self::exact::ExactForms;
pub use self::exact::ExactModel;
pub use self::file::read_network;
pub use self::interface::Interface;
pub use self::options::ModelOptions;
use crate::InputBox;
use crate::preprocess::Preprocess;

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
    preprocess: Preprocess,
    input_box: InputBox,
    image_shape: Option<[usize; 3]>,
    classes: Option<Vec<String>>,
    answer: Answer,
    outputs: Outputs,
    whole: bool,
    notes: Vec<String>,
    budget: Budget,
    source: Source,
    sha256: String,
    /// What [`Model::exact`] gives, once it was asked for.
    exact: OnceLock<ExactForms>,
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

    /// What the network's numbers are.
    pub fn outputs(&self) -> Outputs {
        self.outputs
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
        let answering = self.own_end().unwrap_or(self.network());
        answering.graph().precision()
    }

    /// The number format that an image is rounded to before the network sees it: that of the file's
    /// input where no preprocessing stands before it.
    pub fn input_precision(&self) -> Precision {
        let graph = self.network.graph();
        graph.value(graph.input()).precision
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

    /// How much memory the model may take.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What messages call the model.
    fn name(&self) -> String {
        match &self.source {
            Source::File { path, .. } => path.display().to_string(),
            Source::Bytes { name, .. } => name.clone(),
            Source::Memory(_) => "the network".to_owned(),
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
                    crop: Some(asked.crop.unwrap_or([height, width])),
                    channels: Some(channels).filter(|channels| matches!(channels, 1 | 3)),
                    ..asked
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
