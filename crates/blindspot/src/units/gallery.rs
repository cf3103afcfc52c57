//! Rows of pictures, as in the paper's figures 1 to 4.

use std::ops::Range;

use blindspot_data::ImageSet;
use blindspot_net::Network;

use super::{Extremes, Found, Layer, Survey, receptive_field};
use crate::results::Picture;

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
    /// Those with the smallest ones.
    pub lowest: Vec<Shown>,
    /// True where all images have the same projection, so that none leads.
    pub constant: bool,
    /// True where the last image was chosen by its order among images of the same projection.
    pub tied: bool,
}

/// A row for each unit, random direction and principal component of a survey, in this order.
pub fn picture_rows(
    network: &Network<f32>,
    images: &ImageSet,
    layer: &Layer,
    survey: &Survey,
    reduced_by_mean: bool,
) -> Vec<PictureRow> {
    let shown = |extremes: &Extremes| {
        let entries = extremes.images.iter().zip(&extremes.activations);
        let entries = entries.zip(&extremes.positions);
        let shown = |((&image, &activation), &position): ((&usize, &f32), &usize)| {
            let mut values = vec![0.0; images.image_len()];
            images.write_image(image, &mut values);
            let [_, height, width] = images.shape();
            let field = match reduced_by_mean {
                true => None,
                false => receptive_field(network, layer, position),
            };
            Shown {
                picture: Picture {
                    width,
                    height,
                    values,
                },
                image: Some(images.indices()[image]),
                class: class(images, image),
                activation,
                field,
            }
        };
        entries.map(shown).collect()
    };
    let row = |title: String, found: &Found| PictureRow {
        title,
        top: shown(&found.top),
        lowest: shown(&found.lowest),
        constant: found.is_constant(),
        tied: found.top.tied,
    };
    let units = survey.units.iter();
    let units = units.map(|(unit, found)| row(format!("unit {unit}"), found));
    let directions = survey.directions.iter().enumerate();
    let directions = directions.map(|(i, seen)| row(format!("random direction {i}"), &seen.found));
    let components = survey.components.iter().enumerate().map(|(i, seen)| {
        let share = 100.0 * seen.variance.unwrap_or(0.0);
        let title = format!("principal component {i} ({share:.1}% of the variance)");
        row(title, &seen.found)
    });
    units.chain(directions).chain(components).collect()
}

/// The class of an image: its name where there is one.
fn class(images: &ImageSet, image: usize) -> Option<String> {
    let label = images.labels()?[image];
    let name = images.classes().and_then(|names| names.get(label));
    Some(name.map_or_else(|| label.to_string(), Clone::clone))
}
