//! The IDX format of the MNIST files: a magic number, sizes, bytes; as it is or gzipped.
//!
//! Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use crate::error::DataError;
use crate::files::{read_limited, sha256_hex};

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
    let packed = read_limited(path, MAX_BYTES)?;
    parse_idx(&packed).map_err(|why| DataError::Damaged {
        path: path.to_owned(),
        why,
    })
}

/// Reads the bytes of an IDX file, plain or gzipped: see [`read_idx`].
///
/// # Errors
/// What is wrong with them, in words.
pub fn parse_idx(packed: &[u8]) -> Result<Idx, String> {
    if packed.is_empty() {
        return Err("it is empty; fetch it again".into());
    }
    let bytes = if packed.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        // One more than allowed, so that a bomb is told from a file.
        let mut limited = GzDecoder::new(packed).take(MAX_BYTES + 1);
        limited
            .read_to_end(&mut unpacked)
            .map_err(|error| format!("its gzip data is damaged ({error}); fetch it again"))?;
        if unpacked.len() as u64 > MAX_BYTES {
            return Err(format!("it unpacks to more than {MAX_BYTES} bytes"));
        }
        unpacked
    } else {
        packed.to_vec()
    };
    let header = |at: usize| -> Result<u32, String> {
        let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
        word.map(u32::from_be_bytes)
            .ok_or_else(|| format!("it ends at byte {}, inside its header", bytes.len()))
    };
    let magic = header(0)?;
    let axes = (magic & 0xff) as usize;
    if magic & 0xffff_ff00 != 0x0800 || !(1..=4).contains(&axes) {
        return Err(format!(
            "its magic number is {magic:#010x}, not 0x00000801 to 0x00000804: it is no IDX file of \
             bytes; give images as idx3-ubyte and labels as idx1-ubyte"
        ));
    }
    let shape: Vec<usize> = (0..axes)
        .map(|axis| header(4 + 4 * axis).map(|size| size as usize))
        .collect::<Result<_, _>>()?;
    let start = 4 + 4 * axes;
    let count = shape
        .iter()
        .try_fold(1usize, |count, &size| count.checked_mul(size));
    let expected = count.and_then(|count| count.checked_add(start));
    if count == Some(0) {
        return Err(format!("its header says {shape:?}: there is nothing in it"));
    }
    if expected != Some(bytes.len()) {
        let expected = expected.map_or("more bytes than any file has".into(), |n| {
            format!("{n} bytes")
        });
        return Err(format!(
            "its header says {shape:?}, {expected} in all, but it has {}; fetch it again",
            bytes.len()
        ));
    }
    Ok(Idx {
        sha256: sha256_hex(&bytes),
        values: bytes[start..].to_vec(),
        shape,
    })
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
