//! How far a margin can fall by its gradient and its curvature, for networks of one or two fully
//! connected layers of smooth units.
//!
//! Lines below and above each unit ([`propagation`](super::propagation)) let all units be at their
//! worst at once, though no input does that. Here the margin of a class over another is bounded
//! below by a quadratic function of the perturbation,
//!
//! ```text
//! margin(x + d)  >=  margin(x) + a d - d' M d / 2        for all d in the ball and the box
//! ```
//!
//! with a the margin's gradient at the image and M positive semidefinite, whose largest eigenvalue
//! tells what the units can do together. With t = W1 d, the changes of the first layer's inputs:
//!
//! - A unit with coefficient g contributes g (f(z + t) - f(z)), at least g f'(z) t - |g| k t^2 / 2,
//!   with k the curvature of its parabola ([`smooth`](super::smooth)). With one layer of units that
//!   is all: M = W1' K W1 with K = diag(|g| k).
//! - With two layers, the second layer's units have parabolas in the changes W2 s of their inputs,
//!   s being the changes of the first layer's outputs. The coefficients g = W2' u of the first
//!   layer's units are those at the image, and s' Q s / 2 remains, with Q = W2' diag(|c| k2) W2.
//!   Each s_j is t_j times a secant's slope, m_j up to e_j more or less, so s = m t + w with
//!   |w_j| <= e_j |t_j|, and for any h > 0
//!
//!   ```text
//!   s' Q s  <=  (1 + h) (m t)' Q (m t) + (1 + 1 / h) w' Q w,    w' Q w <= q |e t|^2
//!   ```
//!
//!   where q is an upper bound of Q's largest eigenvalue.
//!
//! All is expressed in a basis of the row space of W1, so that M is no larger than the number of
//! the first layer's units.
//!
//! # Rounding
//!
//! All numbers are f64. What is computed here are sums of products, whose errors are those of
//! Higham (2002, section 3.5): at most the number of terms times the unit roundoff times the sum of
//! the absolute values, which norms bound. The decompositions are backward stable: exact for a
//! matrix that differs, in norm, by a modest multiple of its size times the unit roundoff (sections
//! 19 and 20). All those sizes are added up ([`CurvatureBound::slack`]), and 16 times the number of
//! all values of the network times the unit roundoff of that sum is subtracted from every margin.
//!
//! What a runtime's rounding adds to each layer changes the margin by at most as much times the
//! units' largest slopes on the way, and is subtracted, too ([`CurvatureBound::runtime_error`]).

use faer::{Mat, Side};

use super::activation::ActivationLayer;
use super::affine::{AffineLayer, AffineLayers};
use super::ball::{self, Scratch};
use super::interval::Intervals;
use super::perturbation_box::PerturbationBox;
use super::propagation::Relaxed;
use super::smooth::{LocalBounds, Smooth};
use crate::spectrum::{Matrix, clear_upper_registers};

/// The curvature bound of a network: its layers as matrices, and the space that the first one sees.
pub(super) struct CurvatureBound {
    /// The first layer, the last one, and the one between if there are three.
    layers: Vec<DenseLayer>,
    /// The activation between each two layers.
    activations: Vec<Smooth>,
    /// Orthonormal columns that span the rows of the first layer.
    basis: Mat<f64>,
    /// The first layer's matrix in terms of the basis.
    reduced: Mat<f64>,
    /// The number of all layers' values, the input's included.
    count: usize,
}

/// A fully connected layer.
struct DenseLayer {
    matrix: Matrix,
    bias: Vec<f64>,
    /// The largest of the biases' magnitudes.
    largest_bias: f64,
    /// Frobenius norm of the matrix.
    norm: f64,
}

/// The largest number of units of the first layer.
const MAX_FIRST_UNITS: usize = 1024;
/// The largest number of units of the first layer of a network whose bound takes some tenths of a second at most.
const MAX_QUICK_UNITS: usize = 512;
/// The largest number of entries of a layer's matrix.
const MAX_MATRIX_ENTRIES: usize = 1 << 24;

