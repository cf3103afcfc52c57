//! Small networks around one operator, with random shapes, attributes and operands.

use blindspot_net::ops::{
    Binary, Concat, Conv, Dropout, Fields, Gather, Gemm, Local, Lrn, MatMul, Normalize, Pad,
    PadMode, Pool, PoolKind, Reduce, ReduceKind, Reshape, Slice, SliceAxis, Softmax, TopK,
    Transpose, Unary, Where, Window,
};
use blindspot_net::{Graph, GraphError, Network, Op, Operand};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

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
fn case(
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

const ANY: (i32, i32) = (-2, 2);
const POSITIVE: (i32, i32) = (1, 3);

fn shape(ranks: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..5, ranks)
}

/// A shape with at least one axis, and one of its axes.
fn shape_and_axis() -> impl Strategy<Value = (Vec<usize>, usize)> {
    (shape(1..=4), any::<Index>()).prop_map(|(shape, axis)| {
        let axis = axis.index(shape.len());
        (shape, axis)
    })
}

fn on_value(op: Op, shape: Vec<usize>) -> (Op, Vec<Kind>, (i32, i32)) {
    (op, vec![(true, shape)], ANY)
}

pub(crate) fn unary() -> BoxedStrategy<Case> {
    let alpha = || select(vec![0.0, 0.25, -0.5, 1.5]);
    let op = prop_oneof![
        select(vec![
            Unary::Relu,
            Unary::Sigmoid,
            Unary::Tanh,
            Unary::Softplus,
            Unary::Erf,
            Unary::Gelu { tanh: false },
            Unary::Gelu { tanh: true },
            Unary::Exp,
            Unary::Log,
            Unary::Sqrt,
            Unary::Neg,
            Unary::Abs,
            Unary::HardSwish,
            Unary::Mish,
            Unary::Softsign,
            Unary::Reciprocal,
            Unary::Sign,
            Unary::Floor,
            Unary::Ceil,
            Unary::Not,
            Unary::IsNan,
            Unary::Sin,
            Unary::Cos,
            Unary::Tan,
            Unary::Asin,
            Unary::Acos,
            Unary::Atan,
            Unary::Sinh,
            Unary::Cosh,
            Unary::Asinh,
            Unary::Acosh,
            Unary::Atanh,
        ]),
        (select(vec![1.0, 1.5]), select(vec![1.0, 1.05]))
            .prop_map(|(alpha, gamma)| Unary::Selu { alpha, gamma }),
        select(vec![1.0, -0.5, 1.5]).prop_map(|alpha| Unary::Swish { alpha }),
        select(vec![1.0, 0.5, 2.0]).prop_map(|alpha| Unary::Celu { alpha }),
        alpha().prop_map(|alpha| Unary::ThresholdedRelu { alpha }),
        (select(vec![0.5, 0.25]), select(vec![0.0, 0.25]))
            .prop_map(|(lambda, bias)| Unary::Shrink { lambda, bias }),
        Just(Unary::Round {
            straight_through: false
        }),
        any::<[bool; 2]>().prop_map(|[negative, positive]| Unary::IsInf { negative, positive }),
        alpha().prop_map(|alpha| Unary::LeakyRelu { alpha }),
        alpha().prop_map(|alpha| Unary::Elu { alpha }),
        (
            select(vec![f64::NEG_INFINITY, -0.5, 0.0, 1.0]),
            select(vec![f64::INFINITY, 1.5, 0.5]),
        )
            .prop_map(|(min, max)| Unary::Clip { min, max }),
        (alpha(), select(vec![0.0, 0.5]))
            .prop_map(|(alpha, beta)| Unary::HardSigmoid { alpha, beta }),
    ];
    // Longer than what is worked on at a time, now and then.
    let shape = prop_oneof![9 => shape(0..=4), 1 => Just(vec![3, 350])];
    case((op, shape).prop_map(|(op, shape)| {
        let range = match op {
            Unary::Log | Unary::Sqrt | Unary::Reciprocal | Unary::Acosh => POSITIVE,
            Unary::Tan | Unary::Asin | Unary::Acos | Unary::Atanh => (-1, 1),
            _ => ANY,
        };
        (Op::Unary(op), vec![(true, shape)], range)
    }))
}

