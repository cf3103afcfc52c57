//! Unsupervised training, stage by stage.

use std::path::Path;
use std::time::{Duration, Instant};

use blindspot_data::{ImageSet, files};
use blindspot_net::{Evaluator, Network};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::architecture::Builder;
use super::pca;
use super::plan::{Plan, Size, check_file};
use super::tica::{Memory, Tica, TicaLoss};
use super::whitening::Whitening;
use crate::inputs::write_batch;
use crate::monitor::Monitor;
use crate::random::Stream;
use crate::train::{Adam, TrainError};

/// Time between checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// Steps between words to the monitor.
const TELL_EVERY: u64 = 16;
/// Images that a thread computes a stage's inputs of at a time.
const PART: usize = 16;
/// The part of a stage's steps in which the filters of all positions stay the same: what one learns, all
/// do. In the rest each position learns its own from there.
const TOGETHER: f64 = 0.5;
/// How much of the mean's direction a first filter has, whose own weights have length 1.
const OFFSET: f32 = 2.0;
/// Images that the mean is taken over.
const OF_MEAN: usize = 256;
/// One image of so many is held out, but no more than [`MOST_HELD_OUT`].
const HELD_OUT: usize = 20;
const MOST_HELD_OUT: usize = 1000;

/// A network that was trained without labels.
#[derive(Debug, Clone)]
pub struct Learned {
    /// From an image in [0, 1] to the last stage's maps; the value `stage1` is what the first gives.
    pub network: Network<f32>,
    /// How each stage's training went.
    pub stages: Vec<StageRecord>,
}

/// How one stage's training went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// The same at the end.
    pub error: f64,
    /// The same of what principal components leave of each field, as many as there are maps.
    pub error_pca: f64,
    /// Sum of the pooled responses to held-out images at the end, over their sum of squares.
    pub sparsity: f64,
}

/// A training under way.
#[derive(Serialize, Deserialize)]
struct State {
    /// What is trained how on what, in words that show the difference to another training.
    key: String,
    /// The filters of the stages already trained.
    done: Vec<(Vec<f32>, StageRecord)>,
    /// The stage under way: both its weights.
    adam: Option<Adam>,
    error_before: f64,
}

impl State {
    /// The state in a checkpoint, or the beginning.
    fn load(path: Option<&Path>, key: String) -> Result<State, TrainError> {
        let bytes = path.and_then(|path| Some((path, std::fs::read(path).ok()?)));
        let Some((path, bytes)) = bytes else {
            return Ok(State {
                key,
                done: Vec::new(),
                adam: None,
                error_before: 0.0,
            });
        };
        let kept = postcard::from_bytes::<State>(&bytes).ok();
        match kept {
            Some(state) if state.key == key => Ok(state),
            kept => Err(TrainError::Checkpoint {
                path: path.to_owned(),
                kept: kept.map_or_else(|| "nothing that can be read".to_owned(), |kept| kept.key),
                asked: key,
            }),
        }
    }

    fn save(&self, path: Option<&Path>) -> Result<(), TrainError> {
        let Some(path) = path else { return Ok(()) };
        files::write_atomically(path, |writer| {
            let written = postcard::to_io(self, writer);
            written.map(|_| ()).map_err(std::io::Error::other)
        })?;
        Ok(())
    }
}

