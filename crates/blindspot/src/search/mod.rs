//! Section 4.1: the blind-spot search, for the smallest change that makes the network answer a
//! chosen class.

mod anderson;
mod baselines;
mod batch;
mod change;
mod cuts;
mod decoupled;
mod eight_bit;
mod error;
mod goal;
#[cfg(test)]
mod halfspace;
mod here;
mod lattice;
mod method;
mod penalty;
mod ranges;
mod shared;
mod sqp;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;
use std::time::{Duration, Instant};

use blindspot_net::{Network, argmax};
use serde::{Deserialize, Serialize};

pub use change::{InputBox, norm};
pub use eight_bit::{EightBit, eight_bit};
pub use error::SearchError;
pub use goal::{Criterion, Target};
pub use method::Method;
pub use ranges::{Bounds, BoundsError};
pub use shared::search_over;

use crate::inputs::Inputs;
use crate::run::Pace;
use crate::run::monitor::{Monitor, Part};
use crate::run::random::Stream;
use batch::Watch;
use goal::{Aim, Goal};
use method::Start;
use ranges::Rooms;

/// What is searched for, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchOptions {
    /// The class that the network is to answer.
    pub target: Target,
    /// Where random targets come from.
    pub seed: u64,
    /// The valid range of every input value.
    #[serde(rename = "bounds")]
    pub input_box: InputBox,
    /// How it is searched for.
    pub method: Method,
    /// Whether the change that [`Method::Lbfgs`] finds is shrunk along its ray to the decision
    /// boundary. The paper's search ends at the minimiser of the penalised loss, somewhat behind
    /// it; [`Method::Sqp`] ends on the boundary by itself.
    pub shrink: bool,
    /// When a changed answer counts.
    pub criterion: Criterion,
    /// Evaluations of the network for each search at most; the best so far is kept.
    pub max_evaluations: Option<u64>,
    /// Seconds for the whole search at most: the best so far is kept, images not begun are left
    /// out. How far a search comes depends on the machine then.
    pub time_limit: Option<f64>,
    /// Each input value's own limits, in place of `input_box`.
    #[serde(skip)]
    pub bounds: Option<Arc<Bounds>>,
}

impl Default for SearchOptions {
    /// Random targets with seed 0, in [0, 1], by [`Method::Sqp`], as long as it takes.
    fn default() -> Self {
        SearchOptions {
            target: Target::Random,
            seed: 0,
            input_box: InputBox::default(),
            method: Method::Sqp,
            shrink: true,
            criterion: Criterion::default(),
            max_evaluations: None,
            time_limit: None,
            bounds: None,
        }
    }
}

impl SearchOptions {
    /// What success is for an image with a label and, where there is one, a target.
    fn goal(&self, label: usize, target: usize) -> Goal {
        let Criterion { top_k, confidence } = self.criterion;
        let aim = match self.target {
            Target::All | Target::Untargeted => Aim::Leave { label, top: top_k },
            Target::Random | Target::Nearest | Target::Class(_) => Aim::Become(target),
        };
        Goal { aim, confidence }
    }

    /// True where the network's answer to an original leaves nothing to search for.
    fn wrong(&self, label: usize, logits: &[f32]) -> bool {
        let any_class = matches!(self.target, Target::All | Target::Untargeted);
        if any_class && self.criterion != Criterion::default() {
            return self.goal(label, label).margin(logits) > 0.0;
        }
        argmax(logits) != label
    }
}

