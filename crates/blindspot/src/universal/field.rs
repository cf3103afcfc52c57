//! The margins of all images at one perturbation, and the way in which the perturbation raises them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use blindspot_model::InputBox;
use blindspot_model::classifier::{CheckedEvaluator, Classifier, ClassifierError};
use blindspot_model::inputs::InMemory;
use blindspot_run::monitor::Monitor;
use rayon::prelude::*;

use super::options::UniversalOptions;

/// Images evaluated at once, at most: the order of the sums over images follows from it.
const CHUNK: usize = 32;
/// Parts of a step's images, as chunks of their own.
const PARTS: usize = 4;
/// Temperatures by which an image fools well enough.
const ENOUGH: f64 = 5.0;
/// Chunks of each thread between two looks at whether the work should stop.
const CHUNKS: usize = 4;
/// Bytes that one thread's activations may take.
const THREAD_MEMORY: usize = 256 << 20;

/// What ends the work early.
pub(super) struct Limits<'a> {
    pub(super) monitor: &'a dyn Monitor,
    pub(super) deadline: Option<Instant>,
}

impl Limits<'_> {
    pub(super) fn reached(&self) -> bool {
        self.monitor.cancelled() || self.timed_out()
    }

    pub(super) fn timed_out(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// Images that a classifier gets right, and what is to become of its answers to them.
pub(super) struct Field<'a> {
    pub(super) classifier: &'a dyn Classifier,
    pub(super) images: &'a InMemory,
    pub(super) labels: &'a [usize],
    /// The class that fools; any wrong one where there is none.
    pub(super) target: Option<usize>,
    pub(super) input_box: InputBox,
    pub(super) limits: Limits<'a>,
    /// Images evaluated so far, and images differentiated.
    evaluated: AtomicU64,
    differentiated: AtomicU64,
}

/// How an image's outputs stand to what fools.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Margin {
    /// The lead of the class that fools over the strongest other, in logits: positive where the image fools.
    pub(super) lead: f64,
    /// The class that leads where the image fools, and the one that it has to get ahead of.
    pub(super) up: usize,
    down: usize,
    /// The largest absolute output.
    pub(super) scale: f64,
}

impl Margin {
    /// Of the outputs for an image with this label, at least 2.
    pub(super) fn of(outputs: &[f32], label: usize, target: Option<usize>) -> Margin {
        let strongest_but = |class: usize| {
            let others = (0..outputs.len()).filter(|&other| other != class);
            let larger = |best: usize, other| {
                if outputs[other] > outputs[best] {
                    other
                } else {
                    best
                }
            };
            others.reduce(larger).unwrap_or(class)
        };
        let (up, down) = match target {
            Some(target) => (target, strongest_but(target)),
            None => (strongest_but(label), label),
        };
        Margin {
            lead: f64::from(outputs[up]) - f64::from(outputs[down]),
            up,
            down,
            scale: blindspot_model::rounding::scale(outputs),
        }
    }
}

/// What is raised in place of the number of images that fool: smooth, so that it has a slope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rise {
    /// The chance that an image fools, 1 / (1 + exp(-lead / temperature)): images far from the boundary, on either side,
    /// count little.
    Chance,
    /// The cross entropy, -ln(1 - p), p what a softmax at the temperature gives to what fools: images that fool go on
    /// counting, until their lead is [`ENOUGH`] temperatures, and those that are far from it don't.
    CrossEntropy,
}

/// The slope of the cross entropy by an image's outputs, times the temperature.
fn cross_entropy(
    outputs: &[f32],
    label: usize,
    target: Option<usize>,
    temperature: f64,
    out: &mut [f32],
) {
    let largest = outputs
        .iter()
        .fold(f32::NEG_INFINITY, |most, &y| most.max(y));
    let odds = |y: f32| ((f64::from(y) - f64::from(largest)) / temperature).exp();
    let of = target.unwrap_or(label);
    let own = odds(outputs[of]);
    let others = outputs.iter().enumerate().filter(|&(class, _)| class != of);
    let rest: f64 = others.map(|(_, &y)| odds(y)).sum();
    // Untargeted, the label is what doesn't fool: all others rise by as much as it falls.
    let strength = match target {
        Some(_) => own / (own + rest),
        None => -rest / (own + rest),
    };
    for (class, (out, &y)) in out.iter_mut().zip(outputs).enumerate() {
        let part = if class == of {
            1.0
        } else {
            -odds(y) / rest.max(f64::MIN_POSITIVE)
        };
        *out = (strength * part) as f32;
    }
}

