//! Spectra: what each linear layer of a network can amplify (section 4.3 of the paper).
//!
//! ```
//! use blindspot_bounds::spectrum::Spectrum;
//! use blindspot_net::{Graph, Network, Op, Operand, ops::Gemm};
//!
//! // A layer that stretches one axis by 3 and the other by 4.
//! let mut graph = Graph::new("image", &[2])?;
//! let weights = Operand::Weight(graph.weight("weights", &[2, 2])?);
//! let biases = Operand::Weight(graph.weight("biases", &[2])?);
//! let image = Operand::Value(graph.input());
//! let layer = Op::Gemm(Gemm { trans_b: false });
//! graph.node("layer", layer, &[image, weights, biases], "logits")?;
//! let network = Network::new(graph, vec![vec![3.0, 0.0, 0.0, 4.0], vec![0.0, 0.0]])?;
//!
//! let spectra = Spectrum::new(&network).measure()?;
//! let layer = &spectra.layers[0].as_run;
//! assert!((layer.lower.unwrap() - 3.0).abs() < 1e-12);
//! assert!((layer.upper.unwrap() - 4.0).abs() < 1e-12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Frame bounds
//!
//! The frame bounds A <= B of a linear layer W are the tightest numbers with
//!
//! ```text
//! A |x|  <=  |W x|  <=  B |x|      for all inputs x:
//! ```
//!
//! its smallest and largest singular values. A is 0 if the layer loses dimensions; then the
//! smallest singular value that is not 0 says more. No perturbation grows by more than the product
//! of all layers' B times the activations' Lipschitz constants, which is the paper's bound of a
//! network's instability ([`certify`](crate::certify) makes a radius of it).
//!
//! # Two readings of a convolution
//!
//! A convolution is a matrix whose size depends on the image's. [`LayerSpectrum::as_run`] is about
//! the matrix with zero padding, which the network applies. [`LayerSpectrum::circular`] is the
//! paper's reading: the image wraps around, on a grid whose sides are multiples of the strides.
//! There the Fourier basis makes the matrix block diagonal, with one block of output channels by
//! input channels for each frequency (strides alias several frequencies onto each other, which
//! makes blocks wider), and the singular values of the blocks are those of the layer. For fully
//! connected layers both readings are the same.
//!
//! # Methods, and how far to trust them
//!
//! | layer | method | what is known |
//! |---|---|---|
//! | a matrix, a convolution on small images | `SVD` | the whole spectrum |
//! | a circular convolution | `Fourier`: the SVD of each block | the whole spectrum |
//! | anything larger | `Lanczos`: Golub-Kahan-Lanczos bidiagonalisation | the largest singular value, and the smallest if it has converged |
//!
//! Each number comes with an error bound. Decompositions are backward stable, so each singular
//! value is within a multiple of the unit roundoff times the largest one (Higham 2002); the Fourier
//! blocks add the rounding of their entries. A Lanczos value is no farther from *some* singular
//! value than its residual: it can't be above the largest one by more, but the start vector may
//! have missed that one. The start vector is seeded, and sums have a fixed order: the same seed
//! gives the same bits.
//!
//! # References
//!
//! - Szegedy et al., *Intriguing properties of neural networks*, 2014, section 4.3.
//! - Sedghi, Gupta and Long, *The singular values of convolutional layers*, 2019.
//! - Golub and Kahan, *Calculating the singular values and pseudo-inverse of a matrix*, 1965.
//! - Simon and Zha, *Low-rank matrix approximation using the Lanczos bidiagonalization process*,
//!   2000.
//! - Higham, *Accuracy and stability of numerical algorithms*, 2nd edition, 2002.

mod dense;
mod fourier;
mod lanczos;
pub(crate) mod layers;
mod measure;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use blindspot_data::ErrorKind;
use blindspot_net::{Budget, Network};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use blindspot_run::monitor::{Monitor, Unwatched};
pub(crate) use dense::{Matrix, clear_upper_registers};
use layers::{Layer, Unmeasured};
use measure::measure;
pub(crate) use measure::{norm_bound, steps_of_norm};
use record::LayerRecord;

/// What is measured, and how thoroughly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SpectrumOptions {
    /// Measures only the layer with this name; all layers if None.
    pub layer: Option<String>,
    /// Height and width of the input, if they are not the network's own.
    pub input_size: Option<[usize; 2]>,
    /// Seeds the start vectors of the Lanczos process.
    pub seed: u64,
    /// The relative error of the largest singular value that is good enough, between 0 and 1, for
    /// layers that are measured by the Lanczos process.
    pub tolerance: f64,
    /// Decomposes matrices whose smaller side is at most this long; of larger ones only the extreme
    /// singular values are known.
    #[serde(rename = "dense_side")]
    pub max_dense_side: usize,
    /// Measures convolutions also as they run, with zero padding.
    pub padded: bool,
}

impl Default for SpectrumOptions {
    /// All layers at the network's own input size, to a tolerance of 1e-4. Matrices are decomposed
    /// up to the size of AlexNet's.
    fn default() -> Self {
        SpectrumOptions {
            layer: None,
            input_size: None,
            seed: 0,
            tolerance: 1e-4,
            max_dense_side: 4608,
            padded: true,
        }
    }
}

