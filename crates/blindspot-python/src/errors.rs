//! Errors of the tool as exceptions of the package, which `blindspot._errors` defines.

use std::fmt::Display;

use blindspot::ErrorKind;
use blindspot::certify::CertifyError;
use blindspot::classifier::ClassifierError;
use blindspot::inputs::InputError;
use blindspot::model::ModelError;
use blindspot::property::PropertyError;
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
use blindspot_report::ReportError;
use pyo3::prelude::*;

/// An exception that a function of the module raises.
pub(crate) struct Failure(PyErr);

/// The exception of a kind of error.
pub(crate) fn fail(kind: ErrorKind, message: impl Display) -> Failure {
    let name = match kind {
        ErrorKind::Usage => "UsageError",
        ErrorKind::Data => "DataError",
        ErrorKind::Model => "ModelError",
        ErrorKind::Output => "OutputError",
        _ => "BlindspotError",
    };
    let message = message.to_string();
    Python::attach(|py| {
        let made = || {
            py.import("blindspot._errors")?
                .getattr(name)?
                .call1((message,))
        };
        Failure(match made() {
            Ok(exception) => PyErr::from_value(exception),
            Err(error) => error,
        })
    })
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        fail(ErrorKind::Other, error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        failure.0
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Failure {
        Failure(error)
    }
}

/// An error of the tool: what it is about, and which arguments mend it.
trait Explained: Display {
    fn about(&self) -> ErrorKind;

    fn hint(&self) -> Option<&'static str> {
        None
    }
}

impl<E: Explained> From<E> for Failure {
    fn from(error: E) -> Failure {
        match error.hint() {
            Some(hint) => fail(error.about(), format_args!("{error} ({hint})")),
            None => fail(error.about(), error),
        }
    }
}

macro_rules! explained {
    ($($type:ty),+ $(,)?) => {
        $(impl Explained for $type {
            fn about(&self) -> ErrorKind {
                self.kind()
            }
        })+
    };
}

explained!(
    CertifyError,
    ClassifierError,
    FileError,
    InputError,
    JournalError,
    PropertyError,
    ReportError,
    SavedError,
    SpectrumError,
    UniversalError,
);

impl Explained for ModelError {
    fn about(&self) -> ErrorKind {
        self.kind()
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            ModelError::Preprocess { .. } => {
                Some("preprocess, mean, std, range, channel_order, layout")
            }
            ModelError::Onnx { source, .. } => match source {
                OnnxError::OpenShape { .. } => Some("input_shape"),
                OnnxError::Interface(_) => Some("input, input_values, output, input_shape"),
                OnnxError::Budget(source) => hint_of(source),
                _ => None,
            },
            ModelError::Budget { source, .. } => hint_of(source),
            _ => None,
        }
    }
}

/// The argument that gives more of what is short.
fn hint_of(error: &BudgetError) -> Option<&'static str> {
    match error {
        BudgetError::Memory { .. } => Some("memory, threads"),
        BudgetError::Time { .. } => Some("reading_time"),
        BudgetError::Steps { .. } => None,
    }
}

impl Explained for DataError {
    fn about(&self) -> ErrorKind {
        self.kind()
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            DataError::Broken { .. } => Some("skip_broken"),
            DataError::Missing { .. } => Some("data_dir"),
            DataError::Unfit { .. } => Some("resize, crop"),
            _ => None,
        }
    }
}

impl Explained for SearchError {
    fn about(&self) -> ErrorKind {
        self.kind()
    }

    fn hint(&self) -> Option<&'static str> {
        matches!(self, SearchError::Outside { .. } | SearchError::InputBox(_)).then_some("box")
    }
}

impl Explained for UnitsError {
    fn about(&self) -> ErrorKind {
        self.kind()
    }

    fn hint(&self) -> Option<&'static str> {
        matches!(self, UnitsError::Unknown { .. }).then_some("Model.layers names them")
    }
}
