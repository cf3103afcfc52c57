//! Smallest adversarial perturbations: the search of the paper's section 4.1, done better, and
//! published attacks to compare it with.
//!
//! [`Attack`] is the front door; [`search`] and its variants are what it opens.
//!
//! ```
//! use blindspot::classifier::FnClassifier;
//! use blindspot::inputs::InMemory;
//! use blindspot::search::Attack;
//!
//! // Two classes of points of the unit square; the boundary between them is x = y.
//! let classifier = FnClassifier::new(
//!     &[2],
//!     2,
//!     |inputs: &[f32]| Ok(inputs.to_vec()),
//!     |_inputs: &[f32], output_gradients: &[f32]| Ok(output_gradients.to_vec()),
//! );
//! let images = InMemory::new(vec![0.9, 0.5, 0.25, 0.75], 2);
//! let labels = [0, 1];
//!
//! let examples = Attack::sqp().untargeted().run_on(&classifier, &images, &labels)?;
//! // The distance to the boundary is |x - y| / sqrt(2).
//! assert!((examples[0].l2 - 0.4 / 2f64.sqrt()).abs() < 1e-4);
//! assert!((examples[1].l2 - 0.5 / 2f64.sqrt()).abs() < 1e-4);
//! assert_eq!(examples[1].prediction, 0);
//! # Ok::<(), blindspot::search::SearchError>(())
//! ```
//!
//! # The problem
//!
//! A classifier gives an input x outputs f(x), one for each class. The search looks for
//!
//! ```text
//! minimise |delta|_2   subject to   margin(x + delta) > 0,   lower <= x + delta <= upper
//! ```
//!
//! The [margin](Objective::margin) is the lead of the wanted class over the strongest other, or of
//! the strongest other class over the label where any wrong answer will do; less a confidence, if
//! one is asked for. It is a minimum or a maximum of differences `f_up - f_down`, one for each
//! class that competes.
//!
//! # The linearised problem
//!
//! [`Method::Sqp`] is sequential quadratic programming. At the iterate delta each difference that
//! counts is replaced by its tangent, with the normal `a_j`, the gradient of `f_up - f_down` with
//! respect to the input. The next iterate is the smallest perturbation, seen from the original
//! itself, that satisfies these linearised constraints:
//!
//! ```text
//! minimise |r|^2 / 2   subject to   a_j . r >= b_j  for each j,   lower <= x + r <= upper
//! with b_j = aim - margin_j(x + delta) + a_j . delta
//! ```
//!
//! Its fixed points are the points of the boundary that are locally nearest to x. `aim` is a margin
//! that rounding can't undo. Of runner-ups that could take the label's place, the ones with the
//! nearest linearised boundaries are searched, each for itself, and the nearest result counts.
//!
//! # Its dual
//!
//! For given multipliers m >= 0 the minimiser is `r(m) = clamp(sum_j m_j a_j)`, clamped to the box
//! around x, value by value. The dual
//!
//! ```text
//! d(m) = |r(m)|^2 / 2 + sum_j m_j (b_j - a_j . r(m))
//! ```
//!
//! is concave, with the violations `b_j - a_j . r(m)` for its gradient. Mostly one constraint is
//! active: then `a . r(m)` is piecewise linear and rises with m, and Newton's iteration on the one
//! variable ends after finitely many steps. Several constraints are solved by projected Newton
//! ascent in the active multipliers, on the values that the box lets move.
//!
//! # Anderson's acceleration
//!
//! The iteration delta -> r takes no notice of the boundary's curvature, and where that is strong
//! it converges slowly or not at all. With the residuals `g_k = r_k - delta_k` of the last steps,
//! Anderson's acceleration (Anderson 1965; Walker and Ni 2011, type II) goes to
//!
//! ```text
//! r_k - sum_i w_i (r_{i+1} - r_i)   with w minimising   |g_k - sum_i w_i (g_{i+1} - g_i)|
//! ```
//!
//! over the last four differences, which is a secant approximation of the curvature. A long step to
//! a point with a worse merit, `|delta|^2 / 2 + weight * violation`, is halved.
//!
//! # Kinks
//!
//! ReLUs and max pooling give the boundary kinks, at which the nearest point often lies; the
//! linearised problem then goes from one facet to another and back. Where steps stay long, the
//! search decouples direction and norm instead (after Rony et al. 2019): the perturbation turns
//! towards the gradient on a sphere, whose radius shrinks where the margin is positive and grows
//! where it is not, with steps relative to the radius. From the best point so found the linearised
//! steps are tried once more.
//!
//! At the end the best point is moved along its ray to the boundary, by the secant method.
//!
//! # Verification
//!
//! Each example is evaluated again; it is a [success](Example::success) if its margin in `f64`
//! exceeds the [rounding noise](crate::rounding) of `f32` there, or of a coarser format where the
//! classifier is used in that, and the outputs that its users see agree. Its [KKT residual](Example::kkt_residual) is, as a fraction of |delta|,
//!
//! ```text
//! min over m >= 0 of | delta - clamp(sum_j m_j a_j) |
//! ```
//!
//! over the constraints active at the example: the natural residual of the Karush-Kuhn-Tucker
//! conditions. It is 0 where the perturbation is locally smallest to first order, and tells nothing
//! of other local minima: [certificates](crate::certify) do.
//!
//! # The paper's search
//!
//! [`Method::Lbfgs`] minimises `c |delta|^2 + loss(x + delta, l)` in the box by L-BFGS, with a line
//! search on c for the smallest perturbation that makes the classifier answer l. The sequential
//! quadratic programming falls back on it where it finds nothing.

