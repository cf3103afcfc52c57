//! The entries of finished journals, in the order of their positions.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::{
    Header, HeaderFound, JournalError, Shard, damaged, difference, failed, read_header, scan,
};

/// Position, number of the part, and where the content starts in it.
type Place = (usize, usize, u64);

/// The entries of one or more journals. Only where they are is held in memory.
#[derive(Debug)]
pub struct Entries {
    header: Header,
    parts: Vec<PathBuf>,
    places: Vec<Place>,
}

impl Entries {
    /// Those of one journal, finished or not.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn of(path: &Path) -> Result<Entries, JournalError> {
        let (header, places, _) = read(path, 0)?;
        Ok(Entries::sorted(header, vec![path.to_owned()], places))
    }

    /// Those of the journals of all shards.
    ///
    /// # Errors
    /// [`JournalError`] where journals don't belong together, one is not finished, or a shard is
    /// missing or there twice.
    pub fn of_shards(paths: &[PathBuf]) -> Result<Entries, JournalError> {
        let mut places = Vec::new();
        let mut first: Option<Header> = None;
        let mut owners: Vec<Option<&Path>> = Vec::new();
        for (part, path) in paths.iter().enumerate() {
            let (mut header, found, closed) = read(path, part)?;
            if !closed {
                let (path, shard) = (path.clone(), header.shard);
                return Err(JournalError::Unfinished { path, shard });
            }
            let index = std::mem::take(&mut header.shard.index);
            let first = first.get_or_insert_with(|| header.clone());
            if let Some(difference) = difference(&header, first) {
                return Err(JournalError::Unrelated {
                    one: path.clone(),
                    other: paths[0].clone(),
                    difference,
                });
            }
            owners.resize(header.shard.count, None);
            match owners.get_mut(index) {
                Some(owner @ None) => *owner = Some(path),
                Some(Some(owner)) => {
                    return Err(JournalError::Twice {
                        one: owner.to_path_buf(),
                        other: path.clone(),
                        shard: index,
                    });
                }
                None => return Err(damaged(path, "its shard is none of its shards")),
            }
            let range = Shard {
                index,
                ..header.shard
            }
            .range(header.positions);
            if found.iter().any(|(position, ..)| !range.contains(position)) {
                return Err(damaged(path, "it holds results of another shard"));
            }
            places.extend(found);
        }
        let missing: Vec<usize> = (0..owners.len())
            .filter(|&index| owners[index].is_none())
            .collect();
        let Some(header) = first.filter(|_| missing.is_empty()) else {
            return Err(match owners.len() {
                0 => JournalError::None { folder: None },
                count => JournalError::Missing { count, missing },
            });
        };
        Ok(Entries::sorted(header, paths.to_vec(), places))
    }

    /// Those of the journals of all shards in some folders.
    ///
    /// # Errors
    /// As [`Entries::of_shards`], also where a folder has none.
    pub fn in_folders(folders: &[PathBuf]) -> Result<Entries, JournalError> {
        let mut journals = Vec::new();
        for folder in folders {
            let found = journals.len();
            let unreadable = |source| JournalError::Folder {
                path: folder.clone(),
                source,
            };
            for file in std::fs::read_dir(folder).map_err(unreadable)? {
                let path = file.map_err(unreadable)?.path();
                if path.extension().is_some_and(|end| end == "journal") {
                    journals.push(path);
                }
            }
            if journals.len() == found {
                let folder = Some(folder.clone());
                return Err(JournalError::None { folder });
            }
        }
        journals.sort();
        Entries::of_shards(&journals)
    }

    fn sorted(header: Header, parts: Vec<PathBuf>, mut places: Vec<Place>) -> Self {
        places.sort_unstable();
        // Written twice only where a journal was copied together by hand: both are the same result.
        places.dedup_by_key(|(position, ..)| *position);
        Entries {
            header,
            parts,
            places,
        }
    }

    /// What they are results of.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Checks that they are results of the work that a header is of, whatever its shards.
    ///
    /// # Errors
    /// [`JournalError::Other`] with the first difference.
    pub fn check(&self, wanted: &Header) -> Result<(), JournalError> {
        let mut wanted = wanted.clone();
        wanted.shard = self.header.shard;
        match difference(&self.header, &wanted) {
            None => Ok(()),
            Some(difference) => Err(JournalError::Other {
                path: self.parts.first().cloned().unwrap_or_default(),
                difference,
            }),
        }
    }

    /// Checks that every position has its entry, for work that leaves none out.
    ///
    /// # Errors
    /// [`JournalError::Gaps`].
    pub fn check_all(&self) -> Result<(), JournalError> {
        match self.header.positions - self.places.len() {
            0 => Ok(()),
            missing => Err(JournalError::Gaps {
                missing,
                positions: self.header.positions,
            }),
        }
    }

    /// The entries at `positions`, of those that are here.
    #[must_use]
    pub fn only(&self, positions: &BTreeSet<usize>) -> Entries {
        let places = self.places.iter();
        let places = places.filter(|(position, ..)| positions.contains(position));
        Entries {
            header: self.header.clone(),
            parts: self.parts.clone(),
            places: places.copied().collect(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The positions of the entries in the work, in ascending order.
    pub fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().map(|&(position, ..)| position)
    }

    /// For reading them in any order.
    ///
    /// # Errors
    /// Where a journal can't be opened.
    pub fn reader(&self) -> Result<Reader<'_>, JournalError> {
        let open = |path: &PathBuf| {
            let file = File::open(path).map_err(|source| failed("read", path, source))?;
            Ok(Mutex::new(file))
        };
        let files: Result<_, JournalError> = self.parts.iter().map(open).collect();
        Ok(Reader {
            places: &self.places,
            files: files?,
        })
    }

    /// The bytes `range` of each entry's content, in the order of positions.
    ///
    /// # Errors
    /// Where a journal can't be opened; each item where it can't be read.
    pub fn bytes(
        &self,
        range: Range<usize>,
    ) -> Result<impl Iterator<Item = io::Result<Vec<u8>>> + '_, JournalError> {
        let open = |path: &PathBuf| {
            let file = File::open(path).map_err(|source| failed("read", path, source))?;
            Ok(RefCell::new((BufReader::with_capacity(1 << 16, file), 0)))
        };
        let readers: Vec<RefCell<(BufReader<File>, u64)>> = self
            .parts
            .iter()
            .map(open)
            .collect::<Result<_, JournalError>>()?;
        Ok(self.places.iter().map(move |&(_, part, start)| {
            let (reader, at) = &mut *readers[part].borrow_mut();
            let start = start + range.start as u64;
            // A relative step keeps what the buffer holds.
            reader.seek_relative(start.cast_signed() - at.cast_signed())?;
            let mut content = vec![0; range.len()];
            reader.read_exact(&mut content)?;
            *at = start + content.len() as u64;
            Ok(content)
        }))
    }
}

