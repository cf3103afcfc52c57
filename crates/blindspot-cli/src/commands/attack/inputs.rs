//! What an attack reads, and what becomes of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use blindspot::examples::Origin;
use blindspot::goals::OutputGoal;
use blindspot::model::{InputBox, Model};
use blindspot::range_files::{RangeFileError, apply_bounds, apply_mask};
use blindspot::search::{Bounds as Ranges, Criterion, SearchOptions, Target};
use blindspot_data::files;
use blindspot_data::suggest;
use blindspot_data::{Columns, ImageRequest, SchemaSource};
use blindspot_net::Network;

use super::goal;
use crate::args::{Attack, Common, OtherRuntime};
use crate::commands::load;
use crate::errors::Usage;
use crate::onnxruntime::Onnxruntime;
use crate::progress::Progress;

/// Its name among the versions of a record.
pub(super) const ONNXRUNTIME: &str = "onnxruntime";

/// What an attack reads.
pub(super) struct Inputs {
    pub(super) model: Model,
    /// The runtime that is asked again, with `--verify`.
    pub(super) other: Option<Onnxruntime>,
    pub(super) chosen: load::Chosen,
    /// The options of the search, and what they come from.
    pub(super) origin: Origin,
}

impl Inputs {
    /// The files that the command names: nothing may be written over them.
    pub(super) fn files(command: &Attack) -> Vec<PathBuf> {
        let data = command.images.in_place_of(&command.data);
        let schema = command.columns.as_ref().and_then(SchemaSource::file);
        let formula = command.goal.as_ref().and_then(OutputGoal::formula);
        let mut files = [command.model.files(), data.files()].concat();
        files.extend(command.mask.clone());
        files.extend(command.bounds.clone());
        files.extend(schema.map(PathBuf::from));
        files.extend(formula.map(PathBuf::from));
        files
    }

    /// Reads what the command names.
    pub(super) fn read(
        command: &Attack,
        common: &Common,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let data = command.images.in_place_of(&command.data);
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
        let images = &chosen.images;
        let target = target(&command.target, model.classes().or(images.classes()))?;
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

        let (ranges, mut ranges_sha256) = ranges(command, model.network())?;
        let known = goal.map(|goal| goal::known(goal, &model, &request, common, progress));
        let (goal, formula_sha256) = known.transpose()?.unzip();
        let others = [
            ("margin", formula_sha256.flatten()),
            ("columns", columns_sha256.flatten()),
        ];
        for (option, sha256) in others {
            ranges_sha256.extend(sha256.map(|sha256| (option.to_owned(), sha256)));
        }
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
        options.check_labels(model.network().output_len(), &chosen.labels)?;
        let origin = Origin {
            answers_as_labels: options.goal.is_none() && images.labels().is_none(),
            options,
            provenance,
            ranges_sha256,
            epsilons: command.epsilon.clone(),
        };
        Ok(Self {
            model,
            other,
            chosen,
            origin,
        })
    }
}

/// The range that all values of a table lie in.
fn reach(columns: &Columns) -> InputBox {
    SearchOptions::default().columns(columns.clone()).input_box
}

/// The target that a word names: a kind of targets, a class by its number, or one of the `classes` by its name.
pub(in crate::commands) fn target(word: &str, classes: Option<&[String]>) -> Result<Target, Usage> {
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
