//! A replication: the models and the examples that the experiments asked for take, then the
//! experiments one by one.

mod context;
mod error;
mod recipes;
mod searches;
mod shards;

use std::collections::BTreeMap;
use std::path::Path;

use blindspot::preprocess::Preprocess;
use blindspot::provenance::versions;
use blindspot::run::communicator::Communicator;
use blindspot::run::journal::difference_of_result;
use blindspot::run::monitor::Monitor;
use blindspot_data::ImageSet;
use blindspot_net::Network;
use serde::Serialize;
use serde_json::{Value, json};

use crate::experiments::{ALL, Experiment, Source, pictures, table5};
use crate::results::{Pictures, Results};
use crate::train::Decay;

pub use context::Replication;
pub use error::ReproduceError;
pub(crate) use searches::KeptSearch;
pub use searches::remove_searches;
pub use shards::search_shard;

/// The name of the file with every number, in the folder of a replication.
pub const RESULTS: &str = "results.json";

/// What to reproduce, and how thoroughly.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Options {
    /// The experiments.
    pub experiments: Vec<&'static Experiment>,
    /// Images to distort for a table (training images, for tables 3 and 4 test images), at least 1; all
    /// of them if `None`.
    pub samples: Option<usize>,
    /// A first look: few iterations.
    pub quick: bool,
    /// Where every random choice comes from.
    pub seed: u64,
    /// Clip the noise to the input box; the paper's is not.
    pub clip_noise: bool,
    /// What the lambdas of the networks with hidden layers mean.
    pub decay: Decay,
    /// Seeds of hardening, at least 1: `seed` and those after it.
    pub seeds: u64,
    /// Whether results and models that are there and of other options are replaced.
    #[serde(skip)]
    pub overwrite: bool,
}

impl Options {
    /// Whether this experiment is asked for.
    pub fn wants(&self, experiment: &Experiment) -> bool {
        self.experiments.contains(&experiment)
    }

    /// Whether an experiment is asked for whose images come from there.
    pub fn wants_source(&self, source: Source) -> bool {
        let mut experiments = self.experiments.iter();
        experiments.any(|known| known.needs.source == source)
    }
}

/// MNIST, or a set of its form: labelled images in ten classes.
#[derive(Debug, Clone, Copy)]
pub struct Mnist<'a> {
    /// The training images.
    pub train: &'a ImageSet,
    /// The test images.
    pub test: &'a ImageSet,
}

/// A network that was trained elsewhere, and photographs for it.
#[derive(Clone)]
pub struct OwnNetwork<'a> {
    /// Takes images in [0, 1], gives logits.
    pub network: &'a Network<f32>,
    /// The name of its file.
    pub name: String,
    /// The SHA-256 hash of its file.
    pub sha256: String,
    /// The preprocessing inside the network, for the record.
    pub preprocess: &'a Preprocess,
    /// Images of the shape that it takes, for figures 3 to 5.
    pub photographs: Option<&'a ImageSet>,
    /// The layer of figures 3 and 4, by the name of its value; the last features if `None`.
    pub layer: Option<&'a str>,
}

/// What a replication works on: each part may be left out if no experiment asked for takes it.
#[derive(Clone, Default)]
pub struct Sources<'a> {
    /// For the networks that are trained, and all experiments with them.
    pub mnist: Option<Mnist<'a>>,
    /// For figures 3 to 5 and table 5.
    pub network: Option<OwnNetwork<'a>>,
    /// For figure 6: labelled images, and the name of the class that is told from the rest.
    pub images: Option<(&'a ImageSet, &'a str)>,
}

/// What a replication leaves.
#[derive(Debug)]
pub struct Outcome {
    /// Every number.
    pub results: Results,
    /// What is looked at.
    pub pictures: Pictures,
    /// What ended the replication early; the results have what was made before.
    pub failure: Option<ReproduceError>,
}

/// Trains the models that the experiments take (or takes them from `out/models`), searches (or takes the
/// examples from the journals of [`search_shard`] in `out/shards`), and runs the experiments in the
/// order of the report. Models are written, and what figures 5 and 6 keep of their examples.
///
/// Several `ranks` train and search together; the root does all the rest, and has the results. The
/// others get empty ones.
///
/// # Errors
/// [`ReproduceError`], if nothing was made before.
pub fn reproduce(
    options: &Options,
    sources: &Sources<'_>,
    out: &Path,
    monitor: &dyn Monitor,
    ranks: &dyn Communicator,
) -> Result<Outcome, ReproduceError> {
    let mut run = Replication::new(options, sources, out, monitor)?;
    if sources.mnist.is_some() {
        run.train_models(|_| true, ranks)?;
        if options.wants(&table5::EXPERIMENT) {
            run.take_kept(table5::known_models());
        }
        run.search(ranks)?;
    }
    let mut outcome = Outcome {
        results: begun(options),
        pictures: Pictures::default(),
        failure: None,
    };
    if !ranks.is_root() {
        return Ok(outcome);
    }
    let Outcome {
        results, pictures, ..
    } = &mut outcome;
    results.data = run.data();
    results.models = run
        .models()
        .iter()
        .map(|model| model.record.clone())
        .collect();
    if let Some(own) = run.used_network() {
        let preprocess = serde_json::to_value(own.preprocess).expect("it is plain data");
        results.options.insert("preprocess".into(), preprocess);
    }
    *pictures = pictures::of_models(&run)?;
    let wanted = ALL.into_iter().filter(|known| options.wants(known));
    for (done, experiment) in wanted.enumerate() {
        if let Err(error) = (experiment.run)(&run, results, pictures) {
            if done == 0 {
                return Err(error);
            }
            outcome.failure = Some(error);
            break;
        }
    }
    Ok(outcome)
}

/// Makes sure that results that are in the folder `out` are of the same options and version, if they are to
/// be replaced.
///
/// # Errors
/// [`ReproduceError::Exists`].
pub fn refuse_other_results(options: &Options, out: &Path) -> Result<(), ReproduceError> {
    let path = out.join(RESULTS);
    if options.overwrite || std::fs::symlink_metadata(&path).is_err() {
        return Ok(());
    }
    let found = std::fs::read(&path).ok();
    let found = found.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let why = match found {
        Some(mut found) => {
            if let Some(options) = found["options"].as_object_mut() {
                // What the network of a user's own wants is no option of the replication.
                options.remove("preprocess");
            }
            let Results {
                quick,
                seed,
                options,
                versions,
                ..
            } = begun(options);
            let about = json!({
                "quick": quick, "seed": seed, "options": options, "versions": versions,
            });
            difference_of_result(&found, &about)
        }
        None => Some("what it comes from is not known".into()),
    };
    match why {
        Some(why) => Err(ReproduceError::Exists { path, why }),
        None => Ok(()),
    }
}

/// The results of a run with these options before any experiment.
fn begun(options: &Options) -> Results {
    Results {
        quick: options.quick,
        seed: options.seed,
        options: as_map(options),
        versions: versions(),
        ..Results::default()
    }
}

fn as_map(options: &Options) -> BTreeMap<String, serde_json::Value> {
    match serde_json::to_value(options) {
        Ok(serde_json::Value::Object(map)) => map.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}
