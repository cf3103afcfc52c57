//! How much a network can amplify a perturbation at most: the product of its layers' bounds
//! (section 4.3 of the paper).
//!
//! Each value gets a Lipschitz constant with respect to the image, with L2 norms on both sides. A
//! linear layer multiplies its input's constant by its largest singular value; a sum adds the
//! constants of its operands; a concatenation takes the root of the sum of their squares. The
//! logistic function has the constant 1/4; ReLU, tanh and the like have 1. Max pooling has 1, as
//! the paper says, if its windows do not overlap; if up to k windows contain an input, a change of
//! it can occur k times in the output, and the constant is sqrt(k).

use std::collections::HashMap;

use blindspot_net::ops::{Binary, Pool, PoolKind, ReduceKind, Unary};
use blindspot_net::{Graph, Network, Node, Op, Operand, ValueId};

use super::error::{CertifyError, unsupported};
use crate::spectrum::layers::{Layer, Linear, layers};
use crate::spectrum::{Matrix, norm_bound};

/// A network's Lipschitz constant, with its last matrix kept apart.
pub(super) struct Lipschitz {
    /// The constant of the last matrix's input; of the whole network if it does not end in a
    /// matrix.
    below: f64,
    /// The last matrix, classes by inputs.
    last: Option<Matrix>,
}

/// Covers the relative rounding error of sums and products of a few dozen numbers.
const OUTWARD: f64 = 1.0 + 1e-9;

impl Lipschitz {
    pub(super) fn new(network: &Network<f32>) -> Result<Lipschitz, CertifyError> {
        let graph = network.graph();
        let (found, _) = layers(network, None);
        // Several nodes may share a name; outputs are unique.
        let by_output: HashMap<ValueId, &Layer<'_>> =
            found.iter().map(|layer| (layer.output, layer)).collect();
        let mut constants: HashMap<ValueId, f64> = HashMap::from([(graph.input(), 1.0)]);
        let mut last = None;
        for node in graph.nodes() {
            let is_last = node.output == graph.output();
            let of = |operand: &Operand| match operand {
                Operand::Value(id) => constants.get(id).copied(),
                Operand::Weight(_) => None,
            };
            let below = node.inputs.iter().find_map(of).unwrap_or(1.0);
            if let Some(layer) = by_output.get(&node.output) {
                if let (true, Linear::Matrix { matrix, times: 1 }) = (is_last, &layer.linear) {
                    last = Some(matrix.dense());
                    constants.insert(node.output, below);
                    continue;
                }
                let Some(bound) = norm_bound(layer) else {
                    return Err(unsupported(graph, node, "no bound of its norm is known"));
                };
                constants.insert(node.output, OUTWARD * below * bound);
                continue;
            }
            let constant = constant(network, node, &constants)?;
            constants.insert(node.output, OUTWARD * constant);
        }
        Ok(Lipschitz {
            below: constants[&graph.output()],
            last,
        })
    }

    /// A radius within which the margin of `label` over every other class stays above 0, by the
    /// constant alone; 0 if there is none.
    pub(super) fn radius(&self, logits: &[f64], label: usize) -> f64 {
        let others = (0..logits.len()).filter(|&class| class != label);
        let distances = others.map(|other| {
            // The margin is (row of the label - row of the other class) times the matrix's input.
            let across = match &self.last {
                Some(matrix) => {
                    let rows = matrix.row(label).iter().zip(matrix.row(other));
                    rows.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
                }
                None => std::f64::consts::SQRT_2,
            };
            let margin = logits[label] - logits[other];
            margin / (across * self.below * OUTWARD)
        });
        let least = distances.fold(
            f64::INFINITY,
            |a, b| if b < a || b.is_nan() { b } else { a },
        );
        if least.is_finite() {
            least.max(0.0)
        } else {
            0.0
        }
    }
}

