//! How far a lead can fall by its slope and its curvature: networks of one or two fully connected
//! layers of smooth units.
//!
//! Lines below and above each unit ([`bounds`](super::bounds)) let all units be at their worst at
//! once, though no input does that. Here the lead of a class over another is bounded below by
//!
//! ```text
//! lead(x + d)  >=  lead(x) + a d - d' M d / 2        for all d in the ball and the box
//! ```
//!
//! with a its gradient at the image and M positive semidefinite, whose largest eigenvalue tells what
//! the units can do together. With t = W1 d, the changes of the first layer's inputs:
//!
//! - A unit with coefficient g contributes g (f(z + t) - f(z)), at least g f'(z) t - |g| k t^2 / 2, k its
//!   parabola's ([`parabola`](super::parabola)). With one layer of units that is all: M = W1' K W1, K
//!   diagonal.
//! - With two, the same holds of the second layer's units and their inputs' changes W2 s, s the changes
//!   of the first layer's outputs. The slopes g = W2' u of the first layer's units are those of the
//!   image, and there remains s' Q s / 2 with Q = W2' diag(|c| k2) W2. Each s_j is t_j times a secant's
//!   slope, m_j up to e_j more or less, so s = m t + w with |w_j| <= e_j |t_j| and for any h > 0
//!
//!   ```text
//!   s' Q s  <=  (1 + h) (m t)' Q (m t) + (1 + 1 / h) w' Q w,    w' Q w <= q |e t|^2
//!   ```
//!
//!   q no less than Q's largest eigenvalue.
//!
//! All is brought to the space that the rows of W1 span, so that M is no larger than the number of the
//! first layer's units.
//!
//! # Rounding
//!
//! All is f64. What is computed here are sums of products, their errors those of Higham (2002, section
//! 3.5): at most the number of terms times the rounding unit times the sum of the absolute values, of
//! which norms are bounds. The decompositions are backward stable: exact for a matrix that differs by
//! a modest multiple of their size times the rounding unit, in norm (sections 19 and 20). All those
//! sizes are added up ([`Curved::slack`]), and 16 times the number of all values of the network times
//! the rounding unit of that is subtracted from every lead.

use faer::{Mat, Side};

use super::ball::{self, Room, Scratch};
use super::chain::{Between, Chain, ROWS, Segment};
use super::parabola::{Around, Smooth};
use crate::spectrum::{Matrix, settled};

/// Layers as matrices, and the space that the first one sees.
pub(super) struct Curved {
    /// The first one's, the last one's, and what is between.
    layers: Vec<Layer>,
    units: Vec<Smooth>,
    /// Orthonormal columns that span the rows of the first layer.
    basis: Mat<f64>,
    /// The first layer in terms of the basis.
    within: Mat<f64>,
    /// The values of all layers.
    count: usize,
}

struct Layer {
    matrix: Matrix,
    bias: Vec<f64>,
    norm: f64,
}

/// Units of the first layer at most, and numbers of a layer's matrix.
const MOST: (usize, usize) = (1024, 1 << 24);

/// The image's values in all layers, and how the units are around them within a radius.
pub(super) struct Centre {
    /// Of each layer of units.
    units: Vec<Vec<Around>>,
    radius: f64,
    /// The norm of the image.
    length: f64,
}

/// A lead's bound.
pub(super) struct Parabola {
    /// At the image, what rounding can do anywhere taken off.
    pub(super) lead: f64,
    /// For each value of the image.
    pub(super) slope: Vec<f64>,
    /// M in the space of the basis.
    matrix: Mat<f64>,
}

/// The curvature's axes.
pub(super) struct Axes {
    /// The eigenvalues, the largest first; never negative.
    pub(super) values: Vec<f64>,
    /// Orthonormal rows, in the image's space.
    pub(super) rows: Matrix,
}

impl Curved {
    /// None where the network is of another kind.
    pub(super) fn new(chain: &Chain) -> Option<Curved> {
        let units = chain.between.iter().map(|between| match between {
            Between::Each(activation) => Smooth::of(*activation),
            Between::Max(_) => None,
        });
        let units: Vec<Smooth> = units.collect::<Option<_>>()?;
        let sizes = |segment: &Segment| segment.inputs.saturating_mul(segment.outputs) <= MOST.1;
        let first = chain.segments[0].outputs;
        let fits = first <= MOST.0 && chain.segments.iter().all(sizes);
        if !(1..=2).contains(&units.len()) || !fits || !chain.is_plain() {
            return None;
        }
        let layers: Vec<Layer> = chain.segments.iter().map(Layer::new).collect();
        let matrix = &layers[0].matrix;
        let columns = Mat::from_fn(matrix.cols, matrix.rows, |i, j| matrix.row(j)[i]);
        let decomposed = columns.qr();
        let (basis, within) = (decomposed.compute_thin_Q(), decomposed.thin_R());
        let within = within.transpose().to_owned();
        let count = chain.segments.iter().map(|s| s.outputs).sum::<usize>() + matrix.cols;
        settled(Some(Curved {
            units,
            basis,
            within,
            count,
            layers,
        }))
    }

