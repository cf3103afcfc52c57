//! What each command does.

mod attack;
mod certify;
mod data;
mod inspect;
mod load;
mod merge;
mod out;
mod page;
mod part;
mod quocnet;
mod reproduce;
mod samples;
mod schema;
mod shell;
mod spectrum;
mod suspect;
mod train;
mod transfer;
mod units;
mod universal;
mod verify;

use anyhow::Context;

use crate::args::{Args, Command};
use crate::progress::Progress;
use crate::{interrupt, ranks};

/// What rayon takes for a thread on each core, or as many as `RAYON_NUM_THREADS` says.
const AS_MANY_AS_CORES: usize = 0;
/// Of a thread's stack: what the main thread has on Linux.
const STACK_BYTES: usize = 8 << 20;

/// Runs the command that was asked for.
pub(crate) fn run(mut args: Args) -> anyhow::Result<()> {
    interrupt::listen();
    ranks::join(args.command.runs_on_ranks(), &args.common)?;
    if !ranks::here().is_root() {
        // Rank 0 speaks for all.
        (args.common.quiet, args.common.json) = (true, false);
    }
    let common = &args.common;
    let threads = common.threads.map(usize::from).or_else(ranks::threads);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.unwrap_or(AS_MANY_AS_CORES))
        .stack_size(STACK_BYTES)
        .build_global()
        .context("can't start that many threads; give a smaller --threads")?;
    let progress = Progress::new(common);
    // On one of the pool's threads: from outside, every short sum of a training would wake a thread
    // and wait for it (half of the time on small networks).
    rayon::scope(|_| match &args.command {
        Command::Reproduce(command) => reproduce::run(command, common, &progress),
        Command::Inspect(command) => inspect::run(command, common),
        Command::Attack(command) => attack::run(command, common, &progress),
        Command::Merge(command) => merge::run(command, common, &progress),
        Command::Transfer(command) => transfer::run(command, common, &progress),
        Command::Universal(command) => universal::run(command, common, &progress),
        Command::Units(command) => units::run(command, common, &progress),
        Command::Spectrum(command) => spectrum::run(command, common, &progress),
        Command::Certify(command) => certify::run(command, common, &progress),
        Command::Train(command) => train::run(command, common, &progress),
        Command::Data(command) => data::run(command, common, &progress),
        Command::Schema(command) => schema::run(command),
        Command::Completions(command) => Ok(shell::completions(command)?),
        Command::Man(command) => shell::man(command, common),
    })
}
