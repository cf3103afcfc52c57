//! The processes of a job that `mpirun` has started, of which this is one.

#[cfg(feature = "mpi")]
mod transport;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use blindspot::run::communicator::{Communicator, SingleProcess, agree, all_gather};
use blindspot_data::files;

use crate::args::Common;
use crate::errors::Usage;
use crate::print;

/// Where a launcher says how many processes it has started: Open MPI, MPICH and those that are
/// like it, Slurm's own.
const COUNT: [&str; 4] = [
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "MPI_WORLD_SIZE",
    "SLURM_STEP_NUM_TASKS",
];
/// Where it says how many of them are on this machine.
const LOCAL_COUNT: [&str; 3] = [
    "OMPI_COMM_WORLD_LOCAL_SIZE",
    "MPI_LOCALNRANKS",
    "SLURM_NTASKS_PER_NODE",
];

#[cfg(feature = "mpi")]
static HERE: OnceLock<transport::MpiTransport> = OnceLock::new();
#[cfg(not(feature = "mpi"))]
static HERE: OnceLock<SingleProcess> = OnceLock::new();

/// This process among those of the job.
pub(crate) fn here() -> &'static dyn Communicator {
    match HERE.get() {
        Some(ranks) => ranks,
        None => &SingleProcess,
    }
}

fn number(names: &[&str]) -> Option<usize> {
    let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
    values.find_map(|value| value.trim().parse().ok())
}

/// Joins the other processes, if a launcher has started several; `runs_on_ranks` says whether the
/// command can share its work with them.
///
/// # Errors
/// [`Usage`] where this program or the command can't work with them, and
/// [`RanksDiffer`](blindspot::run::communicator::RanksDiffer).
pub(crate) fn join(runs_on_ranks: bool, common: &Common) -> anyhow::Result<()> {
    if number(&COUNT).is_none_or(|count| count < 2) {
        return Ok(());
    }
    if !runs_on_ranks {
        let why = "this command runs on one process: leave mpirun out (train, attack and reproduce \
                   run on several)";
        return Err(Usage(why.into()).into());
    }
    meet(common)?;
    let whereabouts = all_gather(here(), whereabouts().into_bytes());
    if here().is_root() && !common.quiet {
        // Some launchers name processes by their numbers, not by their ranks.
        let ranks = whereabouts.iter().enumerate();
        let ranks = ranks.map(|(rank, it)| format!("{rank} ({})", String::from_utf8_lossy(it)));
        let ranks: Vec<String> = ranks.collect();
        print::warning(&format!("{} ranks: {}", ranks.len(), ranks.join(", ")));
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    agree_on([
        ("program", program()),
        ("options", arguments.join(" ")),
        ("processor", processor()),
    ])
}

#[cfg(feature = "mpi")]
fn meet(common: &Common) -> anyhow::Result<()> {
    let transport = transport::MpiTransport::start(common.patience)?;
    HERE.get_or_init(|| transport);
    Ok(())
}

#[cfg(not(feature = "mpi"))]
fn meet(_: &Common) -> anyhow::Result<()> {
    let why = "several processes were started, and this program was built without MPI: build it with \
               `cargo build --release --features mpi`, start one process, or use --shard";
    Err(Usage(why.into()).into())
}

/// Makes sure that all processes have the same.
///
/// # Errors
/// [`RanksDiffer`](blindspot::run::communicator::RanksDiffer).
pub(crate) fn agree_on<const N: usize>(facts: [(&str, String); N]) -> anyhow::Result<()> {
    let facts = facts.map(|(what, is)| (what.to_owned(), is));
    Ok(agree(here(), &BTreeMap::from(facts))?)
}

/// Leaves the other processes: waits for them after a good end, ends them after a bad one.
pub(crate) fn leave(code: u8) {
    #[cfg(feature = "mpi")]
    const INTERRUPTED: u8 = crate::exit::code(blindspot::ErrorKind::Interrupted);
    #[cfg(feature = "mpi")]
    if let Some(transport) = HERE.get() {
        match code {
            0 | INTERRUPTED => transport.finish(),
            code => transport.abort(code),
        }
    }
    let _ = code;
}

/// Threads for this process where the user asks for no number: its part of the machine's.
pub(crate) fn threads() -> Option<usize> {
    if here().count() == 1 {
        return None;
    }
    let here = number(&LOCAL_COUNT).unwrap_or(1).max(1);
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    // A launcher that binds its processes to cores has divided them already.
    let machine = std::fs::read_to_string("/proc/cpuinfo").map_or(all, |text| {
        text.lines()
            .filter(|line| line.starts_with("processor"))
            .count()
    });
    Some(if all < machine {
        all
    } else {
        (all / here).max(1)
    })
}

/// Which process this is.
fn whereabouts() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let machine = machine.unwrap_or_default();
    match machine.trim() {
        "" => format!("process {}", std::process::id()),
        machine => format!("process {} on {machine}", std::process::id()),
    }
}

/// This program, by its hash.
fn program() -> String {
    let path = std::env::current_exe();
    let bytes = path.and_then(std::fs::read).unwrap_or_default();
    format!(
        "{} {}",
        env!("CARGO_PKG_VERSION"),
        files::sha256_hex(&bytes)
    )
}

/// What the kernels of matrix products are chosen by: others round otherwise.
fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let features = [
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
        ];
        let names = features.iter().filter(|(_, has)| *has);
        names.fold("x86_64".into(), |all, (name, _)| format!("{all} {name}"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::env::consts::ARCH.into()
}
