//! Training any classifier by mini-batches: Adam, seeded shuffles, dropout.

use std::path::Path;

use blindspot_data::files;
use blindspot_net::Network;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::adam::{Adam, cosine};
use super::certified::{Certified, WorstCase};
use super::checkpoint::{self, Clock};
use super::cut_network::{Batch, CutNetwork};
use super::{TrainError, Trained};
use crate::session::{LabelledData, Session};
use blindspot::inputs::{InputError, read_batch};
use blindspot::run::communicator::SingleProcess;
use blindspot::run::random::Stream;

/// Steps between reports to the monitor.
const REPORT_EVERY: u64 = 16;

/// How a network is trained by mini-batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MiniBatch {
    /// Passes over the training set, at least 1.
    pub epochs: usize,
    /// Inputs of a step, at least 1.
    pub batch: usize,
    /// The size of Adam's first steps, above 0; it falls to 0 along half a cosine.
    pub rate: f64,
    /// For each weight, in the network's order, the coefficient of its sum of squares in the loss;
    /// 0 for those that are left out at the end.
    pub decay: Vec<f64>,
    /// Values, by name, of which numbers are set to 0 while training, each with this probability
    /// in [0, 1); the others grow to keep the expectation.
    pub dropout: Vec<(String, f64)>,
    /// Trains for certificates; not with batches besides those of the training set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certified: Option<Certified>,
}

impl MiniBatch {
    /// `epochs` passes in batches of 128 with a rate of 0.001, without decay and dropout.
    pub fn new(epochs: usize) -> MiniBatch {
        MiniBatch {
            epochs,
            batch: 128,
            rate: 1e-3,
            decay: Vec::new(),
            dropout: Vec::new(),
            certified: None,
        }
    }

    /// 20 passes for certificates, in batches of 128 with a rate of 0.002.
    pub fn certified(certified: Certified) -> MiniBatch {
        MiniBatch {
            rate: 2e-3,
            certified: Some(certified),
            ..MiniBatch::new(20)
        }
    }

    fn check(&self) -> Result<(), TrainError> {
        let wrong = if self.epochs == 0 || self.batch == 0 {
            "epochs and batch size must be at least 1".to_owned()
        } else if !(self.rate > 0.0 && self.rate.is_finite()) {
            format!("the rate is {}, but must be above 0", self.rate)
        } else if let Some((value, p)) = self.dropout.iter().find(|(_, p)| !(0.0..1.0).contains(p))
        {
            format!("the dropout of `{value}` is {p}, but must be from 0 to below 1")
        } else {
            return self.certified.map_or(Ok(()), |certified| certified.check());
        };
        Err(TrainError::Options(wrong))
    }
}

/// Batches that train the network besides those of the training set. They are kept with the
/// checkpoint, so a value must hold all of its state.
pub(crate) trait ExtraBatch: Serialize + DeserializeOwned {
    /// What ends the training.
    type Error: From<TrainError>;

    /// The values, by name, at which the batches enter the network.
    fn layers(&self) -> Vec<String>;

    /// The batches of a step. `fraction` is how much of the training has passed, in [0, 1).
    ///
    /// # Errors
    /// The batches can't be made; the training ends.
    fn batches(
        &mut self,
        step: u64,
        fraction: f64,
        network: &CutNetwork,
        data: &LabelledData<'_>,
    ) -> Result<Vec<Batch>, Self::Error>;
}

/// No batches but those of the training set.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct NoExtra;

impl ExtraBatch for NoExtra {
    type Error = TrainError;

    fn layers(&self) -> Vec<String> {
        Vec::new()
    }

    fn batches(
        &mut self,
        _: u64,
        _: f64,
        _: &CutNetwork,
        _: &LabelledData<'_>,
    ) -> Result<Vec<Batch>, TrainError> {
        Ok(Vec::new())
    }
}

/// Trains a classifier, which gives logits, by mini-batches. The monitor knows it by `name`.
///
/// With a checkpoint it can be stopped and resumed: what comes out has the same bits as if it had run
/// through, for any number of threads. The checkpoint stays at the end: whoever keeps what was trained
/// [removes it](Session::remove_checkpoint). One process trains: the session's ranks are not used.
///
/// # Errors
/// [`TrainError`].
pub fn train_in_batches(
    network: Network<f32>,
    data: &LabelledData<'_>,
    options: &MiniBatch,
    name: &str,
    session: &Session<'_>,
) -> Result<Trained, TrainError> {
    let trained = train_mixed(network, data, options, NoExtra, name, session);
    trained.map(|(trained, _)| trained)
}