/// An image and the smallest change found that makes the network answer the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Position in the set that was searched.
    pub position: usize,
    /// Index in the data set that the searched set was chosen from ([`Inputs::index`]).
    pub index: usize,
    /// The true class.
    pub label: usize,
    /// The class that the network was to answer; of an image already wrong, what it answers.
    pub target: usize,
    /// What the network answers to the original.
    #[serde(rename = "before")]
    pub prediction_before: usize,
    /// What it answers to the changed image.
    #[serde(rename = "after")]
    pub prediction: usize,
    /// True where the network gets the original wrong, as far as the criterion asks: there was
    /// nothing to search for.
    #[serde(rename = "wrong_before")]
    pub already_misclassified: bool,
    /// True where the network answers the target to the changed image, evaluated again on that
    /// image in `f32` and in `f64`.
    pub success: bool,
    /// The changed image, in the box; the original itself where nothing was found or needed.
    pub adversarial: Vec<f32>,
    /// L2 norm of the change.
    pub l2: f64,
    /// Evaluations of the network, over all targets tried.
    pub evaluations: u64,
    /// Gradients of it that the search used.
    pub gradients: u64,
    /// How far from locally smallest the change can be, over its L2 norm: the distance to the
    /// nearest point of the box that answers as asked, were the network linear around the changed
    /// image (the natural residual of the Karush-Kuhn-Tucker conditions, in `f64`). 0 at a local
    /// minimum; 0 where nothing was changed.
    #[serde(rename = "kkt")]
    pub kkt_residual: f64,
}

impl Example {
    /// Root mean square of the change.
    pub fn distortion(&self) -> f64 {
        self.l2 / (self.adversarial.len() as f64).sqrt()
    }
}

/// Finds the smallest change for images `indices` of a set with their true classes.
///
/// Images of a fixed target class are left out. Each image has its own solver; the same bits come
/// out for any number of threads, unless a time limit ends the search. Images that the network gets
/// wrong as they are need no change. Where the monitor cancels the work, the examples whose
/// searches had ended are given.
///
/// # Errors
/// [`SearchError`] where images, labels, target and network don't fit each other.
pub fn search(
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
    indices: &[usize],
    options: &SearchOptions,
    monitor: &dyn Monitor,
) -> Result<Vec<Example>, SearchError> {
    let mut all = Vec::with_capacity(indices.len());
    search_in_blocks(
        network,
        inputs,
        labels,
        indices,
        options,
        monitor,
        |found| {
            all.extend(found.examples);
            Ok::<(), SearchError>(())
        },
    )?;
    Ok(all)
}

/// The examples of some images, and these images.
#[derive(Debug)]
pub struct Block {
    /// In the order of the images.
    pub examples: Vec<Example>,
    /// The original image of each example, one after the other.
    pub originals: Vec<f32>,
}

/// The same as [`search`], some images at a time: memory does not grow with their number. `take`
/// is given each block as it is done, in order.
///
/// # Errors
/// [`SearchError`] where images, labels, target and network don't fit each other, what `take`
/// fails with.
pub fn search_in_blocks<E: From<SearchError>>(
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
    indices: &[usize],
    options: &SearchOptions,
    monitor: &dyn Monitor,
    mut take: impl FnMut(Block) -> Result<(), E>,
) -> Result<(), E> {
    let length = network.input_len();
    let ranges = check(network, inputs, indices, options)?;
    let rooms = Rooms::new(&ranges);
    let deadline = options.time_limit.map(|seconds| {
        let limit = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let now = Instant::now();
        now.checked_add(limit)
            .unwrap_or(now + Duration::from_secs(1 << 30))
    });
    let most = (BLOCK_MEMORY / (2 * size_of::<f32>() * length.max(1))).clamp(1, BLOCK);
    let least = rayon::current_num_threads().min(most);
    let values: usize = network.graph().values().iter().map(|v| v.len()).sum();
    let mut pace = Pace::new(FIRST_VALUES / values.max(1), least..=most);
    let (mut rest, mut done) = (indices, 0);
    monitor.begin("search", indices.len() as u64);
    while !rest.is_empty() {
        let indices = pace.take(&mut rest);
        let part = Part::new(monitor, done, indices.len());
        let watch = Watch {
            monitor: &part,
            deadline,
        };
        if done > 0 && watch.over() {
            break;
        }
        let originals = originals(&ranges, network, inputs, labels, indices)?;
        let mut found = block(network, originals, labels, indices, options, &rooms, watch);
        for example in &mut found.examples {
            example.index = inputs.index(example.position);
        }
        take(found)?;
        done += indices.len();
        monitor.progress(done as u64, "");
        pace.done();
    }
    monitor.end();
    Ok(())
}

