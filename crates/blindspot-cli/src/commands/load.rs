//! The way in that the commands share: a model, what stands before it, and the images for it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use blindspot::classify::predictions;
use blindspot::inputs::InputError;
use blindspot::preprocess::{Preprocess, near_chance};
use blindspot::run::monitor::Monitor;
use blindspot_data::{DataError, DataSpec, Fit, ImageSet, Locations, files, read_classes};
use blindspot_net::{Network, onnx};
use blindspot_paper::architectures;

use super::data::Download;
use crate::args::Common;
use crate::exit::{Unreadable, Usage};
use crate::options::{ChoiceArgs, DataArgs, ModelArgs, PreprocessArgs};
use crate::progress::Progress;

/// A network that takes images.
pub(super) struct Model {
    /// From an image in [0, 1] to logits: preprocessing is inside.
    pub(super) network: Network<f32>,
    /// What was put before it.
    pub(super) preprocess: Preprocess,
    /// Channels, height, width of its images, unless any image with as many values will do.
    pub(super) image_shape: Option<[usize; 3]>,
    /// SHA-256 of its file.
    pub(super) sha256: String,
}

/// Reads a model and puts its preprocessing before it. A Softmax at its end is looked through.
pub(super) fn model(args: &ModelArgs) -> anyhow::Result<Model> {
    model_of(&args.model, &args.preprocess)
}

/// The network of a file as it is, or AlexNet by its name, and the hash of its file.
pub(super) fn network(path: &Path) -> anyhow::Result<(Network<f32>, String)> {
    Ok(match path.to_str() {
        Some("alexnet") if !path.exists() => {
            let network = architectures::alexnet(0);
            let bytes = onnx::write(&network, &BTreeMap::new());
            (network, files::sha256_hex(&bytes))
        }
        _ => {
            let bytes = files::read_limited(path, onnx::MAX_BYTES).map_err(Unreadable)?;
            let read = onnx::read(&bytes).with_context(|| path.display().to_string())?;
            (read.network, files::sha256_hex(&bytes))
        }
    })
}

/// The same from a file that another option names.
pub(super) fn model_of(path: &Path, preprocess: &PreprocessArgs) -> anyhow::Result<Model> {
    let (network, sha256) = network(path)?;
    let network = network.without_softmax();
    let name = || path.display().to_string();
    let preprocess = Preprocess::from(preprocess);
    Ok(Model {
        image_shape: preprocess
            .image_shape(network.input_shape())
            .with_context(name)?,
        network: preprocess.before(&network).with_context(name)?,
        preprocess,
        sha256,
    })
}

/// The image set that a specification names, as it is.
pub(super) fn set(spec: &str, common: &Common, progress: &Progress) -> anyhow::Result<ImageSet> {
    let spec: DataSpec = spec.parse().map_err(|error| Usage(format!("{error}")))?;
    let locations = Locations::new(common.data_dir.clone());
    Ok(spec.load(&locations, &mut Download(progress))?)
}

/// The images asked for, fit for the model if there is one: resized and cropped, chosen, each file of
/// a folder read once to find broken ones. A warning goes to standard error where the model knows
/// hardly any of them.
pub(super) fn images(
    args: &DataArgs,
    choice: Option<(&ChoiceArgs, u64)>,
    model: Option<&Model>,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<ImageSet> {
    let choice = match choice {
        Some((choice, seed)) => Some((choice.count()?, choice.shuffle, seed)),
        None => None,
    };
    let mut images = set(&args.data, common, progress)?;
    let asked = args.fit();
    let wanted = model.and_then(|model| model.image_shape);
    if let (true, Some([channels, height, width])) = (images.is_of_files(), wanted) {
        let asked = asked.unwrap_or_default();
        images = images.fitted(&Fit {
            resize: asked.resize,
            crop: Some(asked.crop.unwrap_or([height, width])),
            channels: Some(channels).filter(|channels| matches!(channels, 1 | 3)),
        })?;
    } else if let Some(fit) = asked {
        images = images.fitted(&fit)?;
    }
    if let Some(shape) = wanted {
        fits(&images, shape)?;
    }
    if let Some(path) = &args.classes {
        images = images.with_classes(read_classes(path)?)?;
    }
    if let Some((count, shuffle, seed)) = choice {
        images = match shuffle {
            true => images.shuffled(count, seed),
            false => images.first(count),
        };
    }
    if images.is_of_files() {
        images = checked(&images, args.skip_broken, common, progress)?;
    }
    if let Some(model) = model {
        warn_near_chance(model, &images, common)?;
    }
    Ok(images)
}

/// The classes of images that have to have them.
pub(super) fn labels<'a>(images: &'a ImageSet, spec: &str) -> Result<&'a [usize], DataError> {
    images
        .labels()
        .ok_or_else(|| DataError::Unlabelled(spec.to_owned()))
}

/// Whether images have the shape that a network takes.
fn fits(images: &ImageSet, wanted: [usize; 3]) -> Result<(), DataError> {
    let found = images.shape();
    // Images that are mere lists of values have no shape to compare.
    if found == wanted
        || found[..2] == [1, 1] && images.image_len() == wanted.iter().product::<usize>()
    {
        return Ok(());
    }
    let text = |[channels, height, width]: [usize; 3]| {
        format!("{channels} channels of {height}x{width} values (height x width)")
    };
    let advice = match found[0] == wanted[0] {
        true => format!("add --resize {},{}", wanted[1], wanted[2]),
        false => "choose other images".to_owned(),
    };
    let why = format!(
        "its images have {}, and the network takes {}; {advice}",
        text(found),
        text(wanted)
    );
    let set = images.name().to_owned();
    Err(DataError::Unfit { set, why })
}

/// Images whose files have all been read once.
pub(super) fn checked(
    images: &ImageSet,
    skip: bool,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<ImageSet> {
    progress.begin("reading images", images.len() as u64);
    let result = images.checked(skip, &|done| progress.progress(done as u64, ""));
    progress.end();
    let (images, broken) = result?;
    if !broken.is_empty() && !common.quiet {
        eprintln!("blindspot: {} broken images are left out:", broken.len());
        for image in broken {
            eprintln!("  {}: {}", image.file.display(), image.why);
        }
    }
    Ok(images)
}

/// Images that are looked at to know whether a model knows them.
const GLANCE: usize = 256;

/// Says so where the model's answers look like guesses.
fn warn_near_chance(model: &Model, images: &ImageSet, common: &Common) -> Result<(), InputError> {
    let Some(labels) = images.labels().filter(|_| !common.quiet) else {
        return Ok(());
    };
    if model.network.input_len() != images.image_len() {
        return Ok(());
    }
    // A few of a large set are enough, and a random choice has many classes.
    let glance = match images.len() {
        0..=GLANCE => images.clone(),
        _ => images.shuffled(GLANCE, 0),
    };
    let (images, labels) = (&glance, glance.labels().unwrap_or(labels));
    let answers = predictions(&model.network, images)?;
    let right = answers.iter().zip(labels).filter(|(a, b)| a == b).count();
    if near_chance(right, images.len(), model.network.output_len()) {
        eprintln!(
            "blindspot: warning: the model is right for {right} of {} images, which is near chance. \
             Check what it wants of its input (--range, --mean, --std, --channel-order, --layout) and \
             that the classes have its numbers",
            images.len()
        );
    }
    Ok(())
}
