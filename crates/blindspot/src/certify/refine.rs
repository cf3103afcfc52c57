//! Larger certificates where there is time for them.
//!
//! Where the units are smooth, by the lead's parabola first ([`curvature`](super::curvature)), then by branch
//! and bound on it ([`slices`](super::slices), then caps of the ball with parabolas of their own); where there
//! are ReLUs, by branch and bound on them ([`splits`](super::splits)). Radii a little beyond the last are
//! tried, in rounds that look at four times as many parts of the ball each. A certificate that could not be
//! raised is kept, so they only grow.

use std::time::Instant;

use blindspot_net::argmax;
use rayon::prelude::*;

use super::ball::Room;
use super::curvature::Curved;
use super::slices::{Plane, Slices};
use super::splits::{self, Splits};
use super::{Certificate, Certifier, Worker, largest_radius};
use crate::inputs::{InputError, Inputs};
use crate::run::monitor::Monitor;

/// Rounds of branch and bound at most.
const ROUNDS: u32 = 9;
/// Slices that the first round looks at for a radius, or cuts of the ball that it makes; each further one
/// four times as many.
const PARTS: usize = 32;
/// How close to the largest radius that the parabola certifies the first round ends: what the next
/// ones begin with is no larger.
const CLOSE: f64 = 1e-2;
/// Caps of the ball that are cut off each other at most, and how far from the last one the next one
/// begins, as parts of what is left of the radius: the first that is certain before it.
const CAPS: usize = 24;
const FRACTIONS: [f64; 4] = [0.6, 0.4, 0.25, 0.1];
/// The first step of a round beyond the last radius, and the last one, as parts of it.
const STEPS: (f64, f64) = (0.04, 2e-3);

/// How a search for certainty ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The lead is above 0 in all the ball.
    Certain,
    /// Somewhere it is not, or looking at more parts of the ball does not help.
    Refuted,
    /// There would have been more parts to look at.
    Open,
}

/// How far the search for an image's certificate has got.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Search {
    /// How far beyond the certificate the next radius is, as a part of it.
    step: f64,
    /// A radius that was given up.
    refuted: f64,
    /// More parts may raise it.
    going: bool,
}

impl Certifier {
    /// Whether [`refine`](Certifier::refine) can raise certificates: those of networks with ReLUs, and of
    /// networks of one or two fully connected layers of sigmoid or tanh units below the last.
    pub fn refines(&self) -> bool {
        let known = self.linear.as_ref();
        known.is_ok_and(|linear| linear.curved.is_some() || splits::has_units(&linear.chain))
    }

    fn curved(&self) -> Option<&Curved> {
        self.linear.as_ref().ok()?.curved.as_ref()
    }

    /// Raises certificates of images of `inputs`, as far as it gets until `deadline`; it ends before
    /// that where no more is to be had. Each round goes over all images. Where the clock does not end
    /// it the same bits come out for any number of threads; where it does, how many radii were tried
    /// depends on the machine, and every certificate reached is as certain as any other.
    ///
    /// # Errors
    /// [`InputError`] where an image can't be read.
    pub fn refine(
        &self,
        certificates: &mut [Certificate],
        inputs: &(impl Inputs + ?Sized),
        deadline: Instant,
        monitor: &dyn Monitor,
    ) -> Result<(), InputError> {
        if !self.refines() {
            return Ok(());
        }
        let stop = || monitor.cancelled() || Instant::now() >= deadline;
        let begin = Search {
            step: STEPS.0,
            refuted: f64::INFINITY,
            going: true,
        };
        let mut going: Vec<(&mut Certificate, Search)> = certificates
            .iter_mut()
            .filter(|certificate| certificate.distance > 0.0)
            .map(|certificate| (certificate, begin))
            .collect();
        // The parabola's.
        let first = if self.curved().is_some() { 0 } else { 1 };
        for round in first..=ROUNDS {
            going.retain(|(_, search)| search.going);
            if going.is_empty() || stop() {
                break;
            }
            monitor.begin(&format!("refine, round {round}"), going.len() as u64);
            let done = std::sync::atomic::AtomicU64::new(0);
            let each = going.par_iter_mut().with_max_len(1);
            let refined: Result<(), InputError> = each.try_for_each_init(
                || self.worker(),
                |worker, (certificate, search)| {
                    if stop() {
                        return Ok(());
                    }
                    let mut image = vec![0.0; self.network.input_len()];
                    inputs.read(certificate.position, &mut image)?;
                    match round {
                        0 => worker.parabolic(certificate, &image, &stop),
                        _ => worker.branched(certificate, search, &image, round, &stop),
                    }
                    let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    monitor.progress(done, "");
                    Ok(())
                },
            );
            monitor.end();
            refined?;
        }
        Ok(())
    }
}

