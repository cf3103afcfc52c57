//! Exit codes, and the one line that an error ends in.

use std::time::Duration;

use blindspot::certify::CertifyError;
use blindspot::image_files::ImageFileError;
use blindspot::inputs::InputError;
use blindspot::model::ModelError;
use blindspot::preprocess::PreprocessError;
use blindspot::run::journal::JournalError;
use blindspot::run::ranks::RanksDiffer;
use blindspot::search::SearchError;
use blindspot::spectrum::SpectrumError;
use blindspot::transfer::SavedError;
use blindspot::units::UnitsError;
use blindspot_data::files::FileError;
use blindspot_data::{DataError, ErrorKind};
use blindspot_net::onnx::OnnxError;
use blindspot_paper::harden::HardenError;
use blindspot_paper::reproduce::ReproduceError;
use blindspot_paper::train::{TrainError, UnknownModel};

use crate::ranks;

pub(crate) const FAILED: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const DATA: u8 = 3;
pub(crate) const MODEL: u8 = 4;
pub(crate) const OUTPUT: u8 = 5;
pub(crate) const INTERRUPTED: u8 = 130;

/// The command line asks for something that there is not.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The work was interrupted; what was finished is kept.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) String);

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// How long another rank than 0 keeps an error to itself: most are rank 0's, too, which then says it
/// for all.
const AFTER_RANK_0: Duration = Duration::from_millis(500);

/// Prints an error on one line and gives the exit code.
pub(crate) fn report(result: anyhow::Result<()>) -> u8 {
    let Err(error) = result else {
        return 0;
    };
    let (code, rank) = (code(&error), ranks::here().rank());
    let whose = match rank {
        0 => String::new(),
        // All have stopped, and rank 0 says so.
        _ if code == INTERRUPTED => return code,
        _ => {
            std::thread::sleep(AFTER_RANK_0);
            format!("rank {rank}: ")
        }
    };
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Many messages say already what their cause says.
        if !line.contains(&cause) {
            line = if line.is_empty() {
                cause
            } else {
                format!("{line}: {cause}")
            };
        }
    }
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("blindspot: {whose}{line}");
    code
}

/// The exit code of an error.
fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        let is = |code| Some(code);
        let found = if cause.is::<Interrupted>() {
            is(INTERRUPTED)
        } else if cause.is::<Usage>() || cause.is::<UnknownModel>() || cause.is::<RanksDiffer>() {
            is(USAGE)
        } else if cause.is::<DataError>() || cause.is::<InputError>() || cause.is::<SavedError>() {
            is(DATA)
        } else if cause.is::<OnnxError>() || cause.is::<PreprocessError>() {
            is(MODEL)
        } else if let Some(model) = cause.downcast_ref::<ModelError>() {
            is(match model.kind() {
                ErrorKind::Usage => USAGE,
                _ => MODEL,
            })
        } else if let Some(file) = cause.downcast_ref::<FileError>() {
            is(if file.action == "read" {
                FAILED
            } else {
                OUTPUT
            })
        } else if let Some(saved) = cause.downcast_ref::<ImageFileError>() {
            is(of_image_file(saved))
        } else if let Some(journal) = cause.downcast_ref::<JournalError>() {
            of_journal(journal)
        } else if let Some(harden) = cause.downcast_ref::<HardenError>() {
            match harden {
                HardenError::Train(train) => of_training(train),
                HardenError::Input(_) => is(DATA),
                HardenError::Search(search) => of_search(search),
            }
        } else if let Some(train) = cause.downcast_ref::<TrainError>() {
            of_training(train)
        } else if let Some(search) = cause.downcast_ref::<SearchError>() {
            of_search(search)
        } else if let Some(units) = cause.downcast_ref::<UnitsError>() {
            of_units(units)
        } else if let Some(spectrum) = cause.downcast_ref::<SpectrumError>() {
            is(match spectrum {
                SpectrumError::Cancelled => INTERRUPTED,
                _ => USAGE,
            })
        } else if let Some(certify) = cause.downcast_ref::<CertifyError>() {
            is(match certify {
                CertifyError::Input(_) | CertifyError::Size { .. } | CertifyError::Label { .. } => {
                    DATA
                }
                _ => MODEL,
            })
        } else if let Some(reproduce) = cause.downcast_ref::<ReproduceError>() {
            match reproduce {
                _ if reproduce.is_cancelled() => is(INTERRUPTED),
                ReproduceError::Train(train) => of_training(train),
                ReproduceError::Search(search) => of_search(search),
                ReproduceError::Units(units) => of_units(units),
                ReproduceError::File(_) => is(OUTPUT),
                ReproduceError::Journal(journal) => of_journal(journal),
                ReproduceError::ImageFile(saved) => is(of_image_file(saved)),
                ReproduceError::Spectrum(_) => is(MODEL),
                ReproduceError::NoSamples
                | ReproduceError::NoSeeds
                | ReproduceError::NoExamples(_)
                | ReproduceError::NoClass { .. }
                | ReproduceError::Missing { .. }
                | ReproduceError::NoFeatures => is(USAGE),
                ReproduceError::Unlabelled(_)
                | ReproduceError::NoneKnown(..)
                | ReproduceError::OneClass(_)
                | ReproduceError::Input(_) => is(DATA),
                ReproduceError::Cancelled(_) | ReproduceError::Stopped => is(INTERRUPTED),
            }
        } else {
            None
        };
        if let Some(code) = found {
            return code;
        }
    }
    FAILED
}

