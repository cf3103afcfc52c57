//! NumPy's archives of arrays: images `x` and their classes `y`.
//!
//! Source: "NEP 1: A simple file format for NumPy arrays", R. Kern.

use std::io::{Cursor, Read};
use std::path::Path;
use std::str::FromStr;

use zip::ZipArchive;

use crate::error::DataError;
use crate::files::{read_limited, sha256_hex};
use crate::folder::name;
use crate::set::ImageSet;

/// Neither an archive nor an array in it is read further: 4 GiB.
const MAX_BYTES: u64 = 1 << 32;

/// In which order an array holds its images' axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axes {
    /// Channels, height, width.
    Nchw,
    /// Height, width, channels.
    Nhwc,
}

impl FromStr for Axes {
    type Err = String;

    fn from_str(text: &str) -> Result<Axes, String> {
        match text {
            "nchw" => Ok(Axes::Nchw),
            "nhwc" => Ok(Axes::Nhwc),
            _ => Err(format!("`{text}` is no order of axes: write nchw or nhwc")),
        }
    }
}

/// Reads the images `x` (n, height, width; or with a fourth axis for channels; or n, values: bytes,
/// or floats that stay as they are) and, where it is there, their classes `y` (n integers).
///
/// Where four axes can be read in one way only, because just one of them has 1 or 3 channels,
/// `axes` need not say which.
///
/// # Errors
/// [`DataError`].
pub(crate) fn read_npz(path: &Path, axes: Option<Axes>) -> Result<ImageSet, DataError> {
    let content = read_limited(path, MAX_BYTES)?;
    parse_npz(&name(path), &content, axes).map_err(|why| DataError::Damaged {
        path: path.to_owned(),
        why,
    })
}

fn parse_npz(name: &str, content: &[u8], axes: Option<Axes>) -> Result<ImageSet, String> {
    let mut archive = ZipArchive::new(Cursor::new(content)).map_err(|error| {
        format!(
            "it is no .npz archive ({error}); write it by numpy.savez(FILE, x=images, y=classes)"
        )
    })?;
    let x = member(&mut archive, "x")?.ok_or_else(|| {
        let names: Vec<&str> = archive.file_names().collect();
        format!(
            "it has no array `x`, only {}; write it by numpy.savez(FILE, x=images, y=classes)",
            crate::folder::few(&names.into_iter().map(str::to_owned).collect::<Vec<_>>())
        )
    })?;
    let x = Array::parse(&x).map_err(|why| format!("array `x`: {why}"))?;
    let y = member(&mut archive, "y")?;
    let y = y.as_deref().map(Array::parse).transpose();
    let y = y.map_err(|why| format!("array `y`: {why}"))?;
    let (shape, order) = image_shape(&x.shape, axes)?;
    let labels = match y {
        Some(y) => Some(labels(&y).map_err(|why| format!("array `y`: {why}"))?),
        None => None,
    };
    let hashes = vec![(name.to_owned(), sha256_hex(content))];
    match x.kind {
        "u1" => {
            let pixels = reordered(x.data.to_vec(), shape, order);
            ImageSet::new(name, shape, pixels, labels, hashes)
        }
        "f4" | "f8" => {
            let values = match x.kind {
                "f4" => x.numbers(|bytes: [u8; 4]| f32::from_le_bytes(bytes)),
                _ => x.numbers(|bytes: [u8; 8]| f64::from_le_bytes(bytes) as f32),
            };
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(format!(
                    "array `x` holds {value}; images are finite numbers"
                ));
            }
            ImageSet::of_floats(name, shape, reordered(values, shape, order), labels, hashes)
        }
        kind => Err(format!(
            "array `x` has the type {kind}; give bytes (uint8) or floats (float32 or float64)"
        )),
    }
}

/// The content of an array's file.
fn member(archive: &mut ZipArchive<Cursor<&[u8]>>, array: &str) -> Result<Option<Vec<u8>>, String> {
    let damaged =
        |error: &dyn std::fmt::Display| format!("array `{array}` can't be unpacked: {error}");
    let file = match archive.by_name(&format!("{array}.npy")) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(damaged(&error)),
    };
    let mut content = Vec::new();
    // One more than allowed, so that a bomb is told from a file.
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut content)
        .map_err(|error| damaged(&error))?;
    match content.len() as u64 > MAX_BYTES {
        true => Err(format!(
            "array `{array}` unpacks to more than {MAX_BYTES} bytes"
        )),
        false => Ok(Some(content)),
    }
}

/// An array: its shape, NumPy's name of its type without the order of bytes, and its bytes.
struct Array<'a> {
    shape: Vec<usize>,
    kind: &'a str,
    data: &'a [u8],
}

