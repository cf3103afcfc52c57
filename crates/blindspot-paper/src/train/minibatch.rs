//! Training any classifier by mini-batches: Adam, seeded shuffles, dropout.

use std::path::Path;
use std::time::{Duration, Instant};

use blindspot_data::files;
use blindspot_net::Network;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::adam::Adam;
use super::chain::{Chain, Rows};
use super::{TrainError, Trained};
use blindspot::inputs::{InputError, Inputs, read_batch};
use blindspot::run::monitor::Monitor;
use blindspot::run::random::Stream;

/// Time between checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// Steps between words to the monitor.
const TELL_EVERY: u64 = 16;

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
}

impl MiniBatch {
    /// That many passes, in batches of 128, with a rate of 0.001, and nothing else.
    pub fn new(epochs: usize) -> MiniBatch {
        MiniBatch {
            epochs,
            batch: 128,
            rate: 1e-3,
            decay: Vec::new(),
            dropout: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), TrainError> {
        let wrong = if self.epochs == 0 || self.batch == 0 {
            "0 epochs or inputs a step train nothing; ask for at least 1".to_owned()
        } else if !(self.rate > 0.0 && self.rate.is_finite()) {
            format!("a rate of {} trains nothing; choose one above 0", self.rate)
        } else if let Some((value, p)) = self.dropout.iter().find(|(_, p)| !(0.0..1.0).contains(p))
        {
            format!("{p} of `{value}` can't be dropped; choose a part from 0 to below 1")
        } else {
            return Ok(());
        };
        Err(TrainError::Options(wrong))
    }
}

/// What is mixed into the batches besides the training set. It is kept with the checkpoint, so
/// it must be its own whole state.
pub(crate) trait Mix: Serialize + DeserializeOwned {
    /// The values, by name, at which its rows enter the network.
    fn layers(&self) -> Vec<String>;

    /// The rows of a step. `part` is how much of the training has passed, in [0, 1).
    ///
    /// # Errors
    /// [`TrainError`]: the training ends.
    fn rows(
        &mut self,
        step: u64,
        part: f64,
        chain: &Chain,
        inputs: &dyn Inputs,
        labels: &[usize],
    ) -> Result<Vec<Rows>, TrainError>;
}

/// Nothing is mixed in.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Nothing;

impl Mix for Nothing {
    fn layers(&self) -> Vec<String> {
        Vec::new()
    }

