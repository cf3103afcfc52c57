//! `units --shard`: the layer's values of a part of the images, and what becomes of all parts.

use std::collections::BTreeMap;
use std::path::Path;

use blindspot::run::journal::{Entries, Work};
use blindspot::search::InputBox;
use blindspot::units::{ActivationReader, Layer, LayerEvaluator};
use serde::{Deserialize, Serialize};

use super::{Subject, write_all};
use crate::args::{Common, Units};
use crate::commands::load;
use crate::commands::part::{Part, chosen};
use crate::errors::Usage;
use crate::progress::Progress;

/// What a journal of a layer's values says in its header. The pictures take model and images again, so it
/// has the command itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct About {
    command: Units,
    data_sha256: BTreeMap<String, String>,
    model_sha256: String,
    /// Which images of the set were chosen, by a hash of their places.
    chosen: String,
    /// Bytes of an image's values.
    bytes: usize,
    versions: BTreeMap<String, String>,
}

impl Work for About {
    const KIND: &'static str = "units";

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl About {
    fn new(command: &Units, subject: &Subject, bytes: usize) -> About {
        About {
            command: command.clone(),
            data_sha256: subject.images.hashes().iter().cloned().collect(),
            model_sha256: subject.model.sha256().to_owned(),
            chosen: chosen(&subject.images),
            bytes,
            versions: BTreeMap::from([("blindspot".into(), env!("CARGO_PKG_VERSION").into())]),
        }
    }
}

/// Evaluates a part of the images.
pub(super) fn shard(
    command: &Units,
    subject: &Subject,
    out: &Path,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<()> {
    let Subject {
        model,
        layer,
        plan,
        images,
    } = subject;
    let values = LayerEvaluator::new(model.network(), layer, plan)?;
    let about = About::new(command, subject, values.bytes());
    let mut part = Part::open(&about, images.len(), command.shard, out, common)?;
    let remaining = part.remaining();
    let worked = values.evaluate(
        images,
        &remaining,
        progress,
        |found| -> anyhow::Result<()> { Ok(part.journal.append(found.into_iter())?) },
    );
    part.end(worked.map(|()| true), common, |_| Ok(()))?;
    Ok(())
}

/// Writes the files of merged shards, with the model and the images that they were of.
pub(crate) fn merge(
    entries: &Entries,
    out: &Path,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<()> {
    let about = About::of(entries)?;
    let command = &about.command;
    let model = load::model(&command.model, InputBox::default())?;
    let name = command.layer.iter().flatten().next();
    let layer = Layer::find(model.network(), name.map_or("", String::as_str))?;
    let subject = Subject::new(command, model, layer, common, progress)?;
    let changed = |what: &str| {
        let why = format!(
            "{what} not what the shards were made of; give them back, or run the shards again"
        );
        Usage(why)
    };
    let now = About::new(command, &subject, about.bytes);
    if now.model_sha256 != about.model_sha256 {
        let model = command.model.model.display();
        return Err(changed(&format!("{model} is")).into());
    }
    if now.data_sha256 != about.data_sha256 || now.chosen != about.chosen {
        return Err(changed(&format!("the images of {} are", command.data.data)).into());
    }
    let stored = ActivationReader::new(entries, &subject.layer)?;
    write_all(command, subject, Some(&stored), out, common, progress)
}
