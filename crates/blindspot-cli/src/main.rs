//! The `blindspot` command.

mod args;
mod commands;
mod exit;
mod interrupt;
mod options;
mod progress;
mod quocnet;

use clap::Parser;

fn main() -> std::process::ExitCode {
    let args = args::Args::parse();
    exit::report(commands::run(&args))
}
