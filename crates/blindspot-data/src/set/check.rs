//! Reading every image of a folder once before the work begins, to find broken files and to hash them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::{ImageSet, Source};
use crate::decode::{MAX_FILE_BYTES, decode};
use crate::error::DataError;
use crate::files::{read_limited, sha256_hex};
use crate::folder::few;

/// An image that can't be used: its file, relative to the set's folder, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl ImageSet {
    /// Reads every image of a folder once, several at a time, to find broken ones and to hash them;
    /// a set that is in memory is as it should be. `done` is told how many have been read.
    ///
    /// The set that is given lacks the broken images if `skip` is true; they are given beside it.
    ///
    /// # Errors
    /// [`DataError::Broken`] where an image is broken and `skip` is false, or none is left.
    pub fn checked(
        &self,
        skip: bool,
        done: &(dyn Fn(usize) + Sync),
    ) -> Result<(ImageSet, Vec<Broken>), DataError> {
        let Source::Files(root, files) = &*self.source else {
            return Ok((self.clone(), Vec::new()));
        };
        let (count, fit) = (AtomicUsize::new(0), self.fit.unwrap_or_default());
        let check = |index: usize| -> Result<String, Broken> {
            let file = &files[self.indices[index]];
            let broken = |why: String| Broken {
                file: file.clone(),
                why,
            };
            let content = read_limited(&root.join(file), MAX_FILE_BYTES)
                .map_err(|error| broken(format!("it can't be read: {}", error.source)))?;
            let planes = decode(&content, &fit).map_err(broken)?;
            if planes.shape != self.shape {
                return Err(broken(self.other_shape(planes.shape)));
            }
            done(count.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(sha256_hex(&content))
        };
        let results: Vec<Result<String, Broken>> =
            (0..self.len()).into_par_iter().map(check).collect();
        let (mut kept, mut lines, mut broken) = (Vec::new(), Vec::new(), Vec::new());
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok(hash) => {
                    kept.push(index);
                    lines.push((self.indices[index], hash));
                }
                Err(image) => broken.push(image),
            }
        }
        if !broken.is_empty() && (!skip || kept.is_empty()) {
            let images: Vec<String> = broken
                .iter()
                .map(|image| format!("{} ({})", image.file.display(), image.why))
                .collect();
            return Err(DataError::Broken {
                folder: root.clone(),
                broken: broken.len(),
                of: self.len(),
                images: few(&images),
            });
        }
        lines.sort();
        lines.dedup();
        let list: String = lines
            .iter()
            .map(|(index, hash)| format!("{hash}  {}\n", files[*index].display()))
            .collect();
        let mut set = self.select(&kept);
        let hash = sha256_hex(list.as_bytes());
        set.hashes.retain(|(name, _)| *name != self.name);
        set.hashes.push((self.name.clone(), hash));
        Ok((set, broken))
    }
}
