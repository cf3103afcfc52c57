//! Searches of a replication, kept in journals as they go: what was killed goes on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use blindspot::examples::{About, Extra, Layout, Origin, StoredExamples};
use blindspot::preprocess::Preprocess;
use blindspot::provenance::{Provenance, selection_sha256, versions};
use blindspot::run::communicator::{Communicator, Task, any_true, distribute};
use blindspot::run::journal::{Entries, Journal, JournalError, SetAside, Shard, Work};
use blindspot::run::monitor::Monitor;
use blindspot::search::{Block, Example, SearchOptions, search_in_blocks};
use blindspot_data::ImageSet;
use blindspot_data::files::{self, FileError};
use blindspot_net::Network;

use super::ReproduceError;

/// The folder of journals of searches that are under way.
const FOLDER: &str = "searches";

/// One search of a replication: a network's examples of some images.
pub(crate) struct KeptSearch<'a> {
    /// What the journal is called.
    pub(crate) name: &'a str,
    pub(crate) network: &'a Network<f32>,
    /// SHA-256 of the network's file.
    pub(crate) model_sha256: &'a str,
    pub(crate) images: &'a ImageSet,
    /// The class of each image.
    pub(crate) labels: &'a [usize],
    /// The images that are searched from, by their positions.
    pub(crate) sample: &'a [usize],
    pub(crate) options: &'a SearchOptions,
}

impl KeptSearch<'_> {
    /// Searches, on several ranks; gives the examples in the order of the sample, on rank 0 alone, and
    /// `None` where the monitor stopped the work on any of them. The journal stays in `out/searches`
    /// until [`remove`].
    ///
    /// # Errors
    /// [`ReproduceError`].
    pub(crate) fn run(
        &self,
        out: &Path,
        ranks: &dyn Communicator,
        monitor: &dyn Monitor,
    ) -> Result<Option<Vec<Example>>, ReproduceError> {
        let mut journal = None;
        if ranks.is_root() {
            let path = out.join(FOLDER).join(format!("{}.journal", self.name));
            files::make_folder(&out.join(FOLDER))?;
            let header = self.about().header(self.sample.len(), Shard::WHOLE);
            let (opened, aside) = Journal::open_or_set_aside(&path, header)?;
            if let Some(SetAside { path: now, why }) = aside {
                monitor.notice(&format!(
                    "{} holds results of other work ({why}); they are kept as {}",
                    path.display(),
                    now.display()
                ));
            }
            journal = Some(opened);
        }
        self.fill(journal.as_mut(), 0..self.sample.len(), ranks, monitor)?;
        if any_true(ranks, monitor.cancelled()) {
            return Ok(None);
        }
        let Some(mut journal) = journal else {
            return Ok(Some(Vec::new()));
        };
        journal.close()?;
        Ok(Some(self.examples(&Entries::of(journal.path())?)?))
    }

    /// Searches from those of the sample's places that the journal lacks. Only rank 0 has one.
    ///
    /// # Errors
    /// [`ReproduceError`].
    pub(super) fn fill(
        &self,
        mut journal: Option<&mut Journal>,
        places: Range<usize>,
        ranks: &dyn Communicator,
        monitor: &dyn Monitor,
    ) -> Result<(), ReproduceError> {
        let done = journal.as_ref().map(|journal| journal.done());
        let missing = |place: &usize| done.is_none_or(|done| !done.contains(place));
        let missing: Vec<usize> = places.filter(missing).collect();
        if missing.is_empty() && ranks.count() == 1 {
            return Ok(());
        }
        let layout = self.layout();
        let place_of: BTreeMap<usize, usize> = self.sample.iter().copied().zip(0..).collect();
        let work = |task: Task<'_, ReproduceError>| {
            let Task {
                positions,
                monitor,
                emit,
            } = task;
            let positions: Vec<usize> = positions.iter().map(|&at| self.sample[at]).collect();
            let keep = |block: Block| {
                let originals = block.originals.chunks_exact(layout.input_len());
                let rows = block.examples.iter().zip(originals);
                let rows = rows.map(|(example, original)| {
                    let place = place_of[&example.position] as u64;
                    let content = layout.content(example, original, Extra::default());
                    [&place.to_le_bytes(), &content[..]].concat()
                });
                emit(rows.collect::<Vec<_>>().concat())
            };
            search_in_blocks(
                self.network,
                self.images,
                self.labels,
                &positions,
                self.options,
                monitor,
                keep,
            )
        };
        let take = |rows: Vec<u8>| {
            let journal = journal.as_mut().expect("rank 0 has the journal");
            let before = journal.done().len();
            let entries = journal.rows(&rows);
            journal.append(entries)?;
            Ok(journal.done().len() - before)
        };
        distribute(ranks, &missing, "search", monitor, work, take)?;
        Ok(())
    }

    /// The examples in a journal's entries, which have to be all of this search, in the order of the
    /// sample.
    ///
    /// # Errors
    /// [`JournalError`] where they are of other options, images or models, or not all.
    pub(super) fn examples(&self, entries: &Entries) -> Result<Vec<Example>, JournalError> {
        entries.check(&self.about().header(self.sample.len(), Shard::WHOLE))?;
        entries.check_all()?;
        let examples = StoredExamples::new(entries, self.layout())?;
        let examples: Result<Vec<Example>, _> = examples.examples()?.collect();
        let mut examples = examples.map_err(JournalError::Unreadable)?;
        // From the place in the sample to that in the images.
        for example in &mut examples {
            example.position = self.sample[example.position];
        }
        Ok(examples)
    }

    fn layout(&self) -> Layout {
        Layout {
            shape: self.network.input_shape().to_vec(),
            eight_bit: false,
            certificate: false,
            outputs: 0,
        }
    }

    /// What the examples depend on.
    pub(super) fn about(&self) -> About {
        About {
            origin: Origin {
                options: self.options.clone(),
                provenance: Provenance {
                    preprocess: Preprocess::default(),
                    data: self.images.name().to_owned(),
                    data_sha256: self.images.hashes().iter().cloned().collect(),
                    selection_sha256: selection_sha256(self.sample),
                    right_of: None,
                    model_sha256: self.model_sha256.to_owned(),
                    versions: versions(),
                },
                answers_as_labels: false,
                ranges_sha256: BTreeMap::new(),
                epsilons: Vec::new(),
            },
            layout: self.layout(),
            image_shape: self.images.shape(),
        }
    }
}

/// Removes the journals of a replication's searches, once its results are kept.
///
/// # Errors
/// [`FileError`].
pub fn remove_searches(out: &Path) -> Result<(), FileError> {
    let folder = out.join(FOLDER);
    let Ok(found) = std::fs::read_dir(&folder) else {
        return Ok(());
    };
    let paths = found.flatten().map(|file| file.path());
    let journals: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "journal"))
        .collect();
    for path in journals {
        files::remove(&path)?;
    }
    // What was set aside in it stays, and so does the folder then.
    let _ = std::fs::remove_dir(&folder);
    Ok(())
}