/// The Lipschitz constant of the output of a node that is not a linear layer.
fn constant(
    network: &Network<f32>,
    node: &Node,
    constants: &HashMap<ValueId, f64>,
) -> Result<f64, CertifyError> {
    let graph = network.graph();
    let below: Vec<f64> = node
        .inputs
        .iter()
        .filter_map(|operand| match operand {
            Operand::Value(id) => Some(constants[id]),
            Operand::Weight(_) => None,
        })
        .collect();
    let weight = node.inputs.iter().find_map(|operand| match operand {
        Operand::Weight(id) => Some(network.weights()[id.index()].as_slice()),
        Operand::Value(_) => None,
    });
    let factor = match (&node.op, weight) {
        (Op::Unary(unary), _) => unary_constant(*unary),
        (Op::Reshape(_) | Op::Transpose(_) | Op::Dropout(_) | Op::Slice(_), _) => Some(1.0),
        (Op::Concat(_), _) => {
            return Ok(below.iter().map(|l| l * l).sum::<f64>().sqrt());
        }
        (Op::Binary(Binary::Add | Binary::Sub), None) => {
            // An operand that is broadcast along an axis repeats its change.
            let same_shape = node.inputs.iter().all(|operand| match operand {
                Operand::Value(id) => graph.value(*id).shape == graph.value(node.output).shape,
                Operand::Weight(_) => true,
            });
            return if same_shape {
                Ok(below.iter().sum())
            } else {
                Err(unsupported(graph, node, "it broadcasts an operand"))
            };
        }
        (Op::Binary(op), Some(weight)) if broadcasts_no_value(graph, node) => {
            let most = weight
                .iter()
                .map(|&w| f64::from(w).abs())
                .fold(0.0, f64::max);
            let least = weight
                .iter()
                .map(|&w| f64::from(w).abs())
                .fold(f64::MAX, f64::min);
            match (op, &node.inputs[..]) {
                (Binary::Add | Binary::Sub | Binary::Min | Binary::Max, _) => Some(1.0),
                (Binary::Mul, _) => Some(most),
                (Binary::PRelu, [Operand::Value(_), _]) => Some(most.max(1.0)),
                (Binary::Div, [Operand::Value(_), _]) if least > 0.0 => Some(1.0 / least),
                _ => None,
            }
        }
        (Op::Pool(pool), _) => Some(pool_constant(pool)),
        (Op::Reduce(reduce), _) if reduce.kind == ReduceKind::Mean => Some(1.0),
        _ => None,
    };
    match factor {
        Some(factor) if below.len() == 1 => Ok(factor * below[0]),
        _ => Err(unsupported(
            graph,
            node,
            "no Lipschitz constant is known for it",
        )),
    }
}

fn broadcasts_no_value(graph: &Graph, node: &Node) -> bool {
    node.inputs.iter().all(|operand| match operand {
        Operand::Value(id) => graph.value(*id).len() == graph.value(node.output).len(),
        Operand::Weight(_) => true,
    })
}

fn unary_constant(unary: Unary) -> Option<f64> {
    match unary {
        Unary::Relu | Unary::Clip { .. } | Unary::Tanh | Unary::Softplus => Some(1.0),
        Unary::Neg | Unary::Abs => Some(1.0),
        Unary::Sigmoid => Some(0.25),
        Unary::LeakyRelu { alpha } | Unary::Elu { alpha } => Some(alpha.abs().max(1.0)),
        Unary::HardSigmoid { alpha, .. } => Some(alpha.abs()),
        Unary::Erf => Some(std::f64::consts::FRAC_2_SQRT_PI),
        // The largest slope is 1.1289...
        Unary::Gelu { .. } => Some(1.13),
        // The largest slopes are 1.5, 1.0885... and at 0.
        Unary::HardSwish => Some(1.5),
        Unary::Mish => Some(1.09),
        Unary::Softsign | Unary::Celu { .. } => Some(1.0),
        Unary::Selu { alpha, gamma } => Some(gamma.abs() * alpha.abs().max(1.0)),
        // That of x gate(x) does not depend on how steep the gate is, but for signs.
        Unary::Swish { .. } => Some(1.1),
        Unary::Sin | Unary::Cos | Unary::Atan | Unary::Asinh => Some(1.0),
        // Unbounded slopes, or jumps.
        Unary::Exp | Unary::Log | Unary::Sqrt | Unary::Reciprocal => None,
        Unary::ThresholdedRelu { .. } | Unary::Shrink { .. } | Unary::Sign => None,
        Unary::Floor | Unary::Ceil | Unary::Round { .. } => None,
        Unary::Not | Unary::IsNan | Unary::IsInf { .. } => None,
        Unary::Tan | Unary::Asin | Unary::Acos | Unary::Sinh | Unary::Cosh => None,
        Unary::Acosh | Unary::Atanh => None,
    }
}

/// The root of the largest number of windows that contain one input. It holds for averages, too:
/// they change no more than maxima can.
fn pool_constant(pool: &Pool) -> f64 {
    let window = &pool.window;
    let axes = window
        .kernel
        .iter()
        .zip(&window.strides)
        .zip(&window.dilations);
    let windows = axes.map(|((&kernel, &stride), &dilation)| match dilation {
        1 => kernel.div_ceil(stride),
        _ => kernel,
    });
    let windows: usize = windows.product();
    match pool.kind {
        PoolKind::Max | PoolKind::Average { .. } => (windows as f64).sqrt(),
    }
}
