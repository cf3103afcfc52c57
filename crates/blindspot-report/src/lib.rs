//! How results look: tables, plots, pictures and pages, made of numbers and nothing else.
//!
//! A [`Table`] is built once, then shown in the terminal, as CSV, as Markdown and in a page.
//! Plots are SVG ([`curves_plot`], [`spectrum_plot`], [`certificate_plot`], [`robust_accuracy`], [`heat_map`],
//! [`histogram`], [`distributions`], [`rotation`]), pictures PNG ([`picture_png`], [`sheet_png`],
//! [`filters_png`]), and pages are one file of HTML each ([`attack_page`], [`certify_page`],
//! [`transfer_page`], [`spectrum_page`], [`units_page`], [`universal_page`], any other by [`study_page`]). Functions
//! give text or bytes; [`write()`] writes a list of [`Artifact`]s into a folder.
//!
//! ```
//! use blindspot_report::{Cell, Table};
//!
//! let table = Table {
//!     title: "Errors".into(),
//!     note: "Of ten images.".into(),
//!     heads: vec!["model".into(), "error".into()],
//!     // The second number is a reference to hold the first against, the paper's.
//!     rows: vec![vec![Cell::Text("mine".into()), Cell::Rate(0.3, Some(0.25))]],
//! };
//! assert_eq!(table.csv(), "model,error,error (paper)\nmine,0.3,0.25\n");
//! assert!(table.text().contains("mine   30.0% (25.0%)"));
//! ```

mod artifact;
mod attack;
mod axes;
mod axis;
mod certify;
mod changes;
mod colours;
mod embedded;
mod gallery;
mod heat_map;
mod histogram;
mod names;
mod page;
mod picture;
mod plot;
mod saved;
mod signal;
mod spectrum;
mod steps;
mod svg;
mod table;
mod transfer;
mod units;
mod universal;

use blindspot::ErrorKind;
use blindspot::picture::Picture;
use blindspot::run::journal::JournalError;
use blindspot_data::files::FileError;

pub use artifact::{Artifact, write};
pub use attack::{AttackPage, attack_page, robust_accuracy};
pub use certify::{brackets_plot, certify_page, write_certified};
pub use changes::{TableChanges, table_changes};
pub use colours::COLOURS;
pub use heat_map::heat_map;
pub use histogram::histogram;
pub use names::{file_name, file_names, plain};
pub use page::{Made, Section, StudyPage, study_page};
pub use plot::{Curve, certificate_plot, curves_plot, spectrum_plot};
pub use saved::{SavedImages, save_images};
pub use spectrum::{
    SPECTRUM_HEADS, SPECTRUM_NOTE, SpectrumIdentity, SpectrumRecord, spectrum_files, spectrum_page,
    spectrum_row, spectrum_table,
};
pub use table::{Cell, Table, digits};
pub use transfer::{TransferRecord, transfer_files, transfer_matrix, transfer_page};
pub use units::{
    RowHtml, distributions, picture_rows_html, rotation, rows_drawing, units_drawing, units_files,
    units_page,
};
pub use universal::{UniversalPage, universal_page};

/// Why a report can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file can't be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// What it is made of can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Images can't be read any more from where they are kept.
    #[error("the images can't be read any more: {0}")]
    Kept(std::io::Error),
    /// No PNG holds such images.
    #[error("{0}")]
    Shape(String),
    /// The record can't be put together.
    #[error("the record can't be put together: {0}")]
    Record(#[from] serde_json::Error),
    /// The page can't be put together.
    #[error("the page can't be put together: {0}")]
    Page(#[from] askama::Error),
}

impl ReportError {
    /// What the error is about: [`ErrorKind::Output`] where a file can't be written.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ReportError::File(_) => ErrorKind::Output,
            ReportError::Journal(error) => error.kind(),
            ReportError::Shape(_) => ErrorKind::Usage,
            ReportError::Kept(_) | ReportError::Record(_) | ReportError::Page(_) => {
                ErrorKind::Other
            }
        }
    }
}

/// A picture as the bytes of a PNG file, each value a pixel.
pub fn picture_png(picture: &Picture) -> Vec<u8> {
    picture::png(&picture::plain(picture))
}

/// Rows of groups of pictures as the bytes of a PNG file; those of a group stand close.
pub fn sheet_png(rows: &[Vec<Vec<Picture>>]) -> Vec<u8> {
    picture::png(&picture::sheet(rows))
}

/// Filters as the bytes of a PNG file, in rows of 25, each scaled to its own largest weight.
pub fn filters_png(filters: &[Picture]) -> Vec<u8> {
    picture::png(&picture::filters(filters))
}
