//! A replication under way: what the experiments share.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blindspot::run::communicator::{Communicator, SingleProcess, broadcast};
use blindspot::run::monitor::Monitor;
use blindspot::search::{Example, Method, SearchOptions, Target};
use blindspot_data::ImageSet;
use blindspot_data::files;
use blindspot_net::Network;

use super::recipes::{halved, recipe};
use super::searches::KeptSearch;
use super::{Mnist, Options, OwnNetwork, ReproduceError, Sources, shards};
use crate::experiments::excitation::{self, Excitation};
use crate::experiments::{Experiment, Source, table5};
use crate::models::{KeptModel, kept_model, kept_or_trained};
use crate::results::ModelRecord;
use crate::session::Session;

/// A trained model of a replication.
pub(crate) struct Model {
    pub(crate) network: Network<f32>,
    pub(crate) record: ModelRecord,
    /// Whether its first layer is a sparse autoencoder's.
    pub(crate) autoencoder: bool,
}

/// MNIST as the experiments divide it.
struct Divided {
    /// P1 and P2 of tables 3 and 4.
    halves: [ImageSet; 2],
    /// The training and the test images that are distorted, by their positions.
    samples: [Vec<usize>; 2],
}

/// A replication under way: its options and sources, and for each model its network and examples.
pub struct Replication<'a> {
    pub(crate) options: &'a Options,
    pub(crate) sources: &'a Sources<'a>,
    /// The folder for all files.
    pub(crate) out: &'a Path,
    pub(crate) monitor: &'a dyn Monitor,
    divided: Option<Divided>,
    models: Vec<Model>,
    /// By the model's name.
    examples: BTreeMap<String, Vec<Example>>,
    /// Figures 1 and 2, made together when one of them is.
    of_conv: OnceCell<Excitation>,
    /// Figures 3 and 4.
    of_own: OnceCell<Excitation>,
}

/// What holds of the experiments that ask for it.
const MNIST: &str = "experiments on MNIST are run where it is given";

