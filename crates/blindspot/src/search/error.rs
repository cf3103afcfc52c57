//! Why a search can't begin.

use blindspot_data::ErrorKind;

use super::change::InputBox;
use super::ranges::BoundsError;
use crate::inputs::InputError;

/// Why a search can't begin.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// Images and network don't fit.
    #[error("the network takes {network} values, an image has {image}; choose other data")]
    Size {
        /// Values of the network's input.
        network: usize,
        /// Values of an image.
        image: usize,
    },
    /// An image can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// There is no image.
    #[error("there is no image to search from; ask for at least one")]
    Empty,
    /// A network without a choice.
    #[error("the network has {0} classes; a search takes at least 2 and at most 2^24")]
    Classes(usize),
    /// A label or target is not one of the network's classes.
    #[error("{what} {class} is not one of the network's {classes} classes, 0 to {}", classes - 1)]
    Class {
        /// `label` or `target`.
        what: &'static str,
        /// The class.
        class: usize,
        /// How many classes the network has.
        classes: usize,
    },
    /// An image is outside of the box.
    #[error(
        "image {index} has the value {value}, outside of the box [{}, {}]; scale the images or \
         choose another box", bounds.lower, bounds.upper
    )]
    Outside {
        /// Index in the data set.
        index: usize,
        /// The value.
        value: f32,
        /// The range that it should lie in.
        bounds: InputBox,
    },
    /// The box holds nothing.
    #[error("[{}, {}] is no box: give a lower and a higher finite number", .0.lower, .0.upper)]
    InputBox(InputBox),
    /// The ranges of the input's values are none.
    #[error(transparent)]
    Bounds(#[from] BoundsError),
    /// More classes to put before the label than there are others.
    #[error(
        "the label can't leave the {top_k} most likely of {classes} classes; top-k takes 1 to {}",
        classes - 1
    )]
    TopK {
        /// The classes that the label should leave.
        top_k: usize,
        /// How many classes the network has.
        classes: usize,
    },
    /// A target class and a top-k.
    #[error(
        "top-k {0} takes a search without a target class: use the target untargeted or all, or \
         top-k 1"
    )]
    TopKOfTarget(usize),
    /// A lead that no logits have.
    #[error("a confidence of {0} logits; give 0 or a positive finite number")]
    Confidence(f64),
    /// Values that no 8-bit file holds.
    #[error(
        "values may lie in [{}, {}], and 8-bit images hold values in [0, 1]; keep the \
         default box and bounds, or do without the images", .0.lower, .0.upper
    )]
    Levels(InputBox),
    /// A time that is none.
    #[error("a time limit of {0} seconds; give a positive number")]
    TimeLimit(f64),
}

impl SearchError {
    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        match self {
            SearchError::Empty
            | SearchError::InputBox(_)
            | SearchError::Bounds(_)
            | SearchError::TopK { .. }
            | SearchError::TopKOfTarget(_)
            | SearchError::Confidence(_)
            | SearchError::TimeLimit(_)
            | SearchError::Levels(_)
            | SearchError::Class { what: "target", .. } => ErrorKind::Usage,
            SearchError::Classes(_) => ErrorKind::Model,
            SearchError::Input(_)
            | SearchError::Size { .. }
            | SearchError::Class { .. }
            | SearchError::Outside { .. } => ErrorKind::Data,
        }
    }
}
