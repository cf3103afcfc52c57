//! `blindspot reproduce`.

use std::path::Path;

use blindspot::reproduce::{
    Experiment, Figure5Outcome, IMAGES, Options, Own, empty_results, figure5, reproduce,
};
use blindspot::results::{Pictures, Results};
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
        let own = command.model.iter().map(|_| Experiment::Figure5);
        Experiment::default_list().into_iter().chain(own).collect()
    } else {
        experiments
    };
    if let (true, None) = (experiments.contains(&Experiment::Figure5), &command.model) {
        let why = "figure5 takes a network and images: add --model MODEL.onnx --data folder:DIR";
        return Err(Usage(why.into()).into());
    }
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

    let of_mnist = experiments
        .iter()
        .any(|experiment| !experiment.is_of_own_network());
    let with_figure5 = experiments.contains(&Experiment::Figure5);
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
    let (mut results, mut pictures) = if of_mnist {
        let train = load::set("mnist:train", common, progress)?;
        let test = load::set("mnist:test", common, progress)?;
        reproduce(&options, &train, &test, &command.out, progress)?
    } else {
        (empty_results(&options), Pictures::default())
    };
    if let (true, Some(model)) = (with_figure5, &command.model) {
        let outcome = photographs(model, command, common, progress, &mut results)?;
        outcome.save(&command.out.join("figure5"))?;
        results.figure5 = Some(outcome.figure);
        pictures.figure5 = outcome.pairs;
    }
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

/// Figure 5 for the network that was brought; the hashes of its images go into the results.
fn photographs(
    path: &Path,
    command: &Reproduce,
    common: &Common,
    progress: &Progress,
    results: &mut Results,
) -> anyhow::Result<Figure5Outcome> {
    let model = load::model_of(path, &command.preprocess)?;
    let images = load::images(&command.data, None, Some(&model), common, progress)?;
    load::labels(&images, &command.data.data)?;
    let own = Own {
        network: &model.network,
        name: path.display().to_string(),
        sha256: model.sha256.clone(),
    };
    let preprocess = serde_json::to_value(&model.preprocess)?;
    results.options.insert("preprocess".into(), preprocess);
    results.data.extend(images.hashes().iter().cloned());
    Ok(figure5(&own, &images, IMAGES, command.seed, progress)?)
}
