//! `blindspot transfer`.

use std::path::{Path, PathBuf};

use blindspot::examples;
use blindspot::goals::OutputGoal;
use blindspot::model::{Interface, Model, Norm, Outputs, read_network};
use blindspot::preprocess::Preprocess;
use blindspot::provenance::versions;
use blindspot::run::journal::Entries;
use blindspot::transfer::{About, Matrix, ModelFile, SavedExamples, Tally, Trial, Variant};
use blindspot_data::files::{self, FileError};
use blindspot_report::TransferRecord;

use super::out::{listing, refuse_other_results};
use super::page;
use super::part::Part;
use crate::args::{Common, Merge, Transfer};
use crate::errors::{Interrupted, PREPROCESSING, Usage};
use crate::interrupt::interrupted;
use crate::print::{self, json, say};
use crate::progress::Progress;

/// The record's name in the folder.
const JSON: &str = "transfer.json";

pub(super) fn run(command: &Transfer, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let positive = |name: &str, values: &[f64]| {
        if values.iter().all(|v| v.is_finite() && *v > 0.0) {
            Ok(())
        } else {
            Err(Usage(format!("{name} takes numbers above 0")))
        }
    };
    positive("--amplify", &command.amplify)?;
    positive("--amplify-by", &command.amplify_by)?;
    positive("--noise", &command.noise)?;
    let mut variants = vec![Variant::Plain];
    if command.norm == Some(Norm::L0) {
        let why = "no factor changes how many values a perturbation changes; use l2, linf or l1";
        return Err(Usage(why.into()).into());
    }
    variants.extend(command.amplify.iter().map(|&mean| match command.norm {
        Some(norm) => Variant::Norm { norm, mean },
        None => Variant::Distortion(mean),
    }));
    variants.extend(command.amplify_by.iter().copied().map(Variant::Factor));
    variants.extend(command.noise.iter().copied().map(Variant::Noise));

    let mut examples = Vec::new();
    for (name, path) in named(&command.examples) {
        examples.push((name, SavedExamples::open(path)?));
    }
    let outputs = outputs(&examples)?;
    let records = command.examples.iter().filter_map(|path| record(path));
    let records: Vec<examples::Record> = records.collect();
    let (mut networks, mut models) = (Vec::new(), Vec::new());
    for (name, path) in named(&command.models) {
        let model = seen_through(command, &records, (path, outputs), common)?;
        models.push(ModelFile {
            file: name.clone(),
            sha256: model.sha256().to_owned(),
            preprocess: model.preprocess().clone(),
        });
        networks.push((name, model));
    }
    let trial = Trial {
        files: &examples,
        networks: &networks,
        variants: &variants,
        seed: command.seed,
    };
    let hashes = examples.iter();
    let hashes = hashes.map(|(name, file)| Ok((name.clone(), files::sha256_of(file.path())?)));
    let about = About {
        variants: variants.clone(),
        seed: command.seed,
        models,
        versions: versions(),
        examples: trial.sets(),
        examples_sha256: hashes.collect::<Result<_, FileError>>()?,
        correct_only: command.correct_only,
    };
    match (command.shard, &command.out) {
        (Some(_), None) => {
            Err(Usage("--out DIR is missing: where the shard's journal goes".into()).into())
        }
        (Some(_), Some(out)) => part((command, out), &about, trial, common, progress, |_| Ok(())),
        (None, Some(out)) => {
            page::check(command.report.as_deref())?;
            refuse_other_results(&written(out), &about, command.replace.overwrite)?;
            let json = out.join(JSON);
            let into = (command, &*json);
            part(into, &about, trial, common, progress, |entries| {
                // A table of some of the examples would be of others than it says.
                if interrupted() {
                    return Ok(());
                }
                let (about, matrix) = Tally::stored(entries)?;
                let places = [Some(&**out), command.report.as_deref()];
                write(about, matrix, places, common)
            })
        }
        (None, None) => {
            page::check(command.report.as_deref())?;
            let mut tally = Tally::of(&about);
            trial.answers(0..trial.examples(), progress, |_, contents| {
                contents.iter().for_each(|content| tally.add(content));
                anyhow::Ok(())
            })?;
            if interrupted() {
                return Err(Interrupted("interrupted; nothing was written".into()).into());
            }
            let places = [None, command.report.as_deref()];
            write(about, tally.matrix(), places, common)
        }
    }
}

