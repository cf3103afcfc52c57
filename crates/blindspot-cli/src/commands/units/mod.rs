//! `blindspot units`.

mod parts;

use std::path::Path;

use blindspot::model::InputBox;
use blindspot::model::Interface;
use blindspot::model::Model;
use blindspot::provenance::Provenance;
use blindspot::units::{
    ActivationReader, Context, DirectionImages, Layer, PictureRow, Plan, RankedImages, Reduction,
    Regularisation, Study, SurveyRequest, SynthesisOptions, TopImages, UnitsOptions, picture_rows,
    random_units, survey, synthesise_all,
};
use blindspot_data::files::{self, FileError};
use blindspot_data::{ImageRequest, ImageSet};
use blindspot_report::Made;
use serde::Serialize;

use super::load;
use super::out::refuse_other_results;
use super::page;
use crate::args::{ChoiceArgs, Common, Units, WantedUnits};
use crate::errors::Usage;
use crate::print::{json, say};
use crate::progress::Progress;
pub(super) use parts::{About, merge};

/// The content of units.json.
#[derive(Serialize)]
struct Record {
    #[serde(flatten)]
    identity: Identity,
    /// Units, and positions of each.
    shape: Vec<usize>,
    /// How many.
    images: usize,
    units: Vec<UnitRecord>,
    directions: Vec<DirectionRecord>,
    components: Vec<DirectionRecord>,
    /// In the order of units, directions, components.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    synthesised: Vec<MadeRecord>,
    /// Those for which none was made, as they have no gradient.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    no_gradient: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<Study>,
}

/// What tells a survey from others.
#[derive(Serialize)]
struct Identity {
    layer: String,
    /// How images were made, where they were asked for.
    synthesis: Option<Regularisation>,
    options: Plan,
    #[serde(flatten)]
    provenance: Provenance,
}

#[derive(Serialize)]
struct UnitRecord {
    unit: usize,
    #[serde(flatten)]
    images: ImagesRecord,
}

#[derive(Serialize)]
struct DirectionRecord {
    direction: Vec<f32>,
    /// Of a principal component: its part of the units' variance.
    #[serde(skip_serializing_if = "Option::is_none")]
    variance: Option<f64>,
    #[serde(flatten)]
    images: ImagesRecord,
}

/// An image that was made.
#[derive(Serialize)]
struct MadeRecord {
    of: String,
    file: String,
    activation: f32,
}

#[derive(Serialize)]
struct ImagesRecord {
    /// Places in the data set; none of a constant.
    top: Vec<usize>,
    activation: Vec<f32>,
    /// Where in the layer, along each axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Vec<Vec<usize>>>,
    /// How many of the top images lead; only their places chose the others among equal ones.
    leading: usize,
    /// Whether an image that is not listed has the last one's activation.
    tied: bool,
    lowest: Vec<usize>,
    lowest_activation: Vec<f32>,
    /// The same for all images.
    constant: bool,
    /// Of a constant, its activation for all images.
    #[serde(skip_serializing_if = "Option::is_none")]
    constant_activation: Option<f32>,
    selectivity: Option<f64>,
}

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
                "layer": layer.name, "shape": shape(layer), "operator": layer.operator,
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
        None => write_all(
            subject,
            None,
            (out, command.replace.overwrite),
            common,
            progress,
        ),
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