/// Trains the stages one after the other on images without labels.
///
/// With a `checkpoint` path it can be stopped and gone on with: what comes out has the same bits as if
/// it had run through, for any number of threads. `data` names the images (a hash). The checkpoint is
/// removed at the end.
///
/// # Errors
/// [`TrainError`], also where the checkpoint is that of another training.
pub fn learn(
    plan: &Plan,
    images: &ImageSet,
    data: &str,
    seed: u64,
    checkpoint: Option<&Path>,
    monitor: &dyn Monitor,
) -> Result<Learned, TrainError> {
    let sizes = checked(plan, images)?;
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
        &files::sha256_hex(data.as_bytes())[..12],
        env!("CARGO_PKG_VERSION")
    );
    let mut state = State::load(checkpoint, key)?;
    let order = Stream::new(seed, "images held out", 0).order(images.len());
    let held_out = (images.len() / HELD_OUT).clamp(1, MOST_HELD_OUT);
    let (held_out, trained_on) = order.split_at(held_out);
    let mut builder = begin(images, seed)?;
    for (i, (stage, size)) in plan.stages.iter().zip(&sizes).enumerate() {
        let name = format!("stage{}", i + 1);
        if state.done.len() == i {
            let below = Below {
                network: builder.network(),
                images,
            };
            let tica = Tica {
                fields: size.fields(*stage),
                grid: size.grid,
                maps: size.maps,
                pool: stage.pool,
                input_len: size.input.iter().product(),
                lambda: plan.lambda,
            };
            let work = Work {
                plan,
                below,
                tica,
                images: [trained_on, held_out],
                seed,
                stage: i,
                size: *size,
            };
            work.run(&mut state, checkpoint, monitor)?;
        }
        let weights = state.done[i].0.clone();
        builder.stage(&name, *stage, size, weights, plan.normalise)?;
    }
    if let Some(path) = checkpoint {
        // It may never have been written.
        let _ = std::fs::remove_file(path);
    }
    Ok(Learned {
        network: builder.network(),
        stages: state.done.into_iter().map(|(_, record)| record).collect(),
    })
}

/// Filters that nothing was learned for: a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untrained {
    /// Random, others at each position.
    Independent,
    /// The same at all positions: what [`learn`] begins with.
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
                let mean = Below { network, images }.mean(size.input[0], seed);
                let [filters, _] = first_weights(size, seed, i, &mean);
                filters
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
    let whitening = Whitening::of(images, seed);
    images
        .intact()
        .map_err(|why| TrainError::Data(why.to_string()))?;
    builder.whiten("whitened", whitening)?;
    Ok(builder)
}

/// Normal numbers with variance 1 over the field's length: [positions, field, maps], or without positions
/// for one of them.
fn normal(size: &Size, positions: usize, stream: &mut Stream) -> Vec<f32> {
    let deviation = (size.field_len as f64).sqrt().recip();
    let count = positions * size.field_len * size.maps;
    let number = || (stream.normal() * deviation) as f32;
    std::iter::repeat_with(number).take(count).collect()
}

/// What a stage's training begins with, the same at all positions: its filters, and what puts images
/// together again, each [positions, field, maps].
///
/// Normal numbers in the first stage. Above it each filter sees one map, by weights above 0 whose squares
/// add up to 1, and in addition the direction of the `mean` of each map that the stage sees. That makes
/// nearly all responses positive, and pooling, which squares, does not take their sign away; what it adds
/// to all filters alike is subtracted by the contrast normalisation, and not put together again.
fn first_weights(size: &Size, seed: u64, stage: usize, mean: &[f32]) -> [Vec<f32>; 2] {
    let mut stream = Stream::new(seed, "filters", stage);
    let mut filters = normal(size, 1, &mut stream);
    let mut back = filters.clone();
    let (maps, below) = (size.maps, size.input[0]);
    if stage > 0 {
        let area = size.field_len / below;
        let norm = mean.iter().map(|x| x * x).sum::<f32>();
        let norm = (norm * area as f32).sqrt().max(f32::MIN_POSITIVE);
        for map in 0..maps {
            let seen = map % below;
            let own = |k: usize| k / area == seen;
            let of_map = |k: usize| back[k * maps + map];
            let squares = (0..size.field_len).filter(|&k| own(k));
            let squares = squares.map(|k| of_map(k) * of_map(k)).sum::<f32>();
            let scale = squares.sqrt().max(f32::MIN_POSITIVE);
            for k in 0..size.field_len {
                let place = &mut back[k * maps + map];
                *place = if own(k) { place.abs() / scale } else { 0.0 };
                filters[k * maps + map] = *place + OFFSET * mean[k / area] / norm;
            }
        }
        for row in back.chunks_exact_mut(maps) {
            let common = row.iter().sum::<f32>() / maps as f32;
            row.iter_mut().for_each(|weight| *weight -= common);
        }
    }
    let positions = size.grid[0] * size.grid[1];
    [filters, back].map(|of_one| of_one.repeat(positions))
}

