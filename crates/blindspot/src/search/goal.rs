//! What a search wants the network to answer.

use std::fmt;
use std::str::FromStr;

use blindspot_net::{Real, cross_entropy};
use serde::{Deserialize, Serialize};

/// How the target class of each image is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Target {
    /// A wrong class, drawn with the seed for each image: the paper's tables.
    Random,
    /// The wrong class that the network finds most likely.
    Nearest,
    /// Every wrong class in turn; the smallest change counts.
    All,
    /// This class, for every image.
    Class(usize),
    /// Any class but the label.
    Untargeted,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Random => f.write_str("random"),
            Target::Nearest => f.write_str("nearest"),
            Target::All => f.write_str("all"),
            Target::Class(class) => write!(f, "{class}"),
            Target::Untargeted => f.write_str("untargeted"),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "random" => Target::Random,
            "nearest" => Target::Nearest,
            "all" => Target::All,
            "untargeted" => Target::Untargeted,
            _ => Target::Class(text.parse().map_err(|_| {
                format!(
                    "`{text}` is no target: use random, nearest, all, untargeted or the number of \
                     a class"
                )
            })?),
        })
    }
}

impl From<Target> for String {
    fn from(target: Target) -> String {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// When a changed answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// The label must leave the so many most likely classes: 1 for any wrong answer. Above 1 it
    /// takes a search that has no target class.
    pub top_k: usize,
    /// By how much, in logits, the classes wanted must lead the others; 0 for any lead.
    pub confidence: f64,
}

impl Default for Criterion {
    fn default() -> Self {
        Criterion {
            top_k: 1,
            confidence: 0.0,
        }
    }
}

/// What the answer to one image must become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Goal {
    pub(super) aim: Aim,
    /// By how much the classes wanted must lead.
    pub(super) confidence: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// This class.
    Become(usize),
    /// `top` other classes before this one.
    Leave { label: usize, top: usize },
}

impl Goal {
    /// By how much the class wanted leads all others, or the weakest of the `top` other classes
    /// the label, beyond what is asked for: above 0 where the goal is reached.
    pub(super) fn margin<T: Real>(self, logits: &[T]) -> f64 {
        let (up, down) = self.weakest(logits);
        logits[up].f64() - logits[down].f64() - self.confidence
    }

    /// The lead that is the weakest of those wanted: of the first class over the second.
    pub(super) fn weakest<T: Real>(self, logits: &[T]) -> (usize, usize) {
        let others = |class: usize| (0..logits.len()).filter(move |&other| other != class);
        match self.aim {
            Aim::Become(class) => (class, nth_largest(logits, others(class), 1)),
            Aim::Leave { label, top } => (nth_largest(logits, others(label), top), label),
        }
    }

    /// The loss of the paper's search, and its gradient with respect to the logits: the cross
    /// entropy of the class wanted, -log p(target), or that of all classes but the label,
    /// -log(1 - p(label)). The lead asked for is taken off the class wanted; of the classes that
    /// are to stand before the label, all but the weakest are left out.
    pub(super) fn loss(self, logits: &[f32], gradient: &mut [f32]) -> f64 {
        match self.aim {
            Aim::Become(target) => {
                let mut shifted = logits.to_vec();
                shifted[target] -= self.confidence as f32;
                let mut loss = 0.0;
                cross_entropy(&shifted, logits.len(), &[target], gradient, |_, l| loss = l);
                loss
            }
            Aim::Leave { label, top } => {
                // -log(1 - p) = log(1 + e^own / sum of the others' e^logit).
                let own = f64::from(logits[label]) + self.confidence;
                let others = logits
                    .iter()
                    .enumerate()
                    .filter(|&(class, _)| class != label);
                let rivals = others.clone().map(|(class, _)| class);
                let max = f64::from(logits[nth_largest(logits, rivals, top)]);
                let counts = |class: usize| class != label && f64::from(logits[class]) <= max;
                let sum: f64 = others
                    .filter(|&(class, _)| counts(class))
                    .map(|(_, &logit)| (f64::from(logit) - max).exp())
                    .sum();
                let lead = own - max - sum.ln();
                let p = 1.0 / (1.0 + (-lead).exp());
                for (class, (gradient, &logit)) in gradient.iter_mut().zip(logits).enumerate() {
                    *gradient = if class == label {
                        p as f32
                    } else if counts(class) {
                        (-p * (f64::from(logit) - max).exp() / sum) as f32
                    } else {
                        0.0
                    };
                }
                if lead > 30.0 {
                    lead
                } else {
                    lead.exp().ln_1p()
                }
            }
        }
    }
}

