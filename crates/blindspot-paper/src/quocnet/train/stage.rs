//! The training of one stage, synchronous: every step waits for all replicas.

use std::path::Path;

use super::super::pca;
use super::super::plan::{Plan, Size};
use super::super::tica::Tica;
use super::super::tica_loss::TicaLoss;
use super::super::tile_memory::Memory;
use super::StageRecord;
use super::frozen_stages::FrozenStages;
use super::history::LossCurve;
use super::rank_grid::RankGrid;
use super::schedule::Schedule;
use super::start::first_weights;
use super::state::State;
use crate::session::Session;
use crate::train::{Adam, TrainError};
use blindspot::inputs::InputError;
use blindspot::run::communicator::{Communicator, all_gather};

/// Steps between reports to the monitor.
const REPORT_EVERY: u64 = 16;
/// What a rank asks for before a step: to stop.
const STOP: u8 = 1;
/// What a rank asks for before a step: a checkpoint.
const SAVE: u8 = 2;

/// The training of one stage.
pub(super) struct StageTraining<'a> {
    pub(super) plan: &'a Plan,
    pub(super) below: FrozenStages<'a>,
    pub(super) grid: &'a RankGrid<'a>,
    /// This rank's part of the stage.
    pub(super) tica: Tica<'a>,
    /// The images trained on, and those held out.
    pub(super) images: [&'a [usize]; 2],
    pub(super) session: &'a Session<'a>,
    pub(super) stage: usize,
    pub(super) size: Size,
}

