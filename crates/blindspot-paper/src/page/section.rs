//! What the page shows of an experiment besides its tables, as HTML that is XML, too.

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blindspot_report::{RowHtml, Section, histogram};

/// Memory takes templates of any size.
const RENDERED: &str = "memory takes it";

/// A picture and what is said above and below it.
pub(crate) struct Figure {
    /// What stands above it; empty for nothing.
    title: String,
    /// The picture as a data address.
    image: String,
    /// Whether its pixels are shown as squares.
    pixels: bool,
    /// What is to be seen, for those who don't see it.
    alt: String,
    captions: Vec<String>,
}

impl Figure {
    /// One whose picture is these bytes of a PNG file: of small images, whose pixels are shown as squares.
    pub(crate) fn of_small(png: &[u8], alt: &str, captions: Vec<String>) -> Figure {
        Figure {
            pixels: true,
            ..Figure::of_large(png, alt, captions)
        }
    }

    /// One whose picture is these bytes of a PNG file: of photographs and the like.
    pub(crate) fn of_large(png: &[u8], alt: &str, captions: Vec<String>) -> Figure {
        Figure {
            title: String::new(),
            image: format!("data:image/png;base64,{}", STANDARD.encode(png)),
            pixels: false,
            alt: alt.to_owned(),
            captions,
        }
    }

    /// With this above it.
    pub(crate) fn titled(self, title: &str) -> Figure {
        Figure {
            title: title.to_owned(),
            ..self
        }
    }
}

#[derive(Template)]
#[template(path = "figures.html")]
struct Figures<'a> {
    figures: &'a [Figure],
}

/// Pictures with captions.
pub(crate) fn of_figures(id: &str, title: &str, figures: &[Figure]) -> Section {
    Section {
        figures: vec![Figures { figures }.render().expect(RENDERED)],
        ..empty(id, title)
    }
}

#[derive(Template)]
#[template(path = "rows.html")]
struct Rows<'a> {
    rows: &'a [RowHtml],
}

/// A row of pictures for each unit or direction.
pub(crate) fn of_rows(id: &str, title: &str, notes: Vec<String>, rows: &[RowHtml]) -> Section {
    Section {
        notes,
        figures: vec![Rows { rows }.render().expect(RENDERED)],
        ..empty(id, title)
    }
}

/// The distortions of one model's images.
struct Histogram<'a> {
    model: &'a str,
    count: usize,
    svg: String,
}

#[derive(Template)]
#[template(path = "histograms.html")]
struct Histograms<'a> {
    histograms: Vec<Histogram<'a>>,
}

/// The distortions of the images of each model, by its name, as histograms.
pub(crate) fn of_distortions(distortions: &[(String, Vec<f64>)]) -> Section {
    let largest = |values: &[f64]| {
        let finite = values.iter().copied().filter(|value| value.is_finite());
        finite.fold(0.0, f64::max)
    };
    // One scale for all, so that they can be compared.
    let scale = distortions.iter().map(|(_, values)| largest(values));
    let scale = scale.fold(0.0, f64::max);
    let histograms = distortions.iter().map(|(model, values)| Histogram {
        model,
        count: values.len(),
        svg: histogram(model, values, scale),
    });
    let histograms = Histograms {
        histograms: histograms.collect(),
    };
    let note = "Images by the distortion that they need, on one scale; those already wrong need 0.";
    Section {
        notes: vec![note.into()],
        figures: vec![histograms.render().expect(RENDERED)],
        ..empty("distortions", "Distortion by model")
    }
}

/// A section without content.
pub(crate) fn empty(id: &str, title: &str) -> Section {
    Section {
        id: id.to_owned(),
        title: title.to_owned(),
        ..Section::default()
    }
}