/// The class with the n-th largest logit among some classes, counted from 1; the last one where
/// there are fewer.
fn nth_largest<T: Real>(logits: &[T], classes: impl Iterator<Item = usize>, n: usize) -> usize {
    let above = |a: usize, b: usize| logits[a] > logits[b];
    if n <= 1 {
        let largest = classes.reduce(|best, class| if above(class, best) { class } else { best });
        return largest.expect("a network has at least two classes");
    }
    let mut classes: Vec<usize> = classes.collect();
    let position = (n - 1).min(classes.len() - 1);
    let order = |&a: &usize, &b: &usize| logits[b].f64().total_cmp(&logits[a].f64());
    *classes.select_nth_unstable_by(position, order).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_written() {
        for text in ["random", "nearest", "all", "untargeted", "7"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert!(
            "closest"
                .parse::<Target>()
                .unwrap_err()
                .contains("random, nearest, all")
        );
    }

    fn goals() -> Vec<Goal> {
        let leave = |label, top| Aim::Leave { label, top };
        let aims = [
            Aim::Become(0),
            Aim::Become(2),
            leave(2, 1),
            leave(1, 1),
            leave(2, 2),
            leave(0, 3),
        ];
        let goals = aims
            .iter()
            .flat_map(|&aim| [0.0, 0.75].map(|confidence| Goal { aim, confidence }));
        goals.collect()
    }

    #[test]
    fn losses_have_the_gradients_of_finite_differences() {
        let logits = [0.5f32, -1.0, 2.0, 0.25];
        for goal in goals() {
            let mut gradient = [0.0; 4];
            goal.loss(&logits, &mut gradient);
            for i in 0..4 {
                let at = |offset: f32| {
                    let mut moved = logits;
                    moved[i] += offset;
                    goal.loss(&moved, &mut [0.0; 4])
                };
                let difference = (at(0.0625) - at(-0.0625)) / 0.125;
                assert!(
                    (difference - f64::from(gradient[i])).abs() < 1e-3,
                    "{goal:?} {i}"
                );
            }
        }
    }

    #[test]
    fn a_margin_is_above_0_where_the_goal_is_reached() {
        let logits = [0.5f32, -1.0, 2.0, 0.25];
        for goal in goals() {
            let ahead = |class: usize| {
                let behind = logits.iter().enumerate().filter(|&(other, &logit)| {
                    other != class && f64::from(logit) + goal.confidence < f64::from(logits[class])
                });
                behind.count()
            };
            let reached = match goal.aim {
                Aim::Become(target) => ahead(target) == 3,
                Aim::Leave { label, top } => {
                    let own = f64::from(logits[label]) + goal.confidence;
                    logits
                        .iter()
                        .filter(|&&logit| f64::from(logit) > own)
                        .count()
                        >= top
                }
            };
            assert_eq!(goal.margin(&logits) > 0.0, reached, "{goal:?}");
        }
    }

    #[test]
    fn huge_logits_have_finite_losses() {
        for aim in [Aim::Become(0), Aim::Leave { label: 1, top: 1 }] {
            let goal = Goal {
                aim,
                confidence: 0.0,
            };
            let mut gradient = [f32::NAN; 3];
            let loss = goal.loss(&[-3e4, 3e4, 0.0], &mut gradient);
            assert!(loss > 2.9e4 && loss.is_finite(), "{loss}");
            assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        }
    }
}
