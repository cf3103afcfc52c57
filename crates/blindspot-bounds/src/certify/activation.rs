//! What stands between the affine layers of a network: functions of each number, maxima over windows
//! and products.

use blindspot_net::ops::{Binary, Pool, PoolKind, Reduce, ReduceKind, Unary};
use blindspot_net::{ExactNetwork, Graph, Node, Op, Operand, ValueId, WeightId};

use super::arithmetic::Rounding;
use super::curve::Curve;
use super::error::{CertifyError, unsupported};
use super::interval::Intervals;
use super::lowered::Meaning;
use super::products::{self, Pairs};
use super::relaxation::Activation;

/// An activation layer, which stands between two affine layers.
#[derive(Debug, Clone)]
pub(super) enum ActivationLayer {
    /// A function of each number.
    Elementwise(Activation),
    /// A function of each number that is bent one way piece by piece: one for all numbers, or one for
    /// each.
    Curves(Vec<Curve>),
    /// The maximum over windows: for each output the positions of its inputs.
    MaxPool(Vec<Vec<u32>>),
    /// Sums of products of two inputs.
    Products(Pairs),
    /// Squares of the first inputs, each the number that stands beside them less a mean of `count`. A
    /// runtime may sum up the squares of the numbers themselves, and take that of their mean off.
    Squares { squares: Pairs, count: usize },
}

/// How far the outputs of an activation layer that a runtime computes can be from the functions of
/// their inputs.
#[derive(Debug, Clone, Default)]
pub(super) enum ActivationErrors {
    /// They are exact.
    #[default]
    None,
    /// Each as far.
    OfAll(f64),
    /// A bound for each.
    OfEach(Vec<f64>),
}

impl ActivationErrors {
    /// By how much a linear function of the layer's outputs, and of values that pass beside them, can
    /// change.
    pub(super) fn of_function(&self, coefficients: &[f64]) -> f64 {
        match self {
            ActivationErrors::None => 0.0,
            // Those that pass beside the activation count, too: that is simpler.
            ActivationErrors::OfAll(error) => {
                error * coefficients.iter().map(|s| s.abs()).sum::<f64>()
            }
            ActivationErrors::OfEach(errors) => {
                let parts = coefficients.iter().zip(errors);
                parts.map(|(s, error)| s.abs() * error).sum()
            }
        }
    }

    /// How far a runtime's value of one output can be from the exact activation of its input.
    fn of(&self, output: usize) -> f64 {
        match self {
            ActivationErrors::None => 0.0,
            ActivationErrors::OfAll(error) => *error,
            ActivationErrors::OfEach(errors) => errors[output],
        }
    }
}

impl ActivationLayer {
    pub(super) fn is_relu(&self) -> bool {
        matches!(self, ActivationLayer::Elementwise(Activation::Relu))
    }

    /// Whether its outputs grow without bound over the inputs that there are.
    pub(super) fn is_steep(&self) -> bool {
        matches!(self, ActivationLayer::Curves(curves) if curves.iter().any(Curve::is_steep))
    }

    /// Bounds of its outputs' absolute values, given bounds of its inputs and how far computed outputs
    /// can be from the functions of their inputs.
    pub(super) fn largest_outputs(
        &self,
        inputs: &Intervals,
        errors: &ActivationErrors,
    ) -> Vec<f64> {
        let intervals = || (inputs.lower.iter().zip(&inputs.upper)).map(|(&l, &u)| (l, u));
        match self {
            ActivationLayer::Elementwise(activation) => {
                let sizes = intervals().map(|(l, u)| activation.largest(l, u));
                sizes
                    .enumerate()
                    .map(|(i, size)| size + errors.of(i))
                    .collect()
            }
            ActivationLayer::Curves(curves) => {
                let sizes = intervals().zip(curves.iter().cycle());
                let sizes = sizes.map(|((l, u), curve)| largest_of_curve(curve, l, u));
                sizes
                    .enumerate()
                    .map(|(i, size)| size + errors.of(i))
                    .collect()
            }
            ActivationLayer::MaxPool(windows) => {
                let sizes: Vec<f64> = intervals().map(|(l, u)| l.abs().max(u.abs())).collect();
                let largest = |window: &Vec<u32>| {
                    let inputs = window.iter().map(|&i| sizes[i as usize]);
                    inputs.fold(0.0, f64::max)
                };
                windows.iter().map(largest).collect()
            }
            ActivationLayer::Products(sums) | ActivationLayer::Squares { squares: sums, .. } => {
                let ranges = sums.iter().map(|pairs| products::range(pairs, inputs));
                let sizes = ranges.map(|[least, most]| largest_of(least, most));
                sizes
                    .enumerate()
                    .map(|(i, size)| size + errors.of(i))
                    .collect()
            }
        }
    }

