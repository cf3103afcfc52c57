//! Measures one linear layer.

use blindspot_net::{Budget, BudgetError, Real};
use blindspot_run::random::Stream;

use super::dense::{Matrix, rounding};
use super::fourier::{circular, grid};
use super::lanczos::{ExtremeSingularValues, Limits, LinearOperator, golub_kahan, lanczos_bytes};
use super::layers::{Convolution, Layer, Linear, NetworkOperator};
use super::{LayerSpectrum, Reading, SpectrumOptions};

/// The singular values that are kept of a spectrum, at most.
const MAX_KEPT: usize = 512;
/// The longest smaller side of a convolution's matrix that is decomposed.
const MAX_EXPLICIT_SIDE: usize = 1536;
/// The largest number of entries of a convolution's matrix that is decomposed.
const MAX_EXPLICIT_ENTRIES: usize = 1 << 24;
/// How much memory a matrix takes while it is decomposed, as a multiple of its own: the decomposition
/// works on a copy and beside it.
const DECOMPOSING: u64 = 4;
/// The steps that all applications of an operator in a Lanczos process may take: some hours on a core.
const MAX_LANCZOS_STEPS: f64 = 4e12;
/// The largest number of steps of the Lanczos process.
const MAX_STEPS: usize = 400;
/// The relative error up to which the smallest singular value of the Lanczos process is reported,
/// if the tolerance is not larger.
const SMALLEST_TOLERANCE: f64 = 1e-3;

/// One reading of a layer, with how it was found. Its spectrum holds all singular values.
#[derive(Debug, Clone, Default)]
pub(super) struct Measurement {
    pub(super) reading: Reading,
    /// How far the smallest non-zero singular value can be off.
    error_bound_lower: Option<f64>,
    method: String,
    /// The number of singular values.
    count: usize,
}

impl Measurement {
    /// A whole spectrum, the largest value first, of an operator with `rows` outputs and `cols`
    /// inputs.
    fn of_spectrum(
        values: Vec<f64>,
        rows: usize,
        cols: usize,
        error: f64,
        method: &str,
    ) -> Measurement {
        let dimensions_lost = cols.saturating_sub(rows);
        // A value within the error of 0 can't be told from 0.
        let lower_nonzero = values.iter().copied().rfind(|&value| value > error);
        let deficient = values.last().is_none_or(|&least| least <= error);
        Measurement {
            count: values.len(),
            reading: Reading {
                lower: if dimensions_lost > 0 || deficient {
                    Some(0.0)
                } else {
                    values.last().copied()
                },
                upper: values.first().copied(),
                lower_nonzero,
                error_bound: Some(error),
                dimensions_lost,
                spectrum: values,
            },
            error_bound_lower: Some(error),
            method: method.to_owned(),
        }
    }

    /// The result of the Lanczos process on an operator with `rows` outputs and `cols` inputs.
    fn of_extremes(
        extremes: Option<ExtremeSingularValues>,
        rows: usize,
        cols: usize,
        tolerance: f64,
    ) -> Measurement {
        let dimensions_lost = cols.saturating_sub(rows);
        let count = rows.min(cols);
        let Some(ExtremeSingularValues {
            largest,
            smallest,
            steps,
        }) = extremes
        else {
            return Measurement {
                reading: Reading {
                    lower: (dimensions_lost > 0).then_some(0.0),
                    dimensions_lost,
                    ..Reading::default()
                },
                error_bound_lower: None,
                method: "Lanczos, without an end".into(),
                count,
            };
        };
        let smallest =
            Some(smallest).filter(|one| one.error <= tolerance.max(SMALLEST_TOLERANCE) * one.value);
        Measurement {
            reading: Reading {
                lower: if dimensions_lost > 0 {
                    Some(0.0)
                } else {
                    smallest.map(|one| one.value)
                },
                upper: Some(largest.value),
                lower_nonzero: smallest.map(|one| one.value),
                error_bound: Some(largest.error),
                dimensions_lost,
                spectrum: Vec::new(),
            },
            error_bound_lower: smallest.map(|one| one.error),
            method: format!("Lanczos, {steps} steps"),
            count,
        }
    }
}

