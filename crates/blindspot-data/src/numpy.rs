//! NumPy's files: archives of arrays (`.npz`) written and read value by value, so that no array has
//! to fit in memory; and single arrays (`.npy`).
//!
//! Source: "NEP 1: A simple file format for NumPy arrays", R. Kern.

use std::io::{self, BufReader, Read, Seek};

use npyz::WriterBuilder;
pub use npyz::{AutoSerialize, NpyFile, Order};
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::files::Sink;

/// Bytes read at a time.
const BUFFER: usize = 1 << 16;

/// An archive of arrays that is being written.
pub struct NpzWriter<'w> {
    archive: ZipWriter<&'w mut dyn Sink>,
}

impl<'w> NpzWriter<'w> {
    /// Begins an archive. [`finish`](NpzWriter::finish) has to be called at its end.
    pub fn new(sink: &'w mut dyn Sink) -> Self {
        NpzWriter {
            archive: ZipWriter::new(sink),
        }
    }

    /// Adds the array `name` of the shape `shape`, its values in C's order. The bytes depend on the
    /// values alone.
    ///
    /// # Errors
    /// The system's, those of `values`, and where there are more or fewer values than the shape says.
    pub fn add<T: AutoSerialize>(
        &mut self,
        name: &str,
        shape: &[u64],
        values: impl Iterator<Item = io::Result<T>>,
    ) -> io::Result<()> {
        let bytes = shape.iter().product::<u64>() * size_of::<T>() as u64;
        // As NumPy's own `savez`: images hardly shrink, and deflating them takes longer than the search.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(bytes > u64::from(u32::MAX) / 2)
            // The clock has no place in a file that the same seed must give again.
            .last_modified_time(DateTime::default());
        self.archive.start_file(file_name(name), options)?;
        write_array(&mut self.archive, shape, values)
    }

    /// Writes the archive's table.
    ///
    /// # Errors
    /// The system's.
    pub fn finish(self) -> io::Result<()> {
        self.archive.finish()?;
        Ok(())
    }
}

/// Writes an array of the shape `shape` as the content of a `.npy` file, its values in C's order.
///
/// # Errors
/// The system's, those of `values`, and where there are more or fewer values than the shape says.
pub fn write_array<T: AutoSerialize>(
    writer: impl io::Write,
    shape: &[u64],
    values: impl Iterator<Item = io::Result<T>>,
) -> io::Result<()> {
    let options = npyz::WriteOptions::new().default_dtype().shape(shape);
    let mut writer = options.writer(writer).begin_nd()?;
    for value in values {
        writer.push(&value?)?;
    }
    writer.finish()
}

/// An archive of arrays that is being read.
pub struct NpzReader<R> {
    archive: ZipArchive<R>,
}

/// An array of an archive. Its values are read as they are asked for.
pub type NpzArray<'a, R> = NpyFile<BufReader<ZipFile<'a, R>>>;

impl<R: Read + Seek> NpzReader<R> {
    /// Reads the archive's table.
    ///
    /// # Errors
    /// The system's, and where it is no zip archive.
    pub fn new(reader: R) -> io::Result<Self> {
        let archive = ZipArchive::new(reader)?;
        Ok(NpzReader { archive })
    }

    /// The names of the arrays.
    pub fn names(&self) -> Vec<String> {
        let names = self.archive.file_names();
        let arrays = names.filter_map(|name| Some(name.ok()?.strip_suffix(".npy")?.to_owned()));
        arrays.collect()
    }

    /// An array, its header read; `None` where there is none of this name.
    ///
    /// # Errors
    /// The system's, and where it is no array.
    pub fn by_name(&mut self, name: &str) -> io::Result<Option<NpzArray<'_, R>>> {
        match self.archive.by_name(&file_name(name)) {
            Ok(file) => NpyFile::new(BufReader::with_capacity(BUFFER, file)).map(Some),
            Err(ZipError::FileNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn file_name(array: &str) -> String {
    format!("{array}.npy")
}

/// NumPy's name of an array's type without the order of bytes, such as `f4`; what it says of other
/// types than plain numbers as it is.
pub fn type_name<R: Read>(array: &NpyFile<R>) -> String {
    let name = array.dtype().descr();
    name.trim_matches(['\'', '"', '<', '|', '>', '='])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_gives_back_its_arrays_and_the_same_values_the_same_bytes() {
        let write = || {
            let mut bytes = io::Cursor::new(Vec::new());
            let mut npz = NpzWriter::new(&mut bytes);
            let numbers = (0..6).map(|i| Ok(i as f32 / 3.0));
            npz.add("x", &[3, 2], numbers).unwrap();
            npz.add("y", &[2], [7i64, -1].map(Ok).into_iter()).unwrap();
            npz.finish().unwrap();
            bytes.into_inner()
        };
        let bytes = write();
        assert_eq!(bytes, write());
        let mut npz = NpzReader::new(io::Cursor::new(bytes)).unwrap();
        assert_eq!(npz.names(), ["x", "y"]);
        let x = npz.by_name("x").unwrap().unwrap();
        assert_eq!((x.shape(), type_name(&x).as_str()), (&[3, 2][..], "f4"));
        let expected: Vec<f32> = (0..6).map(|i| i as f32 / 3.0).collect();
        assert_eq!(x.into_vec::<f32>().unwrap(), expected);
        let y = npz.by_name("y").unwrap().unwrap();
        assert_eq!(y.into_vec::<i64>().unwrap(), [7, -1]);
        assert!(npz.by_name("z").unwrap().is_none());
    }
}