    /// The image's values, given bounds of the units' inputs within the radius.
    pub(super) fn centre(&self, room: &Room, radius: f64, ranges: &[[Vec<f64>; 2]]) -> Centre {
        let mut values = room.image.clone();
        let mut units = Vec::with_capacity(self.units.len());
        for ((layer, smooth), [low, high]) in self.layers.iter().zip(&self.units).zip(ranges) {
            let inputs = layer.apply(&values).into_iter().zip(low.iter().zip(high));
            let around: Vec<Around> = inputs
                .map(|(z, (&low, &high))| smooth.around(z, low.min(z), high.max(z)))
                .collect();
            values = around.iter().map(|around| around.value).collect();
            units.push(around);
        }
        let length = norm(&room.image);
        Centre {
            units,
            radius,
            length,
        }
    }

    /// The lead of `label` over `rival`.
    pub(super) fn parabola(&self, centre: &Centre, label: usize, rival: usize) -> Parabola {
        let [first, .., last] = &self.layers[..] else {
            unreachable!("there are units between two layers");
        };
        let rows = last.matrix.row(label).iter().zip(last.matrix.row(rival));
        let coefficients: Vec<f64> = rows.map(|(a, b)| a - b).collect();
        let outputs = &centre.units[centre.units.len() - 1];
        let lead = coefficients.iter().zip(outputs);
        let lead = lead.map(|(c, around)| c * around.value).sum::<f64>();
        let lead = lead + last.bias[label] - last.bias[rival];

        let near = &centre.units[0];
        let (count, within) = (near.len(), &self.within);
        // The first layer's units' coefficients, and what stands beside their own curvature.
        let (slopes, others) = match &self.layers[..] {
            [_, second, _] => {
                let own = coefficients.iter().zip(outputs);
                let up: Vec<f64> = own.clone().map(|(c, around)| c * around.slope).collect();
                let curved: Vec<f64> = own.map(|(&c, around)| bend(c, around)).collect();
                let slopes = second.adjoint(&up);
                let weights = &second.matrix;
                let roots: Vec<f64> = curved.iter().map(|q| q.sqrt()).collect();
                let root = Mat::from_fn(weights.rows, count, |i, j| roots[i] * weights.row(i)[j]);
                let product = root.transpose() * &root;
                let along = self.along(&slopes, near);
                (slopes, Some(Others::new(product, near, &along)))
            }
            _ => (coefficients.clone(), None),
        };
        let curved = Mat::from_fn(count, within.ncols(), |i, k| {
            let own = bend(slopes[i], &near[i]) + others.as_ref().map_or(0.0, |o| o.diagonal[i]);
            own * within[(i, k)]
        });
        let mut matrix = within.transpose() * curved;
        if let Some(Others { product, .. }) = &others {
            matrix += within.transpose() * (product * within);
        }
        let gradient: Vec<f64> = slopes.iter().zip(near).map(|(g, a)| g * a.slope).collect();
        let slope = first.adjoint(&gradient);
        let trace: f64 = (0..matrix.ncols()).map(|k| matrix[(k, k)]).sum();
        let weight = others.as_ref().map_or(1.0, |others| others.weight);
        let slack = self.slack(centre, &coefficients, weight, trace);
        settled(Parabola {
            lead: lead - slack,
            slope,
            matrix,
        })
    }

    /// The changes of the first layer's inputs where the image moves along the gradient.
    fn along(&self, slopes: &[f64], near: &[Around]) -> Vec<f64> {
        let k = self.within.ncols();
        let mut reduced = vec![0.0; k];
        for (i, (g, around)) in slopes.iter().zip(near).enumerate() {
            let part = g * around.slope;
            for (j, sum) in reduced.iter_mut().enumerate() {
                *sum += part * self.within[(i, j)];
            }
        }
        let row = |i: usize| reduced.iter().enumerate().map(move |(j, x)| (i, j, x));
        let rows = 0..slopes.len();
        rows.map(|i| row(i).map(|(i, j, x)| self.within[(i, j)] * x).sum())
            .collect()
    }

    /// More than rounding can change a bound by.
    fn slack(&self, centre: &Centre, coefficients: &[f64], weight: f64, trace: f64) -> f64 {
        let largest = |layer: &Layer| layer.bias.iter().fold(0.0f64, |most, b| most.max(b.abs()));
        let [first, .., last] = &self.layers[..] else {
            return f64::INFINITY;
        };
        let (mut between, mut biases) = (1.0, 1.0);
        if let [_, second, _] = &self.layers[..] {
            between += second.norm;
            biases += largest(second) + second.norm * (second.matrix.cols as f64).sqrt();
        }
        let sum: f64 = coefficients.iter().map(|c| c.abs()).sum();
        let reach = first.norm * (centre.length + centre.radius) + largest(first);
        let moved = (first.norm * centre.radius).powi(2);
        let size = largest(last)
            + sum * biases
            + norm(coefficients) * between * (reach + moved)
            + weight * sum * between * between * moved
            + trace * centre.radius * centre.radius;
        16.0 * (self.count + 64) as f64 * f64::EPSILON * size
    }