/// [`train_in_batches`] with extra batches in each step, which are given back in the end.
///
/// # Errors
/// Every [`TrainError`], and what the extra batches fail with.
pub(crate) fn train_mixed<E: ExtraBatch>(
    network: Network<f32>,
    data: &LabelledData<'_>,
    options: &MiniBatch,
    extra: E,
    name: &str,
    session: &Session<'_>,
) -> Result<(Trained, E), E::Error> {
    options.check()?;
    check_data(data, &network)?;
    let mut trainer = Trainer::new(network, data, options, extra, session)?;
    let (monitor, steps) = (session.monitor, trainer.steps());
    let mut clock = Clock::start();
    monitor.begin(name, steps);
    while trainer.state.adam.steps() < steps {
        if monitor.cancelled() || clock.is_due() {
            checkpoint::save(session.checkpoint, &trainer.state)?;
            if monitor.cancelled() {
                monitor.end();
                return Err(TrainError::Cancelled {
                    checkpoint: session.checkpoint.map(Path::to_owned),
                }
                .into());
            }
            clock = Clock::start();
        }
        let step = trainer.state.adam.steps();
        if !trainer.step(step)? {
            monitor.end();
            return Err(TrainError::NotFinite { stage: name.into() }.into());
        }
        if step.is_multiple_of(REPORT_EVERY) || step + 1 == steps {
            let (loss, error) = (trainer.state.mean_loss(), 100.0 * trainer.state.error());
            let epoch = trainer.epoch(step) + 1;
            let detail = format!("epoch {epoch}, loss {loss:.5}, error {error:.2}%");
            monitor.progress(step + 1, &detail);
        }
    }
    monitor.end();
    let trained = Trained {
        network: trainer.network.whole().clone(),
        iterations: steps as usize,
        stopped: format!("{} epochs of mini-batches", options.epochs),
        loss: trainer.state.mean_loss(),
    };
    Ok((trained, trainer.state.extra))
}

/// Whether the network takes these inputs and has these classes.
fn check_data(data: &LabelledData<'_>, network: &Network<f32>) -> Result<(), TrainError> {
    let LabelledData { inputs, labels, .. } = *data;
    let count = inputs.len();
    if count == 0 || count != labels.len() || inputs.input_len() != network.input_len() {
        return Err(TrainError::Data(format!(
            "{count} images of {} values and {} labels, for a network that takes {} values",
            inputs.input_len(),
            labels.len(),
            network.input_len()
        )));
    }
    if let Some(label) = labels.iter().find(|&&label| label >= network.output_len()) {
        let classes = network.output_len();
        let found = format!("label {label} is not one of the network's {classes} classes");
        return Err(TrainError::Data(found));
    }
    Ok(())
}

/// A training under way, as a checkpoint keeps it.
#[derive(Serialize, Deserialize)]
struct State<E> {
    /// What is trained how on what: the checkpoint of another training must never be resumed.
    fingerprint: String,
    adam: Adam,
    extra: E,
    /// Sums over the inputs of the pass under way: of the losses, of those wrong, of all.
    loss: f64,
    wrong: usize,
    inputs: usize,
}

impl<E: ExtraBatch> State<E> {
    /// The session's checkpoint if it has the fingerprint of this training, else its beginning.
    ///
    /// # Errors
    /// [`TrainError::NoCheckpoint`] where the file of the checkpoint's name is none.
    fn load(
        session: &Session<'_>,
        fingerprint: String,
        start: Vec<Vec<f32>>,
        extra: E,
    ) -> Result<State<E>, TrainError> {
        let session = session.with_ranks(&SingleProcess);
        let belongs = |kept: &State<E>| kept.fingerprint == fingerprint && kept.adam.is_of(&start);
        let kept = checkpoint::load(&session, belongs)?;
        Ok(kept.unwrap_or_else(|| State {
            fingerprint,
            adam: Adam::new(start),
            extra,
            loss: 0.0,
            wrong: 0,
            inputs: 0,
        }))
    }

    /// Mean loss of the pass under way.
    fn mean_loss(&self) -> f64 {
        self.loss / self.inputs.max(1) as f64
    }

    /// Error of the pass under way, in [0, 1].
    fn error(&self) -> f64 {
        self.wrong as f64 / self.inputs as f64
    }
}

/// What makes the steps.
struct Trainer<'a, E> {
    data: &'a LabelledData<'a>,
    options: &'a MiniBatch,
    seed: u64,
    network: CutNetwork,
    worst_case: Option<WorstCase>,
    state: State<E>,
    /// The pass that an order of the inputs is known for, and that order.
    order: Option<(u64, Vec<usize>)>,
}

