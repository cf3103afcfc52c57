//! The smallest change, by sequential quadratic programming on the decision boundary: minimise
//! |r|^2 where the class wanted leads, with the leads linearised where the search stands.
//!
//! A step goes to the nearest point of the box that satisfies the linearised constraints, seen
//! from the image itself: its fixed points are the points of the boundary that are locally
//! nearest. Anderson's acceleration takes the place of the curvature. The label's rivals are
//! ranked by their linearised distance first, and only the nearest are searched.

use std::sync::Arc;

use blindspot_net::vectorised;

use super::anderson::Anderson;
use super::baselines::{self, Here, Rule};
use super::batch::{Effort, Search};
use super::change::{Best, SAFETY, along};
use super::cuts::{Cuts, MOST, dot};
use super::goal::{Aim, Goal};
use super::method::Start;
use super::ranges::Room;
use super::{Method, SearchOptions, Target};

/// Classes whose linearised distance is computed, the most likely first.
const RANKED: usize = 9;
/// Of these, the nearest that are searched: with one the mean norm is 1% above, see DESIGN.md.
const SEARCHED: usize = 3;
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
/// Where so many steps are no shorter than the shortest before, the boundary has kinks (of ReLUs, of
/// max pooling), and the search goes from one face to the other and back. Where faces meet, the
/// linearisations of both hold together, as in Kelley's cutting planes: earlier ones are kept then.
const STALLS: u32 = 6;
/// Steps for one rival at most where there are kinks.
const STEPS_AT_KINKS: u32 = 25;
/// Steps shorter than this, as a part of the change, are near the end of a search at a kink.
const NEARLY: f64 = 0.03;
/// At a kink the search ends where the lead is this part of what was missing at first.
const CLOSE: f64 = 1e-3;
/// The farthest that steps aim beyond the boundary, in units of the least margin, and by what part
/// of what is missing the aim moves at a kink.
const FAR: f64 = 1e4;
const LEARN: f64 = 0.3;
/// Rivals behind the strongest by less than this part of its lead are linearised, too, if they are
/// among the first.
const NEAR: f64 = 0.3;
const MOST_NEAR: usize = 2;
/// Evaluations along the ray at the end.
const RAY: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// At the image, for the linearised distance of one rival after the other.
    Rank(usize),
    /// On the way for one rival, or for one target.
    Step,
    /// From the image again by decoupled direction and norm, after kinks at which no step settled.
    Decoupled,
    /// Between the image and the best change: parts that fail and that succeed, with margins.
    Ray {
        below: (f64, f64),
        above: (f64, f64),
        part: f64,
        left: u32,
    },
    Over,
}

/// The search for one image and one goal.
pub(super) struct Sqp {
    original: Vec<f32>,
    goal: Goal,
    room: Arc<Room>,
    limit: u64,
    every_rival: bool,
    phase: Phase,
    /// Rivals of the label with their linearised distances, and which one is searched.
    rivals: Vec<(usize, f64)>,
    current: usize,
    cuts: Cuts,
    anderson: Anderson,
    point: Vec<f32>,
    change: Vec<f32>,
    projected: Vec<f32>,
    end: Vec<f32>,
    /// The rival whose lead was asked for, and that lead.
    asked: usize,
    lead: f64,
    margin: f64,
    margin_at_start: f64,
    size: f64,
    /// How far beyond the boundary steps aim, in units of the least margin.
    aim: f64,
    steps: u32,
    /// The shortest step's length, and how many steps there have been since.
    shortest: f64,
    stalls: u32,
    /// Whether the boundary was found to have kinks.
    kinked: bool,
    /// What goes on where the steps for some rival did not settle at kinks.
    decoupled: Option<Box<dyn Rule>>,
    /// True where the last step was small: the search has ended by itself.
    pub(super) settled: bool,
    /// Rivals that are still to be linearised at the point.
    pending: Vec<usize>,
    /// Where the last step began, and the merit there.
    before: Vec<f32>,
    merit: f64,
    /// What a violated constraint weighs against the length of the change.
    weight: f64,
    halvings: u32,
    best: Best,
    effort: Effort,
}

impl Sqp {
    /// The search from an image for its goal; `spare` gives its memory.
    pub(super) fn new(start: &Start<'_>, options: &SearchOptions, spare: Option<Sqp>) -> Self {
        Self::from(start.original, start, options, spare)
    }

