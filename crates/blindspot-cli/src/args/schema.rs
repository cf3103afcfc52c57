//! The options of `blindspot schema`.

use clap::ValueEnum;

/// Print the JSON schema of a command's result: what its fields mean, for people and for validators
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot schema attack > attack.schema.json
  blindspot schema inspect

The schema is of the JSON file that the command writes, which --json prints, too. What merge writes
has the schema of the command whose shards it merges.")]
pub(crate) struct Schema {
    /// The command
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Described,
}

/// A command whose result is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Described {
    /// FILE.json beside the examples
    Attack,
    /// FILE.json beside the certificates
    Certify,
    /// FILE.history.json of train quocnet
    History,
    /// What --json prints
    Inspect,
    /// results.json
    Reproduce,
    /// spectrum.json
    Spectrum,
    /// What --json prints
    Train,
    /// transfer.json
    Transfer,
    /// units.json
    Units,
    /// FILE.json beside the perturbation
    Universal,
    /// FILE.json of certify --property
    Property,
}