impl StageTraining<'_> {
    pub(super) fn run(&self, state: &mut State) -> Result<(), TrainError> {
        let mut memory = Memory::default();
        let mut schedule = Schedule::new(self.plan, self.images[0], self.session.seed, self.stage)?;
        let adam = match state.adam.take() {
            Some(whole) => whole.part(self.tica.weights()),
            None => {
                let adam = self.start()?;
                state.error_before = self.held_out(&adam.weights, &mut memory)?.ratio().0;
                adam
            }
        };
        self.session.monitor.begin(&self.name(), schedule.steps());
        let trained = if self.plan.asynchronous {
            self.asynchronous(state, adam, &mut schedule, &mut memory)
        } else {
            self.synchronous(state, adam, &mut schedule, &mut memory)
        };
        self.session.monitor.end();
        let adam = trained?;
        let (error, sparsity) = self.held_out(&adam.weights, &mut memory)?.ratio();
        let record = StageRecord {
            grid: self.size.grid,
            field_len: self.size.field_len,
            maps: self.size.maps,
            weights: self.size.weights(),
            steps: schedule.steps(),
            error_before: state.error_before,
            error,
            error_pca: self.error_pca()?,
            sparsity,
        };
        let own = bytemuck::cast_slice(&adam.weights[0]).to_vec();
        drop(adam);
        let filters = all_gather(&self.grid.parts, own).concat();
        let filters = bytemuck::pod_collect_to_vec(&filters);
        state.done.push((filters, record));
        if self.grid.all.is_root() {
            state.save(self.session.checkpoint, None)?;
        }
        Ok(())
    }

    fn name(&self) -> String {
        format!("stage {} of {}", self.stage + 1, self.plan.stages.len())
    }

    fn synchronous(
        &self,
        state: &mut State,
        mut adam: Adam,
        schedule: &mut Schedule<'_>,
        memory: &mut Memory<f32>,
    ) -> Result<Adam, TrainError> {
        let steps = schedule.steps();
        let mut curve = LossCurve::new(self.stage, steps, state.error_before);
        let weight = vec![0.0f32; self.tica.weight_len()];
        let mut gradients = vec![vec![weight; 2]; self.grid.replicas.len()];
        while adam.steps() < steps {
            let mut mine = if self.session.monitor.cancelled() {
                STOP
            } else {
                0
            };
            mine |= if state.is_due() { SAVE } else { 0 };
            let said = all_gather(self.grid.all, vec![mine]);
            let said = said.iter().flatten().fold(0, |all, said| all | said);
            if said != 0 {
                self.save(state, &adam)?;
            }
            if said & STOP != 0 {
                return Err(self.cancelled());
            }
            let step = adam.steps();
            let mut losses = Vec::new();
            for (replica, gradient) in self.grid.replicas.clone().zip(&mut gradients) {
                let images = schedule.images(step, replica);
                losses.push(self.evaluate(&images, &adam.weights, Some(gradient), memory)?);
            }
            let loss = self.grid.add_losses(&losses);
            if !loss.is_finite() {
                return Err(self.not_finite());
            }
            self.grid.add_gradients(&mut gradients);
            let gradient = &mut gradients[0];
            if schedule.ties_weights(step) {
                for gradient in &mut *gradient {
                    self.tica.tie_weights(gradient);
                }
            }
            let scale = 1.0 / schedule.images_a_step() as f64;
            adam.step(gradient, scale, &[], schedule.rate(step));
            self.report(state, &mut curve, schedule, step, loss);
        }
        Ok(adam)
    }

    /// The loss of some images on the ranks of this group, and its gradient.
    ///
    /// # Errors
    /// [`InputError`] where an image can't be read.
    pub(super) fn evaluate(
        &self,
        images: &[usize],
        weights: &[Vec<f32>],
        gradient: Option<&mut Vec<Vec<f32>>>,
        memory: &mut Memory<f32>,
    ) -> Result<TicaLoss, InputError> {
        let needed = |part| self.tica.needed(part);
        let inputs = self.below.rows_of(images, &self.grid.parts, needed)?;
        let weights = [&weights[0][..], &weights[1]];
        let gradient = gradient.map(|gradient| {
            let [encode, decode] = &mut gradient[..] else {
                unreachable!("two weights")
            };
            [&mut encode[..], decode]
        });
        Ok(self.tica.evaluate(&inputs, weights, gradient, memory))
    }

    /// Tells how it goes after a step.
    pub(super) fn report(
        &self,
        state: &mut State,
        curve: &mut LossCurve,
        schedule: &Schedule<'_>,
        step: u64,
        loss: TicaLoss,
    ) {
        let point = curve.add(loss, step + 1, schedule.images_a_step(), state.seconds());
        state.history.extend(point);
        if step.is_multiple_of(REPORT_EVERY) || step + 1 == schedule.steps() {
            let error = 100.0 * curve.shown(loss);
            let detail = format!("epoch {}, error {error:.1}%", schedule.pass(step) + 1);
            self.session.monitor.progress(step + 1, &detail);
        }
    }

    /// Keeps a checkpoint, for which all parts of the first group bring theirs to rank 0.
    fn save(&self, state: &mut State, adam: &Adam) -> Result<(), TrainError> {
        if self.grid.groups.rank() > 0 {
            // Nothing is written here, but the next is due as late as on rank 0.
            return state.save(None, None);
        }
        let gathered = match self.grid.parts.count() {
            1 => None,
            _ => adam.gathered(&self.grid.parts),
        };
        let path = self.session.checkpoint.filter(|_| self.grid.all.is_root());
        state.save(path, Some(gathered.as_ref().unwrap_or(adam)))
    }

    pub(super) fn cancelled(&self) -> TrainError {
        TrainError::Cancelled {
            checkpoint: self.session.checkpoint.map(Path::to_owned),
        }
    }

    pub(super) fn not_finite(&self) -> TrainError {
        TrainError::NotFinite { stage: self.name() }
    }

    /// The first weights; those that put images together again are smaller by as much as there are more
    /// responses than numbers.
    fn start(&self) -> Result<Adam, InputError> {
        let mean = self.below.mean(self.size.input[0], self.session.seed)?;
        let [filters, mut back] = first_weights(&self.size, self.session.seed, self.stage, &mean);
        let responses = (self.size.grid[0] * self.size.grid[1] * self.size.maps) as f32;
        let numbers = self.size.input.iter().product::<usize>() as f32;
        let over = (responses / numbers).max(1.0);
        back.iter_mut().for_each(|weight| *weight /= over);
        let positions = self.tica.weight_len() / filters.len();
        let weights = [filters, back].map(|of_one| of_one.repeat(positions));
        Ok(Adam::new(weights.to_vec()))
    }

    /// The loss on the images held out, whose batches are dealt out to the groups.
    fn held_out(
        &self,
        weights: &[Vec<f32>],
        memory: &mut Memory<f32>,
    ) -> Result<TicaLoss, InputError> {
        let groups = &self.grid.groups;
        let batches = self.images[1].chunks(self.plan.batch);
        let mut own = Vec::new();
        for indices in batches.clone().skip(groups.rank()).step_by(groups.count()) {
            let loss = self.evaluate(indices, weights, None, memory)?;
            own.extend(loss.numbers());
        }
        let all = all_gather(groups, bytemuck::cast_slice(&own).to_vec());
        let all: Vec<Vec<f64>> = all
            .iter()
            .map(|own| bytemuck::pod_collect_to_vec(own))
            .collect();
        let mut sum = TicaLoss::default();
        for batch in 0..batches.len() {
            let of_group = all[batch % groups.count()].as_chunks().0;
            sum.add(TicaLoss::of(of_group[batch / groups.count()]));
        }
        Ok(sum)
    }

    /// Every rank computes it for itself.
    fn error_pca(&self) -> Result<f64, InputError> {
        let fields = self.size.fields(self.plan.stages[self.stage]);
        let of = |indices: &[usize]| self.below.of(indices);
        pca::error(&fields, self.size.maps, self.images, of, self.session.seed)
    }
}