/// Why nothing can be measured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpectrumError {
    /// No layer has the name asked for.
    #[error("no linear layer is named `{name}`; this network has: {}", known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names of the network's linear layers.
        known: Vec<String>,
    },
    /// An input size was given for a network whose input is not an image.
    #[error("an input of shape {0:?} has no height and width; leave the input size out")]
    NoImage(Vec<usize>),
    /// The tolerance is not between 0 and 1.
    #[error("the tolerance must be between 0 and 1, not {0}")]
    Tolerance(f64),
    /// The monitor cancelled the work.
    #[error("stopped before all layers were measured")]
    Cancelled,
}

impl SpectrumError {
    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        match self {
            SpectrumError::Unknown { .. }
            | SpectrumError::NoImage(_)
            | SpectrumError::Tolerance(_) => ErrorKind::Usage,
            SpectrumError::Cancelled => ErrorKind::Interrupted,
        }
    }
}

/// The operator of a linear layer, by ONNX's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LayerKind {
    /// A convolution.
    Conv,
    /// A fully connected layer with a bias.
    Gemm,
    /// A matrix product.
    MatMul,
}

impl LayerKind {
    /// ONNX's name of the operator.
    pub fn name(self) -> &'static str {
        match self {
            LayerKind::Conv => "Conv",
            LayerKind::Gemm => "Gemm",
            LayerKind::MatMul => "MatMul",
        }
    }
}

/// The frame bounds of a linear layer in one reading. A bound is None if it is not known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// The lower frame bound: the smallest singular value over all inputs, 0 if the layer loses
    /// dimensions.
    pub lower: Option<f64>,
    /// The upper frame bound: the largest singular value.
    pub upper: Option<f64>,
    /// The smallest singular value that is not 0.
    pub lower_nonzero: Option<f64>,
    /// How far `upper` can be from a singular value of the layer; from the largest one if the whole
    /// spectrum is known. Then it bounds the error of every singular value.
    pub error_bound: Option<f64>,
    /// How many dimensions the layer certainly loses: those that its input has more than its
    /// output.
    pub dimensions_lost: usize,
    /// The whole spectrum, the largest singular value first, if it was computed; of more than 512
    /// values, 512 of evenly spaced ranks, both ends among them.
    pub spectrum: Vec<f64>,
}

/// The frame bounds of one linear layer, in two readings. These differ for convolutions only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "LayerRecord", into = "LayerRecord")]
pub struct LayerSpectrum {
    /// The node's name.
    pub layer: String,
    /// The layer's operator.
    pub kind: LayerKind,
    /// The weight's shape, as the network stores it; `[F, C / groups, kernel...]` for a
    /// convolution.
    pub shape: Vec<usize>,
    /// The strides of a convolution; empty for other layers.
    pub stride: Vec<usize>,
    /// The shape of one image's input to the layer, if it is known.
    pub input: Option<Vec<usize>>,
    /// The layer as it runs: a convolution with zero padding, on inputs of the shape `input`.
    pub as_run: Reading,
    /// The paper's reading: a convolution is circular, on the size of `input`, each axis rounded up
    /// to a multiple of its stride.
    pub circular: Reading,
    /// How far `as_run.lower_nonzero` can be from a singular value; None if it is not known.
    pub error_bound_lower: Option<f64>,
    /// How `as_run` was computed, a phrase.
    pub method: String,
    /// The number of singular values as the layer runs.
    pub count: usize,
}

/// A linear node that was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unsupported {
    /// The node's name.
    pub layer: String,
    /// ONNX's name of its operator.
    pub kind: String,
    /// Why it was not measured.
    pub why: String,
}

/// The frame bounds of a network's layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spectra {
    /// The linear layers, in the order in which they run.
    pub layers: Vec<LayerSpectrum>,
    /// Linear nodes that could not be measured.
    pub unsupported: Vec<Unsupported>,
}

/// Measures the spectra of a network's linear layers.
#[derive(Debug, Clone)]
#[must_use]
pub struct Spectrum<'n> {
    network: &'n Network<f32>,
    options: SpectrumOptions,
    budget: Budget,
}

impl<'n> Spectrum<'n> {
    /// Measures all layers of a network (or model), with the default options.
    pub fn new(network: &'n Network<f32>) -> Spectrum<'n> {
        let options = SpectrumOptions::default();
        let budget = Budget::default();
        Spectrum {
            network,
            options,
            budget,
        }
    }

    /// How much memory the matrices of all layers may take at the same time.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// The options as they are set.
    pub fn options(&self) -> &SpectrumOptions {
        &self.options
    }

    /// Measures only the layer with this name.
    pub fn layer(mut self, name: impl Into<String>) -> Self {
        self.options.layer = Some(name.into());
        self
    }

    /// Measures on inputs of this height and width instead of the network's own.
    pub fn input_size(mut self, size: [usize; 2]) -> Self {
        self.options.input_size = Some(size);
        self
    }

    /// Seeds the start vectors of the Lanczos process; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// Sets the relative error of the largest singular value that is good enough, between 0 and 1;
    /// 1e-4 by default.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.options.tolerance = tolerance;
        self
    }

