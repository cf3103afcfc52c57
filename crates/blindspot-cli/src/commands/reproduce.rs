//! `blindspot reproduce`.

use blindspot::reproduce::{Experiment, Options, reproduce};
use blindspot_data::files::{self, FileError};

use super::{json, load, say};
use crate::args::{Common, Reproduce};
use crate::exit::Usage;
use crate::progress::Progress;

/// Images distorted in a quick look.
const QUICK_SAMPLES: usize = 100;
/// The default of `--samples`.
const SAMPLES: usize = 1000;
/// The default of `--seeds`.
const SEEDS: u16 = 5;

pub(super) fn run(command: &Reproduce, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let experiments = command
        .experiments
        .iter()
        .map(|name| name.parse().map_err(Usage))
        .collect::<Result<Vec<Experiment>, _>>()?;
    let experiments = if experiments.is_empty() {
        Experiment::default_list()
    } else {
        experiments
    };
    if command.samples == 0 {
        return Err(Usage("--samples 0 makes no table; ask for at least 1".into()).into());
    }
    let samples = match command.samples {
        _ if command.full => None,
        SAMPLES if command.quick => Some(QUICK_SAMPLES),
        samples => Some(samples),
    };
    // Before the long run: a folder that can't be written is found out now.
    std::fs::create_dir_all(&command.out).map_err(|source| FileError {
        action: "make the folder",
        path: command.out.clone(),
        source,
    })?;
    let results_file = command.out.join("results.json");
    let marker = command.out.join(".writable");
    files::write_atomically(&marker, |_| Ok(()))?;
    let _ = std::fs::remove_file(&marker);

    let train = load::set("mnist:train", common, progress)?;
    let test = load::set("mnist:test", common, progress)?;
    let options = Options {
        experiments,
        samples,
        quick: command.quick,
        seed: command.seed,
        clip_noise: command.clip_noise,
        decay: command.decay.into(),
        seeds: match command.seeds {
            SEEDS if command.quick => 1,
            seeds => seeds.into(),
        },
    };
    let (results, pictures) = reproduce(&options, &train, &test, &command.out, progress)?;
    files::write_atomically(&results_file, |writer| {
        serde_json::to_writer_pretty(&mut *writer, &results)?;
        writeln!(writer)
    })?;
    let written = blindspot_report::write(&command.out, &results, &pictures)?;
    say(common, &blindspot_report::terminal(&results));
    for file in written
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "html"))
    {
        say(common, &format!("The report: {}", file.display()));
    }
    json(common, &results)
}
