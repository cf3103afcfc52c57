//! Image sets of NumPy's archives: images `x` and their classes `y`.

use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;
use std::str::FromStr;

use crate::error::DataError;
use crate::files::{open, sha256_hex, sha256_of};
use crate::folder::{few, name};
use crate::limit::ReadLimit;
use crate::numpy::{NpyFile, NpzReader, Order, type_name};
use crate::set::ImageSet;

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
/// or floats that stay as they are) and, where it is there, their classes `y`: n integers, or one-hot
/// rows (n, classes) of numbers that are 0 but for a single 1.
///
/// Where four axes can be read in one way only, because just one of them has 1 or 3 channels,
/// `axes` need not say which.
///
/// # Errors
/// [`DataError`].
///
/// Only as many images as the limit says are unpacked.
pub(crate) fn read_npz(
    path: &Path,
    axes: Option<Axes>,
    limit: &ReadLimit,
) -> Result<ImageSet, DataError> {
    let file = BufReader::new(open(path)?);
    let hashes = vec![(name(path), sha256_of(path)?)];
    parse(&name(path), file, hashes, axes, limit).map_err(|why| DataError::Damaged {
        path: path.to_owned(),
        why,
    })
}

/// Reads the bytes of an archive of images `x` and their classes `y`, as the specification `npz:FILE`
/// does.
///
/// # Errors
/// What is wrong with them, in words.
pub fn parse_npz(
    content: &[u8],
    axes: Option<Axes>,
    limit: &ReadLimit,
) -> Result<ImageSet, String> {
    let hashes = vec![("bytes".to_owned(), sha256_hex(content))];
    parse("bytes", Cursor::new(content), hashes, axes, limit)
}

