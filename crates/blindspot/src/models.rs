//! Trained networks as ONNX files, with what each was made by.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blindspot_data::ImageSet;
use blindspot_data::files::{self, FileError};
use blindspot_net::{Network, onnx};

use crate::monitor::Monitor;
use crate::results::ModelRecord;
use crate::train::{Recipe, TrainError, Trained, train};

/// What a network was made by, as it is kept in its file: recipe, seed, data, version.
fn made_by(recipe: &Recipe, images: &ImageSet, seed: u64) -> BTreeMap<String, String> {
    BTreeMap::from([
        (
            "recipe".into(),
            serde_json::to_string(recipe).expect("a recipe is plain data"),
        ),
        ("seed".into(), seed.to_string()),
        ("data".into(), data_of(images)),
        ("images".into(), images.len().to_string()),
        ("blindspot".into(), env!("CARGO_PKG_VERSION").to_owned()),
    ])
}

/// The hashes of a set's files, and of the choice of images where it is not the first ones.
fn data_of(images: &ImageSet) -> String {
    let mut hashes: Vec<String> = images
        .hashes()
        .iter()
        .map(|(_, hash)| hash.clone())
        .collect();
    if images
        .indices()
        .iter()
        .enumerate()
        .any(|(position, &index)| position != index)
    {
        let indices = images.indices().iter();
        let bytes: Vec<u8> = indices
            .flat_map(|&index| (index as u64).to_le_bytes())
            .collect();
        hashes.push(files::sha256_hex(&bytes));
    }
    hashes.join(" ")
}

/// Trains the network of `recipe` and writes it to `path`. A checkpoint is kept beside it
/// meanwhile: stopped, the same call goes on from there and ends with the same bits.
///
/// # Errors
/// [`TrainError`].
pub fn train_and_save(
    recipe: &Recipe,
    images: &ImageSet,
    seed: u64,
    path: &Path,
    monitor: &dyn Monitor,
) -> Result<Trained, TrainError> {
    let Some(labels) = images.labels() else {
        return Err(TrainError::Data(format!("{} has no labels", images.name())));
    };
    let mut facts = made_by(recipe, images, seed);
    let mut checkpoint = PathBuf::from(path);
    checkpoint.set_extension("checkpoint");
    let data = facts["data"].clone();
    let trained = train(
        recipe,
        images,
        labels,
        &data,
        seed,
        Some(&checkpoint),
        monitor,
    )?;
    facts.insert("name".into(), recipe.name.clone());
    facts.insert("iterations".into(), trained.iterations.to_string());
    facts.insert("stopped".into(), trained.stopped.clone());
    // Rust prints the shortest decimal that reads back as the same number.
    facts.insert("loss".into(), trained.loss.to_string());
    let bytes = onnx::write(&trained.network, &facts);
    files::write_atomically(path, |writer| writer.write_all(&bytes))?;
    Ok(trained)
}

/// The network of `recipe` in the file `folder/NAME.onnx`, trained now if it isn't there yet, and
/// its record. A file made by another recipe, seed, version or set of images is replaced.
///
/// # Errors
/// [`TrainError`].
pub(crate) fn kept_or_trained(
    recipe: &Recipe,
    images: &ImageSet,
    seed: u64,
    folder: &Path,
    monitor: &dyn Monitor,
) -> Result<(Network<f32>, ModelRecord), TrainError> {
    let path = folder.join(format!("{}.onnx", recipe.name));
    let made_by = made_by(recipe, images, seed);
    let kept = read(&path).ok().filter(|(model, _)| {
        made_by
            .iter()
            .all(|(key, value)| model.metadata.get(key) == Some(value))
    });
    let (model, sha256) = match kept {
        Some(kept) => kept,
        None => {
            train_and_save(recipe, images, seed, &path, monitor)?;
            read(&path)?
        }
    };
    let fact = |key: &str| model.metadata.get(key).map_or("", String::as_str);
    let record = ModelRecord {
        name: recipe.name.clone(),
        file: format!("models/{}.onnx", recipe.name),
        sha256,
        decay: recipe.lambda.clone(),
        iterations: fact("iterations").parse().unwrap_or(0),
        stopped: fact("stopped").to_owned(),
        loss: fact("loss").parse().unwrap_or(f64::NAN),
    };
    Ok((model.network, record))
}

/// A model file and its hash.
fn read(path: &Path) -> Result<(onnx::Model, String), FileError> {
    let bytes = files::read_limited(path, onnx::MAX_BYTES)?;
    let model = onnx::read(&bytes).map_err(|error| FileError {
        action: "read",
        path: path.to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok((model, files::sha256_hex(&bytes)))
}