    /// The same from another point than the image: a change that was found before.
    pub(super) fn from(
        point: &[f32],
        start: &Start<'_>,
        options: &SearchOptions,
        spare: Option<Sqp>,
    ) -> Self {
        let Start {
            original,
            goal,
            limit,
            ref room,
        } = *start;
        let every_rival = options.target == Target::All;
        let n = original.len();
        let mut search = spare.unwrap_or_else(|| Sqp {
            original: Vec::with_capacity(n),
            goal,
            room: Arc::clone(room),
            limit: u64::MAX,
            every_rival,
            phase: Phase::Over,
            rivals: Vec::new(),
            current: 0,
            cuts: Cuts::default(),
            anderson: Anderson::default(),
            point: Vec::with_capacity(n),
            change: vec![0.0; n],
            projected: vec![0.0; n],
            end: Vec::new(),
            asked: 0,
            lead: 0.0,
            margin: 0.0,
            margin_at_start: 0.0,
            size: 0.0,
            aim: 1.0,
            steps: 0,
            shortest: f64::INFINITY,
            stalls: 0,
            kinked: false,
            decoupled: None,
            settled: false,
            pending: Vec::new(),
            before: vec![0.0; n],
            merit: f64::INFINITY,
            weight: 0.0,
            halvings: 0,
            best: Best::default(),
            effort: Effort::default(),
        });
        search.original.clear();
        search.original.extend_from_slice(original);
        search.goal = goal;
        search.room = Arc::clone(room);
        search.limit = limit;
        search.rivals.clear();
        search.current = 0;
        search.best.clear();
        search.decoupled = None;
        search.effort = Effort::default();
        search.phase = match goal.aim {
            Aim::Leave { .. } => Phase::Rank(0),
            Aim::Become(_) => Phase::Step,
        };
        search.restart();
        search.point.copy_from_slice(point);
        for ((change, point), x) in search.change.iter_mut().zip(point).zip(original) {
            *change = point - x;
        }
        search
    }

    /// From the image again, for another rival.
    fn restart(&mut self) {
        self.point.clear();
        self.point.extend_from_slice(&self.original);
        self.change.fill(0.0);
        self.cuts.clear();
        self.anderson.clear();
        self.aim = 1.0;
        self.steps = 0;
        self.shortest = f64::INFINITY;
        self.stalls = 0;
        self.kinked = false;
        self.pending.clear();
        self.merit = f64::INFINITY;
        self.weight = 0.0;
        self.halvings = 0;
    }