/// Images that are held at a time at most, and bytes that they and their examples may take.
const BLOCK: usize = 4096;
const BLOCK_MEMORY: usize = 256 << 20;
/// Values that a network may compute for a first block's images, all in all.
const FIRST_VALUES: usize = 1 << 28;
/// Searches from some images.
fn block(
    network: &Network<f32>,
    originals: Vec<f32>,
    labels: &[usize],
    indices: &[usize],
    options: &SearchOptions,
    rooms: &Rooms<'_>,
    watch: Watch<'_>,
) -> Block {
    let (length, classes) = (network.input_len(), network.output_len());
    let image = |i: usize| &originals[i * length..(i + 1) * length];
    let logits = batch::logits(network, &originals);
    let rows: Vec<&[f32]> = logits.chunks_exact(classes).collect();
    let mut examples: Vec<Option<Example>> = indices
        .iter()
        .enumerate()
        .map(|(i, &position)| {
            let (label, before) = (labels[position], argmax(rows[i]));
            // An image of the target class has no wrong answer to look for.
            let searched = options.target != Target::Class(label);
            let already_misclassified = options.wrong(label, rows[i]);
            searched.then(|| Example {
                position,
                // The caller knows the data set.
                index: position,
                label,
                target: before,
                prediction_before: before,
                prediction: before,
                already_misclassified,
                success: already_misclassified,
                adversarial: image(i).to_vec(),
                l2: 0.0,
                evaluations: 0,
                gradients: 0,
                kkt_residual: 0.0,
            })
        })
        .collect();

    // What to search: an image, a goal. An image with several goals keeps its smallest change.
    let mut tasks: Vec<usize> = Vec::new();
    let mut starts: Vec<Start<'_>> = Vec::new();
    for (i, example) in examples.iter().enumerate() {
        let Some(example) = example
            .as_ref()
            .filter(|example| !example.already_misclassified)
        else {
            continue;
        };
        let room = rooms.of(image(i));
        for goal in goals(options, example.label, example.position, rows[i]) {
            tasks.push(i);
            starts.push(Start {
                original: image(i),
                goal,
                room: Arc::clone(&room),
                limit: options.max_evaluations.unwrap_or(u64::MAX),
            });
        }
    }
    watch.monitor.begin("search", starts.len() as u64);
    let found = method::run(network, &starts, options, watch);

    let cancelled = watch.monitor.cancelled();
    let mut begun = vec![true; examples.len()];
    for (&i, found) in tasks.iter().zip(&found) {
        // An image that was not searched through is no example, unless time was limited.
        begun[i] &= found.is_some() || !cancelled;
    }
    for i in tasks.chunk_by(|a, b| a == b).map(|same| same[0]) {
        let mut of_image = tasks.iter().zip(&found).filter(|&(&task, _)| task == i);
        begun[i] &= of_image.any(|(_, found)| found.is_some());
    }
    for ((&i, start), found) in tasks.iter().zip(&starts).zip(found) {
        let (Some(example), Some((changed, effort))) = (&mut examples[i], found) else {
            continue;
        };
        example.evaluations += effort.forward;
        example.gradients += effort.gradient;
        let wanted = match start.goal.aim {
            Aim::Become(target) => Some(target),
            Aim::Leave { .. } => None,
        };
        let l2 = changed
            .as_ref()
            .map(|changed| norm(start.original, changed));
        if example.l2 == 0.0 || l2.is_some_and(|l2| l2 < example.l2) {
            example.target = wanted.unwrap_or(example.target);
            if let (Some(l2), Some(changed)) = (l2, changed) {
                (example.l2, example.adversarial) = (l2, changed);
            }
        }
    }
    let (kept, mut examples): (Vec<usize>, Vec<Example>) = examples
        .into_iter()
        .enumerate()
        .filter_map(|(i, example)| Some((i, example.filter(|_| begun[i])?)))
        .unzip();
    verify::verify(network, options, &mut examples, |position| {
        let original = image(kept[position]);
        (original, rooms.of(original))
    });
    let mut held = Vec::with_capacity(kept.len() * length);
    for &i in &kept {
        held.extend_from_slice(image(i));
    }
    Block {
        examples,
        originals: held,
    }
}