/// What `attack` wrote about a file of examples beside it, if it is there.
fn record(path: &Path) -> Option<examples::Record> {
    let bytes = std::fs::read(path.with_extension("json")).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// What the models' outputs have to be, so that all the examples can be judged by them.
fn outputs(examples: &[(String, SavedExamples)]) -> Result<Outputs, Usage> {
    let of = |file: &SavedExamples| file.goal().map_or(Outputs::Classes, OutputGoal::outputs);
    let mut outputs = examples.iter().map(|(_, file)| of(file));
    let first = outputs.next().unwrap_or_default();
    if outputs.all(|other| other == first) {
        return Ok(first);
    }
    let why = "a model's outputs are classes, labels or numbers, and the examples are not all of goals for the same: \
               give those of one kind at a time";
    Err(Usage(why.into()))
}

/// Reads a model with its preprocessing: the one that the command names; or that of the record of
/// the examples that were made for this model; or the one that all records agree on.
fn seen_through(
    command: &Transfer,
    records: &[examples::Record],
    (path, outputs): (&Path, Outputs),
    common: &Common,
) -> anyhow::Result<Model> {
    let interface = Interface::from(&command.interface);
    let budget = common.budget();
    let options = Model::options().interface(interface.clone()).budget(budget);
    let options = options.outputs(outputs);
    if let Some(preprocess) = command.preprocess.given()? {
        return Ok(options.preprocess(preprocess).open(path)?);
    }
    let (_, sha256) = read_network(path, &interface, &budget)?;
    let mut origins = records.iter().map(|record| &record.origin);
    let own = origins
        .clone()
        .find(|origin| origin.provenance.model_sha256 == sha256);
    let first = origins.next();
    let preprocess = match own.or(first) {
        None => Preprocess::default(),
        Some(origin) => {
            if own.is_none()
                && origins.any(|other| other.provenance.preprocess != origin.provenance.preprocess)
            {
                let why = format!(
                    "the examples were made through different preprocessing, and none of them for {}; \
                     give the preprocessing by {PREPROCESSING}",
                    path.display()
                );
                return Err(Usage(why).into());
            }
            origin.provenance.preprocess.clone()
        }
    };
    Ok(options.preprocess(preprocess).open(path)?)
}

/// Does a part of the examples, or all of them, and writes what comes out.
fn part(
    (command, out): (&Transfer, &Path),
    about: &About,
    trial: Trial<'_, SavedExamples, Model>,
    common: &Common,
    progress: &Progress,
    write: impl FnOnce(&Entries) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut part = Part::open(about, trial.examples(), command.shard, out, common)?;
    let remaining = part.remaining();
    let worked = match (remaining.first(), remaining.last()) {
        (Some(&first), Some(&last)) => trial.answers(first..last + 1, progress, |at, contents| {
            let entries = (at..).zip(contents);
            let missing = |(at, _): &(usize, _)| remaining.binary_search(at).is_ok();
            part.keep(entries.filter(missing)).map(drop)
        }),
        _ => Ok(()),
    };
    part.end(worked.map(|()| true), common, write).map(drop)
}

/// The files that are written, the record first.
fn written(out: &Path) -> [PathBuf; 4] {
    [JSON, "transfer.csv", "transfer.md", "transfer.svg"].map(|name| out.join(name))
}

/// Writes the files of merged shards.
pub(super) fn merge(entries: &Entries, command: &Merge, common: &Common) -> anyhow::Result<()> {
    let out = &*command.out;
    page::check(command.report.as_deref())?;
    let (about, matrix) = Tally::stored(entries)?;
    refuse_other_results(&written(out), &about, command.replace.overwrite)?;
    files::check_writable(&out.join(JSON))?;
    let places = [Some(out), command.report.as_deref()];
    write(about, matrix, places, common)
}

/// Writes the matrix into a folder and onto a page, where they are wanted, and shows it.
fn write(
    about: About,
    matrix: Matrix,
    [out, report]: [Option<&Path>; 2],
    common: &Common,
) -> anyhow::Result<()> {
    if let Some(row) = matrix
        .rates
        .iter()
        .position(|rates| rates.is_empty() && about.correct_only)
    {
        let why = format!(
            "no image of {} is one that all the models get right: leave --correct-only out",
            matrix.rows[row]
        );
        return Err(Usage(why).into());
    }
    let record = TransferRecord { matrix, about };
    let mut files = Vec::new();
    if let Some(out) = out {
        files = blindspot_report::write(out, &blindspot_report::transfer_files(&record)?)?;
    }
    if let Some(report) = report {
        let made = record.made().by(page::command());
        let page = blindspot_report::transfer_page(&record, &made)?;
        page::write(report, &page)?;
    }
    say(common, &print::table(&record.table()))?;
    if !files.is_empty() || report.is_some() {
        let page = report.map(page::file);
        say(common, &listing(&files, page.as_deref()))?;
    }
    json(common, &record)
}

/// Files by their names without folder and ending; by their whole paths where two are the same.
fn named(paths: &[PathBuf]) -> Vec<(String, &Path)> {
    let stem = |path: &Path| {
        path.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    };
    let mut stems: Vec<_> = paths.iter().filter_map(|path| stem(path)).collect();
    stems.sort_unstable();
    stems.dedup();
    let distinct = stems.len() == paths.len();
    let name = |path: &Path| match stem(path) {
        Some(stem) if distinct => stem,
        _ => path.display().to_string(),
    };
    paths
        .iter()
        .map(|path| (name(path), path.as_path()))
        .collect()
}
