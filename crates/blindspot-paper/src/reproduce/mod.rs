//! The paper's experiments as data: which models, which images, which table.

mod experiment;
mod figure5;
mod figure6;
mod figures;
mod hardening;
mod shards;
mod spectra;
mod tables;
mod units;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blindspot_data::ImageSet;
use blindspot_data::files::{self, FileError};
use blindspot_net::Network;
use serde::{Deserialize, Serialize};

use crate::models::{kept_model, kept_or_trained};
use crate::results::{ModelRecord, Pictures, Results};
use crate::train::{Decay, Recipe, TrainError};
use blindspot::inputs::InputError;
use blindspot::run::journal::JournalError;
use blindspot::run::monitor::Monitor;
use blindspot::run::ranks::{Alone, Ranks, any, broadcast};
use blindspot::search::{Example, Method, SearchError, SearchOptions, Target, search_over};
use blindspot::spectrum::SpectrumError;
use blindspot::units::UnitsError;

pub use experiment::Experiment;
pub use figure5::{Figure5Outcome, IMAGES, Own, figure5};
pub use figure6::{Figure6Options, Figure6Outcome, figure6};
pub use shards::search_shard;
pub use spectra::{QUICK_INPUT, table5_own};
pub use units::{UnitsOutcome, figures_3_4};

/// What to reproduce, and how thoroughly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// The experiments.
    pub experiments: Vec<Experiment>,
    /// Images to distort for a table (training images, for tables 3 and 4 test images); all of
    /// them where `None`.
    pub samples: Option<usize>,
    /// A first look: few iterations.
    pub quick: bool,
    /// Where every random choice comes from.
    pub seed: u64,
    /// Cut the noise to the box; the paper's is not.
    pub clip_noise: bool,
    /// What the lambdas of the networks with hidden layers mean.
    pub decay: Decay,
    /// Seeds of hardening, at least 1: this one and those after it.
    pub seeds: u64,
}

/// Why a replication did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReproduceError {
    /// Training ended early.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A search could not begin.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A layer can't be looked at.
    #[error(transparent)]
    Units(#[from] UnitsError),
    /// The folder for the models can't be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// Examples can't be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It was asked to stop; models trained so far are kept.
    #[error("stopped; the models trained so far are kept in {}, and the same command goes on", .0.display())]
    Cancelled(PathBuf),
    /// Nothing to do in shards.
    #[error(
        "none of these experiments takes examples of its models; shards do the searches of {0}"
    )]
    NoExamples(String),
    /// No seed to train from.
    #[error("0 seeds train nothing; ask for at least 1")]
    NoSeeds,
    /// Layers can't be measured.
    #[error(transparent)]
    Spectrum(#[from] SpectrumError),
    /// No image to distort.
    #[error("0 samples make no table; ask for at least 1")]
    NoSamples,
    /// The network that was brought classifies none of the images correctly.
    #[error(
        "{0} classifies none of {1} images correctly; check what it wants of its input (--range, \
         --mean, --std, --channel-order, --layout) and that the classes have its numbers"
    )]
    NoneKnown(String, usize),
    /// An image can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Its classifier sees the image itself.
    #[error(
        "the network has no layer before its classifier; name one with --layer (`blindspot units \
         MODEL.onnx --layer` lists them)"
    )]
    NoFeatures,
    /// The images have no class of the name asked for.
    #[error("the images have no class `{class}`; choose one of theirs with --class: {}", known.join(", "))]
    NoClass {
        /// The name asked for.
        class: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// All images, or none, are of the class.
    #[error(
        "too few images: some of `{0}` and some others are needed to learn from and to test on"
    )]
    OneClass(String),
    /// It was asked to stop before there was anything to keep.
    #[error("stopped; nothing was written")]
    Stopped,
    /// The image sets are not labelled ones.
    #[error("{0} has no labels; the paper's experiments take labelled images")]
    Unlabelled(String),
}

impl ReproduceError {
    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self,
            Self::Cancelled(_)
                | Self::Stopped
                | Self::Train(TrainError::Cancelled { .. })
                | Self::Units(UnitsError::Cancelled)
        )
    }
}

/// The layers of a model of tables 3 and 4, and the half of the training set that it is trained
/// on, 0 for P1, 1 for P2.
fn halved(name: &str) -> Option<(&'static str, usize)> {
    match name {
        "M1" => Some(("FC100-100-10", 0)),
        "M2" => Some(("FC123-456-10", 0)),
        "M3" => Some(("FC100-100-10", 1)),
        _ => None,
    }
}

/// The recipe of a model under the options.
fn recipe(name: &str, options: &Options) -> Recipe {
    let layers = halved(name).map_or(name, |(layers, _)| layers);
    let mut recipe = Recipe::named(layers).expect("experiments name models that there are");
    recipe.name = name.to_owned();
    if !recipe.hidden.is_empty() {
        recipe.decay = options.decay;
    }
    if options.quick {
        // Passes over the images for a network that learns by mini-batches; the linear ones converge.
        let most = match recipe.hidden.is_empty() {
            _ if recipe.dropout.is_some() => 1,
            true => 100,
            false => 50,
        };
        recipe.iterations = recipe.iterations.min(most);
        if let Some(sparsity) = &mut recipe.sparsity {
            sparsity.iterations = 15;
        }
    }
    recipe
}