/// Both readings of a layer.
///
/// # Errors
/// Why the layer can't be measured, a phrase.
pub(super) fn measure(
    layer: &Layer<'_>,
    options: &SpectrumOptions,
    budget: &Budget,
) -> Result<LayerSpectrum, String> {
    let (as_run, circular) = match &layer.linear {
        Linear::Matrix { matrix, times } => {
            let copy = budget.check(matrix.bytes(), || "its matrix".to_owned());
            copy.map_err(|why| why.to_string())?;
            let mut measured = of_matrix(&matrix.dense(), &layer.name, options, budget);
            measured.count *= times;
            measured.reading.dimensions_lost *= times;
            (measured.clone(), measured)
        }
        Linear::Convolution(convolution) => {
            let Some(input) = &layer.input else {
                return Err("the shape of its input is not known; leave the input size out".into());
            };
            let circular = of_circular(convolution, input, budget);
            if options.padded {
                (
                    of_padded(convolution, input, &layer.name, options, budget)?,
                    circular,
                )
            } else {
                (Measurement::default(), circular)
            }
        }
    };
    let stride = match &layer.linear {
        Linear::Matrix { .. } => Vec::new(),
        Linear::Convolution(convolution) => convolution.conv.window.strides.clone(),
    };
    Ok(LayerSpectrum {
        layer: layer.name.clone(),
        kind: layer.kind,
        shape: layer.shape.to_vec(),
        stride,
        input: layer.input.clone(),
        as_run: thinned(as_run.reading),
        circular: thinned(circular.reading),
        error_bound_lower: as_run.error_bound_lower,
        method: as_run.method,
        count: as_run.count,
    })
}

/// A reading whose spectrum is reduced to values of evenly spaced ranks, both ends among them.
fn thinned(mut reading: Reading) -> Reading {
    let values = &reading.spectrum;
    if values.len() > MAX_KEPT {
        let last = values.len() - 1;
        let kept = (0..MAX_KEPT).map(|i| values[i * last / (MAX_KEPT - 1)]);
        reading.spectrum = kept.collect();
    }
    reading
}

/// The Lanczos process on a layer's operator.
fn by_lanczos(
    operator: &mut dyn LinearOperator,
    layer: &str,
    options: &SpectrumOptions,
) -> Measurement {
    let limits = Limits {
        tolerance: options.tolerance,
        steps: MAX_STEPS,
        both: false,
    };
    let (rows, cols) = (operator.rows(), operator.cols());
    let mut start = Stream::new(options.seed, &format!("spectrum of {layer}"), 0);
    let found = golub_kahan(operator, &mut start, limits);
    Measurement::of_extremes(found, rows, cols, options.tolerance)
}

/// A matrix's whole spectrum; None if the decomposition does not converge.
fn decomposed(matrix: &Matrix) -> Option<Measurement> {
    let values = matrix.singular_values()?;
    let (rows, cols) = (matrix.rows, matrix.cols);
    let error = rounding(rows, cols, values.first().copied()?);
    Some(Measurement::of_spectrum(values, rows, cols, error, "SVD"))
}

fn of_matrix(
    mut matrix: &Matrix,
    name: &str,
    options: &SpectrumOptions,
    budget: &Budget,
) -> Measurement {
    if matrix.rows.min(matrix.cols) <= options.max_dense_side
        && budget.memory >= DECOMPOSING * matrix.bytes()
        && let Some(measured) = decomposed(matrix)
    {
        return measured;
    }
    by_lanczos(&mut matrix, name, options)
}

/// A convolution as it runs, with zero padding.
pub(super) fn of_padded(
    convolution: &Convolution<'_>,
    input: &[usize],
    name: &str,
    options: &SpectrumOptions,
    budget: &Budget,
) -> Result<Measurement, String> {
    let Some(network) = convolution.network(input) else {
        return Err(format!("its windows don't fit an input of shape {input:?}"));
    };
    let window = &convolution.conv.window;
    if convolution.is_pointwise() && window.before.iter().chain(&window.after).all(|&n| n == 0) {
        // Both readings are the same.
        return Ok(of_circular(convolution, input, budget));
    }
    let graph = network.graph();
    let vectors = lanczos_bytes(network.output_len(), network.input_len());
    graph
        .check_memory(budget, vectors, 1, size_of::<f64>())
        .map_err(|why| why.to_string())?;
    let steps = graph.steps() * 2.0 * MAX_STEPS as f64;
    if steps > MAX_LANCZOS_STEPS {
        return Err(format!(
            "applying it as often as needed takes {steps:.1e} steps; {MAX_LANCZOS_STEPS:.1e} are the \
             most"
        ));
    }
    let mut operator = NetworkOperator::new(&network);
    let (rows, cols) = (operator.rows(), operator.cols());
    if rows.min(cols) <= MAX_EXPLICIT_SIDE
        && rows * cols <= MAX_EXPLICIT_ENTRIES
        && budget.memory >= DECOMPOSING * (rows * cols * size_of::<f64>()) as u64
        && let Some(measured) = decomposed(&operator.matrix())
    {
        return Ok(measured);
    }
    Ok(by_lanczos(&mut operator, name, options))
}

