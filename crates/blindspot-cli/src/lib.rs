//! The `blindspot` command as a function, for programs that bring it under another roof: the Python
//! package does. What it is made of, the library `blindspot` offers.

mod args;
mod commands;
mod errors;
mod exit;
mod interrupt;
mod onnxruntime;
mod print;
mod progress;
mod ranks;
mod version;

use std::ffi::OsString;

use clap::Parser;

/// Runs the command with these arguments, of which the first is the program's name; gives its exit
/// code. From then on Ctrl-C asks the command to stop. A process runs it once.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let args = match args::Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(help) => return exit::help(&help),
    };
    let code = exit::report(commands::run(args), ranks::here().rank());
    ranks::leave(code);
    code
}
