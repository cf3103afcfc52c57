//! What a file of 8-bit values keeps of an example: the search on the lattice of such files.
//!
//! Rounding a change that ends on the decision boundary often undoes it, because most of its values
//! are smaller than half a level. Minimising |r|^2 under a linear constraint over whole levels has
//! the Lagrangian answer r = round(a g), g the constraint's gradient; and the example found in
//! floats is, as far as it is a local minimum, a multiple of that gradient (cut to the box). So the
//! change is stretched, then rounded, and the smallest stretch is searched for with which the
//! rounded image succeeds. Where none does, the lattice is searched step by step
//! ([`lattice`](super::lattice)).

use std::sync::Arc;

use blindspot_net::{Evaluator, Network, argmax};
use rayon::prelude::*;

use super::batch::Watch;
use super::change::{SAFETY, norm, size};
use super::goal::Goal;
use super::lattice::Lattice;
use super::ranges::{Bounds, Room, Rooms};
use super::{Example, InputBox, SearchError, SearchOptions, batch};
use crate::run::monitor::Monitor;

/// The last stretch that is tried.
const LONGEST: f64 = 64.0;
/// From one stretch that fails to the next.
const GROWTH: f64 = 1.4;
/// Halvings between a stretch that fails and one that succeeds.
const HALVINGS: usize = 8;

/// An example as a file of 8-bit values holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct EightBit {
    /// The changed image, 255 standing for 1, in the order of the input's values.
    pub levels: Vec<u8>,
    /// What the network answers to it, read back.
    pub prediction: usize,
    /// True where that is what was asked for, in `f32` and `f64`.
    pub success: bool,
    /// Whether rounding the example was enough.
    pub rounded: bool,
    /// L2 norm of the change.
    pub l2: f64,
}

impl EightBit {
    /// Root mean square of the change.
    pub fn distortion(&self) -> f64 {
        self.l2 / (self.levels.len() as f64).sqrt()
    }

    /// The changed image as it is read back: level / 255.
    pub fn values(&self) -> impl Iterator<Item = f32> + '_ {
        self.levels.iter().copied().map(value)
    }
}

/// What a level stands for.
pub(super) fn value(level: u8) -> f32 {
    f32::from(level) / 255.0
}

/// The level that is nearest to the value wanted, and inside the range at a position.
pub(super) fn level(room: &Room, position: usize, wanted: f32) -> u8 {
    // Saturating, and 0 of NaN.
    let nearest = (room.inside(position, wanted) * 255.0).round() as u8;
    let [below, above] = [nearest.saturating_sub(1), nearest.saturating_add(1)];
    match value(nearest) {
        kept if kept > room.upper[position] && value(below) >= room.lower[position] => below,
        kept if kept < room.lower[position] && value(above) <= room.upper[position] => above,
        _ => nearest,
    }
}

/// The same examples on the lattice. `originals` holds their images one after the other.
///
/// Images that were not searched from, or for which nothing was found, are only rounded. An image
/// whose own values are no levels is measured from what it is.
///
/// # Errors
/// [`SearchError::Levels`] where values outside [0, 1] are allowed.
pub fn eight_bit(
    network: &Network<f32>,
    options: &SearchOptions,
    examples: &[Example],
    originals: &[f32],
    monitor: &dyn Monitor,
) -> Result<Vec<EightBit>, SearchError> {
    let length = network.input_len();
    let ranges = match &options.bounds {
        Some(ranges) => Bounds::clone(ranges),
        None => Bounds::within(options.input_box, length),
    };
    let ends = ranges.lower.iter().zip(&ranges.upper);
    if let Some((&lower, &upper)) = ends.into_iter().find(|&(&l, &u)| l < 0.0 || u > 1.0) {
        return Err(SearchError::Levels(InputBox { lower, upper }));
    }
    let rooms = Rooms::new(&ranges);
    let exact = network.cast::<f64>();
    let size = batch::size(&exact);
    monitor.begin("8-bit images", examples.len() as u64);
    let done = std::sync::atomic::AtomicU64::new(0);
    let found: Vec<Vec<EightBit>> = examples
        .par_chunks(size)
        .zip(originals.par_chunks(size * length))
        .map_init(
            || (Evaluator::new(network), Evaluator::new(&exact)),
            |(evaluator, exact), (examples, originals)| {
                let rows = examples.iter().zip(originals.chunks_exact(length));
                let mut searches: Vec<Stretch<'_>> = rows
                    .map(|(example, original)| {
                        Stretch::new(example, original, rooms.of(original), options)
                    })
                    .collect();
                while !monitor.cancelled() && step(evaluator, exact, &mut searches) {}
                let count = examples.len() as u64;
                let before = done.fetch_add(count, std::sync::atomic::Ordering::Relaxed);
                monitor.progress(before + count, "");
                searches.into_iter().map(Stretch::end).collect()
            },
        )
        .collect();
    monitor.end();
    let mut found: Vec<EightBit> = found.into_iter().flatten().collect();
    let images = (examples, originals);
    mend(
        network, &exact, options, images, &rooms, &mut found, monitor,
    );
    Ok(found)
}

