//! Pictures with captions as a part of a page.

use askama::Template;

/// A picture as a page shows it.
pub(crate) struct Cell {
    /// A data address.
    pub(crate) image: String,
    /// Shown larger than its pixels, without smoothing.
    pub(crate) small: bool,
    pub(crate) caption: String,
    pub(crate) alt: String,
}

#[derive(Template)]
#[template(path = "pictures.html")]
struct Gallery<'a> {
    cells: &'a [Cell],
}

/// Pictures side by side, an element of HTML that is XML, too.
pub(crate) fn gallery(cells: &[Cell]) -> String {
    let html = Gallery { cells }.render();
    html.expect("memory takes it")
}
