//! Properties of networks as verifiers exchange them: [VNN-LIB](https://www.vnnlib.org) 1.0 files, as the
//! [VNN-COMP](https://sites.google.com/view/vnn2024) competition uses them.
//!
//! A property names a set of inputs, boxes, and for each what the outputs must not be there: the file states what is
//! **unsafe**. It *holds* where no input of a box has unsafe outputs; it is *violated* by a counterexample. [`verify`]
//! proves the one by [linear bounds](crate::certify) and branch and bound, or finds the other by the
//! [search](crate::search), whichever comes first.
//!
//! ```
//! use blindspot::property::{Property, Verdict, VerifyOptions, verify};
//! use blindspot::prelude::*;
//! use blindspot::net::{Graph, Op, Operand, ops::Gemm};
//! use blindspot::run::monitor::Unwatched;
//!
//! // The output is 3x - y.
//! let mut graph = Graph::new("x", &[2])?;
//! let weights = Operand::Weight(graph.weight("weights", &[2, 1])?);
//! let input = Operand::Value(graph.input());
//! graph.node("layer", Op::Gemm(Gemm { trans_b: false }), &[input, weights], "y")?;
//! let network = Network::new(graph, vec![vec![3.0, -1.0]])?;
//! let model = Model::options().outputs(Outputs::Numbers).from_network(network)?;
//!
//! // Both inputs lie in [0, 1]. Is the output ever 2.5 or more?
//! let text = "(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real)
//!     (assert (>= X_0 0)) (assert (<= X_0 1)) (assert (>= X_1 0)) (assert (<= X_1 1))
//!     (assert (>= Y_0 2.5))";
//! let property = Property::parse("above", text.as_bytes())?;
//! let found = verify(&model, &property, &VerifyOptions::default(), &Unwatched)?;
//! assert_eq!(found.verdict, Verdict::Violated);
//! assert!(found.counterexample.unwrap().outputs[0] >= 2.5);
//!
//! let property = Property::parse("far above", text.replace("2.5", "3.5").as_bytes())?;
//! let found = verify(&model, &property, &VerifyOptions::default(), &Unwatched)?;
//! assert_eq!(found.verdict, Verdict::Holds);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cases;
mod counterexample;
mod error;
mod files;
mod numbers;
mod search;
mod syntax;
#[cfg(test)]
mod tests;
mod verify;

use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use blindspot_data::files::{read_limited, sha256_hex};
use flate2::bufread::MultiGzDecoder;

pub use self::counterexample::Counterexample;
pub use self::error::PropertyError;
pub use self::files::{About, Record, write_counterexample};
pub use self::verify::{Undecided, Verdict, Verification, VerifyOptions, verify};

/// The largest file, unpacked.
const MAX_BYTES: u64 = 1 << 26;

/// What a network must not do: boxes of inputs, each with outputs that are unsafe there.
#[derive(Debug, Clone, PartialEq)]
pub struct Property {
    name: String,
    sha256: String,
    inputs: usize,
    outputs: usize,
    regions: Vec<Region>,
}

/// A box of inputs, and what is unsafe in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The smallest value of each input.
    pub lower: Vec<f64>,
    /// The largest value of each input, no smaller than that of `lower`.
    pub upper: Vec<f64>,
    /// The outputs are unsafe where any of these holds.
    pub cases: Vec<Case>,
}

/// Outputs that are unsafe: those for which all these inequalities hold; without any, all outputs.
pub type Case = Vec<Inequality>;

/// A linear inequality of outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Inequality {
    /// Outputs, in rising order, with the factors that are not 0.
    pub factors: Vec<(usize, f64)>,
    /// What the sum of the outputs, each times its factor, is at most.
    pub bound: f64,
}

impl Inequality {
    /// By how much outputs miss the inequality: the sum less its bound, at most 0 where it holds.
    pub fn excess(&self, outputs: &[f64]) -> f64 {
        let terms = self.factors.iter();
        let sum: f64 = terms
            .map(|&(output, factor)| factor * outputs[output])
            .sum();
        sum - self.bound
    }
}

impl Property {
    /// Reads a VNN-LIB file, as it is or gzipped.
    ///
    /// # Errors
    /// [`PropertyError`] where it can't be read, is larger than 64 MiB, or is no property of this kind; the message
    /// names the line.
    pub fn open(path: impl AsRef<Path>) -> Result<Property, PropertyError> {
        let path = path.as_ref();
        let bytes = read_limited(path, MAX_BYTES)?;
        let name = path.file_name().map(OsStr::to_string_lossy);
        Property::parse(&name.unwrap_or_default(), &bytes)
    }

    /// Reads the content of a VNN-LIB file, as it is or gzipped; messages call it `name`.
    ///
    /// # Errors
    /// [`PropertyError`] as of [`open`](Property::open).
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Property, PropertyError> {
        let unfit = |why: String| PropertyError::Unfit {
            name: name.to_owned(),
            why,
        };
        let mut unpacked = Vec::new();
        let text = if bytes.starts_with(&[0x1f, 0x8b]) {
            // One more than allowed, so that a bomb is told from a file.
            let mut reader = MultiGzDecoder::new(bytes).take(MAX_BYTES + 1);
            let read = reader.read_to_end(&mut unpacked);
            read.map_err(|error| {
                unfit(format!(
                    "its gzip data is damaged ({error}); fetch it again"
                ))
            })?;
            &unpacked[..]
        } else {
            bytes
        };
        if text.len() as u64 > MAX_BYTES {
            return Err(unfit(format!(
                "it has more than the {MAX_BYTES} bytes allowed"
            )));
        }
        let text = std::str::from_utf8(text)
            .map_err(|_| unfit("it is no text; give a VNN-LIB 1.0 file".into()))?;
        let script = syntax::parse(text).map_err(|wrong| PropertyError::Syntax {
            name: name.to_owned(),
            line: wrong.line,
            why: wrong.why,
        })?;
        Ok(Property {
            name: name.to_owned(),
            sha256: sha256_hex(bytes),
            regions: cases::regions(&script).map_err(unfit)?,
            inputs: script.inputs,
            outputs: script.outputs,
        })
    }

    /// The name of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the file as it is, in hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How many inputs the property declares.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many outputs the property declares.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The boxes of inputs; none where no input meets the file's conditions, so that the property holds of any network.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }
}
