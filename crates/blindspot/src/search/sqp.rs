//! The smallest change, by sequential quadratic programming on the decision boundary: minimise
//! |r|^2 where the class wanted leads, with the leads linearised where the search stands.
//!
//! A step goes to the nearest point of the box that satisfies the linearised constraints, seen
//! from the image itself: its fixed points are the points of the boundary that are locally
//! nearest. Anderson's acceleration takes the place of the curvature. The label's rivals are
//! ranked by their linearised distance first, and only the nearest are searched ([`step`]). Where
//! the boundary has kinks, direction and norm are decoupled instead.

mod step;

use std::sync::Arc;

use super::anderson::Anderson;
use super::batch::{Effort, Search};
use super::change::{Best, SAFETY, along, size};
use super::cuts::Cuts;
use super::decoupled::{Decoupled, Schedule};
use super::goal::{Aim, Goal};
use super::here::Here;
use super::method::Start;
use super::ranges::Room;
use super::{SearchOptions, Target};

/// Classes whose linearised distance is computed, the most likely first.
const RANKED: usize = 9;
/// At kinks the search begins again by decoupled direction and norm, with changes of this part of
/// the smallest change found,
const BELOW_BEST: f64 = 0.9;
/// or, where there is none, of so many times the linearised distance, but no longer than the widest
/// range.
const FIRST_NORM: f64 = 2.0;
/// Each rival gets a few steps from the image,
const RIVAL: Schedule = Schedule::new(20, 1.5);
/// and more are made from the best change.
const BEST: Schedule = Schedule::new(100, 2.0);
/// One class is far off, and asks for more care.
const ONE_CLASS: Schedule = Schedule::new(50, 1.0);
const BEST_OF_ONE_CLASS: Schedule = Schedule::new(100, 1.0);
/// Evaluations along the ray at the end.
const RAY: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// At the image, for the linearised distance of one rival after the other.
    Rank(usize),
    /// On the way for one rival, or for one target.
    Step,
    /// From the image again by decoupled direction and norm, where the boundary has kinks.
    Decoupled(Decoupled),
    /// Between the image and the best change: parts that fail and that succeed, with margins.
    Ray {
        below: (f64, f64),
        above: (f64, f64),
        part: f64,
        left: u32,
    },
    Over,
}

/// What the boundary was found to be, and what follows from that.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Stage {
    /// The steps settle: nothing else is needed.
    Smooth,
    /// There are kinks: direction and norm are decoupled, for each rival from the image,
    Kinked,
    /// once more from the best change,
    Again,
    /// and steps from there as long as they are short: it was smooth after all.
    Last,
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
    /// Gradients before the search for this rival, and the first linearised distance.
    gradients_before: u64,
    linearised: f64,
    stage: Stage,
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
            gradients_before: 0,
            linearised: 0.0,
            stage: Stage::Smooth,
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
        search.stage = Stage::Smooth;
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
        self.gradients_before = self.effort.gradient;
        self.pending.clear();
        self.merit = f64::INFINITY;
        self.weight = 0.0;
        self.halvings = 0;
    }

    /// Rivals that are searched one after the other: the weakest of the classes that are to stand
    /// before the label.
    fn candidates(&self) -> usize {
        match self.goal.aim {
            Aim::Become(_) => 1,
            Aim::Leave { top, .. } => self.rivals.len() - (top - 1),
        }
    }

    fn next_rival(&mut self) {
        self.current += 1;
        let kinked = self.stage == Stage::Kinked;
        // At kinks only a single rival is searched for itself.
        let one = kinked && !matches!(self.goal.aim, Aim::Leave { top: 1, .. });
        if self.stage <= Stage::Kinked && self.current < self.candidates() && !one {
            self.restart();
            match kinked {
                true => self.decouple(),
                false => self.phase = Phase::Step,
            }
            return;
        }
        let next = match self.stage {
            Stage::Kinked => Stage::Again,
            Stage::Again => Stage::Last,
            Stage::Smooth | Stage::Last => return self.finish(),
        };
        let Some(norm) = self.best.size() else {
            return self.finish();
        };
        self.stage = next;
        self.restart();
        self.go_to_best();
        match next {
            Stage::Again => self.decouple_at(norm),
            _ => self.phase = Phase::Step,
        }
    }

    /// To the smallest change found, if there is one.
    fn go_to_best(&mut self) {
        let Some(image) = self.best.image() else {
            return;
        };
        self.point.copy_from_slice(image);
        for ((change, point), x) in self.change.iter_mut().zip(image).zip(&self.original) {
            *change = point - x;
        }
    }

    /// From the image again, by decoupled direction and norm.
    fn decouple(&mut self) {
        let linearised = match self.goal.aim {
            Aim::Leave { .. } => self.rivals[self.current].1,
            Aim::Become(_) => self.linearised,
        };
        self.point.copy_from_slice(&self.original);
        let guess = || (FIRST_NORM * linearised).min(self.room.widest());
        let best = self.best.size().map(|best| BELOW_BEST * best);
        self.decouple_at(best.unwrap_or_else(guess));
    }

    fn decouple_at(&mut self, norm: f64) {
        let schedule = match (self.goal.aim, self.stage) {
            (Aim::Leave { .. }, Stage::Again) => BEST,
            (Aim::Leave { .. }, _) => RIVAL,
            (Aim::Become(_), Stage::Again) => BEST_OF_ONE_CLASS,
            (Aim::Become(_), _) => ONE_CLASS,
        };
        self.phase = Phase::Decoupled(Decoupled::new(norm, schedule));
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
        self.size = size(logits);
        if self.effort.forward == 1 {
            self.margin_at_start = self.margin;
        }
        if self.margin > SAFETY * self.size {
            self.best.offer(&self.original, &self.point, self.margin);
        }
        if let Phase::Decoupled(_) = self.phase {
            let own = self.rivals.get(self.current).map(|rival| rival.0);
            match (self.goal.aim, own) {
                // Up for the label, down for the rival.
                (Aim::Leave { label, top: 1 }, Some(rival)) if self.stage == Stage::Kinked => {
                    gradient.fill(0.0);
                    (gradient[label], gradient[rival]) = (1.0, -1.0);
                }
                _ => {
                    self.goal.loss(logits, gradient);
                }
            }
            return;
        }
        if let (Stage::Last, 0, Aim::Leave { top: 1, .. }) = (self.stage, self.steps, self.goal.aim)
        {
            // The class that the best change has led to.
            let logit = |i: &usize| logits[self.rivals[*i].0];
            let best = (0..self.rivals.len()).max_by(|a, b| logit(a).total_cmp(&logit(b)));
            self.current = best.unwrap_or(0);
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
            Phase::Decoupled(mut decoupled) => {
                self.effort.gradient += 1;
                let here = Here {
                    original: &self.original,
                    room: &self.room,
                    gradient,
                    margin: self.margin,
                    feasible: self.margin > SAFETY * self.size,
                };
                if decoupled.step(&here, self.best.size(), &mut self.point) {
                    self.phase = Phase::Decoupled(decoupled);
                } else {
                    self.next_rival();
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