/// Two operands that are repeated to one shape, at least one of them a value.
fn pair(shape: impl Strategy<Value = Vec<usize>>) -> impl Strategy<Value = [Kind; 2]> {
    let kinds = select(vec![[true, true], [true, false], [false, true]]);
    let cuts = || {
        (
            any::<Index>(),
            prop::collection::vec(any::<bool>(), 6),
            0..3usize,
        )
    };
    (shape, kinds, [cuts(), cuts()]).prop_map(|(shape, kinds, cuts)| {
        let mut i = 0;
        cuts.map(|(from, once, ones)| {
            let value = kinds[i];
            i += 1;
            let mut own = shape[from.index(shape.len() + 1)..].to_vec();
            own.iter_mut()
                .zip(&once)
                .filter(|(_, once)| **once)
                .for_each(|(axis, _)| *axis = 1);
            if !value && own.len() == shape.len() {
                own.splice(0..0, vec![1; ones]);
            }
            (value, own)
        })
    })
}

pub(crate) fn binary() -> BoxedStrategy<Case> {
    let op = select(vec![
        Binary::Add,
        Binary::Sub,
        Binary::Mul,
        Binary::Div,
        Binary::Pow,
        Binary::Min,
        Binary::Max,
        Binary::PRelu,
        Binary::Mod,
        Binary::Less,
        Binary::LessOrEqual,
        Binary::Greater,
        Binary::GreaterOrEqual,
        Binary::Equal,
    ]);
    case((op, pair(shape(0..=4))).prop_map(|(op, operands)| {
        let range = match op {
            Binary::Div | Binary::Pow | Binary::Mod => POSITIVE,
            _ => ANY,
        };
        (Op::Binary(op), operands.to_vec(), range)
    }))
}

pub(crate) fn choose() -> BoxedStrategy<Case> {
    let parts = (pair(shape(0..=4)), any::<Index>(), any::<bool>());
    case(parts.prop_map(|([a, b], from, value)| {
        // The condition is one of the two, or a part of it.
        let own = if value { &a.1 } else { &b.1 };
        let condition = (true, own[from.index(own.len() + 1)..].to_vec());
        (Op::Where(Where), vec![condition, a, b], ANY)
    }))
}

pub(crate) fn normalize() -> BoxedStrategy<Case> {
    let epsilon = select(vec![1e-5, 0.1]);
    case((shape_and_axis(), epsilon, any::<bool>()).prop_map(
        |((shape, axis), epsilon, centred)| {
            let op = Normalize {
                axis,
                epsilon,
                centred,
            };
            on_value(Op::Normalize(op), shape)
        },
    ))
}

pub(crate) fn gemm() -> BoxedStrategy<Case> {
    let parts = (shape(1..=3), 1usize..12, any::<bool>(), any::<bool>());
    case(parts.prop_map(|(value, m, trans_b, bias)| {
        let k = *value.last().expect("at least one axis");
        let weight = if trans_b { vec![m, k] } else { vec![k, m] };
        let mut operands = vec![(true, value), (false, weight)];
        if bias {
            operands.push((false, vec![m]));
        }
        (Op::Gemm(Gemm { trans_b }), operands, ANY)
    }))
}

pub(crate) fn matmul() -> BoxedStrategy<Case> {
    let parts = (pair(shape(0..=2)), [1usize..12, 1usize..12, 1usize..12]);
    case(parts.prop_map(|([mut a, mut b], [p, k, m])| {
        a.1.extend([p, k]);
        b.1.extend([k, m]);
        (Op::MatMul(MatMul), vec![a, b], ANY)
    }))
}

pub(crate) fn softmax() -> BoxedStrategy<Case> {
    case(
        (shape_and_axis(), any::<bool>())
            .prop_map(|((shape, axis), log)| on_value(Op::Softmax(Softmax { axis, log }), shape)),
    )
}

