//! `blindspot reproduce`.

use std::path::Path;

use blindspot::search::InputBox;
use blindspot_data::files::{self, FileError};
use blindspot_paper::quocnet::Plan;
use blindspot_paper::reproduce::{
    Experiment, Figure6Options, IMAGES, Options, Own, empty_results, figure5, figure6, figures_3_4,
    reproduce, search_shard, table5_own,
};
use blindspot_paper::results::{Pictures, Results};

use super::{json, load, say};
use crate::args::{Common, Reproduce};
use crate::exit::Usage;
use crate::options::ModelArgs;
use crate::progress::Progress;
use crate::ranks;

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
        Experiment::default_list(command.model.is_some())
    } else {
        experiments
    };
    let own = experiments.iter().find(|known| known.is_of_own_network());
    if let (Some(own), None) = (own, &command.model) {
        let why =
            format!("{own} takes a network and images: add --model MODEL.onnx --data folder:DIR");
        return Err(Usage(why).into());
    }
    if command.samples == 0 {
        return Err(Usage("--samples 0 makes no table; ask for at least 1".into()).into());
    }
    let samples = match command.samples {
        _ if command.full => None,
        SAMPLES if command.quick => Some(QUICK_SAMPLES),
        samples => Some(samples),
    };
    let ranks = ranks::here();
    // Before the long run: a folder that can't be written is found out now.
    if ranks.writes() {
        writable(&command.out)?;
    }
    let results_file = command.out.join("results.json");

    if experiments.contains(&Experiment::Figure6) && command.data.data.starts_with("mnist:") {
        let why = "figure6 takes images with named classes: add --data folder:DIR --class NAME";
        return Err(Usage(why.into()).into());
    }
    let of_mnist = experiments
        .iter()
        .any(|experiment| !experiment.takes_other_images());
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
    if let Some(shard) = command.shard {
        if ranks.count() > 1 {
            let why = "--shard and mpirun divide the same work; leave one of them out";
            return Err(Usage(why.into()).into());
        }
        let train = load::set("mnist:train", common, progress)?;
        let test = load::set("mnist:test", common, progress)?;
        let done = search_shard(&options, &train, &test, shard, &command.out, progress)?;
        let shards = command.out.join("shards");
        let text = format!(
            "Shard {shard}: {done} examples\nWritten: {}",
            shards.display()
        );
        say(common, &text);
        return Ok(());
    }
    let (mut results, mut pictures) = if of_mnist {
        let train = load::set("mnist:train", common, progress)?;
        let test = load::set("mnist:test", common, progress)?;
        let hashes = [&train, &test].map(|set| format!("{:?}", set.hashes()));
        ranks::agree_on([("images", hashes.concat())])?;
        reproduce(&options, &train, &test, &command.out, progress, ranks)?
    } else {
        (empty_results(&options), Pictures::default())
    };
    if !ranks.writes() {
        return Ok(());
    }
    let finished = others(
        command,
        &options,
        common,
        progress,
        (&mut results, &mut pictures),
    );
    // What was made before one failed, or was stopped, is kept.
    let some = of_mnist || results.figure3.is_some() || results.figure4.is_some();
    if finished.is_err() && !some && results.figure5.is_none() {
        return finished;
    }
    files::write_atomically(&results_file, |writer| {
        serde_json::to_writer_pretty(&mut *writer, &results)?;
        writeln!(writer)
    })?;
    let written = blindspot_report::write(&command.out, &results, &pictures)?;
    finished?;
    say(common, &blindspot_report::terminal(&results));
    for file in written
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "html"))
    {
        say(common, &format!("The report: {}", file.display()));
    }
    json(common, &results)
}

/// Makes the folder if need be, and writes to it.
fn writable(folder: &Path) -> Result<(), FileError> {
    files::make_folder(folder)?;
    let marker = folder.join(".writable");
    files::write_atomically(&marker, |_| Ok(()))?;
    let _ = std::fs::remove_file(&marker);
    Ok(())
}

/// The experiments whose images the command names.
fn others(
    command: &Reproduce,
    options: &Options,
    common: &Common,
    progress: &Progress,
    (results, pictures): (&mut Results, &mut Pictures),
) -> anyhow::Result<()> {
    if let Some(model) = &command.model {
        let made = (&mut *results, &mut *pictures);
        own_network(model, command, options, common, progress, made)?;
    }
    if options.experiments.contains(&Experiment::Figure6) {
        quocnet(command, common, progress, (results, pictures))?;
    }
    Ok(())
}

/// Figure 6; the hashes of its images go into the results.
fn quocnet(
    command: &Reproduce,
    common: &Common,
    progress: &Progress,
    (results, pictures): (&mut Results, &mut Pictures),
) -> anyhow::Result<()> {
    let images = load::images(&command.data, None, None, common, progress)?;
    load::labels(&images, &command.data.data)?;
    let options = Figure6Options {
        class: command.class.clone(),
        plan: match command.quick {
            true => Plan::quick(),
            false => Plan::small(),
        },
        quick: command.quick,
        seed: command.seed,
    };
    let outcome = figure6(&images, &options, &command.out, progress)?;
    results.data.extend(images.hashes().iter().cloned());
    results.quocnet = Some(outcome.figure);
    pictures.figure6 = outcome.pairs;
    pictures.filters.push(("quocnet".into(), outcome.filters));
    Ok(())
}

/// The experiments for the network that was brought; the hashes of its images go into the results.
fn own_network(
    path: &Path,
    command: &Reproduce,
    options: &Options,
    common: &Common,
    progress: &Progress,
    (results, pictures): (&mut Results, &mut Pictures),
) -> anyhow::Result<()> {
    let experiments = &options.experiments;
    let wanted = |experiment| experiments.contains(&experiment);
    let of_images = experiments.iter().any(|known| known.is_of_own_network());
    if !of_images && !wanted(Experiment::Table5) {
        return Ok(());
    }
    let model = load::model(
        &ModelArgs {
            model: path.to_owned(),
            preprocess: command.preprocess.clone(),
        },
        InputBox::default(),
    )?;
    let own = Own {
        network: model.network(),
        name: path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        sha256: model.sha256().to_owned(),
    };
    let preprocess = serde_json::to_value(model.preprocess())?;
    results.options.insert("preprocess".into(), preprocess);
    if let Some(table) = &mut results.table5 {
        table.networks.push(table5_own(&own, options, progress)?);
    }
    if !of_images {
        return Ok(());
    }
    let images = load::images(&command.data, None, Some(&model), common, progress)?;
    results.data.extend(images.hashes().iter().cloned());
    if wanted(Experiment::Figure3) || wanted(Experiment::Figure4) {
        let layer = command.layer.as_deref();
        let made = figures_3_4(&own, &images, layer, command.seed, progress)?;
        results.units_own = made.study;
        let places = [
            (Experiment::Figure3, &mut results.figure3),
            (Experiment::Figure4, &mut results.figure4),
        ];
        for ((experiment, place), (figure, rows)) in places.into_iter().zip(made.figures) {
            if wanted(experiment) {
                *place = Some(figure);
                pictures.units.push((experiment.to_string(), rows));
            }
        }
    }
    if wanted(Experiment::Figure5) {
        load::labels(&images, &command.data.data)?;
        let outcome = figure5(&own, &images, IMAGES, command.seed, progress)?;
        outcome.save(&command.out.join("figure5"))?;
        results.figure5 = Some(outcome.figure);
        pictures.figure5 = outcome.pairs;
    }
    Ok(())
}
