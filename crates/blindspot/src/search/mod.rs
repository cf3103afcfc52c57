//! Section 4.1: the blind-spot search, for the smallest change that makes the network answer a
//! chosen class.

mod anderson;
mod batch;
mod change;
mod cuts;
mod goal;
#[cfg(test)]
mod halfspace;
mod method;
mod penalty;
mod sqp;
#[cfg(test)]
mod tests;
mod verify;

use blindspot_net::{Network, argmax};
use serde::{Deserialize, Serialize};

pub use change::{InputBox, norm};
pub use goal::Target;
pub use method::Method;

use crate::inputs::{InMemory, Inputs};
use crate::monitor::Monitor;
use crate::random::Stream;
use crate::train::outputs;
use goal::Goal;

/// What is searched for, and where.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SearchOptions {
    /// The class that the network is to answer.
    pub target: Target,
    /// Where random targets come from.
    pub seed: u64,
    /// The valid range of the input's values.
    pub bounds: InputBox,
    /// How it is searched for.
    pub method: Method,
    /// Whether the change that [`Method::Lbfgs`] finds is shrunk along its ray to the decision
    /// boundary. The paper's search ends at the minimiser of the penalised loss, somewhat behind
    /// it; [`Method::Sqp`] ends on the boundary by itself.
    pub shrink: bool,
    /// Evaluations of the network for each search at most; the best so far is kept.
    pub max_evaluations: Option<u64>,
}

/// An image and the smallest change found that makes the network answer the target.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Position in the data set.
    pub index: usize,
    /// The true class.
    pub label: usize,
    /// The class that the network was to answer; of an image already wrong, what it answers.
    pub target: usize,
    /// What the network answers to the original.
    pub before: usize,
    /// What it answers to the changed image.
    pub after: usize,
    /// True where the network answers the target to the changed image, evaluated again on that
    /// image in `f32` and in `f64`.
    pub success: bool,
    /// The changed image, in the box; the original itself where nothing was found or needed.
    pub adversarial: Vec<f32>,
    /// L2 norm of the change.
    pub l2: f64,
    /// Evaluations of the network and its gradient, over all targets tried.
    pub evaluations: u64,
    /// How far from locally smallest the change can be, over its L2 norm: the distance to the
    /// nearest point of the box that answers as asked, were the network linear around the changed
    /// image (the natural residual of the Karush-Kuhn-Tucker conditions, in `f64`). 0 at a local
    /// minimum; 0 where nothing was changed.
    pub kkt: f64,
}

impl Example {
    /// True where the network gets the original wrong: there is nothing to change.
    pub fn already_wrong(&self) -> bool {
        self.before != self.label
    }

    /// Root mean square of the change.
    pub fn distortion(&self) -> f64 {
        self.l2 / (self.adversarial.len() as f64).sqrt()
    }
}

/// Why a search can't begin.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// Images and network don't fit.
    #[error("the network takes {network} values, an image has {image}; choose other data")]
    Size {
        /// Values of the network's input.
        network: usize,
        /// Values of an image.
        image: usize,
    },
    /// There is no image.
    #[error("there is no image to search from; ask for at least one")]
    Empty,
    /// A network without a choice.
    #[error("the network has {0} classes; a search takes at least 2 and at most 2^24")]
    Classes(usize),
    /// A label or target is not one of the network's classes.
    #[error("{what} {class} is not one of the network's {classes} classes, 0 to {}", classes - 1)]
    Class {
        /// `label` or `target`.
        what: &'static str,
        /// The class.
        class: usize,
        /// How many classes the network has.
        classes: usize,
    },
    /// An image is outside of the box.
    #[error(
        "image {index} has the value {value}, outside of the box [{}, {}]; scale the images or \
         choose another box", bounds.lower, bounds.upper
    )]
    Outside {
        /// Position in the data set.
        index: usize,
        /// The value.
        value: f32,
        /// The box.
        bounds: InputBox,
    },
    /// The box holds nothing.
    #[error("[{}, {}] is no box: give a lower and a higher finite number", .0.lower, .0.upper)]
    Box(InputBox),
}

