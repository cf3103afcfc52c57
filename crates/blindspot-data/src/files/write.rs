//! Writing that leaves a whole file or none, whenever the process or the machine ends.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::NamedTempFile;

use super::FileError;

/// How the names of temporary files begin and end. One that no process has locked is what a killed
/// process has left.
const TEMPORARY: (&str, &str) = (".blindspot-", ".partial");
/// Symbolic links that are followed, one after the other, at most.
const MAX_LINKS: usize = 40;

/// Where a file's bytes go.
pub trait Sink: Write + Seek {}

impl<T: Write + Seek> Sink for T {}

/// How many files are being written at the moment.
static BEING_WRITTEN: AtomicUsize = AtomicUsize::new(0);

/// Whether a file is being written at the moment, on any thread: a process that ends now leaves the old
/// file, or none.
pub fn being_written() -> bool {
    BEING_WRITTEN.load(Ordering::Relaxed) > 0
}

/// Counts as a file that is being written as long as it lives.
struct BeingWritten;

impl BeingWritten {
    fn begin() -> BeingWritten {
        BEING_WRITTEN.fetch_add(1, Ordering::Relaxed);
        BeingWritten
    }
}

impl Drop for BeingWritten {
    fn drop(&mut self) {
        BEING_WRITTEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes a folder, and those that it stands in, where there is none. Temporary files of killed
/// processes in it are removed.
///
/// # Errors
/// [`FileError`].
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|source| FileError {
        action: "make the folder",
        path: path.to_owned(),
        source,
    })?;
    clean(path);
    Ok(())
}

/// Writes a file under a temporary name in the same folder and renames it: whatever happens, there
/// is the old file or the whole new one. Where a symbolic link has the name, the file behind it is
/// written. The disk has both file and name before this returns.
///
/// # Errors
/// [`FileError`], with what to do; also where the name is that of a device or a pipe.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Sink) -> io::Result<()>,
) -> Result<(), FileError> {
    let _counted = BeingWritten::begin();
    let written = || {
        let destination = destination(path)?;
        let temporary = temporary_in(parent(&destination))?;
        // Not through its own writer, whose errors speak of its name.
        let mut writer = BufWriter::new(temporary.as_file());
        write(&mut writer)?;
        writer.flush()?;
        drop(writer);
        temporary.as_file().sync_all()?;
        temporary
            .persist(&destination)
            .map_err(|error| error.error)?;
        sync_folder(&destination)
    };
    written().map_err(|source| unwritten(path, source))
}

/// Waits until the disk has the names in the folder that a file is in: a file that was renamed,
/// made or removed.
///
/// # Errors
/// The system's.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(parent(path)).and_then(|folder| folder.sync_all()) {
        // Some file systems know no such thing, and some folders can't be read.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Finds out, before long work, whether a file could be written; makes its folder. Temporary files of
/// killed processes in that folder are removed.
///
/// # Errors
/// [`FileError`], with what to do.
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    let fail = |source| unwritten(path, source);
    let destination = destination(path).map_err(fail)?;
    make_folder(parent(&destination))?;
    temporary_in(parent(&destination)).map_err(fail)?;
    Ok(())
}

/// Gives a file another name in its folder, the first of `NAME.1`, `NAME.2` and so on that is free; gives
/// the new path.
///
/// # Errors
/// [`FileError`].
pub fn set_aside(path: &Path) -> Result<PathBuf, FileError> {
    let name = |number: u64| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
    let aside = (1..).map(name).find(free).expect("some number is free");
    let moved = fs::rename(path, &aside).and_then(|()| sync_folder(path));
    moved.map_err(|source| FileError {
        action: "rename",
        path: path.to_owned(),
        source,
    })?;
    Ok(aside)
}

/// Removes a file where there is one, and waits until the disk has that.
///
/// # Errors
/// [`FileError`].
pub fn remove(path: &Path) -> Result<(), FileError> {
    let removed = match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(()) => sync_folder(path),
        failed => failed,
    };
    removed.map_err(|source| FileError {
        action: "remove",
        path: path.to_owned(),
        source,
    })
}

fn unwritten(path: &Path, source: io::Error) -> FileError {
    FileError {
        action: "write",
        path: path.to_owned(),
        source: plain(source),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The regular file that a name leads to, through symbolic links; it need not be there.
fn destination(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => path = parent(&path).join(fs::read_link(&path)?),
            Ok(found) if found.is_file() => return Ok(path),
            Ok(found) if found.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(_) => return Err(io::Error::other("it is a device or a pipe, no file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("it is a symbolic link that leads nowhere"))
}

/// A locked temporary file that others may read as far as the user's mask lets them.
fn temporary_in(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    loop {
        let temporary = builder.tempfile_in(folder)?;
        // Some file systems know no locks; there nothing is cleaned either.
        let _ = temporary.as_file().lock();
        // Another process may have taken it for one left over before it was locked.
        if fs::symlink_metadata(temporary.path()).is_ok() {
            return Ok(temporary);
        }
    }
}

/// Removes the temporary files that killed processes have left in a folder.
fn clean(folder: &Path) {
    let Ok(files) = fs::read_dir(folder) else {
        return;
    };
    for file in files.flatten() {
        let name = file.file_name();
        let name = name.to_string_lossy();
        let ours = name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1);
        if !ours || !file.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        if let Ok(left) = File::open(file.path())
            && left.try_lock().is_ok()
        {
            // It costs nothing but space.
            let _ = fs::remove_file(file.path());
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, |writer| writer.write_all(b"old")).unwrap();
        let failed = write_atomically(&path, |writer| {
            assert!(being_written());
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
    fn a_folder_is_made_and_what_killed_processes_left_in_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("such/folder");
        check_writable(&inner.join("file")).unwrap();
        assert!(check_writable(&inner).is_err());
        let left = inner.join(".blindspot-a1b2.partial");
        let (own, other) = (inner.join(".blindspot-notes"), inner.join("x.partial"));
        for file in [&left, &own, &other] {
            fs::write(file, "half").unwrap();
        }
        let held = temporary_in(&inner).unwrap();
        check_writable(&inner.join("file")).unwrap();
        assert!(!left.exists() && own.exists() && other.exists());
        assert!(held.path().exists(), "another process is writing it");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_devices_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("b", at("a")).unwrap();
        std::os::unix::fs::symlink("c", at("b")).unwrap();
        write_atomically(&at("a"), |writer| writer.write_all(b"1")).unwrap();
        assert!(at("a").is_symlink() && at("b").is_symlink());
        assert_eq!(fs::read(at("c")).unwrap(), b"1");
        std::os::unix::fs::symlink("round", at("round")).unwrap();
        std::os::unix::fs::symlink("/dev/null", at("device")).unwrap();
        for (name, says) in [("round", "leads nowhere"), ("device", "device or a pipe")] {
            for refused in [
                check_writable(&at(name)),
                write_atomically(&at(name), |_| Ok(())),
            ] {
                let error = refused.unwrap_err().to_string();
                assert!(error.contains(says), "{error}");
            }
        }
    }
}