pub(crate) fn reduce() -> BoxedStrategy<Case> {
    let kind = select(vec![
        ReduceKind::Mean,
        ReduceKind::Sum,
        ReduceKind::Max,
        ReduceKind::Min,
        ReduceKind::Prod,
        ReduceKind::L1,
        ReduceKind::L2,
        ReduceKind::SumSquare,
        ReduceKind::LogSum,
        ReduceKind::LogSumExp,
    ]);
    let axes = shape(1..=4).prop_flat_map(|shape| {
        let axes: Vec<usize> = (0..shape.len()).collect();
        let count = 1..=axes.len();
        (Just(shape), subsequence(axes, count))
    });
    case(
        (kind, axes, any::<bool>()).prop_map(|(kind, (shape, axes), keep_axes)| {
            let op = Op::Reduce(Reduce {
                kind,
                axes,
                keep_axes,
            });
            let range = match kind {
                ReduceKind::LogSum => POSITIVE,
                _ => ANY,
            };
            (op, vec![(true, shape)], range)
        }),
    )
}

pub(crate) fn topk() -> BoxedStrategy<Case> {
    let parts = (shape_and_axis(), any::<Index>(), any::<bool>());
    case(parts.prop_map(|((shape, axis), k, largest)| {
        let k = k.index(shape[axis]) + 1;
        on_value(Op::TopK(TopK { axis, k, largest }), shape)
    }))
}

pub(crate) fn reshape() -> BoxedStrategy<Case> {
    case((shape(0..=4), any::<bool>()).prop_map(|(from, flat)| {
        let mut shape = from.clone();
        shape.reverse();
        if flat {
            shape = vec![from.iter().product()];
        }
        on_value(Op::Reshape(Reshape { shape }), from)
    }))
}

pub(crate) fn transpose() -> BoxedStrategy<Case> {
    // Larger than a tile, now and then.
    let shape =
        prop_oneof![4 => shape(0..=4), 1 => Just(vec![18, 1, 17]), 1 => Just(vec![17, 3, 5])];
    let parts = shape.prop_flat_map(|shape| {
        let axes: Vec<usize> = (0..shape.len()).collect();
        (Just(shape), Just(axes).prop_shuffle())
    });
    case(
        parts.prop_map(|(shape, permutation)| {
            on_value(Op::Transpose(Transpose { permutation }), shape)
        }),
    )
}

pub(crate) fn concat() -> BoxedStrategy<Case> {
    let kinds = prop::collection::vec((any::<bool>(), 1usize..4), 1..4);
    case(
        (shape_and_axis(), kinds).prop_map(|((shape, axis), kinds)| {
            let operand = |(value, length)| {
                let mut shape = shape.clone();
                shape[axis] = length;
                (value, shape)
            };
            let operands = kinds.into_iter().map(operand).collect();
            (Op::Concat(Concat { axis }), operands, ANY)
        }),
    )
}

pub(crate) fn slice() -> BoxedStrategy<Case> {
    let parts = || {
        (
            any::<bool>(),
            any::<Index>(),
            any::<Index>(),
            select(vec![1i64, -1, 2, -3]),
        )
    };
    let parts = (shape(1..=4), [parts(), parts(), parts(), parts()]);
    case(parts.prop_map(|(shape, parts)| {
        let mut axes = Vec::new();
        for ((axis, &size), (taken, start, length, step)) in shape.iter().enumerate().zip(parts) {
            let start = start.index(size);
            let room = if step > 0 { size - 1 - start } else { start };
            let most = room / step.unsigned_abs() as usize + 1;
            let length = length.index(most) + 1;
            if taken {
                axes.push(SliceAxis {
                    axis,
                    start,
                    step,
                    length,
                });
            }
        }
        on_value(Op::Slice(Slice { axes }), shape)
    }))
}

pub(crate) fn gather() -> BoxedStrategy<Case> {
    let positions = prop::collection::vec(any::<Index>(), 1..6);
    case(
        (shape_and_axis(), positions).prop_map(|((shape, axis), positions)| {
            let positions = positions
                .iter()
                .map(|position| position.index(shape[axis]))
                .collect();
            on_value(Op::Gather(Gather { axis, positions }), shape)
        }),
    )
}

