//! What the tests of Blindspot's crates share. Nothing here is part of the tool.
//!
//! - [`python`] and [`run_python`]: a Python with NumPy, SciPy, ONNX and onnxruntime, the
//!   independent references that results are compared with. It is set up once, below the target
//!   directory, from this crate's `requirements.txt`.
//! - [`data_dir`]: the folder of image sets, if the machine has one.
//! - [`Noise`]: numbers that look random and are the same on every machine.
//! - `Stack`, `RandomNetwork`: networks built layer by layer, and such of many kinds drawn at random, with the
//!   feature `networks`.
//! - [`skip!`]: ends a test that lacks one of these, and says so.
//!
//! ```no_run
//! # fn main() {
//! if let Err(why) = blindspot_testing::python() {
//!     blindspot_testing::skip!("{why}");
//! }
//! let sum = blindspot_testing::run_python("import numpy; print(numpy.ones(3).sum())", [""; 0], "");
//! assert_eq!(sum.unwrap().trim(), "3.0");
//! # }
//! ```

mod highs;
mod python;
mod random;
#[cfg(feature = "networks")]
mod random_network;
#[cfg(feature = "networks")]
mod stack;

pub use highs::HIGHS;
pub use python::{python, run_python};
pub use random::Noise;
#[cfg(feature = "networks")]
pub use random_network::RandomNetwork;
#[cfg(feature = "networks")]
pub use stack::Stack;

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of image sets (`mnist/train-images-idx3-ubyte.gz` and so on): the environment
/// variable `BLINDSPOT_DATA` if it is set, else `../shared/data` beside the workspace if it
/// exists.
pub fn data_dir() -> Option<PathBuf> {
    if let Some(dir) = env::var_os("BLINDSPOT_DATA").filter(|dir| !dir.is_empty()) {
        return Some(PathBuf::from(dir));
    }
    let beside = workspace().parent()?.join("shared").join("data");
    beside.is_dir().then_some(beside)
}

/// Ends the test that it stands in, with a reason given as for [`format!`].
///
/// One line goes to standard error, past the test harness's capture:
/// `skipped: <test>: <reason>`. Where the environment variable `BLINDSPOT_NO_SKIP` is set (to
/// anything but nothing), the test fails instead.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        fn here() {}
        return $crate::skipped(::std::any::type_name_of_val(&here), &format!($($reason)*));
    }};
}

/// What [`skip!`] calls: `here` is the path of a function inside of the test.
#[doc(hidden)]
pub fn skipped(here: &str, reason: &str) {
    let test = here.strip_suffix("::here").unwrap_or(here);
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("skipped: {test}: {reason}\n");
    assert!(
        env::var_os("BLINDSPOT_NO_SKIP").is_none_or(|value| value.is_empty()),
        "{line}BLINDSPOT_NO_SKIP is set: a skipped test is a failed one"
    );
    // A test that can't say that it was skipped has nowhere else to say it.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The root of the workspace.
fn workspace() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest)
}

/// Cargo's target directory.
fn target_dir() -> PathBuf {
    // Relative names are relative to where cargo was started, which is not where tests run.
    match env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => workspace().join(dir),
        None => workspace().join("target"),
    }
}