/// The units' bounds around their inputs at the image, within a radius.
pub(super) struct Expansion<'r> {
    /// For each layer of units.
    units: Vec<Vec<LocalBounds>>,
    /// What they were made from.
    relaxed: &'r Relaxed,
    radius: f64,
    /// L2 norm of the image.
    image_norm: f64,
}

/// A lower bound of a margin that is quadratic in the perturbation.
pub(super) struct QuadraticBound {
    /// The bound at the image, with the rounding of any later use subtracted.
    pub(super) margin: f64,
    /// The gradient with respect to each value of the image.
    pub(super) gradient: Vec<f64>,
    /// The curvature M in terms of the basis.
    curvature: Mat<f64>,
}

/// The eigenvalues and eigenvectors of a curvature.
pub(super) struct CurvatureAxes {
    /// The eigenvalues, the largest first; never negative.
    pub(super) eigenvalues: Vec<f64>,
    /// The eigenvectors: orthonormal rows, each as long as an image.
    pub(super) rows: Matrix,
}

impl CurvatureBound {
    /// Whether the bound takes so little time that an image gets it without being given any.
    pub(super) fn is_quick(&self) -> bool {
        self.layers[0].matrix.rows <= MAX_QUICK_UNITS
    }

    /// Prepares the bound; None for other networks than those of one or two fully connected layers
    /// of smooth units below the last.
    pub(super) fn new(layers: &AffineLayers) -> Option<CurvatureBound> {
        let activations = layers
            .activations
            .iter()
            .map(|activation| match activation {
                ActivationLayer::Elementwise(activation) => Smooth::from_activation(*activation),
                ActivationLayer::Curves(_)
                | ActivationLayer::MaxPool(_)
                | ActivationLayer::Products(_)
                | ActivationLayer::Squares { .. } => None,
            });
        let activations: Vec<Smooth> = activations.collect::<Option<_>>()?;
        let is_small =
            |layer: &AffineLayer| layer.inputs.saturating_mul(layer.outputs) <= MAX_MATRIX_ENTRIES;
        let fits =
            layers.affine[0].outputs <= MAX_FIRST_UNITS && layers.affine.iter().all(is_small);
        if !(1..=2).contains(&activations.len()) || !fits || !layers.is_sequential() {
            return None;
        }
        let dense: Vec<DenseLayer> = layers.affine.iter().map(DenseLayer::new).collect();
        let matrix = &dense[0].matrix;
        let columns = Mat::from_fn(matrix.cols, matrix.rows, |i, j| matrix.row(j)[i]);
        let decomposed = columns.qr();
        let (basis, reduced) = (decomposed.compute_thin_Q(), decomposed.thin_R());
        let reduced = reduced.transpose().to_owned();
        let count = layers.affine.iter().map(|l| l.outputs).sum::<usize>() + matrix.cols;
        clear_upper_registers(Some(CurvatureBound {
            activations,
            basis,
            reduced,
            count,
            layers: dense,
        }))
    }

