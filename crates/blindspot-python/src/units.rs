//! Which images excite units and random directions.

use blindspot::ErrorKind;
use blindspot::units::{
    Context, Layer, LayerReport, PictureRow, Plan, Reduction, Regularisation, SurveyIdentity,
    SurveyRecord, UnitsOptions, illustrate, random_units, survey,
};
use blindspot_report::{Made, units_files};
use numpy::PyArray1;
use pyo3::prelude::*;

use crate::about::{About, selection};
use crate::errors::{Failure, fail};
use crate::images::Given;
use crate::model::{Model, json};
use crate::studies::pairs;
use crate::work::{Watch, run_whole};

/// The layers of a model whose units can be studied: name, operator, units and positions of each.
#[pyfunction]
pub(crate) fn layers(model: PyRef<'_, Model>) -> Vec<(String, String, Vec<usize>)> {
    let layers = Layer::all(model.model().network()).into_iter();
    let layers = layers.map(|layer| {
        let shape = layer.shape();
        (layer.name, layer.operator.to_string(), shape)
    });
    layers.collect()
}

/// What is looked at of a layer.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    layer: String,
    /// How many, or which.
    units: WantedUnits,
    directions: usize,
    components: usize,
    top: usize,
    reduce: String,
    statistics: bool,
    seed: u64,
    synthesize: bool,
    l2: f64,
    total_variation: f64,
}

#[derive(FromPyObject)]
enum WantedUnits {
    #[pyo3(transparent)]
    Count(usize),
    #[pyo3(transparent)]
    These(Vec<usize>),
}

impl Options {
    fn plan(&self, layer: &Layer) -> Result<Plan, Failure> {
        let told = |why: String| fail(ErrorKind::Usage, why);
        let reduce: Reduction = self.reduce.parse().map_err(told)?;
        if !(1..=1000).contains(&self.top) {
            return Err(fail(ErrorKind::Usage, "top takes 1 to 1000"));
        }
        let units = match &self.units {
            WantedUnits::Count(count) => random_units(*count, layer.units, self.seed),
            WantedUnits::These(units) => units.clone(),
        };
        Ok(Plan::default()
            .units(units)
            .directions(self.directions)
            .components(self.components)
            .study(self.statistics)
            .options(UnitsOptions::default().top(self.top).reduce(reduce))
            .seed(self.seed))
    }

    fn regularisation(&self) -> Result<Option<Regularisation>, Failure> {
        let weights = [self.l2, self.total_variation];
        if !weights.iter().all(|weight| (0.0..=1e6).contains(weight)) {
            let why = "l2 and total_variation take 0 to 1e6";
            return Err(fail(ErrorKind::Usage, why));
        }
        let regularisation = Regularisation::default()
            .l2(self.l2)
            .total_variation(self.total_variation);
        Ok(self.synthesize.then_some(regularisation))
    }
}

/// A layer that was looked at.
#[pyclass(frozen, module = "blindspot._native")]
pub(crate) struct Surveyed {
    layer: Layer,
    report: LayerReport,
    record: SurveyRecord,
    /// Of synthesised images; empty where none were asked for.
    rows: Vec<PictureRow>,
}

/// Which images excite units and random directions.
#[pyfunction]
pub(crate) fn units(
    py: Python<'_>,
    model: PyRef<'_, Model>,
    images: &Bound<'_, PyAny>,
    labels: Option<Vec<usize>>,
    options: Options,
    about: About,
    watch: Watch,
) -> Result<Surveyed, Failure> {
    let model = model.model();
    let network = model.network();
    let layer = Layer::find(network, &options.layer)?;
    let (plan, synthesis) = (options.plan(&layer)?, options.regularisation()?);
    Given::with(images, |images| {
        let context = Context::new(network, &layer, images).with_labels(labels.as_deref());
        let report = run_whole(py, &watch, |monitor| survey(&context, &plan, None, monitor))?;
        let rows = match synthesis {
            Some(_) => {
                let set = images.as_set(model.image_shape(), labels.as_deref())?;
                let reduce = plan.options.reduce;
                run_whole(py, &watch, |_| {
                    illustrate(network, &set, &layer, &report, reduce, synthesis)
                })?
            }
            None => Vec::new(),
        };
        let identity = SurveyIdentity {
            layer: layer.name.clone(),
            synthesis,
            options: plan,
            provenance: about.provenance(Some(model), &selection(images)),
        };
        let record = SurveyRecord::new(identity, &layer, images, &report, &rows);
        Ok(Surveyed {
            layer: layer.clone(),
            report,
            record,
            rows,
        })
    })
}

#[pymethods]
impl Surveyed {
    /// The record.
    fn json(&self) -> Result<String, Failure> {
        json(&self.record)
    }

    /// The synthesised images, one after the other, in the record's order.
    fn synthesised<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f32>> {
        let made = self.rows.iter().filter_map(|row| row.synthesised.as_ref());
        let values = made.flat_map(|made| made.picture.values.iter().copied());
        PyArray1::from_vec(py, values.collect())
    }

    /// What the command writes, by names and contents, of a survey of these images with this model.
    fn files(
        &self,
        py: Python<'_>,
        model: PyRef<'_, Model>,
        images: &Bound<'_, PyAny>,
        labels: Option<Vec<usize>>,
        watch: Watch,
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let model = model.model();
        let SurveyIdentity {
            options,
            provenance,
            ..
        } = &self.record.identity;
        let rows = if self.rows.is_empty() {
            Given::with(images, |images| {
                let set = images.as_set(model.image_shape(), labels.as_deref())?;
                let reduce = options.options.reduce;
                run_whole(py, &watch, |_| {
                    illustrate(
                        model.network(),
                        &set,
                        &self.layer,
                        &self.report,
                        reduce,
                        None,
                    )
                })
            })?
        } else {
            self.rows.clone()
        };
        let more = vec![
            (
                "number of images".to_owned(),
                self.record.images.to_string(),
            ),
            ("layer".into(), self.layer.name.clone()),
        ];
        let made = Made::of(provenance, options, more)?;
        Ok(pairs(units_files(&self.record, &rows, &made)?))
    }
}