    /// Intervals of its outputs as a runtime may compute them, given those of its inputs.
    pub(super) fn outputs(&self, inputs: &Intervals, errors: &ActivationErrors) -> Intervals {
        let numbers = || inputs.lower.iter().zip(&inputs.upper);
        let mut outputs: Intervals = match self {
            ActivationLayer::Elementwise(activation) => {
                numbers().map(|(&l, &u)| activation.range(l, u)).collect()
            }
            ActivationLayer::Curves(curves) => {
                let curves = curves.iter().cycle();
                let ranges = numbers().zip(curves);
                ranges.map(|((&l, &u), curve)| curve.range(l, u)).collect()
            }
            ActivationLayer::MaxPool(windows) => {
                let most = |window: &[u32], of: &[f64]| {
                    let inputs = window.iter().map(|&i| of[i as usize]);
                    inputs.fold(f64::NEG_INFINITY, f64::max)
                };
                let ranges = windows.iter();
                ranges
                    .map(|window| [most(window, &inputs.lower), most(window, &inputs.upper)])
                    .collect()
            }
            ActivationLayer::Products(sums) | ActivationLayer::Squares { squares: sums, .. } => {
                let sums = sums.iter();
                sums.map(|pairs| products::range(pairs, inputs)).collect()
            }
        };
        let bounds = outputs.lower.iter_mut().zip(&mut outputs.upper);
        for (i, (lower, upper)) in bounds.enumerate() {
            *lower -= errors.of(i);
            *upper += errors.of(i);
        }
        outputs
    }

    /// How far computed outputs can be from the functions of their inputs, given bounds of these.
    /// ReLUs and maxima are exact.
    pub(super) fn errors(&self, rounding: &Rounding, inputs: &Intervals) -> ActivationErrors {
        match self {
            ActivationLayer::Elementwise(Activation::Sigmoid | Activation::Tanh) => {
                ActivationErrors::OfAll(rounding.of_activation(1.0))
            }
            ActivationLayer::Elementwise(Activation::Relu) | ActivationLayer::MaxPool(_) => {
                ActivationErrors::None
            }
            ActivationLayer::Curves(curves) => {
                let intervals = inputs.lower.iter().zip(&inputs.upper);
                let intervals = intervals.zip(curves.iter().cycle());
                let errors = intervals.map(|((&l, &u), curve)| {
                    if rounding.overflows(largest_of_curve(curve, l, u)) {
                        f64::INFINITY
                    } else {
                        curve.error(rounding, l, u)
                    }
                });
                ActivationErrors::OfEach(errors.collect())
            }
            ActivationLayer::Squares { squares, count } => {
                let largest = |i: usize| inputs.lower[i].abs().max(inputs.upper[i].abs());
                let errors = (0..squares.len()).map(|i| {
                    let (own, whole) = (largest(i), largest(squares.len() + i));
                    rounding.of_products(2 * count + 8, own * own + 2.0 * whole * whole)
                });
                ActivationErrors::OfEach(errors.collect())
            }
            ActivationLayer::Products(sums) => {
                let sums = sums.iter();
                let errors = sums.map(|pairs| products::error(pairs, inputs, rounding));
                ActivationErrors::OfEach(errors.collect())
            }
        }
    }
}

/// A bound of a function's absolute value over an interval; infinite if none is known.
fn largest_of_curve(curve: &Curve, low: f64, high: f64) -> f64 {
    let [least, most] = curve.range(low, high);
    largest_of(least, most)
}

/// The largest absolute value of an interval; infinite if it is not known.
fn largest_of(least: f64, most: f64) -> f64 {
    if least.is_nan() || most.is_nan() {
        f64::INFINITY
    } else {
        least.abs().max(most.abs())
    }
}

/// What a node is to the decomposition of a network into layers.
pub(super) enum Role {
    Affine,
    /// An activation of these values, side by side.
    Activation(ActivationLayer, Vec<ValueId>),
}

impl Role {
    /// A function of each of a value's numbers.
    pub(super) fn function(curve: Curve, number: ValueId) -> Role {
        Role::Activation(ActivationLayer::Curves(vec![curve]), vec![number])
    }

