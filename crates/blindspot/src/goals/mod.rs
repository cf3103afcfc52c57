//! Goals of models that are no classifiers into one of k classes: labels that flip, quantities that move, embeddings
//! that part or meet, a formula of one's own.
//!
//! A goal says when an input counts as changed. Its **margins** are functions of the model's outputs, positive where
//! their part of the goal is reached; either one of them has to be, or every one. They are the outputs of a small
//! network behind the model's own ([`WithHead`](crate::classifier::WithHead)), so that all that is known of a
//! classifier's classes holds for them: searches in every norm, rounding noise, certificates.
//!
//! ```
//! use blindspot::goals::OutputGoal;
//! use blindspot::inputs::InMemory;
//! use blindspot::prelude::*;
//!
//! // The price of a house: 3 times its size less its distance. What makes it rise by 0.3?
//! let price = FnClassifier::new(
//!     &[2],
//!     1,
//!     |inputs: &[f32]| Ok(inputs.chunks(2).map(|house| 3.0 * house[0] - house[1]).collect()),
//!     |_inputs: &[f32], gradients: &[f32]| Ok(gradients.iter().flat_map(|g| [3.0 * g, -g]).collect()),
//! );
//! let houses = InMemory::new(vec![0.5, 0.5], 2);
//! let goal: OutputGoal = "rises:0.3".parse()?;
//! let found = Attack::sqp().goal(goal).run_on(&price, &houses, &[0])?;
//! assert!(found[0].success);
//! assert!((found[0].l2 - 0.3 / 10f64.sqrt()).abs() < 1e-4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aim;
mod certify;
mod error;
pub(crate) mod head;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use blindspot_model::classifier::Classifier;
use blindspot_model::{Answer, Model, Outputs};
use blindspot_net::Network;
use serde::{Deserialize, Serialize};

pub(crate) use self::aim::Original;
pub use self::certify::GoalCertifier;
pub use self::error::GoalError;

/// When an input of a model that is no classifier counts as changed.
///
/// Its words, as the command takes them, are what [`Display`](std::fmt::Display) writes and
/// [`FromStr`](std::str::FromStr) reads; a template and a network of one's own are no words and are given apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum OutputGoal {
    /// `flips`: any label flips, on to off or off to on.
    AnyFlip,
    /// `flips:LABEL`: this label flips.
    Flip(usize),
    /// `labels:A,B,...` or `labels:none`: exactly these labels are on.
    Labels(BTreeSet<usize>),
    /// `moves:D` or `moves:D:OUTPUT`: all outputs together, in the L2 norm, or one of them, leave their values by more
    /// than this.
    Moves {
        /// How far, in the unit of the outputs; above 0.
        by: f64,
        /// Which output; all of them if None.
        output: Option<usize>,
    },
    /// `rises:D` or `rises:D:OUTPUT`: an output, the first unless another is named, rises by more than this.
    Rises {
        /// How far, in the unit of the output; above 0.
        by: f64,
        /// Which output.
        output: usize,
    },
    /// `falls:D` or `falls:D:OUTPUT`: an output falls by more than this.
    Falls {
        /// How far, in the unit of the output; above 0.
        by: f64,
        /// Which output.
        output: usize,
    },
    /// `enters:LOW..HIGH` or `enters:LOW..HIGH:OUTPUT`: an output enters an interval. Either end may be left out.
    Enters {
        /// Its lower end; minus infinity where it has none.
        low: f64,
        /// Its upper end; infinity where it has none.
        high: f64,
        /// Which output.
        output: usize,
    },
    /// `turns:C`: the cosine of the outputs and those of the original falls below this.
    Turns {
        /// The cosine, between -1 and 1.
        below: f64,
    },
    /// `near:D:IMAGE`: the outputs come nearer than this to those of another image, in the L2 norm.
    Near {
        /// The distance, in the unit of the outputs; above 0.
        within: f64,
        /// The other image.
        template: Template,
    },
    /// `aligns:C:IMAGE`: the cosine of the outputs and those of another image rises above this.
    Aligns {
        /// The cosine, between -1 and 1.
        above: f64,
        /// The other image.
        template: Template,
    },
    /// `margin:FILE`: a network of one's own, from the outputs to one number, is above 0; or to several, all above 0.
    Margin(Formula),
}

/// Another image, to whose outputs those of the model are to come.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Its index in the data set.
    pub image: usize,
    /// The model's outputs for it, one after the other; empty until they are known
    /// ([`OutputGoal::with_template`]).
    pub outputs: Arc<[f64]>,
}

/// Numbers that are made of a model's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    /// The file that it comes from.
    pub file: String,
    /// From all outputs of the model to one number or several; None until it is known ([`OutputGoal::with_formula`]).
    pub network: Option<Arc<Network<f32>>>,
}

/// What labels are on above in the outputs that a classifier's users see: 1/2 of probabilities, 0 of logits.
pub(crate) fn answering_threshold(classifier: &(impl Classifier + ?Sized)) -> f64 {
    if classifier.answering().is_some() {
        0.5
    } else {
        0.0
    }
}

impl OutputGoal {
    /// What the model's numbers have to be for this goal: what the model is to be opened for
    /// ([`ModelOptions::outputs`](crate::ModelOptions::outputs)).
    pub fn outputs(&self) -> Outputs {
        match self {
            OutputGoal::AnyFlip | OutputGoal::Flip(_) | OutputGoal::Labels(_) => Outputs::Labels,
            _ => Outputs::Numbers,
        }
    }

    /// What labels are on above in the outputs of a model that was opened for them: 1/2 of probabilities, else 0.
    pub fn threshold(&self, model: &Model) -> f64 {
        match model.answer() {
            Answer::LabelProbabilities => 0.5,
            _ => 0.0,
        }
    }

    /// The index of the image whose outputs the goal needs, if it needs any.
    pub fn template(&self) -> Option<usize> {
        match self {
            OutputGoal::Near { template, .. } | OutputGoal::Aligns { template, .. } => {
                Some(template.image)
            }
            _ => None,
        }
    }

    /// The goal with the model's outputs for the image that it names.
    #[must_use]
    pub fn with_template(mut self, found: &[f64]) -> OutputGoal {
        if let OutputGoal::Near { template, .. } | OutputGoal::Aligns { template, .. } = &mut self {
            template.outputs = found.into();
        }
        self
    }

    /// The file of the network of one's own that the goal names, if it does.
    pub fn formula(&self) -> Option<&str> {
        match self {
            OutputGoal::Margin(formula) => Some(&formula.file),
            _ => None,
        }
    }

    /// The goal with its network of one's own, from all outputs of the model to one number or several.
    #[must_use]
    pub fn with_formula(mut self, network: Network<f32>) -> OutputGoal {
        if let OutputGoal::Margin(formula) = &mut self {
            formula.network = Some(Arc::new(network));
        }
        self
    }

    /// Whether every margin has to be positive; otherwise one of them is enough.
    pub(crate) fn asks_for_all(&self) -> bool {
        match self {
            OutputGoal::Labels(_) | OutputGoal::Enters { .. } => true,
            OutputGoal::Margin(formula) => {
                let network = formula.network.as_ref();
                network.is_some_and(|network| network.output_len() > 1)
            }
            _ => false,
        }
    }
}
