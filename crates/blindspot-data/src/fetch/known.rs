//! The known image sets: their files, hashes and mirrors.

use super::Found;
use crate::error::DataError;

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
    pub(super) folder: &'static str,
    pub(super) files: [KnownFile; 2],
    pub(super) mirrors: &'static [&'static str],
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
