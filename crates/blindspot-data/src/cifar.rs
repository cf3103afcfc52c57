//! CIFAR-10's binary batches: 10,000 images a file, each a byte for the class, then 1,024 bytes a
//! channel, red, green, blue, row after row.
//!
//! Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009; the
//! "binary version" of its page.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::files::{read_limited, sha256_hex};
use crate::folder::name;
use crate::set::ImageSet;

const SHAPE: [usize; 3] = [3, 32, 32];
const RECORD: usize = 1 + 3 * 32 * 32;
/// No file is read further: 1 GiB, 35 times all of CIFAR-10.
const MAX_BYTES: u64 = 1 << 30;

/// The names of the classes, from the file `batches.meta.txt`.
const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// Reads a file of images, or of a folder the files of its part: `test_batch.bin`, or for training
/// `data_batch_1.bin` to `data_batch_5.bin`.
///
/// # Errors
/// [`DataError`].
pub(crate) fn read_cifar10(path: &Path, train: bool) -> Result<ImageSet, DataError> {
    let files: Vec<PathBuf> = match (path.is_dir(), train) {
        (false, _) => vec![path.to_owned()],
        (true, false) => vec![path.join("test_batch.bin")],
        (true, true) => (1..=5)
            .map(|batch| path.join(format!("data_batch_{batch}.bin")))
            .collect(),
    };
    let (mut pixels, mut labels, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for file in &files {
        let content = read_limited(file, MAX_BYTES)?;
        let damaged = |why| DataError::Damaged {
            path: file.clone(),
            why,
        };
        if content.is_empty() || !content.len().is_multiple_of(RECORD) {
            return Err(damaged(format!(
                "it has {} bytes, which are no records of {RECORD} bytes; give a .bin file of \
                 CIFAR-10's binary version, or the folder that holds them",
                content.len()
            )));
        }
        for (image, record) in content.chunks_exact(RECORD).enumerate() {
            if usize::from(record[0]) >= CLASSES.len() {
                let why = format!(
                    "image {image} has class {}, and there are {}: it is no file of CIFAR-10's \
                     binary version",
                    record[0],
                    CLASSES.len()
                );
                return Err(damaged(why));
            }
            labels.push(usize::from(record[0]));
            pixels.extend_from_slice(&record[1..]);
        }
        hashes.push((name(file), sha256_hex(&content)));
    }
    let set = ImageSet::new(&name(path), SHAPE, pixels, Some(labels), hashes).map_err(|why| {
        DataError::Damaged {
            path: path.to_owned(),
            why,
        }
    })?;
    set.with_classes(CLASSES.map(str::to_owned).to_vec())
}
