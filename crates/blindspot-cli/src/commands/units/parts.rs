//! `units --shard`: the layer's values of a part of the images, and what becomes of all parts.

use std::path::Path;

use blindspot::model::InputBox;
use blindspot::provenance::Provenance;
use blindspot::run::journal::{Entries, Shard, Work};
use blindspot::units::{ActivationReader, Layer, LayerEvaluator, SurveyRequest};
use serde::{Deserialize, Serialize};

use super::{Subject, write_all};
use crate::args::{Common, Merge};
use crate::commands::load;
use crate::commands::part::Part;
use crate::errors::Usage;
use crate::progress::Progress;

/// What a journal of a layer's values says in its header. The pictures take model and images again, so it
/// has the whole request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct About {
    request: SurveyRequest,
    #[serde(flatten)]
    provenance: Provenance,
    /// Bytes of an image's values.
    bytes: usize,
}

impl Work for About {
    const KIND: &'static str = "units";

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl About {
    fn new(subject: &Subject, bytes: usize) -> About {
        About {
            request: subject.request.clone(),
            provenance: subject.provenance(),
            bytes,
        }
    }
}

/// Evaluates a part of the images.
pub(super) fn shard(
    shard: Shard,
    subject: &Subject,
    out: &Path,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<()> {
    let Subject {
        request,
        model,
        layer,
        images,
    } = subject;
    let values = LayerEvaluator::new(model.network(), layer, &request.plan)?;
    let about = About::new(subject, values.bytes());
    let mut part = Part::open(&about, images.len(), Some(shard), out, common)?;
    let remaining = part.remaining();
    let worked = values.evaluate(images, &remaining, progress, |found| {
        part.keep(found.into_iter()).map(drop)
    });
    part.end(worked.map(|()| true), common, |_| Ok(()))?;
    Ok(())
}

/// Writes the files of merged shards, with the model and the images that they were of.
pub(crate) fn merge(
    entries: &Entries,
    command: &Merge,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<()> {
    let about = About::of(entries)?;
    let request = about.request.clone();
    let source = load::Source {
        path: &request.model,
        interface: request.interface.clone(),
        preprocess: request.preprocess.clone(),
        input_box: InputBox::default(),
        budget: common.budget(),
    };
    let model = load::model(&source, &request.images, common, progress)?;
    let layer = Layer::find(model.network(), &request.layer)?;
    let subject = Subject::new(request, model, layer, common, progress)?;
    let changed = |what: &str| {
        let why = format!(
            "{what} not what the shards were made of; give them back, or run the shards again"
        );
        Usage(why)
    };
    let (now, then) = (subject.provenance(), about.provenance);
    if now.model_sha256 != then.model_sha256 {
        let model = about.request.model.display();
        return Err(changed(&format!("{model} is")).into());
    }
    if now.data_sha256 != then.data_sha256 || now.selection_sha256 != then.selection_sha256 {
        return Err(changed(&format!("the images of {} are", about.request.images.data)).into());
    }
    let stored = ActivationReader::new(entries, &subject.layer)?;
    let (out, overwrite) = (&*command.out, command.replace.overwrite);
    write_all(subject, Some(&stored), (out, overwrite), common, progress)
}
