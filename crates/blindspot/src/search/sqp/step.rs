//! The steps for one rival after the other, along the linearised boundary.

use blindspot_net::vectorised;

use super::super::change::SAFETY;
use super::super::cuts::{MOST, dot};
use super::super::goal::Aim;
use super::{Phase, Sqp, Stage};

/// Of the rivals, the nearest that are searched: see DESIGN.md for what fewer cost.
const SEARCHED: usize = 5;
/// A rival this much farther away than the nearest by the linearisation is not searched.
const FARTHEST: f64 = 2.0;
/// Steps for one rival at most.
const STEPS: u32 = 60;
/// A step this small, as a part of the change, ends the search: the norm's own error is its
/// square.
const SMALL_STEP: f64 = 4e-3;
/// Steps shorter than this, as a part of the change, are taken without a look at the merit: near
/// the end it would refuse good ones (the Maratos effect).
const LONG_STEP: f64 = 0.1;
/// Halvings of a step at most.
const HALVINGS: u32 = 6;
/// Where a step after so many steps and gradients is still longer than this part of the change, the
/// boundary has kinks (of ReLUs, of max pooling), and the search goes from one face to the other and
/// back.
const KINK_STEPS: u64 = 12;
const KINK_STEP: f64 = 0.1;
/// The same after the last step.
const UNSETTLED: f64 = 0.02;
/// From the best change found at kinks, so many steps are enough to see that it is at one.
const LAST_STEPS: u64 = 3;
/// The farthest that steps aim beyond the boundary, in units of the least margin.
const FAR: f64 = 1e4;
/// Rivals behind the strongest by less than this part of its lead are linearised, too, if they are
/// among the first.
const NEAR: f64 = 0.3;
const MOST_NEAR: usize = 2;

impl Sqp {
    /// The classes whose lead the gradient is asked of: it should rise, it should fall.
    pub(super) fn pair(&self, rival: usize) -> (usize, usize) {
        match self.goal.aim {
            Aim::Become(target) => (target, rival),
            Aim::Leave { label, .. } => (rival, label),
        }
    }

    /// Linearises the lead asked for.
    fn put(&mut self, gradient: &[f32]) {
        self.effort.gradient += 1;
        let aim = SAFETY * self.size * (1.0 + self.aim);
        let offset = aim - self.lead + dot(gradient, &self.change);
        self.cuts.put(self.asked, gradient, offset);
    }

    /// The nearest point by the constraints as they are, into `projected`.
    fn project(&mut self, gradient: &[f32]) -> bool {
        self.put(gradient);
        self.cuts
            .nearest(&self.original, &self.room, &mut self.projected)
    }

    /// Which leads to linearise at a new point: the weakest, those nearly as weak (of a class that
    /// must lead all others) or lacking (of several that must lead the label), and those that held
    /// the last step.
    pub(super) fn rivals_near(&mut self, logits: &[f32]) {
        let lead = |&rival: &usize| self.lead_of(rival, logits);
        let mut rivals: Vec<usize> = match self.goal.aim {
            Aim::Become(target) => (0..logits.len()).filter(|&class| class != target).collect(),
            Aim::Leave { top, .. } => {
                let last = (top - 1 + self.current).min(self.rivals.len() - 1);
                let first = self.rivals[..top - 1].iter().chain([&self.rivals[last]]);
                first.map(|rival| rival.0).collect()
            }
        };
        rivals.sort_by(|a, b| lead(a).total_cmp(&lead(b)));
        let weakest = lead(&rivals[0]);
        let (near, most) = match self.goal.aim {
            Aim::Become(_) => (weakest + NEAR * weakest.abs(), MOST_NEAR),
            Aim::Leave { .. } => (0.0, MOST),
        };
        let asked = rivals.iter().enumerate().filter(|&(rank, rival)| {
            rank == 0 || self.cuts.holds(*rival) || rank < most && lead(rival) < near
        });
        let asked: Vec<usize> = asked.map(|(_, &rival)| rival).take(MOST).collect();
        self.cuts.keep(&asked);
        self.pending = asked;
    }

    /// The lead that a rival decides, beyond what is asked for.
    pub(super) fn lead_of(&self, rival: usize, logits: &[f32]) -> f64 {
        let (up, down) = self.pair(rival);
        f64::from(logits[up]) - f64::from(logits[down]) - self.goal.confidence
    }

