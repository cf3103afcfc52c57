//! Files to be written together.

use std::path::{Path, PathBuf};

use blindspot_data::files::write_atomically;

use crate::{ReportError, Table};

/// A file of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its name in the report's folder.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl Artifact {
    /// A table as comma-separated values (`NAME.csv`) and as Markdown (`NAME.md`).
    pub fn of_table(name: &str, table: &Table) -> [Artifact; 2] {
        let forms = [("csv", table.csv()), ("md", table.markdown())];
        forms.map(|(extension, text)| Artifact {
            name: format!("{name}.{extension}"),
            bytes: text.into_bytes(),
        })
    }
}

/// Writes files into the folder `dir`, each whole or not at all; gives where they are.
///
/// # Errors
/// [`ReportError::File`] if one can't be written; those before it are there then.
pub fn write(dir: &Path, artifacts: &[Artifact]) -> Result<Vec<PathBuf>, ReportError> {
    let write = |artifact: &Artifact| {
        let path = dir.join(&artifact.name);
        write_atomically(&path, |writer| writer.write_all(&artifact.bytes))?;
        Ok(path)
    };
    artifacts.iter().map(write).collect()
}