/// A trained model of a replication.
struct Model {
    network: Network<f32>,
    record: ModelRecord,
    /// Whether its first layer is a sparse autoencoder's.
    autoencoder: bool,
}

/// A replication under way: the images, and for each model its network and examples.
struct Run<'a> {
    options: &'a Options,
    train: &'a ImageSet,
    test: &'a ImageSet,
    /// P1 and P2 of tables 3 and 4.
    halves: [ImageSet; 2],
    /// The training and the test images that are distorted.
    samples: [Vec<usize>; 2],
    models: Vec<Model>,
    /// By the model's name.
    examples: BTreeMap<String, Vec<Example>>,
}

impl<'a> Run<'a> {
    /// One of nothing yet.
    fn begin(
        options: &'a Options,
        train: &'a ImageSet,
        test: &'a ImageSet,
    ) -> Result<Run<'a>, ReproduceError> {
        for set in [train, test] {
            if set.labels().is_none() {
                return Err(ReproduceError::Unlabelled(set.name().to_owned()));
            }
        }
        if options.samples == Some(0) {
            return Err(ReproduceError::NoSamples);
        }
        if options.seeds == 0 {
            return Err(ReproduceError::NoSeeds);
        }
        let samples = [train, test].map(|set| {
            let count = options.samples.unwrap_or(set.len()).min(set.len());
            set.random_positions(count, options.seed)
        });
        Ok(Run {
            options,
            train,
            test,
            halves: train.halves(options.seed),
            samples,
            models: Vec::new(),
            examples: BTreeMap::new(),
        })
    }

    /// Trains the models of the experiments that are `wanted`, or takes them from `folder`.
    fn train_models(
        &mut self,
        folder: &Path,
        wanted: impl Fn(Experiment) -> bool,
        monitor: &dyn Monitor,
        ranks: &dyn Ranks,
    ) -> Result<(), ReproduceError> {
        if ranks.writes() {
            files::make_folder(folder)?;
        }
        let experiments = self.options.experiments.iter().copied();
        for name in experiments
            .filter(|&known| wanted(known))
            .flat_map(Experiment::models)
        {
            if self.models.iter().any(|model| model.record.name == *name) {
                continue;
            }
            let recipe = recipe(name, self.options);
            let images = halved(name).map_or(self.train, |(_, half)| &self.halves[half]);
            // One process trains by mini-batches, and none of these is searched.
            let ranks: &dyn Ranks = match recipe.dropout {
                Some(_) if !ranks.writes() => continue,
                Some(_) => &Alone,
                None => ranks,
            };
            let (network, record) =
                kept_or_trained(&recipe, images, self.options.seed, folder, monitor, ranks)?;
            self.models.push(Model {
                network,
                record,
                autoencoder: recipe.sparsity.is_some(),
            });
        }
        Ok(())
    }

    /// Whether some experiment takes examples of a model.
    fn takes_examples(&self, name: &str) -> bool {
        let mut experiments = self.options.experiments.iter();
        experiments.any(|known| known.takes_examples() && known.models().contains(&name))
    }

    fn model(&self, name: &str) -> &Model {
        let found = self.models.iter().find(|model| model.record.name == name);
        found.expect("the models of an experiment are trained before it")
    }

    /// The labels of the training and the test images.
    fn labels(&self) -> (&[usize], &[usize]) {
        (
            self.train.labels().unwrap_or_default(),
            self.test.labels().unwrap_or_default(),
        )
    }

    /// The images that a model's examples are made of, and which of them: test images for the
    /// models of tables 3 and 4, training images for all others.
    fn distorted(&self, name: &str) -> (&ImageSet, &[usize]) {
        match halved(name) {
            Some(_) => (self.test, &self.samples[1]),
            None => (self.train, &self.samples[0]),
        }
    }

    /// The options of the tables' search, the paper's: random targets, the minimiser as it is.
    fn search_options(&self) -> SearchOptions {
        SearchOptions {
            target: Target::Random,
            seed: self.options.seed,
            method: Method::Lbfgs,
            shrink: false,
            ..SearchOptions::default()
        }
    }
}