impl<'a> Array<'a> {
    fn parse(content: &'a [u8]) -> Result<Array<'a>, String> {
        let cut = || "it is cut off inside its header".to_owned();
        if content.get(..6) != Some(b"\x93NUMPY") {
            return Err("it is no .npy file".into());
        }
        let &[version, _, a, b, c, d] = content[6..].first_chunk().ok_or_else(cut)?;
        let (start, length): (usize, usize) = match version {
            1 => (10, u16::from_le_bytes([a, b]).into()),
            2 | 3 => (12, u32::from_le_bytes([a, b, c, d]) as usize),
            _ => {
                return Err(format!(
                    "it has version {version} of the format, not 1 to 3"
                ));
            }
        };
        let header = start
            .checked_add(length)
            .and_then(|end| content.get(start..end))
            .ok_or_else(cut)?;
        let header = std::str::from_utf8(header).map_err(|_| "its header is no text".to_owned())?;
        let field = |name: &str| {
            let rest = header.split_once(&format!("'{name}':"));
            rest.map(|(_, rest)| rest.trim_start())
                .ok_or_else(|| format!("its header has no `{name}`"))
        };
        let kind = field("descr")?
            .strip_prefix('\'')
            .and_then(|rest| rest.split_once('\''))
            .ok_or("its elements are no plain numbers")?
            .0;
        let kind = match kind.split_at_checked(1) {
            Some(("<" | "|" | "=", kind)) => kind,
            _ => {
                return Err(format!(
                    "it has the type {kind}; give little-endian numbers"
                ));
            }
        };
        if !field("fortran_order")?.starts_with("False") {
            return Err("it is in Fortran's order; write numpy.ascontiguousarray of it".into());
        }
        let shape = field("shape")?
            .strip_prefix('(')
            .and_then(|rest| rest.split_once(')'))
            .ok_or("its header has no shape")?
            .0;
        let shape: Vec<usize> = shape
            .split(',')
            .map(str::trim)
            .filter(|size| !size.is_empty())
            .map(|size| size.parse().map_err(|_| format!("its shape is ({shape})")))
            .collect::<Result<_, _>>()?;
        let size = kind.get(1..).and_then(|size| size.parse::<usize>().ok());
        let size = size.ok_or_else(|| format!("it has the type {kind}, which is no number's"))?;
        let data = &content[start + length..];
        let expected = shape
            .iter()
            .try_fold(size, |bytes, &size| bytes.checked_mul(size));
        if expected != Some(data.len()) {
            return Err(format!(
                "its header says {shape:?} of type {kind}, which are not the {} bytes that it has",
                data.len()
            ));
        }
        Ok(Array { shape, kind, data })
    }

    fn numbers<T, const N: usize>(&self, number: impl Fn([u8; N]) -> T) -> Vec<T> {
        let (words, _) = self.data.as_chunks::<N>();
        words.iter().map(|&word| number(word)).collect()
    }
}

/// Channels, height and width of an array of images, and in which order it holds them.
fn image_shape(shape: &[usize], axes: Option<Axes>) -> Result<([usize; 3], Axes), String> {
    let channels = |size: usize| size == 1 || size == 3;
    Ok(match *shape {
        [_, values] => ([1, 1, values], Axes::Nchw),
        [_, height, width] => ([1, height, width], Axes::Nchw),
        [_, a, b, c] => match (axes, channels(a), channels(c)) {
            (Some(Axes::Nchw), ..) | (None, true, false) => ([a, b, c], Axes::Nchw),
            (Some(Axes::Nhwc), ..) | (None, false, true) => ([c, a, b], Axes::Nhwc),
            (None, ..) => {
                return Err(format!(
                    "array `x` has the shape {shape:?}, whose channels can be the second axis or the \
                     last; write npz:FILE,nchw or npz:FILE,nhwc"
                ));
            }
        },
        _ => {
            return Err(format!(
                "array `x` has the shape {shape:?}: images have 2 (values), 3 or 4 axes, the first \
                 counting them"
            ));
        }
    })
}

/// Values in the order channels, height, width.
fn reordered<T: Copy>(values: Vec<T>, shape: [usize; 3], order: Axes) -> Vec<T> {
    let [channels, height, width] = shape;
    let (length, plane) = (channels * height * width, height * width);
    if order == Axes::Nchw || channels == 1 || length == 0 {
        return values;
    }
    let image = |image| {
        (0..length).map(move |i: usize| -> T {
            let image: &[T] = image;
            image[i % plane * channels + i / plane]
        })
    };
    values.chunks_exact(length).flat_map(image).collect()
}

/// The classes in an array.
fn labels(y: &Array<'_>) -> Result<Vec<usize>, String> {
    if !matches!(y.shape[..], [_] | [_, 1]) {
        return Err(format!(
            "it has the shape {:?}; classes have one axis",
            y.shape
        ));
    }
    let numbers: Vec<i64> = match y.kind {
        "u1" => y.numbers(|[byte]: [u8; 1]| i64::from(byte)),
        "i1" => y.numbers(|bytes: [u8; 1]| i64::from(i8::from_le_bytes(bytes))),
        "u2" => y.numbers(|bytes: [u8; 2]| i64::from(u16::from_le_bytes(bytes))),
        "i2" => y.numbers(|bytes: [u8; 2]| i64::from(i16::from_le_bytes(bytes))),
        "u4" => y.numbers(|bytes: [u8; 4]| i64::from(u32::from_le_bytes(bytes))),
        "i4" => y.numbers(|bytes: [u8; 4]| i64::from(i32::from_le_bytes(bytes))),
        "i8" | "u8" => y.numbers(|bytes: [u8; 8]| i64::from_le_bytes(bytes)),
        kind => {
            return Err(format!(
                "it has the type {kind}; classes are integers from 0"
            ));
        }
    };
    let labels = numbers.iter().map(|&number| usize::try_from(number).ok());
    labels
        .zip(&numbers)
        .map(|(label, number)| {
            label.ok_or_else(|| format!("it holds {number}; classes are integers from 0"))
        })
        .collect()
}
