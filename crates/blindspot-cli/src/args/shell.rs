//! What a shell and `man` want to know of the command.

use std::path::PathBuf;

/// Print the completions of this command for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot completions bash > ~/.local/share/bash-completion/completions/blindspot
  blindspot completions zsh > ~/.zfunc/_blindspot
  blindspot completions fish > ~/.config/fish/completions/blindspot.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Write the manual pages, one for each command
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// The folder that they are written to: blindspot.1, blindspot-attack.1 and so on
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}
