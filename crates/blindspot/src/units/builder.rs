//! The study of a layer in a few lines.

use blindspot_data::ImageSet;
use blindspot_model::inputs::Inputs;
use blindspot_net::Network;
use blindspot_run::monitor::{Monitor, Unwatched};

use super::{Context, Layer, LayerReport, Plan, Reduction, UnitsError, survey};

/// A survey of a layer: the images that excite its units and random directions the most, and whether units
/// mean more than random directions (section 3 of the paper).
///
/// ```no_run
/// use blindspot::prelude::*;
/// use blindspot::units::Units;
///
/// let model = Model::open("fc100.onnx")?;
/// let images = ImageSet::open("mnist:test")?;
/// let report = Units::of(&model).layer("hidden2").units([3, 17]).run(&images)?;
/// for unit in &report.units {
///     println!("unit {}: images {:?}", unit.unit, unit.found.top.images);
/// }
/// if let Some(study) = &report.study {
///     println!("{}", study.answer);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Units<'a> {
    network: &'a Network<f32>,
    layer: Option<String>,
    plan: Plan,
}

impl<'a> Units<'a> {
    /// A survey of a model or a network: the study of its last features, with no units shown.
    pub fn of(model: &'a Network<f32>) -> Units<'a> {
        Units {
            network: model,
            layer: None,
            plan: Plan::default(),
        }
    }

    /// Sets the layer by the name of its ONNX value. The default is the network's last features
    /// ([`Layer::last_features`]), or its output if there are none.
    pub fn layer(mut self, name: impl Into<String>) -> Units<'a> {
        self.layer = Some(name.into());
        self
    }

    /// Sets the units to show, from 0.
    pub fn units(mut self, units: impl IntoIterator<Item = usize>) -> Units<'a> {
        self.plan = self.plan.units(units);
        self
    }

    /// Sets the number of random directions to show.
    pub fn directions(mut self, directions: usize) -> Units<'a> {
        self.plan = self.plan.directions(directions);
        self
    }

    /// Sets the number of principal components to show.
    pub fn components(mut self, components: usize) -> Units<'a> {
        self.plan = self.plan.components(components);
        self
    }

    /// Sets whether to compare all units with as many random directions; true by default.
    pub fn study(mut self, study: bool) -> Units<'a> {
        self.plan = self.plan.study(study);
        self
    }

    /// Sets the number of images to find for each unit and direction, at least 1; 10 by default.
    pub fn top(mut self, top: usize) -> Units<'a> {
        self.plan.options = self.plan.options.top(top);
        self
    }

    /// Sets how the positions of a convolutional layer become one number; the largest value by default.
    pub fn reduce(mut self, reduce: Reduction) -> Units<'a> {
        self.plan.options = self.plan.options.reduce(reduce);
        self
    }

    /// Sets the seed of all random choices; 0 by default.
    pub fn seed(mut self, seed: u64) -> Units<'a> {
        self.plan = self.plan.seed(seed);
        self
    }

    /// Surveys the layer over the images of a set, with its labels if it has any.
    ///
    /// # Errors
    /// [`UnitsError`] if there is no such layer or unit, or if images and network don't fit each other.
    pub fn run(&self, images: &ImageSet) -> Result<LayerReport, UnitsError> {
        self.run_on(images, images.labels())
    }

    /// Surveys the layer over any inputs, with the true class of each if known.
    ///
    /// # Errors
    /// [`UnitsError`] if there is no such layer or unit, or if inputs and network don't fit each other.
    ///
    /// # Panics
    /// If there are labels, but not one for each input.
    pub fn run_on(
        &self,
        inputs: &dyn Inputs,
        labels: Option<&[usize]>,
    ) -> Result<LayerReport, UnitsError> {
        self.run_watched(inputs, labels, &Unwatched)
    }

    /// Surveys the layer over any inputs. The monitor is told of the progress and may cancel the work.
    ///
    /// # Errors
    /// [`UnitsError`] if there is no such layer or unit, if inputs and network don't fit each other, or if
    /// the monitor cancels the work.
    ///
    /// # Panics
    /// If there are labels, but not one for each input.
    pub fn run_watched(
        &self,
        inputs: &dyn Inputs,
        labels: Option<&[usize]>,
        monitor: &dyn Monitor,
    ) -> Result<LayerReport, UnitsError> {
        let graph = self.network.graph();
        let layer = match &self.layer {
            Some(name) => Layer::find(self.network, name)?,
            None => match Layer::last_features(self.network) {
                Some(features) => features,
                None => Layer::find(self.network, &graph.value(graph.output()).name)?,
            },
        };
        let context = Context::new(self.network, &layer, inputs).with_labels(labels);
        survey(&context, &self.plan, None, monitor)
    }
}
