//! Results of long work as they come: a file of entries that a killed process leaves usable, and
//! that the next one goes on from. Several processes can each do a part of the work, a shard.
//!
//! A journal is a line of JSON, its [`Header`], and entries of one length: position in the work
//! (u64), content, CRC-32 of both (u32), little-endian. Entries are only ever added, a block at a
//! time, and synced to the disk; what a kill cut short is cut off when work goes on. An entry at
//! position 2^64 - 1 closes the journal.

mod entries;
mod error;
mod lock;
mod shard;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use blindspot_data::files::{self, FileError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use entries::{Entries, Reader};
pub use error::JournalError;
pub use shard::{Shard, ShardError};
pub use work::Work;

/// The position of the entry that closes a journal.
const END: u64 = u64::MAX;
/// A header is not read further: 1 MiB.
const MAX_HEADER: u64 = 1 << 20;
/// Bytes of an entry around its content: position and CRC.
const AROUND: usize = 12;

/// What a journal's entries are results of. Only journals whose headers agree in all but the shard
/// belong together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The kind of work, by its command.
    pub kind: String,
    /// Its options, seeds, versions and hashes.
    pub about: Value,
    /// How many positions the work has.
    pub positions: usize,
    /// Bytes of an entry's content.
    pub bytes: usize,
    /// Which part of the positions is done here.
    pub shard: Shard,
}

impl Header {
    /// The line that a journal begins with.
    fn line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// A journal that was there under the name of a new one, and has another name now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Its path now.
    pub path: PathBuf,
    /// Why it was of no use, in a few words.
    pub why: String,
}

/// A journal that is being written. No other process can write to it at the same time.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    header: Header,
    done: BTreeSet<usize>,
    closed: bool,
}

