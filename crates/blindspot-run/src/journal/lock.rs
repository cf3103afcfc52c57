//! A file that one process at a time has under its name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use super::{JournalError, damaged, failed};

/// Opens a file for reading and writing, makes it if need be, and locks it. Symbolic links are not followed.
///
/// # Errors
/// [`JournalError::Busy`] where another process has it, [`JournalError::Damaged`] where it is no file.
pub(super) fn open(path: &Path) -> Result<File, JournalError> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let file = match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match fs::symlink_metadata(path) {
                    Ok(found) if found.is_file() => options.open(path),
                    Ok(_) => return Err(damaged(path, "it is a link, a folder or a device")),
                    Err(error) => Err(error),
                }
            }
            opened => opened,
        };
        let file = match file {
            Ok(file) => file,
            // It was there, and another process has removed it.
            Err(error) if error.kind() == ErrorKind::NotFound && folder_is_there(path) => continue,
            Err(error) => return Err(failed("write", path, error).into()),
        };
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
        // Between the two another process may have given it another name, or removed it.
        if has_name(&file, path) {
            return Ok(file);
        }
    }
}

fn folder_is_there(path: &Path) -> bool {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.is_none_or(Path::is_dir)
}

/// Whether it is this file that the path names.
#[cfg(unix)]
fn has_name(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let one = file.metadata().map(|it| (it.dev(), it.ino()));
    let other = fs::symlink_metadata(path).map(|it| (it.dev(), it.ino()));
    one.is_ok_and(|one| other.is_ok_and(|other| one == other))
}

/// Where open files can't be renamed or removed, it always is.
#[cfg(not(unix))]
fn has_name(_: &File, _: &Path) -> bool {
    true
}
