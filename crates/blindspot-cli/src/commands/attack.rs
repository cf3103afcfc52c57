//! `blindspot attack`.

use std::collections::BTreeMap;

use blindspot::examples::{Record, Summary, write_arrays, write_record};
use blindspot::inputs::Inputs;
use blindspot::search::{SearchOptions, search};
use blindspot_data::{DataError, files};
use blindspot_net::onnx;

use super::{json, load, say};
use crate::args::{Attack, Common};
use crate::exit::{Interrupted, Unreadable, Usage};
use crate::interrupt::interrupted;
use crate::progress::Progress;

pub(super) fn run(command: &Attack, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    if command.samples == 0 {
        return Err(Usage("--samples 0 asks for no image; ask for at least 1".into()).into());
    }
    let beside = command.out.with_extension("json");
    if beside == command.out {
        return Err(
            Usage("--out must not end in .json: that name is for the summary".into()).into(),
        );
    }
    let bytes = files::read_limited(&command.model, onnx::MAX_BYTES).map_err(Unreadable)?;
    let model = onnx::read(&bytes)
        .map_err(|error| anyhow::Error::new(error).context(command.model.display().to_string()))?;
    let network = model.network.without_softmax();
    let set = load(&command.data, common, progress)?;
    let images = match command.shuffle {
        true => set.shuffled(command.samples, command.seed),
        false => set.first(command.samples),
    };
    let Some(labels) = images.labels() else {
        return Err(DataError::Unlabelled(command.data.clone()).into());
    };
    // Before the search: a file that can't be written is found out now.
    files::check_writable(&command.out)?;

    let options = SearchOptions {
        target: command.target,
        seed: command.seed,
        bounds: command.r#box,
        method: command.method,
        shrink: true,
        max_evaluations: command.max_evaluations,
    };
    let all: Vec<usize> = (0..images.len()).collect();
    let mut examples = search(&network, &images, labels, &all, &options, progress)?;
    let mut originals = vec![0.0; examples.len() * images.image_len()];
    for (example, place) in examples
        .iter_mut()
        .zip(originals.chunks_exact_mut(images.image_len()))
    {
        images.write(example.index, place);
        // From the place in the choice to that in the data set.
        example.index = images.indices()[example.index];
    }
    write_arrays(&command.out, &examples, &originals, network.input_shape())?;
    let record = Record {
        options,
        data: command.data.clone(),
        data_sha256: set.hashes().iter().cloned().collect(),
        model_sha256: files::sha256_hex(&bytes),
        versions: BTreeMap::from([("blindspot".into(), env!("CARGO_PKG_VERSION").into())]),
        summary: Summary::of(&examples),
    };
    write_record(&beside, &record)?;
    if interrupted() {
        let found = format!(
            "interrupted; the {} images done are in {}",
            examples.len(),
            command.out.display()
        );
        return Err(Interrupted(found).into());
    }
    say(common, &text(&record.summary, command));
    json(common, &record)
}

/// The summary for people.
fn text(summary: &Summary, command: &Attack) -> String {
    let Summary {
        samples,
        already_wrong,
        successes,
        distortion,
        evaluations_mean,
    } = summary;
    format!(
        "{samples} images of {}, target {}\n\
         wrong in the end   {successes} ({:.1}%), {already_wrong} of them before any change\n\
         distortion         mean {:.4}, pooled {:.4}, median {:.4}\n\
         L2 norm            mean {:.4}\n\
         evaluations        {evaluations_mean:.0} an image\n\
         Written: {}",
        command.data,
        command.target,
        100.0 * *successes as f64 / (*samples).max(1) as f64,
        distortion.mean,
        distortion.pooled,
        distortion.median,
        distortion.l2_mean,
        command.out.display(),
    )
}
