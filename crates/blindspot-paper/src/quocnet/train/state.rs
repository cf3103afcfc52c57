//! A training under way, and its checkpoint.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::StageRecord;
use super::history::Point;
use crate::session::Session;
use crate::train::checkpoint::{self, Clock};
use crate::train::{Adam, TrainError};

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
    clock: Clock,
}

/// What a checkpoint has.
#[derive(Default, Deserialize)]
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
    /// The state in the session's checkpoint, or the beginning.
    ///
    /// # Errors
    /// [`TrainError::NoCheckpoint`] where the file of the checkpoint's name is none.
    pub(super) fn load(session: &Session<'_>, key: String) -> Result<State, TrainError> {
        let kept = checkpoint::load(session, |kept: &Kept| kept.key == key)?;
        let kept = kept.unwrap_or_default();
        Ok(State {
            done: kept.done,
            adam: kept.adam,
            error_before: kept.error_before,
            history: kept.history,
            key,
            seconds: kept.seconds,
            begun: Instant::now(),
            clock: Clock::start(),
        })
    }

    /// Whether it is time to save.
    pub(super) fn is_due(&self) -> bool {
        self.clock.is_due()
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
        let keep = Keep {
            key: &self.key,
            done: &self.done,
            adam,
            error_before: self.error_before,
            history: &self.history,
            seconds: self.seconds(),
        };
        checkpoint::save(path, &keep)?;
        self.clock = Clock::start();
        Ok(())
    }
}
