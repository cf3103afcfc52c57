//! Why there is no universal perturbation.

use blindspot_data::ErrorKind;
use blindspot_model::Norm;
use blindspot_model::classifier::ClassifierError;
use blindspot_model::inputs::InputError;

use crate::search::{SearchError, Target};

/// Why a universal perturbation can't be searched for, or judged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UniversalError {
    /// Images, labels and classifier don't fit each other, or the classifier fails.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The norm asked for is not one that can be made small.
    #[error("a universal perturbation is made small in L2 or Linf, not in {}; choose one of these", .0.title())]
    Norm(Norm),
    /// The target asked for is another one for each image.
    #[error(
        "one perturbation for all images takes the target untargeted or one class, not {0}; choose one of these"
    )]
    Target(Target),
    /// The norm that the perturbation may have is not a positive number.
    #[error("a perturbation of norm {0} fools no image; give a positive finite norm")]
    Epsilon(f64),
    /// The share of images to be fooled is not one.
    #[error("{0} is no share of the images; give a number above 0 and at most 1")]
    Share(f64),
    /// There is no image that could be fooled.
    #[error(
        "the network gets none of the {0} images right that the perturbation is to be found on, so that none can be \
         fooled; choose other images, or see what the network wants of its input"
    )]
    NoneRight(usize),
    /// The perturbation is of another length than the images.
    #[error("the perturbation has {delta} values, an image {image}; choose other images")]
    Size {
        /// Values of the perturbation.
        delta: usize,
        /// Values of an image.
        image: usize,
    },
}

impl UniversalError {
    /// [`ErrorKind::Usage`] where options are wrong, [`ErrorKind::Data`] where the images are, and else the kind of
    /// the [`SearchError`].
    pub fn kind(&self) -> ErrorKind {
        match self {
            UniversalError::Search(error) => error.kind(),
            UniversalError::Norm(_)
            | UniversalError::Target(_)
            | UniversalError::Epsilon(_)
            | UniversalError::Share(_) => ErrorKind::Usage,
            UniversalError::NoneRight(_) | UniversalError::Size { .. } => ErrorKind::Data,
        }
    }
}

impl From<ClassifierError> for UniversalError {
    fn from(error: ClassifierError) -> Self {
        SearchError::from(error).into()
    }
}

impl From<InputError> for UniversalError {
    fn from(error: InputError) -> Self {
        SearchError::from(error).into()
    }
}
