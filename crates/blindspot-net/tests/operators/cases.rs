//! Small networks around one operator, with random shapes, attributes and operands.

use blindspot_net::Op;
use blindspot_net::ops::{
    Binary, Concat, Dropout, Gather, Gemm, MatMul, Normalize, Pad, PadMode, Reduce, ReduceKind,
    Reshape, Slice, SliceAxis, Softmax, TopK, Transpose, Unary, Where,
};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::case::{ANY, Case, Kind, case, on_value, shape};
pub(crate) use super::windows::{conv, local, lrn, pool};

const POSITIVE: (i32, i32) = (1, 3);

/// A shape with at least one axis, and one of its axes.
fn shape_and_axis() -> impl Strategy<Value = (Vec<usize>, usize)> {
    (shape(1..=4), any::<Index>()).prop_map(|(shape, axis)| {
        let axis = axis.index(shape.len());
        (shape, axis)
    })
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