    /// The units' bounds within a radius, given bounds of their inputs.
    pub(super) fn expand<'r>(
        &self,
        domain: &PerturbationBox,
        radius: f64,
        relaxed: &'r Relaxed,
    ) -> Expansion<'r> {
        let mut values = domain.image.clone();
        let mut units = Vec::with_capacity(self.activations.len());
        let layers = self.layers.iter().zip(&self.activations);
        let layers = layers.zip(&relaxed.intervals);
        for ((layer, smooth), Intervals { lower, upper }) in layers {
            let inputs = layer
                .apply(&values)
                .into_iter()
                .zip(lower.iter().zip(upper));
            let local: Vec<LocalBounds> = inputs
                .map(|(z, (&low, &high))| smooth.local_bounds(z, low.min(z), high.max(z)))
                .collect();
            values = local.iter().map(|unit| unit.value).collect();
            units.push(local);
        }
        Expansion {
            units,
            relaxed,
            radius,
            image_norm: norm(&domain.image),
        }
    }

    /// The quadratic bound of the margin of `label` over the class `other`.
    pub(super) fn margin(
        &self,
        expansion: &Expansion<'_>,
        label: usize,
        other: usize,
    ) -> QuadraticBound {
        let [first, .., last] = &self.layers[..] else {
            unreachable!("there are units between two layers");
        };
        let rows = last.matrix.row(label).iter().zip(last.matrix.row(other));
        let coefficients: Vec<f64> = rows.map(|(a, b)| a - b).collect();
        let last_units = &expansion.units[expansion.units.len() - 1];
        let margin = coefficients.iter().zip(last_units);
        let margin = margin.map(|(c, unit)| c * unit.value).sum::<f64>();
        let margin = margin + last.bias[label] - last.bias[other];

        let first_units = &expansion.units[0];
        let (count, reduced) = (first_units.len(), &self.reduced);
        // The coefficients of the first layer's units, and the curvature that is not their own.
        let (slopes, second) = match &self.layers[..] {
            [_, layer, _] => {
                let own = coefficients.iter().zip(last_units);
                let up: Vec<f64> = own.clone().map(|(c, unit)| c * unit.slope).collect();
                let curved: Vec<f64> = own.map(|(&c, unit)| unit_curvature(c, unit)).collect();
                let slopes = layer.adjoint(&up);
                let weights = &layer.matrix;
                let roots: Vec<f64> = curved.iter().map(|q| q.sqrt()).collect();
                let root = Mat::from_fn(weights.rows, count, |i, j| roots[i] * weights.row(i)[j]);
                let q = root.transpose() * &root;
                let direction = self.changes_along_gradient(&slopes, first_units);
                (slopes, Some(SecondLayer::new(&q, first_units, &direction)))
            }
            _ => (coefficients.clone(), None),
        };
        let curved = Mat::from_fn(count, reduced.ncols(), |i, k| {
            let own = unit_curvature(slopes[i], &first_units[i])
                + second.as_ref().map_or(0.0, |second| second.diagonal[i]);
            own * reduced[(i, k)]
        });
        let mut curvature = reduced.transpose() * curved;
        if let Some(SecondLayer { product, .. }) = &second {
            curvature += reduced.transpose() * (product * reduced);
        }
        let units = slopes.iter().zip(first_units);
        let gradient: Vec<f64> = units.map(|(g, unit)| g * unit.slope).collect();
        let gradient = first.adjoint(&gradient);
        let trace: f64 = (0..curvature.ncols()).map(|k| curvature[(k, k)]).sum();
        let factor = second.as_ref().map_or(1.0, |second| second.max_factor);
        let slack = self.slack(expansion, &coefficients, factor, trace)
            + self.runtime_error(expansion.relaxed, [label, other], &coefficients);
        clear_upper_registers(QuadraticBound {
            margin: margin - slack,
            gradient,
            curvature,
        })
    }

    /// The changes of the first layer's inputs if the image moves along the margin's gradient, up
    /// to a factor.
    fn changes_along_gradient(&self, slopes: &[f64], units: &[LocalBounds]) -> Vec<f64> {
        let k = self.reduced.ncols();
        let mut direction = vec![0.0; k];
        for (i, (g, unit)) in slopes.iter().zip(units).enumerate() {
            let part = g * unit.slope;
            for (j, sum) in direction.iter_mut().enumerate() {
                *sum += part * self.reduced[(i, j)];
            }
        }
        let row = |i: usize| direction.iter().enumerate().map(move |(j, x)| (i, j, x));
        let rows = 0..slopes.len();
        rows.map(|i| row(i).map(|(i, j, x)| self.reduced[(i, j)] * x).sum())
            .collect()
    }

    /// More than a runtime's rounding can change the margin of one class over another by, whose last
    /// units have these `coefficients`.
    fn runtime_error(
        &self,
        relaxed: &Relaxed,
        [label, other]: [usize; 2],
        coefficients: &[f64],
    ) -> f64 {
        let errors = &relaxed.errors;
        let Some([.., last]) = errors.layers.get(..self.layers.len()) else {
            return f64::INFINITY;
        };
        if last.is_empty() {
            return errors.end;
        }
        let mut sum = last[label] + last[other] + errors.end;
        let mut steepest: Vec<f64> = coefficients.iter().map(|c| c.abs()).collect();
        for (i, smooth) in self.activations.iter().enumerate().rev() {
            sum += errors.activations[i].of_function(&steepest);
            let Intervals { lower, upper } = &relaxed.intervals[i];
            for (c, (&l, &u)) in steepest.iter_mut().zip(lower.iter().zip(upper)) {
                *c *= smooth.max_slope(l, u);
            }
            let own = steepest.iter().zip(&errors.layers[i]);
            sum += own.map(|(c, error)| c * error).sum::<f64>();
            if i > 0 {
                steepest = self.layers[i].adjoint_of_sizes(&steepest);
            }
        }
        // More than the rounding of the sums.
        sum * (1.0 + 1e-9)
    }

    /// More than rounding can change a bound by.
    fn slack(
        &self,
        expansion: &Expansion<'_>,
        coefficients: &[f64],
        factor: f64,
        trace: f64,
    ) -> f64 {
        let largest = |layer: &DenseLayer| layer.largest_bias;
        let [first, .., last] = &self.layers[..] else {
            return f64::INFINITY;
        };
        let (mut between, mut biases) = (1.0, 1.0);
        if let [_, second, _] = &self.layers[..] {
            between += second.norm;
            biases += largest(second) + second.norm * (second.matrix.cols as f64).sqrt();
        }
        let sum: f64 = coefficients.iter().map(|c| c.abs()).sum();
        let radius = expansion.radius;
        let reach = first.norm * (expansion.image_norm + radius) + largest(first);
        let moved = (first.norm * radius).powi(2);
        let size = largest(last)
            + sum * biases
            + norm(coefficients) * between * (reach + moved)
            + factor * sum * between * between * moved
            + trace * radius * radius;
        16.0 * (self.count + 64) as f64 * f64::EPSILON * size
    }

    /// A bound of the margin within `radius` that is cheap and not tight: gradient and curvature
    /// are bounded apart.
    pub(super) fn quick_margin(
        &self,
        quadratic: &QuadraticBound,
        domain: &PerturbationBox,
        radius: f64,
    ) -> f64 {
        let mut point = vec![0.0; quadratic.gradient.len()];
        let scratch = &mut Scratch::default();
        let least = ball::min_change(&quadratic.gradient, domain, radius, scratch, &mut point);
        let most = clear_upper_registers(eigenvalue_bound(&quadratic.curvature));
        quadratic.margin + least.value - 0.5 * most * radius * radius
    }

    /// The curvature's axes; None if the decomposition does not converge (never seen).
    pub(super) fn axes(&self, quadratic: &QuadraticBound) -> Option<CurvatureAxes> {
        let size = quadratic.curvature.ncols();
        let decomposed = quadratic.curvature.self_adjoint_eigen(Side::Lower).ok();
        let found = clear_upper_registers(decomposed)?;
        let values = found.S().column_vector();
        let columns = clear_upper_registers(&self.basis * found.U());
        // faer sorts the smallest first.
        let order = (0..size).rev();
        let rows = order
            .clone()
            .flat_map(|i| columns.col_as_slice(i).iter().copied());
        Some(CurvatureAxes {
            rows: Matrix {
                rows: size,
                cols: columns.nrows(),
                data: rows.collect(),
            },
            eigenvalues: order.map(|i| values[i].max(0.0)).collect(),
        })
    }
}