impl Journal {
    /// The journal of work whose results end in the file `path`.
    pub fn beside(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".journal");
        PathBuf::from(name)
    }

    /// Begins a journal, or goes on with the one that is there.
    ///
    /// # Errors
    /// [`JournalError`]; [`JournalError::Other`] where the one that is there is of other work.
    pub fn open(path: &Path, header: Header) -> Result<Journal, JournalError> {
        let mut journal = Journal::locked(path, header)?;
        journal.recover()?;
        Ok(journal)
    }

    /// Begins a journal, or goes on with the one that is there; a journal of other work, or with a damaged
    /// header, gets another name.
    ///
    /// # Errors
    /// [`JournalError`]; [`JournalError::Damaged`] if the file there is no journal, and it stays as it
    /// is.
    pub fn open_or_set_aside(
        path: &Path,
        header: Header,
    ) -> Result<(Journal, Option<SetAside>), JournalError> {
        // As long as this one is locked no other process touches the file of this name.
        let mut journal = Journal::locked(path, header.clone())?;
        let why = match journal.recover() {
            Ok(()) => return Ok((journal, None)),
            Err(JournalError::Other { difference, .. }) => difference,
            Err(JournalError::Header { .. }) => "its header is damaged".into(),
            Err(error) => return Err(error),
        };
        let path_now = files::set_aside(path)?;
        drop(journal);
        let aside = SetAside {
            path: path_now,
            why,
        };
        Ok((Journal::open(path, header)?, Some(aside)))
    }

    /// The locked file of this name, made if need be.
    fn locked(path: &Path, header: Header) -> Result<Journal, JournalError> {
        Ok(Journal {
            path: path.to_owned(),
            file: lock::open(path)?,
            header,
            done: BTreeSet::new(),
            closed: false,
        })
    }

    /// Reads what is there, cuts off what a kill cut short, and stands at the end.
    fn recover(&mut self) -> Result<(), JournalError> {
        let path = self.path.clone();
        let fail = |source| failed("write", &path, source);
        let line = self.header.line().map_err(fail)?;
        let start = match read_header(&self.file, &path)? {
            HeaderFound::Whole(header, start) => {
                if let Some(difference) = difference(&header, &self.header) {
                    return Err(JournalError::Other { path, difference });
                }
                start
            }
            // What a kill or a full disk leaves of the beginning.
            HeaderFound::Cut(beginning) if line.starts_with(&beginning) => {
                self.file.set_len(0).map_err(fail)?;
                self.file.rewind().map_err(fail)?;
                self.file.write_all(&line).map_err(fail)?;
                line.len() as u64
            }
            HeaderFound::Cut(_) => return Err(JournalError::Header { path }),
        };
        let found = scan(&self.file, &self.header, start).map_err(fail)?;
        self.done = found.places.iter().map(|&(position, _)| position).collect();
        self.closed = found.closed;
        self.file.set_len(found.end).map_err(fail)?;
        self.file.seek(SeekFrom::Start(found.end)).map_err(fail)?;
        self.file.sync_all().map_err(fail)?;
        files::sync_folder(&path).map_err(fail)?;
        Ok(())
    }

    /// The positions whose entries are there.
    pub fn done(&self) -> &BTreeSet<usize> {
        &self.done
    }

    /// True where the work was done to its end.
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Adds entries, each a position and its content, and waits until the disk has them.
    ///
    /// # Errors
    /// [`JournalError::File`].
    ///
    /// # Panics
    /// Where a content has another length than the header says.
    pub fn append(
        &mut self,
        entries: impl Iterator<Item = (usize, Vec<u8>)>,
    ) -> Result<(), JournalError> {
        for (position, content) in entries {
            self.write(position as u64, &content)?;
            self.done.insert(position);
        }
        let path = &self.path;
        let synced = self.file.sync_data();
        synced.map_err(|source| failed("write", path, source).into())
    }

    /// The entries that stand one after the other in `rows`, each its position (u64, little-endian) and
    /// its content.
    ///
    /// # Panics
    /// Where they have another length than the header says.
    pub fn rows<'r>(&self, rows: &'r [u8]) -> impl Iterator<Item = (usize, Vec<u8>)> + use<'r> {
        let length = 8 + self.header.bytes;
        assert!(rows.len().is_multiple_of(length), "entries have one length");
        rows.chunks_exact(length).map(|row| {
            let (position, content) = row.split_first_chunk().expect("a row begins with it");
            (u64::from_le_bytes(*position) as usize, content.to_vec())
        })
    }

    /// Says that the work is done to its end.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn close(&mut self) -> Result<(), JournalError> {
        if !self.closed {
            self.write(END, &vec![0; self.header.bytes])?;
            self.append(std::iter::empty())?;
            self.closed = true;
        }
        Ok(())
    }

    /// Removes the file: what was in it is kept elsewhere.
    ///
    /// # Errors
    /// [`JournalError::File`].
    pub fn remove(self) -> Result<(), JournalError> {
        Ok(files::remove(&self.path)?)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, position: u64, content: &[u8]) -> Result<(), FileError> {
        assert_eq!(content.len(), self.header.bytes, "entries have one length");
        let mut entry = Vec::with_capacity(content.len() + AROUND);
        entry.extend(position.to_le_bytes());
        entry.extend(content);
        entry.extend(crc32fast::hash(&entry).to_le_bytes());
        let written = self.file.write_all(&entry);
        written.map_err(|source| failed("write", &self.path, source))
    }
}

/// Takes as many bytes as a number has from the front of a content.
///
/// # Panics
/// Where there are fewer: contents have the length that their header says.
pub fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (number, after) = rest.split_first_chunk().expect("an entry has these bytes");
    *rest = after;
    *number
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> FileError {
    FileError {
        action,
        path: path.to_owned(),
        source,
    }
}

/// How every journal begins: with the first field of its [`Header`].
const BEGINNING: &[u8] = b"{\"kind\":";

/// What stands at the beginning of a journal.
enum HeaderFound {
    /// A header, and where its entries start.
    Whole(Header, u64),
    /// A part of one, or nothing.
    Cut(Vec<u8>),
}

