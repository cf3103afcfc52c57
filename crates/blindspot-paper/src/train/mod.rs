//! Section 2: training the paper's networks, by full-batch L-BFGS until convergence; and any
//! network by mini-batches.
//!
//! [`train`] takes a [`Recipe`] and does what it says; [`train_in_batches`] takes any classifier.
//! What comes out has the same bits for any number of threads and ranks, run through or resumed.

mod adam;
mod autoencoder;
mod certified;
pub(crate) mod checkpoint;
mod cut_network;
mod dense;
mod interval_network;
mod minibatch;
mod minimise;
mod objective;
mod parallel;
mod recipe;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use blindspot::classify::outputs_where;
use blindspot::inputs::{InMemory, InputError, Inputs};
use blindspot_data::ErrorKind;
use blindspot_data::files;
use blindspot_net::{GraphError, Network};
use blindspot_solve::LbfgsOptions;

pub(crate) use adam::{Adam, cosine};
pub use certified::{Certified, certified_share};
pub(crate) use cut_network::{Batch, CutNetwork};
pub(crate) use minibatch::{ExtraBatch, train_mixed};
pub use minibatch::{MiniBatch, train_in_batches};
pub use objective::{LossValue, TrainingLoss};
pub use recipe::{Architecture, Decay, Recipe, Sparsity, Training, UnknownModel};

use crate::session::{LabelledData, Session};
use autoencoder::AutoencoderLoss;
use blindspot::run::communicator::Communicator;
use minimise::Checkpoint;

/// A network after training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The network with its final weights; it gives logits.
    pub network: Network<f32>,
    /// L-BFGS iterations, all stages together; steps, of mini-batches.
    pub iterations: usize,
    /// Why the last stage stopped, for people.
    pub stopped: String,
    /// The last stage's loss, decay included; of mini-batches, the mean of the last pass, without
    /// decay.
    pub loss: f64,
}

/// Why training did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The monitor asked it to stop.
    #[error("training was stopped{}", resume(checkpoint))]
    Cancelled {
        /// Where it resumes from, if it keeps checkpoints.
        checkpoint: Option<PathBuf>,
    },
    /// The loss is NaN or infinite.
    #[error("the loss of {stage} is not finite; are all inputs finite, and the rate low enough?")]
    NotFinite {
        /// What was being trained.
        stage: String,
    },
    /// A file of the user's own has the name of the checkpoint.
    #[error(
        "{} is where the training would be kept, and is no checkpoint; move it, or train into another file",
        path.display()
    )]
    NoCheckpoint {
        /// The file.
        path: PathBuf,
    },
    /// A model that was made otherwise would be replaced.
    #[error(
        "{} is there already, and was not made by this training; write to another name, or replace it",
        path.display()
    )]
    Exists {
        /// The model's file.
        path: PathBuf,
    },
    /// A network of that size can't be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An input can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The data can't be trained on.
    #[error("training takes labelled images: {0}")]
    Data(String),
    /// The options are invalid, or don't fit the network.
    #[error("{0}")]
    Options(String),
    /// A checkpoint can't be written.
    #[error(transparent)]
    File(#[from] files::FileError),
}

impl TrainError {
    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        match self {
            TrainError::Cancelled { .. } => ErrorKind::Interrupted,
            TrainError::Input(_) | TrainError::NotFinite { .. } | TrainError::Data(_) => {
                ErrorKind::Data
            }
            TrainError::Options(_)
            | TrainError::NoCheckpoint { .. }
            | TrainError::Exists { .. }
            | TrainError::Graph(_) => ErrorKind::Usage,
            TrainError::File(_) => ErrorKind::Output,
        }
    }
}

fn resume(checkpoint: &Option<PathBuf>) -> String {
    checkpoint.as_ref().map_or_else(String::new, |path| {
        format!("; the same command goes on from {}", path.display())
    })
}

/// Trains the network of `recipe` on labelled inputs.
///
/// With a checkpoint it can be stopped and resumed: what comes out has the same bits as if it had run
/// through, for any number of threads. The checkpoint stays at the end: whoever keeps what was trained
/// [removes it](Session::remove_checkpoint).
///
/// Several ranks share the inputs and end with the same network, whose bits do not depend on how
/// many they are. All have to be given the same; the root keeps the checkpoint.
///
/// # Errors
/// [`TrainError`]; [`TrainError::Options`] where several ranks are to train by mini-batches.
pub fn train(
    recipe: &Recipe,
    data: &LabelledData<'_>,
    session: &Session<'_>,
) -> Result<Trained, TrainError> {
    let (inputs, labels) = (data.inputs, data.labels);
    if inputs.is_empty() || inputs.len() != labels.len() {
        let found = format!("{} images and {} labels", inputs.len(), labels.len());
        return Err(TrainError::Data(found));
    }
    let network = recipe.start(inputs.input_len(), data.classes(), session.seed);
    match &recipe.training {
        Training::MiniBatch { epochs, dropout } => {
            if session.ranks.count() > 1 {
                return Err(TrainError::Options(format!(
                    "{} is trained by mini-batches, which one process does: run it without mpirun",
                    recipe.name
                )));
            }
            let options = MiniBatch {
                dropout: vec![dropout.clone()],
                ..MiniBatch::new(*epochs)
            };
            train_in_batches(network, data, &options, &recipe.name, session)
        }
        Training::Lbfgs {
            sparsity,
            iterations,
            ..
        } => {
            let stages = Stages {
                recipe,
                data,
                session,
                iterations: *iterations,
            };
            stages.run(network, sparsity.as_ref())
        }
    }
}

