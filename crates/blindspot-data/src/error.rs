//! Why image data can't be had.

use std::path::PathBuf;

use crate::files::FileError;
use crate::kind::ErrorKind;

/// Image data is missing, damaged or not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file can't be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not what its name says.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what to do.
        why: String,
    },
    /// A file has another content than the one that is known.
    #[error(
        "{}: its SHA-256 is {found}, not {expected}; delete it, and it is fetched again",
        path.display()
    )]
    Hash {
        /// The file.
        path: PathBuf,
        /// The hash of its unpacked content.
        found: String,
        /// The hash that it should have.
        expected: &'static str,
    },
    /// No way to a set of files led anywhere.
    #[error("{set} is nowhere to be had. Tried: {}. {advice}", tried.join("; "))]
    Missing {
        /// The set.
        set: String,
        /// Each way that was tried, and why it failed.
        tried: Vec<String>,
        /// What to type.
        advice: String,
    },
    /// A specification names no data.
    #[error("`{spec}` names no images: {why}")]
    Spec {
        /// The specification.
        spec: String,
        /// What is wrong with it, and what was probably meant.
        why: String,
    },
    /// Labels are needed, and there are none.
    #[error(
        "{0} has no labels; name them as in idx:IMAGES,LABELS or folder:DIR,LABELS, put images into a \
         subfolder for each class, or write folder:DIR,position where each image is a class of its own"
    )]
    Unlabelled(String),
    /// Images of a folder can't be used.
    #[error(
        "{}: {broken} of {of} images can't be used: {images}; mend or remove them, or \
         leave them out", folder.display()
    )]
    Broken {
        /// The folder.
        folder: PathBuf,
        /// How many.
        broken: usize,
        /// Of how many images.
        of: usize,
        /// The first ones, and why.
        images: String,
    },
    /// A set can't be used as asked.
    #[error("{set}: {why}")]
    Unfit {
        /// The set.
        set: String,
        /// Why, and what to do.
        why: String,
    },
}

impl DataError {
    /// [`ErrorKind::Data`], whatever is wrong.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Data
    }
}
