//! Steps to the nearest point of the linearised boundary within a trust region, for one runner-up or
//! one target class.

use blindspot_net::vectorised;

use super::super::bounds::FeasibleBox;
use super::super::norms::Norm;
use super::super::problem::{Evaluation, MAX_OVERSHOOT, Problem};
use super::super::runner_ups::RunnerUps;
use super::super::vectors::{farthest, product};
use super::program::{Constraint, EXACT, Intervals, nearest, size};

/// Accepted steps at most, and points refused one after the other.
const MAX_STEPS: u32 = 60;
const MAX_REFUSED: u32 = 10;
/// The search ends where the linearised problem promises less than this part of the norm.
const SMALL_GAIN: f64 = 1e-4;
/// A step is taken if it brings this part of the gain that was promised; the region is halved below the
/// second part, and doubled above the third.
const ACCEPTED: f64 = 0.05;
const POOR: f64 = 0.25;
const GOOD: f64 = 0.7;
/// What a violated constraint weighs in the merit, as a multiple of its largest multiplier so far.
const WEIGHT: f64 = 2.0;
/// Where so many steps have not reached the objective (a margin that bends away from its tangents), they
/// aim beyond it by this part of what is missing.
const PATIENT_STEPS: u32 = 3;
const BEYOND: f64 = 0.5;
/// A class is given up where its linearised problem promises more than the first multiple of the best
/// norm after so many steps, or more than the second where it hardly promises to fall.
const BEATEN: (f64, u32) = (1.3, 2);
const SETTLED_BEATEN: (f64, f64) = (1.03, 0.05);
/// Margins linearised at a point at most.
const MAX_TANGENTS: usize = 10;
/// Cuts at a time, and those of them that stay when a step is taken. In L1 a step changes few values, and a cut says
/// little of the next one.
const MAX_CUTS: usize = 6;
const fn kept_cuts(norm: Norm) -> usize {
    match norm {
        Norm::Linf => 2,
        _ => 0,
    }
}
/// The gap of the linear programs while they promise steps: an exact one is asked for before the descent ends.
const COARSE: f64 = 1e-3;
/// A descent that ends though without its trust region it would be promised more than this part of the norm has come to
/// a kink.
const KINK: f64 = 0.01;

/// A margin with its gradient, at the perturbation that stands.
#[derive(Debug, Clone, Default)]
struct Tangent {
    class: usize,
    /// The linear function at no perturbation at all.
    constant: f64,
    /// The gradient; the offset is that of the last linearised problem.
    constraint: Constraint,
    multiplier: f64,
    /// Whether it is that at a point that was refused, and not at the perturbation that stands.
    is_cut: bool,
}

impl Tangent {
    /// Makes it that of a class's margin at a perturbation.
    fn set(&mut self, class: usize, gradient: &[f32], margin: f64, at: &[f64]) {
        self.class = class;
        let normal = &mut self.constraint.normal;
        normal.clear();
        normal.extend(gradient.iter().map(|&g| f64::from(g)));
        self.constant = margin - product(normal, at);
    }
}

/// What a step has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Searching,
    /// Steps were refused, one after the other, or did not settle: of kinks.
    Kink,
    Ended,
}

/// The descent of one search.
#[derive(Debug, Default)]
pub(super) struct Descent {
    norm: Norm,
    /// The perturbation that stands, and the one that is tried.
    delta: Vec<f64>,
    trial: Vec<f64>,
    tangents: Vec<Tangent>,
    intervals: Intervals,
    /// Half the width of the trust region, which is a box in every norm.
    radius: f64,
    /// Of the perturbation that stands.
    smallest_margin: f64,
    success: bool,
    /// What a violation weighs in the merit.
    weight: f64,
    /// The merit that the linearised problem promises.
    promised: f64,
    overshoot: f64,
    /// Classes that are still to be linearised at the perturbation that stands.
    pending: Vec<usize>,
    asked: usize,
    asked_margin: f64,
    /// Whether the point that was evaluated last stands.
    stands: bool,
    begun: bool,
    /// Whether tangents at refused points are kept.
    keeps_cuts: bool,
    /// Whether the descent would have ended with cuts since the last step.
    tried_without_cuts: bool,
    steps: u32,
    refused: u32,
    gradients: u64,
}

