//! What is asked of a universal perturbation.

use blindspot_model::{InputBox, Norm};
use serde::{Deserialize, Serialize};

use super::UniversalError;
use crate::search::{MAX_CLASSES, SearchError, Target, check_class};

/// What a universal perturbation is to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// One that fools as many images as can be, with at most this norm.
    Epsilon(f64),
    /// The smallest one that fools at least this share of the images, above 0 and at most 1.
    Share(f64),
}

/// How a universal perturbation is searched for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UniversalOptions {
    /// What it is to be: `epsilon` or `share` in files.
    #[serde(flatten)]
    pub aim: Aim,
    /// In which norm it is to be small: L2 or Linf.
    pub norm: Norm,
    /// What fools: any class but the label, or one class.
    pub target: Target,
    /// The seed of all that is random.
    pub seed: u64,
    /// The valid range of every input value: perturbed images are clipped to it.
    pub input_box: InputBox,
    /// Evaluations of the classifier for each image at most; `None` for as many as the method takes by itself.
    pub max_evaluations: Option<u64>,
    /// Seconds for the search at most; `None` for as long as it takes.
    pub time_limit: Option<f64>,
}

impl UniversalOptions {
    /// An untargeted perturbation small in L2, of images with values in \[0, 1\].
    pub fn new(aim: Aim) -> UniversalOptions {
        UniversalOptions {
            aim,
            norm: Norm::L2,
            target: Target::Untargeted,
            seed: 0,
            input_box: InputBox::default(),
            max_evaluations: None,
            time_limit: None,
        }
    }

    /// Checks the options against a classifier's number of classes.
    ///
    /// # Errors
    /// [`UniversalError`] where they don't fit it, or are none.
    pub fn check(&self, classes: usize) -> Result<(), UniversalError> {
        if !matches!(self.norm, Norm::L2 | Norm::Linf) {
            return Err(UniversalError::Norm(self.norm));
        }
        match self.aim {
            Aim::Epsilon(epsilon) if !(epsilon > 0.0 && epsilon.is_finite()) => {
                return Err(UniversalError::Epsilon(epsilon));
            }
            Aim::Share(share) if !(share > 0.0 && share <= 1.0) => {
                return Err(UniversalError::Share(share));
            }
            _ => {}
        }
        let InputBox { lower, upper } = self.input_box;
        if !(lower < upper && lower.is_finite() && upper.is_finite()) {
            return Err(SearchError::InputBox(self.input_box).into());
        }
        if !(2..=MAX_CLASSES).contains(&classes) {
            return Err(SearchError::Classes(classes).into());
        }
        if let Some(seconds) = self.time_limit
            && (seconds.is_nan() || seconds <= 0.0)
        {
            return Err(SearchError::TimeLimit(seconds).into());
        }
        match self.target {
            Target::Untargeted => Ok(()),
            Target::Class(class) => Ok(check_class("target", class, classes)?),
            other => Err(UniversalError::Target(other)),
        }
    }

    /// The one class that fools; `None` where any wrong one does.
    pub fn class(&self) -> Option<usize> {
        match self.target {
            Target::Class(class) => Some(class),
            _ => None,
        }
    }
}
