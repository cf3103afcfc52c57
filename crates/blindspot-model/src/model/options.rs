//! What can be said about a model before it is opened.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use blindspot_data::files;
use blindspot_net::{Budget, BudgetError, Network, onnx};

use super::answer::{Outputs, look_through};
use super::{Interface, Model, ModelError, Source, file};
use crate::InputBox;
use crate::preprocess::{ChannelOrder, Layout, Preprocess};

/// How a model is made of a file or a network: its preprocessing, input box and class names.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ModelOptions {
    preprocess: Preprocess,
    input_box: InputBox,
    classes: Option<Vec<String>>,
    outputs: Outputs,
    interface: Interface,
    budget: Budget,
}

impl ModelOptions {
    /// What the network's numbers are: by default a number for each class.
    pub fn outputs(self, outputs: Outputs) -> Self {
        ModelOptions { outputs, ..self }
    }

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

    /// How much memory the model may take, and how much time reading it.
    pub fn budget(self, budget: Budget) -> Self {
        ModelOptions { budget, ..self }
    }

    /// The budget.
    pub fn budget_of(&self) -> &Budget {
        &self.budget
    }

    /// Reads an ONNX file.
    ///
    /// # Errors
    /// [`ModelError`] if the file can't be read or run, or does not fit what was said about it.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Model, ModelError> {
        let path = path.as_ref();
        let mut options = self.interface.read_options(Some(path))?;
        options.budget = self.budget;
        let (read, sha256) = file::read(path, &options)?;
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
        let mut options = self.interface.read_options(None)?;
        options.budget = self.budget;
        let read = onnx::read_with(&bytes[..], &options);
        let read = read.map_err(|source| file::unreadable(name, source))?;
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
        let (answer, logits, own_end) = look_through(network, self.outputs);
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
        let model = Model {
            image_shape,
            network: before(logits)?,
            own_end: own_end.map(before).transpose()?,
            answer,
            outputs: self.outputs,
            preprocess,
            input_box: self.input_box,
            classes: self.classes,
            whole: whole.is_some(),
            notes,
            budget: self.budget,
            source,
            sha256,
            exact: OnceLock::new(),
        };
        model.check_budget().map_err(|source| ModelError::Budget {
            name: name.to_owned(),
            source,
        })?;
        Ok(model)
    }
}

impl Model {
    /// Checks that there are time and memory to evaluate and differentiate an image on each thread, in
    /// single and in double precision.
    fn check_budget(&self) -> Result<(), BudgetError> {
        let both = size_of::<f32>() + size_of::<f64>();
        for network in [Some(&self.network), self.own_end.as_ref()]
            .into_iter()
            .flatten()
        {
            let graph = network.graph();
            let threads = rayon::current_num_threads();
            graph.check_memory(&self.budget, self.weight_bytes(), threads, both)?;
            graph.check_steps()?;
        }
        Ok(())
    }
}
