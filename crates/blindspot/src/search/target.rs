//! What a search asks for: how targets are chosen, and when a changed answer counts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the target class of each image is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Target {
    /// A wrong class, drawn with the seed for each image, as in the paper's tables.
    Random,
    /// The wrong class to which the classifier gives the largest output.
    Nearest,
    /// Every wrong class in turn; the smallest perturbation counts.
    All,
    /// One class for every image; images of that class are left out.
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
                    "unknown target `{text}`; use random, nearest, all, untargeted or the number \
                     of a class"
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

/// Which answers count as adversarial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// The label must leave the `top_k` most likely classes; 1 asks for any wrong answer. Only
    /// searches without a target class can ask for more.
    pub top_k: usize,
    /// Margin, in units of the outputs (logits), that an answer must exceed; at least 0.
    pub confidence: f64,
}

impl Default for Criterion {
    /// Any wrong answer, by any margin.
    fn default() -> Self {
        Criterion {
            top_k: 1,
            confidence: 0.0,
        }
    }
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
}
