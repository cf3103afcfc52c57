//! `blindspot attack`.

mod goal;
mod text;
mod work;
mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use blindspot::certify::ExampleCertifier;
use blindspot::examples::{About, Layout, Origin};
use blindspot::goals::OutputGoal;
use blindspot::model::{InputBox, Model};
use blindspot::range_files::{RangeFileError, apply_bounds, apply_mask};
use blindspot::search::{Bounds as Ranges, Criterion, SearchOptions, Target};
use blindspot_data::files;
use blindspot_data::suggest;
use blindspot_data::{Columns, ImageRequest, ImageSet, SchemaSource};
use blindspot_net::Network;

use self::work::Work;
use self::written::{Files, Identity, Known, Written, tell, write};
use super::load;
use super::out::{refuse_inputs, refuse_other_results};
use super::page;
use super::part::Part;
use crate::args::{Attack, Common, OtherRuntime};
use crate::errors::Usage;
use crate::onnxruntime::Onnxruntime;
use crate::progress::Progress;
use crate::ranks;

pub(super) use self::written::merge;

/// Its name among the versions of a record.
const ONNXRUNTIME: &str = "onnxruntime";

pub(super) fn run(command: &Attack, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    // Before anything is read: what is wrong with the command is said first.
    let data = command.images.in_place_of(&command.data);
    let mut written = Written {
        save_images: command.save_images.as_deref(),
        report: command.report.as_deref(),
        smallest: command.smallest,
        ..Written::new(&command.out, Files::of(command))?
    };
    let (mask, bounds) = (command.mask.clone(), command.bounds.clone());
    let schema = command.columns.as_ref().and_then(SchemaSource::file);
    let read = [command.model.files(), data.files()].concat();
    let formula = command.goal.as_ref().and_then(OutputGoal::formula);
    let read = read.into_iter().chain(mask).chain(bounds);
    let read = read.chain(schema.map(PathBuf::from));
    let read: Vec<PathBuf> = read.chain(formula.map(PathBuf::from)).collect();
    refuse_inputs(&written.all(), &read)?;
    let request = ImageRequest {
        choice: Some(command.choice.choice(command.seed)?),
        columns: command.columns.clone(),
        ..data.request(&command.model.preprocess)?
    };
    let columns = command.columns.as_ref();
    let columns = columns.map(|source| load::columns(&data.data, source, common, progress));
    let (columns, columns_sha256) = columns.transpose()?.unzip();
    let input_box = columns.as_ref().map_or(command.r#box, reach);
    let mut source = load::Source::of(&command.model, input_box, common)?;
    let goal = command.goal.as_ref();
    source.outputs = goal.map_or(source.outputs, OutputGoal::outputs);
    let model = load::model(&source, &request, common, progress)?;
    if columns.is_some() && model.takes_whole_numbers() {
        let why = "the model takes bytes, as images have them: columns are those of a table; leave --columns out";
        return Err(Usage(why.into()).into());
    }
    let images = load::images(&request, Some(&model), common, progress)?;
    let chosen = match goal {
        Some(_) => load::Chosen::without_classes(images),
        None => load::Chosen::of(images, &model, command.correct_only, common)?,
    };
    let (images, labels) = (&chosen.images, &*chosen.labels);
    let target = target(&command.target, model.classes().or(images.classes()))?;
    let network = model.network();
    let other = match command.verify {
        Some(OtherRuntime::Onnxruntime) => {
            Some(Onnxruntime::new(source.path, &source.interface, &model)?)
        }
        None => None,
    };
    let mut provenance = chosen.provenance(&model, &data.data);
    if let Some(other) = &other {
        let versions = &mut provenance.versions;
        versions.insert(ONNXRUNTIME.into(), other.version().into());
    }

    let (ranges, mut ranges_sha256) = ranges(command, network)?;
    let known = goal.map(|goal| goal::known(goal, &model, &request, common, progress));
    let (goal, formula_sha256) = known.transpose()?.unzip();
    ranges_sha256.extend(
        formula_sha256
            .flatten()
            .map(|hash| ("margin".to_owned(), hash)),
    );
    let columns_sha256 = columns_sha256.flatten();
    ranges_sha256.extend(columns_sha256.map(|hash| ("columns".to_owned(), hash)));
    let options = SearchOptions::default()
        .target(target)
        .seed(command.seed)
        .input_box(input_box)
        .method(command.method)
        .norm(command.norm)
        .grouping(command.group)
        .criterion(Criterion {
            top_k: command.top_k,
            confidence: command.confidence,
        })
        .max_evaluations(command.max_evaluations)
        .time_limit(command.time_limit)
        .enough(command.enough)
        .goal(goal)
        .bounds(ranges)
        .columns(columns);
    options.check_labels(network.output_len(), labels)?;
    let certifier = command.certify.then(|| certifier(&model, &options, images));
    let certifier = certifier.transpose()?;
    let about = About {
        origin: Origin {
            options: options.clone(),
            provenance,
            answers_as_labels: options.goal.is_none() && images.labels().is_none(),
            ranges_sha256,
            epsilons: command.epsilon.clone(),
        },
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
        labels,
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
    remaining.retain(|&position| options.target != Target::Class(labels[position]));
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

/// The range that all values of a table lie in.
fn reach(columns: &Columns) -> InputBox {
    SearchOptions::default().columns(columns.clone()).input_box
}

/// The target that a word names: a kind of targets, a class by its number, or one of the `classes` by its name.
pub(super) fn target(word: &str, classes: Option<&[String]>) -> Result<Target, Usage> {
    let named = || classes?.iter().position(|class| class == word);
    word.parse().or_else(|why: String| {
        let likely = suggest(word, classes.unwrap_or_default().iter().map(String::as_str));
        let likely = likely.map_or(String::new(), |class| format!("; did you mean `{class}`?"));
        named().map(Target::Class).ok_or(Usage(why + &likely))
    })
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
