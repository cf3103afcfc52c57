//! The native half of the Python package `blindspot`: models, image sets and studies as Python's
//! objects, without conveniences. What users see, with its documentation, is in `python/blindspot`.

mod about;
mod attack;
mod certify;
mod classifier;
mod errors;
mod found;
mod images;
mod model;
mod studies;
mod units;
mod universal;
mod verify;
mod work;

#[pyo3::pymodule]
mod _native {
    use std::ffi::OsString;

    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::attack::attack;
    #[pymodule_export]
    use crate::certify::{Certified, certify};
    #[pymodule_export]
    use crate::found::Found;
    #[pymodule_export]
    use crate::images::{Images, Schema};
    #[pymodule_export]
    use crate::model::{Model, inspect};
    #[pymodule_export]
    use crate::studies::{goal_of, near_chance, spectrum, transfer, write_files};
    #[pymodule_export]
    use crate::units::{Surveyed, layers, units};
    #[pymodule_export]
    use crate::universal::{Universal, halves, universal};
    #[pymodule_export]
    use crate::verify::{Verified, verify};

    /// The package's version.
    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "Python's name")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Runs the command with these arguments, the first its name; gives its exit code.
    #[pyfunction]
    fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
        py.detach(|| blindspot_cli::run(arguments))
    }
}
