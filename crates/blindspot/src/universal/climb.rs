//! Steps uphill: a perturbation that comes to fool more images, or as many with a smaller norm.

use std::cell::{Cell, RefCell};

use blindspot_model::Norm;
use blindspot_model::classifier::ClassifierError;
use blindspot_run::random::Stream;

use super::ball::{l2, norm, project, scale, steepest};
use super::field::{Field, Margin};
use super::options::Aim;

/// Images of a step.
const BATCH: usize = 128;
/// How much of the way of the step before is kept.
const MOMENTUM: f64 = 0.9;
/// The first and the last step, as fractions of the perturbation's norm.
const STEPS: [f64; 2] = [0.4, 0.02];
/// The first and the last temperature, as fractions of the mean absolute margin.
const TEMPERATURES: [f64; 2] = [0.5, 0.05];
/// By how much the norm may change at once.
const CHANGE: f64 = 1.25;

/// A perturbation on its way.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) delta: Vec<f32>,
    /// The norm that it may have.
    pub(super) radius: f64,
    /// How good it is, the larger the better: images fooled, or the norm that would do, negative.
    pub(super) merit: f64,
}

/// How long a climb is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    /// Times that each image is looked at.
    pub(super) passes: usize,
    /// Steps at least, where there are few images.
    pub(super) steps: usize,
}

/// What all candidates are measured against.
pub(super) struct Climb<'a> {
    pub(super) field: &'a Field<'a>,
    pub(super) norm: Norm,
    pub(super) aim: Aim,
    pub(super) seed: u64,
    /// How far each value of the perturbation can move an image: beyond that all images are clipped.
    pub(super) reach: Vec<[f32; 2]>,
    /// Without a perturbation, the margin that as many images reach as are to be fooled; their mean where the norm is
    /// given.
    pub(super) clean: f64,
    /// Evaluations at which no step is begun.
    pub(super) budget: u64,
    /// Steps done, for whoever watches.
    pub(super) done: Cell<usize>,
    /// Where the norm is free: the shortest perturbation so far that fools as many images as wanted, and its norm.
    pub(super) shortest: RefCell<Option<(f64, Vec<f32>)>>,
}

