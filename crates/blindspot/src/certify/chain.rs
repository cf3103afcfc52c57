//! A network as affine segments with activations between them: what bounds can be carried through.

use blindspot_net::ops::{Binary, Pool, PoolKind, Unary};
use blindspot_net::{Evaluator, Network, Node, Op, Operand, ValueId};

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
        // Where each segment begins and ends.
        let mut cuts: Vec<(ValueId, ValueId)> = Vec::new();
        let mut between = Vec::new();
        let (mut from, mut last) = (graph.input(), graph.input());
        for node in graph.nodes() {
            let of_last = node
                .inputs
                .iter()
                .filter(|&&input| input == Operand::Value(last));
            let values = node
                .inputs
                .iter()
                .filter(|input| matches!(input, Operand::Value(_)));
            if of_last.count() != 1 || values.count() != 1 {
                return Err(unsupported(node, "the network is no chain here"));
            }
            let activation = match &node.op {
                Op::Unary(Unary::Relu) => Some(Between::Each(Activation::Relu)),
                Op::Unary(Unary::Sigmoid) => Some(Between::Each(Activation::Sigmoid)),
                Op::Unary(Unary::Tanh) => Some(Between::Each(Activation::Tanh)),
                Op::Pool(pool) if pool.kind == PoolKind::Max => {
                    Some(Between::Max(windows(pool, &graph.value(last).shape)))
                }
                op if is_affine(op, &node.inputs) => None,
                _ => return Err(unsupported(node, "no linear bounds are known for it")),
            };
            if let Some(activation) = activation {
                cuts.push((from, last));
                between.push(activation);
                from = node.output;
            }
            last = node.output;
        }
        cuts.push((from, last));

        let exact = network.cast::<f64>();
        let mut segments = Vec::with_capacity(cuts.len());
        let mut largest = vec![largest; graph.value(graph.input()).len()];
        for (i, (from, to)) in cuts.into_iter().enumerate() {
            let segment = Segment::new(&exact, from, to, &largest)?;
            largest = match between.get(i) {
                Some(Between::Each(Activation::Sigmoid | Activation::Tanh)) => {
                    vec![1.0; segment.outputs]
                }
                Some(Between::Max(windows)) => {
                    let most = |window: &Vec<u32>| {
                        let sizes = window.iter().map(|&i| segment.size[i as usize]);
                        sizes.fold(0.0, f64::max)
                    };
                    windows.iter().map(most).collect()
                }
                _ => segment.size.clone(),
            };
            segments.push(segment);
        }
        Ok(Chain { segments, between })
    }
}

/// Whether an operator is an affine function of its one value, and one that stays what it is, but
/// for signs, when all its weights are replaced by their absolute values.
fn is_affine(op: &Op, inputs: &[Operand]) -> bool {
    match op {
        Op::Gemm(_) | Op::MatMul(_) | Op::Conv(_) => true,
        Op::Reshape(_) | Op::Transpose(_) | Op::Dropout(_) => true,
        Op::Pool(pool) => pool.kind != PoolKind::Max,
        Op::Binary(Binary::Add | Binary::Mul) => true,
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
    fn new(
        exact: &Network<f64>,
        from: ValueId,
        to: ValueId,
        largest: &[f64],
    ) -> Result<Segment, CertifyError> {
        let count = largest.len();
        if from == to {
            return Ok(Segment {
                network: None,
                inputs: count,
                outputs: count,
                bias: vec![0.0; count],
                size: largest.to_vec(),
                terms: 1,
            });
        }
        let below = exact.up_to(to);
        let network = match from == exact.graph().input() {
            true => below,
            false => {
                let name = &exact.graph().value(from).name;
                let cut = below.graph().find(name).and_then(|cut| below.above(cut));
                cut.map_err(|error| CertifyError::Cut(error.to_string()))?
            }
        };
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

/// The adjoint of a segment's linear part, with its memory.
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
}
