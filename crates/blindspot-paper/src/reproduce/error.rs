//! What ends a replication.

use std::path::PathBuf;

use blindspot::image_files::ImageFileError;
use blindspot::inputs::InputError;
use blindspot::run::journal::JournalError;
use blindspot::search::SearchError;
use blindspot::spectrum::SpectrumError;
use blindspot::transfer::SavedError;
use blindspot::units::UnitsError;
use blindspot_data::ErrorKind;
use blindspot_data::files::FileError;

use crate::harden::HardenError;
use crate::train::TrainError;

/// Why a replication did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReproduceError {
    /// Training ended early.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A search could not begin.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A layer can't be looked at.
    #[error(transparent)]
    Units(#[from] UnitsError),
    /// The folder for the models can't be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// Examples can't be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Adversarial images can't be saved.
    #[error(transparent)]
    ImageFile(#[from] ImageFileError),
    /// It was asked to stop; models trained and examples found so far are kept in this folder.
    #[error(
        "stopped; the models trained and the examples found so far are kept in {}, and the same command \
         goes on",
        .0.display()
    )]
    Cancelled(PathBuf),
    /// Nothing to do in shards.
    #[error(
        "none of these experiments takes examples of its models; shards do the searches of {0}"
    )]
    NoExamples(String),
    /// Results of other options would be replaced.
    #[error(
        "{} is there already, and of other work ({why}); write to another folder, or replace it",
        path.display()
    )]
    Exists {
        /// The file of results.
        path: PathBuf,
        /// In what it differs.
        why: String,
    },
    /// No seed to train from.
    #[error("the number of seeds must be at least 1")]
    NoSeeds,
    /// Layers can't be measured.
    #[error(transparent)]
    Spectrum(#[from] SpectrumError),
    /// No image to distort.
    #[error("the number of samples must be at least 1")]
    NoSamples,
    /// The network that was brought classifies none of the images correctly.
    #[error(
        "{0} classifies none of {1} images correctly; check its preprocessing, and that its outputs are in \
         the order of the images' classes"
    )]
    NoneKnown(String, usize),
    /// An image can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Its classifier sees the image itself.
    #[error("the network has no layer before its classifier; name the layer to look at")]
    NoFeatures,
    /// The images have no class of the name asked for.
    #[error("the images have no class `{class}`; choose one of theirs: {}", known.join(", "))]
    NoClass {
        /// The name asked for.
        class: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// All images, or none, are of the class.
    #[error(
        "too few images: some of `{0}` and some others are needed to learn from and to test on"
    )]
    OneClass(String),
    /// An experiment lacks the network or the images of the user's that it takes.
    #[error("{experiment} takes {what} of your own, which is not given")]
    Missing {
        /// The experiment.
        experiment: &'static str,
        /// What it takes.
        what: &'static str,
    },
    /// It was asked to stop before there was anything to keep.
    #[error("stopped; nothing was written")]
    Stopped,
    /// The image sets are not labelled ones.
    #[error("{0} has no labels; the paper's experiments take labelled images")]
    Unlabelled(String),
}

impl From<HardenError> for ReproduceError {
    fn from(error: HardenError) -> Self {
        match error {
            HardenError::Train(error) => Self::Train(error),
            HardenError::Input(error) => Self::Input(error),
            HardenError::Search(error) => Self::Search(error),
        }
    }
}

impl From<SavedError> for ReproduceError {
    fn from(error: SavedError) -> Self {
        Self::Input(match error {
            SavedError::Input(error) => error,
            error => InputError::new(error.to_string()),
        })
    }
}

impl ReproduceError {
    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Train(error) => error.kind(),
            Self::Search(error) => error.kind(),
            Self::Units(error) => error.kind(),
            Self::File(_) => ErrorKind::Output,
            Self::Journal(error) => error.kind(),
            Self::ImageFile(error) => error.kind(),
            Self::Spectrum(error) => error.kind(),
            Self::NoSamples
            | Self::NoSeeds
            | Self::NoExamples(_)
            | Self::NoClass { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::NoFeatures => ErrorKind::Usage,
            Self::Unlabelled(_) | Self::NoneKnown(..) | Self::OneClass(_) | Self::Input(_) => {
                ErrorKind::Data
            }
            Self::Cancelled(_) | Self::Stopped => ErrorKind::Interrupted,
        }
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self,
            Self::Cancelled(_)
                | Self::Stopped
                | Self::Train(TrainError::Cancelled { .. })
                | Self::Units(UnitsError::Cancelled)
        )
    }
}
