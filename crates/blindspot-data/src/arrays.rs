//! All arrays of an .npz archive, as real numbers.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use crate::error::DataError;
use crate::files::read_limited;
use crate::numpy::{NpyFile, NpzReader, Order, type_name};

/// How many numbers all arrays may have together: 2^26, 256 MiB of `f32`. A packed archive can claim
/// far more than it has bytes.
const MAX_NUMBERS: usize = 1 << 26;

/// Shape and numbers, row after row.
pub type Array = (Vec<usize>, Vec<f32>);

/// Reads all arrays of an archive by their names; numbers of other types are rounded to the nearest
/// `f32`.
///
/// # Errors
/// [`DataError`], and where an array holds no plain numbers, or all together more than 2^26.
pub fn arrays(path: &Path) -> Result<BTreeMap<String, Array>, DataError> {
    let content = read_limited(path, 8 * MAX_NUMBERS as u64)?;
    parse(&content).map_err(|why| DataError::Damaged {
        path: path.to_owned(),
        why,
    })
}

fn parse(content: &[u8]) -> Result<BTreeMap<String, Array>, String> {
    let mut archive = NpzReader::new(Cursor::new(content)).map_err(|error| {
        format!("it is no .npz archive ({error}); write it by numpy.savez(FILE, NAME=values)")
    })?;
    let mut arrays = BTreeMap::new();
    let mut left = MAX_NUMBERS;
    for name in archive.names() {
        let wrong = |why: String| format!("array `{name}`: {why}");
        let array = archive
            .by_name(&name)
            .map_err(|error| wrong(error.to_string()))?;
        let Some(array) = array else { continue };
        let sizes = array.shape().iter().map(|&size| usize::try_from(size).ok());
        let shape: Option<Vec<usize>> = sizes.collect();
        let count = shape.as_ref().and_then(|shape| {
            let mut sizes = shape.iter();
            sizes.try_fold(1usize, |count, &size| count.checked_mul(size))
        });
        let (Some(shape), Some(rest)) = (shape, count.and_then(|count| left.checked_sub(count)))
        else {
            return Err(wrong(format!(
                "all arrays together have more than {MAX_NUMBERS} numbers"
            )));
        };
        left = rest;
        arrays.insert(name.clone(), (shape, numbers(array).map_err(wrong)?));
    }
    Ok(arrays)
}

/// An array's numbers in C's order.
fn numbers<R: Read>(array: NpyFile<R>) -> Result<Vec<f32>, String> {
    fn read<T, R: Read>(array: NpyFile<R>, number: fn(T) -> f32) -> Result<Vec<f32>, String>
    where
        T: npyz::Deserialize,
    {
        let values = array.data::<T>().map_err(|error| error.to_string())?;
        let values = values.map(|value| value.map(number));
        values
            .collect::<Result<_, _>>()
            .map_err(|error| format!("it can't be read: {error}"))
    }
    if array.order() != Order::C {
        return Err("it is in Fortran's order; write numpy.ascontiguousarray of it".into());
    }
    match type_name(&array).as_str() {
        "f4" => read(array, |value: f32| value),
        "f8" => read(array, |value: f64| value as f32),
        "b1" => read(array, |value: bool| f32::from(u8::from(value))),
        "u1" => read(array, |value: u8| f32::from(value)),
        "i1" => read(array, |value: i8| f32::from(value)),
        "u2" => read(array, |value: u16| f32::from(value)),
        "i2" => read(array, |value: i16| f32::from(value)),
        "u4" => read(array, |value: u32| value as f32),
        "i4" => read(array, |value: i32| value as f32),
        "u8" => read(array, |value: u64| value as f32),
        "i8" => read(array, |value: i64| value as f32),
        kind => Err(format!(
            "it has the type {kind}; give integers, truth values, float32 or float64"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::numpy::NpzWriter;

    #[test]
    fn arrays_of_several_types_are_read_by_their_names() {
        let mut bytes = Cursor::new(Vec::new());
        let mut npz = NpzWriter::new(&mut bytes);
        npz.add("mask", &[2, 2], [1i64, 0, -3, 4].map(Ok).into_iter())
            .unwrap();
        npz.add("scale", &[], [0.5f64].map(Ok).into_iter()).unwrap();
        npz.finish().unwrap();
        let arrays = parse(bytes.get_ref()).unwrap();
        assert_eq!(arrays["mask"], (vec![2, 2], vec![1.0, 0.0, -3.0, 4.0]));
        assert_eq!(arrays["scale"], (vec![], vec![0.5]));
        assert!(parse(b"PK").unwrap_err().contains("no .npz archive"));
    }

    #[test]
    fn more_numbers_than_memory_has_are_refused() {
        let header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }\n";
        let mut npy = b"\x93NUMPY\x01\x00".to_vec();
        npy.extend((header.len() as u16).to_le_bytes());
        npy.extend(header);
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file("a.npy", options).unwrap();
        archive.write_all(&npy).unwrap();
        let bytes = archive.finish().unwrap().into_inner();
        let why = parse(&bytes).unwrap_err();
        assert!(why.contains("more than 67108864 numbers"), "{why}");
    }
}
