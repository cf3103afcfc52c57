//! The `blindspot` command.

mod args;
mod commands;
mod exit;
mod interrupt;
mod options;
mod progress;
mod quocnet;
mod ranks;

use clap::Parser;

fn main() -> std::process::ExitCode {
    let args = args::Args::parse();
    let code = exit::report(commands::run(args));
    ranks::leave(code);
    code.into()
}