/// Searches on where an example was found in floats, and none here.
fn mend(
    network: &Network<f32>,
    exact: &Network<f64>,
    options: &SearchOptions,
    (examples, originals): (&[Example], &[f32]),
    rooms: &Rooms<'_>,
    found: &mut [EightBit],
    monitor: &dyn Monitor,
) {
    let lacking =
        |&i: &usize| examples[i].success && !examples[i].already_misclassified && !found[i].success;
    let failed: Vec<usize> = (0..found.len()).filter(lacking).collect();
    if failed.is_empty() || monitor.cancelled() {
        return;
    }
    let length = network.input_len();
    let goal = |i: usize| options.goal(examples[i].label, examples[i].target);
    let start = |task: usize, _| {
        let i = failed[task];
        let original = &originals[i * length..][..length];
        Lattice::new(original, goal(i), rooms.of(original), examples[i].l2)
    };
    let watch = Watch {
        monitor,
        deadline: None,
    };
    monitor.begin("8-bit images that need more", failed.len() as u64);
    let mended = batch::run(network, failed.len(), start, watch);
    monitor.end();
    let mut exact = Evaluator::new(exact);
    for (&i, mended) in failed.iter().zip(mended) {
        let Some((Some(image), _)) = mended else {
            continue;
        };
        let input = exact.input(1).iter_mut().zip(&image);
        input.for_each(|(place, &value)| *place = value.into());
        let logits = exact.forward();
        if goal(i).margin(logits) > 0.0 {
            found[i] = EightBit {
                levels: image
                    .iter()
                    .map(|value| (value * 255.0).round() as u8)
                    .collect(),
                prediction: argmax(logits),
                success: true,
                rounded: false,
                l2: norm(&originals[i * length..][..length], &image),
            };
        }
    }
}

/// Evaluates the images of all searches that are under way; false where none is.
fn step(
    evaluator: &mut Evaluator<'_, f32>,
    exact: &mut Evaluator<'_, f64>,
    searches: &mut [Stretch<'_>],
) -> bool {
    let mut active: Vec<&mut Stretch<'_>> = searches.iter_mut().filter(|s| !s.over).collect();
    if active.is_empty() {
        return false;
    }
    let classes = evaluator.network().output_len();
    let length = evaluator.network().input_len();
    let input = evaluator.input(active.len());
    let wide = exact.input(active.len());
    let places = input.chunks_exact_mut(length);
    for ((search, place), wide) in active.iter().zip(places).zip(wide.chunks_exact_mut(length)) {
        for ((&level, place), wide) in search.levels.iter().zip(place).zip(wide) {
            *place = value(level);
            *wide = f64::from(*place);
        }
    }
    let answers = evaluator.forward().chunks_exact(classes);
    let exact = exact.forward().chunks_exact(classes);
    for ((search, answer), exact) in active.iter_mut().zip(answers).zip(exact) {
        search.take(answer, exact);
    }
    true
}

/// The search for the smallest stretch that succeeds.
struct Stretch<'a> {
    example: &'a Example,
    original: &'a [f32],
    room: Arc<Room>,
    goal: Goal,
    /// The stretch that was rounded to `levels`.
    stretch: f64,
    levels: Vec<u8>,
    fails: f64,
    succeeds: Option<f64>,
    halvings: usize,
    best: Option<EightBit>,
    /// The rounded example as it is.
    plain: Option<EightBit>,
    over: bool,
}

impl<'a> Stretch<'a> {
    fn new(
        example: &'a Example,
        original: &'a [f32],
        room: Arc<Room>,
        options: &SearchOptions,
    ) -> Self {
        let mut search = Stretch {
            example,
            original,
            room,
            goal: options.goal(example.label, example.target),
            stretch: 1.0,
            levels: vec![0; original.len()],
            fails: 0.0,
            succeeds: None,
            halvings: 0,
            best: None,
            plain: None,
            over: false,
        };
        search.round();
        search
    }

    /// The levels of the stretched change.
    fn round(&mut self) {
        let stretch = self.stretch as f32;
        let values = self.original.iter().zip(&self.example.adversarial);
        for (i, (place, (&from, &to))) in self.levels.iter_mut().zip(values).enumerate() {
            *place = level(&self.room, i, from + stretch * (to - from));
        }
    }

    fn take(&mut self, answer: &[f32], exact: &[f64]) {
        let clear =
            self.goal.margin(answer) > SAFETY * size(answer) && self.goal.margin(exact) > 0.0;
        let searched = self.example.success && !self.example.already_misclassified;
        let after = argmax(answer);
        let found = EightBit {
            levels: self.levels.clone(),
            prediction: after,
            success: clear || self.example.already_misclassified && after != self.example.label,
            rounded: self.stretch == 1.0,
            l2: self.levels_norm(),
        };
        if self.plain.is_none() {
            self.plain = Some(found.clone());
        }
        if clear {
            self.succeeds = Some(self.stretch);
            if self.best.as_ref().is_none_or(|best| found.l2 < best.l2) {
                self.best = Some(found);
            }
        } else {
            self.fails = self.stretch;
        }
        match self.succeeds {
            _ if !searched => self.over = true,
            None => {
                self.stretch *= GROWTH;
                self.over = self.stretch > LONGEST;
            }
            Some(succeeds) => {
                self.stretch = 0.5 * (self.fails + succeeds);
                self.halvings += 1;
                self.over = self.halvings > HALVINGS;
            }
        }
        if !self.over {
            self.round();
        }
    }

    fn levels_norm(&self) -> f64 {
        let changed: Vec<f32> = self.levels.iter().copied().map(value).collect();
        norm(self.original, &changed)
    }

    fn end(self) -> EightBit {
        let rounded = self.plain.as_ref().is_some_and(|plain| plain.success);
        let cancelled = EightBit {
            levels: self.levels,
            prediction: self.example.prediction,
            success: false,
            rounded: false,
            l2: 0.0,
        };
        let mut kept = self.best.or(self.plain).unwrap_or(cancelled);
        kept.rounded = rounded;
        kept
    }
}
