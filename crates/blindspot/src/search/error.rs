//! Why a search can't be done.

use blindspot_data::ErrorKind;
use blindspot_model::InputBox;
use blindspot_model::classifier::ClassifierError;
use blindspot_model::inputs::InputError;

use super::bounds::BoundsError;
use super::{Method, Norm};
use crate::goals::GoalError;

/// Why a search can't be done.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// Images and classifier have different input lengths.
    #[error("the network takes {network} values, an image has {image}; choose other data")]
    Size {
        /// Values of the classifier's input.
        network: usize,
        /// Values of an image.
        image: usize,
    },
    /// An image can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// No image was chosen.
    #[error("there is no image to search from; ask for at least one")]
    Empty,
    /// All images are of the class that is to be answered.
    #[error(
        "all images are of class {0}, the target: there is none to search from; choose another target, or \
         other images"
    )]
    AllOfTarget(usize),
    /// The images have no labels.
    #[error("the images have no labels; give their true classes")]
    NoLabels,
    /// There is not one label for each image.
    #[error("there are {labels} labels for {images} images; give one for each")]
    Labels {
        /// Labels given.
        labels: usize,
        /// Images of the set.
        images: usize,
    },
    /// The classifier has too few or too many classes.
    #[error("the network has {0} classes; a search takes at least 2 and at most 2^20")]
    Classes(usize),
    /// A label or target is not one of the classifier's classes.
    #[error("{what} {class} is not one of the network's {classes} classes, 0 to {}", classes - 1)]
    Class {
        /// `label` or `target`.
        what: &'static str,
        /// The class.
        class: usize,
        /// Classes of the classifier.
        classes: usize,
    },
    /// A value of an image is outside of its valid range.
    #[error(
        "image {index} has the value {value}, outside of the box [{}, {}]; scale the images or \
         choose another box", bounds.lower, bounds.upper
    )]
    Outside {
        /// Index of the image in the data set.
        index: usize,
        /// The value.
        value: f32,
        /// The valid range.
        bounds: InputBox,
    },
    /// The input box is empty or infinite.
    #[error("invalid box [{}, {}]; give a lower and a higher finite number", .0.lower, .0.upper)]
    InputBox(InputBox),
    /// The limits of the input values are invalid.
    #[error(transparent)]
    Bounds(#[from] BoundsError),
    /// More classes are to stand before the label than there are others.
    #[error(
        "the label can't leave the {top_k} most likely of {classes} classes; top-k takes 1 to {}",
        classes - 1
    )]
    TopK {
        /// Classes that are to stand before the label.
        top_k: usize,
        /// Classes of the classifier.
        classes: usize,
    },
    /// A target class and a top-k above 1 exclude each other.
    #[error(
        "top-k {0} takes a search without a target class: use the target untargeted or all, or \
         top-k 1"
    )]
    TopKOfTarget(usize),
    /// The confidence is negative or not finite.
    #[error("invalid confidence of {0} logits; give 0 or a positive finite number")]
    Confidence(f64),
    /// Values are allowed that no 8-bit image holds.
    #[error(
        "values may lie in [{}, {}], and 8-bit images hold values in [0, 1]; keep the values within \
         [0, 1], or write no images", .0.lower, .0.upper
    )]
    Levels(InputBox),
    /// The time limit is not a positive number of seconds.
    #[error("invalid time limit of {0} seconds; give a positive number")]
    TimeLimit(f64),
    /// The method makes perturbations small in other norms only.
    #[error(
        "the method {method} searches for perturbations that are small in {}, not {}; choose another norm or \
         method", .method.norms().iter().map(|norm| norm.title()).collect::<Vec<_>>().join(" or "), .norm.title()
    )]
    Norm {
        /// The method.
        method: Method,
        /// The norm asked for.
        norm: Norm,
    },
    /// The method knows no whole numbers and no categories.
    #[error("the method {0} knows no whole numbers and no categories; use sqp")]
    Discrete(Method),
    /// The columns of a table are no input of the classifier.
    #[error(
        "the table's columns make {columns} values, one for each number and each category, and the network takes \
         {network}; leave the columns out that are none of its inputs"
    )]
    Columns {
        /// Values of the columns.
        columns: usize,
        /// Values of the classifier's input.
        network: usize,
    },
    /// The goal for the outputs can't be searched for.
    #[error(transparent)]
    Goal(#[from] GoalError),
    /// The classifier failed.
    #[error(transparent)]
    Classifier(#[from] ClassifierError),
}

impl SearchError {
    /// [`ErrorKind::Model`] if the classifier fails or no search can use it, [`ErrorKind::Data`]
    /// if images or labels don't fit it, [`ErrorKind::Usage`] if options don't.
    pub fn kind(&self) -> ErrorKind {
        match self {
            SearchError::Classes(_) | SearchError::Classifier(_) => ErrorKind::Model,
            SearchError::Goal(error) => error.kind(),
            SearchError::Class { what: "target", .. }
            | SearchError::Empty
            | SearchError::AllOfTarget(_)
            | SearchError::InputBox(_)
            | SearchError::Bounds(_)
            | SearchError::TopK { .. }
            | SearchError::TopKOfTarget(_)
            | SearchError::Confidence(_)
            | SearchError::Levels(_)
            | SearchError::Norm { .. }
            | SearchError::Discrete(_)
            | SearchError::TimeLimit(_) => ErrorKind::Usage,
            SearchError::Size { .. }
            | SearchError::Columns { .. }
            | SearchError::Input(_)
            | SearchError::NoLabels
            | SearchError::Labels { .. }
            | SearchError::Class { .. }
            | SearchError::Outside { .. } => ErrorKind::Data,
        }
    }
}
