//! A small network around one operator.

use blindspot_net::ops::{Binary, Reshape, Slice, SliceAxis};
use blindspot_net::{Graph, GraphError, Network, Op, Operand};
use proptest::prelude::*;

/// An operand: whether it is a value (or else a weight), and its shape.
pub(crate) type Kind = (bool, Vec<usize>);

/// A network around one operator.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) op: Op,
    pub(crate) operands: Vec<Kind>,
    /// The numbers of operands are drawn between these.
    pub(crate) range: (i32, i32),
    /// Another operator stands below, so that this one may work in place.
    pub(crate) below: bool,
    /// Each value is used a second time, so that gradients are added up.
    pub(crate) twice: bool,
    pub(crate) seed: u64,
}

/// Distinct numbers between the ends of a range, no two nearer to each other, and none nearer to a
/// multiple of 1/16, than finite differences reach: there are the corners of the functions.
pub(crate) fn numbers(count: usize, (low, high): (i32, i32), seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut steps = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as i32 % (16 * (high - low)) + 16 * low
    };
    (0..count)
        .map(|i| (f64::from(steps()) + (i as f64 + 0.5) / count as f64) / 16.0)
        .collect()
}

impl Case {
    /// The network, and `n` images for it.
    pub(crate) fn build(&self, n: usize) -> Result<(Network<f64>, Vec<f64>), GraphError> {
        let len = |shape: &[usize]| shape.iter().product::<usize>();
        let values: Vec<&Kind> = self.operands.iter().filter(|kind| kind.0).collect();
        let together: usize = values.iter().map(|kind| len(&kind.1)).sum();
        let weights_len: usize = self.operands.iter().map(|kind| len(&kind.1)).sum();
        let mut all = numbers(n * together + weights_len, self.range, self.seed);
        let images = all.split_off(weights_len);

        // One value is the image itself; several are parts of it.
        let one = values.len() == 1;
        let image = if one {
            values[0].1.clone()
        } else {
            vec![together]
        };
        let mut graph = Graph::new("image", &image)?;
        let mut weights = Vec::new();
        let mut operands = Vec::new();
        let mut start = 0;
        for (i, (value, shape)) in self.operands.iter().enumerate() {
            let length = len(shape);
            if !value {
                operands.push(Operand::Weight(graph.weight(&format!("w{i}"), shape)?));
                weights.push(all.split_off(all.len() - length));
                continue;
            }
            let mut operand = Operand::Value(graph.input());
            let mut add = |op, operands: &[Operand], name: &str| {
                let name = format!("{name}{i}");
                graph.node(&name, op, operands, &name).map(Operand::Value)
            };
            if !one {
                let axes = vec![SliceAxis {
                    axis: 0,
                    start,
                    step: 1,
                    length,
                }];
                operand = add(Op::Slice(Slice { axes }), &[operand], "part")?;
                let shape = shape.clone();
                operand = add(Op::Reshape(Reshape { shape }), &[operand], "shaped")?;
                start += length;
            }
            if self.below {
                let factor = Operand::Weight(graph.weight(&format!("one{i}"), &[1])?);
                weights.push(vec![1.0]);
                let name = format!("below{i}");
                let scaled =
                    graph.node(&name, Op::Binary(Binary::Mul), &[operand, factor], &name)?;
                operand = Operand::Value(scaled);
            }
            if i == 0 && matches!(self.op, Op::Where(_)) {
                // A condition that holds in some places.
                let zero = Operand::Weight(graph.weight("zero", &[1])?);
                weights.push(vec![0.0]);
                let compare = Op::Binary(Binary::Greater);
                let condition = graph.node("condition", compare, &[operand, zero], "condition")?;
                operand = Operand::Value(condition);
            }
            operands.push(operand);
        }
        let y = graph.node("y", self.op.clone(), &operands, "y")?;
        if self.twice {
            let again = graph.node("again", self.op.clone(), &operands, "again")?;
            let half = Operand::Weight(graph.weight("half", &[1])?);
            weights.push(vec![0.5]);
            let again = [Operand::Value(again), half];
            let scaled = graph.node("scaled", Op::Binary(Binary::Mul), &again, "scaled")?;
            let both = [Operand::Value(y), Operand::Value(scaled)];
            graph.node("both", Op::Binary(Binary::Sub), &both, "both")?;
        }
        let network = Network::new(graph, weights).expect("a number for each place");
        Ok((network, images))
    }
}

/// An operator on operands, those that do not fit each other left out.
pub(crate) fn case(
    parts: impl Strategy<Value = (Op, Vec<Kind>, (i32, i32))> + 'static,
) -> BoxedStrategy<Case> {
    (parts, any::<bool>(), any::<bool>(), any::<u64>())
        .prop_map(|((op, operands, range), below, twice, seed)| Case {
            op,
            operands,
            range,
            below,
            twice,
            seed,
        })
        .prop_filter("the operator takes these", |case| case.build(1).is_ok())
        .boxed()
}

pub(crate) const ANY: (i32, i32) = (-2, 2);

pub(crate) fn shape(ranks: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..5, ranks)
}

pub(crate) fn on_value(op: Op, shape: Vec<usize>) -> (Op, Vec<Kind>, (i32, i32)) {
    (op, vec![(true, shape)], ANY)
}