/// Finds the smallest change for images `indices` of a set with their true classes.
///
/// Images of a fixed target class are left out. Each image has its own solver; the same bits come
/// out for any number of threads. Images that the network gets wrong as they are need no change. Where the monitor cancels the work, the
/// examples whose searches had ended are given.
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
    let classes = network.output_len();
    let originals = originals(network, inputs, labels, indices, options)?;
    let logits = outputs(network, &originals);
    let rows: Vec<&[f32]> = logits.values().chunks_exact(classes).collect();
    let image = |i: usize| {
        let length = originals.input_len();
        &originals.values()[i * length..(i + 1) * length]
    };

    // What to search: an image, a goal. An image with several goals keeps its smallest change.
    let mut tasks: Vec<(usize, Goal)> = Vec::new();
    for (i, &index) in indices.iter().enumerate() {
        let label = labels[index];
        if argmax(rows[i]) == label && options.target != Target::Class(label) {
            let goals = goals(options, label, index, rows[i]);
            tasks.extend(goals.into_iter().map(|goal| (i, goal)));
        }
    }
    monitor.begin("search", tasks.len() as u64);
    let starts: Vec<(&[f32], Goal)> = tasks.iter().map(|&(i, goal)| (image(i), goal)).collect();
    let found = method::run(network, &starts, options, monitor);
    monitor.end();

    let mut examples: Vec<Option<Example>> = indices
        .iter()
        .enumerate()
        .map(|(i, &index)| {
            let (label, before) = (labels[index], argmax(rows[i]));
            // An image of the target class has no wrong answer to look for.
            let searched = options.target != Target::Class(label);
            searched.then(|| Example {
                index,
                label,
                target: before,
                before,
                after: before,
                success: before != label,
                adversarial: image(i).to_vec(),
                l2: 0.0,
                evaluations: 0,
                kkt: 0.0,
            })
        })
        .collect();
    for (&(i, goal), found) in tasks.iter().zip(found) {
        let Some((changed, evaluations)) = found else {
            // Cancelled: an image that is not searched through is not an example.
            examples[i] = None;
            continue;
        };
        let Some(example) = &mut examples[i] else {
            continue;
        };
        example.evaluations += evaluations;
        if let Goal::Become(target) = goal
            && example.l2 == 0.0
        {
            example.target = target;
        }
        let Some(changed) = changed else { continue };
        let l2 = norm(image(i), &changed);
        if example.l2 == 0.0 || l2 < example.l2 {
            example.l2 = l2;
            example.adversarial = changed;
            if let Goal::Become(target) = goal {
                example.target = target;
            }
        }
    }
    let (kept, mut examples): (Vec<usize>, Vec<Example>) = examples
        .into_iter()
        .enumerate()
        .filter_map(|(i, example)| Some((i, example?)))
        .unzip();
    verify::verify(network, options, &mut examples, |position| {
        image(kept[position])
    });
    Ok(examples)
}

/// The goals of one image.
fn goals(options: &SearchOptions, label: usize, index: usize, logits: &[f32]) -> Vec<Goal> {
    let classes = logits.len();
    let wrong = (0..classes).filter(|&class| class != label);
    match options.target {
        Target::Random => {
            let draw = Stream::new(options.seed, "target", index).below(classes - 1);
            vec![Goal::Become(draw + usize::from(draw >= label))]
        }
        Target::Nearest => {
            let nearest = wrong.reduce(|best, class| {
                if logits[class] > logits[best] {
                    class
                } else {
                    best
                }
            });
            nearest.map(Goal::Become).into_iter().collect()
        }
        // On the boundary to a rival, that rival leads: one search compares them all.
        Target::All if options.method == Method::Sqp => vec![Goal::Leave(label)],
        Target::All => wrong.map(Goal::Become).collect(),
        Target::Class(class) => vec![Goal::Become(class)],
        Target::Untargeted => vec![Goal::Leave(label)],
    }
}

/// The images to search from, checked.
fn originals(
    network: &Network<f32>,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
    indices: &[usize],
    options: &SearchOptions,
) -> Result<InMemory, SearchError> {
    let (classes, length, bounds) = (network.output_len(), inputs.input_len(), options.bounds);
    if !(bounds.lower < bounds.upper && bounds.lower.is_finite() && bounds.upper.is_finite()) {
        return Err(SearchError::Box(bounds));
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
    let class = |what, class| match class < classes {
        true => Ok(()),
        false => Err(SearchError::Class {
            what,
            class,
            classes,
        }),
    };
    if let Target::Class(target) = options.target {
        class("target", target)?;
    }
    let mut values = vec![0.0; indices.len() * length];
    for (&index, image) in indices.iter().zip(values.chunks_exact_mut(length)) {
        class("label", labels[index])?;
        inputs.write(index, image);
        let inside = |value: &&f32| (bounds.lower..=bounds.upper).contains(*value);
        if let Some(&value) = image.iter().find(|value| !inside(value)) {
            return Err(SearchError::Outside {
                index,
                value,
                bounds,
            });
        }
    }
    Ok(InMemory::new(values, length))
}
