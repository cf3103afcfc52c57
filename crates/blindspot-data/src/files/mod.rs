//! Files: hashes, and writing that leaves a whole file or none.

mod write;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use write::{
    Sink, being_written, check_writable, make_folder, remove, set_aside, sync_folder,
    write_atomically,
};

use sha2::{Digest, Sha256};

use crate::kind::ErrorKind;

/// A file can't be read or written: which, and why.
#[derive(Debug, thiserror::Error)]
#[error("can't {action} {}: {source}{}", path.display(), advice(source))]
pub struct FileError {
    /// What was to be done: `read`, `write`, and so on.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

impl FileError {
    /// [`ErrorKind::Other`] if a file can't be read: its reader knows better what it was.
    /// [`ErrorKind::Output`] in all other cases.
    pub fn kind(&self) -> ErrorKind {
        if self.action == "read" {
            ErrorKind::Other
        } else {
            ErrorKind::Output
        }
    }
}

/// What to do about the system's answer.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; choose a folder that you may write to",
        io::ErrorKind::StorageFull => "; free some space or choose another folder",
        io::ErrorKind::NotFound => "; check the name, or make the folder first",
        io::ErrorKind::IsADirectory => "; give the name of a file",
        _ => "",
    }
}

/// SHA-256 in hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file's content, of any length.
///
/// # Errors
/// [`FileError`].
pub fn sha256_of(path: &Path) -> Result<String, FileError> {
    let fail = |source| FileError {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let mut file = fs::File::open(path).map_err(fail)?;
    let (mut hasher, mut block) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut block).map_err(fail)? {
            0 => break,
            length => hasher.update(&block[..length]),
        }
    }
    Ok(hex(&hasher.finalize()))
}

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a file of at most `max_bytes`.
///
/// # Errors
/// [`FileError`], also where the file is larger, or a device or a pipe.
pub fn read_limited(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FileError> {
    let fail = |source| FileError {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = open(path)?;
    let length = file.metadata().map_err(fail)?.len();
    if length > max_bytes {
        let message = format!("it has {length} bytes, more than the {max_bytes} allowed");
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    // Of the system's own files, which say that they have no bytes, some never end.
    file.take(length).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// Opens a file to read it, no device and no pipe: these may never end, or never begin.
pub(crate) fn open(path: &Path) -> Result<fs::File, FileError> {
    let opened = fs::metadata(path).and_then(|found| {
        if found.is_file() || found.is_dir() {
            fs::File::open(path)
        } else {
            Err(io::Error::other("it is a device or a pipe, no file"))
        }
    });
    opened.map_err(|source| FileError {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_standard() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_hex(b"abc"), expected);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"abc").unwrap();
        assert_eq!(sha256_of(&path).unwrap(), expected);
        assert!(sha256_of(&folder.path().join("none")).is_err());
    }

    #[test]
    fn what_is_too_large_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [0; 10]).unwrap();
        assert_eq!(read_limited(&path, 10).unwrap().len(), 10);
        assert!(
            read_limited(&path, 9)
                .unwrap_err()
                .to_string()
                .contains("10 bytes")
        );
        if cfg!(unix) {
            let device = read_limited(Path::new("/dev/zero"), 10).unwrap_err();
            assert!(device.to_string().contains("no file"), "{device}");
        }
    }
}