fn parse(
    name: &str,
    content: impl Read + Seek,
    hashes: Vec<(String, String)>,
    axes: Option<Axes>,
    limit: &ReadLimit,
) -> Result<ImageSet, String> {
    let mut archive = NpzReader::new(content).map_err(|error| {
        format!(
            "it is no .npz archive ({error}); write it by numpy.savez(FILE, x=images, y=classes)"
        )
    })?;
    let names = archive.names();
    let y = match archive.by_name("y") {
        Ok(Some(array)) => labels(array, limit).map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(error.to_string()),
    };
    let y = y.map_err(|why| format!("array `y`: {why}"))?;
    let found = archive.by_name("x");
    let x = found.map_err(|error| format!("array `x`: {error}"))?;
    let x = x.ok_or_else(|| {
        format!(
            "it has no array `x`, only {}; write it by numpy.savez(FILE, x=images, y=classes)",
            few(&names)
        )
    })?;
    let kind = check(&x).map_err(|why| format!("array `x`: {why}"))?;
    let (shape, order) = image_shape(x.shape(), axes)?;
    if let (&[count, height, width], Some((1, _))) = (x.shape(), &y)
        && count != 1
    {
        return Err(format!(
            "array `x` has the shape {:?}, that of {count} images of {height}x{width}, and `y` has one \
             class; of a single image give x[None]",
            x.shape()
        ));
    }
    let all = x.shape()[0];
    let labels = match y {
        Some((count, _)) if count != all => {
            return Err(format!("{all} images have {count} labels"));
        }
        y => y.map(|(_, labels)| labels),
    };
    let length: usize = shape.iter().product();
    let count = all.min(limit.images as u64) * length as u64;
    let size = match kind.as_str() {
        "u1" => 1,
        _ => size_of::<f32>() as u64,
    };
    // They are there twice while they are put in another order.
    let copies = 1 + u64::from(order == Axes::Nhwc && shape[0] > 1);
    let needs = count.saturating_mul(size * copies);
    if needs > limit.memory {
        return Err(too_large("images", needs, limit));
    }
    let broken = |error: std::io::Error| format!("array `x` can't be read: {error}");
    match kind.as_str() {
        "u1" => {
            let pixels = first(x, count).map_err(broken)?;
            let pixels = reordered(pixels, shape, order);
            ImageSet::new(name, shape, pixels, labels, hashes)
        }
        "f4" | "f8" => {
            let values: Vec<f32> = match kind.as_str() {
                "f4" => first(x, count).map_err(broken)?,
                _ => {
                    let values = x.data::<f64>().map_err(|error| error.to_string())?;
                    let values = values.take(count as usize);
                    let values = values.map(|value| Ok(value? as f32));
                    values.collect::<Result<_, _>>().map_err(broken)?
                }
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

/// The first values of an array.
fn first<T: npyz::Deserialize, R: Read>(array: NpyFile<R>, count: u64) -> std::io::Result<Vec<T>> {
    let values = array.data().map_err(std::io::Error::other)?;
    values.take(count as usize).collect()
}

fn too_large(what: &str, needs: u64, limit: &ReadLimit) -> String {
    let allowed = limit.memory;
    format!(
        "its {what} take {needs} bytes of memory, and {allowed} are allowed; ask for fewer images"
    )
}

/// The type of an array in C's order whose values can be counted.
fn check<R: Read>(array: &NpyFile<R>) -> Result<String, String> {
    if array.order() != Order::C {
        return Err("it is in Fortran's order; write numpy.ascontiguousarray of it".into());
    }
    let size = array.dtype().num_bytes().unwrap_or(1) as u64;
    let mut sizes = array.shape().iter();
    let bytes = sizes.try_fold(size, |bytes, &size| bytes.checked_mul(size));
    if bytes.is_none_or(|bytes| bytes > isize::MAX as u64) {
        return Err(format!(
            "its header says {:?}, which no memory holds",
            array.shape()
        ));
    }
    Ok(type_name(array))
}

/// Channels, height and width of an array of images, and in which order it holds them.
fn image_shape(shape: &[u64], axes: Option<Axes>) -> Result<([usize; 3], Axes), String> {
    // Checked to fit in memory.
    let sizes: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
    let channels = |size: usize| size == 1 || size == 3;
    Ok(match sizes[..] {
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

/// How many classes there are in an array, and the first of them.
fn labels<R: Read>(y: NpyFile<R>, limit: &ReadLimit) -> Result<(u64, Vec<usize>), String> {
    let kind = check(&y)?;
    let (all, row) = match *y.shape() {
        [all] => (all, 1),
        [all, row] => (all, row),
        ref shape => {
            return Err(format!("it has the shape {shape:?}; classes have one axis"));
        }
    };
    let count = all.min(limit.images as u64);
    let needs = count.saturating_mul(row.saturating_mul(size_of::<usize>() as u64));
    if needs > limit.memory {
        return Err(too_large("classes", needs, limit));
    }
    let (count, row) = (count as usize, row as usize);
    if row != 1 {
        return Ok((all, one_hot(y, &kind, count, row)?));
    }
    let classes = match kind.as_str() {
        "u1" => classes::<u8, R>(y, count),
        "i1" => classes::<i8, R>(y, count),
        "u2" => classes::<u16, R>(y, count),
        "i2" => classes::<i16, R>(y, count),
        "u4" => classes::<u32, R>(y, count),
        "i4" => classes::<i32, R>(y, count),
        "u8" => classes::<u64, R>(y, count),
        "i8" => classes::<i64, R>(y, count),
        kind => Err(format!(
            "it has the type {kind}; classes are integers from 0 (of names, give \
             numpy.unique(y, return_inverse=True)[1])"
        )),
    };
    Ok((all, classes?))
}

/// The places of the ones in rows of zeros.
fn one_hot<R: Read>(
    y: NpyFile<R>,
    kind: &str,
    count: usize,
    classes: usize,
) -> Result<Vec<usize>, String> {
    match kind {
        "b1" => ones::<bool, R>(y, count, classes, |&value| f64::from(u8::from(value))),
        "u1" => ones::<u8, R>(y, count, classes, |&value| f64::from(value)),
        "i4" => ones::<i32, R>(y, count, classes, |&value| f64::from(value)),
        "i8" => ones::<i64, R>(y, count, classes, |&value| value as f64),
        "f4" => ones::<f32, R>(y, count, classes, |&value| f64::from(value)),
        "f8" => ones::<f64, R>(y, count, classes, |&value| value),
        _ => Err(format!(
            "it has the type {kind} and two axes; one-hot classes are truth values, integers or floats"
        )),
    }
}

fn ones<T: npyz::Deserialize, R: Read>(
    y: NpyFile<R>,
    count: usize,
    classes: usize,
    number: impl Fn(&T) -> f64,
) -> Result<Vec<usize>, String> {
    let values: std::io::Result<Vec<T>> = first(y, count.saturating_mul(classes) as u64);
    let values = values.map_err(|error| format!("it can't be read: {error}"))?;
    let class = |(i, row): (usize, &[T])| {
        let other = row.iter().map(&number).any(|x| x != 0.0 && x != 1.0);
        let mut ones = (0..classes).filter(|&class| number(&row[class]) == 1.0);
        match (ones.next(), ones.next()) {
            (Some(class), None) if !other => Ok(class),
            _ => Err(format!(
                "its row {i} is not one-hot; classes are integers from 0 with one axis, or rows of zeros \
                 with a single 1 (of probabilities give y.argmax(1))"
            )),
        }
    };
    let rows = values.chunks_exact(classes.max(1)).enumerate();
    rows.map(class).collect()
}

/// The values of an array of integers as classes.
fn classes<T, R>(y: NpyFile<R>, count: usize) -> Result<Vec<usize>, String>
where
    T: npyz::Deserialize + Copy + std::fmt::Display + TryInto<usize>,
    R: Read,
{
    let values = y.data::<T>().map_err(|error| error.to_string())?;
    let class = |value: std::io::Result<T>| {
        let value = value.map_err(|error| format!("it can't be read: {error}"))?;
        let class = value.try_into();
        class.map_err(|_| format!("it holds {value}; classes are integers from 0"))
    };
    values.take(count).map(class).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::numpy::{AutoSerialize, NpzWriter};

    /// An archive of the arrays `x` and `y`.
    fn archive<X, Y>(x: (&[u64], Vec<X>), y: (&[u64], Vec<Y>)) -> Vec<u8>
    where
        X: AutoSerialize,
        Y: AutoSerialize,
    {
        let mut bytes = Cursor::new(Vec::new());
        let mut npz = NpzWriter::new(&mut bytes);
        npz.add("x", x.0, x.1.into_iter().map(Ok)).unwrap();
        npz.add("y", y.0, y.1.into_iter().map(Ok)).unwrap();
        npz.finish().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn images_of_any_order_and_classes_of_any_integers_are_read() {
        // Two images of 2x2 pixels: each pixel's channels side by side.
        let x: Vec<u8> = (0..24).collect();
        let bytes = archive((&[2, 2, 2, 3], x), (&[2, 1], vec![3i16, 0]));
        let set = parse_npz(&bytes, None, &ReadLimit::default()).unwrap();
        assert_eq!((set.shape(), set.labels()), ([3, 2, 2], Some(&[3, 0][..])));
        let mut image = [0.0; 12];
        set.read_image(1, &mut image).unwrap();
        let levels = image.map(|x| (x * 255.0).round() as u8);
        assert_eq!(levels, [12, 15, 18, 21, 13, 16, 19, 22, 14, 17, 20, 23]);
        let bytes = archive((&[3, 2], vec![0.5f64; 6]), (&[3], vec![1u64, 2, 3]));
        let set = parse_npz(&bytes, None, &ReadLimit::default()).unwrap();
        assert_eq!((set.len(), set.shape()), (3, [1, 1, 2]));
    }

    #[test]
    fn one_hot_rows_are_classes_and_nothing_else_with_two_axes_is() {
        let x = || (&[2u64, 2][..], vec![0.5f32; 4]);
        let bytes = archive(x(), (&[2, 3], vec![0.0f32, 0.0, 1.0, 1.0, 0.0, 0.0]));
        let set = parse_npz(&bytes, None, &ReadLimit::default()).unwrap();
        assert_eq!(set.labels(), Some(&[2, 0][..]));
        for row in [[0.0, 1.0, 1.0], [0.0; 3], [0.2, 0.3, 0.5]] {
            let y = [&[0.0, 1.0, 0.0], &row[..]].concat();
            let bytes = archive(x(), (&[2, 3], y));
            let why = parse_npz(&bytes, None, &ReadLimit::default()).unwrap_err();
            assert!(why.contains("row 1 is not one-hot"), "{why}");
        }
    }

    #[test]
    fn no_more_is_unpacked_than_is_asked_for() {
        // A gigabyte of zeros, and as many classes, in less than ten megabytes.
        let count = 1u64 << 22;
        let mut bytes = Cursor::new(Vec::new());
        let mut zip = zip::ZipWriter::new(&mut bytes);
        let options = zip::write::SimpleFileOptions::default();
        for (name, shape, size) in [
            ("x.npy", &[count, 1, 8, 8][..], 256),
            ("y.npy", &[count], 4),
        ] {
            zip.start_file(name, options).unwrap();
            let kind = if size == 256 { "<f4" } else { "<i4" };
            let shape: Vec<String> = shape.iter().map(u64::to_string).collect();
            let text = format!(
                "{{'descr': '{kind}', 'fortran_order': False, 'shape': ({},), }}",
                shape.join(", ")
            );
            let length = (text.len() as u16).to_le_bytes();
            zip.write_all(b"\x93NUMPY\x01\0").unwrap();
            zip.write_all(&length).unwrap();
            zip.write_all(text.as_bytes()).unwrap();
            for _ in 0..(size * count) >> 20 {
                zip.write_all(&[0; 1 << 20]).unwrap();
            }
        }
        zip.finish().unwrap();
        let bytes = bytes.into_inner();
        assert!(bytes.len() < 10 << 20, "{}", bytes.len());
        let limit = |images, memory| ReadLimit { images, memory };
        let set = parse_npz(&bytes, None, &limit(2, 1000)).unwrap();
        assert_eq!((set.len(), set.labels()), (2, Some(&[0, 0][..])));
        for (images, why) in [
            (4, "images take 1024 bytes"),
            (200, "classes take 1600 bytes"),
        ] {
            let refused = parse_npz(&bytes, None, &limit(images, 1000)).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn arrays_that_are_no_images_are_refused() {
        let refused = |bytes: &[u8]| parse_npz(bytes, None, &ReadLimit::default()).unwrap_err();
        assert!(refused(b"PK").contains("no .npz archive"));
        let one = |classes: Vec<i64>| (&[1u64][..], classes);
        let bytes = archive((&[1, 2], vec![f32::NAN; 2]), one(vec![0]));
        assert!(refused(&bytes).contains("finite"));
        let bytes = archive((&[1, 2], vec![0i32; 2]), one(vec![0]));
        assert!(refused(&bytes).contains("type i4"));
        let bytes = archive((&[1, 2], vec![0.0f32; 2]), one(vec![-4]));
        assert!(refused(&bytes).contains("it holds -4"));
        let bytes = archive((&[3, 8, 8], vec![0u8; 192]), one(vec![0]));
        assert!(refused(&bytes).contains("x[None]"), "{}", refused(&bytes));
        let bytes = archive((&[2, 2], vec![0u8; 4]), (&[2, 3], vec![0i64; 6]));
        assert!(refused(&bytes).contains("argmax"), "{}", refused(&bytes));
        let bytes = archive((&[1, 2, 2, 2], vec![0u8; 8]), one(vec![0]));
        assert!(refused(&bytes).contains("nchw"));
        let mut bytes = archive((&[1, 2], vec![0.0f32; 2]), one(vec![0]));
        // A header that says more than there is.
        let shape = bytes.windows(5).position(|text| text == b"(1, 2");
        bytes[shape.unwrap() + 4] = b'9';
        assert!(
            refused(&bytes).contains("can't be read"),
            "{}",
            refused(&bytes)
        );
    }
}
