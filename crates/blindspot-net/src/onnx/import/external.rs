//! Numbers of tensors that are kept in files beside the model.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use crate::onnx::proto::StringStringEntryProto;

/// How many files a model may have beside it: some exporters write one for each tensor.
const MAX_FILES: usize = 1 << 16;

/// The files in a model's folder that hold numbers of its tensors, and where they were found.
///
/// A model is a stranger's file; what it names is read only if it stands in its own folder or below
/// it, links followed.
pub(super) struct ExternalFiles {
    folder: Option<PathBuf>,
    /// By the names that the model has for them: path and length.
    known: HashMap<String, (PathBuf, u64)>,
    /// By their paths: the name that the model has, of several the first in the alphabet. A file
    /// counts once, whatever it is called.
    names: HashMap<PathBuf, String>,
    /// The one that was read from last.
    open: Option<(PathBuf, File)>,
}

impl ExternalFiles {
    /// Files in `folder`; without one there are none.
    pub(super) fn of(folder: Option<&Path>) -> ExternalFiles {
        ExternalFiles {
            folder: folder.map(Path::to_owned),
            known: HashMap::new(),
            names: HashMap::new(),
            open: None,
        }
    }

    /// The names of the files that were read from, as the model has them, in the order of the
    /// alphabet.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names.values().cloned().collect();
        names.sort_unstable();
        names
    }

    /// The `length` bytes that the entries name: `location`, a file in the folder, and in it
    /// `offset` and `length` in bytes.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn read(
        &mut self,
        entries: &[StringStringEntryProto],
        length: usize,
    ) -> Result<Vec<u8>, String> {
        let entry = |key: &str| {
            let entry = entries.iter().find(|entry| entry.key == key);
            entry.map(|entry| entry.value.as_str())
        };
        let number = |key: &str| match entry(key) {
            Some(text) => match text.trim().parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(format!("its {key} in another file is {text:?}, no number")),
            },
            None => Ok(None),
        };
        let location = entry("location").filter(|location| !location.is_empty());
        let location = location.ok_or("its numbers are in another file, without a name")?;
        let (path, size) = self.find(location)?;
        let offset = number("offset")?.unwrap_or(0);
        let rest = size.saturating_sub(offset);
        let given = number("length")?.unwrap_or(rest);
        if given != length as u64 || rest < given {
            return Err(format!(
                "it has {length} bytes, but {location:?} holds {} of them from byte {offset} on; is \
                 it the file that was written with this model?",
                given.min(rest)
            ));
        }
        let unread = |error: std::io::Error| format!("its numbers in {location:?}: {error}");
        let file = match self.open.take() {
            Some((open, file)) if open == path => file,
            _ => File::open(&path).map_err(unread)?,
        };
        let file = &mut self.open.insert((path, file)).1;
        file.seek(SeekFrom::Start(offset)).map_err(unread)?;
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).map_err(unread)?;
        Ok(bytes)
    }

    /// Path and length of a file that the model names.
    fn find(&mut self, location: &str) -> Result<(PathBuf, u64), String> {
        if let Some(known) = self.known.get(location) {
            return Ok(known.clone());
        }
        let Some(folder) = &self.folder else {
            return Err(format!(
                "its numbers are in another file, {location:?}; read the model from its own file"
            ));
        };
        if self.known.len() == MAX_FILES {
            return Err(format!(
                "the model has more than {MAX_FILES} files beside it"
            ));
        }
        let relative = Path::new(location);
        let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !relative.components().all(plain) {
            return Err(format!(
                "its numbers are in {location:?}, which is outside of the model's folder"
            ));
        }
        let unread = |error: std::io::Error| {
            let advice = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "; keep the model and the files that were written with it together"
                }
                _ => "",
            };
            format!("its numbers in {location:?}: {error}{advice}")
        };
        let home = folder.canonicalize().map_err(unread)?;
        let path = home.join(relative).canonicalize().map_err(unread)?;
        if !path.starts_with(&home) {
            return Err(format!(
                "its numbers are in {location:?}, a link that leads out of the model's folder"
            ));
        }
        let data = path.metadata().map_err(unread)?;
        if !data.is_file() {
            return Err(format!("its numbers are in {location:?}, which is no file"));
        }
        match self.names.entry(path.clone()) {
            Entry::Occupied(mut name) if location < name.get().as_str() => {
                name.insert(location.to_owned());
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => {
                place.insert(location.to_owned());
            }
        }
        let found = (path, data.len());
        self.known.insert(location.to_owned(), found.clone());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(pairs: &[(&str, &str)]) -> Vec<StringStringEntryProto> {
        let entries = pairs.iter().map(|&(key, value)| StringStringEntryProto {
            key: key.into(),
            value: value.into(),
        });
        entries.collect()
    }

    #[test]
    fn parts_of_files_in_the_folder_are_read_and_nothing_outside_of_it() {
        let home = tempfile::tempdir().unwrap();
        let model = home.path().join("model");
        std::fs::create_dir_all(model.join("sub")).unwrap();
        std::fs::write(model.join("sub/w.bin"), [0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
        std::fs::write(home.path().join("secret"), [9; 8]).unwrap();
        let mut files = ExternalFiles::of(Some(&model));
        let part = entries(&[("location", "sub/w.bin"), ("offset", "2"), ("length", "4")]);
        assert_eq!(files.read(&part, 4).unwrap(), [2, 3, 4, 5]);
        let whole = entries(&[("location", "./sub/w.bin")]);
        assert_eq!(files.read(&whole, 8).unwrap().len(), 8);
        assert_eq!(files.names(), ["./sub/w.bin"]);
        let secret = home.path().join("secret").display().to_string();
        for (pairs, length, why) in [
            (&[("location", "../secret")][..], 8, "outside"),
            (&[("location", "sub/../../secret")], 8, "outside"),
            (&[("location", &*secret)], 8, "outside"),
            (&[("location", "sub")], 8, "no file"),
            (&[("location", "none")], 8, "together"),
            (&[("location", "")], 8, "without a name"),
            (&[], 8, "without a name"),
            (&[("location", "sub/w.bin")], 9, "holds 8"),
            (&[("location", "sub/w.bin"), ("offset", "6")], 4, "holds 2"),
            (
                &[
                    ("location", "sub/w.bin"),
                    ("offset", "18446744073709551615"),
                ],
                4,
                "holds 0",
            ),
            (
                &[("location", "sub/w.bin"), ("length", "99999999999")],
                4,
                "holds 8",
            ),
            (
                &[("location", "sub/w.bin"), ("offset", "-1")],
                4,
                "no number",
            ),
        ] {
            let error = files.read(&entries(pairs), length).unwrap_err();
            assert!(error.contains(why), "{pairs:?}: {error}");
        }
        let mut none = ExternalFiles::of(None);
        assert!(none.read(&whole, 8).unwrap_err().contains("its own file"));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_out_are_not_followed_and_others_are() {
        let home = tempfile::tempdir().unwrap();
        let model = home.path().join("model");
        std::fs::create_dir_all(&model).unwrap();
        std::fs::write(model.join("w"), [1, 2]).unwrap();
        std::fs::write(home.path().join("secret"), [9, 9]).unwrap();
        std::os::unix::fs::symlink("w", model.join("inside")).unwrap();
        std::os::unix::fs::symlink("../secret", model.join("out")).unwrap();
        std::os::unix::fs::symlink("..", model.join("up")).unwrap();
        let mut files = ExternalFiles::of(Some(&model));
        let read = |files: &mut ExternalFiles, name| files.read(&entries(&[("location", name)]), 2);
        assert_eq!(read(&mut files, "inside").unwrap(), [1, 2]);
        for name in ["out", "up/secret"] {
            let error = read(&mut files, name).unwrap_err();
            assert!(error.contains("leads out"), "{error}");
        }
    }
}