/// What the second layer's units add to the curvature, in terms of the first layer's input changes
/// t.
struct SecondLayer {
    /// (1 + h) m Q m.
    product: Mat<f64>,
    /// (1 + 1 / h) q e^2, the entries of a diagonal matrix.
    diagonal: Vec<f64>,
    /// No smaller than either factor: 1 + h + 1 / h.
    max_factor: f64,
}

impl SecondLayer {
    /// `units` are the first layer's; `direction` is the t for which h is chosen best.
    fn new(q: &Mat<f64>, units: &[LocalBounds], direction: &[f64]) -> SecondLayer {
        let count = units.len();
        let most = eigenvalue_bound(q);
        let secants: Vec<f64> = units
            .iter()
            .map(|unit| 0.5 * (unit.min_secant + unit.max_secant))
            .collect();
        let half_widths = units
            .iter()
            .map(|unit| 0.5 * (unit.max_secant - unit.min_secant));
        let spread: Vec<f64> = half_widths.map(|e| most * e * e).collect();
        let moved = |i: usize| secants[i] * direction[i];
        let row = |i: usize| (0..count).map(|j| q[(i, j)] * moved(j)).sum::<f64>();
        let main: f64 = (0..count).map(|i| moved(i) * row(i)).sum();
        let rest: f64 = spread.iter().zip(direction).map(|(q, t)| q * t * t).sum();
        let ratio = (rest / main).sqrt();
        let h = if ratio.is_finite() {
            ratio.clamp(1e-2, 1e2)
        } else {
            1.0
        };
        SecondLayer {
            max_factor: 1.0 + h + 1.0 / h,
            product: Mat::from_fn(count, count, |i, j| {
                (1.0 + h) * secants[i] * q[(i, j)] * secants[j]
            }),
            diagonal: spread.iter().map(|q| (1.0 + 1.0 / h) * q).collect(),
        }
    }
}

