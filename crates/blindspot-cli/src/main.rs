//! The `blindspot` command.

mod args;
mod commands;
mod errors;
mod exit;
mod interrupt;
mod onnxruntime;
mod print;
mod progress;
mod ranks;

use clap::Parser;

fn main() -> std::process::ExitCode {
    let args = args::Args::parse();
    let code = exit::report(commands::run(args), ranks::here().rank());
    ranks::leave(code);
    code.into()
}
