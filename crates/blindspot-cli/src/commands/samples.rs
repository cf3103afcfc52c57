//! `blindspot data fetch samples`: a small real model, and images to try it on.

use std::path::PathBuf;

use anyhow::Context;
use blindspot_data::{ImageSet, files, png};
use blindspot_paper::Session;
use blindspot_paper::models::train_and_save;
use blindspot_paper::train::Recipe;

use super::load;
use crate::args::{Common, Fetch};
use crate::errors::Exists;
use crate::progress::Progress;

/// The network that is trained, and for how many iterations: 97% of the digits are right then.
const NETWORK: &str = "FC100-100-10";
const ITERATIONS: usize = 100;
/// Images of each class.
const EACH: usize = 10;

/// Trains a network of the paper, and writes some of MNIST's test images as files in a folder for each class; gives the
/// paths of both. The same seed as everywhere: what comes out has the same bits on each machine of a kind.
pub(super) fn make(
    command: &Fetch,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<Vec<PathBuf>> {
    let (folder, overwrite) = (&command.out, command.replace.overwrite);
    let model = folder.join("digits.onnx");
    let images = chosen(&load::set("mnist:test", common, progress)?)?;
    for (path, bytes) in &images {
        let path = folder.join(path);
        let other = path.exists() && std::fs::read(&path).ok().as_ref() != Some(bytes);
        if other && !overwrite {
            let why = "it is none of the samples".into();
            return Err(Exists { path, why }.into());
        }
    }
    let recipe = Recipe::named(NETWORK)?.with_iterations(ITERATIONS);
    let session = Session::new(0)
        .with_monitor(progress)
        .with_overwrite(overwrite);
    files::check_writable(&model)?;
    train_and_save(
        &recipe,
        &load::set("mnist:train", common, progress)?,
        &model,
        &session,
    )?;
    for (path, bytes) in &images {
        let path = folder.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{}: the folder can't be made", folder.display()))?;
        }
        files::write_atomically(&path, |writer| writer.write_all(bytes))?;
    }
    Ok(vec![model, folder.join(DIGITS)])
}

/// The folder of the images.
const DIGITS: &str = "digits";

/// The first images of each class, as PNG under `digits/CLASS/PLACE.png`.
fn chosen(images: &ImageSet) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let labels = images.labels().unwrap_or_default();
    let mut taken = vec![0; 1 + labels.iter().max().copied().unwrap_or(0)];
    let mut values = vec![0.0; images.image_len()];
    let mut found = Vec::new();
    for (place, &label) in labels.iter().enumerate() {
        if taken[label] == EACH {
            continue;
        }
        taken[label] += 1;
        images.read_image(place, &mut values)?;
        let levels: Vec<u8> = values
            .iter()
            .map(|value| (255.0 * value).round() as u8)
            .collect();
        let bytes = png(&levels, images.shape()).map_err(anyhow::Error::msg)?;
        found.push((format!("{DIGITS}/{label}/{place:04}.png").into(), bytes));
    }
    Ok(found)
}
