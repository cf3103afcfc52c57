//! A training under way, and its checkpoint.

use std::path::Path;
use std::time::{Duration, Instant};

use blindspot_data::files;
use serde::{Deserialize, Serialize};

use super::StageRecord;
use super::history::Point;
use crate::train::{Adam, TrainError};
use blindspot::run::communicator::{Communicator, broadcast};

/// Time between checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// A training under way, whose checkpoint says nothing of how many ranks there are.
pub(super) struct State {
    /// The filters of the stages already trained.
    pub(super) done: Vec<(Vec<f32>, StageRecord)>,
    /// The stage under way where a checkpoint had one: both its weights, whole.
    pub(super) adam: Option<Adam>,
    pub(super) error_before: f64,
    pub(super) history: Vec<Point>,
    key: String,
    /// Seconds of training before this run of the program.
    seconds: f64,
    begun: Instant,
    saved: Instant,
}

/// What a checkpoint has.
#[derive(Deserialize)]
struct Kept {
    /// What is trained how on what, as text that shows the difference to another training.
    key: String,
    done: Vec<(Vec<f32>, StageRecord)>,
    adam: Option<Adam>,
    error_before: f64,
    history: Vec<Point>,
    seconds: f64,
}

/// What a checkpoint has, to be written.
#[derive(Serialize)]
struct Keep<'a> {
    key: &'a str,
    done: &'a [(Vec<f32>, StageRecord)],
    adam: Option<&'a Adam>,
    error_before: f64,
    history: &'a [Point],
    seconds: f64,
}

impl State {
    /// The state in a checkpoint, or the beginning. What rank 0 finds goes for all.
    pub(super) fn load(
        path: Option<&Path>,
        key: String,
        ranks: &dyn Communicator,
    ) -> Result<State, TrainError> {
        let bytes = broadcast(ranks, || {
            let read = path.and_then(|path| std::fs::read(path).ok());
            // Whether there is one comes first: an empty file is one that can't be read.
            read.map_or(vec![0], |bytes| [&[1], &bytes[..]].concat())
        });
        let begun = Instant::now();
        let mut state = State {
            done: Vec::new(),
            adam: None,
            error_before: 0.0,
            history: Vec::new(),
            key,
            seconds: 0.0,
            begun,
            saved: begun,
        };
        let (Some(path), Some((1, bytes))) = (path, bytes.split_first()) else {
            return Ok(state);
        };
        match postcard::from_bytes::<Kept>(bytes).ok() {
            Some(kept) if kept.key == state.key => {
                state.done = kept.done;
                state.adam = kept.adam;
                state.error_before = kept.error_before;
                state.history = kept.history;
                state.seconds = kept.seconds;
                Ok(state)
            }
            kept => Err(TrainError::Checkpoint {
                path: path.to_owned(),
                kept: kept.map_or_else(|| "nothing that can be read".to_owned(), |kept| kept.key),
                asked: state.key,
            }),
        }
    }

    /// Whether it is time to save.
    pub(super) fn is_due(&self) -> bool {
        self.saved.elapsed() > CHECKPOINT_EVERY
    }

    /// Seconds of training until now, breaks left out.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds + self.begun.elapsed().as_secs_f64()
    }

    /// Writes it, with the stage under way, if any; one rank does.
    pub(super) fn save(
        &mut self,
        path: Option<&Path>,
        adam: Option<&Adam>,
    ) -> Result<(), TrainError> {
        self.saved = Instant::now();
        let Some(path) = path else { return Ok(()) };
        let keep = Keep {
            key: &self.key,
            done: &self.done,
            adam,
            error_before: self.error_before,
            history: &self.history,
            seconds: self.seconds(),
        };
        files::write_atomically(path, |writer| {
            let written = postcard::to_io(&keep, writer);
            written.map(|_| ()).map_err(std::io::Error::other)
        })?;
        Ok(())
    }
}
