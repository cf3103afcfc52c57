//! Verdicts about properties.

use std::path::PathBuf;

use blindspot::ErrorKind;
use blindspot::certify::Arithmetic;
use blindspot::property::{
    About, Property, PropertyError, Record, VerifyOptions, write_counterexample,
};
use blindspot_data::files::write_atomically;
use pyo3::prelude::*;

use crate::errors::{Failure, fail};
use crate::model::Model;
use crate::work::{Watch, run_whole};

/// How a property is verified.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    time_limit: Option<f64>,
    arithmetic: String,
    seed: u64,
}

/// Verifies the property of a file.
#[pyfunction]
pub(crate) fn verify(
    py: Python<'_>,
    model: PyRef<'_, Model>,
    property: PathBuf,
    options: Options,
    watch: Watch,
) -> Result<Verified, Failure> {
    let told = |why: String| fail(ErrorKind::Usage, format_args!("arithmetic: {why}"));
    let arithmetic: Arithmetic = options.arithmetic.parse().map_err(told)?;
    if options
        .time_limit
        .is_some_and(|seconds| seconds.is_nan() || seconds <= 0.0)
    {
        return Err(fail(ErrorKind::Usage, "time_limit takes seconds above 0"));
    }
    let options = VerifyOptions {
        time_limit: options.time_limit,
        arithmetic,
        seed: options.seed,
    };
    let model = model.model();
    let record = run_whole(py, &watch, |monitor| {
        let property = Property::open(&property)?;
        let found = blindspot::property::verify(model, &property, &options, monitor)?;
        Ok::<Record, PropertyError>(Record::new(About::of(model, &property, &options), found))
    })?;
    Ok(Verified { record })
}

/// A verdict, and what it is about.
#[pyclass(frozen, module = "blindspot._native")]
pub(crate) struct Verified {
    record: Record,
}

#[pymethods]
impl Verified {
    /// The record as JSON.
    fn json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string_pretty(&self.record)?)
    }

    /// Writes the record.
    fn save(&self, path: PathBuf) -> Result<(), Failure> {
        let text = self.json()?;
        write_atomically(&path, |sink| writeln!(sink, "{text}"))?;
        Ok(())
    }

    /// Writes the results file of VNN-COMP.
    fn save_counterexample(&self, path: PathBuf) -> Result<(), Failure> {
        write_counterexample(&path, &self.record.verification)?;
        Ok(())
    }
}