impl<'a> Replication<'a> {
    /// Nothing is trained and searched yet.
    pub(super) fn new(
        options: &'a Options,
        sources: &'a Sources<'a>,
        out: &'a Path,
        monitor: &'a dyn Monitor,
    ) -> Result<Replication<'a>, ReproduceError> {
        if options.samples == Some(0) {
            return Err(ReproduceError::NoSamples);
        }
        if options.seeds == 0 {
            return Err(ReproduceError::NoSeeds);
        }
        let mut mnist = options
            .experiments
            .iter()
            .filter(|known| known.needs.source == Source::Mnist);
        if let (Some(experiment), None) = (mnist.next(), sources.mnist) {
            let (experiment, what) = (experiment.name, "a copy of MNIST");
            return Err(ReproduceError::Missing { experiment, what });
        }
        let divide = |Mnist { train, test }: Mnist<'_>| {
            for set in [train, test] {
                if set.labels().is_none() {
                    return Err(ReproduceError::Unlabelled(set.name().to_owned()));
                }
            }
            Ok(Divided {
                halves: train.halves(options.seed),
                samples: [train, test].map(|set| {
                    let count = options.samples.unwrap_or(set.len()).min(set.len());
                    set.random_positions(count, options.seed)
                }),
            })
        };
        Ok(Replication {
            options,
            sources,
            out,
            monitor,
            divided: sources.mnist.map(divide).transpose()?,
            models: Vec::new(),
            examples: BTreeMap::new(),
            of_conv: OnceCell::new(),
            of_own: OnceCell::new(),
        })
    }

    /// Trains the models of the experiments that are `wanted`, or takes them from the folder of models.
    pub(super) fn train_models(
        &mut self,
        wanted: impl Fn(&Experiment) -> bool,
        ranks: &dyn Communicator,
    ) -> Result<(), ReproduceError> {
        let folder = self.models_folder();
        if ranks.is_root() {
            files::make_folder(&folder)?;
        }
        let experiments = self.options.experiments.iter().copied();
        for name in experiments
            .filter(|known| wanted(known))
            .flat_map(|known| known.needs.models)
        {
            if self.find_model(name).is_some() {
                continue;
            }
            let recipe = recipe(name, self.options);
            let images = halved(name).map_or(self.train(), |(_, half)| &self.halves()[half]);
            // One process trains by mini-batches, and none of these is searched.
            let ranks: &dyn Communicator = if !recipe.is_by_mini_batches() {
                ranks
            } else if ranks.is_root() {
                &SingleProcess
            } else {
                continue;
            };
            let session = Session::new(self.options.seed)
                .with_monitor(self.monitor)
                .with_overwrite(self.options.overwrite)
                .with_ranks(ranks);
            let kept = kept_or_trained(&recipe, images, &folder, &session)?;
            self.add_model(kept, recipe.sparsity().is_some());
        }
        Ok(())
    }

    /// Adds those of these models that an earlier run has left in the folder of models.
    pub(super) fn take_kept(&mut self, names: impl Iterator<Item = &'static str>) {
        let folder = self.models_folder();
        for name in names {
            if self.find_model(name).is_some() {
                continue;
            }
            let recipe = recipe(name, self.options);
            if let Some(kept) = kept_model(&recipe, self.train(), self.options.seed, &folder) {
                self.add_model(kept, recipe.sparsity().is_some());
            }
        }
    }

    fn add_model(&mut self, (network, record): KeptModel, autoencoder: bool) {
        self.models.push(Model {
            network,
            record,
            autoencoder,
        });
    }

    /// Searches for the examples of each model that some experiment takes, or takes them from shards.
    pub(super) fn search(&mut self, ranks: &dyn Communicator) -> Result<(), ReproduceError> {
        // Before the searches: shards that don't fit are found out now.
        let mut stored = if ranks.is_root() {
            shards::stored(self)?
        } else {
            BTreeMap::new()
        };
        let names = || stored.keys().map(String::as_str).collect::<Vec<_>>();
        let known = broadcast(ranks, || names().join("\n").into_bytes());
        let known = String::from_utf8_lossy(&known);
        let mut examples = BTreeMap::new();
        for model in &self.models {
            let name = &model.record.name;
            if !self.takes_examples(name) {
                continue;
            }
            if known.lines().any(|known| known == name) {
                examples.extend(stored.remove_entry(name));
                continue;
            }
            let options = self.search_options();
            let search = self.kept_search(model, &options);
            let found = search.run(self.out, ranks, self.monitor)?;
            let found = found.ok_or_else(|| self.cancelled())?;
            examples.insert(name.clone(), found);
        }
        self.examples = examples;
        Ok(())
    }

    /// The search for a model's examples.
    pub(super) fn kept_search<'s>(
        &'s self,
        model: &'s Model,
        options: &'s SearchOptions,
    ) -> KeptSearch<'s> {
        let (images, sample) = self.distorted(&model.record.name);
        KeptSearch {
            name: &model.record.name,
            network: &model.network,
            model_sha256: &model.record.sha256,
            images,
            labels: images.labels().expect("checked at the beginning"),
            sample,
            options,
        }
    }

    /// What ends it where it is asked to stop.
    pub(crate) fn cancelled(&self) -> ReproduceError {
        ReproduceError::Cancelled(self.out.to_owned())
    }

    /// Whether some experiment takes examples of a model.
    pub(super) fn takes_examples(&self, name: &str) -> bool {
        let mut experiments = self.options.experiments.iter();
        experiments.any(|known| known.needs.examples && known.needs.models.contains(&name))
    }

    /// The options of the tables' search, the paper's: random targets, the minimiser as it is.
    pub(crate) fn search_options(&self) -> SearchOptions {
        SearchOptions::default()
            .target(Target::Random)
            .seed(self.options.seed)
            .method(Method::Lbfgs)
            .shrink(false)
    }

    /// The folder of the trained models.
    pub(crate) fn models_folder(&self) -> PathBuf {
        self.out.join("models")
    }

    /// The models that there are.
    pub(crate) fn models(&self) -> &[Model] {
        &self.models
    }

    /// The model of this name, if there is one.
    pub(crate) fn find_model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.record.name == name)
    }

    /// A model that the experiment under way takes.
    pub(crate) fn model(&self, name: &str) -> &Model {
        let found = self.find_model(name);
        found.expect("the models of an experiment are trained before it")
    }

    /// A model's examples, if any were made.
    pub(crate) fn find_examples(&self, name: &str) -> Option<&[Example]> {
        self.examples.get(name).map(Vec::as_slice)
    }

    /// The examples of a model that the experiment under way takes.
    pub(crate) fn examples(&self, name: &str) -> &[Example] {
        let found = self.find_examples(name);
        found.expect("the examples of an experiment are made before it")
    }

    /// MNIST's training images.
    pub(crate) fn train(&self) -> &'a ImageSet {
        self.sources.mnist.expect(MNIST).train
    }

    /// MNIST's test images.
    pub(crate) fn test(&self) -> &'a ImageSet {
        self.sources.mnist.expect(MNIST).test
    }

    /// The labels of the training and the test images.
    pub(crate) fn labels(&self) -> (&'a [usize], &'a [usize]) {
        (
            self.train().labels().unwrap_or_default(),
            self.test().labels().unwrap_or_default(),
        )
    }

    /// P1 and P2 of tables 3 and 4.
    pub(crate) fn halves(&self) -> &[ImageSet; 2] {
        &self.divided.as_ref().expect(MNIST).halves
    }

    /// P1 as the results have it: positions separated by commas.
    pub(crate) fn first_half(&self) -> String {
        let indices = self.halves()[0].indices().iter().map(usize::to_string);
        indices.collect::<Vec<_>>().join(",")
    }

    /// The training images that are distorted, by their positions.
    pub(crate) fn train_sample(&self) -> &[usize] {
        &self.divided.as_ref().expect(MNIST).samples[0]
    }

    /// The images that a model's examples are made of, and which of them: test images for the
    /// models of tables 3 and 4, training images for all others.
    pub(crate) fn distorted(&self, name: &str) -> (&'a ImageSet, &[usize]) {
        let [train, test] = &self.divided.as_ref().expect(MNIST).samples;
        match halved(name) {
            Some(_) => (self.test(), test),
            None => (self.train(), train),
        }
    }

    /// The user's network, and photographs for it.
    pub(crate) fn own_network(&self) -> Result<(&OwnNetwork<'a>, &'a ImageSet), ReproduceError> {
        let own = self.sources.network.as_ref();
        own.and_then(|own| Some((own, own.photographs?)))
            .ok_or_else(|| self.missing(Source::OwnNetwork, "a network and images"))
    }

    /// The user's images, and the name of the class that is told from the rest.
    pub(crate) fn own_images(&self) -> Result<(&'a ImageSet, &'a str), ReproduceError> {
        let images = self.sources.images;
        images.ok_or_else(|| self.missing(Source::OwnImages, "images with named classes"))
    }

    fn missing(&self, source: Source, what: &'static str) -> ReproduceError {
        let mut experiments = self.options.experiments.iter();
        let experiment = experiments.find(|known| known.needs.source == source);
        ReproduceError::Missing {
            experiment: experiment.map_or("it", |known| known.name),
            what,
        }
    }

    /// Figures 1 and 2.
    pub(crate) fn conv_excitation(&self) -> Result<&Excitation, ReproduceError> {
        once(&self.of_conv, || excitation::of_conv(self))
    }

    /// Figures 3 and 4.
    pub(crate) fn own_excitation(&self) -> Result<&Excitation, ReproduceError> {
        let (own, images) = self.own_network()?;
        let (seed, monitor) = (self.options.seed, self.monitor);
        once(&self.of_own, || {
            excitation::of_own(own, images, seed, monitor)
        })
    }

    /// The user's network, if an experiment asked for takes one.
    pub(super) fn used_network(&self) -> Option<&OwnNetwork<'a>> {
        let wanted = self.options.wants_source(Source::OwnNetwork)
            || self.options.wants(&table5::EXPERIMENT);
        self.sources.network.as_ref().filter(|_| wanted)
    }

    /// The hashes of all files that images come from.
    pub(super) fn data(&self) -> BTreeMap<String, String> {
        let mnist = self
            .sources
            .mnist
            .map(|Mnist { train, test }| [train, test]);
        let photographs = self.used_network().and_then(|own| own.photographs);
        let photographs = photographs.filter(|_| self.options.wants_source(Source::OwnNetwork));
        let images = self.sources.images.map(|(images, _)| images);
        let images = images.filter(|_| self.options.wants_source(Source::OwnImages));
        let sets = mnist.into_iter().flatten().chain(photographs).chain(images);
        sets.flat_map(|set| set.hashes().iter().cloned()).collect()
    }
}

/// What the cell holds, made now if it is empty.
fn once<T, E>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}
