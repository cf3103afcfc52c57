//! Unsupervised training, stage by stage.

mod frozen_stages;
mod history;
mod rank_grid;
mod schedule;
mod server;
mod stage;
mod start;
mod state;
#[cfg(test)]
mod tests;

use blindspot_data::{ImageSet, files};
use blindspot_net::Network;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::architecture::Builder;
use super::plan::{Plan, Size, check_file};
use super::tica::Tica;
use super::whitening::Whitening;
use crate::session::Session;
use crate::train::TrainError;
use blindspot::run::random::Stream;
use frozen_stages::FrozenStages;
pub use history::{Point, history_plot};
use rank_grid::RankGrid;
use stage::StageTraining;
use start::{first_weights, normal};
use state::State;

/// One image of this many is held out, but no more than [`MAX_HELD_OUT`].
const HELD_OUT: usize = 20;
/// The most images held out.
const MAX_HELD_OUT: usize = 1000;

/// A network that was trained without labels.
#[derive(Debug, Clone)]
pub struct Learned {
    /// From an image in [0, 1] to the last stage's maps; the value `stage1` is what the first gives.
    pub network: Network<f32>,
    /// How each stage's training went.
    pub stages: Vec<StageRecord>,
    /// How the loss fell meanwhile; none where the network was read from a file.
    pub history: Vec<Point>,
}

/// How one stage's training went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageRecord {
    /// Positions down and across.
    pub grid: [usize; 2],
    /// Numbers in a field.
    pub field_len: usize,
    /// Filters at each position.
    pub maps: usize,
    /// Weights of the filters.
    pub weights: u64,
    /// Steps made.
    pub steps: u64,
    /// Squared error of the reconstruction of held-out images, as a part of their sum of squares:
    /// before the first step.
    pub error_before: f64,
    /// The error of the reconstruction of held-out images at the end, as a part of their sum of squares.
    pub error: f64,
    /// What principal components, as many as there are maps, leave of each field of held-out images, as a part
    /// of the fields' sum of squares.
    pub error_pca: f64,
    /// Sum of the pooled responses to held-out images at the end, over their sum of squares.
    pub sparsity: f64,
}

/// Trains the stages one after the other on images without labels.
///
/// With a checkpoint it can be stopped and resumed: what comes out has the same bits as if it had run
/// through, for any number of threads and ranks, unless the plan is asynchronous. `data_hash` names the
/// images. The checkpoint stays at the end: whoever keeps what was learned
/// [removes it](Session::remove_checkpoint).
///
/// # Errors
/// [`TrainError`], also where a stage can't be divided among the session's ranks.
pub fn learn(
    plan: &Plan,
    images: &ImageSet,
    data_hash: &str,
    session: &Session<'_>,
) -> Result<Learned, TrainError> {
    let (seed, ranks) = (session.seed, session.ranks);
    let sizes = checked(plan, images)?;
    let grid = RankGrid::new(plan, ranks);
    grid.check(plan, &sizes)?;
    if images.len() < 2 {
        let why = format!(
            "{} images are too few: some are held out; give at least 2",
            images.len()
        );
        return Err(TrainError::Options(why));
    }
    let plan_text = serde_json::to_string(plan).expect("a plan is plain data");
    let key = format!(
        "plan {plan_text}, seed {seed}, {} images {}, version {}",
        images.len(),
        &files::sha256_hex(data_hash.as_bytes())[..12],
        env!("CARGO_PKG_VERSION")
    );
    let mut state = State::load(session, key)?;
    let order = Stream::new(seed, "images held out", 0).order(images.len());
    let held_out = (images.len() / HELD_OUT).clamp(1, MAX_HELD_OUT);
    let (held_out, trained_on) = order.split_at(held_out);
    let mut builder = begin(images, seed)?;
    for (i, (stage, size)) in plan.stages.iter().zip(&sizes).enumerate() {
        let name = format!("stage{}", i + 1);
        if state.done.len() == i {
            let below = FrozenStages {
                network: builder.network(),
                images,
            };
            let training = StageTraining {
                plan,
                below,
                grid: &grid,
                tica: Tica::new(plan, i, size, &grid.parts),
                images: [trained_on, held_out],
                session,
                stage: i,
                size: *size,
            };
            training.run(&mut state)?;
        }
        let weights = state.done[i].0.clone();
        builder.stage(&name, *stage, size, weights, plan.normalise)?;
    }
    Ok(Learned {
        network: builder.network(),
        stages: state.done.into_iter().map(|(_, record)| record).collect(),
        history: state.history,
    })
}

/// Filters that nothing was learned for: a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untrained {
    /// Random filters, drawn for each position.
    Independent,
    /// One set of random filters for all positions: what [`learn`] begins with.
    First,
}

/// A network whose filters are random.
///
/// # Errors
/// [`TrainError::Options`] where a field does not fit.
pub fn untrained(
    plan: &Plan,
    kind: Untrained,
    images: &ImageSet,
    seed: u64,
) -> Result<Network<f32>, TrainError> {
    let sizes = checked(plan, images)?;
    let mut builder = begin(images, seed)?;
    for (i, (stage, size)) in plan.stages.iter().zip(&sizes).enumerate() {
        let weights = match kind {
            Untrained::Independent => {
                let positions = size.grid[0] * size.grid[1];
                normal(size, positions, &mut Stream::new(seed, "filters", i))
            }
            Untrained::First => {
                let network = builder.network();
                let mean = FrozenStages { network, images }.mean(size.input[0], seed)?;
                let [filters, _] = first_weights(size, seed, i, &mean);
                filters.repeat(size.grid[0] * size.grid[1])
            }
        };
        let name = format!("stage{}", i + 1);
        builder.stage(&name, *stage, size, weights, plan.normalise)?;
    }
    Ok(builder.network())
}

/// The sizes of stages that can be held in memory.
fn checked(plan: &Plan, images: &ImageSet) -> Result<Vec<Size>, TrainError> {
    if images.is_empty() {
        let why = format!("{} has no image to train on", images.name());
        return Err(TrainError::Data(why));
    }
    let sizes = plan.sizes(images.shape())?;
    for (i, size) in sizes.iter().enumerate() {
        size.check(i + 1)?;
    }
    check_file(&sizes)?;
    Ok(sizes)
}

/// The network below the first stage.
fn begin(images: &ImageSet, seed: u64) -> Result<Builder, TrainError> {
    let mut builder = Builder::new(&images.shape())?;
    builder.whiten("whitened", Whitening::of(images, seed)?)?;
    Ok(builder)
}
