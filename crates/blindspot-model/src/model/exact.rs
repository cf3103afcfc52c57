//! A model as exactly as its file has it: with the numbers of the file, none of them rounded.

use std::sync::Arc;

use blindspot_net::{ExactNetwork, Node, Op, onnx};

use super::{Model, ModelError, Source, file, one_logit};

/// A model as exactly as its file has it; see [`Model::exact`].
#[derive(Debug, Clone)]
pub struct ExactModel {
    /// The network, from an image in the input box to numbers of which the largest is the answer,
    /// with the preprocessing inside.
    pub network: Arc<ExactNetwork>,
    /// Whether a Softmax or LogSoftmax over all of these was left out. What else the file ends in is
    /// there.
    pub softmax_left_out: bool,
}

/// All exact forms of a model. They share their numbers where they are the same.
#[derive(Debug, Clone)]
pub(super) struct ExactForms {
    model: ExactModel,
    /// The model's network, up to its logits; see [`Model::exact_logits`].
    logits: Option<Arc<ExactNetwork>>,
}

impl Model {
    /// The model with the numbers that its file has, none of them rounded to single precision. A
    /// file is read once more for it, the first time that it is asked for.
    ///
    /// # Errors
    /// [`ModelError`] if the file can't be read any more, has changed, or takes more memory than
    /// allowed.
    pub fn exact(&self) -> Result<ExactModel, ModelError> {
        Ok(self.exact_forms()?.model.clone())
    }

    /// The model's [network](Model::network), from images to logits, with the numbers that its file
    /// has.
    pub(crate) fn exact_logits(&self) -> Result<Option<ExactNetwork>, ModelError> {
        let whole = self.whole()?;
        let logits = match whole.network().output_len() {
            1 => one_logit::logit_exact(whole),
            _ => up_to_logits(whole),
        };
        self.like(self.network(), logits)
    }

    /// The model's [own end](Model::own_end) with the numbers that its file has.
    pub(crate) fn exact_own_end(&self) -> Result<Option<ExactNetwork>, ModelError> {
        let Some(own_end) = self.own_end() else {
            return Ok(None);
        };
        let whole = self.whole()?;
        let whole = match whole.network().output_len() {
            1 => one_logit::two_classes_exact(whole),
            _ => whole,
        };
        self.like(own_end, whole)
    }

    /// A network with the file's numbers, behind the preprocessing; `None` where it is no other form
    /// of the model's.
    fn like(
        &self,
        own: &Network<f32>,
        exact: ExactNetwork,
    ) -> Result<Option<ExactNetwork>, ModelError> {
        let exact = self.behind_preprocessing(exact)?;
        let found = exact.network();
        let fits = own.output_len() == found.output_len() && own.input_len() == found.input_len();
        Ok(Some(exact).filter(|_| fits))
    }

    fn behind_preprocessing(&self, network: ExactNetwork) -> Result<Arc<ExactNetwork>, ModelError> {
        let network = self.preprocess.before_exact(network);
        let network = network.map_err(|source| ModelError::Preprocess {
            name: self.name(),
            source,
        })?;
        Ok(Arc::new(network))
    }

    /// All of the file's network, with the numbers that the file has.
    fn whole(&self) -> Result<ExactNetwork, ModelError> {
        // The network itself is in memory, too.
        let beside = |options: &onnx::ReadOptions| {
            let mut options = options.clone();
            options.held = self.weight_bytes();
            options
        };
        match &self.source {
            Source::File { path, options } => {
                let options = beside(options);
                let (exact, sha256) = file::read_by(path, |bytes| {
                    let read = onnx::read_exact(bytes, &options)?;
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
                let read = onnx::read_exact(&bytes[..], &beside(options));
                Ok(read
                    .map_err(|source| file::unreadable(name, source))?
                    .network)
            }
            Source::Memory(network) => Ok(network.as_ref().into()),
        }
    }

    /// The bytes of memory that the model's weights take in single precision.
    pub fn weight_bytes(&self) -> u64 {
        let all = [Some(&self.network), self.own_end.as_ref()];
        let numbers = all
            .into_iter()
            .flatten()
            .map(|network| network.parameters());
        (numbers.sum::<usize>() * size_of::<f32>()) as u64
    }
}

/// Whether a network ends in one Softmax or LogSoftmax over all its outputs, and else only moves them.
fn ends_in_softmax(whole: &ExactNetwork) -> bool {
    let network = whole.network();
    let end = &network.graph().nodes()[network.logits_value().index()..];
    let is_softmax = |node: &Node| matches!(node.op, Op::Softmax(_));
    let moves = |node: &Node| matches!(node.op, Op::Reshape(_) | Op::Dropout(_));
    let softmaxes = end.iter().filter(|node| is_softmax(node)).count();
    softmaxes == 1 && end.iter().all(|node| is_softmax(node) || moves(node))
}
