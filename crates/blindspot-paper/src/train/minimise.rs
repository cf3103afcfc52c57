//! Running L-BFGS on a training loss: watched, stopped and resumed.

use std::path::Path;
use std::time::{Duration, Instant};

use blindspot_data::files;
use blindspot_solve::{Lbfgs, LbfgsOptions, Reason, Status};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::objective::LossValue;
use blindspot::inputs::InputError;
use blindspot::run::monitor::Monitor;
use blindspot::run::ranks::{Ranks, any, broadcast};

/// Time between checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// What L-BFGS minimises: a function of all weights, one after the other.
pub(super) trait Objective {
    /// The value at `weights`; writes the gradient.
    ///
    /// # Errors
    /// [`InputError`] where an input can't be read.
    fn evaluate(&mut self, weights: &[f64], gradient: &mut [f64]) -> Result<LossValue, InputError>;
}

/// A training that was stopped, to be gone on with.
#[derive(Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// What is trained on what, from which seed, by which version: another training's checkpoint
    /// must never be gone on with.
    pub(super) key: String,
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
    /// The checkpoint at `path` if there is one for `key`, else the beginning.
    ///
    /// One that can't be read or belongs to another training is of no use, and no error.
    /// What rank 0 finds goes for all.
    pub(super) fn load(path: Option<&Path>, key: String, ranks: &dyn Ranks) -> Checkpoint {
        let read = || path.and_then(|path| std::fs::read(path).ok());
        let bytes = broadcast(ranks, || read().unwrap_or_default());
        postcard::from_bytes::<Checkpoint>(&bytes)
            .ok()
            .filter(|checkpoint| checkpoint.key == key)
            .unwrap_or(Checkpoint {
                key,
                done: Vec::new(),
                solver: None,
            })
    }

    fn save(&self, path: Option<&Path>, ranks: &dyn Ranks) -> Result<(), TrainError> {
        let Some(path) = path.filter(|_| ranks.writes()) else {
            return Ok(());
        };
        files::write_atomically(path, |writer| {
            postcard::to_io(self, writer)
                .map(|_| ())
                .map_err(std::io::Error::other)
        })?;
        Ok(())
    }

    /// Minimises the objective of the next stage from where it stands, or from `start`.
    pub(super) fn run_stage(
        &mut self,
        name: &str,
        objective: &mut dyn Objective,
        start: Vec<f64>,
        options: LbfgsOptions,
        path: Option<&Path>,
        monitor: &dyn Monitor,
        ranks: &dyn Ranks,
    ) -> Result<(), TrainError> {
        let limit = options.max_iterations as u64;
        let mut gradient = vec![0.0; start.len()];
        let mut solver = match self.solver.take() {
            Some(solver) if solver.point().len() == start.len() => solver,
            _ => Lbfgs::new(start, options),
        };
        monitor.begin(name, limit);
        let mut saved = Instant::now();
        let reason: Reason = loop {
            let cancelled = any(ranks, monitor.cancelled());
            if cancelled || saved.elapsed() > CHECKPOINT_EVERY {
                self.solver = Some(solver);
                self.save(path, ranks)?;
                if cancelled {
                    monitor.end();
                    return Err(TrainError::Cancelled {
                        checkpoint: path.map(Path::to_owned),
                    });
                }
                solver = self.solver.take().expect("it was put there above");
                saved = Instant::now();
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
