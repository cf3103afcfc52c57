//! Studies whose results are tables: spectra and transfer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use blindspot::ErrorKind;
use blindspot::inputs::{InMemory, Inputs as _};
use blindspot::model::Norm;
use blindspot::spectrum::Spectrum;
use blindspot::transfer::{
    About, ExampleSet, MemoryExamples, ModelFile, SavedExamples, Transfer, Variant,
};
use blindspot_data::files;
use blindspot_report::{Artifact, SpectrumIdentity, SpectrumRecord, TransferRecord};
use pyo3::prelude::*;

use crate::attack::check_outputs;
use crate::classifier::AnyModel;
use crate::errors::{Failure, fail};
use crate::found::Found;
use crate::model::{Model, json};
use crate::work::{Watch, run, run_whole};

/// A study: its record as JSON, the files that it leaves, by names and contents, and its page.
type Told = (String, Vec<(String, Vec<u8>)>, String);

/// Files as Python takes them.
pub(crate) fn pairs(files: Vec<Artifact>) -> Vec<(String, Vec<u8>)> {
    let pairs = files.into_iter().map(|file| (file.name, file.bytes));
    pairs.collect()
}

/// Whether so many right answers look like guesses.
#[pyfunction]
pub(crate) fn near_chance(right: usize, images: usize, classes: usize) -> bool {
    blindspot::preprocess::near_chance(right, images, classes)
}

/// Writes files into a folder, each whole or not at all.
#[pyfunction]
pub(crate) fn write_files(dir: PathBuf, files: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
    files::make_folder(&dir)?;
    let files = files.into_iter();
    let files: Vec<Artifact> = files
        .map(|(name, bytes)| Artifact { name, bytes })
        .collect();
    blindspot_report::write(&dir, &files)?;
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
    /// What the model is called.
    name: String,
    versions: BTreeMap<String, String>,
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
        .budget(*model.model().budget())
        .seed(options.seed)
        .tolerance(options.tolerance);
    if let Some(layer) = options.layer {
        spectrum = spectrum.layer(layer);
    }
    if let Some(size) = options.input_size {
        spectrum = spectrum.input_size(size);
    }
    let identity = SpectrumIdentity {
        options: spectrum.options().clone(),
        seed: options.seed,
        model_sha256: model.model().sha256().to_owned(),
        versions: options.versions,
    };
    let record = SpectrumRecord {
        spectra: run_whole(py, &watch, |monitor| spectrum.measure_with(monitor))?,
        model: options.name,
        identity,
    };
    let files = blindspot_report::spectrum_files(&record)?;
    let page = blindspot_report::spectrum_page(&record.model, &record.spectra, &record.made()?);
    let page = page.map_err(blindspot_report::ReportError::from)?;
    Ok((json(&record)?, pairs(files), page))
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
    norm: Option<String>,
    amplify_by: Vec<f64>,
    noise: Vec<f64>,
    seed: u64,
    correct_only: bool,
    versions: BTreeMap<String, String>,
}

impl TransferOptions {
    /// What is done to each example besides leaving it as it is.
    fn variants(&self) -> Result<Vec<Variant>, Failure> {
        let norm = self.norm.as_ref().map(|norm| norm.parse::<Norm>());
        let norm = norm
            .transpose()
            .map_err(|why| fail(ErrorKind::Usage, why))?;
        if norm == Some(Norm::L0) {
            let why =
                "no factor changes how many values a perturbation changes; use l2, linf or l1";
            return Err(fail(ErrorKind::Usage, why));
        }
        let amplified = |mean| match norm {
            Some(norm) => Variant::Norm { norm, mean },
            None => Variant::Distortion(mean),
        };
        let mut all = [&self.amplify, &self.amplify_by, &self.noise]
            .into_iter()
            .flatten();
        if !all.all(|value| value.is_finite() && *value > 0.0) {
            let why = "amplify, amplify_by and noise take numbers above 0";
            return Err(fail(ErrorKind::Usage, why));
        }
        let mut variants: Vec<Variant> = self.amplify.iter().copied().map(amplified).collect();
        variants.extend(self.amplify_by.iter().copied().map(Variant::Factor));
        variants.extend(self.noise.iter().copied().map(Variant::Noise));
        Ok(variants)
    }
}

/// The goal for a model's outputs that examples are of, if they are of one.
#[pyfunction]
pub(crate) fn goal_of(examples: Examples<'_>) -> Result<Option<String>, Failure> {
    let goal = match &examples {
        Examples::Found(found) => found.get().options().goal.clone(),
        Examples::File(path) => SavedExamples::open(path)?.goal().cloned(),
    };
    Ok(goal.map(|goal| goal.to_string()))
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
    let variants = options.variants()?;
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
    let (mut sets, mut hashes) = (Vec::new(), BTreeMap::new());
    for ((name, examples), originals) in examples.iter().zip(&originals) {
        let (count, image_len, goal);
        match (examples, originals) {
            (Examples::Found(found), Some(originals)) => {
                let examples = found.get().examples();
                (count, image_len) = (examples.len(), originals.input_len());
                goal = found.get().options().goal.clone();
                let source = MemoryExamples::new(examples, originals);
                study = study.examples(
                    name,
                    match &found.get().options().goal {
                        Some(goal) => source.of_goal(goal),
                        None => source,
                    },
                );
            }
            (Examples::File(path), _) => {
                let file = SavedExamples::open(path)?;
                (count, image_len) = (file.count(), file.image_len());
                goal = file.goal().cloned();
                hashes.insert(name.clone(), files::sha256_of(path)?);
                study = study.examples(name, file);
            }
            (Examples::Found(_), None) => continue,
        }
        for (_, model) in &models {
            check_outputs(model, goal.as_ref())?;
        }
        sets.push(ExampleSet {
            name: name.clone(),
            count,
            image_len,
            goal,
        });
    }
    for (name, model) in &models {
        study = study.model(name, model.classifier());
    }
    for variant in &variants {
        study = study.variant(*variant);
    }
    let (matrix, interrupt) = run(py, &watch, |monitor| study.run_watched(monitor))?;
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
    let record = TransferRecord {
        matrix,
        about: About {
            variants: [vec![Variant::Plain], variants].concat(),
            seed: options.seed,
            models: models
                .iter()
                .map(|(name, model)| file(name, model))
                .collect(),
            versions: options.versions,
            examples: sets,
            examples_sha256: hashes,
            correct_only: options.correct_only,
        },
    };
    let files = blindspot_report::transfer_files(&record)?;
    let page = blindspot_report::transfer_page(&record, &record.made());
    let page = page.map_err(blindspot_report::ReportError::from)?;
    Ok((json(&record)?, pairs(files), page))
}

/// A model as a record names it; one of Python's has no hash.
pub(crate) fn file(name: &str, model: &AnyModel<'_>) -> ModelFile {
    let own = match model {
        AnyModel::Own(model) => Some(model.model()),
        AnyModel::Python(_) => None,
    };
    ModelFile {
        file: name.to_owned(),
        sha256: own.map_or_else(String::new, |model| model.sha256().to_owned()),
        preprocess: own
            .map(|model| model.preprocess().clone())
            .unwrap_or_default(),
    }
}
