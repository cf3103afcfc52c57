//! Steps uphill: a perturbation that comes to fool more images, or as many with a smaller norm.

use std::cell::{Cell, RefCell};

use blindspot_model::Norm;
use blindspot_model::classifier::ClassifierError;
use blindspot_run::random::Stream;

use super::ball::{l2, norm, project, scale, steepest};
use super::field::{Field, Margin, Rise};
use super::options::Aim;

/// How often all images are evaluated at least where the norm is free.
const LOOKS: usize = 20;
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

/// How a climb goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub(super) rise: Rise,
    /// Images of a step.
    pub(super) batch: usize,
    /// How much of the way of the step before is kept.
    pub(super) momentum: f64,
    /// The first and the last step, as fractions of the perturbation's norm.
    pub(super) strides: [f64; 2],
    /// The first and the last temperature, as fractions of the mean absolute margin.
    pub(super) temperatures: [f64; 2],
    /// Times that each image is looked at.
    pub(super) passes: usize,
    /// Steps at least, where there are few images.
    pub(super) least_steps: usize,
    /// How often all images are evaluated, at most.
    pub(super) looks: usize,
}

impl Course {
    /// How many steps it has on so many images.
    pub(super) fn steps(&self, images: usize) -> usize {
        (self.passes * images.div_ceil(self.batch)).max(self.least_steps)
    }
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
    /// Images of the steps done, for whoever watches.
    pub(super) done: Cell<usize>,
    /// Where the norm is free: the shortest perturbation so far that fools as many images as wanted, and its norm.
    pub(super) shortest: RefCell<Option<(f64, Vec<f32>)>>,
}

impl Climb<'_> {
    /// The best perturbation on a climb from a candidate, by what it does to these images; never a worse one.
    pub(super) fn from(
        &self,
        start: &Candidate,
        images: &[usize],
        course: &Course,
    ) -> Result<Candidate, ClassifierError> {
        let total = course.steps(images.len());
        let looks = match self.aim {
            Aim::Epsilon(_) => course.looks,
            // Each changes the norm.
            Aim::Share(_) => course.looks.max(LOOKS),
        };
        let between_looks = (total / looks).max(1);
        let mut here = start.clone();
        if self.stopped() {
            return Ok(here);
        }
        // It may have been compared on other images.
        let Some(mut best) = self.look(&mut here, images)? else {
            return Ok(start.clone());
        };
        let mut order = Stream::new(self.seed, "universal order", total);
        let mut momentum = vec![0.0; here.delta.len()];
        let mut leads = self.clean.abs();
        let mut waiting = Vec::new();
        for step in 0..total {
            if self.stopped() {
                break;
            }
            if waiting.is_empty() {
                waiting = order.order(images.len());
                waiting.iter_mut().for_each(|at| *at = images[*at]);
            }
            let batch = waiting.split_off(waiting.len().saturating_sub(course.batch));
            let part = step as f64 / total as f64;
            let temperature = leads * between(course.temperatures, part);
            self.done.set(self.done.get() + batch.len());
            let slope = self.field.slope(
                &batch,
                &here.delta,
                course.rise,
                temperature.max(f64::MIN_POSITIVE),
            )?;
            leads = slope.leads / batch.len() as f64;
            self.step(
                &mut here,
                &mut momentum,
                &slope.gradient,
                course.momentum,
                between(course.strides, part),
            );
            if (step + 1) % between_looks == 0 || step + 1 == total {
                let Some(seen) = self.look(&mut here, images)? else {
                    break;
                };
                if seen.merit >= best.merit {
                    best = seen;
                }
                self.tell(&best, images);
            }
        }
        Ok(best)
    }

    /// How good a candidate is by what it does to these images; None where the work is cancelled.
    pub(super) fn merit(
        &self,
        of: &Candidate,
        images: &[usize],
    ) -> Result<Option<f64>, ClassifierError> {
        Ok(self.look(&mut of.clone(), images)?.map(|seen| seen.merit))
    }

    /// Tells whoever watches how far the work is, and how good the best is.
    fn tell(&self, best: &Candidate, images: &[usize]) {
        let how = match self.aim {
            Aim::Epsilon(_) => format!("{} of {} fooled", best.merit, images.len()),
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
    fn step(
        &self,
        here: &mut Candidate,
        momentum: &mut [f64],
        gradient: &[f64],
        kept: f64,
        size: f64,
    ) {
        let unit = match self.norm {
            Norm::Linf => gradient.iter().map(|g| g.abs()).sum::<f64>(),
            _ => l2(gradient),
        };
        if unit > 0.0 {
            for (m, g) in momentum.iter_mut().zip(gradient) {
                *m = kept * *m + g / unit;
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

    /// The candidate as these images see it, with how good it is; None where the work is cancelled. Where its norm is
    /// free, it is of the norm that would do from then on.
    fn look(
        &self,
        here: &mut Candidate,
        images: &[usize],
    ) -> Result<Option<Candidate>, ClassifierError> {
        let Some(margins) = self.field.margins(images, &here.delta)? else {
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
                let by_all = margins.len() == self.field.len();
                if by_all && lead > 0.0 && shortest.as_ref().is_none_or(|(least, _)| size < *least)
                {
                    *shortest = Some((size, here.delta.clone()));
                }
                // Were margins straight lines from none, this is where as many images as wanted would fool.
                let rise = lead - self.clean;
                let crossing = if rise > 0.0 {
                    -self.clean / rise
                } else {
                    f64::INFINITY
                };
                // Margins far along the ray are no straight lines: as much as the norm may change is what it tells.
                let crossing = crossing.max(1.0 / CHANGE);
                // No perturbation at all leads nowhere, and 0 times infinity is no number.
                here.merit = if crossing.is_finite() {
                    -size * crossing
                } else {
                    f64::NEG_INFINITY
                };
                here.radius *= crossing.min(CHANGE);
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
