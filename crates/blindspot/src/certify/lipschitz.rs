//! How far a network can carry a change at most: the product of its layers' bounds.
//!
//! Each value gets a Lipschitz constant with respect to the image, L2 norms on both sides: a linear
//! layer multiplies that of its input by its largest singular value, a sum adds those of its operands,
//! operands side by side give the root of the sum of squares. Sigmoid has 1/4; ReLU, tanh and the
//! like have 1. Max pooling has 1 as the paper says where windows do not overlap; where an input is
//! seen by up to k windows a change of it can come out k times, and the constant is sqrt(k).

use std::collections::HashMap;

use blindspot_net::ops::{Binary, Pool, PoolKind, ReduceKind, Unary};
use blindspot_net::{Graph, Network, Node, Op, Operand, ValueId};

use super::CertifyError;
use crate::spectrum::layers::{Layer, Linear, layers, name_of};
use crate::spectrum::{Matrix, never_below};

/// The constants of a network.
pub(super) struct Lipschitz {
    /// Of the classifier's input: of the whole network where it does not end in a matrix.
    below: f64,
    /// The rows of the last matrix, classes by inputs.
    last: Option<Matrix>,
}

/// Sums and products of a few dozen numbers lose less than this part of them.
const OUTWARD: f64 = 1.0 + 1e-9;

impl Lipschitz {
    pub(super) fn new(network: &Network<f32>) -> Result<Lipschitz, CertifyError> {
        let graph = network.graph();
        let (found, _) = layers(network, None);
        // Names may stand for several nodes; what a node gives does not.
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
                let Some(bound) = never_below(layer) else {
                    return Err(unsupported(graph, node, "no bound of it is known"));
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

    /// How far an image must be moved at least to change the lead of `label` over some other class
    /// into nothing, by these constants alone.
    pub(super) fn distance(&self, logits: &[f64], label: usize) -> f64 {
        let rivals = (0..logits.len()).filter(|&class| class != label);
        let distances = rivals.map(|rival| {
            // The lead is (row of the label - row of the rival) times what stands below.
            let across = match &self.last {
                Some(matrix) => {
                    let rows = matrix.row(label).iter().zip(matrix.row(rival));
                    rows.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
                }
                None => std::f64::consts::SQRT_2,
            };
            let lead = logits[label] - logits[rival];
            lead / (across * self.below * OUTWARD)
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

fn unsupported(graph: &Graph, node: &Node, why: &str) -> CertifyError {
    CertifyError::Unsupported {
        node: name_of(graph, node),
        op: node.op.name(),
        why: why.to_owned(),
    }
}

/// The constant of the output of a node that is no linear layer.
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
        (Op::Unary(unary), _) => of_unary(*unary),
        (Op::Reshape(_) | Op::Transpose(_) | Op::Dropout(_) | Op::Slice(_), _) => Some(1.0),
        (Op::Concat(_), _) => {
            return Ok(below.iter().map(|l| l * l).sum::<f64>().sqrt());
        }
        (Op::Binary(Binary::Add | Binary::Sub), None) => {
            // Where one is repeated along an axis its change is repeated, too.
            let whole = node.inputs.iter().all(|operand| match operand {
                Operand::Value(id) => graph.value(*id).shape == graph.value(node.output).shape,
                Operand::Weight(_) => true,
            });
            return match whole {
                true => Ok(below.iter().sum()),
                false => Err(unsupported(graph, node, "an operand is repeated")),
            };
        }
        (Op::Binary(op), Some(weight)) if repeats_nothing(graph, node) => {
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
        (Op::Pool(pool), _) => Some(of_pool(pool)),
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

fn repeats_nothing(graph: &Graph, node: &Node) -> bool {
    node.inputs.iter().all(|operand| match operand {
        Operand::Value(id) => graph.value(*id).len() == graph.value(node.output).len(),
        Operand::Weight(_) => true,
    })
}

fn of_unary(unary: Unary) -> Option<f64> {
    match unary {
        Unary::Relu | Unary::Clip { .. } | Unary::Tanh | Unary::Softplus => Some(1.0),
        Unary::Neg | Unary::Abs => Some(1.0),
        Unary::Sigmoid => Some(0.25),
        Unary::LeakyRelu { alpha } | Unary::Elu { alpha } => Some(alpha.abs().max(1.0)),
        Unary::HardSigmoid { alpha, .. } => Some(alpha.abs()),
        Unary::Erf => Some(std::f64::consts::FRAC_2_SQRT_PI),
        // The largest slope is 1.1289...
        Unary::Gelu { .. } => Some(1.13),
        Unary::Exp | Unary::Log | Unary::Sqrt => None,
    }
}

/// The root of the number of windows that one input is seen by at most. A mean is no farther from
/// another than the maximum can be.
fn of_pool(pool: &Pool) -> f64 {
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