fn of_image_file(error: &ImageFileError) -> u8 {
    match error {
        ImageFileError::File(_) => OUTPUT,
        ImageFileError::Shape(_) => USAGE,
        ImageFileError::Kept(_) => FAILED,
    }
}

fn of_journal(error: &JournalError) -> Option<u8> {
    Some(match error {
        JournalError::File(file) if file.action == "read" => FAILED,
        JournalError::File(_) => OUTPUT,
        JournalError::Damaged { .. } => DATA,
        _ => USAGE,
    })
}

fn of_training(error: &TrainError) -> Option<u8> {
    Some(match error {
        TrainError::Cancelled { .. } => INTERRUPTED,
        TrainError::Input(_) | TrainError::NotFinite { .. } | TrainError::Data(_) => DATA,
        TrainError::Options(_) | TrainError::Checkpoint { .. } | TrainError::Graph(_) => USAGE,
        TrainError::File(_) => OUTPUT,
    })
}

fn of_search(error: &SearchError) -> Option<u8> {
    Some(match error {
        SearchError::Empty | SearchError::InputBox(_) | SearchError::Bounds(_) => USAGE,
        SearchError::TopK { .. } | SearchError::TopKOfTarget(_) => USAGE,
        SearchError::Confidence(_) | SearchError::TimeLimit(_) | SearchError::Levels(_) => USAGE,
        SearchError::Class { what: "target", .. } => USAGE,
        SearchError::Classes(_) => MODEL,
        SearchError::Input(_) => DATA,
        SearchError::Size { .. } | SearchError::Class { .. } | SearchError::Outside { .. } => DATA,
    })
}

fn of_units(error: &UnitsError) -> Option<u8> {
    Some(match error {
        UnitsError::Unknown { .. } | UnitsError::Axes { .. } | UnitsError::Unit { .. } => USAGE,
        UnitsError::Nothing | UnitsError::Top => USAGE,
        UnitsError::Direction { .. } | UnitsError::Directions { .. } => USAGE,
        UnitsError::Wide { .. } => USAGE,
        UnitsError::Input(_) | UnitsError::Empty | UnitsError::Size { .. } => DATA,
        UnitsError::NotFinite { .. } | UnitsError::Graph(_) => MODEL,
        UnitsError::Cancelled => INTERRUPTED,
    })
}