impl Climb<'_> {
    /// The best perturbation on a climb from a candidate, which is never worse.
    pub(super) fn from(
        &self,
        start: &Candidate,
        length: Length,
    ) -> Result<Candidate, ClassifierError> {
        let count = self.field.len();
        let in_a_pass = count.div_ceil(BATCH);
        let total = self.steps(length);
        let looks = (total / 20).max(in_a_pass);
        let mut here = start.clone();
        if self.stopped() {
            return Ok(here);
        }
        // Starts were compared on a few images.
        let Some(mut best) = self.look(&mut here)? else {
            return Ok(start.clone());
        };
        let mut order = Stream::new(self.seed, "universal order", total);
        let mut momentum = vec![0.0; here.delta.len()];
        let mut leads = self.clean.abs();
        let mut positions = Vec::new();
        for step in 0..total {
            if self.stopped() {
                break;
            }
            if positions.is_empty() {
                positions = order.order(count);
            }
            let batch = positions.split_off(positions.len().saturating_sub(BATCH));
            let part = step as f64 / total as f64;
            let temperature = leads * between(TEMPERATURES, part);
            self.done.set(self.done.get() + 1);
            let slope =
                self.field
                    .slope(&batch, &here.delta, temperature.max(f64::MIN_POSITIVE))?;
            leads = slope.leads / batch.len() as f64;
            self.step(
                &mut here,
                &mut momentum,
                &slope.gradient,
                between(STEPS, part),
            );
            if (step + 1) % looks == 0 || step + 1 == total {
                let Some(seen) = self.look(&mut here)? else {
                    break;
                };
                if seen.merit >= best.merit {
                    best = seen;
                }
                self.tell(&best);
            }
        }
        Ok(best)
    }

    /// How many steps a climb of this length has.
    pub(super) fn steps(&self, length: Length) -> usize {
        let in_a_pass = self.field.len().div_ceil(BATCH);
        (length.passes * in_a_pass).max(length.steps)
    }

    /// Tells whoever watches how far the work is, and how good the best is.
    fn tell(&self, best: &Candidate) {
        let how = match self.aim {
            Aim::Epsilon(_) => format!("{} of {} fooled", best.merit, self.field.len()),
            Aim::Share(_) => format!("norm {:.4}", -best.merit),
        };
        let monitor = self.field.limits.monitor;
        monitor.progress(self.done.get() as u64, &how);
    }

    /// Whether the work, or its budget, is at its end.
    pub(super) fn stopped(&self) -> bool {
        self.field.limits.reached() || self.field.evaluations() >= self.budget
    }

    /// A step of a length that is given as a fraction of the norm.
    fn step(&self, here: &mut Candidate, momentum: &mut [f64], gradient: &[f64], size: f64) {
        let unit = match self.norm {
            Norm::Linf => gradient.iter().map(|g| g.abs()).sum::<f64>(),
            _ => l2(gradient),
        };
        if unit > 0.0 {
            for (m, g) in momentum.iter_mut().zip(gradient) {
                *m = MOMENTUM * *m + g / unit;
            }
        }
        let way = steepest(self.norm, momentum, size * here.radius);
        for (d, way) in here.delta.iter_mut().zip(way) {
            *d += way;
        }
        self.confine(&mut here.delta, here.radius);
    }

    /// Moves a perturbation into the ball, and to where it changes images.
    pub(super) fn confine(&self, delta: &mut [f32], radius: f64) {
        for (d, &[lower, upper]) in delta.iter_mut().zip(&self.reach) {
            *d = d.clamp(lower, upper);
        }
        project(self.norm, delta, radius);
    }

    /// The candidate as all images see it, with how good it is; None where the work is cancelled. Where its norm is free,
    /// it is of the norm that would do from then on.
    fn look(&self, here: &mut Candidate) -> Result<Option<Candidate>, ClassifierError> {
        let all: Vec<usize> = (0..self.field.len()).collect();
        let Some(margins) = self.field.margins(&all, &here.delta)? else {
            return Ok(None);
        };
        let radius = here.radius;
        self.judge(here, &margins);
        let seen = Candidate {
            radius,
            ..here.clone()
        };
        if here.radius != radius {
            scale(&mut here.delta, here.radius / radius);
        }
        Ok(Some(seen))
    }

    fn judge(&self, here: &mut Candidate, margins: &[Margin]) {
        match self.aim {
            Aim::Epsilon(_) => here.merit = fooled(margins) as f64,
            Aim::Share(share) => {
                let lead = lead_of(margins, wanted(share, margins.len()));
                let size = norm(self.norm, &here.delta);
                let mut shortest = self.shortest.borrow_mut();
                if lead > 0.0 && shortest.as_ref().is_none_or(|(least, _)| size < *least) {
                    *shortest = Some((size, here.delta.clone()));
                }
                // Were margins straight lines from none, this is where as many images as wanted would fool.
                let rise = lead - self.clean;
                let crossing = if rise > 0.0 {
                    -self.clean / rise
                } else {
                    f64::INFINITY
                };
                here.merit = -size * crossing;
                here.radius *= crossing.clamp(1.0 / CHANGE, CHANGE);
            }
        }
    }
}

/// Between two numbers, by their logarithms.
fn between([first, last]: [f64; 2], part: f64) -> f64 {
    first * (last / first).powf(part)
}

/// How many of these are answered as wanted.
pub(super) fn fooled(margins: &[Margin]) -> usize {
    margins.iter().filter(|margin| margin.lead > 0.0).count()
}

/// How many images of all are at least a share.
pub(super) fn wanted(share: f64, images: usize) -> usize {
    // 0.7 of 10 images are 7, however 0.7 is rounded.
    ((share * images as f64 - 1e-9).ceil() as usize).clamp(1, images.max(1))
}

/// The margin that `count` images, at least 1, reach.
pub(super) fn lead_of(margins: &[Margin], count: usize) -> f64 {
    let mut leads: Vec<f64> = margins.iter().map(|margin| margin.lead).collect();
    leads.sort_by(|a, b| b.total_cmp(a));
    leads.get(count - 1).copied().unwrap_or(0.0)
}
