//! Rows of pictures, as in the paper's figures 1 to 4.

use std::ops::Range;

use blindspot_data::ImageSet;
use blindspot_model::inputs::{InputError, Inputs};
use blindspot_net::Network;

use super::{Layer, LayerReport, RankedImages, Reduction, Synthesis, TopImages, receptive_field};
use crate::picture::Picture;

/// A picture in a row, with its caption's facts.
#[derive(Debug, Clone, PartialEq)]
pub struct RowPicture {
    /// The picture.
    pub picture: Picture,
    /// The image's index in the data set; None for a synthesised image.
    pub image: Option<usize>,
    /// The image's class, by name or number.
    pub class: Option<String>,
    /// The image's projection.
    pub activation: f32,
    /// Rows and columns of the receptive field of the projection's position; None if that is the whole
    /// image.
    pub field: Option<[Range<usize>; 2]>,
}

/// The pictures of a unit or direction.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureRow {
    /// The unit or direction: `unit 3`, `random direction 1`.
    pub title: String,
    /// The images with the largest projections; none if all have the same.
    pub top: Vec<RowPicture>,
    /// The image synthesised for the unit or direction, if any.
    pub synthesised: Option<RowPicture>,
    /// Whether there is no such image because the projection had no gradient on the way to it.
    pub no_gradient: bool,
    /// The images with the smallest projections; none if all have the same.
    pub lowest: Vec<RowPicture>,
    /// The projection of all images, if they have the same, so that none leads; None otherwise.
    pub constant: Option<f32>,
    /// Number of top images that lead: only their indices decided between those after them and images
    /// that are not shown.
    pub leading: usize,
    /// Whether the last image was chosen by its index among images of the same projection.
    pub tied: bool,
}

impl PictureRow {
    /// The title without what it says in brackets.
    pub fn name(&self) -> &str {
        self.title.split(" (").next().unwrap_or_default()
    }

    /// The name of the file for its synthesised image: `unit-3.png`.
    pub fn file(&self) -> String {
        format!("{}.png", self.name().replace(' ', "-"))
    }
}

/// Largest number of top, or of lowest, pictures in a row.
const MAX_ROW_PICTURES: usize = 40;
/// Memory for all pictures, in bytes.
const MAX_PICTURE_BYTES: usize = 1 << 30;

/// A row for each unit, random direction and principal component of a report, in this order. If there
/// are very many, each kind has as many rows as fit in memory. A row has at most 40 top and 40 lowest
/// pictures. `synthesised` has the synthesised images in the report's order, or is empty.
///
/// # Errors
/// [`InputError`] if an image can't be read.
pub fn picture_rows(
    network: &Network<f32>,
    images: &ImageSet,
    layer: &Layer,
    report: &LayerReport,
    reduce: Reduction,
    synthesised: &[Option<Synthesis>],
) -> Result<Vec<PictureRow>, InputError> {
    let [_, height, width] = images.shape();
    let picture = |values| Picture {
        width,
        height,
        values,
    };
    let field = |position| match reduce {
        Reduction::Mean => None,
        Reduction::Max => receptive_field(network, layer, position),
    };
    let shown = |ranked: &RankedImages| {
        let entries = ranked.images.iter().zip(&ranked.activations);
        let entries = entries.zip(&ranked.positions);
        let shown = |((&image, &activation), &position): ((&usize, &f32), &usize)| {
            let mut values = vec![0.0; images.image_len()];
            images.read(image, &mut values)?;
            Ok(RowPicture {
                picture: picture(values),
                image: Some(images.indices()[image]),
                class: class(images, image),
                activation,
                field: field(position),
            })
        };
        let pictures: Result<Vec<RowPicture>, InputError> =
            entries.take(MAX_ROW_PICTURES).map(shown).collect();
        pictures
    };
    let units = report.units.iter();
    let units = units.map(|unit| (format!("unit {}", unit.unit), &unit.found));
    let directions = report.directions.iter().enumerate();
    let directions =
        directions.map(|(i, direction)| (format!("random direction {i}"), &direction.found));
    let components = report.components.iter().enumerate().map(|(i, component)| {
        let percent = 100.0 * component.variance.unwrap_or(0.0);
        let title = format!("principal component {i} ({percent:.1}% of the variance)");
        (title, &component.found)
    });
    let mut synthesised = synthesised.iter();
    let mut rows = Vec::new();
    let kinds: [Vec<(String, &TopImages)>; 3] =
        [units.collect(), directions.collect(), components.collect()];
    for kind in kinds {
        for (place, (title, found)) in kind.into_iter().enumerate() {
            let synthesised = synthesised.next().and_then(Option::as_ref);
            let no_gradient = synthesised.is_some_and(|synthesis| synthesis.no_gradient);
            let synthesised = synthesised.filter(|synthesis| !synthesis.no_gradient);
            let leads = |ranked: &RankedImages| match found.constant() {
                Some(_) => Ok(Vec::new()),
                None => shown(ranked),
            };
            let pictures = 2 * found.top.images.len().min(MAX_ROW_PICTURES);
            let bytes = pictures * size_of::<f32>() * images.image_len();
            if place > MAX_PICTURE_BYTES / 3 / bytes {
                continue;
            }
            rows.push(PictureRow {
                title,
                top: leads(&found.top)?,
                synthesised: synthesised.map(|synthesis| RowPicture {
                    picture: picture(synthesis.image.clone()),
                    image: None,
                    class: None,
                    activation: synthesis.activation,
                    field: field(synthesis.position),
                }),
                no_gradient,
                lowest: leads(&found.lowest)?,
                constant: found.constant(),
                leading: found.leading(),
                tied: found.top.tied,
            });
        }
    }
    Ok(rows)
}

/// The class of an image, by its name if it has one, else by its number.
fn class(images: &ImageSet, image: usize) -> Option<String> {
    let label = images.labels()?[image];
    let name = images.classes().and_then(|names| names.get(label));
    Some(name.map_or_else(|| label.to_string(), Clone::clone))
}