impl Descent {
    /// Begins again, at a point, with steps of any length.
    pub(super) fn restart(&mut self, norm: Norm, original: &[f32], point: &[f32], radius: f64) {
        self.norm = norm;
        self.trial.clear();
        let values = point.iter().zip(original);
        self.trial
            .extend(values.map(|(&point, &x)| f64::from(point) - f64::from(x)));
        self.delta.clone_from(&self.trial);
        self.tangents.clear();
        self.radius = radius;
        self.weight = 0.0;
        self.success = false;
        self.overshoot = 1.0;
        self.pending.clear();
        (self.stands, self.begun) = (false, false);
        (self.steps, self.refused, self.gradients) = (0, 0, 0);
    }

    /// From now on, keeps the tangents at points that are refused.
    pub(super) fn keep_cuts(&mut self) {
        self.keeps_cuts = true;
    }

    /// Whether no point was evaluated since the last restart.
    pub(super) fn is_fresh(&self) -> bool {
        !self.begun
    }

    /// Margins linearised since the last restart.
    pub(super) fn gradients(&self) -> u64 {
        self.gradients
    }

    /// Asks for the gradient of a class's margin.
    pub(super) fn ask(
        &mut self,
        class: usize,
        problem: &Problem,
        outputs: &[f32],
        gradient: &mut [f32],
    ) {
        self.asked = class;
        self.asked_margin = problem.margin_of(class, outputs);
        let (up, down) = problem.pair(class);
        gradient.fill(0.0);
        (gradient[up], gradient[down]) = (1.0, -1.0);
    }

    /// How far the class asked for is, were the classifier linear; infinite where the box is too small.
    pub(super) fn distance(&mut self, gradient: &[f32], problem: &Problem, at: Evaluation) -> f64 {
        self.tangents.clear();
        self.linearize(gradient);
        self.radius = f64::INFINITY;
        let feasible = self.project(problem, at, EXACT);
        self.tangents.clear();
        if feasible {
            size(self.norm, &self.trial)
        } else {
            f64::INFINITY
        }
    }

    /// Takes the outputs at the point and asks for a gradient there.
    pub(super) fn take_outputs(
        &mut self,
        problem: &Problem,
        runner_ups: &RunnerUps,
        (outputs, at): (&[f32], Evaluation),
        gradient: &mut [f32],
    ) {
        if self.pending.is_empty() {
            let classes = runner_ups.to_linearize(problem, outputs, MAX_TANGENTS, |class| {
                self.is_active(class)
            });
            let margin = problem.margin_of(classes[0], outputs);
            self.stands = self.is_better(margin, at);
            if self.stands {
                self.delta.clone_from(&self.trial);
                self.smallest_margin = margin;
                self.success = margin > at.lead;
                let mut old = self.cuts().saturating_sub(kept_cuts(self.norm));
                self.tangents.retain(|tangent| {
                    if tangent.is_cut && old > 0 {
                        old -= 1;
                        return false;
                    }
                    tangent.is_cut || classes.contains(&tangent.class)
                });
                self.pending = classes;
            } else {
                self.pending = vec![classes[0]];
            }
        }
        let class = self.pending.pop().unwrap_or(0);
        self.ask(class, problem, outputs, gradient);
    }

    /// Whether the point tried takes the place of the one that stands; sets the trust region by what the
    /// promise was worth.
    fn is_better(&mut self, margin: f64, at: Evaluation) -> bool {
        if !self.begun {
            self.begun = true;
            return true;
        }
        let before = self.merit(&self.delta, self.smallest_margin, at);
        let after = self.merit(&self.trial, margin, at);
        let worth = (before - after) / (before - self.promised).max(f64::MIN_POSITIVE);
        let moved = self.moved();
        if worth < POOR {
            self.radius = 0.5 * moved;
        } else if worth > GOOD && moved > 0.99 * self.radius {
            self.radius *= 2.0;
        }
        worth > ACCEPTED
    }