impl Worker<'_> {
    /// Raises a certificate by the parabola alone.
    fn parabolic(
        &mut self,
        certificate: &mut Certificate,
        image: &[f32],
        stop: &(dyn Fn() -> bool + Sync),
    ) {
        let (room, rivals) = self.surroundings(image, certificate.label);
        let Some(&(_, lead, nearest)) = rivals.first() else {
            return;
        };
        let label = certificate.label;
        let bound = |radius: f64| match stop() {
            true => f64::NEG_INFINITY,
            false => self.least_lead(&room, label, &rivals, radius),
        };
        let start = (1.2 * certificate.distance).max(0.6 * nearest);
        let found = largest_radius(bound, lead, start, nearest, room.reach(), CLOSE);
        certificate.distance = certificate.distance.max(found);
    }

    /// Raises a certificate by branch and bound, until a radius takes more parts than this round has.
    fn branched(
        &mut self,
        certificate: &mut Certificate,
        search: &mut Search,
        image: &[f32],
        round: u32,
        stop: &(dyn Fn() -> bool + Sync),
    ) {
        let (room, rivals) = self.surroundings(image, certificate.label);
        let parts = PARTS << (2 * (round - 1));
        while search.going && !stop() {
            let reached = certificate.distance;
            if reached >= room.reach() {
                search.going = false;
                return;
            }
            let middle = 0.5 * (reached + search.refuted);
            let most = middle.min(room.reach() * (1.0 + 1e-9));
            let radius = (reached * (1.0 + search.step)).min(most);
            if radius < reached * (1.0 + 0.999 * STEPS.1) {
                search.going = false;
                return;
            }
            match self.certain(&room, certificate.label, &rivals, radius, parts, stop) {
                Outcome::Certain => {
                    certificate.distance = radius;
                    search.step *= 1.5;
                }
                Outcome::Refuted => search.refuted = radius,
                Outcome::Open => {
                    search.step = (0.5 * search.step).max(STEPS.1);
                    return;
                }
            }
        }
    }

    /// The room around an image, and the label's rivals with its lead over each and the distance at
    /// which that would be 0 were it linear, the nearest first.
    fn surroundings(&mut self, image: &[f32], label: usize) -> (Room, Vec<(usize, f64, f64)>) {
        let bounds = self.certifier.bounds;
        let wide: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
        self.evaluator.input(1).copy_from_slice(&wide);
        let logits = self.evaluator.forward().to_vec();
        let mut rivals = self.linearised(&logits, label);
        rivals.sort_by(|a, b| a.2.total_cmp(&b.2));
        (Room::new(image, bounds.lower, bounds.upper), rivals)
    }

    /// A lower bound of the least lead within a radius, by the parabolas.
    fn least_lead(
        &mut self,
        room: &Room,
        label: usize,
        rivals: &[(usize, f64, f64)],
        radius: f64,
    ) -> f64 {
        let (Some(curved), Some(bounds)) = (self.certifier.curved(), &mut self.linear) else {
            return f64::NEG_INFINITY;
        };
        let Some(ranges) = bounds.ranges(room, radius) else {
            return f64::NEG_INFINITY;
        };
        let centre = curved.centre(room, radius, &ranges);
        let mut least = f64::INFINITY;
        for &(rival, ..) in rivals {
            let parabola = curved.parabola(&centre, label, rival);
            if curved.coarse(&parabola, room, radius) > least {
                continue;
            }
            let lead = match curved.axes(&parabola) {
                Some(axes) => Slices::new(&parabola, &axes, room, radius).lead(),
                None => f64::NEG_INFINITY,
            };
            least = least.min(if lead.is_nan() {
                f64::NEG_INFINITY
            } else {
                lead
            });
        }
        least
    }

    /// Whether the label leads everywhere within a radius, looking at so many parts of the ball.
    fn certain(
        &mut self,
        room: &Room,
        label: usize,
        rivals: &[(usize, f64, f64)],
        radius: f64,
        mut parts: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Outcome {
        let Some(curved) = self.certifier.curved() else {
            return self.certain_by_splits(room, label, rivals, radius, parts, stop);
        };
        let Some(bounds) = &mut self.linear else {
            return Outcome::Refuted;
        };
        let Some(ranges) = bounds.ranges(room, radius) else {
            return Outcome::Refuted;
        };
        let centre = curved.centre(room, radius, &ranges);
        for &(rival, ..) in rivals {
            let parabola = curved.parabola(&centre, label, rival);
            if curved.coarse(&parabola, room, radius) > 0.0 {
                continue;
            }
            let Some(axes) = curved.axes(&parabola) else {
                return Outcome::Open;
            };
            let mut all = Slices::new(&parabola, &axes, room, radius);
            let outcome = all.certain(&mut parts, stop);
            if outcome == Outcome::Certain {
                continue;
            }
            if self.certain_by_caps(room, (label, rival), radius, stop) != Some(true) {
                return outcome;
            }
        }
        Outcome::Certain
    }

    /// The same for networks with ReLUs.
    fn certain_by_splits(
        &mut self,
        room: &Room,
        label: usize,
        rivals: &[(usize, f64, f64)],
        radius: f64,
        parts: usize,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Outcome {
        let (Some(bounds), evaluator) = (&mut self.linear, &mut self.evaluator) else {
            return Outcome::Refuted;
        };
        let Some(mut splits) = Splits::new(bounds, room, radius) else {
            return Outcome::Refuted;
        };
        let classes = self.certifier.network.output_len();
        let mut leads = vec![0.0; rivals.len() * classes];
        for (lead, &(rival, ..)) in leads.chunks_exact_mut(classes).zip(rivals) {
            (lead[label], lead[rival]) = (1.0, -1.0);
        }
        let refutes = |change: &[f64]| {
            let values = room.image.iter().zip(change).map(|(x, d)| x + d);
            let input = evaluator.input(1).iter_mut();
            input.zip(values).for_each(|(place, x)| *place = x);
            argmax(evaluator.forward()) != label
        };
        splits.certain(&leads, parts, refutes, stop)
    }

    /// Whether the label leads over one rival everywhere within a radius, by parabolas of ever smaller
    /// parts of the ball.
    ///
    /// With a change c and its direction p, what is beyond the plane p d = |c| is no farther than
    /// sqrt(r^2 - |c|^2) from c. So the ball is cut there, across the direction in which the lead is
    /// the least; what is before the plane has to be certain by the parabola that there is, and beyond it
    /// one around c holds better, and so on. None where no plane is found, or no bound.
    fn certain_by_caps(
        &mut self,
        room: &Room,
        (label, rival): (usize, usize),
        radius: f64,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Option<bool> {
        let (curved, bounds) = (self.certifier.curved()?, self.linear.as_mut()?);
        let mut centre = vec![0.0; room.image.len()];
        let mut from = 0.0;
        for _ in 0..CAPS {
            // A little more than there is.
            let left = radius * radius * (1.0 + 1e-12) - from * from;
            let reach = left.max(0.0).sqrt() * (1.0 + 1e-9);
            let there = room.moved(&centre);
            let ranges = bounds.ranges(&there, reach)?;
            let parabola = curved.parabola(&curved.centre(&there, reach, &ranges), label, rival);
            let axes = curved.axes(&parabola)?;
            let part = |before: Option<&[f64]>| {
                let beyond = (from > 0.0).then(|| Plane::at(&centre, true));
                let before = before.map(|change| Plane::at(change, false));
                let planes = beyond.into_iter().chain(before).collect();
                Slices::new(&parabola, &axes, room, radius).around(&centre, reach, planes)
            };
            let mut all = part(None);
            if all.lead() > 0.0 {
                return Some(true);
            }
            let lowest = all.point();
            let far = lowest.iter().map(|d| d * d).sum::<f64>().sqrt();
            let next = FRACTIONS.iter().find_map(|fraction| {
                let to = from + fraction * (radius - from);
                if stop() || to >= far {
                    return None;
                }
                let change: Vec<f64> = lowest.iter().map(|d| d * to / far).collect();
                (part(Some(&change)).lead() > 0.0).then_some((change, to))
            });
            (centre, from) = next?;
        }
        Some(false)
    }
}
