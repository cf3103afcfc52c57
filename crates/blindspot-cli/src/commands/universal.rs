//! `blindspot universal`.

use std::path::{Path, PathBuf};

use blindspot::model::{Interface, Model};
use blindspot::transfer::ModelFile;
use blindspot::universal::{
    About, Aim, Ended, FoolingShare, HeldOut, Record, Shares, Summary, Universal, UniversalOptions,
    UniversalPerturbation, Verdict, halves, write_record, write_universal,
};
use blindspot_data::{Choice, ImageRequest, ImageSet, files};
use blindspot_report::{Made, UniversalPage, digits, universal_page};

use super::attack::target;
use super::out::{beside, listing, refuse_inputs, refuse_other_results};
use super::{load, page};
use crate::args::{self, Common};
use crate::errors::{Interrupted, Usage};
use crate::interrupt::{self, Finishing, interrupted};
use crate::print::{json, of, say};
use crate::progress::Progress;

/// Images on the page, each without the perturbation and with it.
const SHOWN: usize = 6;

pub(super) fn run(
    command: &args::Universal,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<()> {
    let data = command.images.in_place_of(&command.data);
    let written = [beside(&command.out, "json")?, command.out.clone()];
    let read = [command.model.files(), data.files(), command.models.clone()].concat();
    refuse_inputs(&written, &read)?;
    if command.held_out.as_ref() == Some(&data.data) {
        let why = "--held-out names the images that the perturbation is found on; leave it out, and a half of them is \
                   held out";
        return Err(Usage(why.into()).into());
    }
    let aim = match (command.epsilon, command.share) {
        (Some(epsilon), _) => Aim::Epsilon(epsilon),
        (None, share) => Aim::Share(share.unwrap_or_default()),
    };
    let mut options = UniversalOptions {
        norm: command.norm,
        seed: command.seed,
        input_box: command.r#box,
        max_evaluations: command.max_evaluations,
        time_limit: command.time_limit,
        ..UniversalOptions::new(aim)
    };
    let request = ImageRequest {
        choice: Some(choice(command)?),
        ..data.request(&command.model.preprocess)?
    };
    let source = load::Source::of(&command.model, command.r#box, common)?;
    let model = load::model(&source, &request, common, progress)?;
    if model.takes_whole_numbers() {
        let why = "the network takes whole numbers (bytes), and one perturbation for all images is none of these; \
                   attack finds one for each image";
        return Err(Usage(why.into()).into());
    }
    let images = load::images(&request, Some(&model), common, progress)?;
    options.target = target(&command.target, model.classes().or(images.classes()))?;
    options.check(model.output_len())?;
    let images = load::Chosen::of(images, &model, false, common)?;
    let [training, held_out] = match &command.held_out {
        None => split(images, command.seed)?,
        Some(name) => {
            let request = ImageRequest {
                choice: request.choice,
                ..data.named(name).request(&command.model.preprocess)?
            };
            let others = load::images(&request, Some(&model), common, progress)?;
            [images, load::Chosen::of(others, &model, false, common)?]
        }
    };
    let others = others(command, &source, common)?;
    let held_out_name = command.held_out.as_deref().unwrap_or(&data.data);
    let about = About {
        options: options.clone(),
        provenance: training.provenance(&model, &data.data),
        held_out: HeldOut::of(&held_out.images, held_out_name, command.held_out.is_none()),
        models: others
            .iter()
            .map(|(name, model)| ModelFile {
                file: name.clone(),
                sha256: model.sha256().to_owned(),
                preprocess: model.preprocess().clone(),
            })
            .collect(),
    };
    refuse_other_results(&written, &about, command.replace.overwrite)?;
    files::check_writable(&command.out)?;
    page::check(command.report.as_deref())?;
    // After the first signal the best so far is judged, as far as there is time, and written.
    interrupt::keeping(|| "there was no time to write the best so far".into());
    let held_out_set = &held_out;
    let sets = [&training, held_out_set];
    let search = Universal::by(options);
    let found = search.run_watched(&model, &training.images, &training.labels, progress)?;
    let (verdicts, summary) = judged(command, &found, (&model, &others), sets)?;
    let record = Record { about, summary };
    let [training, held_out] = &verdicts;
    // The record first: by it the same command, after a kill, takes what is there for its own.
    write_record(&written[0], &record)?;
    write_universal(
        &command.out,
        &found,
        model.input_shape(),
        [training, held_out],
    )?;
    if let Some(report) = &command.report {
        let classes = model.classes().or(held_out_set.images.classes());
        let page = page_of(&record, &found, held_out, &held_out_set.images, classes)?;
        page::write(report, &page)?;
    }
    tell(&record, &verdicts, command, common)?;
    if interrupted() {
        let out = command.out.display();
        let why = format!("interrupted; the best so far is in {out}");
        return Err(Interrupted(why).into());
    }
    Ok(())
}

/// Which images are taken.
fn choice(command: &args::Universal) -> Result<Choice, Usage> {
    let (samples, shuffle) = (command.samples, command.shuffle);
    args::ChoiceArgs { samples, shuffle }.choice(command.seed)
}

/// The images that a perturbation is found on, and those held out.
fn split(chosen: load::Chosen, seed: u64) -> Result<[load::Chosen; 2], Usage> {
    let count = chosen.images.len();
    if count < 2 {
        let why =
            "one image can't be split into two halves; take more, or name others by --held-out";
        return Err(Usage(why.into()));
    }
    Ok(halves(count, seed).map(|half| chosen.select(&half)))
}

/// The other models, by name.
fn others(
    command: &args::Universal,
    source: &load::Source<'_>,
    common: &Common,
) -> anyhow::Result<Vec<(String, Model)>> {
    let options = Model::options()
        .interface(Interface::default())
        .preprocess(source.preprocess.clone())
        .input_box(source.input_box)
        .budget(common.budget());
    let open = |path: &PathBuf| Ok((name(path), options.clone().open(path)?));
    command.models.iter().map(open).collect()
}

/// What tables call a model.
fn name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    stem.to_string_lossy().into_owned()
}

/// What the models answer, in detail that of the first: once the work is interrupted, to as many images as there is time
/// for.
fn judged(
    command: &args::Universal,
    found: &UniversalPerturbation,
    (model, others): (&Model, &[(String, Model)]),
    sets: [&load::Chosen; 2],
) -> anyhow::Result<([Vec<Verdict>; 2], Summary)> {
    let target = found.options.class();
    let by = |model: &Model| -> anyhow::Result<[Vec<Verdict>; 2]> {
        let [training, held_out] =
            sets.map(|set| found.judge(model, &set.images, &set.labels, &Finishing));
        Ok([training?, held_out?])
    };
    let shares = |name: String, [training, held_out]: &[Vec<Verdict>; 2]| Shares {
        file: name,
        training: FoolingShare::of(training, target),
        held_out: FoolingShare::of(held_out, target),
    };
    let own = by(model)?;
    let mut all = vec![shares(name(&command.model.model), &own)];
    for (name, other) in others {
        all.push(shares(name.clone(), &by(other)?));
    }
    Ok((own, Summary::of(found, all)))
}

/// The page: with some of the images held out that are fooled.
fn page_of(
    record: &Record,
    found: &UniversalPerturbation,
    held_out: &[Verdict],
    images: &ImageSet,
    classes: Option<&[String]>,
) -> anyhow::Result<String> {
    let target = found.options.class();
    let fooled = held_out.iter().enumerate();
    let fooled = fooled.filter(|(_, verdict)| verdict.fooled(target));
    let read = |(at, &verdict): (usize, &Verdict)| {
        let mut values = vec![0.0; images.image_len()];
        images.read_image(at, &mut values)?;
        anyhow::Ok((verdict, values))
    };
    let examples = fooled
        .take(SHOWN)
        .map(read)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let about = &record.about;
    let made = Made::of(&about.provenance, &about.options, Vec::new())?.by(page::command());
    let shown = UniversalPage {
        found,
        held_out,
        examples: &examples,
        image_shape: images.shape(),
        classes,
        made: &made,
    };
    Ok(universal_page(record, &shown)?)
}

/// Says what was found.
fn tell(
    record: &Record,
    [training, held_out]: &[Vec<Verdict>; 2],
    command: &args::Universal,
    common: &Common,
) -> anyhow::Result<()> {
    let Record { about, summary } = record;
    let which = if about.held_out.split {
        format!("others, chosen by seed {}", about.options.seed)
    } else {
        format!("of {}", about.held_out.data)
    };
    let mut lines = vec![format!(
        "{} images of {}; held out {} {which}",
        training.len(),
        about.provenance.data,
        held_out.len(),
    )];
    let right = |verdicts: &[Verdict]| {
        let right = verdicts.iter().filter(|v| v.before == v.label);
        of(right.count(), verdicts.len())
    };
    lines.push(format!(
        "right as they are  {}; held out {}",
        right(training),
        right(held_out)
    ));
    let norm = about.options.norm.title();
    let asked = match (about.options.aim, summary.reached) {
        (Aim::Epsilon(epsilon), _) => format!("at most {} was asked for", digits(epsilon)),
        (Aim::Share(share), true) => format!("the smallest found that fools a share of {share}"),
        (Aim::Share(share), false) => format!("none was found that fools a share of {share}"),
    };
    lines.push(format!(
        "perturbation       {norm} norm {}; {asked}",
        digits(summary.norm)
    ));
    for (place, shares) in summary.shares.iter().enumerate() {
        let who = match place {
            0 => "fooled".into(),
            _ => format!("fooled, {}", shares.file),
        };
        let sides = [shares.training, shares.held_out].map(in_words);
        let [training, held_out] = sides;
        lines.push(format!("{who:<18} {training}; held out {held_out}"));
    }
    lines.push(format!(
        "evaluations        {:.0} an image, {:.0} gradients{}",
        summary.evaluations_mean,
        summary.gradients_mean,
        match summary.ended {
            Ended::Whole => "",
            Ended::MaxEvaluations => "; there the search ended",
            Ended::TimeLimit => "; the time was up",
            Ended::Interrupted => "; interrupted",
        }
    ));
    let files = [command.out.clone(), beside(&command.out, "json")?];
    let page = command.report.as_deref().map(page::file);
    lines.push(listing(&files, page.as_deref()));
    say(common, &lines.join("\n"))?;
    json(common, record)
}

/// A share with its interval.
fn in_words(share: Option<FoolingShare>) -> String {
    match share {
        None if interrupted() => "not judged".into(),
        None => "none is right as it is".into(),
        Some(share) => format!(
            "{} of {} ({:.1}%; 95% interval {:.1}% to {:.1}%)",
            share.fooled,
            share.right,
            100.0 * share.share,
            100.0 * share.low,
            100.0 * share.high
        ),
    }
}
