//! Section 4.3: what each layer can amplify. The frame bounds of a linear layer are its smallest and
//! largest singular values; their product over the layers bounds how far the network can carry a
//! change.

mod dense;
mod fourier;
mod lanczos;
pub(crate) mod layers;
#[cfg(test)]
mod tests;

use blindspot_net::Network;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::run::monitor::Monitor;
use crate::run::random::Stream;
use dense::{Dense, rounding};
pub(crate) use dense::{Dense as Matrix, settled};
use lanczos::{Ends, Limits, Operator, ends};
use layers::{Convolution, Layer, Linear, Runs};

/// What is measured, and how thoroughly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpectrumOptions {
    /// Only the layer with this name.
    pub layer: Option<String>,
    /// Height and width of the input, instead of those that the network has.
    pub input_size: Option<[usize; 2]>,
    /// Where the Lanczos process starts from.
    pub seed: u64,
    /// The largest singular value's error, over the value, that is good enough where it is
    /// approached by Lanczos' process.
    pub tolerance: f64,
    /// Matrices whose smaller side is longer than this are not decomposed: only what Lanczos'
    /// process finds is known of them.
    pub dense_side: usize,
    /// Measure convolutions also as they run, with zero padding.
    pub padded: bool,
}

impl Default for SpectrumOptions {
    /// All layers as they are, to 1e-4; matrices up to AlexNet's are decomposed.
    fn default() -> Self {
        SpectrumOptions {
            layer: None,
            input_size: None,
            seed: 0,
            tolerance: 1e-4,
            dense_side: 4608,
            padded: true,
        }
    }
}

/// Why nothing can be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpectrumError {
    /// No layer has the name asked for.
    #[error("no linear layer is named `{name}`; this network has: {}", known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// An input size for a network whose input is no image.
    #[error("an input of shape {0:?} has no height and width; leave the input size out")]
    NoImage(Vec<usize>),
    /// It was asked to stop.
    #[error("stopped before all layers were measured")]
    Cancelled,
}

/// The frame bounds of one linear layer. A bound that is not known is None (`null`).
///
/// Two readings of a convolution: as it runs, with zero padding on inputs of the size `input`; and
/// the paper's, circular on that size (each axis up to the next multiple of its stride). They are
/// the same for all other layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerSpectrum {
    /// The node's name.
    pub layer: String,
    /// `Conv`, `Gemm` or `MatMul`.
    pub kind: String,
    /// The weight's shape, as the network keeps it: of a convolution `[F, C / groups, kernel...]`.
    pub shape: Vec<usize>,
    /// The strides of a convolution.
    pub stride: Vec<usize>,
    /// The shape of one image's input, where it is known.
    pub input: Option<Vec<usize>>,
    /// The smallest singular value over all inputs: 0 where the layer loses dimensions.
    pub lower: Option<f64>,
    /// The largest singular value.
    pub upper: Option<f64>,
    /// The smallest singular value that is not 0.
    pub lower_nonzero: Option<f64>,
    /// The same for the circular reading.
    pub lower_circular: Option<f64>,
    /// The same for the circular reading.
    pub upper_circular: Option<f64>,
    /// The same for the circular reading.
    pub lower_nonzero_circular: Option<f64>,
    /// `upper` is no farther than this from a singular value of the layer; where the whole spectrum
    /// is known, from the largest.
    pub error_bound: Option<f64>,
    /// The same for `lower_nonzero`.
    pub error_bound_lower: Option<f64>,
    /// No singular value of the circular reading is farther than this from the exact one.
    pub error_bound_circular: Option<f64>,
    /// How many dimensions of the input are certainly lost: it has so many more than the output.
    pub dimensions_lost: usize,
    /// The same for the circular reading.
    pub dimensions_lost_circular: usize,
    /// How `lower` and `upper` were computed, in words.
    pub method: String,
    /// How many singular values there are in all.
    pub count: usize,
    /// The whole spectrum, the largest first, where it was computed; where there are more than 512,
    /// as many of evenly spaced ranks, the ends among them.
    pub spectrum: Vec<f64>,
    /// The same for the circular reading.
    pub spectrum_circular: Vec<f64>,
}

/// A node that is linear but was not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsupported {
    /// The node's name.
    pub layer: String,
    /// ONNX's name of the operator.
    pub kind: String,
    /// Why not.
    pub why: String,
}

/// The frame bounds of a network's layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spectra {
    /// The linear layers, in the order in which they run.
    pub layers: Vec<LayerSpectrum>,
    /// What could not be measured.
    pub unsupported: Vec<Unsupported>,
}

/// Singular values kept of a spectrum at most.
const KEPT: usize = 512;
/// The smaller side of a convolution's matrix that is decomposed, and its numbers, at most.
const EXPLICIT: (usize, usize) = (1536, 1 << 24);
/// Steps of Lanczos' process at most.
const STEPS: usize = 400;

