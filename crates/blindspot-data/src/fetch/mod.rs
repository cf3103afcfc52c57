//! Where the known image sets are: a folder that is given, the cache, the network.

mod download;
mod known;
mod locations;

use std::path::PathBuf;

use crate::error::DataError;
use crate::idx::{Idx, read_idx};
use download::get;
pub use download::{Download, Silent};
use known::KnownFile;
pub(crate) use known::{PARTS, Part};

pub use locations::Locations;
use locations::VARIABLE;

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
    use std::fs;

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
            error.contains("SHA-256") && error.contains("fetched again"),
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
