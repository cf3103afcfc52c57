//! What counts as success for one image, as a margin and as a loss of the classifier's outputs.

use blindspot_net::{Real, cross_entropy};

/// Temperature of the soft maximum over the other classes, as a fraction of the margin's size.
const SOFTNESS: f64 = 0.3;

/// The answer that one image is to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// This class.
    Targeted(usize),
    /// Any answer with at least `top_k` other classes before the label.
    Untargeted {
        /// The true class of the image.
        label: usize,
        /// Other classes that must stand before it; 1 for any wrong answer.
        top_k: usize,
    },
}

/// The goal for one image and the margin by which it must be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// The answer that is wanted.
    pub goal: Goal,
    /// Margin to be exceeded, in units of the outputs (logits); at least 0.
    pub confidence: f64,
}

impl Objective {
    /// The lead of the wanted class over the strongest other, or of the weakest of the `top_k`
    /// classes over the label, less the confidence: positive where the objective is reached.
    ///
    /// `outputs` are a classifier's outputs for one image, one a class.
    pub fn margin<T: Real>(self, outputs: &[T]) -> f64 {
        let (up, down) = self.binding_pair(outputs);
        outputs[up].f64() - outputs[down].f64() - self.confidence
    }

    /// The two classes whose difference is the margin: the first is to rise, the second to fall.
    ///
    /// `outputs` are a classifier's outputs for one image, one a class.
    pub fn binding_pair<T: Real>(self, outputs: &[T]) -> (usize, usize) {
        let others = |class: usize| (0..outputs.len()).filter(move |&other| other != class);
        match self.goal {
            Goal::Targeted(class) => (class, nth_largest(outputs, others(class), 1)),
            Goal::Untargeted { label, top_k } => {
                (nth_largest(outputs, others(label), top_k), label)
            }
        }
    }

    /// Writes into `descent` the direction of the outputs against which the margin rises, of the
    /// classes near the binding one together: the margin's own gradient, negated, where the class
    /// that binds it is replaced by a soft maximum with the temperature `SOFTNESS * |margin|`.
    ///
    /// It does not depend on the scale of the outputs, as the cross entropy does, and becomes the
    /// margin's own at the boundary. `outputs` and `descent` have one value a class.
    pub(super) fn descent(self, outputs: &[f32], descent: &mut [f32]) {
        let temperature = (SOFTNESS * self.margin(outputs).abs()).max(f64::MIN_POSITIVE);
        let (own, wanted, top_k) = match self.goal {
            Goal::Targeted(target) => (target, -1.0, 1),
            Goal::Untargeted { label, top_k } => (label, 1.0, top_k),
        };
        let others = (0..outputs.len()).filter(|&class| class != own);
        let max = outputs[nth_largest(outputs, others, top_k)];
        let weight = |output: f32| ((f64::from(output) - f64::from(max)) / temperature).exp();
        let counts = |class: usize| class != own && outputs[class] <= max;
        let counted = (0..outputs.len()).filter(|&class| counts(class));
        let sum: f64 = counted.map(|class| weight(outputs[class])).sum();
        for (class, (descent, &output)) in descent.iter_mut().zip(outputs).enumerate() {
            *descent = if class == own {
                wanted
            } else if counts(class) {
                (-f64::from(wanted) * weight(output) / sum) as f32
            } else {
                0.0
            };
        }
    }

