//! Verdicts as files: a record as JSON, and what the VNN-COMP competition reads.

use std::collections::BTreeMap;
use std::path::Path;

use blindspot_data::files::{self, FileError};
use blindspot_model::Model;
use blindspot_model::preprocess::Preprocess;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Property, Verification, VerifyOptions};
use crate::provenance::versions;

/// What a verdict is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// How the property was verified.
    pub options: VerifyOptions,
    /// The name of the property's file.
    pub property: String,
    /// SHA-256 of the property's file.
    pub property_sha256: String,
    /// What was put between input and network.
    pub preprocess: Preprocess,
    /// SHA-256 of the model's file.
    pub model_sha256: String,
    /// Versions of the program, by name.
    pub versions: BTreeMap<String, String>,
}

impl About {
    /// A verdict of this version about a model and a property.
    pub fn of(model: &Model, property: &Property, options: &VerifyOptions) -> About {
        About {
            options: options.clone(),
            property: property.name().to_owned(),
            property_sha256: property.sha256().to_owned(),
            preprocess: model.preprocess().clone(),
            model_sha256: model.sha256().to_owned(),
            versions: versions(),
        }
    }
}

/// The content of a verdict's JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// What the verdict is about.
    #[serde(flatten)]
    pub about: About,
    /// The verdict in the words of VNN-COMP: `unsat`, `sat`, `timeout` or `unknown`.
    pub result: String,
    /// The verdict.
    #[serde(flatten)]
    pub verification: Verification,
}

impl Record {
    /// The record of a verdict.
    pub fn new(about: About, verification: Verification) -> Record {
        Record {
            about,
            result: verification.result().to_owned(),
            verification,
        }
    }
}

/// Writes the results file of VNN-COMP: the [result](Verification::result) on a line of its own; where that is `sat`,
/// then the counterexample, a list of all inputs and outputs with their values, as in `((X_0 0.5) (Y_0 -1.25))`, one a
/// line.
///
/// # Errors
/// [`FileError`] if the file can't be written.
pub fn write_counterexample(path: &Path, found: &Verification) -> Result<(), FileError> {
    files::write_atomically(path, |sink| {
        writeln!(sink, "{}", found.result())?;
        let Some(found) = &found.counterexample else {
            return Ok(());
        };
        let values = [("X", &found.inputs), ("Y", &found.outputs)];
        let values = values.into_iter().flat_map(|(letter, values)| {
            values
                .iter()
                .enumerate()
                .map(move |(i, value)| (letter, i, f64::from(*value)))
        });
        let mut before = "(";
        for (letter, i, value) in values {
            write!(sink, "{before}({letter}_{i} {value})")?;
            before = "\n ";
        }
        writeln!(sink, ")")
    })
}
