//! Masks and ranges of an input's values, read from NumPy's files.

use std::io::Cursor;

use blindspot_data::numpy::{NpyFile, NpzReader, Order, open_array, type_name};

use crate::search::Bounds;

/// What a file of a mask or of ranges holds instead of them, with the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RangeFileError(String);

fn fail<T>(message: String) -> Result<T, RangeFileError> {
    Err(RangeFileError(message))
}

/// Lets those values move where the mask, an array of the input's shape, is not 0.
///
/// # Errors
/// [`RangeFileError`] where the bytes are no such `.npy` array.
pub fn apply_mask(
    ranges: &mut Bounds,
    bytes: &[u8],
    shape: &[usize],
) -> Result<(), RangeFileError> {
    let mask = array("the mask", bytes, shape)?;
    if mask.iter().any(|moves| moves.is_nan()) {
        return fail(
            "the mask holds NaN; give 0 where a value must not change, 1 elsewhere".into(),
        );
    }
    for (change, moves) in ranges.max_perturbation.iter_mut().zip(mask) {
        if moves == 0.0 {
            *change = 0.0;
        }
    }
    Ok(())
}

/// Sets the ranges by an `.npz` of arrays of the input's shape: `lower` and `upper`, the range of
/// each value, and `change`, how far it may move; each may be missing.
///
/// # Errors
/// [`RangeFileError`] where the bytes are no such archive.
pub fn apply_bounds(
    ranges: &mut Bounds,
    bytes: &[u8],
    shape: &[usize],
) -> Result<(), RangeFileError> {
    let broken = |error: std::io::Error| RangeFileError(format!("the bounds are no .npz: {error}"));
    let mut archive = NpzReader::new(Cursor::new(bytes)).map_err(broken)?;
    let names = archive.names();
    if names.is_empty() {
        return fail("the bounds hold no array; give lower, upper or change".into());
    }
    for name in names {
        let place = match name.as_str() {
            "lower" => &mut ranges.lower,
            "upper" => &mut ranges.upper,
            "change" => &mut ranges.max_perturbation,
            _ => {
                return fail(format!(
                    "the bounds hold the array `{name}`; they take lower, upper and change"
                ));
            }
        };
        let Some(file) = archive.by_name(&name).map_err(broken)? else {
            return fail(format!("the bounds' array `{name}` can't be read"));
        };
        *place = values(&format!("the bounds' `{name}`"), file, shape)?;
    }
    Ok(())
}

fn array(what: &str, bytes: &[u8], shape: &[usize]) -> Result<Vec<f32>, RangeFileError> {
    match open_array(bytes) {
        Ok(file) => values(what, file, shape),
        Err(error) => fail(format!("{what} is no .npy: {error}")),
    }
}

/// The numbers of an array of the shape given.
fn values<R: std::io::Read>(
    what: &str,
    file: NpyFile<R>,
    shape: &[usize],
) -> Result<Vec<f32>, RangeFileError> {
    let found = file.shape().to_vec();
    if found
        .iter()
        .map(|&size| size as usize)
        .ne(shape.iter().copied())
    {
        return fail(format!(
            "{what} has the shape {found:?}, the network's input {shape:?}; give the same"
        ));
    }
    if file.order() != Order::C {
        return fail(format!(
            "{what} is in Fortran's order; save it with np.ascontiguousarray"
        ));
    }
    let kind = type_name(&file);
    let read = match kind.as_str() {
        "b1" => file
            .into_vec::<bool>()
            .map(|all| all.into_iter().map(f32::from).collect()),
        "u1" => file
            .into_vec::<u8>()
            .map(|all| all.into_iter().map(f32::from).collect()),
        "i8" => file
            .into_vec::<i64>()
            .map(|all| all.into_iter().map(|v| v as f32).collect()),
        "f4" => file.into_vec::<f32>(),
        "f8" => file
            .into_vec::<f64>()
            .map(|all| all.into_iter().map(|v| v as f32).collect()),
        _ => {
            return fail(format!(
                "{what} holds {kind}; give bool, uint8, int64, float32 or float64"
            ));
        }
    };
    read.map_err(|error| RangeFileError(format!("{what} can't be read: {error}")))
}

#[cfg(test)]
mod tests {
    use blindspot_data::numpy::{AutoSerialize, write_array};

    use super::*;
    use blindspot_model::InputBox;

    fn npy<T: AutoSerialize>(shape: &[u64], numbers: Vec<T>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_array(&mut bytes, shape, numbers.into_iter().map(Ok)).unwrap();
        bytes
    }

    #[test]
    fn a_mask_of_any_type_holds_values_and_others_are_refused() {
        let free = || Bounds::within(InputBox::default(), 4);
        let expected = [0.0, f32::INFINITY, 0.0, f32::INFINITY];
        let masks = [
            npy(&[2, 2], vec![false, true, false, true]),
            npy(&[2, 2], vec![0.0f64, 1.0, 0.0, 1.0]),
            npy(&[2, 2], vec![0i64, 1, 0, 1]),
        ];
        for mask in masks {
            let mut ranges = free();
            apply_mask(&mut ranges, &mask, &[2, 2]).unwrap();
            assert_eq!(ranges.max_perturbation, expected);
        }
        let error = |bytes: &[u8]| {
            apply_mask(&mut free(), bytes, &[2, 2])
                .unwrap_err()
                .to_string()
        };
        assert!(error(&npy(&[4], vec![true; 4])).contains("shape [4]"));
        assert!(error(&npy(&[2, 2], vec![1i16; 4])).contains("i2"));
        assert!(error(&npy(&[2, 2], vec![0.0, 1.0, f64::NAN, 1.0])).contains("NaN"));
        assert!(error(b"no array").contains("no .npy"));
        assert!(apply_bounds(&mut free(), b"no archive", &[4]).is_err());
    }
}
