//! Files: hashes, and writing that leaves a whole file or none.

use std::fs;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

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

/// Makes a folder, and those that it stands in, where there is none.
///
/// # Errors
/// [`FileError`].
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|source| FileError {
        action: "make the folder",
        path: path.to_owned(),
        source,
    })
}

/// Where a file's bytes go.
pub trait Sink: Write + Seek {}

impl<T: Write + Seek> Sink for T {}

/// Writes a file under a temporary name in the same folder and renames it: whatever happens, there
/// is the old file or the whole new one.
///
/// # Errors
/// [`FileError`], with what to do.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Sink) -> io::Result<()>,
) -> Result<(), FileError> {
    let fail = |source| FileError {
        action: "write",
        path: path.to_owned(),
        source: plain(source),
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let temporary = temporary_in(folder).map_err(fail)?;
    let mut writer = BufWriter::new(temporary);
    write(&mut writer).map_err(fail)?;
    let temporary = writer
        .into_inner()
        .map_err(|error| fail(error.into_error()))?;
    temporary.as_file().sync_all().map_err(fail)?;
    temporary.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

/// A temporary file that others may read as far as the user's mask lets them.
fn temporary_in(folder: Option<&Path>) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let folder = folder.unwrap_or(Path::new("."));
    builder.tempfile_in(folder)
}

/// The system's error without the temporary name, which would hide the file's own.
fn plain(error: io::Error) -> io::Error {
    match error.raw_os_error().or_else(|| {
        let inner = error.get_ref()?.source()?.downcast_ref::<io::Error>()?;
        inner.raw_os_error()
    }) {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error,
    }
}

/// Finds out, before long work, whether a file could be written.
///
/// # Errors
/// [`FileError`], with what to do.
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    let fail = |source| FileError {
        action: "write",
        path: path.to_owned(),
        source: plain(source),
    };
    if path.is_dir() {
        return Err(fail(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    temporary_in(folder).map_err(fail)?;
    Ok(())
}

/// Reads a file of at most `max_bytes`.
///
/// # Errors
/// [`FileError`], also where the file is larger.
pub fn read_limited(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FileError> {
    let fail = |source| FileError {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let too_large = |length: String| {
        let message = format!("it has {length} bytes, more than the {max_bytes} allowed");
        fail(io::Error::new(io::ErrorKind::FileTooLarge, message))
    };
    let file = open(path)?;
    let length = file.metadata().map_err(fail)?.len();
    if length > max_bytes {
        return Err(too_large(length.to_string()));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    // A device says that it has none, and may never end.
    let read = file.take(max_bytes + 1).read_to_end(&mut bytes);
    read.map_err(fail)?;
    if bytes.len() as u64 > max_bytes {
        return Err(too_large("more".into()));
    }
    Ok(bytes)
}

/// Opens a file to read it.
pub(crate) fn open(path: &Path) -> Result<fs::File, FileError> {
    fs::File::open(path).map_err(|source| FileError {
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
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, |writer| writer.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |writer| {
            writer.write_all(b"new")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        let message = failed.unwrap_err().to_string();
        assert!(
            message.contains("free some space") && message.contains("file"),
            "{message}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_can_not_be_written_or_is_too_large_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check_writable(&folder.path().join("new")).is_ok());
        assert!(check_writable(folder.path()).is_err());
        assert!(check_writable(&folder.path().join("no/such/file")).is_err());
        let path = folder.path().join("file");
        fs::write(&path, [0; 10]).unwrap();
        assert_eq!(read_limited(&path, 10).unwrap().len(), 10);
        assert!(
            read_limited(&path, 9)
                .unwrap_err()
                .to_string()
                .contains("10 bytes")
        );
    }
}