/// Makes the gradient of each position what all have in common: their sum, smaller so that chance has
/// the size that it has in the gradient of one.
fn together(gradient: &mut [f32], positions: usize) {
    let length = gradient.len() / positions;
    let mut common = vec![0.0f32; length];
    for of_one in gradient.chunks_exact(length) {
        for (sum, part) in common.iter_mut().zip(of_one) {
            *sum += part;
        }
    }
    let scale = (positions as f32).sqrt().recip();
    common.iter_mut().for_each(|sum| *sum *= scale);
    let each = gradient.par_chunks_exact_mut(length);
    each.for_each(|of_one| of_one.copy_from_slice(&common));
}

/// What a stage sees of an image.
struct Below<'a> {
    network: Network<f32>,
    images: &'a ImageSet,
}

impl Below<'_> {
    /// The stage's inputs of some images, one after the other.
    fn of(&self, indices: &[usize]) -> Vec<f32> {
        let length = self.network.output_len();
        let mut values = vec![0.0; indices.len() * length];
        values
            .par_chunks_mut(PART * length)
            .zip(indices.par_chunks(PART))
            .for_each_init(
                || Evaluator::new(&self.network),
                |evaluator, (values, indices)| {
                    let places = evaluator.input(indices.len());
                    write_batch(self.images, indices.iter().copied(), places);
                    values.copy_from_slice(evaluator.forward());
                },
            );
        values
    }
}

impl Below<'_> {
    /// The mean of each of `maps` maps, over some of the images.
    fn mean(&self, maps: usize, seed: u64) -> Vec<f32> {
        let mut order = Stream::new(seed, "images of the mean", 0).order(self.images.len());
        order.truncate(OF_MEAN);
        let values = self.of(&order);
        let area = self.network.output_len() / maps;
        let mut sums = vec![0.0f64; maps];
        for (i, of_map) in values.chunks_exact(area).enumerate() {
            sums[i % maps] += of_map.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
        let count = (order.len() * area) as f64;
        let mean = sums.into_iter().map(|sum| (sum / count) as f32);
        // Those of a file that broke meanwhile are NaN; the training says so.
        mean.map(|mean| if mean.is_finite() { mean } else { 0.0 })
            .collect()
    }
}

/// The training of one stage.
struct Work<'a> {
    plan: &'a Plan,
    below: Below<'a>,
    tica: Tica,
    /// Those trained on, and those held out.
    images: [&'a [usize]; 2],
    seed: u64,
    stage: usize,
    size: Size,
}

