//! `blindspot reproduce`.

use blindspot::model::InputBox;
use blindspot::model::Interface;
use blindspot::model::{Model, Outputs};
use blindspot_data::ImageSet;
use blindspot_data::files;
use blindspot_paper::experiments::{Experiment, Source, figure5};
use blindspot_paper::reproduce::{
    Mnist, Options, Outcome, OwnNetwork, RESULTS, Sources, refuse_other_results, remove_searches,
    reproduce, search_shard,
};

use super::{load, out, page};
use crate::args::{Common, Reproduce};
use crate::errors::Usage;
use crate::print::{self, json, say};
use crate::progress::Progress;
use crate::{interrupt, ranks};

/// Images distorted for the tables, and in a quick look, unless the user says how many.
const SAMPLES: usize = 1000;
const QUICK_SAMPLES: usize = 100;
/// Seeds that hardening trains from, and in a quick look, unless the user says how many.
const SEEDS: u16 = 5;
const QUICK_SEEDS: u16 = 1;

pub(super) fn run(command: &Reproduce, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let options = options(command)?;
    let ranks = ranks::here();
    // Before the long run: a folder that can't be written is found out now.
    if ranks.is_root() {
        refuse_other_results(&options, &command.out)?;
        files::check_writable(&command.out.join(RESULTS))?;
    }
    let folder = command.out.display().to_string();
    interrupt::keeping(move || {
        format!("models trained and examples found are kept in {folder}; the same command goes on")
    });
    let mnist = options.wants_source(Source::Mnist);
    let mnist = mnist.then(|| read_mnist(common, progress)).transpose()?;
    let mnist = mnist.as_ref().map(|[train, test]| Mnist { train, test });
    if let Some(shard) = command.shard {
        if ranks.count() > 1 {
            let why = "--shard and mpirun divide the same work; leave one of them out";
            return Err(Usage(why.into()).into());
        }
        let Some(mnist) = mnist else {
            let why =
                "--shard divides the searches on MNIST, which none of these experiments makes";
            return Err(Usage(why.into()).into());
        };
        let done = search_shard(&options, mnist, shard, &command.out, progress)?;
        let shards = command.out.join("shards");
        let text = format!(
            "Shard {shard}: {done} examples\nWritten: {}",
            shards.display()
        );
        say(common, &text)?;
        return Ok(());
    }
    let own = if ranks.is_root() {
        Own::read(command, &options, common, progress)?
    } else {
        Own::default()
    };
    let sources = Sources {
        mnist,
        ..own.sources(command)
    };
    let outcome = reproduce(&options, &sources, &command.out, progress, ranks)?;
    let Outcome {
        results,
        pictures,
        failure,
    } = outcome;
    if !ranks.is_root() {
        return Ok(());
    }
    // What was made before one failed, or was stopped, is kept.
    files::write_atomically(&command.out.join(RESULTS), |writer| {
        serde_json::to_writer_pretty(&mut *writer, &results)?;
        writeln!(writer)
    })?;
    let program = page::command();
    let written = blindspot_paper::write_report(&command.out, &results, &pictures, &program)?;
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    remove_searches(&command.out)?;
    say(common, &blindspot_paper::terminal(&results, print::width()))?;
    let mut files = vec![command.out.join(RESULTS)];
    files.extend(written);
    let page = files.pop();
    say(common, &out::listing(&files, page.as_deref()))?;
    json(common, &results)
}