/// A convolution in the circular reading; nothing is known if its blocks would take too long.
pub(super) fn of_circular(
    convolution: &Convolution<'_>,
    input: &[usize],
    budget: &Budget,
) -> Measurement {
    let positions = match *input {
        [_, height, width] => [height, width],
        [_, width] => [1, width],
        _ => return Measurement::default(),
    };
    match circular(convolution, grid(convolution, positions), budget) {
        Some(found) => {
            Measurement::of_spectrum(found.values, found.rows, found.cols, found.error, "Fourier")
        }
        None => Measurement::default(),
    }
}

/// The multiplications and additions that [`norm_bound`] takes, about: ten times those of products of the
/// matrices that it decomposes with themselves.
pub(crate) fn steps_of_norm<T: Real>(layer: &Layer<'_, T>) -> f64 {
    let decomposed =
        |rows: usize, cols: usize| 10.0 * rows as f64 * cols as f64 * rows.min(cols) as f64;
    match &layer.linear {
        Linear::Matrix { .. } => {
            let [rows, cols] = [0, 1].map(|axis| layer.shape.get(axis).copied().unwrap_or(1));
            if rows.min(cols) <= MAX_EXPLICIT_SIDE {
                decomposed(rows, cols)
            } else {
                rows as f64 * cols as f64
            }
        }
        Linear::Convolution(convolution) => {
            let sides = layer.input.iter().flat_map(|input| input.iter().skip(1));
            let positions: f64 = sides.map(|&side| side as f64).product();
            let groups = convolution.groups as f64;
            positions * groups * decomposed(convolution.features, convolution.channels)
        }
    }
}

/// An upper bound of the largest singular value of a layer as it runs, rounding included; None if
/// none is known.
///
/// A convolution with zero padding is the circular one on a grid that holds the padded input, with
/// some inputs set to 0 and some outputs left out: its norm is no larger.
///
/// # Errors
/// [`BudgetError`] where the layer's matrix takes more memory than allowed.
pub(crate) fn norm_bound<T: Real>(
    layer: &Layer<'_, T>,
    budget: &Budget,
) -> Result<Option<f64>, BudgetError> {
    Ok(match &layer.linear {
        Linear::Matrix { matrix, .. } => {
            budget.check(matrix.bytes(), || {
                format!("the matrix of layer `{}`", layer.name)
            })?;
            let matrix = matrix.dense();
            let fits = matrix.rows.min(matrix.cols) <= MAX_EXPLICIT_SIDE
                && budget.memory >= DECOMPOSING * matrix.bytes();
            let decomposed = fits
                .then(|| decomposed(&matrix))
                .flatten()
                .map(|measured| measured.reading);
            match decomposed {
                Some(Reading {
                    upper: Some(upper),
                    error_bound: Some(error),
                    ..
                }) => Some(upper + error),
                _ => Some(matrix.frobenius() * (1.0 + 1e-6)),
            }
        }
        Linear::Convolution(convolution) => {
            let window = &convolution.conv.window;
            let Some(input) = &layer.input else {
                return Ok(None);
            };
            let sides = input.iter().skip(1);
            let padding = window.before.iter().zip(&window.after);
            let padded: Vec<usize> = sides.zip(padding).map(|(n, (b, a))| n + b + a).collect();
            let positions = match *padded {
                [width] => [1, width],
                [height, width] => [height, width],
                _ => return Ok(None),
            };
            let found = circular(convolution, grid(convolution, positions), budget);
            found.and_then(|found| Some(found.values.first()? + found.error))
        }
    })
}
