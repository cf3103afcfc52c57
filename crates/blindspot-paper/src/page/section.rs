//! What the page shows of an experiment besides its tables.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blindspot_report::RowHtml;

/// A section of the page.
pub(crate) enum Section {
    /// Figures 1 to 4: a row of pictures for each unit or direction.
    Rows {
        title: &'static str,
        /// What the pictures are of.
        caption: String,
        rows: Vec<RowHtml>,
        /// What the study of the layer answers; empty for nothing.
        answer: String,
    },
    /// Pictures with captions.
    Figures {
        title: &'static str,
        figures: Vec<Figure>,
    },
}

/// A picture and what is said below it.
pub(crate) struct Figure {
    /// The picture as a data address.
    pub(crate) image: String,
    /// What is to be seen, for those who don't see it.
    pub(crate) alt: &'static str,
    pub(crate) captions: Vec<String>,
}

impl Figure {
    /// One whose picture is these bytes of a PNG file.
    pub(crate) fn of_png(png: &[u8], alt: &'static str, captions: Vec<String>) -> Figure {
        Figure {
            image: data_address(png),
            alt,
            captions,
        }
    }
}

/// The bytes of a PNG file as an address that pages can hold.
pub(crate) fn data_address(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}