    /// The loss of the paper's search (section 4.1); writes its gradient with respect to the
    /// outputs into `gradient`.
    ///
    /// It is the cross entropy of the target class, -log p(target), or that of all classes but the
    /// label, -log(1 - p(label)). The confidence is taken off the wanted class. Of the classes that
    /// are to stand before the label, only those not above the `top_k`-th count.
    pub fn loss(self, outputs: &[f32], gradient: &mut [f32]) -> f64 {
        match self.goal {
            Goal::Targeted(target) => {
                let mut shifted = outputs.to_vec();
                shifted[target] -= self.confidence as f32;
                let mut loss = 0.0;
                cross_entropy(&shifted, outputs.len(), &[target], gradient, |_, l| {
                    loss = l;
                });
                loss
            }
            Goal::Untargeted { label, top_k } => {
                // -log(1 - p) = log(1 + e^own / sum of the others' e^output).
                let own = f64::from(outputs[label]) + self.confidence;
                let others = outputs
                    .iter()
                    .enumerate()
                    .filter(|&(class, _)| class != label);
                let runner_ups = others.clone().map(|(class, _)| class);
                let max = f64::from(outputs[nth_largest(outputs, runner_ups, top_k)]);
                let counts = |class: usize| class != label && f64::from(outputs[class]) <= max;
                let sum: f64 = others
                    .filter(|&(class, _)| counts(class))
                    .map(|(_, &output)| (f64::from(output) - max).exp())
                    .sum();
                let log_odds = own - max - sum.ln();
                let p = 1.0 / (1.0 + (-log_odds).exp());
                for (class, (gradient, &output)) in gradient.iter_mut().zip(outputs).enumerate() {
                    *gradient = if class == label {
                        p as f32
                    } else if counts(class) {
                        (-p * (f64::from(output) - max).exp() / sum) as f32
                    } else {
                        0.0
                    };
                }
                if log_odds > 30.0 {
                    log_odds
                } else {
                    log_odds.exp().ln_1p()
                }
            }
        }
    }
}

/// The class with the n-th largest output among some classes, counted from 1; the last one where
/// there are fewer.
fn nth_largest<T: Real>(outputs: &[T], classes: impl Iterator<Item = usize>, n: usize) -> usize {
    let above = |a: usize, b: usize| outputs[a] > outputs[b];
    if n <= 1 {
        let largest = classes.reduce(|best, class| if above(class, best) { class } else { best });
        return largest.expect("a search has at least two classes");
    }
    let mut classes: Vec<usize> = classes.collect();
    let position = (n - 1).min(classes.len() - 1);
    let order = |&a: &usize, &b: &usize| outputs[b].f64().total_cmp(&outputs[a].f64());
    *classes.select_nth_unstable_by(position, order).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objectives() -> Vec<Objective> {
        let leave = |label, top_k| Goal::Untargeted { label, top_k };
        let goals = [
            Goal::Targeted(0),
            Goal::Targeted(2),
            leave(2, 1),
            leave(1, 1),
            leave(2, 2),
            leave(0, 3),
        ];
        let objectives = goals
            .iter()
            .flat_map(|&goal| [0.0, 0.75].map(|confidence| Objective { goal, confidence }));
        objectives.collect()
    }

    #[test]
    fn losses_have_the_gradients_of_finite_differences() {
        let logits = [0.5f32, -1.0, 2.0, 0.25];
        for objective in objectives() {
            let mut gradient = [0.0; 4];
            objective.loss(&logits, &mut gradient);
            for i in 0..4 {
                let at = |offset: f32| {
                    let mut moved = logits;
                    moved[i] += offset;
                    objective.loss(&moved, &mut [0.0; 4])
                };
                let difference = (at(0.0625) - at(-0.0625)) / 0.125;
                assert!(
                    (difference - f64::from(gradient[i])).abs() < 1e-3,
                    "{objective:?} {i}"
                );
            }
        }
    }

    #[test]
    fn a_margin_is_above_0_where_the_goal_is_reached() {
        let logits = [0.5f32, -1.0, 2.0, 0.25];
        for objective in objectives() {
            let ahead = |class: usize| {
                let behind = logits.iter().enumerate().filter(|&(other, &logit)| {
                    other != class
                        && f64::from(logit) + objective.confidence < f64::from(logits[class])
                });
                behind.count()
            };
            let reached = match objective.goal {
                Goal::Targeted(target) => ahead(target) == 3,
                Goal::Untargeted { label, top_k } => {
                    let own = f64::from(logits[label]) + objective.confidence;
                    logits
                        .iter()
                        .filter(|&&logit| f64::from(logit) > own)
                        .count()
                        >= top_k
                }
            };
            assert_eq!(objective.margin(&logits) > 0.0, reached, "{objective:?}");
        }
    }

    #[test]
    fn huge_logits_have_finite_losses() {
        for goal in [Goal::Targeted(0), Goal::Untargeted { label: 1, top_k: 1 }] {
            let objective = Objective {
                goal,
                confidence: 0.0,
            };
            let mut gradient = [f32::NAN; 3];
            let loss = objective.loss(&[-3e4, 3e4, 0.0], &mut gradient);
            assert!(loss > 2.9e4 && loss.is_finite(), "{loss}");
            assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        }
    }
}