/// The goals of one image.
fn goals(options: &SearchOptions, label: usize, position: usize, logits: &[f32]) -> Vec<Goal> {
    let classes = logits.len();
    let wrong = (0..classes).filter(|&class| class != label);
    let targets: Vec<usize> = match options.target {
        Target::Random => {
            let draw = Stream::new(options.seed, "target", position).below(classes - 1);
            vec![draw + usize::from(draw >= label)]
        }
        Target::Nearest => {
            let nearest = wrong.reduce(|best, class| {
                if logits[class] > logits[best] {
                    class
                } else {
                    best
                }
            });
            nearest.into_iter().collect()
        }
        Target::All if options.method != Method::Sqp && options.criterion.top_k == 1 => {
            wrong.collect()
        }
        Target::Class(class) => vec![class],
        // On the boundary to a rival, that rival leads: one search compares them all.
        Target::All | Target::Untargeted => return vec![options.goal(label, label)],
    };
    let confidence = options.criterion.confidence;
    let goal = |target| Goal {
        aim: Aim::Become(target),
        confidence,
    };
    targets.into_iter().map(goal).collect()
}

/// Finds out whether options, images and network fit; gives the range of each input value.
fn check(
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    indices: &[usize],
    options: &SearchOptions,
) -> Result<Bounds, SearchError> {
    let (classes, length, bounds) = (network.output_len(), inputs.input_len(), options.input_box);
    if !(bounds.lower < bounds.upper && bounds.lower.is_finite() && bounds.upper.is_finite()) {
        return Err(SearchError::InputBox(bounds));
    }
    if network.input_len() != length {
        return Err(SearchError::Size {
            network: network.input_len(),
            image: length,
        });
    }
    if indices.is_empty() {
        return Err(SearchError::Empty);
    }
    if !(2..=1 << 24).contains(&classes) {
        return Err(SearchError::Classes(classes));
    }
    if let Target::Class(target) = options.target {
        is_class("target", target, classes)?;
    }
    let Criterion { top_k, confidence } = options.criterion;
    if !(1..classes).contains(&top_k) {
        return Err(SearchError::TopK { top_k, classes });
    }
    if top_k > 1 && !matches!(options.target, Target::All | Target::Untargeted) {
        return Err(SearchError::TopKOfTarget(top_k));
    }
    if !(confidence >= 0.0 && confidence.is_finite()) {
        return Err(SearchError::Confidence(confidence));
    }
    if let Some(limit) = options
        .time_limit
        .filter(|limit| limit.is_nan() || *limit <= 0.0)
    {
        return Err(SearchError::TimeLimit(limit));
    }
    let ranges = match &options.bounds {
        Some(ranges) => Bounds::clone(ranges),
        None => Bounds::within(bounds, length),
    };
    ranges.check(length)?;
    Ok(ranges)
}

fn is_class(what: &'static str, class: usize, classes: usize) -> Result<(), SearchError> {
    match class < classes {
        true => Ok(()),
        false => Err(SearchError::Class {
            what,
            class,
            classes,
        }),
    }
}

/// The images to search from, one after the other, checked.
fn originals(
    ranges: &Bounds,
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
    indices: &[usize],
) -> Result<Vec<f32>, SearchError> {
    let length = network.input_len();
    let mut values = vec![0.0; indices.len() * length];
    for (&position, image) in indices.iter().zip(values.chunks_exact_mut(length)) {
        is_class("label", labels[position], network.output_len())?;
        inputs.read(position, image)?;
        if let Some((place, bounds)) = ranges.outside(image) {
            return Err(SearchError::Outside {
                index: inputs.index(position),
                value: image[place],
                bounds,
            });
        }
    }
    Ok(values)
}
