//! The Lipschitz constants of operators.

use blindspot_net::ops::{Binary, Pool, PoolKind, Unary};
use blindspot_net::{ExactNetwork, Graph, Node, Operand, WeightId};

use super::{OUTWARD, Rounds};
use crate::certify::magnitude;

/// The Lipschitz constant of an operator on a value and a weight, the norm of its matrix of
/// magnitudes, and the norm of what it adds.
pub(super) fn of_weight(
    exact: &ExactNetwork,
    node: &Node,
    op: Binary,
    weight: WeightId,
) -> Option<(f64, f64, f64)> {
    let numbers = &exact.network().weights()[weight.index()];
    let sizes = magnitude::of_weight(exact, &node.op, weight);
    let most = numbers.iter().map(|w| w.abs()).fold(0.0, f64::max);
    let least = numbers.iter().map(|w| w.abs()).fold(f64::MAX, f64::min);
    let largest = sizes.iter().copied().fold(0.0, f64::max);
    let count = exact.network().graph().value(node.output).len();
    let value_first = matches!(node.inputs[0], Operand::Value(_));
    match op {
        Binary::Add | Binary::Sub | Binary::Min | Binary::Max => {
            Some((1.0, 1.0, repeated_norm(&sizes, count)))
        }
        Binary::Mul => Some((most, largest, 0.0)),
        Binary::PRelu if value_first => Some((most.max(1.0), largest.max(1.0), 0.0)),
        Binary::Div if value_first && least > 0.0 => Some((1.0 / least, largest, 0.0)),
        _ => None,
    }
}

/// The norm of a weight that is repeated to `count` numbers.
pub(super) fn repeated_norm(sizes: &[f64], count: usize) -> f64 {
    let squares: f64 = sizes.iter().map(|b| b * b).sum();
    OUTWARD * (squares * count as f64 / sizes.len().max(1) as f64).sqrt()
}

/// An upper bound of the norm of a matrix without signs: the root of its largest row sum times its
/// largest column sum.
pub(super) fn matrix_norm(shape: &[usize], sizes: &[f64]) -> f64 {
    let cols = shape.last().copied().unwrap_or(1);
    let mut columns = vec![0.0; cols];
    let mut largest = 0.0f64;
    for row in sizes.chunks_exact(cols) {
        largest = largest.max(row.iter().sum());
        columns.iter_mut().zip(row).for_each(|(sum, a)| *sum += a);
    }
    OUTWARD * (largest * columns.into_iter().fold(0.0, f64::max)).sqrt()
}

/// A bound of the norm of the absolute values of a convolution with kernels of this shape, [F, C / groups, kernel...].
pub(super) fn kernel_norm(shape: &[usize], sizes: &[f64], groups: usize) -> f64 {
    let taps: usize = shape[2..].iter().product();
    let features = shape[0] / groups;
    let (mut row, mut column) = (0.0f64, 0.0f64);
    for group in sizes.chunks_exact(features * shape[1] * taps) {
        let mut channels = vec![0.0; shape[1]];
        for filter in group.chunks_exact(shape[1] * taps) {
            row = row.max(filter.iter().sum());
            let parts = filter
                .chunks_exact(taps)
                .map(|part| part.iter().sum::<f64>());
            channels
                .iter_mut()
                .zip(parts)
                .for_each(|(sum, part)| *sum += part);
        }
        column = channels.into_iter().fold(column, f64::max);
    }
    OUTWARD * (row * column).sqrt()
}

/// How a function of each number rounds.
pub(super) fn unary_rounds(unary: Unary) -> Rounds {
    match unary {
        Unary::Relu | Unary::Clip { .. } | Unary::Neg | Unary::Abs => Rounds::Nothing,
        _ => Rounds::Function,
    }
}

pub(super) fn broadcasts_no_value(graph: &Graph, node: &Node) -> bool {
    node.inputs.iter().all(|operand| match operand {
        Operand::Value(id) => graph.value(*id).len() == graph.value(node.output).len(),
        Operand::Weight(_) => true,
    })
}

pub(super) fn unary_constant(unary: Unary) -> Option<f64> {
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
        Unary::Softsign => Some(1.0),
        // With another sign it grows exponentially below 0.
        Unary::Celu { alpha } if alpha > 0.0 => Some(1.0),
        Unary::Selu { alpha, gamma } => Some(gamma.abs() * alpha.abs().max(1.0)),
        // That of x gate(x) does not depend on how steep the gate is, but for signs.
        Unary::Swish { .. } => Some(1.1),
        Unary::Sin | Unary::Cos | Unary::Atan | Unary::Asinh => Some(1.0),
        // Unbounded slopes, or jumps.
        Unary::Celu { .. } | Unary::Exp | Unary::Log | Unary::Sqrt | Unary::Reciprocal => None,
        Unary::ThresholdedRelu { .. } | Unary::Shrink { .. } | Unary::Sign => None,
        Unary::Floor | Unary::Ceil | Unary::Round { .. } => None,
        Unary::Not | Unary::IsNan | Unary::IsInf { .. } => None,
        Unary::Tan | Unary::Asin | Unary::Acos | Unary::Sinh | Unary::Cosh => None,
        Unary::Acosh | Unary::Atanh => None,
    }
}

/// The root of the largest number of windows that contain one input. It holds for averages, too:
/// they change no more than maxima can.
pub(super) fn pool_constant(pool: &Pool) -> f64 {
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
