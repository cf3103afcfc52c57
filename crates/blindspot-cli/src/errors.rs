//! What goes wrong: the command's own errors, what kind each error is of, and the hints that name
//! the command's options.

use std::error::Error;
use std::path::PathBuf;

use blindspot::ErrorKind;
use blindspot::certify::CertifyError;
use blindspot::image_files::ImageFileError;
use blindspot::inputs::InputError;
use blindspot::model::ModelError;
use blindspot::preprocess::PreprocessError;
use blindspot::property::PropertyError;
use blindspot::run::communicator::RanksDiffer;
use blindspot::run::journal::JournalError;
use blindspot::search::SearchError;
use blindspot::spectrum::SpectrumError;
use blindspot::transfer::SavedError;
use blindspot::units::UnitsError;
use blindspot::universal::UniversalError;
use blindspot_data::DataError;
use blindspot_data::files::FileError;
use blindspot_net::BudgetError;
use blindspot_net::onnx::OnnxError;
use blindspot_paper::harden::HardenError;
use blindspot_paper::reproduce::ReproduceError;
use blindspot_paper::train::{TrainError, UnknownModel};
use blindspot_report::ReportError;

/// Invalid command-line usage.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

/// The work was interrupted; what was finished is kept.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) String);

/// A result of other work would be replaced.
#[derive(Debug)]
pub(crate) struct Exists {
    pub(crate) path: PathBuf,
    /// In what it differs.
    pub(crate) why: String,
}

impl std::fmt::Display for Exists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} is there already, and of other work ({}); write to another name, or replace it",
            self.path.display(),
            self.why
        )
    }
}

impl Error for Exists {}

impl Exists {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
}

/// Standard output can't be written to.
#[derive(Debug)]
pub(crate) struct Unprinted(pub(crate) std::io::Error);

macro_rules! error {
    ($type:ty, $text:literal, $kind:expr) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, $text, self.0)
            }
        }

        impl Error for $type {}

        impl $type {
            fn kind(&self) -> ErrorKind {
                $kind
            }
        }
    };
}

error!(Usage, "{}", ErrorKind::Usage);
error!(Interrupted, "{}", ErrorKind::Interrupted);
error!(
    Unprinted,
    "can't write to standard output: {}",
    ErrorKind::Output
);

/// The kind of the first error in a chain that has one.
pub(crate) fn kind(error: &anyhow::Error) -> ErrorKind {
    error.chain().find_map(own_kind).unwrap_or(ErrorKind::Other)
}

/// The kind of an error, its causes aside.
fn own_kind(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    macro_rules! by_type {
        ($($type:ty),+ $(,)?) => {
            $(if let Some(error) = error.downcast_ref::<$type>() {
                return Some(error.kind());
            })+
        };
    }
    by_type!(
        Usage,
        Exists,
        Interrupted,
        Unprinted,
        CertifyError,
        DataError,
        FileError,
        HardenError,
        ImageFileError,
        InputError,
        JournalError,
        ModelError,
        PreprocessError,
        PropertyError,
        RanksDiffer,
        ReportError,
        ReproduceError,
        SavedError,
        SearchError,
        SpectrumError,
        TrainError,
        UnitsError,
        UniversalError,
        UnknownModel,
    );
    error.is::<OnnxError>().then_some(ErrorKind::Model)
}

/// The options of the command that mend an error, if there are any.
pub(crate) fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(hint_for)
}

/// The options that say what a network wants of its input.
pub(crate) const PREPROCESSING: &str =
    "--preprocess, --range, --mean, --std, --channel-order, --layout";

/// The options that mend an error, its causes aside.
pub(crate) fn hint_for(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if error.is::<PreprocessError>() {
        return Some(PREPROCESSING);
    }
    if error.is::<Exists>() || matches!(error.downcast_ref(), Some(TrainError::Exists { .. })) {
        return Some("--overwrite");
    }
    if let Some(HardenError::Train(TrainError::Exists { .. })) = error.downcast_ref() {
        return Some("--overwrite");
    }
    if let Some(ModelError::Budget { source, .. }) = error.downcast_ref() {
        return hint_for(source);
    }
    if let Some(error) = error.downcast_ref::<BudgetError>() {
        return match error {
            BudgetError::Memory { .. } => Some("--memory SIZE, --threads"),
            BudgetError::Time { .. } => Some("--reading-time SECONDS"),
            BudgetError::Steps { .. } => None,
        };
    }
    if let Some(ModelError::Onnx { source, .. }) = error.downcast_ref() {
        return match source {
            OnnxError::Budget(source) => hint_for(source),
            OnnxError::OpenShape { .. } => Some("--input-shape"),
            OnnxError::Interface(_) => Some("--input, --input-values, --output, --input-shape"),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<DataError>() {
        return match error {
            DataError::Broken { .. } => Some("--skip-broken"),
            DataError::Missing { .. } => Some("--data-dir DIR; `blindspot data list`"),
            DataError::Hash { .. } => Some("`blindspot data fetch`"),
            DataError::Unfit { .. } => Some("--resize, --crop"),
            _ => None,
        };
    }
    if let Some(SearchError::Levels(_)) = error.downcast_ref() {
        return Some("leave --box and --bounds out, or --save-images");
    }
    if let Some(UniversalError::NoneRight(_)) = error.downcast_ref() {
        return Some(PREPROCESSING);
    }
    if let Some(UnitsError::Unknown { .. }) = error.downcast_ref() {
        return Some("--layer without a name lists all layers");
    }
    match error.downcast_ref::<ReproduceError>()? {
        ReproduceError::NoneKnown(..) => Some(PREPROCESSING),
        ReproduceError::Exists { .. } | ReproduceError::Train(TrainError::Exists { .. }) => {
            Some("--overwrite")
        }
        ReproduceError::NoFeatures => {
            Some("--layer NAME; `blindspot units MODEL.onnx --layer` lists the names")
        }
        ReproduceError::NoClass { .. } => Some("--class NAME"),
        ReproduceError::Units(UnitsError::Unknown { .. }) => {
            Some("`blindspot units MODEL.onnx --layer` lists the names")
        }
        _ => None,
    }
}
