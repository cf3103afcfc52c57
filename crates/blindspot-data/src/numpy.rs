//! NumPy's files: archives of arrays (`.npz`) written and read value by value, so that no array has
//! to fit in memory; and single arrays (`.npy`).
//!
//! Source: "NEP 1: A simple file format for NumPy arrays", R. Kern.

use std::io::{self, BufReader, Chain, Cursor, Read, Seek, SeekFrom, Write};

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
    archive: ZipWriter<UntilFailure<'w>>,
}

/// Passes bytes on until that fails, and nothing after that: an archive that is given up writes its table
/// once more, and speaks of it on standard error where it can't.
struct UntilFailure<'w> {
    sink: &'w mut dyn Sink,
    failed: bool,
}

impl UntilFailure<'_> {
    fn pass<T>(
        &mut self,
        instead: T,
        work: impl FnOnce(&mut dyn Sink) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.failed {
            return Ok(instead);
        }
        let done = work(self.sink);
        // A write that was only interrupted is tried again.
        let again = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
        self.failed = done.as_ref().is_err_and(|error| !again(error));
        done
    }
}

impl Write for UntilFailure<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pass(bytes.len(), |sink| sink.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass((), |sink| sink.flush())
    }
}

impl Seek for UntilFailure<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.pass(0, |sink| sink.seek(to))
    }
}

impl<'w> NpzWriter<'w> {
    /// Begins an archive. [`finish`](NpzWriter::finish) has to be called at its end.
    pub fn new(sink: &'w mut dyn Sink) -> Self {
        NpzWriter {
            archive: ZipWriter::new(UntilFailure {
                sink,
                failed: false,
            }),
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

/// An array whose values are read as they are asked for.
pub type NpyArray<R> = NpyFile<Chain<Cursor<Vec<u8>>, R>>;

/// An array of an archive.
pub type NpzArray<'a, R> = NpyArray<BufReader<ZipFile<'a, R>>>;

/// The bytes of an array's header, at most: as many as NumPy reads.
const MAX_HEADER: usize = 10_000;

/// How deep brackets in a header may stand in each other: those of a structured type stand three deep.
const MAX_DEPTH: usize = 16;

/// Reads the header of an array, the content of a `.npy` file.
///
/// # Errors
/// The system's, and where it is no array, or its header is longer or more nested than any array's.
pub fn open_array<R: Read>(mut reader: R) -> io::Result<NpyArray<R>> {
    let mut header = Vec::new();
    let mut read_up_to = |length: usize, header: &mut Vec<u8>| {
        let more = length.saturating_sub(header.len()) as u64;
        reader.by_ref().take(more).read_to_end(header)
    };
    // A magic number, the version, and the length of the text: two bytes in version 1, then four.
    read_up_to(10, &mut header)?;
    if header.len() == 10 {
        let prefix = if header[6] == 1 { 10 } else { 12 };
        read_up_to(prefix, &mut header)?;
        let length = header[8..].iter().rev();
        let length = length.fold(0, |length, &byte| length << 8 | usize::from(byte));
        if length > MAX_HEADER {
            return Err(invalid(format!("its header has {length} bytes")));
        }
        read_up_to(prefix + length, &mut header)?;
        let mut depth = 0usize;
        for byte in &header[prefix.min(header.len())..] {
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(invalid(format!(
                    "its header has brackets more than {MAX_DEPTH} deep"
                )));
            }
        }
    }
    NpyFile::new(Cursor::new(header).chain(reader))
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

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
            Ok(file) => open_array(BufReader::with_capacity(BUFFER, file)).map(Some),
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
    fn a_header_that_no_array_has_is_refused_before_it_is_read() {
        let array = |version: u8, length: [u8; 4], text: &[u8]| {
            let length = &length[..if version == 1 { 2 } else { 4 }];
            let bytes = [&b"\x93NUMPY"[..], &[version, 0], length, text].concat();
            open_array(&bytes[..]).err().map(|error| error.to_string())
        };
        let why = array(2, [0, 0, 0, 255], b"").unwrap();
        assert!(why.contains("4278190080 bytes"), "{why}");
        let nested = [vec![b'('; 9000], vec![b')'; 9000]].concat();
        let why = array(1, [0x28, 0x23, 0, 0], &nested).unwrap();
        assert!(why.contains("deep"), "{why}");
        for end in 0..12 {
            assert!(open_array(&b"\x93NUMPY\x02\0\x20\0\0\0"[..end]).is_err());
        }
        let text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
        assert_eq!(array(1, [text.len() as u8, 0, 0, 0], text), None);
        assert_eq!(array(3, [text.len() as u8, 0, 0, 0], text), None);
    }

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
