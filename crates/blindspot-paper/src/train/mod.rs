//! Section 2: training the paper's networks, by full-batch L-BFGS until convergence; and any
//! network by mini-batches.

mod adam;
mod autoencoder;
mod chain;
mod minibatch;
mod minimise;
mod objective;
mod parallel;
mod recipe;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use blindspot::classify::outputs_where;
use blindspot::inputs::{InMemory, InputError, Inputs};
use blindspot::search::SearchError;
use blindspot_data::files;
use blindspot_net::{GraphError, Network};
use blindspot_solve::LbfgsOptions;

pub(crate) use adam::Adam;
pub(crate) use chain::{Chain, Rows};
pub use minibatch::{MiniBatch, train_in_batches};
pub(crate) use minibatch::{Mix, train_mixed};
pub use objective::{LossValue, TrainingLoss};
pub use recipe::{Decay, Recipe, Sparsity, UnknownModel};

use autoencoder::AutoencoderLoss;
use blindspot::run::monitor::{Monitor, Unwatched};
use blindspot::run::ranks::{Alone, Ranks};
use minimise::Checkpoint;

/// A network after training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// It gives logits.
    pub network: Network<f32>,
    /// L-BFGS iterations, all stages together; steps, of mini-batches.
    pub iterations: usize,
    /// Why the last stage stopped, in words.
    pub stopped: String,
    /// The last stage's loss, decay included; of mini-batches, the mean cross entropy of the last
    /// pass.
    pub loss: f64,
}

/// Why training did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// It was asked to stop.
    #[error("training was stopped{}", resume(checkpoint))]
    Cancelled {
        /// Where it can be gone on from, if it keeps checkpoints.
        checkpoint: Option<PathBuf>,
    },
    /// The loss is NaN or infinite.
    #[error("the loss of {stage} is not finite; are all inputs finite, and the rate low enough?")]
    NotFinite {
        /// What was being trained.
        stage: String,
    },
    /// A checkpoint belongs to another training.
    #[error(
        "{} is the checkpoint of another training ({kept}), not of this one ({asked}); remove it, or \
         ask for the same again",
        path.display()
    )]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// Which training it is of.
        kept: String,
        /// Which one was asked for.
        asked: String,
    },
    /// A network of that size can't be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// An input can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// There is nothing to train on.
    #[error("training takes labelled images: {0}")]
    Data(String),
    /// Options that make no training, or don't fit the network.
    #[error("{0}")]
    Options(String),
    /// Examples to train on can't be searched for.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A checkpoint can't be written.
    #[error(transparent)]
    File(#[from] files::FileError),
}

fn resume(checkpoint: &Option<PathBuf>) -> String {
    match checkpoint {
        Some(path) => format!("; the same command goes on from {}", path.display()),
        None => String::new(),
    }
}

