//! Networks trained without labels as ONNX files, with what each was made by.

use std::path::Path;

use blindspot_data::ImageSet;
use blindspot_data::files;
use blindspot_net::onnx;

use super::plan::Plan;
use super::train::{Learned, learn};
use crate::models::{checkpoint_beside, kept, made_by, refuse_other};
use crate::session::Session;
use crate::train::TrainError;

/// Trains a network as planned, over the ranks, and writes it to `path`. A checkpoint is kept beside it
/// meanwhile, whatever the session says: stopped, the same call resumes from there, on any number of ranks,
/// and ends with the same bits (unless the plan is asynchronous).
///
/// # Errors
/// [`TrainError`].
pub fn learn_and_save(
    plan: &Plan,
    images: &ImageSet,
    path: &Path,
    session: &Session<'_>,
) -> Result<Learned, TrainError> {
    let mut facts = made_by(("quocnet", plan), images, session.seed);
    let checkpoint = checkpoint_beside(path);
    let session = session.with_checkpoint(&checkpoint);
    refuse_other(path, &facts, &session)?;
    let learned = learn(plan, images, &facts["data"], &session)?;
    if !session.ranks.is_root() {
        return Ok(learned);
    }
    let stages = serde_json::to_string(&learned.stages).expect("records are plain data");
    facts.insert("name".into(), "quocnet".into());
    facts.insert("stages".into(), stages);
    if plan.asynchronous {
        let why = "no: trained asynchronously, the same seed may give other weights";
        facts.insert("deterministic".into(), why.into());
    }
    let bytes = onnx::write(&learned.network, &facts);
    files::write_atomically(path, |writer| writer.write_all(&bytes))?;
    session.remove_checkpoint()?;
    Ok(learned)
}

/// The network in the file `path`, trained now if it isn't there yet or was made by anything else.
///
/// # Errors
/// [`TrainError`].
pub(crate) fn kept_or_learned(
    plan: &Plan,
    images: &ImageSet,
    path: &Path,
    session: &Session<'_>,
) -> Result<Learned, TrainError> {
    let read = || {
        let (model, _) = kept(path, &made_by(("quocnet", plan), images, session.seed))?;
        let stages = model.metadata.get("stages")?;
        Some(Learned {
            stages: serde_json::from_str(stages).ok()?,
            network: model.network,
            history: Vec::new(),
        })
    };
    if let Some(learned) = read() {
        return Ok(learned);
    }
    let learned = learn_and_save(plan, images, path, session)?;
    // As the file has it, which the next run will see: the same numbers from nodes that may be others.
    Ok(read().unwrap_or(learned))
}