    fn rows(
        &mut self,
        _: u64,
        _: f64,
        _: &Chain,
        _: &dyn Inputs,
        _: &[usize],
    ) -> Result<Vec<Rows>, TrainError> {
        Ok(Vec::new())
    }
}

/// A training under way.
#[derive(Serialize, Deserialize)]
struct State<M> {
    /// What is trained how on what: the checkpoint of another training must never be gone on with.
    key: String,
    adam: Adam,
    mix: M,
    /// Sums over the rows of the pass under way: of the losses, of those wrong, of all.
    loss: f64,
    wrong: usize,
    rows: usize,
}

impl<M> State<M> {
    fn mean_loss(&self) -> f64 {
        self.loss / self.rows.max(1) as f64
    }
}

/// Trains a classifier, which gives logits, by mini-batches.
///
/// With a `checkpoint` path it can be stopped and gone on with: what comes out has the same bits
/// as if it had run through, for any number of threads. `name` is for the monitor; `data` names
/// the inputs (a hash), so that no checkpoint of other data is used. The checkpoint is removed at
/// the end.
///
/// # Errors
/// [`TrainError`].
pub fn train_in_batches(
    network: Network<f32>,
    inputs: &dyn Inputs,
    labels: &[usize],
    options: &MiniBatch,
    (name, data): (&str, &str),
    seed: u64,
    checkpoint: Option<&Path>,
    monitor: &dyn Monitor,
) -> Result<Trained, TrainError> {
    let mixed = train_mixed(
        network,
        inputs,
        labels,
        options,
        Nothing,
        (name, data),
        seed,
        checkpoint,
        monitor,
    );
    mixed.map(|(trained, _)| trained)
}

/// [`train_in_batches`] with more rows in each step; what is mixed in is given back.
pub(crate) fn train_mixed<M: Mix>(
    network: Network<f32>,
    inputs: &dyn Inputs,
    labels: &[usize],
    options: &MiniBatch,
    mix: M,
    (name, data): (&str, &str),
    seed: u64,
    checkpoint: Option<&Path>,
    monitor: &dyn Monitor,
) -> Result<(Trained, M), TrainError> {
    options.check()?;
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
    let layers = mix.layers();
    let entries = layers.iter().map(|layer| (layer.as_str(), 0.0));
    let dropped = options.dropout.iter();
    let dropped = dropped.map(|(value, part)| (value.as_str(), *part));
    let cuts: Vec<(&str, f64)> = entries.chain(dropped).collect();
    let start = network.weights().to_vec();
    let key = key(&start, options, &mix, data, seed);
    let mut chain = Chain::cut(network, &cuts).map_err(|e| TrainError::Options(e.to_string()))?;
    let kept = checkpoint
        .and_then(|path| std::fs::read(path).ok())
        .and_then(|bytes| postcard::from_bytes::<State<M>>(&bytes).ok())
        .filter(|state| state.key == key);
    let mut state = kept.unwrap_or_else(|| State {
        key,
        adam: Adam::new(start),
        mix,
        loss: 0.0,
        wrong: 0,
        rows: 0,
    });
    chain.set_weights(&state.adam.weights);

    let steps_a_pass = count.div_ceil(options.batch) as u64;
    let steps = steps_a_pass * options.epochs as u64;
    let mut saved = Instant::now();
    let (mut epoch, mut order) = (u64::MAX, Vec::new());
    monitor.begin(name, steps);
    while state.adam.steps() < steps {
        if monitor.cancelled() || saved.elapsed() > CHECKPOINT_EVERY {
            if let Some(path) = checkpoint {
                files::write_atomically(path, |writer| {
                    let written = postcard::to_io(&state, writer);
                    written.map(|_| ()).map_err(std::io::Error::other)
                })?;
            }
            if monitor.cancelled() {
                monitor.end();
                return Err(TrainError::Cancelled {
                    checkpoint: checkpoint.map(Path::to_owned),
                });
            }
            saved = Instant::now();
        }
        let step = state.adam.steps();
        if epoch != step / steps_a_pass {
            epoch = step / steps_a_pass;
            order = Stream::new(seed, "order", epoch as usize).order(count);
        }
        let first = (step % steps_a_pass) as usize * options.batch;
        if first == 0 {
            (state.loss, state.wrong, state.rows) = (0.0, 0, 0);
        }
        let part = step as f64 / steps as f64;
        let batch = &order[first..count.min(first + options.batch)];
        let mut rows = vec![clean(inputs, labels, batch)?];
        rows.extend(state.mix.rows(step, part, &chain, inputs, labels)?);
        let in_step: usize = rows.iter().map(|rows| rows.labels.len()).sum();
        let sum = chain.gradient(&rows, seed, &format!("dropout {epoch}"));
        if !sum.loss.is_finite() {
            monitor.end();
            return Err(TrainError::NotFinite { stage: name.into() });
        }
        let rate = options.rate * 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
        let scale = 1.0 / in_step as f64;
        state.adam.step(&sum.gradient, scale, &options.decay, rate);
        state.loss += sum.loss;
        state.wrong += sum.wrong;
        state.rows += in_step;
        chain.set_weights(&state.adam.weights);
        if step.is_multiple_of(TELL_EVERY) || step + 1 == steps {
            let wrong = 100.0 * state.wrong as f64 / state.rows as f64;
            let loss = state.mean_loss();
            let detail = format!("epoch {}, loss {loss:.5}, error {wrong:.2}%", epoch + 1);
            monitor.progress(step + 1, &detail);
        }
    }
    monitor.end();
    if let Some(path) = checkpoint {
        // It may never have been written.
        let _ = std::fs::remove_file(path);
    }
    let trained = Trained {
        network: chain.whole().clone(),
        iterations: steps as usize,
        stopped: format!("{} epochs of mini-batches", options.epochs),
        loss: state.mean_loss(),
    };
    Ok((trained, state.mix))
}

/// The rows of some inputs of the training set.
fn clean(inputs: &dyn Inputs, labels: &[usize], batch: &[usize]) -> Result<Rows, InputError> {
    let mut values = vec![0.0; batch.len() * inputs.input_len()];
    read_batch(inputs, batch.iter().copied(), &mut values)?;
    Ok(Rows {
        part: 0,
        values,
        labels: batch.iter().map(|&index| labels[index]).collect(),
        keys: batch.to_vec(),
    })
}

/// What tells one training from another.
fn key(
    start: &[Vec<f32>],
    options: &MiniBatch,
    mix: &impl Serialize,
    data: &str,
    seed: u64,
) -> String {
    let mut bytes: Vec<u8> = start
        .iter()
        .flatten()
        .flat_map(|weight| weight.to_le_bytes())
        .collect();
    let options = serde_json::to_string(&(options, mix)).expect("options are plain data");
    let version = env!("CARGO_PKG_VERSION");
    bytes.extend(format!("{version} {seed} {data} {options}").into_bytes());
    files::sha256_hex(&bytes)
}
