//! What each command does.

mod attack;
mod certify;
mod data;
mod load;
mod merge;
mod part;
mod quocnet;
mod reproduce;
mod spectrum;
mod train;
mod transfer;
mod units;

use anyhow::Context;

use crate::args::{Args, Command, Common};
use crate::progress::Progress;
use crate::{interrupt, ranks};

/// Runs the command that was asked for.
pub(crate) fn run(mut args: Args) -> anyhow::Result<()> {
    interrupt::listen();
    ranks::join(&args.command, &args.common)?;
    if !ranks::here().writes() {
        // Rank 0 speaks for all.
        (args.common.quiet, args.common.json) = (true, false);
    }
    let common = &args.common;
    if let Some(threads) = common.threads.map(usize::from).or_else(ranks::threads) {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .context("can't start that many threads; give a smaller --threads")?;
    }
    let progress = Progress::new(common);
    match &args.command {
        Command::Reproduce(command) => reproduce::run(command, common, &progress),
        Command::Attack(command) => attack::run(command, common, &progress),
        Command::Merge(command) => merge::run(command, common, &progress),
        Command::Transfer(command) => transfer::run(command, common, &progress),
        Command::Units(command) => units::run(command, common, &progress),
        Command::Spectrum(command) => spectrum::run(command, common, &progress),
        Command::Certify(command) => certify::run(command, common, &progress),
        Command::Train(command) => train::run(command, common, &progress),
        Command::Data(command) => data::run(command, common, &progress),
    }
}

/// Prints text for people, unless nothing or JSON is wanted.
fn say(common: &Common, text: &str) {
    if !common.quiet && !common.json {
        println!("{text}");
    }
}

/// Prints a result as JSON where that is wanted.
fn json(common: &Common, value: &impl serde::Serialize) -> anyhow::Result<()> {
    if common.json {
        println!("{}", serde_json::to_string_pretty(value)?);
    }
    Ok(())
}
