//! Arrays in NumPy's archives, written and read as they come: no array is held in memory.

use std::io::{self, Read, Seek};

use blindspot_data::files::Sink;
use npyz::{NpyFile, WriterBuilder};
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::write::FileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// An archive that is being written.
pub(crate) struct Npz<'w> {
    archive: ZipWriter<&'w mut dyn Sink>,
}

impl<'w> Npz<'w> {
    pub(crate) fn new(sink: &'w mut dyn Sink) -> Self {
        Npz {
            archive: ZipWriter::new(sink),
        }
    }

    /// Adds an array of the shape `shape`, its values in C's order.
    pub(crate) fn add<T: npyz::AutoSerialize>(
        &mut self,
        name: &str,
        shape: &[u64],
        values: impl Iterator<Item = io::Result<T>>,
    ) -> io::Result<()> {
        let bytes = shape.iter().product::<u64>() * size_of::<T>() as u64;
        // As NumPy's own `savez`: images hardly shrink, and deflating them takes longer than the search.
        let options = FileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(bytes > u64::from(u32::MAX) / 2)
            // The clock has no place in a file that the same seed must give again.
            .last_modified_time(DateTime::default());
        self.archive.start_file(file_name(name), options)?;
        let mut writer = npyz::WriteOptions::new()
            .default_dtype()
            .shape(shape)
            .writer(&mut self.archive)
            .begin_nd()?;
        for value in values {
            writer.push(&value?)?;
        }
        writer.finish()
    }

    /// Writes the archive's table.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.archive.finish()?;
        Ok(())
    }
}

fn file_name(array: &str) -> String {
    format!("{array}.npy")
}

/// An archive that is being read.
pub(crate) struct Arrays<R> {
    archive: ZipArchive<R>,
}

impl<R: Read + Seek> Arrays<R> {
    pub(crate) fn new(reader: R) -> io::Result<Self> {
        let archive = ZipArchive::new(reader)?;
        Ok(Arrays { archive })
    }

    /// The names of its arrays.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.archive.file_names();
        let arrays = names.filter_map(|name| name.strip_suffix(".npy"));
        arrays.map(str::to_owned).collect()
    }

    /// An array; `None` where there is none of this name.
    pub(crate) fn by_name(&mut self, name: &str) -> io::Result<Option<NpyFile<ZipFile<'_>>>> {
        match self.archive.by_name(&file_name(name)) {
            Ok(file) => NpyFile::new(file).map(Some),
            Err(ZipError::FileNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
