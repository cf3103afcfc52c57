//! The layer's values image by image, so that a run that was killed goes on; of a part of the images, `units --shard`,
//! and what becomes of all parts.

use std::path::Path;

use blindspot::model::{InputBox, Outputs};
use blindspot::provenance::Provenance;
use blindspot::run::journal::{Entries, Shard, Work};
use blindspot::units::{ActivationReader, Layer, LayerEvaluator, SurveyRequest};
use serde::{Deserialize, Serialize};

use super::{Subject, check_folder, write_all};
use crate::args::{Common, Merge};
use crate::commands::load;
use crate::commands::part::Part;
use crate::errors::Usage;
use crate::interrupt::interrupted;
use crate::progress::Progress;

/// Bytes of values that a run of all images keeps at most: a layer of many positions is not worth the disk.
const MOST_KEPT: u64 = 1 << 30;

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
    let values = LayerEvaluator::new(
        subject.model.network(),
        &subject.layer,
        &subject.request.plan,
    )?;
    let (part, worked) = evaluate(&values, subject, Some(shard), out, common, progress)?;
    part.end(worked, common, |_| Ok(()))?;
    Ok(())
}

/// Evaluates all images, unless their values are too many to be kept, and writes what comes out.
pub(super) fn whole(
    subject: Subject,
    (out, overwrite): (&Path, bool),
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<()> {
    check_folder(&subject, out, overwrite)?;
    let values = LayerEvaluator::new(
        subject.model.network(),
        &subject.layer,
        &subject.request.plan,
    )?;
    if (values.bytes() as u64).saturating_mul(subject.images.len() as u64) > MOST_KEPT {
        return write_all(subject, None, out, common, progress);
    }
    let json = out.join("units.json");
    let (part, worked) = evaluate(&values, &subject, None, &json, common, progress)?;
    part.end(worked, common, |entries| {
        if interrupted() {
            // Some of the images are no survey.
            return Ok(());
        }
        let layer = subject.layer.clone();
        let stored = ActivationReader::new(entries, &layer)?;
        write_all(subject, Some(&stored), out, common, progress)
    })?;
    Ok(())
}

/// Keeps the values of the images that are still to be evaluated; gives also whether that came to its end.
fn evaluate(
    values: &LayerEvaluator,
    subject: &Subject,
    shard: Option<Shard>,
    out: &Path,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<(Part, anyhow::Result<bool>)> {
    let about = About::new(subject, values.bytes());
    let mut part = Part::open(&about, subject.images.len(), shard, out, common)?;
    let remaining = part.remaining();
    let worked = values.evaluate(&subject.images, &remaining, progress, |found| {
        part.keep(found.into_iter()).map(drop)
    });
    Ok((part, worked.map(|()| true)))
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
        outputs: Outputs::Classes,
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
    check_folder(&subject, &command.out, command.replace.overwrite)?;
    let layer = subject.layer.clone();
    let stored = ActivationReader::new(entries, &layer)?;
    write_all(subject, Some(&stored), &command.out, common, progress)
}
