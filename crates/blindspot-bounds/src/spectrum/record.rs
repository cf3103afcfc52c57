//! A layer's spectrum as files hold it: one flat object, in which the fields of both readings are
//! mixed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LayerKind, LayerSpectrum, Reading};

/// A linear layer as it runs, and as a circular convolution, in the fields whose names end so. Null is what is not known.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub(super) struct LayerRecord {
    /// Its name in the file.
    layer: String,
    /// Its operator, by ONNX's name: `Conv`, `Gemm` or `MatMul`.
    kind: LayerKind,
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

impl From<LayerSpectrum> for LayerRecord {
    fn from(layer: LayerSpectrum) -> LayerRecord {
        let (as_run, circular) = (layer.as_run, layer.circular);
        LayerRecord {
            layer: layer.layer,
            kind: layer.kind,
            shape: layer.shape,
            stride: layer.stride,
            input: layer.input,
            lower: as_run.lower,
            upper: as_run.upper,
            lower_nonzero: as_run.lower_nonzero,
            lower_circular: circular.lower,
            upper_circular: circular.upper,
            lower_nonzero_circular: circular.lower_nonzero,
            error_bound: as_run.error_bound,
            error_bound_lower: layer.error_bound_lower,
            error_bound_circular: circular.error_bound,
            dimensions_lost: as_run.dimensions_lost,
            dimensions_lost_circular: circular.dimensions_lost,
            method: layer.method,
            count: layer.count,
            spectrum: as_run.spectrum,
            spectrum_circular: circular.spectrum,
        }
    }
}

impl From<LayerRecord> for LayerSpectrum {
    fn from(record: LayerRecord) -> LayerSpectrum {
        LayerSpectrum {
            layer: record.layer,
            kind: record.kind,
            shape: record.shape,
            stride: record.stride,
            input: record.input,
            as_run: Reading {
                lower: record.lower,
                upper: record.upper,
                lower_nonzero: record.lower_nonzero,
                error_bound: record.error_bound,
                dimensions_lost: record.dimensions_lost,
                spectrum: record.spectrum,
            },
            circular: Reading {
                lower: record.lower_circular,
                upper: record.upper_circular,
                lower_nonzero: record.lower_nonzero_circular,
                error_bound: record.error_bound_circular,
                dimensions_lost: record.dimensions_lost_circular,
                spectrum: record.spectrum_circular,
            },
            error_bound_lower: record.error_bound_lower,
            method: record.method,
            count: record.count,
        }
    }
}
