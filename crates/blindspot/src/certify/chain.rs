//! A network as affine segments with activations between them: what bounds can be carried through.
//!
//! Where values are needed again behind an activation (skip connections, parts side by side), they
//! stand beside its input, and pass it as they are: the next segment takes them together with its
//! output. So a network that branches is a chain, too.

use std::collections::HashMap;

use blindspot_net::ops::{Binary, Concat, Pool, PoolKind, Reshape, Slice, SliceAxis, Unary};
use blindspot_net::{Evaluator, Graph, Network, Node, Op, Operand, ValueId};

use super::CertifyError;
use super::relax::Activation;
use crate::spectrum::layers::name_of;

/// What stands between two segments.
#[derive(Debug, Clone)]
pub(super) enum Between {
    /// A function of each number.
    Each(Activation),
    /// The maximum over windows: for each output the inputs that it sees.
    Max(Vec<Vec<u32>>),
}

impl Between {
    pub(super) fn is_relu(&self) -> bool {
        matches!(self, Between::Each(Activation::Relu))
    }
}

/// An affine function of the values before it.
pub(super) struct Segment {
    /// None for the identity.
    network: Option<Network<f64>>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Its value at 0.
    pub(super) bias: Vec<f64>,
    /// For each output a bound of the sum of the absolute values of everything that it is a sum of,
    /// over all inputs that there can be.
    pub(super) size: Vec<f64>,
    /// How many numbers a sum in it has at most, over all its operators.
    pub(super) terms: usize,
}

/// The network: a segment, and as often as there are activations one and another segment.
pub(super) struct Chain {
    pub(super) segments: Vec<Segment>,
    pub(super) between: Vec<Between>,
    /// How many outputs of each segment, the first ones, the activation behind it takes; the others
    /// pass it.
    pub(super) active: Vec<usize>,
}

/// How many functions are carried through a segment at a time.
pub(super) const ROWS: usize = 64;

impl Chain {
    /// Cuts a network whose inputs have absolute values up to `largest`.
    pub(super) fn new(network: &Network<f32>, largest: f64) -> Result<Chain, CertifyError> {
        let graph = network.graph();
        let unsupported = |node: &Node, why: &str| CertifyError::Unsupported {
            node: name_of(graph, node),
            op: node.op.name(),
            why: why.to_owned(),
        };
        let exact = network.cast::<f64>();
        let mut segments = Vec::new();
        let (mut between, mut active) = (Vec::new(), Vec::new());
        let mut state = vec![graph.input()];
        let mut largest = vec![largest; graph.value(graph.input()).len()];
        // The affine nodes since the last activation.
        let mut since: Vec<&Node> = Vec::new();
        for (at, node) in graph.nodes().iter().enumerate() {
            let mut values = node.inputs.iter().filter_map(|operand| match operand {
                Operand::Value(id) => Some(*id),
                Operand::Weight(_) => None,
            });
            let first = values.next();
            let activation = match (&node.op, first, values.next()) {
                (Op::Unary(Unary::Relu), ..) => Between::Each(Activation::Relu),
                (Op::Unary(Unary::Sigmoid), ..) => Between::Each(Activation::Sigmoid),
                (Op::Unary(Unary::Tanh), ..) => Between::Each(Activation::Tanh),
                (Op::Pool(pool), Some(first), _) if pool.kind == PoolKind::Max => {
                    Between::Max(windows(pool, &graph.value(first).shape))
                }
                (op, _, second) if is_affine(op, &node.inputs, second.is_some()) => {
                    since.push(node);
                    continue;
                }
                _ => return Err(unsupported(node, "no linear bounds are known for it")),
            };
            let Some(first) = first else {
                return Err(unsupported(node, "it sees no value"));
            };
            // What comes later needs these besides.
            let later = |id: ValueId| {
                let mut nodes = graph.nodes()[at + 1..].iter();
                nodes.any(|node| node.inputs.contains(&Operand::Value(id))) || id == graph.output()
            };
            let known = state.iter().copied();
            let passing = known.chain(since.iter().map(|node| node.output));
            let ends: Vec<ValueId> = [first]
                .into_iter()
                .chain(passing.filter(|&id| later(id)))
                .collect();
            let segment = Segment::new(&exact, &state, &since, &ends, &largest)?;
            let count = graph.value(first).len();
            let sizes = &segment.size;
            largest = match &activation {
                Between::Each(Activation::Sigmoid | Activation::Tanh) => vec![1.0; count],
                Between::Each(Activation::Relu) => sizes[..count].to_vec(),
                Between::Max(windows) => windows
                    .iter()
                    .map(|window| {
                        let sizes = window.iter().map(|&i| sizes[i as usize]);
                        sizes.fold(0.0, f64::max)
                    })
                    .collect(),
            };
            largest.extend_from_slice(&sizes[count..]);
            segments.push(segment);
            between.push(activation);
            active.push(count);
            state = [node.output]
                .into_iter()
                .chain(ends[1..].iter().copied())
                .collect();
            since.clear();
        }
        segments.push(Segment::new(
            &exact,
            &state,
            &since,
            &[graph.output()],
            &largest,
        )?);
        active.push(graph.value(graph.output()).len());
        Ok(Chain {
            segments,
            between,
            active,
        })
    }