/// Surveys the layer, from its values if they are stored, and writes what comes out.
fn write_all(
    subject: Subject,
    stored: Option<&ActivationReader<'_>>,
    (out, overwrite): (&Path, bool),
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<()> {
    let provenance = subject.provenance();
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
    let identity = Identity {
        layer: layer.name.clone(),
        synthesis: regularisation,
        options: plan.clone(),
        provenance,
    };
    // Before the work: a folder that can't be written is found out now.
    let written = ["units.json", "units.html", "units.svg"].map(|name| out.join(name));
    refuse_other_results(&written, &identity, overwrite)?;
    files::check_writable(&out.join("units.json"))?;

    let context = Context::new(network, &layer, &images).with_labels(images.labels());
    let report = survey(&context, &plan, stored, progress)?;
    let reduce = plan.options.reduce;
    let made = match regularisation {
        Some(regularisation) => {
            let options = SynthesisOptions::default()
                .reduce(reduce)
                .regularisation(regularisation);
            synthesise_all(network, &images, &layer, &report, options)?
        }
        None => Vec::new(),
    };
    let rows = picture_rows(network, &images, &layer, &report, reduce, &made)?;
    let synthesised = made_files(out, &rows)?;
    let by_mean = reduce == Reduction::Mean;
    let record_of = |found: &TopImages| images_record(found, &images, &layer, by_mean);
    let direction = |shown: &DirectionImages| DirectionRecord {
        direction: shown.direction.clone(),
        variance: shown.variance,
        images: record_of(&shown.found),
    };
    let record = Record {
        identity,
        shape: shape(&layer),
        images: images.len(),
        units: report
            .units
            .iter()
            .map(|shown| UnitRecord {
                unit: shown.unit,
                images: record_of(&shown.found),
            })
            .collect(),
        directions: report.directions.iter().map(direction).collect(),
        components: report.components.iter().map(direction).collect(),
        synthesised,
        no_gradient: rows
            .iter()
            .filter(|row| row.no_gradient)
            .map(|row| plain_title(row).to_owned())
            .collect(),
        statistics: report.study,
    };
    let study = record.statistics.as_ref();
    let Identity {
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
    let made = Made {
        command: String::new(),
        ..page::made_from(provenance, options, more)?
    };
    let page = blindspot_report::units_page(&layer.name, images.len(), &rows, study, &made)?;
    write(out, "units.json", &serde_json::to_vec(&record)?)?;
    write(out, "units.html", page.as_bytes())?;
    let drawing = blindspot_report::units_drawing(&layer.name, &rows);
    write(out, "units.svg", drawing.as_bytes())?;
    if let Some(study) = study {
        let distributions = blindspot_report::distributions(study);
        write(out, "distributions.svg", distributions.as_bytes())?;
        if let Some(rotation) = blindspot_report::rotation(study) {
            write(out, "rotation.svg", rotation.as_bytes())?;
        }
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
    say(
        common,
        &format!("The page: {}", out.join("units.html").display()),
    )?;
    json(common, &record)
}

/// The name of a row without what is said in brackets.
fn plain_title(row: &PictureRow) -> &str {
    row.title.split(" (").next().unwrap_or_default()
}

/// Writes the images that were made.
fn made_files(out: &Path, rows: &[PictureRow]) -> Result<Vec<MadeRecord>, FileError> {
    let mut records = Vec::new();
    for row in rows {
        let Some(made) = &row.synthesised else {
            continue;
        };
        let of = plain_title(row).to_owned();
        let file = format!("{}.png", of.replace(' ', "-"));
        write(out, &file, &blindspot_report::picture_png(&made.picture))?;
        records.push(MadeRecord {
            of,
            file,
            activation: made.activation,
        });
    }
    Ok(records)
}

fn write(out: &Path, name: &str, bytes: &[u8]) -> Result<(), FileError> {
    files::write_atomically(&out.join(name), |writer| writer.write_all(bytes))
}

/// Units, and positions of each.
fn shape(layer: &Layer) -> Vec<usize> {
    [&[layer.units], &layer.positions[..]].concat()
}

/// A layer for people.
fn line(layer: &Layer) -> String {
    let sizes: Vec<String> = shape(layer).iter().map(usize::to_string).collect();
    format!(
        "{:16} {:14} {}",
        sizes.join("x"),
        layer.operator,
        layer.name
    )
}

fn images_record(
    found: &TopImages,
    images: &ImageSet,
    layer: &Layer,
    by_mean: bool,
) -> ImagesRecord {
    let places = |ranked: &RankedImages| {
        let images = ranked.images.iter().map(|&image| images.indices()[image]);
        images.collect()
    };
    let position = |&position: &usize| {
        let mut left = position;
        let mut along: Vec<usize> = layer
            .positions
            .iter()
            .rev()
            .map(|&length| {
                let at = left % length;
                left /= length;
                at
            })
            .collect();
        along.reverse();
        along
    };
    let constant = found.is_constant();
    let nothing = TopImages::default();
    // Where no image leads, only its index would tell one from the others.
    let TopImages { top, lowest, .. } = if constant { &nothing } else { found };
    ImagesRecord {
        top: places(top),
        activation: top.activations.clone(),
        position: (!by_mean && !layer.positions.is_empty())
            .then(|| top.positions.iter().map(position).collect()),
        leading: found.leading(),
        tied: found.top.tied,
        lowest: places(lowest),
        lowest_activation: lowest.activations.clone(),
        constant,
        constant_activation: found.constant(),
        selectivity: found.selectivity,
    }
}
