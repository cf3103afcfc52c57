//! The steps of a stage: their images and their size.

use super::super::plan::Plan;
use crate::train::{TrainError, cosine};
use blindspot::run::random::Stream;

/// The fraction of a stage's steps in which the filters of all positions stay the same: what one learns, all
/// do. In the rest each position learns its own from there.
const TIED: f64 = 0.5;

/// The steps of one stage.
pub(super) struct Schedule<'a> {
    plan: &'a Plan,
    images: &'a [usize],
    seed: u64,
    stage: usize,
    /// Images of a replica's mini-batch.
    batch: usize,
    /// The pass that an order of images is known for, and that order.
    pass: Option<u64>,
    order: Vec<usize>,
}

impl<'a> Schedule<'a> {
    /// The steps of stage number `stage`, from 0, on these images.
    ///
    /// # Errors
    /// [`TrainError::Options`] if there are more replicas than images.
    pub(super) fn new(
        plan: &'a Plan,
        images: &'a [usize],
        seed: u64,
        stage: usize,
    ) -> Result<Schedule<'a>, TrainError> {
        let batch = plan.batch.min(images.len() / plan.replicas);
        if batch == 0 {
            let (replicas, images) = (plan.replicas, images.len());
            return Err(TrainError::Options(format!(
                "{images} images to train on are too few for {replicas} replicas; ask for fewer"
            )));
        }
        Ok(Schedule {
            plan,
            images,
            seed,
            stage,
            batch,
            pass: None,
            order: Vec::new(),
        })
    }

    /// Images of a step, of all replicas.
    pub(super) fn images_a_step(&self) -> usize {
        self.batch * self.plan.replicas
    }

    fn steps_a_pass(&self) -> u64 {
        (self.images.len() / self.images_a_step()) as u64
    }

    /// The number of steps.
    pub(super) fn steps(&self) -> u64 {
        self.steps_a_pass() * self.plan.epochs as u64
    }

    /// Which pass over the images a step is in, from 0.
    pub(super) fn pass(&self, step: u64) -> u64 {
        step / self.steps_a_pass()
    }

    /// The images of a replica's mini-batch.
    pub(super) fn images(&mut self, step: u64, replica: usize) -> Vec<usize> {
        let pass = self.pass(step);
        if self.pass != Some(pass) {
            let index = self.stage * self.plan.epochs + pass as usize;
            self.order = Stream::new(self.seed, "order of images", index).order(self.images.len());
            self.pass = Some(pass);
        }
        let place = (step % self.steps_a_pass()) as usize * self.images_a_step();
        let chosen = &self.order[place + replica * self.batch..][..self.batch];
        chosen.iter().map(|&i| self.images[i]).collect()
    }

    /// The fraction of all steps that was made before this one.
    fn fraction(&self, step: u64) -> f64 {
        step as f64 / self.steps() as f64
    }

    /// Whether all positions learn the same in this step.
    pub(super) fn ties_weights(&self, step: u64) -> bool {
        self.fraction(step) < TIED
    }

    /// The size of this step.
    pub(super) fn rate(&self, step: u64) -> f64 {
        cosine(self.plan.rate, self.fraction(step))
    }
}
