//! The IDX format of the MNIST files: a magic number, sizes, bytes; as it is or gzipped.
//!
//! Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use crate::error::DataError;
use crate::files::{hex, open};
use crate::limit::ReadLimit;

/// No file is read further: 1 GiB, some 1.3 million images of MNIST's size.
const MAX_BYTES: u64 = 1 << 30;

/// The content of an IDX file of unsigned bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The size of each axis, the first one counting the items.
    pub shape: Vec<usize>,
    /// The values, the last axis fastest.
    pub values: Vec<u8>,
    /// SHA-256 of the unpacked file.
    pub sha256: String,
}

/// Reads an IDX file of unsigned bytes with 1 to 4 axes, plain or gzipped.
///
/// # Errors
/// [`DataError`] where the file can't be read, is no IDX file, or is shorter or longer than its
/// header says.
pub fn read_idx(path: &Path) -> Result<Idx, DataError> {
    read_first(path, &ReadLimit::default())
}

/// Reads the first items of an IDX file, as many as the limit says. The whole file is gone through for
/// its hash, but only they are held.
pub(crate) fn read_first(path: &Path, limit: &ReadLimit) -> Result<Idx, DataError> {
    let file = open(path)?;
    parse(BufReader::new(file), limit).map_err(|why| DataError::Damaged {
        path: path.to_owned(),
        why,
    })
}

/// Reads the bytes of an IDX file, plain or gzipped: see [`read_idx`].
///
/// # Errors
/// What is wrong with them, in words.
pub fn parse_idx(packed: &[u8]) -> Result<Idx, String> {
    parse(packed, &ReadLimit::default())
}

fn parse(mut packed: impl BufRead, limit: &ReadLimit) -> Result<Idx, String> {
    match packed.fill_buf().map_err(|error| error.to_string())? {
        [] => Err("it is empty; fetch it again".into()),
        [0x1f, 0x8b, ..] => unpacked(GzDecoder::new(packed), limit),
        _ => unpacked(packed, limit),
    }
}

/// Reads the unpacked bytes of an IDX file.
fn unpacked(bytes: impl Read, limit: &ReadLimit) -> Result<Idx, String> {
    let mut reader = Hashed {
        // One more than allowed, so that a bomb is told from a file.
        reader: bytes.take(MAX_BYTES + 1),
        hasher: Sha256::new(),
        length: 0,
    };
    let magic = reader.word()?;
    let axes = (magic & 0xff) as usize;
    if magic & 0xffff_ff00 != 0x0800 || !(1..=4).contains(&axes) {
        return Err(format!(
            "its magic number is {magic:#010x}, not 0x00000801 to 0x00000804: it is no IDX file of \
             bytes; give images as idx3-ubyte and labels as idx1-ubyte"
        ));
    }
    let mut shape = Vec::with_capacity(axes);
    for _ in 0..axes {
        shape.push(reader.word()? as usize);
    }
    let count = shape
        .iter()
        .try_fold(1usize, |count, &size| count.checked_mul(size));
    if count == Some(0) {
        return Err(format!("its header says {shape:?}: there is nothing in it"));
    }
    let all = shape.clone();
    shape[0] = shape[0].min(limit.images);
    let mut sizes = shape.iter();
    let wanted = sizes.try_fold(1u64, |count, &size| count.checked_mul(size as u64));
    // The values come as far as there are any: a header may claim what it likes.
    let wanted = wanted.map_or(u64::MAX, |count| count.min(limit.memory.saturating_add(1)));
    let mut values = Vec::new();
    let taken = reader.by_ref().take(wanted).read_to_end(&mut values);
    taken.map_err(damaged)?;
    if values.len() as u64 > limit.memory {
        let allowed = limit.memory;
        return Err(format!(
            "its items take more than the {allowed} bytes of memory that are allowed"
        ));
    }
    std::io::copy(&mut reader, &mut std::io::sink()).map_err(damaged)?;
    let expected = count.and_then(|count| count.checked_add(4 + 4 * axes));
    if expected.map(|count| count as u64) != Some(reader.length) {
        if reader.length > MAX_BYTES {
            return Err(format!("it unpacks to more than {MAX_BYTES} bytes"));
        }
        let expected = expected.map_or("more bytes than any file has".into(), |n| {
            format!("{n} bytes")
        });
        return Err(format!(
            "its header says {all:?}, {expected} in all, but it has {}; fetch it again",
            reader.length
        ));
    }
    Ok(Idx {
        sha256: hex(&reader.hasher.finalize()),
        values,
        shape,
    })
}