/// Measures the linear layers of a network. The same bits come out for any number of threads.
///
/// # Errors
/// [`SpectrumError`].
pub fn spectra(
    network: &Network<f32>,
    options: &SpectrumOptions,
    monitor: &dyn Monitor,
) -> Result<Spectra, SpectrumError> {
    let input = match (options.input_size, network.input_shape()) {
        (None, _) => None,
        (Some([height, width]), &[channels, _, _]) => Some(vec![channels, height, width]),
        (Some(_), shape) => return Err(SpectrumError::NoImage(shape.to_vec())),
    };
    let (mut found, others) = layers::layers(network, input.as_deref());
    if let Some(name) = &options.layer {
        let known: Vec<String> = found.iter().map(|layer| layer.name.clone()).collect();
        found.retain(|layer| layer.name == *name);
        if found.is_empty() {
            let name = name.clone();
            return Err(SpectrumError::Unknown { name, known });
        }
    }
    let mut unsupported: Vec<Unsupported> = others
        .into_iter()
        .filter(|_| options.layer.is_none())
        .map(|other| Unsupported {
            layer: other.name,
            kind: other.kind.into(),
            why: other.why,
        })
        .collect();
    monitor.begin("spectrum", found.len() as u64);
    let done = std::sync::atomic::AtomicU64::new(0);
    let measured: Vec<Result<LayerSpectrum, Unsupported>> = found
        .par_iter()
        .with_max_len(1)
        .map(|layer| {
            let measured = match monitor.cancelled() {
                true => Err("stopped".to_owned()),
                false => measure(layer, options),
            };
            let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            monitor.progress(done, &layer.name);
            measured.map_err(|why| Unsupported {
                layer: layer.name.clone(),
                kind: layer.kind.into(),
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

/// One reading of a layer.
#[derive(Debug, Clone, Default)]
struct Reading {
    lower: Option<f64>,
    upper: Option<f64>,
    nonzero: Option<f64>,
    error: Option<f64>,
    error_lower: Option<f64>,
    lost: usize,
    method: String,
    count: usize,
    /// All singular values, the largest first.
    values: Vec<f64>,
}

impl Reading {
    /// That of a whole spectrum.
    fn whole(values: Vec<f64>, rows: usize, cols: usize, error: f64, method: &str) -> Reading {
        let lost = cols.saturating_sub(rows);
        // What is within the error of 0 is not told from 0.
        let nonzero = values.iter().copied().rfind(|&value| value > error);
        let deficient = values.last().is_none_or(|&least| least <= error);
        Reading {
            lower: match lost > 0 || deficient {
                true => Some(0.0),
                false => values.last().copied(),
            },
            upper: values.first().copied(),
            nonzero,
            error: Some(error),
            error_lower: Some(error),
            lost,
            method: method.to_owned(),
            count: values.len(),
            values,
        }
    }

    /// What Lanczos' process tells.
    fn of_ends(ends: Option<Ends>, rows: usize, cols: usize, tolerance: f64) -> Reading {
        let lost = cols.saturating_sub(rows);
        let count = rows.min(cols);
        let Some(ends) = ends else {
            return Reading {
                lost,
                count,
                lower: (lost > 0).then_some(0.0),
                method: "Lanczos, without an end".into(),
                ..Reading::default()
            };
        };
        let smallest =
            Some(ends.smallest).filter(|end| end.error <= tolerance.max(1e-3) * end.value);
        Reading {
            lower: match lost > 0 {
                true => Some(0.0),
                false => smallest.map(|end| end.value),
            },
            upper: Some(ends.largest.value),
            nonzero: smallest.map(|end| end.value),
            error: Some(ends.largest.error),
            error_lower: smallest.map(|end| end.error),
            lost,
            method: format!("Lanczos, {} steps", ends.steps),
            count,
            values: Vec::new(),
        }
    }
}

/// Both readings of a layer, or why there are none.
fn measure(layer: &Layer<'_>, options: &SpectrumOptions) -> Result<LayerSpectrum, String> {
    let (real, circular) = match &layer.linear {
        Linear::Matrix { matrix, times } => {
            let dense = matrix.dense();
            let mut reading = of_matrix(dense, &layer.name, options);
            reading.count *= times;
            reading.lost *= times;
            (reading.clone(), reading)
        }
        Linear::Convolution(convolution) => {
            let Some(input) = &layer.input else {
                return Err("the shape of its input is not known; leave the input size out".into());
            };
            let circular = of_fourier(convolution, input);
            match options.padded {
                true => (padded(convolution, input, &layer.name, options)?, circular),
                false => (Reading::default(), circular),
            }
        }
    };
    let stride = match &layer.linear {
        Linear::Matrix { .. } => Vec::new(),
        Linear::Convolution(convolution) => convolution.conv.window.strides.clone(),
    };
    Ok(LayerSpectrum {
        layer: layer.name.clone(),
        kind: layer.kind.into(),
        shape: layer.shape.to_vec(),
        stride,
        input: layer.input.clone(),
        lower: real.lower,
        upper: real.upper,
        lower_nonzero: real.nonzero,
        lower_circular: circular.lower,
        upper_circular: circular.upper,
        lower_nonzero_circular: circular.nonzero,
        error_bound: real.error,
        error_bound_lower: real.error_lower,
        error_bound_circular: circular.error,
        dimensions_lost: real.lost,
        dimensions_lost_circular: circular.lost,
        method: real.method,
        count: real.count,
        spectrum: thinned(&real.values),
        spectrum_circular: thinned(&circular.values),
    })
}

/// Values of evenly spaced ranks, the ends among them.
fn thinned(values: &[f64]) -> Vec<f64> {
    match values.len() {
        0..=KEPT => values.to_vec(),
        count => (0..KEPT)
            .map(|i| values[i * (count - 1) / (KEPT - 1)])
            .collect(),
    }
}

fn stream(layer: &str, options: &SpectrumOptions) -> Stream {
    Stream::new(options.seed, &format!("spectrum of {layer}"), 0)
}

fn decomposed(matrix: &Dense) -> Option<Reading> {
    let values = matrix.singular_values()?;
    let error = rounding(matrix.rows, matrix.cols, values.first().copied()?);
    Some(Reading::whole(
        values,
        matrix.rows,
        matrix.cols,
        error,
        "SVD",
    ))
}

fn of_matrix(matrix: Dense, name: &str, options: &SpectrumOptions) -> Reading {
    let (rows, cols) = (matrix.rows, matrix.cols);
    if rows.min(cols) <= options.dense_side
        && let Some(reading) = decomposed(&matrix)
    {
        return reading;
    }
    let limits = Limits {
        tolerance: options.tolerance,
        steps: STEPS,
        both: false,
    };
    let found = ends(&mut &matrix, &mut stream(name, options), limits);
    Reading::of_ends(found, rows, cols, options.tolerance)
}

/// The operator as it runs.
fn padded(
    convolution: &Convolution<'_>,
    input: &[usize],
    name: &str,
    options: &SpectrumOptions,
) -> Result<Reading, String> {
    let Some(network) = convolution.network(input) else {
        return Err(format!("its windows don't fit an input of shape {input:?}"));
    };
    let window = &convolution.conv.window;
    if convolution.is_pointwise() && window.before.iter().chain(&window.after).all(|&n| n == 0) {
        // Both readings are one.
        return Ok(of_fourier(convolution, input));
    }
    let mut operator = Runs::new(&network);
    let (rows, cols) = (operator.rows(), operator.cols());
    if rows.min(cols) <= EXPLICIT.0
        && rows * cols <= EXPLICIT.1
        && let Some(reading) = decomposed(&operator.matrix())
    {
        return Ok(reading);
    }
    let limits = Limits {
        tolerance: options.tolerance,
        steps: STEPS,
        both: false,
    };
    let found = ends(&mut operator, &mut stream(name, options), limits);
    Ok(Reading::of_ends(found, rows, cols, options.tolerance))
}

/// The paper's reading.
fn of_fourier(convolution: &Convolution<'_>, input: &[usize]) -> Reading {
    let positions = match *input {
        [_, height, width] => [height, width],
        [_, width] => [1, width],
        _ => return Reading::default(),
    };
    let grid = fourier::grid(convolution, positions);
    match fourier::circular(convolution, grid) {
        Some(found) => Reading::whole(found.values, found.rows, found.cols, found.error, "Fourier"),
        None => Reading::default(),
    }
}

/// A number that is certainly not below the largest singular value of a layer as it runs; None where
/// none is known.
///
/// A convolution with zero padding is the circular one on a grid that holds the padded input, seen
/// at some of its outputs and fed at some of its inputs: its norm is no larger.
pub(crate) fn norm_bound(layer: &Layer<'_>) -> Option<f64> {
    match &layer.linear {
        Linear::Matrix { matrix, .. } => {
            let dense = matrix.dense();
            let decomposed = (dense.rows.min(dense.cols) <= EXPLICIT.0)
                .then(|| decomposed(&dense))
                .flatten();
            match decomposed {
                Some(Reading {
                    upper: Some(upper),
                    error: Some(error),
                    ..
                }) => Some(upper + error),
                _ => Some(dense.frobenius() * (1.0 + 1e-6)),
            }
        }
        Linear::Convolution(convolution) => {
            let window = &convolution.conv.window;
            let sides = layer.input.as_ref()?.iter().skip(1);
            let padding = window.before.iter().zip(&window.after);
            let padded: Vec<usize> = sides.zip(padding).map(|(n, (b, a))| n + b + a).collect();
            let positions = match *padded {
                [width] => [1, width],
                [height, width] => [height, width],
                _ => return None,
            };
            let found = fourier::circular(convolution, fourier::grid(convolution, positions))?;
            Some(found.values.first()? + found.error)
        }
    }
}