impl Work<'_> {
    fn run(
        &self,
        state: &mut State,
        checkpoint: Option<&Path>,
        monitor: &dyn Monitor,
    ) -> Result<(), TrainError> {
        let name = format!("stage {} of {}", self.stage + 1, self.plan.stages.len());
        let count = self.images[0].len();
        let batch = self.plan.batch.min(count);
        let steps_a_pass = (count / batch) as u64;
        let steps = steps_a_pass * self.plan.epochs as u64;
        let mut memory = Memory::default();
        let mut adam = match state.adam.take() {
            Some(adam) => adam,
            None => {
                let adam = self.start();
                state.error_before = ratio(self.held_out(&adam, &mut memory)).0;
                adam
            }
        };
        let length = self.tica.weight_len();
        let mut gradient = vec![vec![0.0f32; length]; 2];
        let mut saved = Instant::now();
        let (mut epoch, mut order) = (u64::MAX, Vec::new());
        let mut error = state.error_before;
        monitor.begin(&name, steps);
        while adam.steps() < steps {
            if monitor.cancelled() || saved.elapsed() > CHECKPOINT_EVERY {
                state.adam = Some(adam);
                state.save(checkpoint)?;
                if monitor.cancelled() {
                    monitor.end();
                    let checkpoint = checkpoint.map(Path::to_owned);
                    return Err(TrainError::Cancelled { checkpoint });
                }
                adam = state.adam.take().expect("it was put there above");
                saved = Instant::now();
            }
            let step = adam.steps();
            if epoch != step / steps_a_pass {
                epoch = step / steps_a_pass;
                let index = self.stage * self.plan.epochs + epoch as usize;
                order = Stream::new(self.seed, "order of images", index).order(count);
            }
            let first = (step % steps_a_pass) as usize * batch;
            let chosen = order[first..first + batch].iter();
            let chosen: Vec<usize> = chosen.map(|&i| self.images[0][i]).collect();
            let inputs = self.below.of(&chosen);
            let [encode, decode] = &mut gradient[..] else {
                unreachable!("two weights")
            };
            let weights = [&adam.weights[0][..], &adam.weights[1]];
            let loss = self
                .tica
                .evaluate(&inputs, weights, Some([encode, decode]), &mut memory);
            if !(loss.error + loss.sparsity).is_finite() {
                monitor.end();
                // A file that broke meanwhile is NaN to the network.
                let intact = self.below.images.intact();
                intact.map_err(|why| TrainError::Data(why.to_string()))?;
                return Err(TrainError::NotFinite { stage: name });
            }
            let part = step as f64 / steps as f64;
            if part < TOGETHER {
                for gradient in &mut gradient {
                    together(gradient, self.tica.fields.count());
                }
            }
            let rate = self.plan.rate * 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
            adam.step(&gradient, 1.0 / batch as f64, &[], rate);
            if step.is_multiple_of(TELL_EVERY) || step + 1 == steps {
                error += 0.2 * (ratio(loss).0 - error);
                let detail = format!("epoch {}, error {:.1}%", epoch + 1, 100.0 * error);
                monitor.progress(step + 1, &detail);
            }
        }
        monitor.end();
        let (error, sparsity) = ratio(self.held_out(&adam, &mut memory));
        let record = StageRecord {
            grid: self.size.grid,
            field_len: self.size.field_len,
            maps: self.size.maps,
            weights: self.size.weights(),
            steps,
            error_before: state.error_before,
            error,
            error_pca: self.error_pca(),
            sparsity,
        };
        let filters = adam.weights.into_iter().next().expect("two weights");
        state.done.push((filters, record));
        state.save(checkpoint)
    }

    /// The first weights; those that put images together again are smaller by as much as there are more
    /// responses than numbers.
    fn start(&self) -> Adam {
        let mean = self.below.mean(self.size.input[0], self.seed);
        let [filters, mut back] = first_weights(&self.size, self.seed, self.stage, &mean);
        let responses = (self.tica.fields.count() * self.size.maps) as f32;
        let over = (responses / self.tica.input_len as f32).max(1.0);
        back.iter_mut().for_each(|weight| *weight /= over);
        Adam::new(vec![filters, back])
    }

    /// The loss on the images held out.
    fn held_out(&self, adam: &Adam, memory: &mut Memory<f32>) -> TicaLoss {
        let weights = [&adam.weights[0][..], &adam.weights[1]];
        let mut sum = TicaLoss::default();
        for indices in self.images[1].chunks(self.plan.batch) {
            let inputs = self.below.of(indices);
            sum.add(self.tica.evaluate(&inputs, weights, None, memory));
        }
        sum
    }

    fn error_pca(&self) -> f64 {
        let of = |indices: &[usize]| self.below.of(indices);
        pca::error(
            &self.tica.fields,
            self.size.maps,
            self.images,
            of,
            self.seed,
        )
    }
}

/// Error and pooled responses as parts of the images' sum of squares.
fn ratio(loss: TicaLoss) -> (f64, f64) {
    let energy = loss.energy.max(f64::MIN_POSITIVE);
    (loss.error / energy, loss.sparsity / energy)
}
