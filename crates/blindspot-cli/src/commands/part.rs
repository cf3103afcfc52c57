//! What commands share that can do a part of their work: the journal that results go to as they come, and how a
//! process that did its part ends.

use std::ops::Range;
use std::path::{Path, PathBuf};

use blindspot::run::journal::{Entries, Journal, Shard, Work};
use blindspot_data::ImageSet;
use blindspot_data::files;

use crate::args::Common;
use crate::errors::{Interrupted, Usage};
use crate::interrupt::interrupted;
use crate::print::{self, say};

/// The part of a command's work that this process does: a shard, or all of it.
pub(super) struct Part {
    /// Where the results go.
    pub(super) journal: Journal,
    shard: Option<Shard>,
    positions: usize,
    out: PathBuf,
}

impl Part {
    /// Opens the journal: that of a shard in the folder `out`; of the whole work beside the file `out`,
    /// where results of other work are thrown away.
    pub(super) fn open(
        work: &impl Work,
        positions: usize,
        shard: Option<Shard>,
        out: &Path,
        common: &Common,
    ) -> anyhow::Result<Part> {
        let journal = match shard {
            Some(shard) => {
                files::make_folder(out)?;
                Journal::open(&shard.path(out), work.header(positions, shard))?
            }
            None => {
                files::check_writable(out)?;
                let header = work.header(positions, Shard::WHOLE);
                Journal::open_or_replace(&Journal::beside(out), header)?
            }
        };
        let before = journal.done().len();
        if before > 0 && !common.quiet {
            print::warning(&format!(
                "going on after {before} images that are done already"
            ));
        }
        Ok(Part {
            journal,
            shard,
            positions,
            out: out.to_owned(),
        })
    }

    /// Its positions.
    pub(super) fn range(&self) -> Range<usize> {
        self.shard.unwrap_or(Shard::WHOLE).range(self.positions)
    }

    /// Those that are still to be done, in order.
    pub(super) fn remaining(&self) -> Vec<usize> {
        let done = self.journal.done();
        if self.journal.closed() {
            Vec::new()
        } else {
            self.range().filter(|at| !done.contains(at)).collect()
        }
    }

    /// Ends the work, which came to `worked`: whether all of it is done. A whole one is written from its entries by `write`, what
    /// there is of it where it was interrupted; gives what that gives, None of a shard.
    pub(super) fn end<R>(
        mut self,
        worked: anyhow::Result<bool>,
        common: &Common,
        write: impl FnOnce(&Entries) -> anyhow::Result<R>,
    ) -> anyhow::Result<Option<R>> {
        let done = self.journal.done().len();
        let stopped = match worked {
            Ok(all) => !all || interrupted(),
            Err(error) => {
                if done == 0 {
                    self.journal.remove()?;
                }
                return Err(error);
            }
        };
        if !stopped {
            self.journal.close()?;
        }
        if let Some(shard) = self.shard {
            let path = self.journal.path().display();
            let text = format!("Shard {shard}: {done} images\nWritten: {path}");
            say(common, &text)?;
            let again =
                format!("interrupted; {done} images are in {path}: the same command goes on");
            return if stopped {
                Err(Interrupted(again).into())
            } else {
                Ok(None)
            };
        }
        if stopped && done == 0 {
            // A file of nothing must not take the place of one that is there.
            self.journal.remove()?;
            let why = "interrupted before any image was done; nothing was written";
            return Err(Interrupted(why.into()).into());
        }
        let record = write(&Entries::of(self.journal.path())?)?;
        if stopped {
            let found = format!(
                "interrupted; the {done} images done are in {}: the same command goes on from there",
                self.out.display()
            );
            return Err(Interrupted(found).into());
        }
        self.journal.remove()?;
        Ok(Some(record))
    }
}

/// The file with this extension beside the arrays': `json` for the summary, `svg` for the plot.
pub(super) fn beside(out: &Path, extension: &str) -> Result<PathBuf, Usage> {
    let beside = out.with_extension(extension);
    if beside == out {
        Err(Usage(format!(
            "--out must not end in .{extension}: that name is for what is written beside it"
        )))
    } else {
        Ok(beside)
    }
}

/// A hash of which images of their set these are.
pub(super) fn chosen(images: &ImageSet) -> String {
    let places = images.indices().iter();
    let bytes: Vec<u8> = places
        .flat_map(|&place| (place as u64).to_le_bytes())
        .collect();
    files::sha256_hex(&bytes)
}