    /// Whether nothing is passed on beside an activation.
    pub(super) fn is_plain(&self) -> bool {
        let pairs = self.segments.iter().zip(&self.active);
        pairs
            .into_iter()
            .all(|(segment, &active)| segment.outputs == active)
    }
}

/// Whether an operator is an affine function of its values, of which there may be several, and one
/// that stays what it is, but for signs, when all its weights are replaced by their absolute values.
fn is_affine(op: &Op, inputs: &[Operand], several: bool) -> bool {
    match op {
        Op::Binary(Binary::Add) | Op::Concat(_) => true,
        _ if several => false,
        Op::Slice(_) => true,
        Op::Gemm(_) | Op::MatMul(_) | Op::Conv(_) => true,
        Op::Reshape(_) | Op::Transpose(_) | Op::Dropout(_) => true,
        Op::Pool(pool) => pool.kind != PoolKind::Max,
        Op::Binary(Binary::Mul) => true,
        Op::Binary(Binary::Div) => matches!(inputs, [Operand::Value(_), Operand::Weight(_)]),
        _ => false,
    }
}

/// The positions that each window of a pooling sees, over a value [C, positions...].
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
    // The positions along an axis that a window sees, padding left out.
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

impl Segment {
    /// From the values of `state`, side by side, to those of `ends`, by `nodes`.
    fn new(
        exact: &Network<f64>,
        state: &[ValueId],
        nodes: &[&Node],
        ends: &[ValueId],
        largest: &[f64],
    ) -> Result<Segment, CertifyError> {
        let count = largest.len();
        if state == ends {
            return Ok(Segment {
                network: None,
                inputs: count,
                outputs: count,
                bias: vec![0.0; count],
                size: largest.to_vec(),
                terms: 1,
            });
        }
        let network =
            cut(exact, state, nodes, ends).map_err(|error| CertifyError::Cut(error.to_string()))?;
        let outputs = network.output_len();
        let terms = network
            .graph()
            .values()
            .iter()
            .map(|value| value.len())
            .sum();
        let mut evaluator = Evaluator::new(&network);
        evaluator.input(1).fill(0.0);
        let bias = evaluator.forward().to_vec();
        let absolute = network.weights().iter().flatten().map(|w| w.abs());
        let absolute: Vec<f64> = absolute.collect();
        let mut positive = network.clone();
        positive.set_weights(absolute);
        let mut evaluator = Evaluator::new(&positive);
        evaluator.input(1).copy_from_slice(largest);
        // A little more than the sum of all rounding in it.
        let more = 1.0 + 1e-6;
        let size = evaluator
            .forward()
            .iter()
            .map(|&size| more * size)
            .collect();
        Ok(Segment {
            network: Some(network),
            inputs: count,
            outputs,
            bias,
            size,
            terms,
        })
    }

    /// Whether its output is its input.
    pub(super) fn is_identity(&self) -> bool {
        self.network.is_none()
    }

    /// What carries functions of its output to functions of its input.
    pub(super) fn adjoint(&self) -> Adjoint<'_> {
        let evaluator = self.network.as_ref().map(|network| {
            let mut evaluator = Evaluator::new(network);
            // The adjoint looks at the places of the values, and no further.
            evaluator.input(ROWS).fill(0.0);
            evaluator.forward();
            evaluator
        });
        Adjoint { evaluator }
    }
}

