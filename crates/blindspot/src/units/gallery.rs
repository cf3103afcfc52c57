//! Rows of pictures, as in the paper's figures 1 to 4.

use std::ops::Range;

use blindspot_data::ImageSet;
use blindspot_net::Network;

use super::{Extremes, Found, Layer, Reduction, Survey, Synthesis, receptive_field};
use crate::inputs::{InputError, Inputs};
use crate::picture::Picture;

/// A picture in a row, and what is said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// The picture.
    pub picture: Picture,
    /// Its place in the data set; None of an image that was made.
    pub image: Option<usize>,
    /// Its class, by name or number.
    pub class: Option<String>,
    /// Its projection.
    pub activation: f32,
    /// The rows and columns that the projection's position sees, where that is not the whole image.
    pub field: Option<[Range<usize>; 2]>,
}

/// The pictures of a unit or direction.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureRow {
    /// What it is: `unit 3`, `random direction 1`.
    pub title: String,
    /// The images with the largest projections.
    pub top: Vec<Shown>,
    /// The image that was made for it, where one was.
    pub made: Option<Shown>,
    /// The images with the smallest projections.
    pub lowest: Vec<Shown>,
    /// True where all images have the same projection, so that none leads.
    pub constant: bool,
    /// True where the last image was chosen by its order among images of the same projection.
    pub tied: bool,
}

/// Pictures in a row at most, and bytes of all.
const TOP: usize = 40;
const MEMORY: usize = 1 << 30;

/// A row for each unit, random direction and principal component of a survey, in this order (of
/// very many, the first ones of each kind that fit in memory; at most 40 pictures each way); with the
/// images `made` for them in the same order, if any were.
///
/// # Errors
/// [`InputError`] where an image can't be read.
pub fn picture_rows(
    network: &Network<f32>,
    images: &ImageSet,
    layer: &Layer,
    survey: &Survey,
    reduce: Reduction,
    made: &[Option<Synthesis>],
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
    let shown = |extremes: &Extremes| {
        let entries = extremes.images.iter().zip(&extremes.activations);
        let entries = entries.zip(&extremes.positions);
        let shown = |((&image, &activation), &position): ((&usize, &f32), &usize)| {
            let mut values = vec![0.0; images.image_len()];
            images.read(image, &mut values)?;
            Ok(Shown {
                picture: picture(values),
                image: Some(images.indices()[image]),
                class: class(images, image),
                activation,
                field: field(position),
            })
        };
        entries
            .take(TOP)
            .map(shown)
            .collect::<Result<Vec<Shown>, InputError>>()
    };
    let units = survey.units.iter();
    let units = units.map(|(unit, found)| (format!("unit {unit}"), found));
    let directions = survey.directions.iter().enumerate();
    let directions = directions.map(|(i, seen)| (format!("random direction {i}"), &seen.found));
    let components = survey.components.iter().enumerate().map(|(i, seen)| {
        let share = 100.0 * seen.variance.unwrap_or(0.0);
        let title = format!("principal component {i} ({share:.1}% of the variance)");
        (title, &seen.found)
    });
    let mut made = made.iter();
    let mut rows = Vec::new();
    let kinds: [Vec<(String, &Found)>; 3] =
        [units.collect(), directions.collect(), components.collect()];
    for kind in kinds {
        for (place, (title, found)) in kind.into_iter().enumerate() {
            let made = made.next().and_then(Option::as_ref);
            let pictures = 2 * found.top.images.len().min(TOP);
            let bytes = pictures * size_of::<f32>() * images.image_len();
            if place > MEMORY / 3 / bytes {
                continue;
            }
            rows.push(PictureRow {
                title,
                top: shown(&found.top)?,
                made: made.map(|made| Shown {
                    picture: picture(made.image.clone()),
                    image: None,
                    class: None,
                    activation: made.activation,
                    field: field(made.position),
                }),
                lowest: shown(&found.lowest)?,
                constant: found.is_constant(),
                tied: found.top.tied,
            });
        }
    }
    Ok(rows)
}

/// The class of an image: its name where there is one.
fn class(images: &ImageSet, image: usize) -> Option<String> {
    let label = images.labels()?[image];
    let name = images.classes().and_then(|names| names.get(label));
    Some(name.map_or_else(|| label.to_string(), Clone::clone))
}