    /// What a node stands for in place of its operator.
    pub(super) fn meant(graph: &Graph, node: &Node, meaning: &Meaning) -> Role {
        let values = node.inputs.iter().filter_map(|operand| match operand {
            Operand::Value(id) => Some(*id),
            Operand::Weight(_) => None,
        });
        let values: Vec<ValueId> = values.collect();
        match meaning {
            Meaning::Function(curve) => Role::function(curve.clone(), values[0]),
            Meaning::Squares(count) => {
                let places = 0..graph.value(values[0]).len() as u32;
                let squares = places.map(|i| vec![[i, i]]).collect();
                let count = *count;
                Role::Activation(ActivationLayer::Squares { squares, count }, values)
            }
        }
    }

    pub(super) fn of(exact: &ExactNetwork, node: &Node) -> Result<Role, CertifyError> {
        let graph = exact.network().graph();
        let values = node.inputs.iter().filter_map(|operand| match operand {
            Operand::Value(id) => Some(*id),
            Operand::Weight(_) => None,
        });
        let values: Vec<ValueId> = values.collect();
        if is_affine(&node.op, &node.inputs, values.len() > 1) {
            return Ok(Role::Affine);
        }
        let activation = match (&node.op, &values[..], &node.inputs[..]) {
            (_, [], _) => {
                let why = "its input does not depend on the image";
                return Err(unsupported(graph, node, why));
            }
            (Op::Unary(unary), ..) => of_unary(*unary),
            (Op::Pool(pool), &[input], _) if pool.kind == PoolKind::Max => {
                let windows = windows(pool, &graph.value(input).shape);
                Some(ActivationLayer::MaxPool(windows))
            }
            (Op::Reduce(reduce), &[input], _) if reduce.kind == ReduceKind::Max => {
                let windows = reduced(reduce, &graph.value(input).shape);
                Some(ActivationLayer::MaxPool(windows))
            }
            (Op::Binary(Binary::Max), &[a, b], _) => maxima_of_two(graph, node, [a, b]),
            (Op::Binary(Binary::Mul), &[a, b], _) if a == b => {
                return Ok(Role::Activation(squares(graph, a), vec![a]));
            }
            (Op::Binary(Binary::Pow), &[input], [Operand::Value(_), Operand::Weight(weight)])
                if exact.network().weights()[weight.index()]
                    .iter()
                    .all(|&w| w == 2.0) =>
            {
                Some(squares(graph, input))
            }
            (Op::Binary(Binary::Mul) | Op::MatMul(_), [_, _], _) => {
                products::of_node(graph, node, &values).map(ActivationLayer::Products)
            }
            (Op::Binary(op), &[input], [Operand::Value(_), Operand::Weight(weight)]) => {
                with_weight(exact, node, *op, input, *weight)
            }
            // Smaller and larger number don't depend on the order.
            (
                Op::Binary(op @ (Binary::Min | Binary::Max)),
                &[input],
                [Operand::Weight(weight), Operand::Value(_)],
            ) => with_weight(exact, node, *op, input, *weight),
            _ => None,
        };
        match activation {
            Some(activation) => Ok(Role::Activation(activation, values)),
            None => {
                let why = "no linear bounds are known for it";
                Err(unsupported(graph, node, why))
            }
        }
    }
}

fn of_unary(unary: Unary) -> Option<ActivationLayer> {
    Some(match unary {
        Unary::Relu => ActivationLayer::Elementwise(Activation::Relu),
        Unary::Sigmoid => ActivationLayer::Elementwise(Activation::Sigmoid),
        Unary::Tanh => ActivationLayer::Elementwise(Activation::Tanh),
        _ => ActivationLayer::Curves(vec![Curve::of_unary(unary)?]),
    })
}

/// The functions of a value's numbers that an operator on it and a weight is.
fn with_weight(
    exact: &ExactNetwork,
    node: &Node,
    op: Binary,
    input: ValueId,
    weight: WeightId,
) -> Option<ActivationLayer> {
    let graph = exact.network().graph();
    let shape = &graph.value(input).shape;
    if graph.value(node.output).shape != *shape {
        return None;
    }
    let numbers = &exact.network().weights()[weight.index()];
    let magnitudes = exact.magnitudes(weight.index());
    let places = repeated(&graph.weights()[weight.index()].shape, shape);
    let curves = places
        .into_iter()
        .map(|at| Curve::of_binary(op, numbers[at], magnitudes[at]));
    Some(ActivationLayer::Curves(curves.collect::<Option<_>>()?))
}

/// The squares of a value's numbers.
fn squares(graph: &Graph, value: ValueId) -> ActivationLayer {
    let places = 0..graph.value(value).len() as u32;
    ActivationLayer::Products(places.map(|i| vec![[i, i]]).collect())
}

