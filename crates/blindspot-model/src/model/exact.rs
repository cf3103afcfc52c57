//! A model as exactly as its file has it: with the numbers of the file, none of them rounded.

use std::sync::Arc;

use blindspot_net::{ExactNetwork, Node, Op, onnx};

use super::{Model, ModelError, Outputs, Source, file, one_logit};

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
    pub(crate) fn exact_logits(&self) -> Result<Option<&ExactNetwork>, ModelError> {
        Ok(self.exact_forms()?.logits.as_deref())
    }

    /// The model's [own end](Model::own_end) with the numbers that its file has; `None` where that is
    /// a Softmax, behind which a margin is what it is before it.
    pub(crate) fn exact_own_end(&self) -> Result<Option<&ExactNetwork>, ModelError> {
        if self.own_end().is_none() {
            return Ok(None);
        }
        let ExactModel {
            network,
            softmax_left_out,
        } = &self.exact_forms()?.model;
        Ok((!softmax_left_out).then_some(&**network))
    }

    fn exact_forms(&self) -> Result<&ExactForms, ModelError> {
        match self.exact.get() {
            Some(forms) => Ok(forms),
            None => {
                let forms = self.read_exact()?;
                Ok(self.exact.get_or_init(|| forms))
            }
        }
    }

    fn read_exact(&self) -> Result<ExactForms, ModelError> {
        let whole = self.whole()?;
        match self.outputs {
            Outputs::Classes => self.exact_classes(whole),
            Outputs::Labels => {
                let logits = one_logit::before_sigmoid(whole.network());
                let logits = logits.map(|logits| whole.up_to(logits));
                self.exact_numbers(whole, logits)
            }
            Outputs::Numbers => self.exact_numbers(whole, None),
        }
    }

    /// Of outputs of which each has a meaning of its own: the whole network, and what searches see of it where
    /// that is less.
    fn exact_numbers(
        &self,
        whole: ExactNetwork,
        logits: Option<ExactNetwork>,
    ) -> Result<ExactForms, ModelError> {
        let network = self.behind_preprocessing(whole)?;
        let logits = match logits {
            Some(logits) => self.behind_preprocessing(logits)?,
            None => network.clone(),
        };
        Ok(ExactForms {
            logits: Some(logits),
            model: ExactModel {
                network,
                softmax_left_out: false,
            },
        })
    }

    fn exact_classes(&self, whole: ExactNetwork) -> Result<ExactForms, ModelError> {
        if whole.network().output_len() == 1 {
            let logits = one_logit::logit_exact(whole.clone());
            let network = self.behind_preprocessing(one_logit::two_classes_exact(whole))?;
            return Ok(ExactForms {
                model: ExactModel {
                    network,
                    softmax_left_out: false,
                },
                logits: Some(self.behind_preprocessing(logits)?),
            });
        }
        let (end, value) = (
            whole.network().graph().output(),
            whole.network().logits_value(),
        );
        let softmax_left_out = ends_in_softmax(&whole);
        // The end stays where it is more than a Softmax; searches look through it all the same.
        let logits = if end != value && !softmax_left_out {
            Some(self.behind_preprocessing(whole.up_to(value))?)
        } else {
            None
        };
        let network = self.behind_preprocessing(if softmax_left_out {
            whole.up_to(value)
        } else {
            whole
        })?;
        let logits = logits.unwrap_or_else(|| network.clone());
        let (own, found) = (self.network(), logits.network());
        let fits = own.output_len() == found.output_len() && own.input_len() == found.input_len();
        Ok(ExactForms {
            logits: fits.then_some(logits),
            model: ExactModel {
                network,
                softmax_left_out,
            },
        })
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