/// Reads entries in any order, on any thread.
#[derive(Debug)]
pub struct Reader<'a> {
    places: &'a [Place],
    files: Vec<Mutex<File>>,
}

impl Reader<'_> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Reads what stands in an entry's content from byte `from` on, until `out` is full.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Panics
    /// Where there is no such entry.
    pub fn read(&self, entry: usize, from: usize, out: &mut [u8]) -> io::Result<()> {
        let (_, part, start) = self.places[entry];
        let file = self.files[part].lock();
        let mut file = file.unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(start + from as u64))?;
        file.read_exact(out)
    }
}

/// The header of a journal, where its entries are, and whether it is closed.
fn read(path: &Path, part: usize) -> Result<(Header, Vec<Place>, bool), JournalError> {
    let fail = |source| failed("read", path, source);
    let file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    let HeaderFound::Whole(header, start) = read_header(&file, path)? else {
        return Err(damaged(path, "it ends inside its header"));
    };
    if header.bytes as u64 > length && length > start {
        return Err(damaged(path, "it ends inside an entry"));
    }
    if length == start {
        return Ok((header, Vec::new(), false));
    }
    let found = scan(&file, &header, start).map_err(fail)?;
    if found.closed && found.end != length {
        return Err(damaged(path, "its entries are damaged"));
    }
    let places = found.places.iter();
    let places = places.map(|&(position, start)| (position, part, start));
    Ok((header, places.collect(), found.closed))
}
