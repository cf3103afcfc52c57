//! What every training takes: what it learns from, and how it is run.

use std::fmt;
use std::path::Path;

use blindspot::inputs::Inputs;
use blindspot::run::communicator::{Communicator, SingleProcess};
use blindspot::run::monitor::{Monitor, Unwatched};
use blindspot_data::files::{self, FileError};

/// Labelled inputs to train a classifier on.
#[derive(Clone, Copy)]
pub struct LabelledData<'a> {
    /// The inputs, each of [`Inputs::input_len`] numbers.
    pub inputs: &'a dyn Inputs,
    /// The class of each input, from 0.
    pub labels: &'a [usize],
    /// Names the inputs (a hash of their files), so that no checkpoint of other data is resumed; empty
    /// where no checkpoint is kept.
    pub data_hash: &'a str,
}

impl<'a> LabelledData<'a> {
    /// Inputs with a label each, without a hash.
    pub fn new(inputs: &'a dyn Inputs, labels: &'a [usize]) -> LabelledData<'a> {
        LabelledData {
            inputs,
            labels,
            data_hash: "",
        }
    }

    /// Gives the inputs the hash that checkpoints know them by.
    pub fn with_hash(self, data_hash: &'a str) -> LabelledData<'a> {
        LabelledData { data_hash, ..self }
    }

    /// The number of classes: one more than the largest label, and at least 2.
    pub fn classes(&self) -> usize {
        let largest = self.labels.iter().max();
        largest.map_or(0, |&label| label + 1).max(2)
    }
}

impl fmt::Debug for LabelledData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabelledData")
            .field("inputs", &self.inputs.len())
            .field("labels", &self.labels.len())
            .field("data_hash", &self.data_hash)
            .finish()
    }
}

/// How a training is run: from which seed, watched by whom, on which ranks, and where it is kept while
/// it runs.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Session<'a> {
    /// Where every random choice comes from.
    pub seed: u64,
    /// Hears of the progress, and can stop the training.
    pub monitor: &'a dyn Monitor,
    /// The ranks that train together. All of them get the same data, recipe and seed; the root reads and
    /// writes files.
    pub ranks: &'a dyn Communicator,
    /// A file that a stopped training resumes from; `None` keeps none.
    pub checkpoint: Option<&'a Path>,
    /// Whether models that are there and were made otherwise are replaced.
    pub overwrite: bool,
}

impl Session<'static> {
    /// One process, not watched, without a checkpoint.
    pub fn new(seed: u64) -> Session<'static> {
        Session {
            seed,
            monitor: &Unwatched,
            ranks: &SingleProcess,
            checkpoint: None,
            overwrite: false,
        }
    }
}

impl<'a> Session<'a> {
    /// Reports to `monitor`, and stops when it says so.
    pub fn with_monitor(self, monitor: &'a dyn Monitor) -> Session<'a> {
        Session { monitor, ..self }
    }

    /// Trains on these ranks together.
    pub fn with_ranks(self, ranks: &'a dyn Communicator) -> Session<'a> {
        Session { ranks, ..self }
    }

    /// Keeps a checkpoint at `path`.
    pub fn with_checkpoint(self, path: &'a Path) -> Session<'a> {
        Session {
            checkpoint: Some(path),
            ..self
        }
    }

    /// Replaces models that are there and were made otherwise.
    pub fn with_overwrite(self, overwrite: bool) -> Session<'a> {
        Session { overwrite, ..self }
    }

    /// Removes the checkpoint, once what was trained is kept elsewhere; of several ranks, the root does.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn remove_checkpoint(&self) -> Result<(), FileError> {
        match self.checkpoint.filter(|_| self.ranks.is_root()) {
            Some(path) => files::remove(path),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("seed", &self.seed)
            .field("ranks", &self.ranks.count())
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}