    /// After a rival's linearised distance: the next one, or the search for the nearest.
    pub(super) fn rank(&mut self, rank: usize, gradient: &[f32]) {
        let found = self.project(gradient);
        let distance = dot(&self.projected, &self.projected).sqrt();
        self.rivals[rank].1 = if found { distance } else { f64::INFINITY };
        self.cuts.clear();
        if rank + 1 < self.rivals.len() {
            self.phase = Phase::Rank(rank + 1);
            return;
        }
        self.rivals.sort_by(|a, b| a.1.total_cmp(&b.1));
        if let (false, Aim::Leave { top, .. }) = (self.every_rival, self.goal.aim) {
            let farthest = FARTHEST * self.rivals[top - 1].1;
            let near = self.rivals.iter().filter(|rival| rival.1 <= farthest);
            let searched = near.count().clamp(top, top - 1 + SEARCHED);
            self.rivals.truncate(searched);
        }
        self.phase = Phase::Step;
    }

    pub(super) fn step(&mut self, gradient: &[f32]) {
        if !self.pending.is_empty() {
            // More rivals to linearise here.
            self.put(gradient);
            return;
        }
        self.steps += 1;
        if self.steps < STEPS && self.worse() {
            return self.place(&[]);
        }
        let feasible = self.margin > SAFETY * self.size;
        let found = self.project(gradient);
        let length = dot(&self.projected, &self.projected).sqrt();
        let moved = distance(&self.projected, &self.change);
        let small = found && moved <= SMALL_STEP * length;
        self.settled = small && feasible;
        if self.steps == 1 {
            self.linearised = length;
        }
        let kink = match self.steps {
            STEPS.. => UNSETTLED,
            _ => KINK_STEP,
        };
        // Halved steps take no gradients.
        let gradients = self.effort.gradient - self.gradients_before;
        let looked = u64::from(self.steps).min(gradients);
        let long = moved > kink * length;
        if self.stage == Stage::Smooth && looked >= KINK_STEPS && long {
            self.stage = Stage::Kinked;
            return self.decouple();
        }
        let kinked = self.stage == Stage::Last && looked >= LAST_STEPS && long;
        if kinked || self.settled || self.steps >= STEPS || self.beaten(length, moved) {
            return self.next_rival();
        }
        if small {
            self.aim = (2.0 * self.aim).min(FAR);
        }
        self.weight = self.weight.max(2.0 * self.cuts.multipliers());
        self.merit = self.merit_here();
        let mut next = std::mem::take(&mut self.end);
        next.resize(self.change.len(), 0.0);
        self.anderson.step(&self.change, &self.projected, &mut next);
        self.before.copy_from_slice(&self.change);
        self.place(&next);
        self.end = next;
    }

    /// Half the change's square, and what it lacks of the boundary.
    fn merit_here(&self) -> f64 {
        let lacking = (2.0 * SAFETY * self.size - self.margin).max(0.0);
        0.5 * dot(&self.change, &self.change) + self.weight * lacking
    }

    /// True where a long step has led to a worse point: the search has gone half of the way back.
    fn worse(&mut self) -> bool {
        let step = distance(&self.change, &self.before);
        let length = dot(&self.change, &self.change).sqrt();
        let worse = self.merit_here() > self.merit && step > LONG_STEP * length;
        if !worse || self.halvings >= HALVINGS {
            self.halvings = 0;
            return false;
        }
        self.halvings += 1;
        self.anderson.clear();
        for (change, &before) in self.change.iter_mut().zip(&self.before) {
            *change = 0.5 * (*change + before);
        }
        true
    }

    /// Sets the point: the change, or the one that is there where none is given.
    fn place(&mut self, change: &[f32]) {
        for (i, (point, own)) in self.point.iter_mut().zip(&mut self.change).enumerate() {
            let x = self.original[i];
            *point = self.room.inside(i, x + change.get(i).unwrap_or(own));
            *own = *point - x;
        }
    }

    /// True where this rival can't give a smaller change any more.
    fn beaten(&self, length: f64, moved: f64) -> bool {
        let Some(best) = self.best.size() else {
            return false;
        };
        self.steps >= 3 && moved < 0.3 * length && length - 0.5 * moved > 1.02 * best
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    vectorised(
        #[inline(always)]
        || {
            let mut lanes = [0.0f32; 16];
            let (a_chunks, a_rest) = a.as_chunks::<16>();
            let (b_chunks, b_rest) = b.as_chunks::<16>();
            for (a, b) in a_chunks.iter().zip(b_chunks) {
                for lane in 0..16 {
                    lanes[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
                }
            }
            let rest: f32 = a_rest
                .iter()
                .zip(b_rest)
                .map(|(a, b)| (a - b) * (a - b))
                .sum();
            f64::from(lanes.iter().sum::<f32>() + rest).sqrt()
        },
    )
}
