//! `blindspot units`.

mod parts;

use std::path::{Path, PathBuf};

use blindspot::model::InputBox;
use blindspot::model::Interface;
use blindspot::model::Model;
use blindspot::provenance::Provenance;
use blindspot::units::{
    ActivationReader, Context, Layer, Plan, Regularisation, SurveyIdentity, SurveyRecord,
    SurveyRequest, UnitsOptions, illustrate, random_units, survey,
};
use blindspot_data::files;
use blindspot_data::{ImageRequest, ImageSet};
use blindspot_report::Made;

use super::load;
use super::out::{listing, refuse_other_results};
use crate::args::{ChoiceArgs, Common, Units, WantedUnits};
use crate::errors::Usage;
use crate::print::{json, say};
use crate::progress::Progress;
pub(super) use parts::{About, merge};

pub(super) fn run(command: &Units, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let source = load::Source::of(&command.model, InputBox::default(), common)?;
    let model = load::model(
        &source,
        &command.data.request(&command.model.preprocess)?,
        common,
        progress,
    )?;
    let network = model.network();
    let Some(Some(name)) = &command.layer else {
        let layers = Layer::all(network);
        for layer in &layers {
            say(common, &line(layer))?;
        }
        let listed = layers.iter().map(|layer| {
            serde_json::json!({
                "layer": layer.name, "shape": layer.shape(), "operator": layer.operator,
            })
        });
        return json(common, &listed.collect::<Vec<_>>());
    };
    let layer = Layer::find(network, name)?;
    let Some(out) = &command.out else {
        return Err(Usage("--out DIR is missing: where to write the pictures to".into()).into());
    };
    let request = request(command, &layer)?;
    let subject = Subject::new(request, model, layer, common, progress)?;
    match command.shard {
        Some(shard) => parts::shard(shard, &subject, out, common, progress),
        None => parts::whole(subject, (out, command.replace.overwrite), common, progress),
    }
}

/// What is looked at, and how.
struct Subject {
    request: SurveyRequest,
    model: Model,
    layer: Layer,
    images: ImageSet,
}

impl Subject {
    fn new(
        request: SurveyRequest,
        model: Model,
        layer: Layer,
        common: &Common,
        progress: &Progress,
    ) -> anyhow::Result<Subject> {
        Ok(Subject {
            images: load::images(&request.images, Some(&model), common, progress)?,
            request,
            model,
            layer,
        })
    }

    fn provenance(&self) -> Provenance {
        Provenance::of(&self.model, &self.images, &self.request.images.data)
    }

    fn identity(&self) -> SurveyIdentity {
        SurveyIdentity {
            layer: self.layer.name.clone(),
            synthesis: self.request.synthesis,
            options: self.request.plan.clone(),
            provenance: self.provenance(),
        }
    }
}

/// What the command asks for.
fn request(command: &Units, layer: &Layer) -> anyhow::Result<SurveyRequest> {
    let choice = ChoiceArgs {
        samples: command.samples.unwrap_or(usize::MAX),
        shuffle: command.shuffle,
    };
    let regularisation = Regularisation::default()
        .l2(command.l2)
        .total_variation(command.total_variation);
    Ok(SurveyRequest {
        model: command.model.model.clone(),
        interface: Interface::from(&command.model.interface),
        preprocess: command.model.preprocess.read()?.preprocess,
        images: ImageRequest {
            choice: Some(choice.choice(command.seed)?),
            ..command.data.request(&command.model.preprocess)?
        },
        layer: layer.name.clone(),
        plan: plan(command, layer),
        synthesis: command.synthesize.then_some(regularisation),
    })
}

/// What is asked for of a layer.
fn plan(command: &Units, layer: &Layer) -> Plan {
    let units = match &command.units {
        WantedUnits::Count(count) => random_units(*count, layer.units, command.seed),
        WantedUnits::These(units) => units.clone(),
    };
    let options = UnitsOptions::default()
        .top(command.top.into())
        .reduce(command.reduce.into());
    Plan::default()
        .units(units)
        .directions(command.directions)
        .components(command.components)
        .study(!command.no_statistics)
        .options(options)
        .seed(command.seed)
}

/// Before the work: a folder that can't be written, or holds other results, is found out now.
fn check_folder(subject: &Subject, out: &Path, overwrite: bool) -> anyhow::Result<()> {
    let written = ["units.json", "units.html", "units.svg"].map(|name| out.join(name));
    refuse_other_results(&written, &subject.identity(), overwrite)?;
    Ok(files::check_writable(&written[0])?)
}

/// Surveys the layer, from its values if they are stored, and writes what comes out.
fn write_all(
    subject: Subject,
    stored: Option<&ActivationReader<'_>>,
    out: &Path,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<()> {
    let identity = subject.identity();
    let Subject {
        request,
        model,
        layer,
        images,
    } = subject;
    let SurveyRequest {
        plan,
        synthesis: regularisation,
        ..
    } = request;
    let network = model.network();
    let context = Context::new(network, &layer, &images).with_labels(images.labels());
    let report = survey(&context, &plan, stored, progress)?;
    let reduce = plan.options.reduce;
    let rows = illustrate(network, &images, &layer, &report, reduce, regularisation)?;
    let record = SurveyRecord::new(identity, &layer, &images, &report, &rows);
    let study = record.statistics.as_ref();
    let SurveyIdentity {
        layer: name,
        options,
        provenance,
        ..
    } = &record.identity;
    let more = vec![
        ("number of images".to_owned(), record.images.to_string()),
        ("layer".into(), name.clone()),
    ];
    // Without the command: the page is the same for any number of shards and threads.
    let made = Made::of(provenance, options, more)?;
    let files = blindspot_report::units_files(&record, &rows, &made)?;
    let (page, files): (Vec<PathBuf>, Vec<PathBuf>) = blindspot_report::write(out, &files)?
        .into_iter()
        .partition(|file| file.extension().is_some_and(|ending| ending == "html"));
    if let Some(study) = study {
        say(common, &study.answer)?;
        for remark in &study.remarks {
            say(common, &format!("  {remark}."))?;
        }
    }
    for row in &rows {
        if let Some(value) = row.constant {
            say(common, &format!("{}: {value} for every image", row.title))?;
        } else if row.no_gradient {
            say(
                common,
                &format!("{}: no gradient, so that no image was made", row.title),
            )?;
        }
    }
    let page = page.first().map(PathBuf::as_path);
    say(common, &listing(&files, page))?;
    json(common, &record)
}

/// A layer for people.
fn line(layer: &Layer) -> String {
    let sizes: Vec<String> = layer.shape().iter().map(usize::to_string).collect();
    format!(
        "{:16} {:14} {}",
        sizes.join("x"),
        layer.operator,
        layer.name
    )
}
