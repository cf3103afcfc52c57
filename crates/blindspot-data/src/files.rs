//! Files: hashes, and writing that leaves a whole file or none.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A file can't be read or written: which, and why.
#[derive(Debug, thiserror::Error)]
#[error("can't {action} {}: {source}{}", path.display(), advice(source))]
pub struct FileError {
    /// `read` or `write`.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The system's answer.
    pub source: io::Error,
}

/// What to do about the system's answer.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; choose a folder that you may write to",
        io::ErrorKind::StorageFull => "; free some space or choose another folder",
        io::ErrorKind::NotFound => "; check the name, or make the folder first",
        _ => "",
    }
}

/// SHA-256 in hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file under a temporary name in the same folder and renames it: whatever happens, there
/// is the old file or the whole new one.
///
/// # Errors
/// [`FileError`], with what to do.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    let fail = |source| FileError { action: "write", path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let temporary =
        tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(fail)?;
    let mut writer = BufWriter::new(temporary);
    write(&mut writer).map_err(fail)?;
    let temporary = writer.into_inner().map_err(|error| fail(error.into_error()))?;
    temporary.as_file().sync_all().map_err(fail)?;
    temporary.persist(path).map_err(|error| fail(error.error))?;
    Ok(())
}

/// Reads a file of at most `max_bytes`.
///
/// # Errors
/// [`FileError`], also where the file is larger.
pub fn read_limited(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FileError> {
    let fail = |source| FileError { action: "read", path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(fail)?.len();
    if length > max_bytes {
        let message = format!("it has {length} bytes, more than the {max_bytes} allowed");
        return Err(fail(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    fs::read(path).map_err(fail)
}
