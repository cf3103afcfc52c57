//! Running L-BFGS on a training loss: watched, stopped and resumed.

use std::path::Path;

use blindspot_solve::{Lbfgs, LbfgsOptions, Reason, Status};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::checkpoint::{self, Clock};
use super::objective::Objective;
use crate::session::Session;
use blindspot::run::communicator::any_true;

/// A training under way, as a checkpoint keeps it.
#[derive(Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// What is trained on what, from which seed, by which version: another training's checkpoint
    /// must never be resumed.
    pub(super) fingerprint: String,
    /// The stages already done, by their outcomes.
    pub(super) done: Vec<Outcome>,
    /// The stage under way.
    solver: Option<Lbfgs<f64>>,
}

/// Where a stage of training ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) weights: Vec<f64>,
    pub(super) iterations: usize,
    pub(super) loss: f64,
    pub(super) stopped: String,
}

impl Checkpoint {
    /// The session's checkpoint if it has this fingerprint, else the beginning.
    ///
    /// # Errors
    /// [`TrainError::NoCheckpoint`] where the file of the checkpoint's name is none.
    pub(super) fn load(
        fingerprint: String,
        session: &Session<'_>,
    ) -> Result<Checkpoint, TrainError> {
        let belongs = |kept: &Checkpoint| kept.fingerprint == fingerprint;
        let kept = checkpoint::load(session, belongs)?;
        Ok(kept.unwrap_or(Checkpoint {
            fingerprint,
            done: Vec::new(),
            solver: None,
        }))
    }

    fn save(&self, session: &Session<'_>) -> Result<(), TrainError> {
        let path = session.checkpoint.filter(|_| session.ranks.is_root());
        checkpoint::save(path, self)
    }

    /// Minimises the objective of the next stage from where it stands, or from `start`.
    pub(super) fn run_stage(
        &mut self,
        name: &str,
        objective: &mut dyn Objective,
        start: Vec<f64>,
        options: LbfgsOptions,
        session: &Session<'_>,
    ) -> Result<(), TrainError> {
        let (monitor, ranks) = (session.monitor, session.ranks);
        let limit = options.max_iterations as u64;
        let mut gradient = vec![0.0; start.len()];
        let mut solver = match self.solver.take() {
            Some(solver) if solver.is_of(start.len()) => solver,
            _ => Lbfgs::new(start, options),
        };
        monitor.begin(name, limit);
        let mut clock = Clock::start();
        let reason: Reason = loop {
            let cancelled = any_true(ranks, monitor.cancelled());
            if cancelled || clock.is_due() {
                self.solver = Some(solver);
                self.save(session)?;
                if cancelled {
                    monitor.end();
                    return Err(TrainError::Cancelled {
                        checkpoint: session.checkpoint.map(Path::to_owned),
                    });
                }
                solver = self.solver.take().expect("it was put there above");
                clock = Clock::start();
            }
            let value = objective.evaluate(solver.point(), &mut gradient)?;
            let status = solver.tell(value.loss, &gradient);
            if status != Status::Evaluate {
                let wrong = value
                    .error
                    .map(|error| format!(", error {:.2}%", 100.0 * error));
                let detail = format!("loss {:.6}{}", solver.value(), wrong.unwrap_or_default());
                monitor.progress(solver.iterations() as u64, &detail);
            }
            if let Status::Done(reason) = status {
                break reason;
            }
        };
        monitor.end();
        if !solver.value().is_finite() {
            return Err(TrainError::NotFinite {
                stage: name.to_owned(),
            });
        }
        self.done.push(Outcome {
            weights: solver.iterate().to_vec(),
            iterations: solver.iterations(),
            loss: solver.value(),
            stopped: reason.to_string(),
        });
        Ok(())
    }
}
