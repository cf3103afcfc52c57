//! Results of long work as they come: a file of entries that a killed process leaves usable, and
//! that the next one goes on from. Several processes can each do a part of the work, a shard.
//!
//! A journal is a line of JSON, its [`Header`], and entries of one length: position in the work
//! (u64), content, CRC-32 of both (u32), little-endian. Entries are only ever added, a block at a
//! time, and synced to the disk; what a kill cut short is cut off when work goes on. An entry at
//! position 2^64 - 1 closes the journal.

mod entries;
mod error;
mod shard;
#[cfg(test)]
mod tests;
mod work;

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use blindspot_data::files::FileError;
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
        let fail = |source| failed("write", path, source);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::Busy {
                    path: path.to_owned(),
                });
            }
            // Some file systems know no locks.
            Err(TryLockError::Error(_)) => {}
        }
        let mut journal = Journal {
            path: path.to_owned(),
            file,
            header,
            done: BTreeSet::new(),
            closed: false,
        };
        journal.recover()?;
        Ok(journal)
    }

    /// Begins a journal, or goes on with the one that is there; a journal of other work is replaced.
    ///
    /// # Errors
    /// [`JournalError`]; [`JournalError::Damaged`] if the file there is no journal, and it stays as it
    /// is.
    pub fn open_or_replace(path: &Path, header: Header) -> Result<Journal, JournalError> {
        match Journal::open(path, header.clone()) {
            Err(JournalError::Other { .. }) => {
                std::fs::remove_file(path).map_err(|source| failed("write", path, source))?;
                Journal::open(path, header)
            }
            opened => opened,
        }
    }

    /// Reads what is there, cuts off what a kill cut short, and stands at the end.
    fn recover(&mut self) -> Result<(), JournalError> {
        let path = self.path.clone();
        let fail = |source| failed("write", &path, source);
        let found = read_header(&self.file, &path)?;
        let mut end = match &found {
            Some((header, start)) => {
                if let Some(difference) = difference(header, &self.header) {
                    return Err(JournalError::Other { path, difference });
                }
                *start
            }
            None => {
                let mut line = serde_json::to_vec(&self.header).map_err(io::Error::other);
                if let Ok(line) = &mut line {
                    line.push(b'\n');
                }
                let line = line.map_err(fail)?;
                self.file.set_len(0).map_err(fail)?;
                self.file.rewind().map_err(fail)?;
                self.file.write_all(&line).map_err(fail)?;
                line.len() as u64
            }
        };
        let found = scan(&self.file, &self.header, end).map_err(fail)?;
        self.done = found.places.iter().map(|&(position, _)| position).collect();
        self.closed = found.closed;
        end = found.end;
        self.file.set_len(end).map_err(fail)?;
        self.file.seek(SeekFrom::Start(end)).map_err(fail)?;
        self.file.sync_all().map_err(fail)?;
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

    /// The same for entries that stand one after the other, each its position (u64, little-endian)
    /// and its content.
    ///
    /// # Errors
    /// [`JournalError::File`].
    ///
    /// # Panics
    /// Where they have another length than the header says.
    pub fn append_rows(&mut self, rows: &[u8]) -> Result<(), JournalError> {
        let length = 8 + self.header.bytes;
        assert!(rows.len().is_multiple_of(length), "entries have one length");
        self.append(rows.chunks_exact(length).map(|row| {
            let (position, content) = row.split_first_chunk().expect("a row begins with it");
            (u64::from_le_bytes(*position) as usize, content.to_vec())
        }))
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
        let removed = std::fs::remove_file(&self.path);
        removed.map_err(|source| failed("remove", &self.path, source).into())
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

/// The header at the beginning of a file, and where its entries start; `None` where the file ends
/// before the header does.
fn read_header(file: &File, path: &Path) -> Result<Option<(Header, u64)>, JournalError> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(file).take(MAX_HEADER);
    reader
        .read_until(b'\n', &mut line)
        .map_err(|source| failed("read", path, source))?;
    let compared = line.len().min(BEGINNING.len());
    // A file of the user's own is never taken for the beginning of a journal that a kill cut short.
    let is_journal = line[..compared] == BEGINNING[..compared];
    if is_journal && line.last() != Some(&b'\n') && (line.len() as u64) < MAX_HEADER {
        return Ok(None);
    }
    match serde_json::from_slice(&line) {
        Ok(header) => Ok(Some((header, line.len() as u64))),
        Err(_) => Err(JournalError::Damaged {
            path: path.to_owned(),
            why: "it is no journal".into(),
        }),
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
        (one, other) => Some(format!("{name} is {one}, not {other}")),
    }
}