/// The larger of two values' numbers, as maxima over windows of the values side by side.
fn maxima_of_two(graph: &Graph, node: &Node, values: [ValueId; 2]) -> Option<ActivationLayer> {
    let shape = &graph.value(node.output).shape;
    let [a, b] = values.map(|id| repeated(&graph.value(id).shape, shape));
    let before = graph.value(values[0]).len();
    let windows = a.into_iter().zip(b);
    let windows = windows.map(|(a, b)| vec![a as u32, (before + b) as u32]);
    Some(ActivationLayer::MaxPool(windows.collect()))
}

/// For each place of `shape` the place of an operand of another shape that is repeated to it: both
/// are aligned at their last axes, and axes of length 1 are repeated.
pub(super) fn repeated(operand: &[usize], shape: &[usize]) -> Vec<usize> {
    let extra = operand.len().saturating_sub(shape.len());
    let operand = &operand[extra..];
    let mut places = vec![0];
    let mut stride: usize = operand.iter().product();
    let missing = shape.len() - operand.len();
    for (axis, &length) in shape.iter().enumerate() {
        let own = if axis < missing {
            1
        } else {
            operand[axis - missing]
        };
        stride /= own.max(1);
        let step = if own == 1 { 0 } else { stride };
        places = places
            .iter()
            .flat_map(|place| (0..length).map(move |i| place + i * step))
            .collect();
    }
    places
}

/// Whether an operator is an affine function of its values, of which there may be `several`.
fn is_affine(op: &Op, inputs: &[Operand], several: bool) -> bool {
    match op {
        Op::Binary(Binary::Add | Binary::Sub) | Op::Concat(_) => true,
        _ if several => false,
        Op::Slice(_) | Op::Gather(_) | Op::Pad(_) => true,
        Op::Gemm(_) | Op::MatMul(_) | Op::Conv(_) | Op::Local(_) => true,
        Op::Reshape(_) | Op::Transpose(_) | Op::Dropout(_) | Op::Unary(Unary::Neg) => true,
        Op::Pool(pool) => pool.kind != PoolKind::Max,
        Op::Reduce(reduce) => matches!(reduce.kind, ReduceKind::Mean | ReduceKind::Sum),
        Op::Binary(Binary::Mul) => true,
        Op::Binary(Binary::Div) => matches!(inputs, [Operand::Value(_), Operand::Weight(_)]),
        _ => false,
    }
}

/// The input positions of each maximum of all numbers along some axes.
fn reduced(reduce: &Reduce, shape: &[usize]) -> Vec<Vec<u32>> {
    let mut kept = shape.to_vec();
    reduce.axes.iter().for_each(|&axis| kept[axis] = 1);
    let mut windows = vec![Vec::new(); kept.iter().product()];
    for (input, window) in repeated(&kept, shape).into_iter().enumerate() {
        windows[window].push(input as u32);
    }
    windows
}

/// The input positions of each window of a pooling over a value of shape [C, positions...].
fn windows(pool: &Pool, shape: &[usize]) -> Vec<Vec<u32>> {
    let window = &pool.window;
    let positions = &shape[1..];
    let outputs = window.outputs(positions, pool.ceil).unwrap_or_default();
    let two = |list: &[usize], none: usize| match *list {
        [one] => [none, one],
        [first, second] => [first, second],
        _ => [none, none],
    };
    let (size, out) = (two(positions, 1), two(&outputs, 1));
    let (kernel, stride) = (two(&window.kernel, 1), two(&window.strides, 1));
    let (dilation, before) = (two(&window.dilations, 1), two(&window.before, 0));
    // A window's positions along an axis, without the padding.
    let along = |axis: usize, o: usize| -> Vec<usize> {
        let at = |k: usize| (o * stride[axis] + k * dilation[axis]).checked_sub(before[axis]);
        let taps = (0..kernel[axis]).filter_map(at);
        taps.filter(|&at| at < size[axis]).collect()
    };
    let mut all = Vec::with_capacity(shape[0] * out[0] * out[1]);
    for channel in 0..shape[0] {
        for oy in 0..out[0] {
            for ox in 0..out[1] {
                let columns = along(1, ox);
                let rows = along(0, oy).into_iter();
                let seen = rows.flat_map(|y| {
                    let row = (channel * size[0] + y) * size[1];
                    columns.iter().map(move |x| (row + x) as u32)
                });
                all.push(seen.collect());
            }
        }
    }
    all
}
