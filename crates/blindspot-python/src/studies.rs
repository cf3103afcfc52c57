//! Studies whose results are tables: spectra, units, transfer.

use std::path::PathBuf;

use blindspot::ErrorKind;
use blindspot::inputs::InMemory;
use blindspot::spectrum::Spectrum;
use blindspot::transfer::{MemoryExamples, SavedExamples, Transfer, Variant};
use blindspot::units::{DirectionImages, Layer, Reduction, TopImages, Units, random_units};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::attack::Found;
use crate::classifier::AnyModel;
use crate::errors::{Failure, fail};
use crate::images::Given;
use crate::model::{self, Model};
use crate::work::{Watch, run_whole};

/// A study as JSON, and the files that it leaves: names and contents.
type Told = (String, Vec<(String, Vec<u8>)>);

/// Whether so many right answers look like guesses.
#[pyfunction]
pub(crate) fn near_chance(right: usize, images: usize, classes: usize) -> bool {
    blindspot::preprocess::near_chance(right, images, classes)
}

/// Writes files into a folder, each whole or not at all.
#[pyfunction]
pub(crate) fn write_files(dir: PathBuf, files: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
    blindspot_data::files::make_folder(&dir)?;
    for (name, bytes) in files {
        blindspot_data::files::write_atomically(&dir.join(name), |writer| {
            writer.write_all(&bytes)
        })?;
    }
    Ok(())
}

/// What is measured of layers.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct SpectrumOptions {
    layer: Option<String>,
    input_size: Option<[usize; 2]>,
    tolerance: f64,
    seed: u64,
}

/// Singular values of a network's layers.
#[pyfunction]
pub(crate) fn spectrum(
    py: Python<'_>,
    model: PyRef<'_, Model>,
    options: SpectrumOptions,
    watch: Watch,
) -> Result<Told, Failure> {
    let network = model.file_network()?;
    let mut spectrum = Spectrum::new(&network)
        .seed(options.seed)
        .tolerance(options.tolerance);
    if let Some(layer) = options.layer {
        spectrum = spectrum.layer(layer);
    }
    if let Some(size) = options.input_size {
        spectrum = spectrum.input_size(size);
    }
    let spectra = run_whole(py, &watch, |monitor| spectrum.measure_with(monitor))?;
    let table = blindspot_report::spectrum_table(&spectra);
    let mut files = vec![
        ("spectrum.csv".to_owned(), table.csv().into_bytes()),
        ("spectrum.md".to_owned(), table.markdown().into_bytes()),
    ];
    for layer in &spectra.layers {
        if let Some(plot) = blindspot_report::spectrum_plot(layer) {
            let name = blindspot_report::file_name(&layer.layer);
            files.push((format!("spectrum-{name}.svg"), plot.into_bytes()));
        }
    }
    Ok((model::json(&spectra)?, files))
}

/// The layers of a model whose units can be studied: name, operator, units and positions of each.
#[pyfunction]
pub(crate) fn layers(model: PyRef<'_, Model>) -> Vec<(String, String, Vec<usize>)> {
    let layers = Layer::all(model.model().network()).into_iter();
    layers
        .map(|layer| {
            (
                layer.name.clone(),
                layer.operator.to_string(),
                shape(&layer),
            )
        })
        .collect()
}

/// Units, and positions of each.
fn shape(layer: &Layer) -> Vec<usize> {
    [&[layer.units], &layer.positions[..]].concat()
}

/// What is looked at of a layer.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct UnitsOptions {
    layer: String,
    /// How many, or which.
    units: WantedUnits,
    directions: usize,
    components: usize,
    top: usize,
    reduce: String,
    statistics: bool,
    seed: u64,
}

#[derive(FromPyObject)]
enum WantedUnits {
    Count(usize),
    These(Vec<usize>),
}

