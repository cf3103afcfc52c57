//! Asynchronous training (Le et al. 2012): rank 0 is a parameter server, the others are replicas.
//!
//! A replica takes the weights as they are, computes the gradient of its own mini-batch, and gives it to the
//! server, which makes a step with it at once. Meanwhile others have changed the weights: which gradients
//! meet which weights depends on who is faster, and so do the bits of what comes out.

use super::super::tica_loss::TicaLoss;
use super::super::tile_memory::Memory;
use super::history::LossCurve;
use super::schedule::Schedule;
use super::stage::StageTraining;
use super::state::State;
use crate::train::{Adam, TrainError};
use blindspot::inputs::InputError;
use blindspot::run::communicator::broadcast;

/// A stage ended after its last step.
const DONE: u8 = 0;
/// A stage ended because a rank was asked to stop.
const STOPPED: u8 = 1;
/// A stage ended because its loss was not finite.
const NOT_FINITE: u8 = 2;

/// Bytes of a loss in a message.
const LOSS_BYTES: usize = 24;
/// Bytes of a step's number in a message.
const STEP_BYTES: usize = 8;

impl StageTraining<'_> {
    pub(super) fn asynchronous(
        &self,
        state: &mut State,
        mut adam: Adam,
        schedule: &mut Schedule<'_>,
        memory: &mut Memory<f32>,
    ) -> Result<Adam, TrainError> {
        let ranks = self.grid.all;
        let mut end = DONE;
        if ranks.is_root() {
            end = self.serve(state, &mut adam, schedule)?;
        } else {
            self.help(schedule, memory)?;
        }
        match broadcast(ranks, || vec![end])[..] {
            [DONE] => {}
            [NOT_FINITE] => return Err(self.not_finite()),
            _ => return Err(self.cancelled()),
        }
        let weights = broadcast(ranks, || message(&[], &adam.weights));
        adam.weights = tensors(&weights);
        Ok(adam)
    }

    /// What the server does: steps with gradients as they come, until each replica has been told that there
    /// is no more to do. Gives how the stage ends.
    fn serve(
        &self,
        state: &mut State,
        adam: &mut Adam,
        schedule: &Schedule<'_>,
    ) -> Result<u8, TrainError> {
        let ranks = self.grid.all;
        let mut curve = LossCurve::new(self.stage, schedule.steps(), state.error_before);
        let scale = 1.0 / schedule.images_a_step() as f64;
        let mut end = DONE;
        let mut handed = adam.steps();
        let mut helping: Vec<bool> = (0..ranks.count()).map(|rank| rank > 0).collect();
        while helping.contains(&true) {
            let (rank, mut push) = ranks.receive_any(&|rank| helping[rank]);
            let stop = push.pop() != Some(0) || self.session.monitor.cancelled();
            if stop && end == DONE {
                end = STOPPED;
            }
            if let Some((loss, gradient)) = push.split_at_checked(LOSS_BYTES)
                && end != NOT_FINITE
            {
                let numbers: Vec<f64> = bytemuck::pod_collect_to_vec(loss);
                let loss = TicaLoss::of([numbers[0], numbers[1], numbers[2]]);
                if loss.is_finite() {
                    let step = adam.steps();
                    adam.step(&tensors(gradient), scale, &[], schedule.rate(step));
                    self.report(state, &mut curve, schedule, step, loss);
                } else {
                    end = NOT_FINITE;
                }
            }
            if state.is_due() && end != NOT_FINITE {
                state.save(self.session.checkpoint, Some(adam))?;
            }
            if end == DONE && handed < schedule.steps() {
                ranks.send(rank, message(&handed.to_le_bytes(), &adam.weights));
                handed += 1;
            } else {
                ranks.send(rank, Vec::new());
                helping[rank] = false;
            }
        }
        if end == STOPPED {
            state.save(self.session.checkpoint, Some(adam))?;
        }
        Ok(end)
    }

    /// What a replica does: computes gradients as long as there are steps.
    fn help(
        &self,
        schedule: &mut Schedule<'_>,
        memory: &mut Memory<f32>,
    ) -> Result<(), InputError> {
        let ranks = self.grid.all;
        let mut gradient = vec![vec![0.0f32; self.tica.weight_len()]; 2];
        let mut push = Vec::new();
        loop {
            push.push(u8::from(self.session.monitor.cancelled()));
            ranks.send(0, push);
            let pull = ranks.receive(0);
            let Some((step, weights)) = pull.split_first_chunk::<STEP_BYTES>() else {
                return Ok(());
            };
            let step = u64::from_le_bytes(*step);
            let images = schedule.images(step, 0);
            let loss = self.evaluate(&images, &tensors(weights), Some(&mut gradient), memory)?;
            if schedule.ties_weights(step) {
                for gradient in &mut gradient {
                    self.tica.tie_weights(gradient);
                }
            }
            push = message(bytemuck::cast_slice(&loss.numbers()), &gradient);
        }
    }
}

/// Two weights of the same length behind some other bytes.
fn message(first: &[u8], tensors: &[Vec<f32>]) -> Vec<u8> {
    let parts = tensors.iter().map(|tensor| bytemuck::cast_slice(tensor));
    std::iter::once(first)
        .chain(parts)
        .collect::<Vec<&[u8]>>()
        .concat()
}

/// The two weights of a message.
fn tensors(bytes: &[u8]) -> Vec<Vec<f32>> {
    let halves = bytes.chunks_exact((bytes.len() / 2).max(1));
    halves.map(bytemuck::pod_collect_to_vec).collect()
}
