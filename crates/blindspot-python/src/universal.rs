//! Perturbations that fool a model on most images of a set.

use std::path::PathBuf;

use blindspot::ErrorKind;
use blindspot::inputs::Inputs;
use blindspot::model::InputBox;
use blindspot::run::monitor::Monitor;
use blindspot::transfer::ModelFile;
use blindspot::universal as study;
use blindspot::universal::{
    Aim, FoolingShare, HeldOut, Record, Shares, Summary, UniversalError, UniversalOptions,
    UniversalPerturbation, Verdict, write_record, write_universal,
};
use blindspot_data::files::write_atomically;
use blindspot_report::{Made, ReportError, UniversalPage, universal_page};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::about::{About, selection};
use crate::classifier::AnyModel;
use crate::errors::{Failure, fail};
use crate::images::Given;
use crate::model::json;
use crate::studies::file;
use crate::work::{Watch, run};

/// Images on the page, each without the perturbation and with it.
const SHOWN: usize = 6;

/// What is searched for.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    epsilon: Option<f64>,
    share: Option<f64>,
    norm: String,
    target: String,
    r#box: Option<(f32, f32)>,
    max_evaluations: Option<u64>,
    time_limit: Option<f64>,
    seed: u64,
}

impl Options {
    fn read(self, model: &AnyModel<'_>) -> Result<UniversalOptions, Failure> {
        let told = |why: String| fail(ErrorKind::Usage, why);
        let aim = match (self.epsilon, self.share) {
            (Some(epsilon), None) => Aim::Epsilon(epsilon),
            (None, Some(share)) => Aim::Share(share),
            _ => {
                let why = "give epsilon (the norm at most) or share (of the images, at least), one of them";
                return Err(fail(ErrorKind::Usage, why));
            }
        };
        Ok(UniversalOptions {
            norm: self.norm.parse().map_err(told)?,
            target: self.target.parse().map_err(told)?,
            seed: self.seed,
            input_box: match self.r#box {
                Some((lower, upper)) => InputBox { lower, upper },
                None => model.classifier().input_box(),
            },
            max_evaluations: self.max_evaluations,
            time_limit: self.time_limit,
            ..UniversalOptions::new(aim)
        })
    }
}

/// Images with their true classes, and where they come from.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Judged<'py> {
    images: Bound<'py, PyAny>,
    labels: Vec<usize>,
    /// Of the rows of an array, where they are in what was given.
    places: Option<Vec<usize>>,
    about: About,
    /// Channels, height and width, where the images are pictures.
    shape: Option<[usize; 3]>,
    classes: Option<Vec<String>>,
}

/// Positions of the images that a perturbation is found on, and of those held out.
#[pyfunction]
pub(crate) fn halves(count: usize, seed: u64) -> [Vec<usize>; 2] {
    study::halves(count, seed)
}

