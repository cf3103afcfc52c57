//! `blindspot attack`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use blindspot::examples::{EightBitSummary, Record, Summary, write_arrays, write_record};
use blindspot::image_files::{Saved, save_images};
use blindspot::inputs::Inputs;
use blindspot::range_files::{RangeFileError, apply_bounds, apply_mask};
use blindspot::search::{Criterion, Ranges, SearchOptions, eight_bit, search};
use blindspot_data::files;
use blindspot_net::Network;

use super::{json, load, say};
use crate::args::{Attack, Common};
use crate::exit::{Interrupted, Usage};
use crate::interrupt::interrupted;
use crate::progress::Progress;

pub(super) fn run(command: &Attack, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let beside = command.out.with_extension("json");
    if beside == command.out {
        return Err(
            Usage("--out must not end in .json: that name is for the summary".into()).into(),
        );
    }
    // Before anything is read: what is wrong with the command is said first.
    command.choice.count()?;
    let model = load::model(&command.model)?;
    let choice = Some((&command.choice, command.seed));
    let images = load::images(&command.data, choice, Some(&model), common, progress)?;
    let labels = load::labels(&images, &command.data.data)?;
    let network = &model.network;
    // Before the search: a file that can't be written is found out now.
    files::check_writable(&command.out)?;

    let (ranges, ranges_sha256) = ranges(command, network)?;
    let options = SearchOptions {
        target: command.target,
        seed: command.seed,
        bounds: command.r#box,
        method: command.method,
        shrink: true,
        criterion: Criterion {
            top_k: command.top_k,
            confidence: command.confidence,
        },
        max_evaluations: command.max_evaluations,
        time_limit: command.time_limit,
        ranges,
    };
    let all: Vec<usize> = (0..images.len()).collect();
    let examples = search(network, &images, labels, &all, &options, progress);
    // An image that broke meanwhile is NaN to the search: what the file says is the better message.
    images.intact()?;
    let mut examples = examples?;
    let mut originals = vec![0.0; examples.len() * images.image_len()];
    for (example, place) in examples
        .iter_mut()
        .zip(originals.chunks_exact_mut(images.image_len()))
    {
        images.write(example.index, place);
        // From the place in the choice to that in the data set.
        example.index = images.indices()[example.index];
    }
    images.intact()?;
    let eight_bit = match &command.save_images {
        Some(_) => Some(eight_bit(
            network, &options, &examples, &originals, progress,
        )?),
        None => None,
    };
    let shape = network.input_shape();
    write_arrays(
        &command.out,
        &examples,
        &originals,
        eight_bit.as_deref(),
        shape,
    )?;
    if let (Some(dir), Some(found)) = (&command.save_images, &eight_bit) {
        let saved = examples.iter().zip(found).map(|(example, image)| Saved {
            index: example.index,
            label: example.label,
            image,
        });
        save_images(dir, saved, images.shape())?;
    }
    let record = Record {
        options,
        preprocess: model.preprocess,
        data: command.data.data.clone(),
        data_sha256: images.hashes().iter().cloned().collect(),
        ranges_sha256,
        model_sha256: model.sha256.clone(),
        versions: BTreeMap::from([("blindspot".into(), env!("CARGO_PKG_VERSION").into())]),
        summary: Summary::of(&examples),
        eight_bit: eight_bit.as_deref().map(EightBitSummary::of),
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
    say(common, &text(&record, command));
    json(common, &record)
}

/// The SHA-256 of the file that an option names.
type Hashes = BTreeMap<String, String>;

/// The ranges of the input's values that the command asks for, and their files' hashes.
fn ranges(
    command: &Attack,
    network: &Network<f32>,
) -> anyhow::Result<(Option<Arc<Ranges>>, Hashes)> {
    let mut hashes = Hashes::new();
    if command.mask.is_none() && command.bounds.is_none() {
        return Ok((None, hashes));
    }
    let mut ranges = Ranges::within(command.r#box, network.input_len());
    type Apply = fn(&mut Ranges, &[u8], &[usize]) -> Result<(), RangeFileError>;
    let files: [(&str, &Option<PathBuf>, Apply); 2] = [
        ("bounds", &command.bounds, apply_bounds),
        ("mask", &command.mask, apply_mask),
    ];
    for (option, path, apply) in files {
        let Some(path) = path else { continue };
        let bytes = files::read_limited(path, 1 << 30)?;
        apply(&mut ranges, &bytes, network.input_shape())
            .map_err(|error| Usage(format!("{}: {error}", path.display())))?;
        hashes.insert(option.to_owned(), files::sha256_hex(&bytes));
    }
    Ok((Some(Arc::new(ranges)), hashes))
}

/// The summary for people.
fn text(record: &Record, command: &Attack) -> String {
    let eight_bit = match (&record.eight_bit, &command.save_images) {
        (Some(eight), Some(dir)) => format!(
            "as 8-bit files     {} wrong, {} of them by rounding alone; distortion mean {:.4}\n\
             Saved: {}\n",
            eight.successes,
            eight.rounded,
            eight.distortion_mean,
            dir.display()
        ),
        _ => String::new(),
    };
    let Summary {
        samples,
        already_wrong,
        successes,
        distortion,
        evaluations_mean,
        gradients_mean,
    } = record.summary;
    format!(
        "{samples} images of {}, target {}\n\
         wrong in the end   {successes} ({:.1}%), {already_wrong} of them before any change\n\
         distortion         mean {:.4}, pooled {:.4}, median {:.4}\n\
         L2 norm            mean {:.4}\n\
         evaluations        {evaluations_mean:.0} an image, {gradients_mean:.0} gradients\n\
         {eight_bit}Written: {}",
        command.data.data,
        command.target,
        100.0 * successes as f64 / samples.max(1) as f64,
        distortion.mean,
        distortion.pooled,
        distortion.median,
        distortion.l2_mean,
        command.out.display(),
    )
}