impl Recipe {
    /// Trains this recipe's network on labelled inputs: one process, no checkpoint, no progress.
    ///
    /// # Errors
    /// Every error of [`train`].
    pub fn train(
        &self,
        inputs: &dyn Inputs,
        labels: &[usize],
        seed: u64,
    ) -> Result<Trained, TrainError> {
        train(
            self,
            &LabelledData::new(inputs, labels),
            &Session::new(seed),
        )
    }
}

/// Training by L-BFGS: the autoencoder first, if there is one, then the classifier.
struct Stages<'a> {
    recipe: &'a Recipe,
    data: &'a LabelledData<'a>,
    session: &'a Session<'a>,
    /// The most of the classifier's.
    iterations: usize,
}

impl Stages<'_> {
    fn run(
        &self,
        network: Network<f32>,
        sparsity: Option<&Sparsity>,
    ) -> Result<Trained, TrainError> {
        let session = self.session;
        let mut state = Checkpoint::load(self.fingerprint(), session)?;
        let decay = self.recipe.decay_coefficients(self.data.classes());
        let network = match sparsity {
            Some(sparsity) => self.on_autoencoder(&mut state, network, sparsity, &decay)?,
            None => self.classifier(&mut state, network, self.data.inputs, &decay)?,
        };
        let last = state.done.last().expect("a stage has run");
        Ok(Trained {
            network,
            iterations: state.done.iter().map(|stage| stage.iterations).sum(),
            stopped: last.stopped.clone(),
            loss: last.loss,
        })
    }

    /// What tells one training from another.
    fn fingerprint(&self) -> String {
        let recipe = serde_json::to_string(self.recipe).expect("a recipe is plain data");
        let (seed, data) = (self.session.seed, self.data.data_hash);
        let text = format!("{} {seed} {data} {recipe}", env!("CARGO_PKG_VERSION"));
        files::sha256_hex(text.as_bytes())
    }

    /// Trains the first layer as an autoencoder, then the layers above on what it gives.
    fn on_autoencoder(
        &self,
        state: &mut Checkpoint,
        mut network: Network<f32>,
        sparsity: &Sparsity,
        decay: &[f64],
    ) -> Result<Network<f32>, TrainError> {
        let (inputs, session) = (self.data.inputs, self.session);
        // The encoder's are the network's first weights; the decoder's are not part of it.
        let frozen: usize = network.weights()[..2].iter().map(Vec::len).sum();
        let done = state.done.first();
        if done.is_none_or(|stage| stage.weights.len() < frozen) {
            state.done.clear();
            let units = self.recipe.hidden()[0];
            let mut loss =
                AutoencoderLoss::new(inputs, units, *sparsity, session.seed, session.ranks);
            let start = loss.weights();
            let options = options(sparsity.iterations, 10);
            let name = format!("{} autoencoder", self.recipe.name);
            state.run_stage(&name, &mut loss, start, options, session)?;
        }
        let encoder = state.done[0].weights.iter().map(|&weight| weight as f32);
        network.set_weights(encoder.take(frozen));
        let hidden = network
            .graph()
            .find("hidden1")
            .expect("a sparse network has a hidden layer");
        let features = own_outputs(&network.up_to(hidden), inputs, session.ranks)?;
        let top = network.above(hidden).expect("layers stand on each other");
        let top = self.classifier(state, top, &features, &decay[2..])?;
        let weights: Vec<f32> = network.weights()[..2]
            .iter()
            .chain(top.weights())
            .flatten()
            .copied()
            .collect();
        network.set_weights(weights);
        Ok(network)
    }

    /// Trains a whole classifier on some inputs and gives it with its final weights.
    fn classifier(
        &self,
        state: &mut Checkpoint,
        network: Network<f32>,
        inputs: &dyn Inputs,
        decay: &[f64],
    ) -> Result<Network<f32>, TrainError> {
        let start = network
            .weights()
            .iter()
            .flatten()
            .map(|&weight| f64::from(weight))
            .collect();
        let data = LabelledData {
            inputs,
            ..*self.data
        };
        let mut loss = TrainingLoss::new(network, &data, decay.to_vec()).over(self.session.ranks);
        let options = options(self.iterations, 20);
        state.run_stage(&self.recipe.name, &mut loss, start, options, self.session)?;
        let mut network = loss.network().clone();
        let outcome = state.done.last().expect("the stage has just run");
        objective::set_weights(&mut network, &outcome.weights);
        Ok(network)
    }
}

fn options(iterations: usize, history: usize) -> LbfgsOptions {
    LbfgsOptions {
        history,
        max_iterations: iterations,
        max_evaluations: 2 * iterations,
        gradient_tolerance: 1e-7,
        relative_decrease: 1e-9,
        patience: 5,
    }
}

/// The outputs of `network` for the inputs that are this rank's in a sum over all; 0 for the others,
/// which take no memory as long as nobody reads them.
fn own_outputs(
    network: &Network<f32>,
    inputs: &dyn Inputs,
    ranks: &dyn Communicator,
) -> Result<InMemory, InputError> {
    outputs_where(network, inputs, |start| parallel::is_own(start, ranks))
}
