//! Arrays in NumPy's archives, written as they come: no array is held in memory.

use std::io;

use blindspot_data::files::Sink;
use npyz::WriterBuilder;
use npyz::npz::NpzWriter;

/// An archive that is being written.
pub(crate) struct Npz<'w> {
    archive: NpzWriter<&'w mut dyn Sink>,
}

impl<'w> Npz<'w> {
    pub(crate) fn new(sink: &'w mut dyn Sink) -> Self {
        Npz {
            archive: NpzWriter::new(sink),
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
        let options = npyz::zip::write::FileOptions::default()
            .compression_method(npyz::zip::CompressionMethod::Stored)
            .large_file(bytes > u64::from(u32::MAX) / 2)
            // The clock has no place in a file that the same seed must give again.
            .last_modified_time(npyz::zip::DateTime::default());
        let mut writer = self
            .archive
            .array(name, options)?
            .default_dtype()
            .shape(shape)
            .begin_nd()?;
        for value in values {
            writer.push(&value?)?;
        }
        writer.finish()
    }

    /// Writes the archive's table.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.archive
            .zip_writer()
            .finish()
            .map_err(io::Error::other)?;
        Ok(())
    }
}
