//! The searches of a replication in shards, each model's a journal in a folder of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blindspot_data::files;

use super::{Mnist, Options, Replication, ReproduceError, Sources};
use crate::experiments::{ALL, Experiment};
use blindspot::run::communicator::SingleProcess;
use blindspot::run::journal::{Entries, Journal, JournalError, Shard, Work as _};
use blindspot::run::monitor::Monitor;
use blindspot::search::Example;

/// The folder of a model's journals.
fn folder(out: &Path, model: &str) -> PathBuf {
    out.join("shards").join(model)
}

/// Searches a shard of each model's examples: the models are trained first, or taken from `out/models`;
/// what is found is kept in journals in `out/shards`, each example as `attack` keeps it, from which
/// [`reproduce`](super::reproduce) takes them. Gives how many examples are there.
///
/// # Errors
/// [`ReproduceError`].
pub fn search_shard(
    options: &Options,
    mnist: Mnist<'_>,
    shard: Shard,
    out: &Path,
    monitor: &dyn Monitor,
) -> Result<usize, ReproduceError> {
    let sources = Sources {
        mnist: Some(mnist),
        ..Sources::default()
    };
    let mut run = Replication::new(options, &sources, out, monitor)?;
    let takes = |known: &Experiment| known.needs.examples;
    if !options.experiments.iter().any(|known| takes(known)) {
        let known = ALL.into_iter().filter(|known| takes(known));
        let known: Vec<&str> = known.map(|known| known.name).collect();
        return Err(ReproduceError::NoExamples(known.join(", ")));
    }
    run.train_models(takes, &SingleProcess)?;
    let mut done = 0;
    for model in run.models() {
        let folder = folder(out, &model.record.name);
        files::make_folder(&folder)?;
        let options = run.search_options();
        let search = run.kept_search(model, &options);
        let header = search.about().header(search.sample.len(), shard);
        let mut journal = Journal::open(&shard.path(&folder), header)?;
        if !journal.closed() {
            let places = shard.range(search.sample.len());
            search.fill(Some(&mut journal), places, &SingleProcess, monitor)?;
            if monitor.cancelled() {
                return Err(run.cancelled());
            }
            journal.close()?;
        }
        done += journal.done().len();
    }
    Ok(done)
}

/// The examples of models whose shards are there, by the model's name.
///
/// # Errors
/// [`JournalError`] where shards are there that are of other options, images or models, or not all.
pub(super) fn stored(
    run: &Replication<'_>,
) -> Result<BTreeMap<String, Vec<Example>>, JournalError> {
    let mut stored = BTreeMap::new();
    for model in run.models() {
        let name = &model.record.name;
        let folder = folder(run.out, name);
        if !run.takes_examples(name) || !folder.exists() {
            continue;
        }
        let options = run.search_options();
        let examples = run
            .kept_search(model, &options)
            .examples(&Entries::in_folders(&[folder])?)?;
        stored.insert(name.clone(), examples);
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use blindspot_data::ImageSet;

    use super::*;
    use crate::experiments::{figure1, hardening, table1, table2};
    use crate::reproduce::{Outcome, reproduce};
    use crate::train::Decay;
    use blindspot::run::monitor::Unwatched;
    use blindspot_testing::Noise;

    /// Images of 10 classes: a bright pixel where the class says, in noise.
    fn images(name: &str, count: usize, seed: u32) -> ImageSet {
        let mut noise = Noise::new(seed);
        let mut pixels = Vec::new();
        for image in 0..count {
            let class = image % 10;
            pixels.extend((0..16).map(|i| noise.byte() / 4 + if i == class { 150 } else { 0 }));
        }
        let labels = (0..count).map(|image| image % 10).collect();
        let hashes = vec![(name.to_owned(), files::sha256_hex(&pixels))];
        ImageSet::new(name, [1, 4, 4], pixels, Some(labels), hashes).unwrap()
    }

    /// Counts them.
    #[derive(Default)]
    struct Searches(AtomicU64);

    impl Monitor for Searches {
        fn begin(&self, work: &str, _: u64) {
            self.0
                .fetch_add(u64::from(work == "search"), Ordering::Relaxed);
        }
    }

    #[test]
    fn tables_from_shards_are_those_of_one_process() {
        let (train, test) = (images("train", 200, 1), images("test", 60, 2));
        let mnist = Mnist {
            train: &train,
            test: &test,
        };
        let options = Options {
            experiments: vec![&table1::EXPERIMENT, &table2::EXPERIMENT],
            samples: Some(8),
            quick: true,
            seed: 3,
            clip_noise: false,
            decay: Decay::PerUnit,
            seeds: 1,
            overwrite: false,
        };
        let (one, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let searches = Searches::default();
        let whole = |options: &Options, out: &Path| {
            let mnist = Some(mnist);
            let sources = Sources {
                mnist,
                ..Sources::default()
            };
            reproduce(options, &sources, out, &searches, &SingleProcess)
                .map(
                    |Outcome {
                         results,
                         pictures,
                         failure,
                     }| {
                        assert!(failure.is_none());
                        let results = serde_json::to_string(&results).unwrap();
                        (results, pictures.distortions, pictures.examples)
                    },
                )
                .map_err(|error| error.to_string())
        };
        let expected = whole(&options, one.path()).unwrap();
        let part = |options: &Options, index| {
            let shard = Shard { index, count: 3 };
            search_shard(options, mnist, shard, parts.path(), &Unwatched)
        };
        for index in [2, 0] {
            assert!((12..=18).contains(&part(&options, index).unwrap()));
        }
        let missing = whole(&options, parts.path()).unwrap_err();
        assert!(missing.contains("missing: 1"), "{missing}");
        assert_eq!(part(&options, 1).unwrap(), 18);
        // A shard that was killed goes on where it was.
        let path = folder(parts.path(), "AE400-10").join("shard-1-of-3.journal");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 300]).unwrap();
        let unfinished = whole(&options, parts.path()).unwrap_err();
        assert!(unfinished.contains("not finished"), "{unfinished}");
        part(&options, 1).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert!(whole(&options, parts.path()).unwrap() == expected);
        assert_eq!(searches.0.load(Ordering::Relaxed), 6, "one process's alone");

        let fewer = Options {
            samples: Some(7),
            ..options.clone()
        };
        for refused in [
            whole(&fewer, parts.path()).unwrap_err(),
            part(&fewer, 0).unwrap_err().to_string(),
        ] {
            assert!(refused.contains("positions is 8, not 7"), "{refused}");
        }
        let none = Options {
            experiments: vec![&figure1::EXPERIMENT, &hardening::EXPERIMENT],
            ..options
        };
        let refused = part(&none, 0).unwrap_err().to_string();
        assert!(refused.contains("table1, table2"), "{refused}");
    }
}