/// What the command asks for.
fn options(command: &Reproduce) -> Result<Options, Usage> {
    let named = command.experiments.iter();
    let named = named.map(|name| Experiment::named(name).map_err(|error| Usage(error.to_string())));
    let mut experiments: Vec<&Experiment> = named.collect::<Result<_, _>>()?;
    if experiments.is_empty() {
        experiments = Experiment::default_list(command.model.is_some());
    }
    let of = |source| {
        let mut experiments = experiments.iter();
        experiments.find(|known| known.needs.source == source)
    };
    if let (Some(own), None) = (of(Source::OwnNetwork), &command.model) {
        let why =
            format!("{own} takes a network and images: add --model MODEL.onnx --data folder:DIR");
        return Err(Usage(why));
    }
    if of(Source::OwnImages).is_some() && command.data.data.starts_with("mnist:") {
        let why = "figure6 takes images with named classes: add --data folder:DIR --class NAME";
        return Err(Usage(why.into()));
    }
    if command.samples == Some(0) {
        return Err(Usage(
            "--samples 0 makes no table; ask for at least 1".into(),
        ));
    }
    Ok(Options {
        experiments,
        samples: samples(command),
        quick: command.quick,
        seed: command.seed,
        clip_noise: command.clip_noise,
        decay: command.decay.into(),
        seeds: seeds(command),
        overwrite: command.replace.overwrite,
    })
}

/// How many images to distort; `None` for all.
fn samples(command: &Reproduce) -> Option<usize> {
    let default = if command.quick {
        QUICK_SAMPLES
    } else {
        SAMPLES
    };
    (!command.full).then(|| command.samples.unwrap_or(default))
}

/// How many seeds hardening trains from.
fn seeds(command: &Reproduce) -> u64 {
    let default = if command.quick { QUICK_SEEDS } else { SEEDS };
    command.seeds.unwrap_or(default).into()
}

/// MNIST's training and test images, the same on all ranks.
fn read_mnist(common: &Common, progress: &Progress) -> anyhow::Result<[ImageSet; 2]> {
    let sets = [
        load::set("mnist:train", common, progress)?,
        load::set("mnist:test", common, progress)?,
    ];
    let hashes = sets.each_ref().map(|set| format!("{:?}", set.hashes()));
    ranks::agree_on([("images", hashes.concat())])?;
    Ok(sets)
}

/// What the user brings, read before the long run.
#[derive(Default)]
struct Own {
    /// With its file's name.
    model: Option<(Model, String)>,
    /// For the network.
    photographs: Option<ImageSet>,
    /// For figure 6.
    images: Option<ImageSet>,
}

impl Own {
    fn read(
        command: &Reproduce,
        options: &Options,
        common: &Common,
        progress: &Progress,
    ) -> anyhow::Result<Own> {
        let data = &command.data;
        let of_network = options.wants_source(Source::OwnNetwork);
        let wanted = of_network
            || options
                .experiments
                .iter()
                .any(|known| known.name == "table5");
        let model = match &command.model {
            Some(path) if wanted => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let source = load::Source {
                    path,
                    interface: Interface::default(),
                    preprocess: command.preprocess.read()?.preprocess,
                    input_box: InputBox::default(),
                    budget: common.budget(),
                    outputs: Outputs::Classes,
                };
                let model = load::model(
                    &source,
                    &data.request(&command.preprocess)?,
                    common,
                    progress,
                )?;
                Some((model, name.into_owned()))
            }
            _ => None,
        };
        let mut photographs = None;
        if let (Some((model, _)), true) = (&model, of_network) {
            let images = load::images(
                &data.request(&command.preprocess)?,
                Some(model),
                common,
                progress,
            )?;
            if options.wants(&figure5::EXPERIMENT) {
                load::labels(&images, &data.data)?;
            }
            photographs = Some(images);
        }
        let mut images = None;
        if options.wants_source(Source::OwnImages) {
            let set = load::images(&data.request(&command.preprocess)?, None, common, progress)?;
            load::labels(&set, &data.data)?;
            images = Some(set);
        }
        Ok(Own {
            model,
            photographs,
            images,
        })
    }

    fn sources<'a>(&'a self, command: &'a Reproduce) -> Sources<'a> {
        let network = self.model.as_ref().map(|(model, name)| OwnNetwork {
            network: model.network(),
            name: name.clone(),
            sha256: model.sha256().to_owned(),
            preprocess: model.preprocess(),
            photographs: self.photographs.as_ref(),
            layer: command.layer.as_deref(),
        });
        let images = self.images.as_ref();
        Sources {
            mnist: None,
            network,
            images: images.map(|images| (images, command.class.as_str())),
        }
    }
}