fn damaged(error: std::io::Error) -> String {
    format!("its gzip data is damaged ({error}); fetch it again")
}

/// A reader that hashes and counts what goes through it.
struct Hashed<R> {
    reader: R,
    hasher: Sha256,
    length: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        self.length += length as u64;
        Ok(length)
    }
}

impl<R: Read> Hashed<R> {
    /// The next number of the header.
    fn word(&mut self) -> Result<u32, String> {
        let mut word = Vec::with_capacity(4);
        self.by_ref()
            .take(4)
            .read_to_end(&mut word)
            .map_err(damaged)?;
        match word.try_into() {
            Ok(word) => Ok(u32::from_be_bytes(word)),
            Err(_) => Err(format!(
                "it ends at byte {}, inside its header",
                self.length
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn file(shape: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, shape.len() as u8];
        shape
            .iter()
            .for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend(values);
        bytes
    }

    #[test]
    fn plain_and_gzipped_files_are_the_same() {
        let plain = file(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&plain).unwrap();
        let read = parse_idx(&plain).unwrap();
        assert_eq!(read.shape, [2, 1, 3]);
        assert_eq!(read.values, [1, 2, 3, 4, 5, 6]);
        assert_eq!(parse_idx(&encoder.finish().unwrap()).unwrap(), read);
    }

    #[test]
    fn every_wrong_file_is_refused_with_what_is_wrong() {
        let good = file(&[2, 2], &[1, 2, 3, 4]);
        let refused = |bytes: &[u8]| parse_idx(bytes).unwrap_err();
        for length in 0..good.len() {
            refused(&good[..length]);
        }
        assert!(
            refused(&file(&[2, 2], &[0; 5])).contains("has 17"),
            "too long"
        );
        assert!(refused(&file(&[2, 2], &[0; 3])).contains("16 bytes in all"));
        assert!(refused(&file(&[0, 2], &[])).contains("nothing"));
        assert!(refused(&file(&[u32::MAX; 4], &[0])).contains("more bytes than any file"));
        assert!(refused(b"\x89PNG\r\n\x1a\n0000").contains("no IDX file"));
        assert!(refused(b"<html><body>").contains("no IDX file"));
        assert!(refused(&[0x1f, 0x8b, 8, 0, 0]).contains("gzip"));
    }

    #[test]
    fn a_limit_holds_the_first_images_under_the_hash_of_all() {
        let good = file(&[3, 2], &[1, 2, 3, 4, 5, 6]);
        let limit = |images: usize, memory: u64| ReadLimit { images, memory };
        let first = parse(&good[..], &limit(2, 4)).unwrap();
        assert_eq!(
            (&first.shape[..], &first.values[..]),
            (&[2, 2][..], &[1, 2, 3, 4][..])
        );
        assert_eq!(first.sha256, parse_idx(&good).unwrap().sha256);
        let why = parse(&good[..], &limit(3, 5)).unwrap_err();
        assert!(why.contains("5 bytes of memory"), "{why}");
        // A gigabyte and more of zeros in a file of a few megabytes.
        let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
        bomb.write_all(&file(&[u32::MAX, 1], &[])).unwrap();
        for _ in 0..MAX_BYTES / (1 << 20) + 1 {
            bomb.write_all(&vec![0; 1 << 20]).unwrap();
        }
        let bomb = bomb.finish().unwrap();
        assert!(bomb.len() < 20 << 20);
        let why = parse(&bomb[..], &limit(2, 1000)).unwrap_err();
        assert!(why.contains("unpacks to more"), "{why}");
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..30, value: u8, cut in 0usize..40) {
            let mut bytes = file(&[2, 2, 4], &[7; 16]);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            bytes.truncate(cut);
            if let Ok(idx) = parse_idx(&bytes) {
                prop_assert_eq!(idx.values.len(), idx.shape.iter().product::<usize>());
            }
        }
    }
}
