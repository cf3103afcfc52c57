//! `blindspot attack`.

mod goal;
mod inputs;
mod text;
mod work;
mod written;

use std::time::Instant;

use blindspot::certify::ExampleCertifier;
use blindspot::examples::{About, Layout};
use blindspot::model::Model;
use blindspot::search::{SearchOptions, Target};
use blindspot_data::ImageSet;

use self::inputs::Inputs;
use self::work::Work;
use self::written::{Files, Identity, Known, Written, tell, write};
use super::out::{refuse_inputs, refuse_other_results};
use super::page;
use super::part::Part;
use crate::args::{Attack, Common};
use crate::progress::Progress;
use crate::ranks;

pub(super) use self::inputs::target;
pub(super) use self::written::merge;

pub(super) fn run(command: &Attack, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    // Before anything is read: what is wrong with the command is said first.
    let mut written = Written {
        save_images: command.save_images.as_deref(),
        report: command.report.as_deref(),
        smallest: command.smallest,
        ..Written::new(&command.out, Files::of(command))?
    };
    refuse_inputs(&written.all(), &Inputs::files(command))?;
    let Inputs {
        model,
        other,
        chosen,
        origin,
    } = Inputs::read(command, common, progress)?;
    let images = &chosen.images;
    let options = origin.options.clone();
    let certifier = command.certify.then(|| certifier(&model, &options, images));
    let certifier = certifier.transpose()?;
    let network = model.network();
    let about = About {
        origin,
        layout: Layout {
            shape: network.input_shape().to_vec(),
            // Only these are inputs of a model that takes whole numbers.
            eight_bit: command.save_images.is_some() || model.takes_whole_numbers(),
            certificate: command.certify,
            outputs: options.goal.as_ref().map_or(0, |_| network.output_len()),
        },
        image_shape: images.shape(),
    };
    let ranks = ranks::here();
    ranks::agree_on([("work", serde_json::to_string(&about)?)])?;
    let work = Work {
        model: &model,
        images,
        labels: &chosen.labels,
        options: &options,
        layout: &about.layout,
        certifier,
        other,
        begun: Instant::now(),
    };
    if !ranks.is_root() {
        let none = |_| -> anyhow::Result<usize> { unreachable!("rank 0 takes what is found") };
        return work.share(ranks, &[], none, progress).map(drop);
    }
    // Before the search: a file that can't be written is found out now.
    page::check(command.report.as_deref())?;
    if command.shard.is_none() {
        let identity = Identity {
            origin: &about.origin,
            layout: &about.layout,
            smallest: command.smallest,
        };
        refuse_other_results(&written.all(), &identity, command.replace.overwrite)?;
    }
    let mut part = Part::open(&about, images.len(), command.shard, &command.out, common)?;
    let mut remaining = part.remaining();
    // An image of the class that is asked for has nothing to be searched.
    remaining.retain(|&position| options.target != Target::Class(chosen.labels[position]));
    let take = |rows: Vec<u8>| part.keep_rows(&rows);
    let filled = work.share(ranks, &remaining, take, progress);
    written.known = Some(Known {
        file: &command.model.model,
        model: &model,
        images,
        progress,
    });
    match part.end(filled, common, |entries| write(entries, &written))? {
        Some(told) => tell(common, &told, &written),
        None => Ok(()),
    }
}

/// What certifies the images, once it has been tried on the first one.
fn certifier<'a>(
    model: &'a Model,
    options: &'a SearchOptions,
    images: &ImageSet,
) -> anyhow::Result<ExampleCertifier<'a>> {
    let certifier = ExampleCertifier::new(model, options)?;
    if !images.is_empty() && images.image_len() == model.input_len() {
        let mut first = vec![0.0; images.image_len()];
        images.read_image(0, &mut first)?;
        certifier.check(&first)?;
    }
    Ok(certifier)
}
