//! What JSON schemas say of spectra, field by field as files have them.
#![expect(dead_code, reason = "only their descriptions are asked for")]

use schemars::JsonSchema;

/// How spectra were measured.
#[derive(JsonSchema)]
pub(crate) struct SpectrumOptions {
    /// The only layer that was to be measured; null for all.
    layer: Option<String>,
    /// Height and width of the input, where they are not the network's own.
    input_size: Option<[usize; 2]>,
    /// Seed of the start vectors of the Lanczos process.
    seed: u64,
    /// The relative error of the largest singular value that is good enough, between 0 and 1.
    tolerance: f64,
    /// Matrices whose smaller side is at most this long were decomposed.
    dense_side: usize,
    /// Whether convolutions were measured also as they run, with zero padding.
    padded: bool,
}

/// The frame bounds of a network's layers.
#[derive(JsonSchema)]
pub(crate) struct Spectra {
    /// The linear layers, in the order in which they run.
    layers: Vec<Layer>,
    /// Linear layers that could not be measured.
    unsupported: Vec<Unsupported>,
}

/// A linear layer as it runs, and as a circular convolution, in the fields whose names end so. Null is what is not known.
#[derive(JsonSchema)]
struct Layer {
    /// Its name in the file.
    layer: String,
    /// Its operator, by ONNX's name: `Conv`, `Gemm` or `MatMul`.
    kind: String,
    /// The weight's shape, as the network stores it.
    shape: Vec<usize>,
    /// The strides of a convolution; empty for other layers.
    stride: Vec<usize>,
    /// The shape of one image's input to the layer.
    input: Option<Vec<usize>>,
    /// The smallest singular value over all inputs, 0 where the layer loses dimensions.
    lower: Option<f64>,
    /// The largest singular value.
    upper: Option<f64>,
    /// The smallest singular value that is not 0.
    lower_nonzero: Option<f64>,
    /// The smallest singular value as a circular convolution.
    lower_circular: Option<f64>,
    /// The largest singular value as a circular convolution.
    upper_circular: Option<f64>,
    /// The smallest singular value that is not 0, as a circular convolution.
    lower_nonzero_circular: Option<f64>,
    /// How far `upper` can be from a singular value.
    error_bound: Option<f64>,
    /// How far `lower_nonzero` can be from a singular value.
    error_bound_lower: Option<f64>,
    /// How far `upper_circular` can be from a singular value.
    error_bound_circular: Option<f64>,
    /// Dimensions that the input has more than the output.
    dimensions_lost: usize,
    /// Dimensions that the input has more than the output, as a circular convolution.
    dimensions_lost_circular: usize,
    /// How it was computed, a phrase.
    method: String,
    /// Number of singular values as the layer runs.
    count: usize,
    /// All singular values, the largest first, or 512 of evenly spaced ranks; empty where they were not computed.
    spectrum: Vec<f64>,
    /// All singular values as a circular convolution, the largest first, or 512 of evenly spaced ranks.
    spectrum_circular: Vec<f64>,
}

/// A linear layer that was not measured.
#[derive(JsonSchema)]
struct Unsupported {
    /// Its name in the file.
    layer: String,
    /// Its operator, by ONNX's name.
    kind: String,
    /// Why it was not measured.
    why: String,
}