/// The header at the beginning of a file.
///
/// # Errors
/// [`JournalError::Damaged`] where it is no journal, but a file of the user's own; [`JournalError::Header`]
/// where its header is damaged.
fn read_header(file: &File, path: &Path) -> Result<HeaderFound, JournalError> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(file).take(MAX_HEADER);
    reader
        .read_until(b'\n', &mut line)
        .map_err(|source| failed("read", path, source))?;
    if line.is_empty() {
        return Ok(HeaderFound::Cut(line));
    }
    if !line.starts_with(BEGINNING) {
        return Err(damaged(path, "it is no journal"));
    }
    if line.last() != Some(&b'\n') {
        return Ok(HeaderFound::Cut(line));
    }
    let path = path.to_owned();
    match serde_json::from_slice(&line) {
        Ok(header) => Ok(HeaderFound::Whole(header, line.len() as u64)),
        Err(_) => Err(JournalError::Header { path }),
    }
}

fn damaged(path: &Path, why: &str) -> JournalError {
    JournalError::Damaged {
        path: path.to_owned(),
        why: why.into(),
    }
}

/// What a journal holds.
struct Scan {
    /// Positions, and where their contents start.
    places: Vec<(usize, u64)>,
    closed: bool,
    /// Where the whole and undamaged entries end.
    end: u64,
}

/// Reads the entries from `start` on.
fn scan(mut file: &File, header: &Header, start: u64) -> io::Result<Scan> {
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut entry = vec![0; header.bytes + AROUND];
    let mut found = Scan {
        places: Vec::new(),
        closed: false,
        end: start,
    };
    loop {
        match reader.read_exact(&mut entry) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(found),
            Err(error) => return Err(error),
        }
        let (content, crc) = entry.split_at(entry.len() - 4);
        let position = content
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if crc != crc32fast::hash(content).to_le_bytes() {
            return Ok(found);
        }
        match usize::try_from(position) {
            _ if position == END => found.closed = true,
            Ok(position) if position < header.positions => {
                found.places.push((position, found.end + 8));
            }
            _ => return Ok(found),
        }
        found.end += entry.len() as u64;
    }
}

/// Where two headers differ, besides in which part of the shards they are of.
fn difference(one: &Header, other: &Header) -> Option<String> {
    let plain = |header: &Header| {
        let mut header = header.clone();
        header.shard.index = 0;
        serde_json::to_value(header).unwrap_or_default()
    };
    // How many there are says more than a hash of which.
    let (a, b) = (one.positions, other.positions);
    let counts = (a != b).then(|| format!("positions is {a}, not {b}"));
    counts
        .or_else(|| first_difference("", &plain(one), &plain(other)))
        .or_else(|| (one.shard.index != other.shard.index).then(|| "its shard".into()))
}

/// In what a result that is there, as its JSON file tells of it, comes of other work than a header's
/// `about` tells of: the first field of `about` that the result lacks or has otherwise, if there is one.
pub fn difference_of_result(result: &Value, about: &Value) -> Option<String> {
    let fields = about.as_object()?;
    fields.iter().find_map(|(name, wanted)| {
        let found = result.get(name).unwrap_or(&Value::Null);
        first_difference(name, found, wanted)
    })
}

/// The first of two values' parts in which they differ: its name, and what it is in each.
fn first_difference(name: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            names.into_iter().find_map(|key| {
                let name = match name {
                    "" | "about" => key.clone(),
                    name => format!("{name}.{key}"),
                };
                let part = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or(Value::Null)
                };
                first_difference(&name, &part(a), &part(b))
            })
        }
        (one, other) if one == other => None,
        // Nobody compares hashes by eye.
        (Value::String(one), Value::String(other)) if one.len().min(other.len()) >= 64 => {
            Some(format!("{name} is another"))
        }
        (one, other) => Some(format!("{name} is {one}, not {other}")),
    }
}