/// Looks for one perturbation of all images of the first set, and judges it on both. `models` are others that answer,
/// too, by name. Gives what was found, and the exception that ended the search early, if one did.
#[pyfunction]
pub(crate) fn universal(
    py: Python<'_>,
    model: (String, Bound<'_, PyAny>),
    models: Vec<(String, Bound<'_, PyAny>)>,
    sets: (Judged<'_>, Judged<'_>),
    split: bool,
    options: Options,
    watch: Watch,
) -> Result<(Universal, Option<PyErr>), Failure> {
    let own = (model.0, AnyModel::of(&model.1)?);
    let others = models.iter();
    let others = others.map(|(name, model)| Ok((name.clone(), AnyModel::of(model)?)));
    let others = others.collect::<PyResult<Vec<_>>>()?;
    let options = options.read(&own.1)?;
    let (training, held_out) = sets;
    Given::with(&training.images, |images| {
        Given::with(&held_out.images, |images_held_out| {
            let sets = [
                (images, &training.labels),
                (images_held_out, &held_out.labels),
            ];
            let (found, interrupt) = searched(py, &own, &others, sets, options, &watch)?;
            let Searched {
                found,
                mut verdicts,
                summary,
            } = found;
            let places = [&training.places, &held_out.places];
            for (verdicts, places) in verdicts.iter_mut().zip(places) {
                for (verdict, place) in verdicts.iter_mut().zip(places.iter().flatten()) {
                    verdict.index = *place;
                }
            }
            let target = found.options.class();
            let fooled = verdicts[1].iter().enumerate();
            let fooled = fooled.filter(|(_, verdict)| verdict.fooled(target));
            let read = |(at, &verdict): (usize, &Verdict)| {
                let mut values = vec![0.0; images_held_out.input_len()];
                let read = images_held_out.read(at, &mut values);
                read.map_err(|error| fail(ErrorKind::Data, error))?;
                Ok((verdict, values))
            };
            let examples = fooled
                .take(SHOWN)
                .map(read)
                .collect::<Result<Vec<_>, Failure>>()?;
            let own_model = match &own.1 {
                AnyModel::Own(model) => Some(model.model()),
                AnyModel::Python(_) => None,
            };
            let About { data, hashes, .. } = held_out.about;
            let about = study::About {
                options: found.options.clone(),
                provenance: training.about.provenance(own_model, &selection(images)),
                held_out: HeldOut {
                    split,
                    data,
                    data_sha256: hashes,
                    selection_sha256: selection(images_held_out),
                },
                models: others
                    .iter()
                    .map(|(name, model)| file(name, model))
                    .collect::<Vec<ModelFile>>(),
            };
            let universal = Universal {
                input_shape: own.1.classifier().input_shape().to_vec(),
                image_shape: training.shape.unwrap_or([1, 1, images.input_len()]),
                classes: training.classes,
                record: Record { about, summary },
                found,
                verdicts,
                examples,
            };
            Ok((universal, interrupt))
        })
    })
}

/// What a search and the judgement of its result give.
struct Searched {
    found: UniversalPerturbation,
    verdicts: [Vec<Verdict>; 2],
    summary: Summary,
}

/// The search, and what the models answer; after an interrupt, the best so far, judged on no image.
fn searched(
    py: Python<'_>,
    own: &(String, AnyModel<'_>),
    others: &[(String, AnyModel<'_>)],
    sets: [(&Given<'_>, &Vec<usize>); 2],
    options: UniversalOptions,
    watch: &Watch,
) -> Result<(Searched, Option<PyErr>), Failure> {
    let (name, classifier) = (&own.0, own.1.classifier());
    let named = others
        .iter()
        .map(|(name, model)| (name, model.classifier()));
    let named: Vec<_> = named.collect();
    let target = options.class();
    let work = |monitor: &dyn Monitor| {
        let (images, labels) = sets[0];
        let found =
            study::Universal::by(options).run_watched(classifier, images, labels, monitor)?;
        let by = |classifier| -> Result<[Vec<Verdict>; 2], UniversalError> {
            let [training, held_out] =
                sets.map(|(images, labels)| found.judge(classifier, images, labels, monitor));
            Ok([training?, held_out?])
        };
        let shares = |name: &String, [training, held_out]: &[Vec<Verdict>; 2]| Shares {
            file: name.clone(),
            training: FoolingShare::of(training, target),
            held_out: FoolingShare::of(held_out, target),
        };
        let mut verdicts = by(classifier)?;
        let mut all = vec![shares(name, &verdicts)];
        for (name, other) in named {
            all.push(shares(name, &by(other)?));
        }
        if monitor.cancelled() {
            (verdicts, all) = Default::default();
        }
        let summary = Summary::of(&found, all);
        Ok::<Searched, UniversalError>(Searched {
            found,
            verdicts,
            summary,
        })
    };
    let (worked, interrupt) = run(py, watch, work)?;
    let raised = || {
        std::iter::once(own)
            .chain(others)
            .find_map(|(_, model)| model.raised())
    };
    match worked {
        Ok(found) => Ok((found, interrupt)),
        Err(error) => Err(raised().map_or_else(|| error.into(), Failure::from)),
    }
}

/// A universal perturbation, and what models answer.
#[pyclass(frozen, module = "blindspot._native")]
pub(crate) struct Universal {
    found: UniversalPerturbation,
    /// Of the images that it was found on, and of those held out.
    verdicts: [Vec<Verdict>; 2],
    record: Record,
    input_shape: Vec<usize>,
    image_shape: [usize; 3],
    classes: Option<Vec<String>>,
    examples: Vec<(Verdict, Vec<f32>)>,
}

#[pymethods]
impl Universal {
    /// What is added to each image, a row of numbers.
    fn delta<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        PyArray1::from_slice(py, &self.found.delta)
    }

    /// The shape of an input.
    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.input_shape.clone()
    }

    /// The record, as the command writes it.
    fn json(&self) -> Result<String, Failure> {
        json(&self.record)
    }

    /// The arrays of one number an image, by their names in files.
    fn numbers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let arrays = PyDict::new(py);
        let [training, held_out] = &self.verdicts;
        let all = || training.iter().chain(held_out);
        let add = |name: &str, number: fn(&Verdict) -> usize| {
            let numbers = all().map(|verdict| number(verdict) as i64);
            arrays.set_item(name, PyArray1::from_iter(py, numbers))
        };
        add("index", |verdict| verdict.index)?;
        add("label", |verdict| verdict.label)?;
        add("prediction_before", |verdict| verdict.before)?;
        add("prediction_after", |verdict| verdict.after)?;
        let count = training.len() + held_out.len();
        let sets = (0..count).map(|at| u8::from(at >= training.len()));
        arrays.set_item("set", PyArray1::from_iter(py, sets))?;
        let target = self.found.options.class();
        let fooled = all().map(|verdict| verdict.fooled(target));
        arrays.set_item("fooled", PyArray1::from_iter(py, fooled))?;
        Ok(arrays)
    }

    /// Writes what the command writes: the arrays and the record.
    fn save(&self, path: PathBuf) -> Result<(), Failure> {
        let [training, held_out] = &self.verdicts;
        write_universal(&path, &self.found, &self.input_shape, [training, held_out])?;
        write_record(&path.with_extension("json"), &self.record)?;
        Ok(())
    }

    /// Writes the page that the command's `--report` asks for.
    fn report(&self, path: PathBuf) -> Result<(), Failure> {
        let about = &self.record.about;
        let made = Made::of(&about.provenance, &about.options, Vec::new())?;
        let shown = UniversalPage {
            found: &self.found,
            held_out: &self.verdicts[1],
            examples: &self.examples,
            image_shape: self.image_shape,
            classes: self.classes.as_deref(),
            made: &made,
        };
        let page = universal_page(&self.record, &shown).map_err(ReportError::from)?;
        write_atomically(&path, |sink| sink.write_all(page.as_bytes()))?;
        Ok(())
    }
}
