//! The runner-ups of a label: the classes that could take its place, ranked by their linearised
//! distances, and which of them is searched.

use super::objective::{Goal, Objective};
use super::problem::Problem;

/// Runner-ups whose linearised distances are computed, those with the largest outputs first.
const MAX_RANKED: usize = 9;
/// Runner-ups that are searched, the nearest first: see DESIGN.md for what fewer cost.
const MAX_SEARCHED: usize = 5;
/// A runner-up is not searched if its linearised distance exceeds the nearest by this factor.
const FARTHEST: f64 = 2.0;
/// Classes whose margin exceeds the smallest by less than this fraction of it are linearised, too,
/// if they are among the first `MAX_NEAR`.
const NEAR: f64 = 0.3;
const MAX_NEAR: usize = 2;

/// A class that could take the label's place.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunnerUp {
    pub(super) class: usize,
    /// How far its boundary is from the original, were the classifier linear: an L2 norm.
    pub(super) linearized_distance: f64,
}

/// The runner-ups of one search; none where it has a target class.
#[derive(Debug, Default)]
pub(super) struct RunnerUps {
    all: Vec<RunnerUp>,
    /// Which is searched.
    current: usize,
}

impl RunnerUps {
    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.current = 0;
    }

    /// Fills the list with the classes other than the label, those with the largest outputs
    /// first: all of them, or as many as are ranked for this `top_k`; no more than `most`, if that
    /// is enough for it.
    pub(super) fn fill(
        &mut self,
        label: usize,
        top_k: usize,
        outputs: &[f32],
        (all, most): (bool, usize),
    ) {
        let wrong = (0..outputs.len()).filter(|&class| class != label);
        self.all.extend(wrong.map(|class| RunnerUp {
            class,
            linearized_distance: 0.0,
        }));
        let key = |runner_up: &RunnerUp| -outputs[runner_up.class];
        self.all.sort_by(|a, b| key(a).total_cmp(&key(b)));
        let ranked = if all {
            usize::MAX
        } else {
            MAX_RANKED + top_k - 1
        };
        self.all.truncate(ranked.min(most.max(top_k)));
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The class at a rank.
    pub(super) fn class(&self, rank: usize) -> usize {
        self.all[rank].class
    }

    pub(super) fn set_distance(&mut self, rank: usize, distance: f64) {
        self.all[rank].linearized_distance = distance;
    }

    /// Sorts the list by distance and, unless `all` are to be searched, keeps the nearest.
    pub(super) fn rank(&mut self, top_k: usize, all: bool) {
        let distance = |runner_up: &RunnerUp| runner_up.linearized_distance;
        self.all.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        if !all {
            let farthest = FARTHEST * distance(&self.all[top_k - 1]);
            let near = self.all.iter().filter(|other| distance(other) <= farthest);
            let searched = near.count().clamp(top_k, top_k - 1 + MAX_SEARCHED);
            self.all.truncate(searched);
        }
    }

    /// The runner-up that is searched.
    pub(super) fn current(&self) -> Option<RunnerUp> {
        self.all.get(self.current).copied()
    }

    /// The runner-up with the smallest linearised distance.
    pub(super) fn nearest(&self) -> Option<RunnerUp> {
        self.all.first().copied()
    }

    /// Goes on to the next runner-up; whether there is one for this objective.
    pub(super) fn advance(&mut self, objective: Objective) -> bool {
        self.current += 1;
        let candidates = match objective.goal {
            Goal::Targeted(_) => 1,
            // The last of the `top_k` classes that are to stand before the label is searched for.
            Goal::Untargeted { top_k, .. } => self.all.len() - (top_k - 1),
        };
        self.current < candidates
    }

    /// Makes the runner-up with the largest output the current one.
    pub(super) fn choose_largest(&mut self, outputs: &[f32]) {
        let output = |i: &usize| outputs[self.all[*i].class];
        let largest = (0..self.all.len()).max_by(|a, b| output(a).total_cmp(&output(b)));
        self.current = largest.unwrap_or(0);
    }

    /// The classes that are to stand before the label while the current one is searched.
    fn wanted(&self, top_k: usize) -> Vec<usize> {
        let last = (top_k - 1 + self.current).min(self.all.len() - 1);
        let wanted = self.all[..top_k - 1].iter().chain([&self.all[last]]);
        wanted.map(|runner_up| runner_up.class).collect()
    }

    /// The classes whose margins to linearise at a new point, `most` at most: the smallest, those nearly
    /// as small (of a class that must lead all others) or violated (of several that must lead the label),
    /// and those whose constraints were active in the last step; the smallest first.
    pub(super) fn to_linearize(
        &self,
        problem: &Problem,
        outputs: &[f32],
        most: usize,
        is_active: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let margin = |&class: &usize| problem.margin_of(class, outputs);
        let mut classes: Vec<usize> = match problem.objective.goal {
            Goal::Targeted(target) => (0..outputs.len()).filter(|&c| c != target).collect(),
            Goal::Untargeted { top_k, .. } => self.wanted(top_k),
        };
        classes.sort_by(|a, b| margin(a).total_cmp(&margin(b)));
        let smallest = margin(&classes[0]);
        let (near, first) = match problem.objective.goal {
            Goal::Targeted(_) => (smallest + NEAR * smallest.abs(), MAX_NEAR),
            Goal::Untargeted { .. } => (0.0, most),
        };
        let chosen = classes.iter().enumerate().filter(|&(rank, class)| {
            rank == 0 || is_active(*class) || rank < first && margin(class) < near
        });
        chosen.map(|(_, &class)| class).take(most).collect()
    }
}
