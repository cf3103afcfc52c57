//! Changes of a file's bytes.

use crate::random::Random;

/// Files become no longer than this.
const MOST: usize = 1 << 16;

/// A file with a few changes; `other` is one to take parts of.
pub(crate) fn changed(random: &mut Random, file: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..1 + random.below(4) {
        change(random, &mut bytes, other);
    }
    bytes.truncate(MOST.max(file.len()));
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len());
    let length = 1 + random.below(16);
    let end = bytes.len().min(at + length);
    match random.below(9) {
        _ if bytes.is_empty() => bytes.push(random.next() as u8),
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.number() as u8,
        2 => {
            let number = random.number().to_le_bytes();
            let width = 1 << random.below(4);
            let end = bytes.len().min(at + width);
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        3 => {
            let number = random.number().to_be_bytes();
            let end = bytes.len().min(at + 4);
            bytes[at..end].copy_from_slice(&number[4..4 + end - at]);
        }
        4 => drop(bytes.drain(at..end)),
        5 => {
            let part = bytes[at..end].to_vec();
            let times = 1 + random.below(8);
            bytes.splice(at..at, part.repeat(times));
        }
        6 => bytes.truncate(at),
        7 if !other.is_empty() => {
            let from = random.below(other.len());
            let part = &other[from..other.len().min(from + 4 * length)];
            bytes.splice(at..end, part.iter().copied());
        }
        // A number in digits, as texts have it.
        _ => {
            let number = random.number().to_string();
            bytes.splice(at..end, number.bytes());
        }
    }
}