#[cfg(test)]
mod against_attacks;
mod aimed;
mod attack;
pub mod attacks;
mod batch;
mod block;
mod bounds;
mod columns;
mod constant;
mod eight_bit;
mod error;
mod example;
#[cfg(test)]
mod halfspace;
mod integer;
mod iterate;
mod levels;
mod local;
mod method;
mod norms;
mod objective;
mod options;
mod penalty;
mod perturbation;
mod pipeline;
mod problem;
mod ray;
mod residual;
mod runner_ups;
mod runtime;
mod shared;
mod slp;
mod sparse;
mod sqp;
mod state;
mod target;
mod task;
#[cfg(test)]
mod tests;
mod vectors;
mod verify;
#[cfg(test)]
mod within_budgets;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

pub use attack::Attack;
pub use attacks::AttackMethod;
pub use bounds::{Bounds, BoundsError};
pub(crate) use columns::Surroundings;
pub use eight_bit::{EightBit, eight_bit};
pub use error::SearchError;
pub use example::{Block, Example};
pub use iterate::Iterate;
pub use method::Method;
pub use norms::{Grouping, Norm};
pub use objective::{Goal, Objective};
pub use options::SearchOptions;
pub(crate) use options::{MAX_CLASSES, check_class};
pub use perturbation::norm;
pub use shared::search_over;
pub use target::{Criterion, Target};

use blindspot_data::Columns;
use blindspot_model::classifier::Classifier;
use blindspot_model::inputs::Inputs;
use blindspot_run::BlockSizer;
use blindspot_run::monitor::{BlockProgress, Monitor};
use block::{Originals, Searcher};
use bounds::FeasibleBoxes;
use pipeline::MakeMethod;
use runtime::Runtime;
use task::StopCondition;

/// Images that are held at a time at most.
const MAX_BLOCK: usize = 4096;
/// Bytes that the images of a block and their examples may take.
const BLOCK_MEMORY: usize = 256 << 20;

/// Finds the smallest perturbation for the images at `positions` of a set; `labels` are the true
/// classes of the whole set.
///
/// Images of a fixed target class are left out. Images that are misclassified already need no
/// perturbation. Each image has its own solver; the same bits come out for any number of threads,
/// unless a time limit ends the search. Where the monitor cancels the work, the examples whose
/// searches had ended are given.
///
/// # Errors
/// [`SearchError`] where images, labels, target and classifier don't fit each other, or the
/// classifier fails.
pub fn search(
    classifier: &dyn Classifier,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
    positions: &[usize],
    options: &SearchOptions,
    monitor: &dyn Monitor,
) -> Result<Vec<Example>, SearchError> {
    let mut all = Vec::with_capacity(positions.len());
    let take = |block: Block| {
        all.extend(block.examples);
        Ok::<(), SearchError>(())
    };
    search_in_blocks(
        classifier, inputs, labels, positions, options, monitor, take,
    )?;
    sort(&mut all, positions);
    Ok(all)
}

/// Finds smallest perturbations as [`search`] does, some images at a time, so that memory does not
/// grow with their number and a kill costs little: a block takes some seconds. `take` is given each
/// block as it is done; images whose searches take long may come later than those after them.
///
/// # Errors
/// [`SearchError`] where images, labels, target and classifier don't fit each other, or the
/// classifier fails; what `take` fails with.
pub fn search_in_blocks<E: From<SearchError>>(
    classifier: &dyn Classifier,
    inputs: &(impl Inputs + ?Sized),
    labels: &[usize],
    positions: &[usize],
    options: &SearchOptions,
    monitor: &dyn Monitor,
    take: impl FnMut(Block) -> Result<(), E>,
) -> Result<(), E> {
    let searcher = searcher(classifier, options, None)?;
    searcher.search_in_blocks(inputs, (labels, positions), monitor, take)
}

