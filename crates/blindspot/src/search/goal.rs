//! What a search wants the network to answer.

use std::fmt;
use std::str::FromStr;

use blindspot_net::cross_entropy;
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

/// What the answer to one image must become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// This class.
    Become(usize),
    /// Any class but this one.
    Leave(usize),
}

impl Goal {
    /// By how much the class wanted leads all others: above 0 where the goal is reached.
    pub(super) fn margin(self, logits: &[f32]) -> f64 {
        let (Goal::Become(class) | Goal::Leave(class)) = self;
        let others = logits
            .iter()
            .enumerate()
            .filter(|&(other, _)| other != class);
        let best = others
            .map(|(_, &logit)| f64::from(logit))
            .fold(f64::NEG_INFINITY, f64::max);
        match self {
            Goal::Become(_) => f64::from(logits[class]) - best,
            Goal::Leave(_) => best - f64::from(logits[class]),
        }
    }

    /// The loss of the paper's search, and its gradient with respect to the logits: the cross
    /// entropy of the class wanted, -log p(target), or that of all classes but the label,
    /// -log(1 - p(label)).
    pub(super) fn loss(self, logits: &[f32], gradient: &mut [f32]) -> f64 {
        let mut loss = 0.0;
        match self {
            Goal::Become(target) => {
                cross_entropy(logits, logits.len(), &[target], gradient, |_, l| loss = l);
            }
            Goal::Leave(label) => {
                // -log(1 - p) = log(1 + e^own / sum of the others' e^logit).
                let own = f64::from(logits[label]);
                let others = logits
                    .iter()
                    .enumerate()
                    .filter(|&(class, _)| class != label);
                let max = others
                    .clone()
                    .map(|(_, &logit)| f64::from(logit))
                    .fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = others
                    .map(|(_, &logit)| (f64::from(logit) - max).exp())
                    .sum();
                let lead = own - max - sum.ln();
                loss = if lead > 30.0 {
                    lead
                } else {
                    lead.exp().ln_1p()
                };
                let p = 1.0 / (1.0 + (-lead).exp());
                for (class, (gradient, &logit)) in gradient.iter_mut().zip(logits).enumerate() {
                    let share = (f64::from(logit) - max).exp() / sum;
                    *gradient = if class == label { p } else { -p * share } as f32;
                }
            }
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use blindspot_net::argmax;

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

    #[test]
    fn losses_have_the_gradients_of_finite_differences() {
        let logits = [0.5f32, -1.0, 2.0, 0.25];
        for goal in [
            Goal::Become(0),
            Goal::Become(2),
            Goal::Leave(2),
            Goal::Leave(1),
        ] {
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
            let reached = match goal {
                Goal::Become(target) => argmax(&logits) == target,
                Goal::Leave(label) => argmax(&logits) != label,
            };
            assert_eq!(goal.margin(&logits) > 0.0, reached);
        }
    }

    #[test]
    fn huge_logits_have_finite_losses() {
        for goal in [Goal::Become(0), Goal::Leave(1)] {
            let mut gradient = [f32::NAN; 3];
            let loss = goal.loss(&[-3e4, 3e4, 0.0], &mut gradient);
            assert!(loss > 2.9e4 && loss.is_finite(), "{loss}");
            assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        }
    }
}