/// Which images excite units and random directions.
#[pyfunction]
pub(crate) fn units(
    py: Python<'_>,
    model: PyRef<'_, Model>,
    images: &Bound<'_, PyAny>,
    labels: Option<Vec<usize>>,
    options: UnitsOptions,
    watch: Watch,
) -> Result<String, Failure> {
    let reduce = match options.reduce.as_str() {
        "max" => Reduction::Max,
        "mean" => Reduction::Mean,
        other => {
            let why = format!("unknown reduction `{other}`; use max or mean");
            return Err(fail(ErrorKind::Usage, why));
        }
    };
    if !(1..=1000).contains(&options.top) {
        return Err(fail(ErrorKind::Usage, "top takes 1 to 1000"));
    }
    let network = model.model().network();
    let layer = Layer::find(network, &options.layer)?;
    let wanted = match options.units {
        WantedUnits::Count(count) => random_units(count, layer.units, options.seed),
        WantedUnits::These(units) => units,
    };
    let study = Units::of(network)
        .layer(&options.layer)
        .units(wanted)
        .directions(options.directions)
        .components(options.components)
        .top(options.top)
        .reduce(reduce)
        .study(options.statistics)
        .seed(options.seed);
    Given::with(images, |images| {
        let labels = labels.as_deref();
        let report = run_whole(py, &watch, |monitor| {
            study.run_watched(images, labels, monitor)
        })?;
        let direction = |shown: &DirectionImages| {
            let mut record = ranked(&shown.found);
            record["direction"] = json!(shown.direction);
            record["variance"] = json!(shown.variance);
            record
        };
        let units = report.units.iter().map(|shown| {
            let mut record = ranked(&shown.found);
            record["unit"] = json!(shown.unit);
            record
        });
        model::json(&json!({
            "layer": layer.name,
            "shape": shape(&layer),
            "units": units.collect::<Vec<_>>(),
            "directions": report.directions.iter().map(direction).collect::<Vec<_>>(),
            "components": report.components.iter().map(direction).collect::<Vec<_>>(),
            "statistics": report.study,
        }))
    })
}

/// The images of a unit or direction, by their positions.
fn ranked(found: &TopImages) -> Value {
    json!({
        "top": found.top.images,
        "activation": found.top.activations,
        "leading": found.leading(),
        "tied": found.top.tied,
        "lowest": found.lowest.images,
        "lowest_activation": found.lowest.activations,
        "constant": found.is_constant(),
        "selectivity": found.selectivity,
    })
}

/// Examples, in memory or in a file.
#[derive(FromPyObject)]
pub(crate) enum Examples<'py> {
    #[pyo3(transparent)]
    Found(Bound<'py, Found>),
    #[pyo3(transparent)]
    File(PathBuf),
}

/// What is done to examples.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct TransferOptions {
    amplify: Vec<f64>,
    amplify_by: Vec<f64>,
    noise: Vec<f64>,
    seed: u64,
    correct_only: bool,
}

/// What examples do to other models.
#[pyfunction]
pub(crate) fn transfer<'py>(
    py: Python<'py>,
    examples: Vec<(String, Examples<'py>)>,
    models: Vec<(String, Bound<'py, PyAny>)>,
    options: TransferOptions,
    watch: Watch,
) -> Result<Told, Failure> {
    let originals: Vec<Option<InMemory>> = examples
        .iter()
        .map(|(_, examples)| match examples {
            Examples::Found(found) => Some(found.get().originals()),
            Examples::File(_) => None,
        })
        .collect();
    let models: Vec<(String, AnyModel<'_>)> = models
        .iter()
        .map(|(name, model)| Ok((name.clone(), AnyModel::of(model)?)))
        .collect::<PyResult<_>>()?;
    let mut study = Transfer::new().seed(options.seed);
    if options.correct_only {
        study = study.correct_only();
    }
    for ((name, examples), originals) in examples.iter().zip(&originals) {
        study = match (examples, originals) {
            (Examples::Found(found), Some(originals)) => {
                let examples = found.get().examples();
                study.examples(name, MemoryExamples::new(examples, originals))
            }
            (Examples::File(path), _) => study.examples(name, SavedExamples::open(path)?),
            (Examples::Found(_), None) => study,
        };
    }
    for (name, model) in &models {
        study = study.model(name, model.classifier());
    }
    let variants = [
        (options.amplify, Variant::Distortion as fn(f64) -> Variant),
        (options.amplify_by, Variant::Factor),
        (options.noise, Variant::Noise),
    ];
    for (values, variant) in variants {
        for value in values {
            if !(value.is_finite() && value > 0.0) {
                let why = "amplify, amplify_by and noise take numbers above 0";
                return Err(fail(ErrorKind::Usage, why));
            }
            study = study.variant(variant(value));
        }
    }
    let (matrix, interrupt) = crate::work::run(py, &watch, |monitor| study.run_watched(monitor))?;
    if let Some(interrupt) = interrupt {
        return Err(interrupt.into());
    }
    let raised = || models.iter().find_map(|(_, model)| model.raised());
    let matrix = matrix.map_err(|error| match raised() {
        Some(raised) => Failure::from(raised),
        None => Failure::from(error),
    })?;
    if options.correct_only && matrix.rates.iter().any(Vec::is_empty) {
        let why = "no image of a set is one that all the models get right: leave correct_only out";
        return Err(fail(ErrorKind::Usage, why));
    }
    let table = blindspot_report::transfer_matrix(&matrix);
    let files = vec![
        ("transfer.csv".to_owned(), table.csv().into_bytes()),
        ("transfer.md".to_owned(), table.markdown().into_bytes()),
        (
            "transfer.svg".to_owned(),
            blindspot_report::heat_map(&matrix).into_bytes(),
        ),
    ];
    Ok((model::json(&matrix)?, files))
}