/// Trains the models that the experiments take (or takes them from `out/models`), searches (or takes the
/// examples from the journals of [`search_shard`] in `out/shards`), and
/// fills the tables. Nothing but the models is written. What takes a network of the user's is left
/// out: see [`figure5`], [`figures_3_4`] and [`table5_own`].
///
/// Several `ranks` train and search together; rank 0 does all the rest, and has the results. The
/// others get empty ones.
///
/// # Errors
/// [`ReproduceError`].
pub fn reproduce(
    options: &Options,
    train: &ImageSet,
    test: &ImageSet,
    out: &Path,
    monitor: &dyn Monitor,
    ranks: &dyn Ranks,
) -> Result<(Results, Pictures), ReproduceError> {
    let folder = out.join("models");
    let mut run = Run::begin(options, train, test)?;
    run.train_models(&folder, |_| true, monitor, ranks)?;
    if options.experiments.contains(&Experiment::Table5) {
        for name in spectra::KNOWN {
            let recipe = recipe(name, options);
            let there = run.models.iter().any(|model| model.record.name == *name);
            let kept = || kept_model(&recipe, train, options.seed, &folder);
            if let Some((network, record)) = (!there).then(kept).flatten() {
                run.models.push(Model {
                    network,
                    record,
                    autoencoder: recipe.sparsity.is_some(),
                });
            }
        }
    }
    // Before the searches: shards that don't fit are found out now.
    let mut stored = match ranks.writes() {
        true => shards::stored(&run, out)?,
        false => BTreeMap::new(),
    };
    let names = || stored.keys().map(String::as_str).collect::<Vec<_>>();
    let known = broadcast(ranks, || names().join("\n").into_bytes());
    let known = String::from_utf8_lossy(&known);
    for model in &run.models {
        let name = &model.record.name;
        if !run.takes_examples(name) {
            continue;
        }
        if known.lines().any(|known| known == name) {
            run.examples.extend(stored.remove_entry(name));
            continue;
        }
        let options = run.search_options();
        let (images, sample) = run.distorted(name);
        let labels = images.labels().expect("checked above");
        let network = &model.network;
        let found = search_over(ranks, network, images, labels, sample, &options, monitor)?;
        if any(ranks, monitor.cancelled()) {
            return Err(ReproduceError::Cancelled(folder));
        }
        run.examples.insert(name.clone(), found);
    }
    if !ranks.writes() {
        return Ok((empty_results(options), Pictures::default()));
    }

    let mut results = Results {
        data: [train, test]
            .iter()
            .flat_map(|set| {
                set.hashes()
                    .iter()
                    .map(|(file, hash)| (file.clone(), hash.clone()))
            })
            .collect(),
        models: run
            .models
            .iter()
            .map(|model| model.record.clone())
            .collect(),
        ..empty_results(options)
    };
    let mut pictures = figures::pictures(&run)?;
    let figures = [Experiment::Figure1, Experiment::Figure2];
    let wanted = figures.map(|figure| options.experiments.contains(&figure));
    if wanted.contains(&true) {
        let units = units::figures_1_2(&run, monitor)?;
        results.units = units.study;
        let places = [&mut results.figure1, &mut results.figure2];
        let made = places.into_iter().zip(units.figures).zip(figures);
        for ((place, (figure, rows)), name) in made {
            if options.experiments.contains(&name) {
                *place = Some(figure);
                pictures.units.push((name.to_string(), rows));
            }
        }
    }
    for experiment in &options.experiments {
        match experiment {
            // Made above, both at once.
            Experiment::Figure1 | Experiment::Figure2 => {}
            Experiment::Figure3 | Experiment::Figure4 | Experiment::Figure5 => {}
            Experiment::Figure6 => {}
            Experiment::Table1 => results.table1 = Some(tables::table1(&run)?),
            Experiment::Table2 => results.table2 = Some(tables::table2(&run)?),
            Experiment::Table3 => results.table3 = Some(tables::table3(&run)?),
            Experiment::Table4 => results.table4 = Some(tables::table4(&run)?),
            Experiment::Table5 => results.table5 = Some(spectra::table5(&run, monitor)?),
            Experiment::Figure7 => {
                let (figure, panels) = figures::figure7(&run)?;
                results.figure7 = Some(figure);
                pictures.figure7 = panels;
            }
            Experiment::Hardening => {
                let (rows, models) = hardening::hardening(&run, &folder, monitor)?;
                results.hardening = Some(rows);
                results.models.extend(models);
            }
        }
    }
    if results.table3.is_some() || results.table4.is_some() {
        let indices = run.halves[0].indices().iter().map(usize::to_string);
        results.p1 = Some(indices.collect::<Vec<_>>().join(","));
    }
    Ok((results, pictures))
}

/// The results of a run with these options before any experiment.
pub fn empty_results(options: &Options) -> Results {
    Results {
        quick: options.quick,
        seed: options.seed,
        options: as_map(options),
        versions: BTreeMap::from([("blindspot".into(), env!("CARGO_PKG_VERSION").into())]),
        data: BTreeMap::new(),
        models: Vec::new(),
        table1: None,
        table2: None,
        table3: None,
        table4: None,
        p1: None,
        table5: None,
        hardening: None,
        figure1: None,
        figure2: None,
        units: None,
        figure3: None,
        figure4: None,
        units_own: None,
        figure5: None,
        quocnet: None,
        figure7: None,
    }
}

fn as_map(options: &Options) -> BTreeMap<String, serde_json::Value> {
    match serde_json::to_value(options) {
        Ok(serde_json::Value::Object(map)) => map.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}