/// What a perturbation does to a batch.
pub(super) struct Slope {
    /// The direction in which the sum over the images rises, one number for each input value. Its length says nothing.
    pub(super) gradient: Vec<f64>,
    /// The sum of the leads' absolute values.
    pub(super) leads: f64,
}

impl<'a> Field<'a> {
    /// Images with their classes, all right.
    pub(super) fn new(
        classifier: &'a dyn Classifier,
        images: &'a InMemory,
        labels: &'a [usize],
        options: &UniversalOptions,
        limits: Limits<'a>,
    ) -> Field<'a> {
        Field {
            classifier,
            images,
            labels,
            target: options.class(),
            input_box: options.input_box,
            limits,
            evaluated: AtomicU64::new(0),
            differentiated: AtomicU64::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Images evaluated so far.
    pub(super) fn evaluations(&self) -> u64 {
        self.evaluated.load(Ordering::Relaxed)
    }

    /// Images differentiated so far.
    pub(super) fn gradients(&self) -> u64 {
        self.differentiated.load(Ordering::Relaxed)
    }

    /// The margins of images at a perturbation, in their order; None where the work is cancelled.
    pub(super) fn margins(
        &self,
        positions: &[usize],
        delta: &[f32],
    ) -> Result<Option<Vec<Margin>>, ClassifierError> {
        let mut margins = Vec::with_capacity(positions.len());
        let at_once = CHUNKS * rayon::current_num_threads() * self.chunk_len();
        for part in positions.chunks(at_once) {
            if self.limits.monitor.cancelled() {
                return Ok(None);
            }
            let found = self.by_chunks(part, |evaluator, chunk| {
                self.place(evaluator.input(chunk.len())?, chunk, delta);
                self.margins_of(evaluator, chunk)
            })?;
            margins.extend(found.into_iter().flatten());
            self.evaluated
                .fetch_add(part.len() as u64, Ordering::Relaxed);
        }
        Ok(Some(margins))
    }

    /// The way in which images of a batch come to fool, at a perturbation.
    pub(super) fn slope(
        &self,
        positions: &[usize],
        delta: &[f32],
        rise: Rise,
        temperature: f64,
    ) -> Result<Slope, ClassifierError> {
        // A step of few images is for several threads, too.
        let length = positions.len().div_ceil(PARTS).min(self.chunk_len());
        let parts = self.by_chunks_of(length, positions, |evaluator, chunk| {
            self.place(evaluator.input(chunk.len())?, chunk, delta);
            let margins = self.margins_of(evaluator, chunk)?;
            let leads: f64 = margins.iter().map(|margin| margin.lead.abs()).sum();
            let by_outputs = match rise {
                Rise::Chance => {
                    let chance = |lead: f64| 1.0 / (1.0 + (-lead / temperature).exp());
                    by_margins(evaluator.classes(), &margins, |margin| {
                        let chance = chance(margin.lead);
                        chance * (1.0 - chance)
                    })
                }
                Rise::CrossEntropy => {
                    let classes = evaluator.classes();
                    let outputs = evaluator.outputs()?.to_vec();
                    let mut by_outputs = vec![0.0; outputs.len()];
                    let rows = outputs
                        .chunks_exact(classes)
                        .zip(by_outputs.chunks_exact_mut(classes));
                    for ((row, out), (margin, &at)) in rows.zip(margins.iter().zip(chunk)) {
                        if margin.lead < ENOUGH * temperature {
                            cross_entropy(row, self.labels[at], self.target, temperature, out);
                        }
                    }
                    by_outputs
                }
            };
            Ok((self.pulled(evaluator, chunk, delta, &by_outputs)?, leads))
        })?;
        self.evaluated
            .fetch_add(positions.len() as u64, Ordering::Relaxed);
        self.differentiated
            .fetch_add(positions.len() as u64, Ordering::Relaxed);
        let mut sum = Slope {
            gradient: vec![0.0; delta.len()],
            leads: 0.0,
        };
        for (gradient, leads) in parts {
            add(&mut sum.gradient, &gradient);
            sum.leads += leads;
        }
        Ok(sum)
    }

    /// The direction in which the margins of images rise for each of some goals, at no perturbation: any wrong class
    /// (`None`), or one.
    pub(super) fn directions(
        &self,
        positions: &[usize],
        goals: &[Option<usize>],
    ) -> Result<Vec<Vec<f64>>, ClassifierError> {
        let delta = vec![0.0; self.images.values().len() / self.len().max(1)];
        let parts = self.by_chunks(positions, |evaluator, chunk| {
            self.place(evaluator.input(chunk.len())?, chunk, &delta);
            let classes = evaluator.classes();
            let outputs = evaluator.outputs()?.to_vec();
            let rows = || outputs.chunks_exact(classes);
            let each = goals.iter().map(|&goal| {
                let margins = rows().zip(chunk);
                let margins = margins.map(|(row, &at)| Margin::of(row, self.labels[at], goal));
                let margins: Vec<Margin> = margins.collect();
                self.pulled(
                    evaluator,
                    chunk,
                    &delta,
                    &by_margins(classes, &margins, |_| 1.0),
                )
            });
            each.collect::<Result<Vec<_>, _>>()
        })?;
        self.evaluated
            .fetch_add(positions.len() as u64, Ordering::Relaxed);
        let gradients = (positions.len() * goals.len()) as u64;
        self.differentiated.fetch_add(gradients, Ordering::Relaxed);
        let mut sums = vec![vec![0.0; delta.len()]; goals.len()];
        for part in parts {
            for (sum, gradient) in sums.iter_mut().zip(part) {
                add(sum, &gradient);
            }
        }
        Ok(sums)
    }

    /// What `work` gives for each chunk of some images, in their order: the same for any number of threads.
    fn by_chunks<R: Send>(
        &self,
        positions: &[usize],
        work: impl Fn(&mut CheckedEvaluator<'_, f32>, &[usize]) -> Result<R, ClassifierError> + Sync,
    ) -> Result<Vec<R>, ClassifierError> {
        self.by_chunks_of(self.chunk_len(), positions, work)
    }

    fn by_chunks_of<R: Send>(
        &self,
        length: usize,
        positions: &[usize],
        work: impl Fn(&mut CheckedEvaluator<'_, f32>, &[usize]) -> Result<R, ClassifierError> + Sync,
    ) -> Result<Vec<R>, ClassifierError> {
        let evaluator = || CheckedEvaluator::new(self.classifier);
        if self.classifier.one_batch().is_some() {
            let mut evaluator = evaluator();
            let chunks = positions.chunks(length);
            return chunks.map(|chunk| work(&mut evaluator, chunk)).collect();
        }
        let chunks = positions.par_chunks(length);
        chunks
            .map_init(evaluator, |evaluator, chunk| work(evaluator, chunk))
            .collect()
    }

    fn chunk_len(&self) -> usize {
        match self.classifier.one_batch() {
            Some(batch) => batch.max(1),
            None => {
                let bytes = size_of::<f32>() * self.classifier.values_per_input();
                (THREAD_MEMORY / bytes.max(1)).clamp(1, CHUNK)
            }
        }
    }

    /// Writes perturbed images.
    fn place(&self, input: &mut [f32], chunk: &[usize], delta: &[f32]) {
        for (place, &at) in input.chunks_exact_mut(delta.len()).zip(chunk) {
            perturb(self.images.input(at), delta, self.input_box, place);
        }
    }

    /// The margins of the images in the evaluator.
    fn margins_of(
        &self,
        evaluator: &mut CheckedEvaluator<'_, f32>,
        chunk: &[usize],
    ) -> Result<Vec<Margin>, ClassifierError> {
        let classes = evaluator.classes();
        let rows = evaluator.outputs()?.chunks_exact(classes).zip(chunk);
        let margins = rows.map(|(row, &at)| Margin::of(row, self.labels[at], self.target));
        Ok(margins.collect())
    }

    /// The sum over images of what has this slope by their outputs, by the perturbation. Where an image is clipped, the
    /// perturbation changes nothing.
    fn pulled(
        &self,
        evaluator: &mut CheckedEvaluator<'_, f32>,
        chunk: &[usize],
        delta: &[f32],
        by_outputs: &[f32],
    ) -> Result<Vec<f64>, ClassifierError> {
        let gradients = evaluator.pull_back(by_outputs)?;
        let InputBox { lower, upper } = self.input_box;
        let mut sum = vec![0.0; delta.len()];
        for (gradient, &at) in gradients.chunks_exact(delta.len()).zip(chunk) {
            let image = self.images.input(at);
            for (place, sum) in sum.iter_mut().enumerate() {
                let value = image[place] + delta[place];
                // Where a network has no slope it gives NaN: no direction.
                if value >= lower && value <= upper && gradient[place].is_finite() {
                    *sum += f64::from(gradient[place]);
                }
            }
        }
        Ok(sum)
    }
}

/// The slope by the outputs of the images' margins, each times its weight.
fn by_margins(classes: usize, margins: &[Margin], weight: impl Fn(&Margin) -> f64) -> Vec<f32> {
    let mut by_outputs = vec![0.0; margins.len() * classes];
    for (row, margin) in by_outputs.chunks_exact_mut(classes).zip(margins) {
        let weight = weight(margin) as f32;
        row[margin.up] += weight;
        row[margin.down] -= weight;
    }
    by_outputs
}

fn add(sum: &mut [f64], other: &[f64]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

/// An image with a perturbation, clipped to the box.
pub(super) fn perturb(image: &[f32], delta: &[f32], input_box: InputBox, out: &mut [f32]) {
    let InputBox { lower, upper } = input_box;
    for ((out, &x), &d) in out.iter_mut().zip(image).zip(delta) {
        *out = (x + d).max(lower).min(upper);
    }
}

#[cfg(test)]
mod tests {
    use blindspot_run::random::Stream;

    use super::cross_entropy;

    /// The slope is that of -ln(1 - p) by finite differences, p what a softmax at the temperature gives to what fools.
    #[test]
    fn the_slope_of_the_cross_entropy_is_right() {
        let mut random = Stream::new(3, "outputs of a test", 0);
        for (target, temperature) in [(None, 0.3), (None, 4.0), (Some(2), 0.3), (Some(2), 4.0)] {
            let outputs: Vec<f32> = (0..5).map(|_| random.normal() as f32).collect();
            let rises = |outputs: &[f64]| -> f64 {
                let odds: Vec<f64> = outputs.iter().map(|y| (y / temperature).exp()).collect();
                let fools = |class: usize| match target {
                    Some(target) => class == target,
                    None => class != 1,
                };
                let others = (0..5)
                    .filter(|&class| !fools(class))
                    .map(|class| odds[class]);
                -(others.sum::<f64>() / odds.iter().sum::<f64>()).ln()
            };
            let mut slope = vec![0.0; 5];
            cross_entropy(&outputs, 1, target, temperature, &mut slope);
            for class in 0..5 {
                let at = |step: f64| {
                    let mut moved: Vec<f64> = outputs.iter().map(|&y| f64::from(y)).collect();
                    moved[class] += step;
                    rises(&moved)
                };
                let exact = temperature * (at(1e-5) - at(-1e-5)) / 2e-5;
                let found = f64::from(slope[class]);
                assert!(
                    (found - exact).abs() < 1e-6,
                    "{target:?} {class}: {found} {exact}"
                );
            }
        }
    }
}