/// The adjoint of a segment's linear part, and the segment itself, with their memory.
pub(super) struct Adjoint<'a> {
    evaluator: Option<Evaluator<'a, f64>>,
}

impl Adjoint<'_> {
    /// Carries `count` functions, at most [`ROWS`], one row each, from output to input.
    pub(super) fn carry(&mut self, count: usize, rows: &mut Vec<f64>) {
        if let Some(evaluator) = &mut self.evaluator {
            evaluator.input(count);
            let carried = evaluator.backward(rows);
            rows.clear();
            rows.extend_from_slice(carried);
        }
    }

    /// Replaces `count` inputs of the segment, at most [`ROWS`], one row each, by its outputs.
    pub(super) fn apply(&mut self, count: usize, rows: &mut Vec<f64>) {
        if let Some(evaluator) = &mut self.evaluator {
            evaluator.input(count).copy_from_slice(rows);
            let outputs = evaluator.forward();
            rows.clear();
            rows.extend_from_slice(outputs);
        }
    }
}

/// The network from values side by side to others.
fn cut(
    exact: &Network<f64>,
    state: &[ValueId],
    nodes: &[&Node],
    ends: &[ValueId],
) -> Result<Network<f64>, Box<dyn std::error::Error>> {
    let whole = exact.graph();
    let length = |id: &ValueId| whole.value(*id).len();
    let one = |state: &[ValueId]| match state {
        [id] => whole.value(*id).shape.clone(),
        _ => vec![state.iter().map(length).sum()],
    };
    let mut graph = Graph::new("state", &one(state))?;
    let mut weights = Vec::new();
    let mut operands: HashMap<ValueId, Operand> = HashMap::new();
    let all = Operand::Value(graph.input());
    let mut start = 0;
    for (i, &id) in state.iter().enumerate() {
        let mut operand = all;
        if state.len() > 1 {
            let axis = SliceAxis {
                axis: 0,
                start,
                step: 1,
                length: length(&id),
            };
            let part = Op::Slice(Slice { axes: vec![axis] });
            let name = format!("part {i} of the state");
            operand = Operand::Value(graph.node(&name, part, &[operand], &name)?);
            let shape = whole.value(id).shape.clone();
            let name = format!("value {i} of the state");
            let shaped = Op::Reshape(Reshape { shape });
            operand = Operand::Value(graph.node(&name, shaped, &[operand], &name)?);
        }
        operands.insert(id, operand);
        start += length(&id);
    }
    for node in nodes {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            inputs.push(match input {
                Operand::Value(id) => *operands.get(id).ok_or("a value is missing")?,
                Operand::Weight(id) => {
                    let info = &whole.weights()[id.index()];
                    // A weight that two nodes share is kept twice.
                    let name = format!("{} {}", info.name, weights.len());
                    weights.push(exact.weights()[id.index()].clone());
                    Operand::Weight(graph.weight(&name, &info.shape)?)
                }
            });
        }
        let name = format!("{} of the segment", whole.value(node.output).name);
        let made = graph.node(&name, node.op.clone(), &inputs, &name)?;
        operands.insert(node.output, Operand::Value(made));
    }
    if let ([end], Some(last)) = (ends, nodes.last())
        && last.output == *end
    {
        return Ok(Network::new(graph, weights)?);
    }
    let mut outputs = Vec::with_capacity(ends.len());
    for (i, id) in ends.iter().enumerate() {
        let operand = *operands.get(id).ok_or("a value is missing")?;
        // Also where it is the state itself, so that it comes last.
        let shape = match ends.len() {
            1 => whole.value(*id).shape.clone(),
            _ => vec![length(id)],
        };
        let name = format!("end {i}");
        let flat = Op::Reshape(Reshape { shape });
        outputs.push(Operand::Value(graph.node(
            &name,
            flat,
            &[operand],
            &name,
        )?));
    }
    if outputs.len() > 1 {
        graph.node("ends", Op::Concat(Concat { axis: 0 }), &outputs, "ends")?;
    }
    Ok(Network::new(graph, weights)?)
}