/// Trains the network of `recipe` on labelled inputs.
///
/// With a `checkpoint` path it can be stopped and gone on with: what comes out has the same bits
/// as if it had run through, for any number of threads. `data` names the inputs (a hash), so that
/// no checkpoint of other data is used. The checkpoint is removed at the end.
///
/// Several `ranks` share the inputs and end with the same network, whose bits do not depend on how
/// many they are. All have to be given the same; rank 0 keeps the checkpoint.
///
/// # Errors
/// [`TrainError`]; [`TrainError::Options`] where several ranks are to train by mini-batches.
pub fn train(
    recipe: &Recipe,
    inputs: &dyn Inputs,
    labels: &[usize],
    data: &str,
    seed: u64,
    checkpoint: Option<&Path>,
    monitor: &dyn Monitor,
    ranks: &dyn Ranks,
) -> Result<Trained, TrainError> {
    if inputs.is_empty() || inputs.len() != labels.len() {
        let found = format!("{} images and {} labels", inputs.len(), labels.len());
        return Err(TrainError::Data(found));
    }
    let classes = labels.iter().max().map_or(0, |&label| label + 1).max(2);
    if let Some(dropout) = &recipe.dropout {
        if ranks.count() > 1 {
            return Err(TrainError::Options(format!(
                "{} is trained by mini-batches, which one process does: run it without mpirun",
                recipe.name
            )));
        }
        let options = MiniBatch {
            dropout: vec![dropout.clone()],
            ..MiniBatch::new(recipe.iterations)
        };
        let network = recipe.start(inputs.input_len(), classes, seed);
        let names = (recipe.name.as_str(), data);
        return train_in_batches(
            network, inputs, labels, &options, names, seed, checkpoint, monitor,
        );
    }
    let recipe_text = serde_json::to_string(recipe).expect("a recipe is plain data");
    let key = format!("{} {seed} {data} {recipe_text}", env!("CARGO_PKG_VERSION"));
    let mut state = Checkpoint::load(checkpoint, files::sha256_hex(key.as_bytes()), ranks);
    let mut network = recipe.start(inputs.input_len(), classes, seed);
    let decay = recipe.decay_coefficients(classes);

    if let Some(sparsity) = recipe.sparsity {
        if state.done.is_empty() {
            let mut loss = AutoencoderLoss::new(inputs, recipe.hidden[0], sparsity, seed, ranks);
            let start = loss.weights();
            let options = options(sparsity.iterations, 10);
            let name = format!("{} autoencoder", recipe.name);
            state.run_stage(&name, &mut loss, start, options, checkpoint, monitor, ranks)?;
        }
        let encoder = state.done[0].weights.iter().map(|&weight| weight as f32);
        // The encoder's are the network's first weights; the decoder's are not part of it.
        let frozen: usize = network.weights()[..2].iter().map(Vec::len).sum();
        network.set_weights(encoder.take(frozen));
        let hidden = network
            .graph()
            .find("hidden1")
            .expect("a sparse network has a hidden layer");
        let features = own_outputs(&network.up_to(hidden), inputs, ranks)?;
        let top = network.above(hidden).expect("layers stand on each other");
        let top = classifier(
            recipe,
            &mut state,
            top,
            &features,
            labels,
            &decay[2..],
            checkpoint,
            monitor,
            ranks,
        )?;
        let weights: Vec<f32> = network.weights()[..2]
            .iter()
            .chain(top.weights())
            .flatten()
            .copied()
            .collect();
        network.set_weights(weights);
    } else {
        network = classifier(
            recipe, &mut state, network, inputs, labels, &decay, checkpoint, monitor, ranks,
        )?;
    }
    if let Some(path) = checkpoint.filter(|_| ranks.writes()) {
        // It may never have been written.
        let _ = std::fs::remove_file(path);
    }
    let last = state.done.last().expect("a stage has run");
    Ok(Trained {
        network,
        iterations: state.done.iter().map(|stage| stage.iterations).sum(),
        stopped: last.stopped.clone(),
        loss: last.loss,
    })
}

impl Recipe {
    /// Trains this recipe's network on labelled inputs: one process, no checkpoint, no progress.
    ///
    /// # Errors
    /// Those of [`train`].
    pub fn train(
        &self,
        inputs: &dyn Inputs,
        labels: &[usize],
        seed: u64,
    ) -> Result<Trained, TrainError> {
        train(self, inputs, labels, "", seed, None, &Unwatched, &Alone)
    }
}

/// Trains a whole classifier and gives it with its final weights.
fn classifier(
    recipe: &Recipe,
    state: &mut Checkpoint,
    network: Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
    decay: &[f64],
    checkpoint: Option<&Path>,
    monitor: &dyn Monitor,
    ranks: &dyn Ranks,
) -> Result<Network<f32>, TrainError> {
    let start = network
        .weights()
        .iter()
        .flatten()
        .map(|&weight| f64::from(weight))
        .collect();
    let mut loss = TrainingLoss::new(network, inputs, labels, decay.to_vec()).over(ranks);
    let options = options(recipe.iterations, 20);
    state.run_stage(
        &recipe.name,
        &mut loss,
        start,
        options,
        checkpoint,
        monitor,
        ranks,
    )?;
    let mut network = loss.network().clone();
    let outcome = state.done.last().expect("the stage has just run");
    objective::set_weights(&mut network, &outcome.weights);
    Ok(network)
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
    inputs: &(impl Inputs + ?Sized),
    ranks: &dyn Ranks,
) -> Result<InMemory, InputError> {
    outputs_where(network, inputs, |start| parallel::is_own(start, ranks))
}
