//! Why a journal can't be written, gone on with, or read.

use std::io;
use std::path::PathBuf;

use blindspot_data::ErrorKind;
use blindspot_data::files::FileError;

use super::Shard;

/// Why a journal can't be written, gone on with, or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The system refuses.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is of other work.
    #[error(
        "{}: it holds results of other work ({difference}); give the options that it was begun with, or \
         another folder", path.display()
    )]
    Other {
        /// The journal.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// Two processes at once.
    #[error("{}: another process writes to it; wait for its end", path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// It is no journal, or something else wrote into it.
    #[error("{}: {why}; move or remove it, and run the same again", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It begins as a journal does, and its header can't be read.
    #[error("{}: its header is damaged; move or remove it, and run the same again", path.display())]
    Header {
        /// The journal.
        path: PathBuf,
    },
    /// A shard that is to be merged is not finished.
    #[error(
        "{}: shard {shard} is not finished; run its command again, it goes on where it was",
        path.display()
    )]
    Unfinished {
        /// Its journal.
        path: PathBuf,
        /// The shard.
        shard: Shard,
    },
    /// Journals that are to be merged are of different work.
    #[error(
        "{} and {} are of different work: {difference}; merge shards of one command only",
        one.display(), other.display()
    )]
    Unrelated {
        /// One journal.
        one: PathBuf,
        /// Another.
        other: PathBuf,
        /// What differs.
        difference: String,
    },
    /// A shard is there twice.
    #[error("{} and {} are both shard {shard}; leave one of them out", one.display(), other.display())]
    Twice {
        /// One journal.
        one: PathBuf,
        /// The other.
        other: PathBuf,
        /// The shard's index.
        shard: usize,
    },
    /// Shards are missing.
    #[error(
        "of {count} shards these are missing: {}; run them, or give their folders",
        list(missing)
    )]
    Missing {
        /// The number of shards.
        count: usize,
        /// The indices of those that are missing.
        missing: Vec<usize>,
    },
    /// A folder of shards can't be read.
    #[error("{}: {source}; give the folders that shards were written to", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is nothing to merge.
    #[error(
        "{}there are no journals of shards; give the folders that shards were written to",
        folder.as_ref().map(|folder| format!("{}: ", folder.display())).unwrap_or_default()
    )]
    None {
        /// The folder, if it is one among several.
        folder: Option<PathBuf>,
    },
    /// Results are missing from work that leaves none out.
    #[error(
        "{missing} of {positions} results are not in the journals; remove them, and do their work again"
    )]
    Gaps {
        /// How many are missing.
        missing: usize,
        /// How many there should be.
        positions: usize,
    },
    /// The journals are of another kind of work.
    #[error("the journals hold results of `{found}`, {wanted}")]
    Kind {
        /// The kind that they are of.
        found: String,
        /// What was expected, a phrase.
        wanted: String,
    },
    /// The entries are not what their headers say.
    #[error("the journals {0}; run their commands again")]
    Mismatch(&'static str),
    /// An entry that was there can't be read any more.
    #[error("a journal can't be read any more: {0}")]
    Unreadable(#[source] io::Error),
}

impl JournalError {
    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        match self {
            JournalError::File(file) => file.kind(),
            JournalError::Damaged { .. }
            | JournalError::Header { .. }
            | JournalError::Mismatch(_) => ErrorKind::Data,
            JournalError::Unreadable(_) => ErrorKind::Data,
            _ => ErrorKind::Usage,
        }
    }

    /// The headers don't fit the entries.
    pub fn mismatch() -> JournalError {
        JournalError::Mismatch("have headers that don't fit their entries")
    }
}

fn list(numbers: &[usize]) -> String {
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    numbers.join(", ")
}