impl<'a, E: ExtraBatch> Trainer<'a, E> {
    /// From the start, or from the session's checkpoint.
    fn new(
        network: Network<f32>,
        data: &'a LabelledData<'a>,
        options: &'a MiniBatch,
        extra: E,
        session: &Session<'_>,
    ) -> Result<Self, TrainError> {
        let layers = extra.layers();
        let entries = layers.iter().map(|layer| (layer.as_str(), 0.0));
        let dropped = options.dropout.iter();
        let dropped = dropped.map(|(value, probability)| (value.as_str(), *probability));
        let cuts: Vec<(&str, f64)> = entries.chain(dropped).collect();
        let start = network.weights().to_vec();
        let fingerprint = fingerprint(&start, options, &extra, data.data_hash, session.seed);
        let worst_case = options
            .certified
            .map(|certified| WorstCase::new(&network, certified));
        let worst_case = worst_case.transpose()?;
        let cut = CutNetwork::cut(network, &cuts);
        let mut network = cut.map_err(|error| TrainError::Options(error.to_string()))?;
        let state = State::load(session, fingerprint, start, extra)?;
        network.set_weights(&state.adam.weights);
        Ok(Trainer {
            data,
            options,
            seed: session.seed,
            network,
            worst_case,
            state,
            order: None,
        })
    }

    fn steps_a_pass(&self) -> u64 {
        self.data.labels.len().div_ceil(self.options.batch) as u64
    }

    /// Steps of the whole training.
    fn steps(&self) -> u64 {
        self.steps_a_pass() * self.options.epochs as u64
    }

    /// The pass that a step is in, from 0.
    fn epoch(&self, step: u64) -> u64 {
        step / self.steps_a_pass()
    }

    /// Makes a step; false if the loss is not finite.
    fn step(&mut self, step: u64) -> Result<bool, E::Error> {
        let (epoch, count) = (self.epoch(step), self.data.labels.len());
        let order = match self.order.take() {
            Some((known, order)) if known == epoch => order,
            _ => Stream::new(self.seed, "order", epoch as usize).order(count),
        };
        let first = (step % self.steps_a_pass()) as usize * self.options.batch;
        if first == 0 {
            (self.state.loss, self.state.wrong, self.state.inputs) = (0.0, 0, 0);
        }
        let fraction = step as f64 / self.steps() as f64;
        let chosen = &order[first..count.min(first + self.options.batch)];
        let mut batches = vec![clean(self.data, chosen).map_err(TrainError::from)?];
        self.order = Some((epoch, order));
        let extra = &mut self.state.extra;
        batches.extend(extra.batches(step, fraction, &self.network, self.data)?);
        let inputs: usize = batches.iter().map(|batch| batch.labels.len()).sum();
        let purpose = format!("dropout {epoch}");
        let sum = self.network.gradient(&batches, self.seed, &purpose);
        if let Some(worst_case) = &mut self.worst_case {
            worst_case.mix_into(sum, &batches[0], &self.state.adam.weights, fraction);
        }
        if !sum.loss.is_finite() {
            return Ok(false);
        }
        let (scale, rate) = (1.0 / inputs as f64, cosine(self.options.rate, fraction));
        let adam = &mut self.state.adam;
        adam.step(&sum.gradient, scale, &self.options.decay, rate);
        self.state.loss += sum.loss;
        self.state.wrong += sum.wrong;
        self.state.inputs += inputs;
        self.network.set_weights(&self.state.adam.weights);
        Ok(true)
    }
}

/// The batch of some inputs of the training set.
fn clean(data: &LabelledData<'_>, chosen: &[usize]) -> Result<Batch, InputError> {
    let LabelledData { inputs, labels, .. } = *data;
    let mut values = vec![0.0; chosen.len() * inputs.input_len()];
    read_batch(inputs, chosen.iter().copied(), &mut values)?;
    Ok(Batch {
        segment: 0,
        values,
        labels: chosen.iter().map(|&index| labels[index]).collect(),
        keys: chosen.to_vec(),
    })
}

/// What tells one training from another.
fn fingerprint(
    start: &[Vec<f32>],
    options: &MiniBatch,
    extra: &impl Serialize,
    data_hash: &str,
    seed: u64,
) -> String {
    let mut bytes: Vec<u8> = start
        .iter()
        .flatten()
        .flat_map(|weight| weight.to_le_bytes())
        .collect();
    let options = serde_json::to_string(&(options, extra)).expect("options are plain data");
    let version = env!("CARGO_PKG_VERSION");
    bytes.extend(format!("{version} {seed} {data_hash} {options}").into_bytes());
    files::sha256_hex(&bytes)
}
