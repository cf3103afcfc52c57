//! What commands share that can do a part of their work: the journal that results go to as they come, and how a
//! process that did its part ends.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use blindspot::run::journal::{Entries, Journal, SetAside, Shard, Work};
use blindspot_data::files;

use crate::args::Common;
use crate::errors::Interrupted;
use crate::interrupt::{self, interrupted};
use crate::print::{self, say};

/// The part of a command's work that this process does: a shard, or all of it.
pub(super) struct Part {
    /// Where the results go.
    journal: Journal,
    shard: Option<Shard>,
    positions: usize,
    /// What they are.
    items: &'static str,
    /// How many positions are in the journal, for whoever ends the process.
    kept: Arc<AtomicUsize>,
}

impl Part {
    /// Opens the journal: that of a shard in the folder `out`; of the whole work beside the file `out`,
    /// where a journal of other work gets another name.
    pub(super) fn open<W: Work>(
        work: &W,
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
                let path = Journal::beside(out);
                let header = work.header(positions, Shard::WHOLE);
                let (journal, aside) = Journal::open_or_set_aside(&path, header)?;
                if let Some(SetAside { path: now, why }) = aside {
                    print::warning(&format!(
                        "{} holds results of other work ({why}); they are kept as {}",
                        path.display(),
                        now.display()
                    ));
                }
                journal
            }
        };
        let before = journal.done().len();
        let part = Part {
            shard,
            positions,
            items: W::ITEMS,
            kept: Arc::new(AtomicUsize::new(before)),
            journal,
        };
        if before > 0 && !common.quiet {
            let (all, items) = (part.range().len(), part.items);
            print::warning(&format!(
                "going on after {before} of {all} {items} that are done already"
            ));
        }
        let (kept, said) = (Arc::clone(&part.kept), part.said());
        interrupt::keeping(move || said(kept.load(Ordering::Relaxed)));
        Ok(part)
    }

    /// Says that a number of positions are kept.
    fn said(&self) -> impl Fn(usize) -> String + Send + 'static {
        let (all, path) = (self.range().len(), self.journal.path().to_owned());
        let items = self.items;
        move |kept| {
            let path = path.display();
            format!("kept {kept} of {all} {items} in {path}; the same command goes on")
        }
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

    /// What the journal holds already.
    pub(super) fn entries(&self) -> anyhow::Result<Entries> {
        Ok(Entries::of(self.journal.path())?)
    }

    /// Keeps results, each a position and the content of its entry; says how many are new.
    pub(super) fn keep(
        &mut self,
        entries: impl Iterator<Item = (usize, Vec<u8>)>,
    ) -> anyhow::Result<usize> {
        let before = self.journal.done().len();
        self.journal.append(entries)?;
        let now = self.journal.done().len();
        self.kept.store(now, Ordering::Relaxed);
        Ok(now - before)
    }

    /// Keeps results that stand one after the other, as [`Journal::rows`] takes them apart; says how many are new.
    pub(super) fn keep_rows(&mut self, rows: &[u8]) -> anyhow::Result<usize> {
        let rows = self.journal.rows(rows);
        self.keep(rows)
    }

    /// Ends the work, which came to `worked`: whether all of it is done. A whole one is written from its entries by
    /// `write`, what there is of it where it was interrupted; gives what that gives, None of a shard.
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
        if stopped && done == 0 && self.shard.is_none() {
            // A file of nothing must not take the place of one that is there.
            self.journal.remove()?;
            let items = self.items;
            let why =
                format!("interrupted before any of the {items} was done; nothing was written");
            return Err(Interrupted(why).into());
        }
        let interrupted = format!("interrupted; {}", (self.said())(done));
        if let Some(shard) = self.shard {
            if stopped {
                return Err(Interrupted(interrupted).into());
            }
            self.journal.close()?;
            let (items, path) = (self.items, self.journal.path().display());
            say(
                common,
                &format!("Shard {shard}: {done} {items}\nWritten: {path}"),
            )?;
            return Ok(None);
        }
        if !stopped {
            self.journal.close()?;
        }
        let record = write(&self.entries()?)?;
        if stopped {
            return Err(Interrupted(interrupted).into());
        }
        self.journal.remove()?;
        Ok(Some(record))
    }
}