    /// A bound of the lead that takes little time, and is not close.
    pub(super) fn coarse(&self, parabola: &Parabola, room: &Room, radius: f64) -> f64 {
        let mut point = vec![0.0; parabola.slope.len()];
        let scratch = &mut Scratch::default();
        let (least, _) = ball::least(&parabola.slope, room, radius, scratch, &mut point);
        let most = settled(moment(&parabola.matrix));
        parabola.lead + least - 0.5 * most * radius * radius
    }

    /// The curvature's axes; None where the decomposition does not end (never seen).
    pub(super) fn axes(&self, parabola: &Parabola) -> Option<Axes> {
        let size = parabola.matrix.ncols();
        let decomposed = parabola.matrix.self_adjoint_eigen(Side::Lower).ok();
        let found = settled(decomposed)?;
        let values = found.S().column_vector();
        let columns = settled(&self.basis * found.U());
        // The smallest come first.
        let order = (0..size).rev();
        let rows = order
            .clone()
            .flat_map(|i| columns.col_as_slice(i).iter().copied());
        Some(Axes {
            rows: Matrix {
                rows: size,
                cols: columns.nrows(),
                data: rows.collect(),
            },
            values: order.map(|i| values[i].max(0.0)).collect(),
        })
    }
}

/// What the second layer's units add to the curvature.
struct Others {
    /// (1 + h) m Q m.
    product: Mat<f64>,
    /// (1 + 1 / h) q e^2.
    diagonal: Vec<f64>,
    /// The largest factor in both: 1 + h + 1 / h.
    weight: f64,
}

impl Others {
    /// `product` is Q; `along` the direction in which h should be at its best.
    fn new(product: Mat<f64>, near: &[Around], along: &[f64]) -> Others {
        let count = near.len();
        let most = moment(&product);
        let middle: Vec<f64> = near.iter().map(|a| 0.5 * (a.least + a.most)).collect();
        let apart = near.iter().map(|a| 0.5 * (a.most - a.least));
        let spread: Vec<f64> = apart.map(|e| most * e * e).collect();
        let moved = |i: usize| middle[i] * along[i];
        let row = |i: usize| (0..count).map(|j| product[(i, j)] * moved(j)).sum::<f64>();
        let main: f64 = (0..count).map(|i| moved(i) * row(i)).sum();
        let rest: f64 = spread.iter().zip(along).map(|(q, t)| q * t * t).sum();
        let ratio = (rest / main).sqrt();
        let h = match ratio.is_finite() {
            true => ratio.clamp(1e-2, 1e2),
            false => 1.0,
        };
        Others {
            weight: 1.0 + h + 1.0 / h,
            product: Mat::from_fn(count, count, |i, j| {
                (1.0 + h) * middle[i] * product[(i, j)] * middle[j]
            }),
            diagonal: spread.iter().map(|q| (1.0 + 1.0 / h) * q).collect(),
        }
    }
}

/// The curvature of a unit with a coefficient.
fn bend(coefficient: f64, around: &Around) -> f64 {
    let bend = if coefficient > 0.0 {
        around.fall
    } else {
        around.rise
    };
    coefficient.abs() * bend
}

/// No less than the largest eigenvalue of a positive semidefinite matrix, and mostly a few percent
/// more: the fourth root of the sum of all eigenvalues' eighth powers is Frobenius' norm of the fourth
/// power.
fn moment(matrix: &Mat<f64>) -> f64 {
    let square = matrix * matrix;
    let fourth = &square * &square;
    (1.0 + 1e-9) * fourth.norm_l2().sqrt().sqrt()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|x| x * x).sum::<f64>().sqrt()
}

impl Layer {
    fn new(segment: &Segment) -> Layer {
        let mut adjoint = segment.adjoint();
        let mut data = Vec::with_capacity(segment.outputs * segment.inputs);
        for from in (0..segment.outputs).step_by(ROWS) {
            let count = ROWS.min(segment.outputs - from);
            let mut units = vec![0.0; count * segment.outputs];
            for i in 0..count {
                units[i * segment.outputs + from + i] = 1.0;
            }
            adjoint.carry(count, &mut units);
            data.extend_from_slice(&units);
        }
        let matrix = Matrix {
            rows: segment.outputs,
            cols: segment.inputs,
            data,
        };
        Layer {
            norm: matrix.frobenius(),
            matrix,
            bias: segment.bias.clone(),
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
        let mut inputs = vec![0.0; self.matrix.cols];
        for (i, &part) in outputs.iter().enumerate() {
            let row = inputs.iter_mut().zip(self.matrix.row(i));
            row.for_each(|(sum, w)| *sum += part * w);
        }
        inputs
    }
}
