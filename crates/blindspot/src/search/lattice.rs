//! The search among 8-bit images where no multiple of the example succeeds: by decoupled direction
//! and norm, the network asked at the rounded image, the gradient taken for that of the unrounded.

use std::sync::Arc;

use super::batch::{Effort, Search};
use super::change::{Best, SAFETY, size};
use super::decoupled::{Decoupled, Schedule};
use super::eight_bit::{level, value};
use super::goal::Goal;
use super::here::Here;
use super::ranges::Room;

/// From changes of so many times the norm of the example found in floats.
const FIRST_NORM: f64 = 2.0;
const SCHEDULE: Schedule = Schedule::new(100, 1.0);

/// The search for one image and one goal.
pub(super) struct Lattice<'a> {
    original: &'a [f32],
    goal: Goal,
    room: Arc<Room>,
    way: Decoupled,
    unrounded: Vec<f32>,
    rounded: Vec<f32>,
    margin: f64,
    feasible: bool,
    best: Best,
    effort: Effort,
}

impl<'a> Lattice<'a> {
    /// `norm` is that of the example found in floats.
    pub(super) fn new(original: &'a [f32], goal: Goal, room: Arc<Room>, norm: f64) -> Self {
        let mut search = Lattice {
            original,
            goal,
            room,
            way: Decoupled::new(FIRST_NORM * norm, SCHEDULE),
            unrounded: original.to_vec(),
            rounded: original.to_vec(),
            margin: 0.0,
            feasible: false,
            best: Best::default(),
            effort: Effort::default(),
        };
        search.round();
        search
    }

    fn round(&mut self) {
        let values = self.rounded.iter_mut().zip(&self.unrounded);
        for (i, (rounded, &wanted)) in values.enumerate() {
            *rounded = value(level(&self.room, i, wanted));
        }
    }
}

impl Search for Lattice<'_> {
    fn point(&self) -> &[f32] {
        &self.rounded
    }

    fn take_logits(&mut self, logits: &[f32], gradient: &mut [f32]) {
        self.effort.forward += 1;
        self.margin = self.goal.margin(logits);
        self.feasible = self.margin > SAFETY * size(logits);
        if self.feasible {
            self.best.offer(self.original, &self.rounded, self.margin);
        }
        self.goal.loss(logits, gradient);
    }

    fn take_gradient(&mut self, gradient: &[f32]) -> bool {
        self.effort.gradient += 1;
        let here = Here {
            original: self.original,
            room: &self.room,
            gradient,
            margin: self.margin,
            feasible: self.feasible,
        };
        let on = self.way.step(&here, self.best.size(), &mut self.unrounded);
        self.round();
        on
    }

    fn best(&self) -> Option<&[f32]> {
        self.best.image()
    }

    fn effort(&self) -> Effort {
        self.effort
    }
}

#[cfg(test)]
mod tests {
    use blindspot_net::{Evaluator, Network};

    use super::super::batch::{Watch, run};
    use super::super::change::{InputBox, norm};
    use super::super::goal::Aim;
    use super::*;
    use crate::run::monitor::Unwatched;
    use blindspot_paper::train::Recipe;

    /// The least norm of a change of an image of two values, over all 65,536 images.
    fn brute(network: &Network<f32>, original: &[f32], goal: Goal) -> Option<f64> {
        let images: Vec<f32> = (0..=255u8)
            .flat_map(|a| (0..=255u8).flat_map(move |b| [value(a), value(b)]))
            .collect();
        let mut evaluator = Evaluator::new(network);
        evaluator.input(images.len() / 2).copy_from_slice(&images);
        let logits = evaluator.forward().chunks_exact(network.output_len());
        let reached = images.chunks_exact(2).zip(logits);
        let reached = reached.filter(|(_, logits)| goal.margin(logits) > SAFETY * size(logits));
        let norms = reached.map(|(image, _)| norm(original, image));
        norms.min_by(f64::total_cmp)
    }

    #[test]
    fn it_ends_near_the_nearest_of_all_images() {
        let (mut reachable, mut nearest) = (0, 0);
        for seed in 0..150 {
            let network = Recipe::named("FC100-100-10").unwrap().start(2, 4, seed);
            let original = [value(seed as u8), value(200 - seed as u8)];
            let aim = Aim::Become(seed as usize % 4);
            let confidence = 0.0;
            let goal = Goal { aim, confidence };
            let room = Arc::new(Room::within(InputBox::default(), 2));
            let watch = Watch {
                monitor: &Unwatched,
                deadline: None,
            };
            let start = |_, _| Lattice::new(&original, goal, Arc::clone(&room), 0.01);
            let found = run(&network, 1, start, watch).remove(0).unwrap().0;
            match (brute(&network, &original, goal), found) {
                (None, found) => assert!(found.is_none(), "{seed}"),
                (Some(least), found) => {
                    reachable += 1;
                    let image = found.unwrap_or_else(|| panic!("nothing for {seed}"));
                    assert!(image.iter().all(|v| v * 255.0 == (v * 255.0).round()));
                    let found = norm(&original, &image);
                    assert!(found >= least, "{seed}: {found} below {least}");
                    assert!(
                        found <= 1.3 * least + 2.0 / 255.0,
                        "{seed}: {found}, {least}"
                    );
                    nearest += usize::from(found == least);
                }
            }
        }
        assert!(
            reachable > 25 && nearest > reachable / 2,
            "{nearest} of {reachable}"
        );
    }
}
