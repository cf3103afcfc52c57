//! Why a goal can't be searched for.

use blindspot_data::ErrorKind;

/// Why a goal can't be searched for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GoalError {
    /// The goal names an output that the model doesn't have.
    #[error(
        "the goal names output {output}, and the model has {outputs}, 0 to {}; choose one of these",
        outputs - 1
    )]
    Output {
        /// The output named.
        output: usize,
        /// Outputs of the model.
        outputs: usize,
    },
    /// A distance is not positive, or a number not finite.
    #[error("`{0}` is no goal: a distance is a finite number above 0")]
    Distance(String),
    /// A cosine is not between -1 and 1.
    #[error("`{0}` is no goal: a cosine lies between -1 and 1")]
    Cosine(String),
    /// An interval is empty, or has no end at all.
    #[error("`{0}` is no goal: give an interval as in 2..5, 2.. or ..5, its lower end first")]
    Interval(String),
    /// The outputs of the other image are not known.
    #[error(
        "the outputs of image {0}, which the goal names, are not known; give them with the goal"
    )]
    Template(usize),
    /// The other image's outputs, or the model's own, have no direction.
    #[error("the outputs of image {0} are all 0 and have no direction; choose another image")]
    NoDirection(usize),
    /// The network of one's own was not given.
    #[error("the network of `{0}`, which the goal names, is not known; give it with the goal")]
    NoFormula(String),
    /// The network of one's own doesn't fit the model.
    #[error(
        "{file} takes {takes} numbers; the margin of this model takes its {outputs} outputs and gives one \
         number, or several that are all to be above 0"
    )]
    Formula {
        /// The file.
        file: String,
        /// Numbers it takes.
        takes: usize,
        /// Outputs of the model.
        outputs: usize,
    },
    /// A target class, top-k or another method was asked for beside a goal.
    #[error("a goal for the outputs takes no {0} beside it; leave one of them out")]
    Beside(&'static str),
}

impl GoalError {
    /// [`ErrorKind::Usage`] for every error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
}
