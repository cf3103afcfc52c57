//! A layer's spectrum as files hold it: one flat object, in which the fields of both readings are
//! mixed.

use serde::{Deserialize, Serialize};

use super::{LayerKind, LayerSpectrum, Reading};

/// The fields of a [`LayerSpectrum`] in the order and under the names of the files.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct LayerRecord {
    layer: String,
    kind: LayerKind,
    shape: Vec<usize>,
    stride: Vec<usize>,
    input: Option<Vec<usize>>,
    lower: Option<f64>,
    upper: Option<f64>,
    lower_nonzero: Option<f64>,
    lower_circular: Option<f64>,
    upper_circular: Option<f64>,
    lower_nonzero_circular: Option<f64>,
    error_bound: Option<f64>,
    error_bound_lower: Option<f64>,
    error_bound_circular: Option<f64>,
    dimensions_lost: usize,
    dimensions_lost_circular: usize,
    method: String,
    count: usize,
    spectrum: Vec<f64>,
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
