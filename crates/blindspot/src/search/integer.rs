//! The search among 8-bit images where no multiple of the example succeeds: by decoupled direction
//! and norm. The classifier is evaluated at the rounded image, and its gradient there stands for
//! that at the unrounded one.

use std::sync::Arc;

use super::batch::Search;
use super::bounds::FeasibleBox;
use super::iterate::Iterate;
use super::levels::{level, value};
use super::objective::Objective;
use super::perturbation::Best;
use super::sqp::ddn::{RelativeDdn, Schedule};
use super::task::{Effort, Task};

/// Initial norm, as a multiple of that of the example found in floats.
const FIRST_NORM: f64 = 2.0;
const SCHEDULE: Schedule = Schedule::new(100, 1.0);

/// The search for one image and one objective.
pub(super) struct IntegerSearch<'a> {
    original: &'a [f32],
    objective: Objective,
    lead: f64,
    feasible_box: Arc<FeasibleBox>,
    ddn: RelativeDdn,
    unrounded: Vec<f32>,
    rounded: Vec<f32>,
    margin: f64,
    success: bool,
    best: Best,
    effort: Effort,
}

impl<'a> IntegerSearch<'a> {
    /// The search of a task; `norm` is the L2 norm of the perturbation found in floats.
    pub(super) fn new(task: &Task<'a>, norm: f64) -> Self {
        let original = task.original;
        let mut search = IntegerSearch {
            original,
            objective: task.objective,
            lead: task.lead,
            feasible_box: Arc::clone(&task.feasible_box),
            ddn: RelativeDdn::new(FIRST_NORM * norm, SCHEDULE),
            unrounded: original.to_vec(),
            rounded: original.to_vec(),
            margin: 0.0,
            success: false,
            best: Best::by(task.measure),
            effort: Effort::default(),
        };
        search.round();
        search
    }

    fn round(&mut self) {
        let values = self.rounded.iter_mut().zip(&self.unrounded);
        for (i, (rounded, &wanted)) in values.enumerate() {
            *rounded = value(level(&self.feasible_box, i, wanted));
        }
    }
}

impl Search for IntegerSearch<'_> {
    fn point(&self) -> &[f32] {
        &self.rounded
    }

    fn take_outputs(&mut self, outputs: &[f32], gradient: &mut [f32]) {
        self.effort.evaluations += 1;
        self.margin = self.objective.margin(outputs);
        self.success = self.margin > self.lead;
        if self.success {
            self.best.offer(self.original, &self.rounded, self.margin);
        }
        self.objective.loss(outputs, gradient);
    }

    fn take_gradient(&mut self, gradient: &[f32]) -> bool {
        self.effort.gradients += 1;
        let iterate = Iterate {
            original: self.original,
            gradient,
            margin: self.margin,
            success: self.success,
            feasible_box: &self.feasible_box,
        };
        let best = self.best.norm();
        let goes_on = self.ddn.step(&iterate, best, &mut self.unrounded);
        self.round();
        goes_on
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

    use super::super::batch::run;
    use blindspot_model::InputBox;

    use super::super::norms::Measure;
    use super::super::objective::Goal;
    use super::super::perturbation::norm;
    use super::super::task::StopCondition;
    use super::*;
    use blindspot_paper::train::Recipe;
    use blindspot_run::monitor::Unwatched;

    const LEAD: f64 = 1e-6;

    /// The least norm of a change of an image of two values, over all 65,536 images.
    fn brute(network: &Network<f32>, original: &[f32], objective: Objective) -> Option<f64> {
        let images: Vec<f32> = (0..=255u8)
            .flat_map(|a| (0..=255u8).flat_map(move |b| [value(a), value(b)]))
            .collect();
        let mut evaluator = Evaluator::new(network);
        evaluator.input(images.len() / 2).copy_from_slice(&images);
        let logits = evaluator.forward().chunks_exact(network.output_len());
        let reached = images.chunks_exact(2).zip(logits);
        let reached = reached.filter(|(_, logits)| objective.margin(logits) > LEAD);
        let norms = reached.map(|(image, _)| norm(original, image));
        norms.min_by(f64::total_cmp)
    }

    #[test]
    fn it_ends_near_the_nearest_of_all_images() {
        let (mut reachable, mut nearest) = (0, 0);
        for seed in 0..150 {
            let network = Recipe::named("FC100-100-10").unwrap().start(2, 4, seed);
            let original = [value(seed as u8), value(200 - seed as u8)];
            let goal = Goal::Targeted(seed as usize % 4);
            let confidence = 0.0;
            let objective = Objective { goal, confidence };
            let stop = StopCondition {
                monitor: &Unwatched,
                deadline: None,
            };
            let task = Task {
                begin: None,
                original: &original,
                index: 0,
                objective,
                measure: Measure::default(),
                lead: LEAD,
                feasible_box: Arc::new(FeasibleBox::within(InputBox::default(), 2)),
                max_evaluations: u64::MAX,
            };
            let start = |_, _| IntegerSearch::new(&task, 0.01);
            let found = run(&network, 1, start, stop)
                .unwrap()
                .remove(0)
                .unwrap()
                .adversarial;
            match (brute(&network, &original, objective), found) {
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