/// A searcher with checked options.
fn searcher<'a>(
    classifier: &'a dyn Classifier,
    options: &'a SearchOptions,
    own_method: Option<&'a MakeMethod>,
) -> Result<Searcher<'a>, SearchError> {
    options.check(classifier.classes())?;
    let length = classifier.input_len();
    if let Some(columns) = options.columns.as_ref().map(Columns::inputs)
        && columns != length
    {
        let network = length;
        return Err(SearchError::Columns { columns, network });
    }
    let bounds = options.bounds_for(length);
    bounds.check(length)?;
    Ok(Searcher {
        classifier,
        runtime: Runtime::of(classifier)?,
        options,
        own_method,
        boxes: FeasibleBoxes::new(bounds),
        begin: None,
        lattice: None,
    })
}

impl Searcher<'_> {
    /// Searches from images of a set with their true classes, block by block. A block that takes long
    /// is cut short: the images whose searches had not ended come last.
    fn search_in_blocks<E: From<SearchError>>(
        &self,
        inputs: &(impl Inputs + ?Sized),
        (labels, positions): (&[usize], &[usize]),
        monitor: &dyn Monitor,
        mut take: impl FnMut(Block) -> Result<(), E>,
    ) -> Result<(), E> {
        self.check_images(inputs, labels, positions)?;
        let length = self.classifier.input_len();
        let deadline = self.options.time_limit.map(deadline);
        let most = (BLOCK_MEMORY / (2 * size_of::<f32>() * length.max(1))).clamp(1, MAX_BLOCK);
        // An image on each thread, or what the classifier evaluates at once, takes as long as one.
        let least = match self.classifier.one_batch() {
            Some(batch) => batch.max(1),
            None => rayon::current_num_threads(),
        };
        let least = least.min(most);
        let mut sizer = BlockSizer::new(least..=most);
        // An image of the target class has no wrong answer to look for.
        let searched = |&at: &usize| self.options.target != Target::Class(labels[at]);
        let mut left: Vec<usize> = positions.iter().copied().filter(searched).collect();
        let all = left.len();
        monitor.begin("search", all as u64);
        while !left.is_empty() {
            let before = all - left.len();
            let positions = sizer.next_block(&mut left);
            let part = BlockProgress::new(monitor, before, positions.len());
            let part = part.cut_at(sizer.cut(positions.len()));
            let originals = Originals {
                values: self.read(inputs, labels, &positions)?,
                positions: &positions,
                indices: positions.iter().map(|&at| inputs.index(at)).collect(),
                labels,
            };
            let stop = StopCondition {
                monitor: &part,
                deadline,
            };
            let block = self.search(&originals, stop).map_err(SearchError::from)?;
            let ended: HashSet<usize> = block.examples.iter().map(|e| e.position).collect();
            take(block)?;
            if monitor.cancelled() || stop.timed_out() {
                break;
            }
            left.extend(positions.iter().filter(|&at| !ended.contains(at)));
            monitor.progress((all - left.len()) as u64, "");
            sizer.block_done(ended.len());
        }
        monitor.end();
        Ok(())
    }

    /// Checks that images, labels and classifier fit each other.
    fn check_images(
        &self,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        positions: &[usize],
    ) -> Result<(), SearchError> {
        let (model, image) = (self.classifier.input_len(), inputs.input_len());
        if model != image {
            return Err(SearchError::Size {
                network: model,
                image,
            });
        }
        if positions.is_empty() {
            return Err(SearchError::Empty);
        }
        if labels.len() != inputs.len() {
            return Err(SearchError::Labels {
                labels: labels.len(),
                images: inputs.len(),
            });
        }
        let labels: Vec<usize> = positions.iter().map(|&position| labels[position]).collect();
        self.options
            .check_labels(self.classifier.classes(), &labels)
    }

    /// The images to search from, one after the other, checked.
    fn read(
        &self,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        positions: &[usize],
    ) -> Result<Vec<f32>, SearchError> {
        let length = self.classifier.input_len();
        let mut values = vec![0.0; positions.len() * length];
        for (&position, image) in positions.iter().zip(values.chunks_exact_mut(length)) {
            if self.options.goal.is_none() {
                check_class("label", labels[position], self.classifier.classes())?;
            }
            inputs.read(position, image)?;
            if let Some((place, bounds)) = self.boxes.bounds().outside(image) {
                return Err(SearchError::Outside {
                    index: inputs.index(position),
                    value: image[place],
                    bounds,
                });
            }
        }
        Ok(values)
    }
}

/// Puts examples into the order of the positions that were searched.
fn sort(examples: &mut [Example], positions: &[usize]) {
    let place: HashMap<usize, usize> = positions.iter().copied().zip(0..).collect();
    examples.sort_by_key(|example| place[&example.position]);
}

/// The end of a time of this many seconds from now.
fn deadline(seconds: f64) -> Instant {
    let limit = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let now = Instant::now();
    now.checked_add(limit)
        .unwrap_or(now + Duration::from_secs(1 << 30))
}