    /// The classes whose lead the gradient is asked of: it should rise, it should fall.
    fn pair(&self, rival: usize) -> (usize, usize) {
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
    fn rivals_near(&mut self, logits: &[f32]) {
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
        if self.kinked {
            self.cuts.grow_old();
        }
        self.cuts.keep(&asked);
        self.pending = asked;
    }

    /// The lead that a rival decides, beyond what is asked for.
    fn lead_of(&self, rival: usize, logits: &[f32]) -> f64 {
        let (up, down) = self.pair(rival);
        f64::from(logits[up]) - f64::from(logits[down]) - self.goal.confidence
    }

    /// Rivals that are searched one after the other: the weakest of the classes that are to stand
    /// before the label.
    fn candidates(&self) -> usize {
        match self.goal.aim {
            Aim::Become(_) => 1,
            Aim::Leave { top, .. } => self.rivals.len() - (top - 1),
        }
    }

    /// After a rival's linearised distance: the next one, or the search for the nearest.
    fn rank(&mut self, rank: usize, gradient: &[f32]) {
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

    fn step(&mut self, gradient: &[f32]) {
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
        let close = !self.kinked || self.margin < CLOSE * self.margin_at_start.abs();
        self.settled = small && feasible && close;
        let most = if self.kinked { STEPS_AT_KINKS } else { STEPS };
        if self.settled || self.steps >= most || self.beaten(length, moved) {
            // Measured where any wrong class will do, only.
            let any = matches!(self.goal.aim, Aim::Leave { top: 1, .. });
            if self.kinked && !self.settled && any && self.decoupled.is_none() {
                self.decoupled = baselines::rule(Method::Ddn).map(|rule| rule());
            }
            return self.next_rival();
        }
        if self.kinked {
            if moved < NEARLY * length {
                // What few linearisations leave out is aimed beyond.
                let lacking = SAFETY - self.margin / self.size;
                self.aim = (self.aim + LEARN * lacking / SAFETY).clamp(1.0, FAR);
            }
        } else if small {
            self.aim = (2.0 * self.aim).min(FAR);
        }
        self.weight = self.weight.max(2.0 * self.cuts.multipliers());
        self.merit = self.merit_here();
        let mut next = std::mem::take(&mut self.end);
        next.resize(self.change.len(), 0.0);
        self.stalls = match moved < self.shortest {
            true => 0,
            false => self.stalls + 1,
        };
        self.shortest = self.shortest.min(moved);
        self.kinked |= self.stalls >= STALLS;
        match self.kinked {
            true => next.copy_from_slice(&self.projected),
            false => self.anderson.step(&self.change, &self.projected, &mut next),
        }
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

    fn next_rival(&mut self) {
        self.current += 1;
        if self.current < self.candidates() {
            self.restart();
        } else if self.decoupled.is_some() {
            self.point.copy_from_slice(&self.original);
            self.phase = Phase::Decoupled;
        } else {
            self.finish();
        }
    }

    /// To the boundary along the ray of the best change.
    fn finish(&mut self) {
        match (self.best.image(), self.best.margin()) {
            (Some(image), Some(margin)) if margin > 3.0 * SAFETY * self.size => {
                self.end.clear();
                self.end.extend_from_slice(image);
                self.place_on_ray((0.0, self.margin_at_start), (1.0, margin), RAY);
            }
            _ => self.phase = Phase::Over,
        }
    }

    fn place_on_ray(&mut self, below: (f64, f64), above: (f64, f64), left: u32) {
        let least = 1.5 * SAFETY * self.size;
        let crossing = below.0 + (least - below.1) * (above.0 - below.0) / (above.1 - below.1);
        let part = crossing.clamp(below.0, above.0);
        along(&self.original, &self.end, part, &self.room, &mut self.point);
        self.phase = Phase::Ray {
            below,
            above,
            part,
            left,
        };
    }
}

impl Search for Sqp {
    fn best(&self) -> Option<&[f32]> {
        self.best.image()
    }

    fn effort(&self) -> Effort {
        self.effort
    }

    fn point(&self) -> &[f32] {
        &self.point
    }

    fn take_logits(&mut self, logits: &[f32], gradient: &mut [f32]) {
        self.effort.forward += 1;
        self.margin = self.goal.margin(logits);
        let sizes = logits.iter().map(|logit| f64::from(logit.abs()));
        self.size = sizes.fold(1.0, f64::max);
        if self.effort.forward == 1 {
            self.margin_at_start = self.margin;
        }
        if self.margin > SAFETY * self.size {
            self.best.offer(&self.original, &self.point, self.margin);
        }
        if self.phase == Phase::Decoupled {
            self.goal.loss(logits, gradient);
            return;
        }
        self.asked = match (self.goal.aim, self.phase) {
            (Aim::Leave { label, top }, Phase::Rank(rank)) => {
                if rank == 0 {
                    let wrong = (0..logits.len()).filter(|&class| class != label);
                    self.rivals.extend(wrong.map(|class| (class, 0.0)));
                    let likely = |rival: &(usize, f64)| -logits[rival.0];
                    self.rivals.sort_by(|a, b| likely(a).total_cmp(&likely(b)));
                    if !self.every_rival {
                        self.rivals.truncate(RANKED + top - 1);
                    }
                }
                self.rivals[rank].0
            }
            _ => {
                if self.pending.is_empty() {
                    self.rivals_near(logits);
                }
                self.pending.pop().unwrap_or(0)
            }
        };
        let (up, down) = self.pair(self.asked);
        self.lead = self.lead_of(self.asked, logits);
        gradient.fill(0.0);
        (gradient[up], gradient[down]) = (1.0, -1.0);
    }

    fn take_gradient(&mut self, gradient: &[f32]) -> bool {
        match self.phase {
            Phase::Rank(rank) => self.rank(rank, gradient),
            Phase::Step => self.step(gradient),
            Phase::Decoupled => {
                self.effort.gradient += 1;
                let here = Here {
                    original: &self.original,
                    room: &self.room,
                    gradient,
                    margin: self.margin,
                    feasible: self.margin > SAFETY * self.size,
                };
                let rule = self.decoupled.as_mut();
                if !rule.is_some_and(|rule| rule.step(&here, &mut self.point)) {
                    self.finish();
                }
            }
            Phase::Ray {
                below,
                above,
                part,
                left,
            } => {
                let (below, above) = match self.margin > SAFETY * self.size {
                    true => (below, (part, self.margin)),
                    false => ((part, self.margin), above),
                };
                match left > 1 && above.0 - below.0 > 1e-5 && above.1 > 3.0 * SAFETY * self.size {
                    true => self.place_on_ray(below, above, left - 1),
                    false => self.phase = Phase::Over,
                }
            }
            Phase::Over => {}
        }
        if self.effort.forward >= self.limit {
            self.phase = Phase::Over;
        }
        self.phase != Phase::Over
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