    /// The farthest that any value is moved.
    fn moved(&self) -> f64 {
        farthest(&self.trial, &self.delta)
    }

    fn merit(&self, delta: &[f64], margin: f64, at: Evaluation) -> f64 {
        let violation = (at.beyond(self.overshoot) - margin).max(0.0);
        size(self.norm, delta) + self.weight * violation
    }

    /// Whether the constraint of a class was active in the last step.
    fn is_active(&self, class: usize) -> bool {
        let mut tangents = self.tangents.iter();
        tangents
            .any(|tangent| !tangent.is_cut && tangent.class == class && tangent.multiplier > 0.0)
    }

    /// Takes the gradient that was asked for; moves `point` on once all margins that count at the
    /// perturbation that stands are linearised.
    pub(super) fn step(
        &mut self,
        gradient: &[f32],
        problem: &Problem,
        (at, best): (Evaluation, Option<f64>),
        point: &mut [f32],
    ) -> Progress {
        if self.stands {
            self.linearize(gradient);
            if !self.pending.is_empty() {
                return Progress::Searching;
            }
            self.steps += 1;
            self.refused = 0;
            self.tried_without_cuts = false;
        } else {
            self.refused += 1;
            self.cut(gradient);
        }
        if self.steps > MAX_STEPS || self.refused > MAX_REFUSED {
            return Progress::Kink;
        }
        let mut gap = COARSE;
        loop {
            let feasible = self.project(problem, at, gap);
            let multipliers: f64 = self.tangents.iter().map(|tangent| tangent.multiplier).sum();
            self.weight = self.weight.max(WEIGHT * multipliers);
            self.place(problem, point);
            let length = size(self.norm, &self.trial);
            self.promised = self.merit_of_program();
            let gain = self.merit(&self.delta, self.smallest_margin, at) - self.promised;
            if gain > SMALL_GAIN * length {
                let wide = self.radius.is_infinite() || self.moved() < 0.99 * self.radius;
                if feasible && wide && self.is_beaten(length, gain, best) {
                    return Progress::Ended;
                }
                return Progress::Searching;
            }
            if gap > EXACT {
                gap = EXACT;
            } else if self.cuts() > 0 && !self.tried_without_cuts {
                self.tried_without_cuts = true;
                self.tangents.retain(|tangent| !tangent.is_cut);
            } else if self.success || self.overshoot >= MAX_OVERSHOOT {
                return if self.is_held(problem, at, length) {
                    Progress::Kink
                } else {
                    Progress::Ended
                };
            } else {
                self.overshoot *= 2.0;
            }
        }
    }

    /// The merit of the perturbation that is tried, were the margins as linear as the program takes them for.
    fn merit_of_program(&self) -> f64 {
        let missing = self.tangents.iter().map(|tangent| {
            tangent.constraint.offset - product(&tangent.constraint.normal, &self.trial)
        });
        size(self.norm, &self.trial) + self.weight * missing.fold(0.0, f64::max)
    }

    /// Whether nothing but the trust region holds the descent where it ends, with a perturbation of this length: at a
    /// kink.
    fn is_held(&mut self, problem: &Problem, at: Evaluation, length: f64) -> bool {
        if self.radius.is_infinite() || self.moved() < 0.99 * self.radius {
            return false;
        }
        self.radius = f64::INFINITY;
        self.tangents.retain(|tangent| !tangent.is_cut);
        self.project(problem, at, COARSE);
        let now = self.merit(&self.delta, self.smallest_margin, at);
        now - self.merit_of_program() > KINK * length
    }

    /// Whether this class can't give a perturbation smaller than the best any more.
    fn is_beaten(&self, length: f64, gain: f64, best: Option<f64>) -> bool {
        let Some(best) = best else { return false };
        let far = self.steps >= BEATEN.1 && length > BEATEN.0 * best;
        far || self.steps >= BEATEN.1
            && length > SETTLED_BEATEN.0 * best
            && gain < SETTLED_BEATEN.1 * length
    }

