//! `blindspot certify`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use blindspot::certify::{
    About, Arithmetic, Bracket, Bracketing, Certifier, MAX_TIME, Record, Summary,
};
use blindspot::run::journal::{Entries, Work as _};
use blindspot::search::{SearchOptions, Target};
use blindspot_data::ImageRequest;
use blindspot_data::files;
use blindspot_report::{Made, digits, write_certified};

use super::load;
use super::out::{beside, listing, refuse_inputs, refuse_other_results};
use super::page;
use super::part::Part;
use super::verify;
use crate::args::{Certify, Common, Merge};
use crate::errors::Usage;
use crate::print::{json, say};
use crate::progress::Progress;

pub(super) fn run(command: &Certify, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    if let Some(property) = &command.property {
        return verify::run(command, property, common, progress);
    }
    let no_out = || Usage("--out is missing: say which file to write".into());
    let out = command.out.as_deref().ok_or_else(no_out)?;
    let data = command.images.in_place_of(&command.data);
    let written = written(out)?;
    let read = [command.model.files(), data.files()].concat();
    refuse_inputs(&written, &read)?;
    let request = ImageRequest {
        choice: Some(command.choice.choice(command.seed)?),
        ..data.request(&command.model.preprocess)?
    };
    let source = load::Source::of(&command.model, command.r#box, common)?;
    let model = load::model(&source, &request, common, progress)?;
    let images = load::images(&request, Some(&model), common, progress)?;
    let chosen = load::Chosen::of(images, &model, command.correct_only, common)?;
    let (images, labels) = (&chosen.images, &*chosen.labels);
    // What bounds need is made within the time, too.
    let began = Instant::now();
    let limit = command.time_limit.map(Duration::from_secs_f64);
    let certifier = match limit {
        Some(limit) => {
            Certifier::in_box_until(&model, model.input_box(), began + limit.min(MAX_TIME))?
        }
        None => Certifier::new(&model)?,
    };
    let certifier = certifier
        .norm(command.norm)
        .grouping(command.group)
        .arithmetic(command.arithmetic);
    let options = SearchOptions::default()
        .target(Target::Untargeted)
        .norm(command.norm)
        .grouping(command.group)
        .seed(command.seed)
        .input_box(command.r#box);
    let about = About {
        options: options.clone(),
        provenance: chosen.provenance(&model, &data.data),
        time_limit: command.time_limit,
        arithmetic: command.arithmetic,
        limits: certifier.limits(command.time_limit.is_some()),
    };
    // Before the work: a file that can't be written is found out now.
    page::check(command.report.as_deref())?;
    if command.shard.is_none() {
        refuse_other_results(&written, &about, command.replace.overwrite)?;
    }
    let mut part = Part::open(&about, images.len(), command.shard, out, common)?;
    let remaining = part.remaining();
    // What was done before a kill had its time.
    let share = remaining.len() as f64 / part.range().len().max(1) as f64;
    let prepared = began.elapsed();
    let time = limit.map(|limit| limit.mul_f64(share).saturating_sub(prepared));
    let bracketing = Bracketing {
        certifier: &certifier,
        classifier: &model,
        options: &options,
        time,
    };
    let keep = |found: Vec<Bracket>| -> anyhow::Result<()> {
        let entries = found.iter();
        let entries = entries.map(|bracket| (bracket.certificate.position, bracket.encode()));
        part.keep(entries).map(drop)
    };
    let (worked, seconds) = match bracketing.run(images, labels, &remaining, progress, keep) {
        Ok(time) => (Ok(()), time.as_secs_f64()),
        Err(error) => (Err(error), 0.0),
    };
    let speed = match remaining.len() {
        0 => String::new(),
        count => format!(", {:.1} ms an image", 1e3 * seconds / count as f64),
    };
    match part.end(worked.map(|()| true), common, |entries| {
        let subject = command.model.model.display().to_string();
        write(entries, out, command.report.as_deref(), &subject)
    })? {
        Some(record) => {
            let files = files_of(out, command.report.as_deref())?;
            tell(&record, &speed, &files, common)
        }
        None => Ok(()),
    }
}

/// Writes the files of merged shards.
pub(super) fn merge(entries: &Entries, command: &Merge, common: &Common) -> anyhow::Result<()> {
    page::check(command.report.as_deref())?;
    let (out, about) = (&*command.out, About::of(entries)?);
    refuse_other_results(&written(out)?, &about, command.replace.overwrite)?;
    files::check_writable(out)?;
    let record = write(entries, out, command.report.as_deref(), "a network")?;
    let files = files_of(out, command.report.as_deref())?;
    tell(&record, "", &files, common)
}

/// The files that are written, the record first.
fn written(out: &Path) -> Result<[PathBuf; 3], Usage> {
    Ok([beside(out, "json")?, out.to_owned(), beside(out, "svg")?])
}

/// Writes the files of what journals hold.
fn write(
    entries: &Entries,
    out: &Path,
    report: Option<&Path>,
    model: &str,
) -> anyhow::Result<Record> {
    let about = About::of(entries)?;
    let brackets = Bracket::read_all(entries)?;
    let record = Record {
        about,
        summary: Summary::of(&brackets),
    };
    write_certified(&written(out)?, &brackets, &record)?;
    if let Some(report) = report {
        let provenance = &record.about.provenance;
        let subject = format!("{model} on {}", provenance.data);
        let made = Made::of(provenance, &record.about.options, Vec::new())?.by(page::command());
        let page = blindspot_report::certify_page(&subject, &brackets, &record, &made)?;
        page::write(report, &page)?;
    }
    Ok(record)
}

/// What is written, for people.
fn files_of(out: &Path, report: Option<&Path>) -> Result<String, Usage> {
    let [json, npz, svg] = written(out)?;
    Ok(listing(
        &[npz, json, svg],
        report.map(page::file).as_deref(),
    ))
}

/// Says what was found, at which speed, and which files have it.
fn tell(record: &Record, speed: &str, files: &str, common: &Common) -> anyhow::Result<()> {
    let Summary {
        samples,
        right,
        found,
        certificate_mean,
        found_mean,
        ratio,
        ..
    } = record.summary;
    let lines = record.about.limits.iter();
    let lines = lines.map(|why| format!("\nCertificates rest {why}"));
    let holds = match record.about.arithmetic {
        Arithmetic::Runtime => "in exact arithmetic and in any runtime's",
        Arithmetic::Exact => "in exact arithmetic, perhaps not in a runtime's",
    };
    let norm = record.about.options.norm.title();
    let mean = |mean: Option<f64>, of: &str| match mean {
        Some(mean) => format!("mean {norm} norm {} of the {of}", digits(mean)),
        None => "none".into(),
    };
    say(
        common,
        &format!(
            "{samples} images of {}\n\
             right as they are  {}\n\
             certificate        {}{speed}\n\
             holds              {holds}\n\
             smallest change    {}\n\
             ratio of the means {}{}\n\
             {files}",
            record.about.provenance.data,
            load::right_in_words(right, samples, &record.about.provenance),
            mean(certificate_mean, &format!("{right} right as they are")),
            mean(
                found_mean,
                &format!("{found} of them for which one was found")
            ),
            ratio.map_or("none".into(), |ratio| format!("{ratio:.3}, of these")),
            lines.collect::<String>(),
        ),
    )?;
    json(common, record)
}
