//! The command line: its commands, options and help.

mod attack;
mod certified;
mod certify;
mod data;
mod harden;
mod inspect;
mod merge;
mod options;
mod parse;
mod quocnet;
mod reproduce;
mod schema;
mod shell;
mod spectrum;
mod train;
mod transfer;
mod units;
mod universal;

use std::path::PathBuf;
use std::time::Duration;

use blindspot_net::Budget;
use clap::{Parser, Subcommand};

pub(crate) use attack::{Attack, OtherRuntime};
pub(crate) use certify::Certify;
pub(crate) use data::{Data, Fetch, Fetched};
pub(crate) use inspect::Inspect;
pub(crate) use merge::Merge;
pub(crate) use options::{ChoiceArgs, ModelArgs};
use parse::{count, parse_bytes, parse_device, parse_seconds};
pub(crate) use reproduce::Reproduce;
pub(crate) use schema::{Described, Schema};
pub(crate) use shell::{Completions, Man};
pub(crate) use spectrum::Spectrum;
pub(crate) use train::Train;
pub(crate) use transfer::Transfer;
pub(crate) use units::{Units, WantedUnits};
pub(crate) use universal::Universal;

use crate::version;

/// Where a trained neural network breaks: the smallest perturbations of an image that make it wrong,
/// what they do to other networks, and the experiments of the paper that found them, "Intriguing
/// properties of neural networks" (Szegedy et al., 2013).
#[derive(Debug, Parser)]
#[command(
    name = "blindspot",
    version = version::short(),
    long_version = version::long(),
    max_term_width = 100,
    after_help = EXIT_CODES
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed for another reason
  2    wrong use of the command line
  3    image data missing, damaged or unfit for the model
  4    the model can't be read or run
  5    a file, a folder or standard output can't be written
  130  interrupted (Ctrl-C); what was finished is kept";

/// Options of every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Threads to work on; all of the processor's by default. The results don't depend on it
    #[arg(long, global = true, value_name = "N", value_parser = count::<u16>(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// A folder laid out as mnist/train-images-idx3-ubyte.gz and so on, searched first
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// How much memory the work may take, as in 12GB: a model or images that need more are refused
    /// [default: three quarters of the machine's]
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_bytes)]
    memory: Option<u64>,
    /// How long the constants of a model may be computed when it is read [default: 10]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = parse_seconds)]
    reading_time: Option<f64>,
    /// Where the work is done: there is the processor alone
    #[arg(long, global = true, hide = true, value_name = "DEVICE", value_parser = parse_device)]
    device: Option<()>,
    /// Print nothing but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print the result as JSON
    #[arg(long, global = true, conflicts_with = "quiet")]
    pub(crate) json: bool,
    /// Under mpirun: seconds after which a process that gives no sign ends the job
    #[cfg(feature = "mpi")]
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(3..))]
    pub(crate) patience: u64,
}

impl Common {
    /// What a model may take.
    pub(crate) fn budget(&self) -> Budget {
        let default = Budget::default();
        Budget {
            memory: self.memory.unwrap_or(default.memory),
            time: self
                .reading_time
                .map_or(default.time, Duration::from_secs_f64),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Reproduce(Reproduce),
    Inspect(Inspect),
    Attack(Box<Attack>),
    Merge(Merge),
    Transfer(Transfer),
    Universal(Box<Universal>),
    Units(Box<Units>),
    Spectrum(Spectrum),
    Certify(Certify),
    Train(Train),
    #[command(subcommand)]
    Data(Data),
    Schema(Schema),
    Completions(Completions),
    Man(Man),
}

impl Command {
    /// Whether several processes under mpirun can share the work.
    pub(crate) fn runs_on_ranks(&self) -> bool {
        matches!(
            self,
            Command::Train(_) | Command::Attack(_) | Command::Reproduce(_)
        )
    }
}