/// The curvature of a coefficient times a unit: how fast it can bend downward.
fn unit_curvature(coefficient: f64, unit: &LocalBounds) -> f64 {
    let curvature = if coefficient > 0.0 {
        unit.curvature_down
    } else {
        unit.curvature_up
    };
    coefficient.abs() * curvature
}

/// An upper bound of the largest eigenvalue of a positive semidefinite matrix, mostly a few percent
/// above it: the eighth root of the sum of all eigenvalues' eighth powers. That sum is the squared
/// Frobenius norm of the matrix's fourth power.
fn eigenvalue_bound(matrix: &Mat<f64>) -> f64 {
    let square = matrix * matrix;
    let fourth = &square * &square;
    (1.0 + 1e-9) * fourth.norm_l2().sqrt().sqrt()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

impl DenseLayer {
    fn new(layer: &AffineLayer) -> DenseLayer {
        let mut data = Vec::with_capacity(layer.outputs * layer.inputs);
        layer.for_each_row(|row| data.extend_from_slice(row));
        let matrix = Matrix {
            rows: layer.outputs,
            cols: layer.inputs,
            data,
        };
        DenseLayer {
            norm: matrix.frobenius(),
            matrix,
            bias: layer.bias.clone(),
            largest_bias: layer.bias_magnitude.iter().copied().fold(0.0, f64::max),
        }
    }

    fn apply(&self, values: &[f64]) -> Vec<f64> {
        let row = |i: usize| self.matrix.row(i).iter().zip(values);
        let outputs = self.bias.iter().enumerate();
        outputs
            .map(|(i, bias)| bias + row(i).map(|(w, x)| w * x).sum::<f64>())
            .collect()
    }

    fn adjoint(&self, outputs: &[f64]) -> Vec<f64> {
        self.adjoint_by(outputs, |w| w)
    }

    /// The adjoint of the matrix of absolute values, applied to outputs.
    fn adjoint_of_sizes(&self, outputs: &[f64]) -> Vec<f64> {
        self.adjoint_by(outputs, f64::abs)
    }

    fn adjoint_by(&self, outputs: &[f64], entry: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut inputs = vec![0.0; self.matrix.cols];
        for (i, &part) in outputs.iter().enumerate() {
            let row = inputs.iter_mut().zip(self.matrix.row(i));
            row.for_each(|(sum, &w)| *sum += part * entry(w));
        }
        inputs
    }
}