pub(crate) fn pad() -> BoxedStrategy<Case> {
    let mode = select(vec![
        PadMode::Constant(0.0),
        PadMode::Constant(1.5),
        PadMode::Reflect,
        PadMode::Edge,
    ]);
    let sides = || prop::collection::vec(-1i64..4, 4);
    case(
        (mode, shape(0..=3), sides(), sides()).prop_map(|(mode, shape, before, after)| {
            let sides = |sides: Vec<i64>| -> Vec<i64> {
                let side = |(&size, side): (&usize, i64)| match mode {
                    PadMode::Constant(_) => side,
                    PadMode::Reflect => side.clamp(0, size as i64 - 1),
                    PadMode::Edge => side.max(0),
                };
                shape.iter().zip(sides).map(side).collect()
            };
            let (before, after) = (sides(before), sides(after));
            on_value(
                Op::Pad(Pad {
                    before,
                    after,
                    mode,
                }),
                shape,
            )
        }),
    )
}

pub(crate) fn dropout() -> BoxedStrategy<Case> {
    case(
        (0.0..0.9, shape(0..=3))
            .prop_map(|(ratio, shape)| on_value(Op::Dropout(Dropout { ratio }), shape)),
    )
}

/// Windows, and the positions that they stand on.
fn window() -> impl Strategy<Value = (Window, Vec<usize>)> {
    (1usize..=2).prop_flat_map(|axes| {
        let list = move |sizes: std::ops::RangeInclusive<usize>| prop::collection::vec(sizes, axes);
        let lists = (
            list(1..=3),
            list(1..=3),
            list(1..=2),
            list(0..=2),
            list(0..=2),
        );
        (lists, list(1..=7)).prop_map(|((kernel, strides, dilations, before, after), positions)| {
            let window = Window {
                kernel,
                strides,
                dilations,
                before,
                after,
            };
            (window, positions)
        })
    })
}

pub(crate) fn conv() -> BoxedStrategy<Case> {
    let sizes = (1usize..4, 1usize..4, 1usize..4, any::<bool>());
    case((window(), sizes).prop_map(
        |((window, positions), (groups, channels, features, bias))| {
            let value = [&[groups * channels][..], &positions].concat();
            let weight = [&[groups * features, channels][..], &window.kernel].concat();
            let mut operands = vec![(true, value), (false, weight)];
            if bias {
                operands.push((false, vec![groups * features]));
            }
            (Op::Conv(Conv { window, groups }), operands, ANY)
        },
    ))
}

/// Windows, and fields of any places.
pub(crate) fn local() -> BoxedStrategy<Case> {
    let windows = (1usize..4, 1usize..6, 1usize..6, 1usize..4, 1usize..3);
    let windows = windows.prop_filter_map("it fits", |(channels, height, width, side, stride)| {
        let shape = [channels, height, width];
        let (fields, _) = Fields::windows(shape, side, stride).ok()?;
        Some((shape.to_vec(), fields))
    });
    let any = (
        shape(1..=3),
        1usize..14,
        prop::collection::vec(any::<Index>(), 1..40),
    );
    let any = any.prop_filter_map("whole fields", |(shape, length, places)| {
        let len = shape.iter().product();
        let whole = places.len() / length * length;
        let places = places[..whole].iter().map(|place| place.index(len));
        Some((shape, Fields::new(length, places.collect()).ok()?))
    });
    let fields = prop_oneof![windows, any];
    case((fields, 1usize..19).prop_map(|((shape, fields), maps)| {
        let weight = vec![fields.count(), fields.field_len(), maps];
        let operands = vec![(true, shape), (false, weight)];
        (Op::Local(Local { fields }), operands, ANY)
    }))
}

pub(crate) fn pool() -> BoxedStrategy<Case> {
    let kind = select(vec![
        PoolKind::Max,
        PoolKind::Average {
            count_padding: false,
        },
        PoolKind::Average {
            count_padding: true,
        },
    ]);
    case((kind, window(), 1usize..4, any::<bool>()).prop_map(
        |(kind, (window, mut positions), channels, ceil)| {
            positions.insert(0, channels);
            on_value(Op::Pool(Pool { kind, window, ceil }), positions)
        },
    ))
}

pub(crate) fn lrn() -> BoxedStrategy<Case> {
    let parts = (
        1usize..7,
        0.0..2.0,
        select(vec![0.5, 0.75, 2.0]),
        0.5..2.0,
        shape(1..=3),
    );
    case(parts.prop_map(|(size, alpha, beta, bias, shape)| {
        on_value(
            Op::Lrn(Lrn {
                size,
                alpha,
                beta,
                bias,
            }),
            shape,
        )
    }))
}