    /// Decomposes matrices whose smaller side is at most this long; 4608 by default. Of larger ones
    /// only the extreme singular values are found.
    pub fn max_dense_side(mut self, side: usize) -> Self {
        self.options.max_dense_side = side;
        self
    }

    /// Whether to measure convolutions also as they run, with zero padding; true by default.
    pub fn padded(mut self, padded: bool) -> Self {
        self.options.padded = padded;
        self
    }

    /// Measures the layers. The same bits come out for any number of threads.
    ///
    /// # Errors
    /// [`SpectrumError`] if an option does not fit the network.
    pub fn measure(&self) -> Result<Spectra, SpectrumError> {
        self.measure_with(&Unwatched)
    }

    /// Measures the layers and reports progress to a monitor, which can cancel the work.
    ///
    /// # Errors
    /// [`SpectrumError`] if an option does not fit the network, or the monitor cancels the work.
    pub fn measure_with(&self, monitor: &dyn Monitor) -> Result<Spectra, SpectrumError> {
        self.measure_rest(&BTreeMap::new(), &|_, _| {}, monitor)
    }

    /// Names of the layers that are measured, in the order in which they run.
    ///
    /// # Errors
    /// [`SpectrumError`] if an option does not fit the network.
    pub fn layers(&self) -> Result<Vec<String>, SpectrumError> {
        let (found, _) = self.chosen()?;
        Ok(found.into_iter().map(|layer| layer.name).collect())
    }

    /// Measures what is not known yet, by the layer's place among [`layers`](Spectrum::layers), and gives each layer to
    /// `keep` once it is measured, from any thread.
    ///
    /// # Errors
    /// [`SpectrumError`] if an option does not fit the network, or the monitor cancels the work.
    pub fn measure_rest(
        &self,
        known: &BTreeMap<usize, LayerSpectrum>,
        keep: &(dyn Fn(usize, &LayerSpectrum) + Sync),
        monitor: &dyn Monitor,
    ) -> Result<Spectra, SpectrumError> {
        let Spectrum {
            options, budget, ..
        } = self;
        let (found, unmeasured) = self.chosen()?;
        let mut unsupported: Vec<Unsupported> = unmeasured
            .into_iter()
            .filter(|_| options.layer.is_none())
            .map(|node| Unsupported {
                layer: node.name,
                kind: node.kind.into(),
                why: node.why,
            })
            .collect();
        // Layers are measured side by side.
        let at_once = rayon::current_num_threads().min(found.len()).max(1);
        let budget = Budget {
            memory: budget.memory / at_once as u64,
            ..*budget
        };
        monitor.begin("spectrum", found.len() as u64);
        let done = std::sync::atomic::AtomicU64::new(0);
        let measured: Vec<Result<LayerSpectrum, Unsupported>> = found
            .par_iter()
            .enumerate()
            .with_max_len(1)
            .map(|(place, layer)| {
                let measured = match known.get(&place) {
                    Some(known) => Ok(known.clone()),
                    None if monitor.cancelled() => Err("stopped".to_owned()),
                    None => {
                        measure(layer, options, &budget).inspect(|measured| keep(place, measured))
                    }
                };
                let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                monitor.progress(done, &layer.name);
                measured.map_err(|why| Unsupported {
                    layer: layer.name.clone(),
                    kind: layer.kind.name().into(),
                    why,
                })
            })
            .collect();
        monitor.end();
        if monitor.cancelled() {
            return Err(SpectrumError::Cancelled);
        }
        let mut layers = Vec::new();
        for result in measured {
            match result {
                Ok(layer) => layers.push(layer),
                Err(why) => unsupported.push(why),
            }
        }
        Ok(Spectra {
            layers,
            unsupported,
        })
    }

    /// The layers that the options choose, and the linear nodes that can't be measured.
    fn chosen(&self) -> Result<(Vec<Layer<'_, f32>>, Vec<Unmeasured>), SpectrumError> {
        let Spectrum {
            network, options, ..
        } = self;
        if !(options.tolerance > 0.0 && options.tolerance < 1.0) {
            return Err(SpectrumError::Tolerance(options.tolerance));
        }
        let input = match (options.input_size, network.input_shape()) {
            (None, _) => None,
            (Some([height, width]), &[channels, _, _]) => Some(vec![channels, height, width]),
            (Some(_), shape) => return Err(SpectrumError::NoImage(shape.to_vec())),
        };
        let (mut found, unmeasured) = layers::layers(network, input.as_deref());
        if let Some(name) = &options.layer {
            let known: Vec<String> = found.iter().map(|layer| layer.name.clone()).collect();
            found.retain(|layer| layer.name == *name);
            if found.is_empty() {
                let name = name.clone();
                return Err(SpectrumError::Unknown { name, known });
            }
        }
        Ok((found, unmeasured))
    }
}
