//! Trained networks as ONNX files, with what each was made by.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blindspot_data::ImageSet;
use blindspot_data::files::{self, FileError};
use blindspot_net::{Network, onnx};
use serde::Serialize;

use crate::harden::{HardenError, Plan, PoolCount, harden};
use crate::results::ModelRecord;
use crate::session::{LabelledData, Session};
use crate::train::{Recipe, TrainError, Trained, train};
use blindspot::run::communicator::broadcast;

/// What a network was made by, as it is kept in its file: recipe or plan, seed, data, version.
pub(crate) fn made_by(
    (what, how): (&str, &impl Serialize),
    images: &ImageSet,
    seed: u64,
) -> BTreeMap<String, String> {
    let how = serde_json::to_string(how).expect("recipes and plans are plain data");
    BTreeMap::from([
        (what.into(), how),
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

/// Trains the network of `recipe` and writes it to `path`; of several ranks, the root does. A
/// checkpoint is kept beside it meanwhile, whatever the session says: stopped, the same call resumes from
/// there and ends with the same bits, also on another number of ranks.
///
/// # Errors
/// [`TrainError`].
pub fn train_and_save(
    recipe: &Recipe,
    images: &ImageSet,
    path: &Path,
    session: &Session<'_>,
) -> Result<Trained, TrainError> {
    let facts = made_by(("recipe", recipe), images, session.seed);
    let data = LabelledData::new(images, labels(images)?).with_hash(&facts["data"]);
    let checkpoint = checkpoint_beside(path);
    let session = session.with_checkpoint(&checkpoint);
    refuse_other(path, &facts, &session)?;
    let trained = train(recipe, &data, &session)?;
    if session.ranks.is_root() {
        save(&recipe.name, &trained, facts, path)?;
    }
    session.remove_checkpoint()?;
    Ok(trained)
}

/// Trains the network of `recipe` from its start by mini-batches, as planned, and writes it to
/// `path`; gives it, and what the making of its pools has taken. A checkpoint is kept beside it meanwhile,
/// as [`train_and_save`] does.
///
/// # Errors
/// [`HardenError`]; [`TrainError::Options`] for a recipe with an autoencoder, whose hidden layer is
/// trained by itself.
pub fn harden_and_save(
    recipe: &Recipe,
    plan: &Plan,
    images: &ImageSet,
    path: &Path,
    session: &Session<'_>,
) -> Result<(Trained, Vec<PoolCount>), HardenError> {
    if recipe.sparsity().is_some() {
        let name = &recipe.name;
        let why = format!("the hidden layer of {name} is trained by itself; choose another model");
        return Err(TrainError::Options(why).into());
    }
    let mut facts = made_by(("plan", plan), images, session.seed);
    facts.insert("layers".into(), format!("{:?}", recipe.hidden()));
    let data = LabelledData::new(images, labels(images)?).with_hash(&facts["data"]);
    let start = recipe.start(images.image_len(), data.classes(), session.seed);
    let checkpoint = checkpoint_beside(path);
    let session = session.with_checkpoint(&checkpoint);
    refuse_other(path, &facts, &session)?;
    let (trained, counts) = harden(start, &data, plan, &recipe.name, &session)?;
    let pools = serde_json::to_string(&counts).expect("counts are plain data");
    facts.insert("pools".into(), pools);
    save(&recipe.name, &trained, facts, path).map_err(TrainError::from)?;
    session.remove_checkpoint().map_err(TrainError::from)?;
    Ok((trained, counts))
}

fn labels(images: &ImageSet) -> Result<&[usize], TrainError> {
    let labels = images.labels();
    labels.ok_or_else(|| TrainError::Data(format!("{} has no labels", images.name())))
}

/// Writes a network with what it was made by.
fn save(
    name: &str,
    trained: &Trained,
    mut facts: BTreeMap<String, String>,
    path: &Path,
) -> Result<(), FileError> {
    facts.insert("name".into(), name.to_owned());
    facts.insert("iterations".into(), trained.iterations.to_string());
    facts.insert("stopped".into(), trained.stopped.clone());
    // Rust prints the shortest decimal that reads back as the same number.
    facts.insert("loss".into(), trained.loss.to_string());
    let bytes = onnx::write(&trained.network, &facts);
    files::write_atomically(path, |writer| writer.write_all(&bytes))
}

/// The checkpoint of a training whose network ends in the file `path`: `FILE.onnx` has `FILE.checkpoint`, any
/// other name keeps its ending.
pub fn checkpoint_beside(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|end| end == "onnx") {
        return path.with_extension("checkpoint");
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".checkpoint");
    name.into()
}

/// Makes sure that a file that is there was made by all of this, if it is to be replaced. All ranks get the
/// root's answer.
///
/// # Errors
/// [`TrainError::Exists`].
pub(crate) fn refuse_other(
    path: &Path,
    made_by: &BTreeMap<String, String>,
    session: &Session<'_>,
) -> Result<(), TrainError> {
    let other = || {
        let there = std::fs::symlink_metadata(path).is_ok();
        there && !session.overwrite && kept(path, made_by).is_none()
    };
    match broadcast(session.ranks, || vec![u8::from(other())])[..] {
        [1] => Err(TrainError::Exists {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// A network of a replication and its record.
pub(crate) type KeptModel = (Network<f32>, ModelRecord);

/// The network of `recipe` in the file `folder/NAME.onnx`, trained now if it isn't there yet, and
/// its record. Of several ranks, the root has the file, and all get the network.
///
/// # Errors
/// [`TrainError`]; [`TrainError::Exists`] for a file made by another recipe, seed, version or set of
/// images, unless the session replaces it.
pub(crate) fn kept_or_trained(
    recipe: &Recipe,
    images: &ImageSet,
    folder: &Path,
    session: &Session<'_>,
) -> Result<KeptModel, TrainError> {
    let path = folder.join(format!("{}.onnx", recipe.name));
    let made_by = made_by(("recipe", recipe), images, session.seed);
    let read = || files::read_limited(&path, onnx::MAX_BYTES);
    let of_recipe =
        |bytes: &[u8]| parse(&path, bytes).is_ok_and(|(model, _)| fits(&model, &made_by));
    let kept = || read().ok().filter(|bytes| of_recipe(bytes));
    let mut bytes = broadcast(session.ranks, || kept().unwrap_or_default());
    if bytes.is_empty() {
        train_and_save(recipe, images, &path, session)?;
        let written = if session.ranks.is_root() {
            read()?
        } else {
            Vec::new()
        };
        bytes = broadcast(session.ranks, || written);
    }
    let (model, sha256) = parse(&path, &bytes)?;
    let record = record(&recipe.name, recipe.lambda(), &model, sha256);
    Ok((model.network, record))
}

/// The network of `recipe` in the file `folder/NAME.onnx` and its record, if it is there and was made
/// by this recipe, seed, version and set of images.
pub(crate) fn kept_model(
    recipe: &Recipe,
    images: &ImageSet,
    seed: u64,
    folder: &Path,
) -> Option<KeptModel> {
    let path = folder.join(format!("{}.onnx", recipe.name));
    let (model, sha256) = kept(&path, &made_by(("recipe", recipe), images, seed))?;
    let record = record(&recipe.name, recipe.lambda(), &model, sha256);
    Some((model.network, record))
}

/// The network of `recipe` trained as planned, in the file `folder/NAME.onnx`, with its record and
/// what the making of its pools has taken; trained now if it isn't there yet, as [`kept_or_trained`] does.
///
/// # Errors
/// [`HardenError`].
pub(crate) fn kept_or_hardened(
    recipe: &Recipe,
    plan: &Plan,
    images: &ImageSet,
    folder: &Path,
    session: &Session<'_>,
) -> Result<(KeptModel, Vec<PoolCount>), HardenError> {
    let path = folder.join(format!("{}.onnx", recipe.name));
    let (model, sha256) = match kept(&path, &made_by(("plan", plan), images, session.seed)) {
        Some(kept) => kept,
        None => {
            harden_and_save(recipe, plan, images, &path, session)?;
            read(&path).map_err(TrainError::from)?
        }
    };
    let pools = model.metadata.get("pools");
    let counts = pools.and_then(|pools| serde_json::from_str(pools).ok());
    let decay = plan.training.decay.iter().copied();
    let decay: Vec<f64> = decay.filter(|&decay| decay > 0.0).collect();
    let record = record(&recipe.name, &decay, &model, sha256);
    Ok(((model.network, record), counts.unwrap_or_default()))
}

/// The model of a file, if it is there and was made by all of this.
pub(crate) fn kept(
    path: &Path,
    made_by: &BTreeMap<String, String>,
) -> Option<(onnx::Model, String)> {
    read(path).ok().filter(|(model, _)| fits(model, made_by))
}

fn fits(model: &onnx::Model, made_by: &BTreeMap<String, String>) -> bool {
    let mut facts = made_by.iter();
    facts.all(|(key, value)| model.metadata.get(key) == Some(value))
}

fn record(name: &str, decay: &[f64], model: &onnx::Model, sha256: String) -> ModelRecord {
    let fact = |key: &str| model.metadata.get(key).map_or("", String::as_str);
    ModelRecord {
        name: name.to_owned(),
        file: format!("models/{name}.onnx"),
        sha256,
        decay: decay.to_vec(),
        iterations: fact("iterations").parse().unwrap_or(0),
        stopped: fact("stopped").to_owned(),
        loss: fact("loss").parse().unwrap_or(f64::NAN),
    }
}

/// A model file and its hash.
fn read(path: &Path) -> Result<(onnx::Model, String), FileError> {
    parse(path, &files::read_limited(path, onnx::MAX_BYTES)?)
}

/// The model in the bytes of a file, and their hash.
fn parse(path: &Path, bytes: &[u8]) -> Result<(onnx::Model, String), FileError> {
    let options = onnx::ReadOptions::beside(path);
    let model = onnx::read_with(bytes, &options).map_err(|error| FileError {
        action: "read",
        path: path.to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok((model, files::sha256_hex(bytes)))
}