    /// Replaces the margin asked for by its tangent at the perturbation that stands.
    fn linearize(&mut self, gradient: &[f32]) {
        let class = self.asked;
        let mut tangents = self.tangents.iter();
        let place = tangents.position(|tangent| !tangent.is_cut && tangent.class == class);
        let mut tangent = place.map_or_else(Tangent::default, |at| self.tangents.swap_remove(at));
        self.gradients += 1;
        tangent.set(class, gradient, self.asked_margin, &self.delta);
        self.tangents.push(tangent);
    }

    /// How many tangents are cuts.
    fn cuts(&self) -> usize {
        self.tangents
            .iter()
            .filter(|tangent| tangent.is_cut)
            .count()
    }

    /// Keeps the tangent at the point that was refused, where cuts are kept.
    fn cut(&mut self, gradient: &[f32]) {
        if !self.keeps_cuts || self.cuts() >= MAX_CUTS {
            return;
        }
        self.gradients += 1;
        let mut tangent = Tangent {
            is_cut: true,
            ..Tangent::default()
        };
        tangent.set(self.asked, gradient, self.asked_margin, &self.trial);
        self.tangents.push(tangent);
    }

    /// Finds the nearest perturbation in the trust region that satisfies all tangents, as far as the gap lets; false
    /// where it has none.
    fn project(&mut self, problem: &Problem, at: Evaluation, gap: f64) -> bool {
        let violation = (at.beyond(self.overshoot) - self.smallest_margin).max(0.0);
        let beyond = if self.steps > PATIENT_STEPS && !self.success {
            BEYOND * violation
        } else {
            0.0
        };
        let aim = at.beyond(self.overshoot) + beyond;
        for tangent in &mut self.tangents {
            tangent.constraint.offset = aim - tangent.constant;
        }
        write_intervals(
            &problem.original,
            &problem.feasible_box,
            (&self.delta, self.radius),
            &mut self.intervals,
        );
        let constraints: Vec<Constraint> = self
            .tangents
            .iter_mut()
            .map(|tangent| std::mem::take(&mut tangent.constraint))
            .collect();
        let solution = nearest(
            self.norm,
            &constraints,
            &self.intervals,
            gap,
            &mut self.trial,
        );
        let solved = constraints.into_iter().zip(solution.multipliers);
        for (tangent, (constraint, multiplier)) in self.tangents.iter_mut().zip(solved) {
            (tangent.constraint, tangent.multiplier) = (constraint, multiplier);
        }
        solution.feasible
    }

    /// Sets the point to the perturbation that is tried, moved into the box.
    fn place(&mut self, problem: &Problem, point: &mut [f32]) {
        let FeasibleBox { lower, upper, .. } = &*problem.feasible_box;
        let (trial, original) = (&mut self.trial[..], &problem.original[..]);
        vectorised(
            #[inline(always)]
            move || {
                let values = point.iter_mut().zip(trial).zip(original);
                for (((point, trial), &x), (&lower, &upper)) in values.zip(lower.iter().zip(upper))
                {
                    let x = f64::from(x);
                    *point = ((x + *trial) as f32).max(lower).min(upper);
                    *trial = f64::from(*point) - x;
                }
            },
        );
    }
}

/// Writes where each value of a perturbation may lie: in the box, and no farther from where it is than
/// the radius.
pub(in super::super) fn write_intervals(
    original: &[f32],
    feasible_box: &FeasibleBox,
    (delta, radius): (&[f64], f64),
    intervals: &mut Intervals,
) {
    let Intervals { lower, upper } = intervals;
    lower.resize(original.len(), 0.0);
    upper.resize(original.len(), 0.0);
    vectorised(
        #[inline(always)]
        move || {
            let values = original.iter().zip(delta);
            let box_ends = feasible_box.lower.iter().zip(&feasible_box.upper);
            let ends = lower.iter_mut().zip(upper);
            for (((&x, delta), (&least, &most)), (lower, upper)) in values.zip(box_ends).zip(ends) {
                let x = f64::from(x);
                *lower = (f64::from(least) - x).max(delta - radius);
                *upper = (f64::from(most) - x).min(delta + radius);
            }
        },
    );
}
